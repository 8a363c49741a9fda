//! What was acknowledged is there after a restart, once, however the process ended.
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

mod tally;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use protocol::ids::NodeId;
use storage::transport::Alone;
use storage::{Replica, Timing};
use tally::{Count, Tally};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

async fn open(dir: &Path, timing: Timing) -> Arc<Replica<Tally>> {
    let replica = Replica::open(dir, NodeId(1), Arc::new(Alone), timing).await.unwrap();
    replica.found().await.unwrap();
    let mut progress = replica.watch();
    let led = progress.wait_for(|progress| progress.is_leader);
    tokio::time::timeout(Duration::from_secs(10), led).await.unwrap().unwrap();
    Arc::new(replica)
}

async fn propose_all(replica: &Arc<Replica<Tally>>, keys: std::ops::Range<u64>) {
    let mut proposals = JoinSet::new();
    for key in keys {
        let replica = Arc::clone(replica);
        proposals.spawn(async move { replica.propose(&Count::of(vec![key])).await.unwrap() });
    }
    for outcome in proposals.join_all().await {
        assert_eq!(outcome, 1);
    }
}

#[test]
fn acknowledged_commands_survive_a_drop_without_close() {
    let dir = tempfile::tempdir().unwrap();
    for life in 0..3 {
        // A runtime that is dropped ends its tasks wherever they are, as a crash does.
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let replica = open(dir.path(), Timing::peers()).await;
            replica.barrier().await.unwrap();
            replica.read(|tally| assert!((0..life * 200).all(|key| tally.of(key) == 1)));
            propose_all(&replica, life * 200..(life + 1) * 200).await;
        });
    }
}

#[test]
fn acknowledged_commands_survive_snapshots_and_purges() {
    let dir = tempfile::tempdir().unwrap();
    let timing = Timing { snapshot_every: 40, keep: 5, ..Timing::peers() };
    for life in 0..3 {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let replica = open(dir.path(), timing).await;
            replica.barrier().await.unwrap();
            for key in life * 300..(life + 1) * 300 {
                assert_eq!(replica.propose(&Count::of(vec![key])).await.unwrap(), 1);
            }
            replica.read(|tally| assert!((0..(life + 1) * 300).all(|key| tally.of(key) == 1)));
            assert!(dir.path().join("snapshots/current").exists());
        });
    }
}

#[tokio::test]
async fn a_closed_replica_leaves_its_directory_to_the_next_and_refuses_more() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path(), Timing::peers()).await;
    let second = Replica::<Tally>::open(dir.path(), NodeId(1), Arc::new(Alone), Timing::peers());
    let error = second.await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");

    replica.close().await.unwrap();
    let refused = replica.propose(&Count::of(vec![1])).await.unwrap_err();
    assert!(matches!(refused, storage::replica::Error::Closed), "{refused}");
    assert!(!refused.is_transient());
    assert!(!replica.watch().borrow().running);
    open(dir.path(), Timing::peers()).await;
}

#[tokio::test]
async fn a_lone_node_leads_within_a_second_after_its_restart() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), Timing::peers()).await.close().await.unwrap();
    let started = Instant::now();
    let replica = open(dir.path(), Timing::peers()).await;
    replica.barrier().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_that_wait_together_share_entries() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path(), Timing::peers()).await;
    let before = replica.barrier().await.unwrap();
    propose_all(&replica, 0..1_000).await;
    let entries = replica.barrier().await.unwrap() - before;
    assert!(entries < 100, "1000 commands took {entries} entries");
}

#[tokio::test]
async fn a_command_that_can_never_be_stored_is_refused_and_the_next_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path(), Timing::peers()).await;
    let padded = |bytes| Count { keys: vec![1], padding: vec![0; bytes] };
    let refused = replica.propose(&padded(2 << 20)).await.unwrap_err();
    assert!(matches!(refused, storage::replica::Error::TooLarge { .. }), "{refused}");
    assert_eq!(replica.propose(&padded(900 << 10)).await.unwrap(), 1);
    // Encoded these are small, decoded they are not: such a command would be a log that no replica
    // could ever read again.
    let claims = Count { keys: vec![0; 800 << 10], padding: Vec::new() };
    let refused = replica.propose(&claims).await.unwrap_err();
    assert!(matches!(refused, storage::replica::Error::TooLarge { .. }), "{refused}");
    assert_eq!(replica.propose(&Count::of(vec![1])).await.unwrap(), 2);
}

/// Where the child of the next test finds its replica, and which keys it is to count.
const CHILD: &str = "STORAGE_TEST_CHILD";

/// Proposes as fast as it can, tells each acknowledgement, and never ends by itself.
fn propose_until_killed(dir: &Path, first: u64) {
    let next = Arc::new(AtomicU64::new(first));
    Runtime::new().unwrap().block_on(async {
        let replica = open(dir, Timing { snapshot_every: 50, keep: 5, ..Timing::peers() }).await;
        let mut proposers = JoinSet::new();
        for _ in 0..16 {
            let (replica, next) = (Arc::clone(&replica), Arc::clone(&next));
            proposers.spawn(async move {
                loop {
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(replica.propose(&Count::of(vec![key])).await.unwrap(), 1);
                    writeln!(std::io::stdout().lock(), "acknowledged {key}").unwrap();
                }
            });
        }
        proposers.join_next().await.unwrap().unwrap();
    });
}

#[test]
fn acknowledged_commands_survive_kill_dash_nine_exactly_once() {
    if let Some(child) = std::env::var_os(CHILD) {
        let child = child.into_string().unwrap();
        let (first, dir) = child.split_once(':').unwrap();
        propose_until_killed(Path::new(dir), first.parse().unwrap());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for (life, kill_after) in [1, 30, 211, 500, 77].into_iter().enumerate() {
        let first = 1_000_000 * u64::try_from(life).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["acknowledged_commands_survive_kill_dash_nine_exactly_once", "--exact"])
            .arg("--nocapture")
            .env(CHILD, format!("{first}:{}", dir.path().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut in_this_life = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(key) = line.split("acknowledged ").nth(1) else { continue };
            assert!(acknowledged.insert(key.parse::<u64>().unwrap()));
            in_this_life += 1;
            if in_this_life == kill_after {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
        assert!(in_this_life >= kill_after);
    }
    Runtime::new().unwrap().block_on(async {
        let replica = open(dir.path(), Timing::peers()).await;
        replica.barrier().await.unwrap();
        replica.read(|tally| {
            for key in &acknowledged {
                assert_eq!(tally.of(*key), 1, "key {key}");
            }
            assert!(tally.all().iter().all(|(_, count)| *count == 1));
        });
    });
}
