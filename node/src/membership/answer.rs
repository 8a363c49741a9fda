//! What a node answers to the others of its site.

use std::time::Duration;

use protocol::wire::v1::{NodeAnswer, NodeFault, NodeRequest};
use tracing::warn;

use crate::desk::{Desk, Error};
use crate::observe::chain;

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
        Error::Busy | Error::NoQuorum | Error::Changing => NodeFault::Later,
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
