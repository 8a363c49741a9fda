//! Requests: ours with their answers, and the peers' with what we owe them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{
    Event, InboundFailure, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::ConnectionId;
use protocol::ids::SiteId;
use tokio::sync::oneshot;

use super::inner;
use super::task::Task;
use super::work::{Outcome, Owed};
use crate::ask::{Addressee, Error, Refused};
use crate::codec::{Carried, Frame};
use crate::{Caller, Channel};

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Vec<u8>, Error>>;

/// A request of ours that is under way.
pub(super) struct Asked {
    whom: Addressee,
    pub(super) peer: PeerId,
    /// The site of the node that was asked.
    site: SiteId,
    deadline: Instant,
    reply: Reply,
}

/// Requests of ours that are under way: at most `asks_out` for each node and channel.
pub(super) type UnderWay = BTreeMap<(Channel, OutboundRequestId), Asked>;

/// The first byte of an answer.
mod kind {
    pub(super) const ANSWERED: u8 = 0;
    pub(super) const REFUSED: u8 = 1;
    pub(super) const BUSY: u8 = 2;
}

impl Task {
    /// Sends a request, or replies at once that it cannot be sent.
    pub(super) fn ask(&mut self, whom: Addressee, channel: Channel, body: Vec<u8>, reply: Reply) {
        let (site, peer) = match self.choose(whom, channel) {
            Ok(chosen) => chosen,
            Err(error) => return answer(reply, Err(error)),
        };
        self.book.of(site).asks_out += 1;
        let requests = self.swarm.behaviour_mut().gate.inner.channel(channel);
        let request = requests.send_request(&peer, body.into());
        let deadline = Instant::now() + self.limits.answer_time(channel);
        self.asked.insert((channel, request), Asked { whom, peer, site, deadline, reply });
    }

    /// Gives up on the requests whose time is over. libp2p does so too, but begins to count only
    /// once a stream has been opened, which takes it ten seconds to give up on over a dead link.
    pub(super) fn end_overdue(&mut self) {
        let now = Instant::now();
        for (_, asked) in self.asked.extract_if(.., |_, asked| asked.deadline <= now) {
            self.lines.failed(&asked.peer);
            answer(asked.reply, Err(Error::TimedOut { whom: asked.whom }));
        }
    }

    /// The node that a request goes to, and its site.
    fn choose(&mut self, whom: Addressee, channel: Channel) -> Result<(SiteId, PeerId), Error> {
        let limit = self.limits.asks_out;
        let asked = &self.asked;
        let under_way = |peer: &PeerId| {
            asked.iter().filter(|((on, _), asked)| *on == channel && asked.peer == *peer).count()
        };
        let has_room = |peer: &PeerId| under_way(peer) < limit;
        match whom {
            Addressee::Site(site) if channel.is_inner() && site != self.me.site => {
                Err(Error::Inner { whom, channel })
            }
            Addressee::Site(site) => match self.lines.route(site, has_room, under_way) {
                Some(peer) => Ok((site, peer)),
                None if self.lines.has_site(site) => Err(Error::Crowded { whom }),
                None => Err(Error::Unreachable { whom }),
            },
            Addressee::Node(node) => {
                let site = self.me.site;
                let peer = self.lines.node(Caller { site, node });
                let peer = peer.ok_or(Error::Unreachable { whom })?;
                if has_room(&peer) { Ok((site, peer)) } else { Err(Error::Crowded { whom }) }
            }
        }
    }

    /// The node that a stream goes to.
    pub(super) fn route(&mut self, whom: Addressee) -> Option<PeerId> {
        match whom {
            Addressee::Site(site) => self.lines.route(site, |_| true, |_| 0),
            Addressee::Node(node) => self.lines.node(Caller { site: self.me.site, node }),
        }
    }

    /// Something has happened on a channel of our own nodes.
    pub(super) fn on_inner(
        &mut self,
        channel: Channel,
        event: inner::Event<Event<Carried, Carried>>,
    ) {
        match event {
            inner::Event::Own(event) => self.on_ask(channel, event),
            inner::Event::Foul { connection } => {
                let Some(caller) = self.lines.caller(connection) else { return };
                self.on_foul(caller.site, connection, "it speaks on a channel of our own nodes");
            }
        }
    }

