//! Who takes part: voters, whose majority decides, and learners, who only follow.
//!
//! A node joins as a learner, catches up, and then becomes a voter. A node that has lost its disk
//! has forgotten its vote, and must not be let back under its old membership, where it could vote
//! twice: it is taken out of the members first, and then joins like a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::EmptyNode;
use openraft::error::{InitializeError, RaftError};
use protocol::ids::NodeId;
use protocol::rows::Replicated;
use tokio::time::timeout;

use super::{Error, Replica};

/// How long a change of members may take before it is left to go on by itself. A node that was
/// away for long first receives a snapshot.
const CHANGE_WAIT: Duration = Duration::from_secs(60);

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

    /// Adds a node that follows without a vote, and waits until it has caught up.
    ///
    /// # Errors
    ///
    /// If this node does not lead, another change is going on, or the new one does not catch up in
    /// time. It stays a learner then, and asking again waits again.
    pub async fn add_learner(&self, node: NodeId) -> Result<(), Error> {
        let added = self.raft.add_learner(node.0, EmptyNode {}, true);
        timeout(CHANGE_WAIT, added).await.map_err(|_| Error::Behind { node })??;
        Ok(())
    }

    /// Makes these nodes, and no others, the voters. Who is not among them is no member any more,
    /// and who is new must be a learner.
    ///
    /// # Errors
    ///
    /// If this node does not lead, another change is going on, or the set is not possible.
    pub async fn change_members(&self, voters: BTreeSet<NodeId>) -> Result<(), Error> {
        let voters: BTreeSet<u64> = voters.into_iter().map(|node| node.0).collect();
        let changed = self.raft.change_membership(voters, false);
        timeout(CHANGE_WAIT, changed).await.map_err(|_| Error::Uncertain)??;
        Ok(())
    }
}
