//! Directories that must not be opened are not, and stay as they are.

use rocksdb::WriteBatch;

use super::{NODE, open};
use crate::schema::{Database, Durability, Error, FORMAT, Key};
use protocol::ids::NodeId;
use tokio::sync::watch;

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(error.to_string().contains("stop that one first"), "{error}");
    drop(first);
    open(dir.path()).map(|_| ()).unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let parts = open(dir.path()).unwrap();
    let mut batch = WriteBatch::default();
    parts.database.put(&mut batch, Key::Format, &(FORMAT + 1));
    parts.database.write(batch, Durability::Synced, "raise the format").unwrap();
    drop(parts);
    let error = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found, .. } if found == FORMAT + 1), "{error}");
}

#[test]
fn a_database_with_families_unknown_here_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    let families = ["default", "log", "rows", "meta", "stars"];
    drop(rocksdb::DB::open_cf(&options, dir.path().join("db"), families).unwrap());
    let error = open(dir.path()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Foreign { family, .. } if family == "stars"), "{error}");
}

#[test]
fn the_replica_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let error = Database::open(dir.path(), NodeId(2), watch::channel(()).0).unwrap_err();
    assert!(matches!(error, Error::OtherNode { found: NODE, asked: NodeId(2), .. }), "{error}");
}
