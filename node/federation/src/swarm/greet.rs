//! Who comes and who goes: connections that pass the hello, those that do not, and those that end.

use std::time::Instant;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, ping};
use protocol::ids::SiteId;

use super::behaviour::VerbsEvent;
use super::line::Line;
use super::task::Task;
use crate::hello::{self, Greeted, Turned};
use crate::observe::{RefusalRecord, Refuser};
use crate::{Channel, gate};

impl Task {
    pub(super) fn on_gate(&mut self, event: gate::Event<VerbsEvent>) {
        match event {
            gate::Event::Inner(VerbsEvent::Gossip(event)) => self.on_gossip(event),
            gate::Event::Inner(VerbsEvent::Outbox(event)) => self.on_ask(Channel::Outbox, event),
            gate::Event::Inner(VerbsEvent::Machine(event)) => self.on_ask(Channel::Machine, event),
            gate::Event::Inner(VerbsEvent::Session(event)) => self.on_ask(Channel::Session, event),
            gate::Event::Inner(VerbsEvent::Site(event)) => self.on_inner(Channel::Site, event),
            gate::Event::Inner(VerbsEvent::Raft(event)) => self.on_inner(Channel::Raft, event),
            gate::Event::Inner(VerbsEvent::Ping(event)) => self.on_ping(event),
            gate::Event::Inner(VerbsEvent::Directory(event)) => self.on_directory(event),
            gate::Event::Inner(VerbsEvent::Identify(event)) => self.on_identify(event),
            gate::Event::Inner(VerbsEvent::Punching(event)) => {
                tracing::debug!(?event, "a direct way was tried beside a relay");
            }
            gate::Event::Inner(VerbsEvent::Relay(event)) => {
                tracing::debug!(?event, "peers use this node as a relay");
            }
            gate::Event::Inner(VerbsEvent::Circuits(_) | VerbsEvent::Streams(())) => {}
            gate::Event::Greeted { connection, peer, greeted } => {
                self.on_greeted(connection, peer, *greeted);
            }
            gate::Event::Turned { connection, peer, turned } => {
                self.on_turned(connection, peer, turned);
            }
            gate::Event::Failed { connection, peer, failure } => {
                self.on_refusal(connection, peer, (None, Refuser::Here), failure.to_string(), None);
            }
        }
    }

    fn on_greeted(&mut self, connection: ConnectionId, peer: PeerId, greeted: Greeted) {
        let site = greeted.caller.site;
        if let Err(refusal) = self.check_site(site) {
            self.on_turned(connection, peer, Turned::Here { claimed: Some(site), refusal });
            return self.expel(connection);
        }
        let address = self.strangers.remove(&connection).unwrap_or_else(Multiaddr::empty);
        if self.is_worth_a_word(Some(site)) {
            tracing::info!(%site, %peer, %address, "a peer is connected");
        }
        self.book.of(site).greeted += 1;
        self.dialer.greeted(connection, greeted.caller);
        let since = self.admission.now();
        let heard = Instant::now();
        self.lines.insert(connection, Line { peer, greeted, address, since, rtt: None, heard });
    }

    fn on_turned(&mut self, connection: ConnectionId, peer: PeerId, turned: Turned) {
        let (claimed, by, refusal) = match turned {
            Turned::Here { claimed, refusal } => (claimed, Refuser::Here, refusal),
            Turned::There(refusal) => (None, Refuser::There, refusal),
        };
        let reason = refusal.to_string();
        self.on_refusal(connection, peer, (claimed, by), reason, Some(refusal));
    }

