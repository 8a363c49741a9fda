//! Where a replica's data lie on disk, and why they survive a crash.
//!
//! A directory holds one RocksDB (`db/`) and at most one snapshot (`snapshots/`). The database has
//! three column families: `log` (entries by index), `rows` (the state's tables, each row under its
//! table's number and its key) and `meta` (vote, applied index, format).
//!
//! **One write-ahead log for all three.** Recovery after a crash keeps a prefix of that log, never
//! a selection from it. Entries and votes are synced, and a sync covers all that was written
//! before. The rows that an entry changed and the applied index are one unsynced batch, which
//! stands behind the entry in the same write-ahead log. So after `kill -9` everything is found
//! (each write reaches the kernel at once: no manual WAL flush), and after a loss of power the log
//! is whole while rows and applied index, together, may be older: behind the log, never ahead of
//! it and never apart. Opening applies the rest again.
//!
//! A memtable may go to a table file before the others do; with several column families RocksDB
//! first syncs the closed write-ahead logs behind it, so the prefix holds for files too. Atomic
//! flush is for databases that switch the write-ahead log off, which ours never does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::codec;
use protocol::ids::NodeId;
use protocol::rows::LoadError;
use rocksdb::{ColumnFamily, DB, DBRecoveryMode, Options, WriteOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// The layout that this version reads and writes. It rises when a column family, a key or the
/// encoding of an entry, a row or a snapshot changes.
pub(crate) const FORMAT: u32 = 1;

const LOG: &str = "log";
const ROWS: &str = "rows";
const META: &str = "meta";
/// RocksDB has this one always; it stays empty.
const DEFAULT: &str = "default";

/// The most bytes of one value in `meta`: a membership of hundreds of nodes fits well.
const META_BYTES_MAX: usize = 64 << 10;
/// A memtable's size. The state lives in memory anyway, so RocksDB needs no more than to write in
/// decent portions.
const MEMTABLE_BYTES: usize = 16 << 20;
/// How much write-ahead log may pile up before rarely written families are flushed to free it; it
/// bounds how long opening after a crash takes.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// RocksDB's own reports, for whoever looks into a broken one: a few files of this size.
const REPORT_BYTES: usize = 1 << 20;
const REPORT_FILES: usize = 3;

/// The keys of `meta`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    /// The layout's number.
    Format,
    /// The node whose replica this is.
    Node,
    /// The vote, as openraft has it.
    Vote,
    /// The last entry known to be committed; a hint that is not synced.
    Committed,
    /// The last entry purged from the log.
    Purged,
    /// The last entry applied to the rows, and the membership at that point.
    Applied,
}

impl Key {
    const fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Node => "node",
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
            Self::Applied => "applied",
        }
    }
}

