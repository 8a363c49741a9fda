//! Snapshots carry the whole state or nothing.

use std::fs::File;

use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;

use super::{Parts, apply, at, counts, open};
use crate::entry::SnapshotMeta;

/// A replica whose keys 0 to 49 are counted once, and the bytes of its snapshot.
async fn with_snapshot(dir: &std::path::Path) -> (Parts, SnapshotMeta, Vec<u8>) {
    let mut parts = open(dir).unwrap();
    for index in 0..50 {
        apply(&mut parts.machine, index, vec![index]).await;
    }
    let (meta, _) = parts.snapshots.build(&parts.database).unwrap();
    let bytes = std::fs::read(parts.snapshots.path()).unwrap();
    (parts, meta, bytes)
}

async fn install(parts: &mut Parts, meta: &SnapshotMeta, bytes: &[u8]) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let file = tokio::fs::File::from_std(File::open(file.path()).unwrap());
    let installed = parts.machine.install_snapshot(meta, Box::new(file)).await;
    installed.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_installed_snapshot_replaces_the_whole_state_and_stays() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (source, meta, bytes) = with_snapshot(dirs[0].path()).await;
    let mut target = open(dirs[1].path()).unwrap();
    apply(&mut target.machine, 0, vec![7, 1_000]).await;

    install(&mut target, &meta, &bytes).await.unwrap();
    assert_eq!(counts(&target.machine), counts(&source.machine));
    assert_eq!(target.machine.applied_state().await.unwrap().0, Some(at(49)));
    let (kept, _) = target.snapshots.current().unwrap().unwrap();
    assert_eq!(kept, meta);

    drop(target);
    let mut target = open(dirs[1].path()).unwrap();
    assert_eq!(counts(&target.machine), counts(&source.machine));
    assert_eq!(target.machine.applied_state().await.unwrap().0, Some(at(49)));
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (_source, meta, bytes) = with_snapshot(dirs[0].path()).await;
    let mut target = open(dirs[1].path()).unwrap();
    apply(&mut target.machine, 0, vec![7]).await;

    let flipped = (0..bytes.len()).map(|place| {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        damaged
    });
    let cut = (0..bytes.len()).step_by(7).map(|length| bytes[..length].to_vec());
    let longer = std::iter::once([bytes.as_slice(), &[0]].concat());
    for damaged in flipped.chain(cut).chain(longer) {
        let error = install(&mut target, &meta, &damaged).await.unwrap_err();
        assert!(error.contains("snapshot"), "{error}");
        assert_eq!(counts(&target.machine), [(7, 1)]);
    }
    drop(target);
    assert_eq!(counts(&open(dirs[1].path()).unwrap().machine), [(7, 1)]);
}

#[tokio::test]
async fn a_snapshot_other_than_the_announced_is_refused() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (_source, mut meta, bytes) = with_snapshot(dirs[0].path()).await;
    let mut target = open(dirs[1].path()).unwrap();
    meta.last_log_id = Some(at(50));
    let error = install(&mut target, &meta, &bytes).await.unwrap_err();
    assert!(error.contains("announced"), "{error}");
}

#[tokio::test]
async fn a_snapshot_damaged_on_disk_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut parts, meta, mut bytes) = with_snapshot(dir.path()).await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(parts.snapshots.path(), &bytes).unwrap();
    assert!(parts.snapshots.current().is_err());

    let again = parts.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(again.meta, meta);
    parts.snapshots.current().unwrap().unwrap();
}

#[tokio::test]
async fn a_snapshot_that_the_purged_log_left_behind_is_made_again() {
    use openraft::storage::RaftLogStorage;
    let dir = tempfile::tempdir().unwrap();
    let (mut parts, meta, _) = with_snapshot(dir.path()).await;
    for index in 50..60 {
        apply(&mut parts.machine, index, vec![index]).await;
    }
    assert_eq!(parts.machine.get_current_snapshot().await.unwrap().unwrap().meta, meta);
    parts.log.purge(at(55)).await.unwrap();
    let newer = parts.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(newer.meta.last_log_id, Some(at(59)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_shows_one_moment_while_commands_go_on() {
    const PAIRS: u64 = 400;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut parts = open(dirs[0].path()).unwrap();
    let mut builder = parts.machine.get_snapshot_builder().await;
    let (snapshots, mut machine) = (parts.snapshots, parts.machine);
    let counting = tokio::spawn(async move {
        for index in 0..PAIRS {
            apply(&mut machine, index, vec![1, 2]).await;
        }
    });
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let last = counting.is_finished();
        let built: openraft::Snapshot<crate::entry::TypeConfig<super::tally::Tally>> =
            builder.build_snapshot().await.unwrap();
        let bytes = std::fs::read(snapshots.path()).unwrap();
        let mut target = open(&dirs[1].path().join(seen.len().to_string())).unwrap();
        install(&mut target, &built.meta, &bytes).await.unwrap();
        let expected = built.meta.last_log_id.map_or(0, |last| last.index + 1);
        let state = target.machine.state();
        let state = state.read().unwrap();
        assert_eq!([state.of(1), state.of(2)], [expected; 2]);
        seen.insert(expected);
        if last {
            break;
        }
    }
    counting.await.unwrap();
    assert!(seen.contains(&PAIRS), "{seen:?}");
    assert!(seen.len() > 1, "no snapshot was taken while commands went on");
}
