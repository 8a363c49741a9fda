//! What the nodes of one site ask of each other.
//!
//! Writes and certainty are the leader's: any other node passes commands on to it, and asks it how
//! far the state is. The leader stamps time and chance, so that one clock counts at a time. Every
//! command can be repeated: tenants' and operators' requests have numbers, peers' messages have
//! theirs, and observations are about an epoch. So a request whose answer is lost is asked again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::identity::NodeCertificate;
use crate::ids::{MachineName, NodeId, SiteId};
use crate::kpi::{self, Observed};
use crate::networks::check::Sight;
use crate::site::{Command, Outcome};
use crate::wire::v1::lease::{HostRenewal, RenewHost, RenewSession, SessionRenewal};

/// The most bytes of a request or an answer: a command of 1 MiB, the most that fits into the log,
/// with what is around it.
pub const NODES_BYTES_MAX: usize = (1 << 20) + (64 << 10);

/// What one node asks another of its site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NodeRequest {
    /// Stamp a command and bring it into the log.
    Propose(Box<Command>),
    /// How far is the state, at least as far as anybody was told before this request?
    Index,
    /// Who takes part, and how far is each?
    Members,
    /// Let another node lead.
    HandOver {
        /// Which.
        to: NodeId,
    },
    /// Stand for election now: the leader has fallen silent.
    Stand,
    /// Is the site's root key with you?
    HasRoot,
    /// Let the root key speak for the key of a node in the table.
    Certify {
        /// Which node.
        node: NodeId,
    },
    /// May a host run what is assigned to it?
    RenewHost(RenewHost),
    /// What another site asks about a session; any node of this one hears it.
    RenewSession {
        /// The provider that asks.
        provider: SiteId,
        /// What it asks.
        asked: RenewSession,
    },
    /// What do you see of your host's networks?
    Look,
    /// What has a machine on your host said of itself?
    Kpis {
        /// Which.
        name: MachineName,
    },
}

/// What the other answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NodeAnswer {
    /// The command is committed.
    Proposed {
        /// What the site made of it.
        outcome: Outcome,
        /// The index of an entry that accounts for it.
        index: u64,
    },
    /// The state is this far.
    Index(u64),
    /// The members, as the leader knows them.
    Members(Vec<Member>),
    /// The other node leads.
    HandedOver {
        /// For how many milliseconds the site took no writes.
        gap: u64,
    },
    /// It is done.
    Done,
    /// Whether the root key is here.
    HasRoot(bool),
    /// The root key's word for the node.
    Certificate(Box<NodeCertificate>),
    /// It is not done.
    Fault(NodeFault),
    /// What the host may do.
    HostRenewed(HostRenewal),
    /// What the provider may go on running.
    SessionRenewed(SessionRenewal),
    /// What there is to be seen of the host's networks.
    Seen(Box<Sight>),
    /// What the machine has said last of each measure.
    Kpis(BTreeMap<kpi::Name, Observed>),
}

/// Why a node does not do what another asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum NodeFault {
    /// It does not lead.
    NotLeader {
        /// Who does, if it knows.
        leader: Option<NodeId>,
    },
    /// It cannot now, and has done nothing.
    Later,
    /// It does not know whether it is done.
    Uncertain,
    /// The command can never enter the log.
    TooLarge {
        /// Its bytes.
        bytes: u64,
    },
    /// The node that is to lead has no vote.
    NoVoter,
    /// The node that is to lead has not caught up.
    Behind,
    /// The node that was to lead was not elected.
    NotElected,
    /// There is no such node.
    UnknownNode,
    /// The root key is not here.
    NoRoot,
}

/// A member of the site's Raft.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Which node.
    pub node: NodeId,
    /// Whether it has a vote.
    pub votes: bool,
    /// How many entries of the log it lacks; none if that is not known.
    pub lag: Option<u64>,
}

/// Reads a request.
///
/// # Errors
///
/// If the bytes are none.
pub fn node_request(bytes: &[u8]) -> Result<NodeRequest, codec::Error> {
    codec::decode(bytes, NODES_BYTES_MAX)
}

/// Reads an answer.
///
/// # Errors
///
/// If the bytes are none.
pub fn node_answer(bytes: &[u8]) -> Result<NodeAnswer, codec::Error> {
    codec::decode(bytes, NODES_BYTES_MAX)
}
