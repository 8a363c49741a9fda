//! Who takes part: voters, whose majority decides, and learners, who only follow.
//!
//! A node joins as a learner, catches up, and then becomes a voter. A node that has lost its disk
//! has forgotten its vote, and must not be let back under its old membership, where it could vote
//! twice: it is taken out of the members first, and then joins like a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use openraft::{ChangeMembers, EmptyNode};
use protocol::ids::NodeId;
use protocol::rows::Replicated;
use tokio::time::timeout;

use super::{Error, Replica};

/// How long a change of members may take before it is left to go on by itself: it is two entries
/// of the log, so as long as a command may take.
const CHANGE_WAIT: Duration = Duration::from_secs(15);

/// The members of a site, as this node knows them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Members {
    /// Whose majority decides. While they are being changed, those of before and of after.
    pub voters: BTreeSet<NodeId>,
    /// Who follows without a vote.
    pub learners: BTreeSet<NodeId>,
}

impl<S: Replicated> Replica<S> {
    /// Makes a pristine node the only member of a new site, and waits until it leads. A node that
    /// is a member already stays what it is.
    ///
    /// # Errors
    ///
    /// If the replica is closed or has stopped.
    pub async fn found(&self) -> Result<(), Error> {
        if self.raft.is_initialized().await? {
            return Ok(());
        }
        let alone = BTreeMap::from([(self.node.0, EmptyNode {})]);
        match self.raft.initialize(alone).await {
            Ok(()) => {}
            // Somebody else was quicker; that is as good.
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => return Ok(()),
            Err(RaftError::APIError(refused)) => {
                return Err(Error::Members { source: Box::new(refused) });
            }
            Err(RaftError::Fatal(fatal)) => return Err(fatal.into()),
        }
        let mut progress = self.watch();
        let led = progress.wait_for(|progress| progress.is_leader || !progress.running);
        let led = timeout(CHANGE_WAIT, led).await.map_err(|_| Error::NoQuorum)?;
        match led {
            Ok(progress) if progress.running => Ok(()),
            _ => Err(Error::Closed),
        }
    }

    /// Who takes part, as far as this node knows.
    #[must_use]
    pub fn members(&self) -> Members {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        Members {
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
        }
    }

    /// How many entries of the log each other member still lacks, as far as this node knows: it
    /// knows while it leads, and else of nobody. A member that has never answered lacks all.
    #[must_use]
    pub fn lags(&self) -> BTreeMap<NodeId, u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let last = metrics.last_log_index.map_or(0, |last| last + 1);
        let followers = metrics.replication.iter().flatten();
        followers
            .filter(|(node, _)| **node != self.node.0)
            .map(|(node, matched)| {
                let has = matched.map_or(0, |matched| matched.index + 1);
                (NodeId(*node), last.saturating_sub(has))
            })
            .collect()
    }

    /// Adds a node that follows without a vote. It begins to catch up; [`lags`](Self::lags) tells
    /// how far it is. To add a member again changes nothing.
    ///
    /// # Errors
    ///
    /// If this node does not lead, or another change is going on.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), Error> {
        changed(self.raft.add_learner(node.0, EmptyNode {}, false)).await
    }

    /// Gives learners a vote.
    ///
    /// # Errors
    ///
    /// If this node does not lead, another change is going on, or one of them is no learner.
    pub async fn promote(&self, learners: BTreeSet<NodeId>) -> Result<(), Error> {
        let voters = ChangeMembers::AddVoterIds(numbers(learners));
        changed(self.raft.change_membership(voters, true)).await
    }

    /// Takes a member out. If it is this node, it goes on leading until that is committed, and
    /// then no more. To take out who is no member changes nothing.
    ///
    /// # Errors
    ///
    /// If this node does not lead, another change is going on, or the node is the last voter.
    pub async fn remove(&self, node: NodeId) -> Result<(), Error> {
        let Members { voters, learners } = self.members();
        let one = numbers([node].into());
        if voters.contains(&node) {
            let fewer = ChangeMembers::RemoveVoters(one);
            changed(self.raft.change_membership(fewer, false)).await
        } else if learners.contains(&node) {
            let fewer = ChangeMembers::RemoveNodes(one);
            changed(self.raft.change_membership(fewer, false)).await
        } else {
            Ok(())
        }
    }
}

fn numbers(nodes: BTreeSet<NodeId>) -> BTreeSet<u64> {
    nodes.into_iter().map(|node| node.0).collect()
}

/// Waits for a change of members, as long as one may take.
async fn changed<T, E>(change: impl Future<Output = Result<T, E>>) -> Result<(), Error>
where
    Error: From<E>,
{
    timeout(CHANGE_WAIT, change).await.map_err(|_| Error::Uncertain)??;
    Ok(())
}