    pub(super) fn on_ask(&mut self, channel: Channel, event: Event<Carried, Carried>) {
        match event {
            Event::Message { connection_id, message, .. } => match message {
                Message::Request { request, channel: responder, .. } => {
                    self.on_request(connection_id, channel, request, responder);
                }
                Message::Response { request_id, response } => {
                    self.on_response(connection_id, (channel, request_id), response);
                }
            },
            Event::OutboundFailure { request_id, error, .. } => {
                let asked = self.asked.remove(&(channel, request_id));
                let Some(Asked { whom, peer, reply, .. }) = asked else { return };
                self.lines.failed(&peer);
                answer(reply, Err(failure(whom, channel, &error)));
            }
            Event::InboundFailure { peer, error, .. } => self.on_inbound_failure(peer, &error),
            Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(
        &mut self,
        connection: ConnectionId,
        channel: Channel,
        request: Carried,
        responder: ResponseChannel<Carried>,
    ) {
        // The line may be gone by now; the responder is dropped with it.
        let Some(caller) = self.lines.caller(connection) else { return };
        let (site, me) = (caller.site, self.me.site);
        let Carried { frame, room } = request;
        let body = match frame {
            Frame::Whole(body) if body.len() <= channel.limit() => body,
            Frame::Whole(_) | Frame::Oversize => return self.on_oversize(site, connection),
        };
        self.book.of(site).asks_in += 1;
        let (bytes, now) = (body.len(), Instant::now());
        if site != me && !self.meters.admits_request(site, channel, bytes, &self.limits, now) {
            self.book.of(site).limited += 1;
            self.respond(channel, responder, vec![kind::BUSY]);
            return self.on_excess(site);
        }
        // A site could have as many nodes as it likes, so they share; our own stand on their own.
        let is_same =
            |other: &Caller| if site == me { *other == caller } else { other.site == site };
        let at_hand = self.at_hand(|owed| {
            matches!(owed, Owed::Answer { caller, channel: on, .. }
                if *on == channel && is_same(caller))
        });
        if at_hand >= self.limits.asks_in {
            self.book.of(site).busy += 1;
            return self.respond(channel, responder, vec![kind::BUSY]);
        }
        let handler = Arc::clone(&self.handler);
        let limit = self.limits.answer_time(channel);
        let work = async move {
            let _room = room;
            match tokio::time::timeout(limit, handler.ask(caller, channel, body)).await {
                Ok(answered) => Outcome::Answered(answered),
                Err(_) => Outcome::Answered(Err(Refused::new("no answer was found in time"))),
            }
        };
        self.serve(Owed::Answer { caller, connection, channel, responder }, work);
    }

    /// An answer has been found; none if the handler failed.
    pub(super) fn on_answered(
        &mut self,
        (site, channel): (SiteId, Channel),
        responder: ResponseChannel<Carried>,
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

    fn respond(&mut self, channel: Channel, responder: ResponseChannel<Carried>, frame: Vec<u8>) {
        let requests = self.swarm.behaviour_mut().gate.inner.channel(channel);
        if requests.send_response(responder, frame.into()).is_err() {
            tracing::debug!(?channel, "an answer came too late: the asker has gone");
        }
    }

    fn on_response(
        &mut self,
        connection: ConnectionId,
        request: (Channel, OutboundRequestId),
        response: Carried,
    ) {
        let Some(Asked { whom, site, reply, .. }) = self.asked.remove(&request) else { return };
        self.lines.answered(connection);
        let Frame::Whole(mut body) = response.frame else {
            answer(reply, Err(Error::Unreadable { whom }));
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
                answer(reply, Err(Error::Refused { whom, source }));
            }
            Some(kind::BUSY) => answer(reply, Err(Error::Busy { whom })),
            Some(_) | None => {
                answer(reply, Err(Error::Unreadable { whom }));
                self.book.of(site).malformed += 1;
                if self.is_worth_a_word(Some(site)) {
                    tracing::warn!(%site, "a peer's answer cannot be read; the connection is closed");
                }
                self.expel(connection);
                self.on_offence(site);
            }
        }
    }

    fn on_inbound_failure(&mut self, peer: PeerId, error: &InboundFailure) {
        tracing::debug!(%peer, %error, "a peer's request came to nothing");
    }
}

fn failure(whom: Addressee, channel: Channel, error: &OutboundFailure) -> Error {
    match error {
        OutboundFailure::DialFailure => Error::Unreachable { whom },
        OutboundFailure::Timeout => Error::TimedOut { whom },
        OutboundFailure::UnsupportedProtocols => Error::NotSpoken { whom, channel },
        OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => Error::Lost { whom },
    }
}

/// Replies; whoever asked may have stopped waiting.
fn answer(reply: Reply, answered: Result<Vec<u8>, Error>) {
    let _ = reply.send(answered);
}
