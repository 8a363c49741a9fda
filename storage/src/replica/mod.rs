//! One node's copy of its site's state, kept the same as every other node's.
//!
//! ```text
//! propose -> queue -> one log entry -> synced by a majority -> applied -> outcomes
//!                                                                 |
//!                                                   read, watch <-+
//! ```
//!
//! A command is acknowledged when its entry is synced by a majority of the site's nodes and applied
//! here. [`Replica::read`] shows what is applied here, which may lag behind the site;
//! [`Replica::barrier`] waits until it does not.

mod error;
mod leadership;
mod members;
mod propose;

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use openraft::{Config, Raft, RaftMetrics, ServerState, SnapshotPolicy};
use protocol::ids::NodeId;
use protocol::rows::Replicated;
use tokio::sync::watch;
use tokio::time::timeout;

pub use error::{Error, OpenError};
pub use members::Members;

use crate::entry::TypeConfig;
use crate::log::Log;
use crate::machine::{Machine, POISONED};
use crate::schema::{self, Database, blocking};
use crate::snapshot::Snapshots;
use crate::timing::Timing;
use crate::transport::{self, CHUNK_BYTES, Network, Transport};
use propose::Queue;

/// How long a barrier waits for a majority to answer and for this node to apply what it must.
const BARRIER_WAIT: Duration = Duration::from_secs(15);

/// How long closing waits for the disk's last writes.
const CLOSE_WAIT: Duration = Duration::from_secs(30);

/// The most log entries in one message to a follower; their bytes are bounded as well.
const REPLICATE_ENTRIES_MAX: u64 = 256;

/// Entries are purged this many at a time, since each time costs a sync.
const PURGE_ENTRIES: u64 = 256;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// The index of the last entry applied here. Zero if there is none: the entry at zero founds
    /// the site and changes no row.
    pub applied: u64,
    /// Who leads the site, if anybody is known to.
    pub leader: Option<NodeId>,
    /// The term of that leadership, or of the election that is to end the lack of one.
    pub term: u64,
    /// Whether this node leads. Another may have replaced it without its knowing: only
    /// [`Replica::barrier`] tells.
    pub is_leader: bool,
    /// Whether the replica works. It stops when it is closed, and at a fault of the disk.
    pub running: bool,
}

/// One node's copy of its site's state.
pub struct Replica<S: Replicated> {
    node: NodeId,
    raft: Raft<TypeConfig<S>>,
    state: Arc<RwLock<S>>,
    queue: Queue<S>,
    progress: watch::Receiver<Progress>,
    /// How long followers stay loyal to a leader of whom they hear nothing.
    lease: Duration,
    /// Set while this node hands its leadership over.
    retiring: Arc<AtomicBool>,
    /// Ends when the database is closed.
    database: watch::Receiver<()>,
}

impl<S: Replicated> fmt::Debug for Replica<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("node", &self.node)
            .field("progress", &*self.progress.borrow())
            .finish_non_exhaustive()
    }
}

impl<S: Replicated> Replica<S> {
    /// Opens the replica in `dir`, or makes a pristine one, and starts to take part.
    ///
    /// # Errors
    ///
    /// If the directory is in use, is another node's or of a newer version, or what is in it
    /// cannot be read.
    pub async fn open(
        dir: &Path,
        node: NodeId,
        transport: Arc<dyn Transport>,
        timing: Timing,
    ) -> Result<Self, OpenError> {
        let config = config(timing)?;
        let (progress_sender, progress) =
            watch::channel(Progress { running: true, ..Progress::default() });
        let (open, database) = watch::channel(());
        let machine_progress = progress_sender.clone();
        let dir = dir.to_owned();
        let (log, machine) = blocking(move || {
            let database = Database::open(&dir, node, open)?;
            let snapshots = Arc::new(Snapshots::open(&dir, node)?);
            let machine = Machine::<S>::load(Arc::clone(&database), snapshots, machine_progress)?;
            Ok::<_, schema::Error>((Log::new(database), machine))
        })
        .await?;
        let state = machine.state();
        let network = Network::new(transport);
        let raft = Raft::new(node.0, Arc::new(config), network, log, machine)
            .await
            .map_err(|source| OpenError::Start { source: Box::new(source) })?;
        tokio::spawn(follow(node, raft.metrics(), progress_sender));
        let queue = Queue::start(raft.clone());
        let (lease, retiring) = (timing.election_max, Arc::default());
        Ok(Self { node, raft, state, queue, progress, lease, retiring, database })
    }

