//! What a site remembers: Raft over RocksDB.
