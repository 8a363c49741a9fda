//! What is worked on for peers: each request, advert and console has a task of its own, and what is
//! owed to its sender when that ends.

use std::future::Future;

use libp2p::PeerId;
use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use libp2p::swarm::ConnectionId;
use protocol::ids::SiteId;
use tokio::task::{Id, JoinError};

use super::task::Task;
use crate::ask::Refused;
use crate::codec::Carried;
use crate::{Caller, Channel, Verdict};

/// What is owed to a peer when a handler's task ends.
pub(super) enum Owed {
    Answer {
        caller: Caller,
        connection: ConnectionId,
        channel: Channel,
        responder: ResponseChannel<Carried>,
    },
    Verdict {
        site: SiteId,
        source: PeerId,
        id: MessageId,
    },
    Console {
        site: SiteId,
        peer: PeerId,
    },
}

/// What a handler's task has come to.
pub(super) enum Outcome {
    Answered(Result<Vec<u8>, Refused>),
    Judged(Verdict),
    Served,
    Oversize,
    Malformed,
}

impl Task {
    /// Runs a handler's work in a task of its own.
    pub(super) fn serve(
        &mut self,
        owed: Owed,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let id = self.work.spawn(work).id();
        self.owed.insert(id, owed);
    }

    /// How much of some kind is being worked on.
    pub(super) fn at_hand(&self, kind: impl Fn(&Owed) -> bool) -> usize {
        self.owed.values().filter(|owed| kind(owed)).count()
    }

    pub(super) fn on_ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) => {
                tracing::error!(%error, "a handler of the bus has failed");
                (error.id(), None)
            }
        };
        match (self.owed.remove(&id), outcome) {
            (
                Some(Owed::Answer { caller, connection, .. }),
                Some(Outcome::Answered(Err(refused))),
            ) if refused.is_foul() => self.on_foul(caller.site, connection, &refused.to_string()),
            (Some(Owed::Answer { caller, channel, responder, .. }), outcome) => {
                let answered = match outcome {
                    Some(Outcome::Answered(answered)) => Some(answered),
                    _ => None,
                };
                self.on_answered((caller.site, channel), responder, answered);
            }
            (Some(Owed::Verdict { site, source, id }), outcome) => {
                let verdict = match outcome {
                    Some(Outcome::Judged(verdict)) => Some(verdict),
                    _ => None,
                };
                self.on_verdict(site, (source, id), verdict);
            }
            (Some(Owed::Console { site, peer }), Some(Outcome::Oversize)) => {
                self.book.of(site).oversize += 1;
                tracing::warn!(%site, "a stream header is too long; the peer is disconnected");
                self.expel_node(peer);
            }
            (Some(Owed::Console { site, .. }), Some(Outcome::Malformed)) => {
                self.book.of(site).malformed += 1;
            }
            (Some(Owed::Console { .. }), _) | (None, _) => {}
        }
    }
}
