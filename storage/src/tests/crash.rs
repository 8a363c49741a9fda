//! After a loss of power some of the unsynced tail of the write-ahead log is gone, and nobody knows
//! how much. Here it is cut at every place: the state found is never ahead of the log, and always
//! the state of exactly the entry that it says it is of.

use std::fs;
use std::path::Path;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};

use super::tally::Count;
use super::{apply, at, entry, open};

const ENTRIES: u64 = 24;
/// Below this index the log is purged.
const PURGED: u64 = 5;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

/// The write-ahead log that was written to last.
fn newest_wal(dir: &Path) -> std::path::PathBuf {
    fs::read_dir(dir.join("db"))
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .max()
        .unwrap()
}

#[tokio::test]
async fn a_state_found_after_a_crash_is_never_ahead_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = open(dir.path()).unwrap();
    for index in 0..ENTRIES {
        let command = Count { keys: vec![1, 100 + index], padding: vec![0; 20] };
        parts.log.blocking_append([entry(index, &command)]).await.unwrap();
        apply(&mut parts.machine, index, command.keys).await;
        if index == 2 * PURGED {
            parts.log.purge(at(PURGED - 1)).await.unwrap();
        }
    }
    drop(parts);

    let wal = newest_wal(dir.path());
    let whole = fs::metadata(&wal).unwrap().len();
    let mut found = std::collections::BTreeSet::new();
    for length in (0..=whole).rev().step_by(29) {
        let crashed = tempfile::tempdir().unwrap();
        copy(dir.path(), crashed.path());
        let cut = newest_wal(crashed.path());
        fs::File::options().write(true).open(cut).unwrap().set_len(length).unwrap();

        let mut parts = open(crashed.path()).unwrap();
        let applied = parts.machine.applied_state().await.unwrap().0;
        let log = parts.log.get_log_state().await.unwrap();
        assert!(applied <= log.last_log_id, "cut at {length}: {applied:?} ahead of {log:?}");
        assert!(log.last_purged_log_id <= applied, "cut at {length}: purged and not applied");
        let entries = applied.map_or(0, |last| last.index + 1);
        let state = parts.machine.state();
        let state = state.read().unwrap();
        assert_eq!(state.of(1), entries, "cut at {length}");
        assert!((0..ENTRIES).all(|index| state.of(100 + index) == u64::from(index < entries)));
        found.insert(entries);
    }
    assert!(found.contains(&0) && found.contains(&ENTRIES) && found.len() > 10, "{found:?}");
}
