//! Committed commands a second through a replica of one node, every log entry synced to a real
//! disk, by how many propose at once.
//!
//! Run it with `cargo bench --profile dev -p storage --bench commits`: RocksDB is optimized in that
//! profile, and the bench profile would build it a second time.

#[path = "../tests/tally/mod.rs"]
mod tally;

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use protocol::ids::NodeId;
use storage::transport::Alone;
use storage::{Replica, Timing};
use tally::{Count, Tally};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What a command weighs beside its key: an observation or a small request.
const PADDING: usize = 200;
/// How many commands are proposed between two looks at the clock.
const COMMANDS: usize = 4_096;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 1024], sample_count = 10, sample_size = 1)]
fn commits(bencher: Bencher<'_, '_>, proposers: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the disk has room");
    let runtime = Runtime::new().expect("the machine has threads");
    let replica: Arc<Replica<Tally>> = runtime.block_on(async {
        let opened = Replica::open(dir.path(), NodeId(1), Arc::new(Alone), Timing::peers()).await;
        let replica = opened.expect("the directory is new");
        replica.found().await.expect("the node is pristine");
        Arc::new(replica)
    });
    let commands = if proposers == 1 { COMMANDS / 16 } else { COMMANDS };
    bencher.counter(ItemsCount::new(commands)).bench_local(|| {
        runtime.block_on(async {
            let mut all = JoinSet::new();
            for proposer in 0..proposers {
                let replica = Arc::clone(&replica);
                let share = commands / proposers;
                all.spawn(async move {
                    for _ in 0..share {
                        let key = u64::try_from(proposer).expect("few proposers");
                        let command = Count { padding: vec![0; PADDING], ..Count::of(vec![key]) };
                        replica.propose(&command).await.expect("the node leads");
                    }
                });
            }
            all.join_all().await;
        });
    });
    let counted: u64 = replica.read(Tally::all).iter().map(|(_, count)| count).sum();
    assert_eq!(counted % u64::try_from(commands).expect("few commands"), 0, "each is counted");
    runtime.block_on(replica.close()).expect("the disk comes to rest");
}