    /// Proposes a command, and waits until it is committed and applied here.
    ///
    /// # Errors
    ///
    /// Each says whether the command may have taken effect: only after [`Error::Uncertain`] and
    /// [`Error::Fatal`] it may.
    pub async fn propose(&self, command: &S::Command) -> Result<S::Outcome, Error> {
        self.check_not_retiring()?;
        self.queue.propose(command, None).await
    }

    /// Proposes what was decided in one term: it is applied only if its entry is of that term, on
    /// every replica alike. So a decision that rests on what a leader knew cannot come true after
    /// another one has led, however long its task was kept from going on.
    ///
    /// # Errors
    ///
    /// As [`propose`](Self::propose), and [`Error::Overtaken`].
    pub async fn propose_in(&self, term: u64, command: &S::Command) -> Result<S::Outcome, Error> {
        self.check_not_retiring()?;
        self.queue.propose(command, Some(term)).await
    }

    /// Looks at the state as it is applied here. Applying waits for the look to end, so it must be
    /// short; what takes longer takes a copy along.
    ///
    /// # Panics
    ///
    /// If applying a command has panicked, which stops the replica.
    pub fn read<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.state.read().expect(POISONED))
    }

    /// Waits until all that any node acknowledged before this call is applied here, and hands back
    /// the index of the last entry applied. Only a leader can know that.
    ///
    /// # Errors
    ///
    /// If this node does not lead, or no majority confirms that it does.
    pub async fn barrier(&self) -> Result<u64, Error> {
        self.check_not_retiring()?;
        let confirmed = self.raft.ensure_linearizable();
        timeout(BARRIER_WAIT, confirmed).await.map_err(|_| Error::NoQuorum)??;
        Ok(self.progress.borrow().applied)
    }

    /// Where this replica stands, whenever that changes; each applied entry is a change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The node whose replica this is.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Answers a message that another node of the site sent through its [`Transport`].
    pub async fn receive(&self, rpc: &[u8]) -> Vec<u8> {
        transport::answer(&self.raft, rpc).await
    }

    /// Stops taking part, and waits until the directory is free for another.
    ///
    /// # Errors
    ///
    /// If the disk does not come to rest in time.
    pub async fn close(&self) -> Result<(), Error> {
        let mut database = self.database.clone();
        let ended = async {
            // It tells of a panic in Raft's own task, which is in the log already.
            let _ = self.raft.shutdown().await;
            while database.changed().await.is_ok() {}
        };
        timeout(CLOSE_WAIT, ended).await.map_err(|_| Error::Busy)
    }
}

/// A replica that is dropped stops, a moment later.
impl<S: Replicated> Drop for Replica<S> {
    fn drop(&mut self) {
        let raft = self.raft.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { raft.shutdown().await });
        }
    }
}

/// Follows what Raft says about leadership. What was applied the machine reports itself.
async fn follow(
    node: NodeId,
    mut metrics: watch::Receiver<RaftMetrics<u64, openraft::EmptyNode>>,
    progress: watch::Sender<Progress>,
) {
    loop {
        {
            let now = metrics.borrow_and_update();
            let running = now.running_state.is_ok();
            if let Err(fault) = &now.running_state {
                tracing::warn!(%node, %fault, "the replica has stopped");
            }
            progress.send_if_modified(|progress| {
                let before = *progress;
                progress.leader = now.current_leader.map(NodeId).filter(|_| running);
                progress.term = now.current_term;
                progress.is_leader = running && now.state == ServerState::Leader;
                progress.running = running;
                before != *progress
            });
            if !running {
                return;
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

fn config(timing: Timing) -> Result<Config, OpenError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: "site".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: millis(timing.election_min),
        election_timeout_max: millis(timing.election_max),
        install_snapshot_timeout: millis(timing.snapshot),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_every),
        // A follower that is further behind than any snapshot could leave it gets one.
        replication_lag_threshold: timing.snapshot_every.saturating_add(timing.keep),
        max_in_snapshot_log_to_keep: timing.keep,
        purge_batch_size: PURGE_ENTRIES,
        max_payload_entries: REPLICATE_ENTRIES_MAX,
        snapshot_max_chunk_size: CHUNK_BYTES,
        ..Config::default()
    }
    .validate()
    .map_err(|source| OpenError::Timing { source: Box::new(source) })
}