/// A replica's directory cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process, or another replica of this one, has it open.
    #[error("{} is in use by another process: stop that one first, or give this node a directory of its own", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A newer version of the software wrote it.
    #[error("{} is in format {found}, and this version knows {FORMAT}: start the version that wrote it", dir.display())]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// There is a database, but not one of ours.
    #[error("{} holds a database that is not a replica's (it has '{family}'): choose another directory, or start the version that wrote it", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// The column family that tells.
        family: String,
    },
    /// It is the replica of another node. Two nodes with one replica would vote twice.
    #[error("{} belongs to node {found}, not to node {asked}: give each node its own directory", dir.display())]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who asked.
        asked: NodeId,
    },
    /// A directory cannot be made or read.
    #[error("cannot use the directory {}", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// RocksDB refused.
    #[error("the database could not {operation}")]
    Database {
        /// What it was asked.
        operation: &'static str,
        /// What it says.
        #[source]
        source: rocksdb::Error,
    },
    /// Something of ours on disk is not what it should be: a fault of disk or memory.
    #[error("the stored {what} cannot be read: restore this node from its peers or a backup")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// Why.
        #[source]
        source: codec::Error,
    },
    /// The rows are not of this state.
    #[error("the stored rows cannot be loaded")]
    Rows {
        /// Why.
        #[source]
        source: LoadError,
    },
    /// A row is under no table at all.
    #[error("a stored row names no table: restore this node from its peers or a backup")]
    NoTable,
    /// A task that served the disk did not end.
    #[error("a task of the database was stopped")]
    Stopped {
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

impl Error {
    pub(crate) const fn database(operation: &'static str) -> impl FnOnce(rocksdb::Error) -> Self {
        move |source| Self::Database { operation, source }
    }
}

/// An open database.
///
/// Fields are dropped in their order: whoever holds the other end of `open` learns of the end of
/// this one when the database's lock is free again.
#[derive(Debug)]
pub(crate) struct Database {
    rocks: DB,
    _open: watch::Sender<()>,
}

impl Database {
    /// Opens the database in `dir`, or makes one for `node` if there is none.
    pub(crate) fn open(
        dir: &Path,
        node: NodeId,
        open: watch::Sender<()>,
    ) -> Result<Arc<Self>, Error> {
        let path = dir.join("db");
        std::fs::create_dir_all(&path)
            .map_err(|source| Error::Directory { dir: dir.to_owned(), source })?;
        refuse_foreign(dir, &path)?;
        let families = [DEFAULT, LOG, ROWS, META].map(|name| (name, family()));
        let rocks = DB::open_cf_with_opts(&options(), &path, families)
            .map_err(|source| open_error(dir, source))?;
        let database = Self { rocks, _open: open };
        database.claim(dir, node)?;
        Ok(Arc::new(database))
    }

    /// Checks format and owner, or writes them into a new database.
    fn claim(&self, dir: &Path, node: NodeId) -> Result<(), Error> {
        match self.get(Key::Format)? {
            None => {
                let mut batch = rocksdb::WriteBatch::default();
                self.put(&mut batch, Key::Format, &FORMAT);
                self.put(&mut batch, Key::Node, &node);
                return self.write(batch, Durability::Synced, "make a new replica");
            }
            Some(FORMAT) => {}
            Some(found) => return Err(Error::NewerFormat { dir: dir.to_owned(), found }),
        }
        match self.get(Key::Node)? {
            Some(found) if found != node => {
                Err(Error::OtherNode { dir: dir.to_owned(), found, asked: node })
            }
            _ => Ok(()),
        }
    }

    pub(crate) const fn rocks(&self) -> &DB {
        &self.rocks
    }

    /// Entries by index, in big-endian bytes.
    pub(crate) fn log(&self) -> &ColumnFamily {
        self.family(LOG)
    }

    /// The state's rows by table number and key.
    pub(crate) fn rows(&self) -> &ColumnFamily {
        self.family(ROWS)
    }

    pub(crate) fn meta(&self) -> &ColumnFamily {
        self.family(META)
    }

    fn family(&self, name: &str) -> &ColumnFamily {
        self.rocks.cf_handle(name).expect("opened with all of its column families")
    }

    /// The value of a key of `meta`.
    pub(crate) fn get<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>, Error> {
        let bytes = self
            .rocks
            .get_pinned_cf(self.meta(), key.name())
            .map_err(Error::database("read what it knows of itself"))?;
        bytes.map(|bytes| decode_meta(key, &bytes)).transpose()
    }

    /// The value of a key of `meta` in a view of the database.
    pub(crate) fn get_in<T: DeserializeOwned>(
        &self,
        view: &rocksdb::Snapshot<'_>,
        key: Key,
    ) -> Result<Option<T>, Error> {
        let bytes = view
            .get_pinned_cf(self.meta(), key.name())
            .map_err(Error::database("read what it knows of itself"))?;
        bytes.map(|bytes| decode_meta(key, &bytes)).transpose()
    }

    /// Puts a key of `meta` into a batch.
    pub(crate) fn put<T: Serialize>(&self, batch: &mut rocksdb::WriteBatch, key: Key, value: &T) {
        batch.put_cf(self.meta(), key.name(), codec::encode(value));
    }

    /// Writes a batch, whole or not at all. It may wait for the disk: not for async code.
    pub(crate) fn write(
        &self,
        batch: rocksdb::WriteBatch,
        durability: Durability,
        operation: &'static str,
    ) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.rocks.write_opt(batch, &options).map_err(Error::database(operation))
    }
}

/// What must be true of a write before it is said to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Durability {
    /// It survives a loss of power, and so does every write before it.
    Synced,
    /// It survives the process; after a loss of power it may be gone with all that followed it.
    Ordered,
}

/// Runs what waits for the disk where it keeps nothing else from running.
pub(crate) async fn blocking<T, E>(
    task: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    tokio::task::spawn_blocking(task).await.map_err(|source| Error::Stopped { source })?
}

fn decode_meta<T: DeserializeOwned>(key: Key, bytes: &[u8]) -> Result<T, Error> {
    codec::decode(bytes, META_BYTES_MAX)
        .map_err(|source| Error::Unreadable { what: key.name(), source })
}

/// A database with families that this version does not know is of a newer one, or not ours.
fn refuse_foreign(dir: &Path, path: &Path) -> Result<(), Error> {
    if !path.join("CURRENT").exists() {
        return Ok(());
    }
    let families = DB::list_cf(&options(), path).map_err(|source| open_error(dir, source))?;
    let known = [DEFAULT, LOG, ROWS, META];
    match families.into_iter().find(|family| !known.contains(&family.as_str())) {
        Some(family) => Err(Error::Foreign { dir: dir.to_owned(), family }),
        None => Ok(()),
    }
}

/// RocksDB tells a lock that is held only by the words of an I/O error.
fn open_error(dir: &Path, source: rocksdb::Error) -> Error {
    if source.kind() == rocksdb::ErrorKind::IOError && source.as_ref().contains("LOCK") {
        Error::InUse { dir: dir.to_owned() }
    } else {
        Error::Database { operation: "be opened", source }
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // What a crash left half-written at the end goes, and with it everything behind it: a prefix
    // stays. A synced log file that is missing or short is a fault of the disk, and is reported.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_log_file_size(REPORT_BYTES);
    options.set_keep_log_file_num(REPORT_FILES);
    options
}

fn family() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options
}
