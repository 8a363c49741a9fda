//! Leadership that moves on request.
//!
//! openraft 0.9 has no transfer of leadership, and a follower votes for nobody while the lease of
//! its leader lasts, which every word of the leader renews. So a leader that is to be replaced
//! falls silent, waits until its lease must have ended, and lets the other one stand for election
//! at that moment, before any follower's own patience has ended. The site takes no writes
//! meanwhile: for a lease ([`Timing::election_max`](crate::Timing)) and one exchange of votes.
//!
//! Nothing depends on it. If the other one is not elected, another is, or the leader speaks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::Raft;
use protocol::ids::NodeId;
use protocol::rows::Replicated;
use tokio::time::{Instant, sleep, timeout};

use super::{Error, Replica};
use crate::entry::TypeConfig;

/// How long a leader waits for the node that is to replace it to have the whole log.
const CATCH_UP_WAIT: Duration = Duration::from_secs(5);

/// How long the leader's last word may have been under way when it fell silent: its followers count
/// the lease from when they heard it.
const LAST_WORD: Duration = Duration::from_millis(50);

/// A leader that has fallen silent. It speaks again, if it still leads, when this is dropped.
struct Retirement<S: Replicated> {
    raft: Raft<TypeConfig<S>>,
    retiring: Arc<AtomicBool>,
}

impl<S: Replicated> Drop for Retirement<S> {
    fn drop(&mut self) {
        self.raft.runtime_config().heartbeat(true);
        self.retiring.store(false, Ordering::Release);
    }
}

impl<S: Replicated> Replica<S> {
    /// Hands the leadership over to another voter, and says for how long the site took no writes.
    /// `stand` is awaited when the other one can be elected, and has to make it
    /// [`stand`](Self::stand).
    ///
    /// # Errors
    ///
    /// If this node does not lead, is handing over already, or the other one has no vote, has not
    /// caught up, or was not elected.
    pub async fn hand_over(
        &self,
        to: NodeId,
        stand: impl Future<Output = ()>,
    ) -> Result<Duration, Error> {
        let now = *self.progress.borrow();
        if !now.is_leader {
            return Err(Error::NotLeader { leader: now.leader });
        }
        if to == self.node {
            return Ok(Duration::ZERO);
        }
        if !self.members().voters.contains(&to) {
            return Err(Error::NoVoter { node: to });
        }
        self.caught_up(to).await?;
        let begun = Instant::now();
        if self.retiring.swap(true, Ordering::AcqRel) {
            return Err(Error::Changing);
        }
        let retirement =
            Retirement { raft: self.raft.clone(), retiring: Arc::clone(&self.retiring) };
        // What was proposed before is committed first: a voter that lacks it is not elected.
        self.caught_up(to).await?;
        self.raft.runtime_config().heartbeat(false);
        sleep(self.lease + LAST_WORD).await;
        stand.await;
        let mut progress = self.watch();
        let replaced = progress.wait_for(|now| !now.running || now.leader == Some(to));
        let replaced = timeout(2 * self.lease, replaced).await;
        drop(retirement);
        match replaced {
            Ok(Ok(now)) if now.running => Ok(begun.elapsed()),
            Ok(_) => Err(Error::Closed),
            Err(_) => Err(Error::NotElected { node: to }),
        }
    }

    /// Stands for election at once. Whether this node is elected [`watch`](Self::watch) tells; who
    /// has no vote does not stand.
    ///
    /// # Errors
    ///
    /// If the replica is closed or has stopped.
    pub async fn stand(&self) -> Result<(), Error> {
        Ok(self.raft.trigger().elect().await?)
    }

    /// While a leader retires it does nothing that would make it speak.
    pub(super) fn check_not_retiring(&self) -> Result<(), Error> {
        if self.retiring.load(Ordering::Acquire) {
            return Err(Error::NotLeader { leader: None });
        }
        Ok(())
    }

    /// Waits until a follower has the whole log.
    async fn caught_up(&self, node: NodeId) -> Result<(), Error> {
        let mut metrics = self.raft.metrics();
        let has_all = metrics.wait_for(|metrics| {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(&node.0));
            let index = matched.and_then(|matched| matched.as_ref()).map(|matched| matched.index);
            index.is_some() && index == metrics.last_log_index
        });
        let waited = timeout(CATCH_UP_WAIT, has_all).await;
        waited.map_err(|_| Error::Behind { node })?.map_err(|_| Error::Closed)?;
        Ok(())
    }
}
