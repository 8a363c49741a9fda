//! Why a replica did not do what it was asked, and what to do then.

use openraft::EmptyNode;
use openraft::error::{
    ChangeMembershipError, CheckIsLeaderError, ClientWriteError, Fatal, ForwardToLeader, RaftError,
};
use protocol::ids::NodeId;

use crate::schema;

/// A replica cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// The timing cannot work: elections must take longer than heartbeats, and vary.
    #[error(
        "the timing of the site's elections cannot work: let the heartbeat be shorter than the shortest election, and that shorter than the longest"
    )]
    Timing {
        /// What openraft says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is on disk could not be brought to life.
    #[error(
        "the replica cannot start from what is on disk: restore this node from its peers or a backup"
    )]
    Start {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A replica did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another node leads, or none does at the moment. Nothing was changed.
    #[error("this node does not lead its site: {}", next_step(*leader))]
    NotLeader {
        /// Who leads, if that is known.
        leader: Option<NodeId>,
    },
    /// More commands wait than can be taken. Nothing was changed.
    #[error("too many commands are waiting: try again in a moment")]
    Busy,
    /// The command can never enter the log. Nothing was changed.
    #[error("the command has {bytes} bytes and at most {limit} fit: make it smaller")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// No majority of the site's nodes answers. A read may be out of date.
    #[error("too few of the site's nodes answer: try again, or bring them back")]
    NoQuorum,
    /// It was not known in time whether the command is committed. It may still be.
    #[error("it is not known whether the command took effect: ask again with the same request id")]
    Uncertain,
    /// Another term has begun since this was decided. Nothing was changed.
    #[error("the site has had another leader since this was decided: decide again")]
    Overtaken,
    /// A node has not caught up with the leader in time. It goes on trying.
    #[error(
        "node {node} has not caught up yet: see that it runs and can be reached, and ask again"
    )]
    Behind {
        /// Which node.
        node: NodeId,
    },
    /// The node has no vote, so it cannot lead.
    #[error("node {node} has no vote in this site: only a voter can lead")]
    NoVoter {
        /// Which node.
        node: NodeId,
    },
    /// The node was not elected when its turn had come. The site has a leader, or will soon.
    #[error("node {node} was not elected: see that it runs and can be reached, and ask again")]
    NotElected {
        /// Which node.
        node: NodeId,
    },
    /// The last change of members is not finished.
    #[error("the site's members are being changed: try again in a moment")]
    Changing,
    /// The change of members makes no sense.
    #[error(
        "the site's members cannot be changed so: a new member is first added as a learner, and one member stays"
    )]
    Members {
        /// What openraft says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The replica is closed.
    #[error("the replica is closed: this node is stopping")]
    Closed,
    /// The replica has stopped because of a fault, of the disk most likely.
    #[error("the replica has stopped: see to the cause, then restart this node")]
    Fatal {
        /// The fault.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the same request may succeed later, here or at the leader.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NotLeader { .. }
            | Self::Busy
            | Self::NoQuorum
            | Self::Uncertain
            | Self::Overtaken
            | Self::Behind { .. }
            | Self::NotElected { .. }
            | Self::Changing => true,
            Self::TooLarge { .. }
            | Self::NoVoter { .. }
            | Self::Members { .. }
            | Self::Closed
            | Self::Fatal { .. } => false,
        }
    }
}

fn next_step(leader: Option<NodeId>) -> String {
    leader.map_or_else(
        || "it has no leader at the moment, try again soon".to_owned(),
        |leader| format!("ask node {leader}"),
    )
}

impl From<ForwardToLeader<u64, EmptyNode>> for Error {
    fn from(forward: ForwardToLeader<u64, EmptyNode>) -> Self {
        Self::NotLeader { leader: forward.leader_id.map(NodeId) }
    }
}

impl From<Fatal<u64>> for Error {
    fn from(fatal: Fatal<u64>) -> Self {
        match fatal {
            Fatal::Stopped => Self::Closed,
            fault @ (Fatal::StorageError(_) | Fatal::Panicked) => {
                Self::Fatal { source: Box::new(fault) }
            }
        }
    }
}

impl From<RaftError<u64, ClientWriteError<u64, EmptyNode>>> for Error {
    fn from(error: RaftError<u64, ClientWriteError<u64, EmptyNode>>) -> Self {
        match error {
            RaftError::Fatal(fatal) => fatal.into(),
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => forward.into(),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_),
            )) => Self::Changing,
            RaftError::APIError(ClientWriteError::ChangeMembershipError(refused)) => {
                Self::Members { source: Box::new(refused) }
            }
        }
    }
}

impl From<RaftError<u64, CheckIsLeaderError<u64, EmptyNode>>> for Error {
    fn from(error: RaftError<u64, CheckIsLeaderError<u64, EmptyNode>>) -> Self {
        match error {
            RaftError::Fatal(fatal) => fatal.into(),
            RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)) => forward.into(),
            RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => Self::NoQuorum,
        }
    }
}
