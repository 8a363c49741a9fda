//! What a site remembers: Raft over RocksDB.
//!
//! A site is one replicated state machine ([`protocol::rows::Replicated`]). Its nodes agree on the
//! order of its commands through openraft; each keeps the log, and the tables that follow from it,
//! in one RocksDB. This is the only crate that names either. It has no network, only a
//! [`transport::Transport`] that the node hands in, and it knows nothing of hypervisors.
//!
//! [`Replica`] is the door: propose a command, read the state, wait for certainty, watch progress,
//! change who takes part. Behind it: `entry` (what openraft is told about our types), `schema`
//! (where things lie on disk, and why they survive a crash), `log`, `machine` and `snapshot`.

pub mod replica;
pub mod schema;
pub mod timing;
pub mod transport;

mod entry;
mod log;
mod machine;
mod snapshot;
#[cfg(test)]
mod tests;

pub use replica::Replica;
pub use timing::Timing;
