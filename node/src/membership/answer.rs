//! What a node asks another of its site, and what it answers.

use std::time::Duration;

use federation::Channel;
use protocol::codec;
use protocol::ids::NodeId;
use protocol::wire::v1::{self, NodeAnswer, NodeFault, NodeRequest};
use tracing::{debug, warn};

use crate::desk::{Desk, Error};
use crate::lease::{self, leader};
use crate::observe::chain;

impl Desk {
    /// Asks another node of the site; none if it does not answer.
    pub(crate) async fn ask_node(&self, node: NodeId, request: &NodeRequest) -> Option<NodeAnswer> {
        let key = self.directory().key(node)?;
        match self.peers().ask_node(key, Channel::Site, codec::encode(request)).await {
            Ok(answer) => v1::node_answer(&answer).ok(),
            Err(fault) => {
                debug!(%node, fault = chain(&fault), "a node of this site does not answer");
                None
            }
        }
    }
}

/// Answers one request. Commands are proposed here or not at all: a node that does not lead says
/// who does, and passes nothing on, so that no request goes in circles.
pub(crate) async fn answer(desk: &Desk, request: NodeRequest) -> NodeAnswer {
    let answered = match request {
        NodeRequest::Propose(command) => {
            let proposed = desk.propose_here(&command).await;
            proposed.map(|(outcome, index)| NodeAnswer::Proposed { outcome, index })
        }
        NodeRequest::Index => desk.replica().barrier().await.map(NodeAnswer::Index),
        NodeRequest::Members => Ok(NodeAnswer::Members(desk.members_here())),
        NodeRequest::HandOver { to } => {
            let moved = desk.hand_over_here(to).await;
            let millis = |gap: Duration| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
            moved.map(|gap| NodeAnswer::HandedOver { gap: millis(gap) })
        }
        NodeRequest::Stand => desk.replica().stand().await.map(|()| NodeAnswer::Done),
        NodeRequest::HasRoot => Ok(NodeAnswer::HasRoot(desk.root().is_here())),
        NodeRequest::RenewHost(asked) => {
            let renewal = leader::renew_host(desk, desk.leases(), asked).await;
            Ok(NodeAnswer::HostRenewed(renewal))
        }
        NodeRequest::RenewSession { provider, asked } => {
            let renewal = leader::renew_session(desk, desk.leases(), provider, &asked).await;
            Ok(NodeAnswer::SessionRenewed(renewal))
        }
        NodeRequest::Look => {
            let sight = desk.networks().look(desk).await;
            return NodeAnswer::Seen(Box::new(sight));
        }
        NodeRequest::Kpis { name } => Ok(NodeAnswer::Kpis(desk.kpis().of(name, lease::now()))),
        NodeRequest::Certify { node } => {
            return desk.certify_here(node).await.map_or_else(NodeAnswer::Fault, |certificate| {
                NodeAnswer::Certificate(Box::new(certificate))
            });
        }
    };
    answered.unwrap_or_else(|fault| NodeAnswer::Fault(told(&fault)))
}

/// What another node needs to know of a failure; the rest is in this node's own log.
fn told(fault: &Error) -> NodeFault {
    match fault {
        Error::NotLeader { leader } => NodeFault::NotLeader { leader: *leader },
        Error::Busy | Error::NoQuorum | Error::Overtaken | Error::Changing => NodeFault::Later,
        Error::Uncertain => NodeFault::Uncertain,
        Error::TooLarge { bytes, .. } => {
            NodeFault::TooLarge { bytes: u64::try_from(*bytes).unwrap_or(u64::MAX) }
        }
        Error::NoVoter { .. } => NodeFault::NoVoter,
        Error::Behind { .. } => NodeFault::Behind,
        Error::NotElected { .. } => NodeFault::NotElected,
        Error::Closed => NodeFault::NotLeader { leader: None },
        Error::Members { .. } | Error::Fatal { .. } => {
            warn!(fault = chain(fault), "another node's request failed here");
            NodeFault::Uncertain
        }
    }
}
