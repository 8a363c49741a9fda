//! What is claimed of the parts behind [`crate::Replica`], on real databases.

mod conformance;
mod crash;
mod refusals;
mod snapshots;
#[path = "../../tests/tally/mod.rs"]
pub(crate) mod tally;

use std::path::Path;
use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{CommittedLeaderId, EntryPayload};
use protocol::ids::NodeId;
use tokio::sync::watch;

use crate::entry::{Batch, Encoded, Entry, LogId, Proposal};
use crate::log::Log;
use crate::machine::Machine;
use crate::replica::Progress;
use crate::schema::{Database, Error};
use crate::snapshot::Snapshots;
use tally::{Count, Tally};

const NODE: NodeId = NodeId(1);

/// A replica's parts, without Raft.
struct Parts {
    database: Arc<Database>,
    snapshots: Arc<Snapshots>,
    log: Log<Tally>,
    machine: Machine<Tally>,
}

fn open(dir: &Path) -> Result<Parts, Error> {
    let database = Database::open(dir, NODE, watch::channel(()).0)?;
    let snapshots = Arc::new(Snapshots::open(dir, NODE)?);
    let progress = watch::channel(Progress::default()).0;
    let machine = Machine::load(Arc::clone(&database), Arc::clone(&snapshots), progress)?;
    Ok(Parts { log: Log::new(Arc::clone(&database)), database, snapshots, machine })
}

fn at(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, NODE.0), index)
}

fn entry(index: u64, command: &Count) -> Entry<Tally> {
    let command = Encoded::new::<Tally>(command).unwrap();
    let batch = Batch(vec![Proposal { command, term: None }]);
    Entry { log_id: at(index), payload: EntryPayload::Normal(batch) }
}

async fn apply(machine: &mut Machine<Tally>, index: u64, keys: Vec<u64>) {
    machine.apply([entry(index, &Count::of(keys))]).await.unwrap();
}

fn counts(machine: &Machine<Tally>) -> Vec<(u64, u64)> {
    machine.state().read().unwrap().all()
}