    fn on_refusal(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        (claimed, by): (Option<SiteId>, Refuser),
        reason: String,
        refusal: Option<hello::Refusal>,
    ) {
        let line = self.lines.remove(connection);
        let address = match line {
            Some(line) => line.address,
            None => self.strangers.remove(&connection).unwrap_or_else(Multiaddr::empty),
        };
        if self.is_worth_a_word(None) {
            tracing::warn!(%peer, %address, ?by, reason, "a connection did not pass the hello");
        }
        self.on_failed(connection, reason.clone());
        let (at, node, address) = (self.admission.now(), peer.to_string(), address.to_string());
        self.book.refuse(RefusalRecord {
            at,
            count: 1,
            address,
            node,
            claimed,
            by,
            reason,
            refusal,
        });
    }

    pub(super) fn on_closed(&mut self, connection: ConnectionId, cause: Option<String>) {
        if let Some(line) = self.lines.remove(connection) {
            let site = line.caller().site;
            if self.is_worth_a_word(Some(site)) {
                tracing::info!(%site, peer = %line.peer, cause, "a connection to a peer is gone");
            }
            self.dialer.lost(connection);
        } else {
            let reason = cause.unwrap_or_else(|| "it was closed during the hello".to_owned());
            self.on_failed(connection, reason);
        }
        self.strangers.remove(&connection);
        self.streams.retain(|site, room| {
            self.lines.has_site(*site) || room.available_permits() < self.limits.streams_in
        });
    }

    pub(super) fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(rtt) => self.lines.measured(event.connection, rtt),
            // Silence is judged at the next tick: the ping's own count of failures is too patient.
            Err(error) => tracing::debug!(peer = %event.peer, %error, "a ping has failed"),
        }
    }

    /// Closes connections whose other end has been silent for too long: a link that was cut says
    /// nothing, and TCP alone would notice after a quarter of an hour.
    pub(super) fn end_silence(&mut self) {
        for connection in self.lines.silent() {
            tracing::warn!(%connection, "the other end is silent; the connection is closed");
            self.expel(connection);
        }
    }

    /// Lets go whom the node's policy no longer admits, or whose certificate no longer holds; and
    /// the peers, so that they come again and hear it, if our own site has revoked certificates.
    pub(super) fn review(&mut self) {
        let honours = self.admission.honours();
        if honours > self.told_honours {
            self.told_honours = honours;
            tracing::info!(honours, "certificates were revoked; peers are greeted anew");
            for connection in self.lines.to_others(self.me.site) {
                self.expel(connection);
            }
        }
        let mut gone = Vec::new();
        for (connection, line) in self.lines.iter() {
            if let Err(refusal) = hello::check_again(&line.greeted, &*self.admission) {
                gone.push((connection, line.peer, line.caller().site, refusal));
            }
        }
        for (connection, peer, site, refusal) in gone {
            let turned = Turned::Here { claimed: Some(site), refusal };
            self.on_turned(connection, peer, turned);
            self.expel(connection);
        }
    }

    /// A frame or header was longer than its channel allows: the connection ends.
    pub(super) fn on_oversize(&mut self, site: SiteId, connection: ConnectionId) {
        self.book.of(site).oversize += 1;
        if self.is_worth_a_word(Some(site)) {
            tracing::warn!(%site, "a peer sent a frame that is too long; the connection is closed");
        }
        self.expel(connection);
        self.on_offence(site);
    }

    /// A request was what no honest peer sends: the connection ends.
    pub(super) fn on_foul(&mut self, site: SiteId, connection: ConnectionId, reason: &str) {
        self.book.of(site).foul += 1;
        if self.is_worth_a_word(Some(site)) {
            tracing::warn!(%site, reason, "a peer's request is foul; the connection is closed");
        }
        self.expel(connection);
        self.on_offence(site);
    }

    /// Closes a connection, which from now on is not there.
    pub(super) fn expel(&mut self, connection: ConnectionId) {
        self.swarm.behaviour_mut().gate.expel(connection);
        self.on_closed(connection, None);
    }

    pub(super) fn expel_node(&mut self, peer: PeerId) {
        for connection in self.lines.of_node(peer) {
            self.expel(connection);
        }
    }
}
