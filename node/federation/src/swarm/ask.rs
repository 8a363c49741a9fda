//! Requests: ours with their answers, and the peers' with what we owe them.

use std::collections::BTreeMap;
use std::sync::Arc;

use libp2p::PeerId;
use libp2p::request_response::{
    Event, InboundFailure, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::ConnectionId;
use protocol::ids::SiteId;
use tokio::sync::oneshot;

use super::task::{Outcome, Owed, Task};
use crate::Channel;
use crate::ask::{Error, Refused};
use crate::codec::Frame;

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Vec<u8>, Error>>;

/// A request of ours that is under way.
pub(super) struct Asked {
    site: SiteId,
    reply: Reply,
}

/// Requests of ours that are under way: at most `asks_out` for each site.
pub(super) type UnderWay = BTreeMap<(Channel, OutboundRequestId), Asked>;

/// The first byte of an answer.
mod kind {
    pub(super) const ANSWERED: u8 = 0;
    pub(super) const REFUSED: u8 = 1;
    pub(super) const BUSY: u8 = 2;
}

impl Task {
    /// Sends a request, or replies at once that it cannot be sent.
    pub(super) fn ask(&mut self, site: SiteId, channel: Channel, body: Vec<u8>, reply: Reply) {
        let Some(peer) = self.node_of(site) else {
            return answer(reply, Err(Error::Unreachable { site }));
        };
        let under_way = self.asked.values().filter(|asked| asked.site == site).count();
        if under_way >= self.limits.asks_out {
            return answer(reply, Err(Error::Crowded { site }));
        }
        self.book.of(site).asks_out += 1;
        let requests = self.swarm.behaviour_mut().gate.inner.channel(channel);
        let request = requests.send_request(&peer, Frame::Whole(body));
        self.asked.insert((channel, request), Asked { site, reply });
    }

    pub(super) fn on_ask(&mut self, channel: Channel, event: Event<Frame, Frame>) {
        match event {
            Event::Message { peer, connection_id, message } => match message {
                Message::Request { request, channel: responder, .. } => {
                    self.on_request((peer, connection_id), channel, request, responder);
                }
                Message::Response { request_id, response } => {
                    self.on_response(connection_id, (channel, request_id), response);
                }
            },
            Event::OutboundFailure { request_id, error, .. } => {
                let Some(Asked { site, reply }) = self.asked.remove(&(channel, request_id)) else {
                    return;
                };
                answer(reply, Err(failure(site, channel, &error)));
            }
            Event::InboundFailure { peer, error, .. } => self.on_inbound_failure(peer, &error),
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        (peer, connection): (PeerId, ConnectionId),
        channel: Channel,
        request: Frame,
        responder: ResponseChannel<Frame>,
    ) {
        // The line may be gone by now; the responder is dropped with it.
        let Some(site) = self.site_of(peer) else { return };
        let body = match request {
            Frame::Whole(body) if body.len() <= channel.limit() => body,
            Frame::Whole(_) | Frame::Oversize => return self.on_oversize(site, connection),
        };
        self.book.of(site).asks_in += 1;
        let at_hand =
            self.at_hand(|owed| matches!(owed, Owed::Answer { site: of, .. } if *of == site));
        if at_hand >= self.limits.asks_in {
            self.book.of(site).busy += 1;
            return self.respond(channel, responder, vec![kind::BUSY]);
        }
        let handler = Arc::clone(&self.handler);
        let limit = self.limits.ask_time;
        let work = async move {
            match tokio::time::timeout(limit, handler.ask(site, channel, body)).await {
                Ok(answered) => Outcome::Answered(answered),
                Err(_) => Outcome::Answered(Err(Refused::new("no answer was found in time"))),
            }
        };
        self.serve(Owed::Answer { site, connection, channel, responder }, work);
    }

    /// An answer has been found; none if the handler failed.
    pub(super) fn on_answered(
        &mut self,
        (site, channel): (SiteId, Channel),
        responder: ResponseChannel<Frame>,
        answered: Option<Result<Vec<u8>, Refused>>,
    ) {
        let (kind, body) = match answered {
            Some(Ok(body)) if body.len() <= channel.limit() => (kind::ANSWERED, body),
            Some(Ok(body)) => {
                tracing::error!(%site, ?channel, length = body.len(), "an answer is too long");
                (kind::REFUSED, b"the answer is too long".to_vec())
            }
            Some(Err(refused)) => (kind::REFUSED, refused.to_string().into_bytes()),
            None => (kind::REFUSED, b"the request met an internal error".to_vec()),
        };
        let mut frame = Vec::with_capacity(body.len() + 1);
        frame.push(kind);
        frame.extend(body);
        self.respond(channel, responder, frame);
    }

    fn respond(&mut self, channel: Channel, responder: ResponseChannel<Frame>, frame: Vec<u8>) {
        let requests = self.swarm.behaviour_mut().gate.inner.channel(channel);
        if requests.send_response(responder, Frame::Whole(frame)).is_err() {
            tracing::debug!(?channel, "an answer came too late: the asker has gone");
        }
    }

    fn on_response(
        &mut self,
        connection: ConnectionId,
        request: (Channel, OutboundRequestId),
        response: Frame,
    ) {
        let Some(Asked { site, reply }) = self.asked.remove(&request) else { return };
        let Frame::Whole(mut body) = response else {
            answer(reply, Err(Error::Unreadable { site }));
            return self.on_oversize(site, connection);
        };
        let kind = body.first().copied();
        match kind {
            Some(kind::ANSWERED) => {
                body.drain(..1);
                answer(reply, Ok(body));
            }
            Some(kind::REFUSED) => {
                let source = Refused::new(String::from_utf8_lossy(&body[1..]));
                answer(reply, Err(Error::Refused { site, source }));
            }
            Some(kind::BUSY) => answer(reply, Err(Error::Busy { site })),
            Some(_) | None => {
                answer(reply, Err(Error::Unreadable { site }));
                self.book.of(site).malformed += 1;
                tracing::warn!(%site, "a peer's answer cannot be read; the connection is closed");
                self.expel(connection);
            }
        }
    }

    fn on_inbound_failure(&mut self, peer: PeerId, error: &InboundFailure) {
        tracing::debug!(%peer, %error, "a peer's request came to nothing");
    }
}

fn failure(site: SiteId, channel: Channel, error: &OutboundFailure) -> Error {
    match error {
        OutboundFailure::DialFailure => Error::Unreachable { site },
        OutboundFailure::Timeout => Error::TimedOut { site },
        OutboundFailure::UnsupportedProtocols => Error::NotSpoken { site, channel },
        OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => Error::Lost { site },
    }
}

/// Replies; whoever asked may have stopped waiting.
fn answer(reply: Reply, answered: Result<Vec<u8>, Error>) {
    let _ = reply.send(answered);
}
