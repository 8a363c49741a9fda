//! The task that owns the swarm: it takes events and commands, one at a time, and waits for none.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::gossipsub::MessageId;
use libp2p::request_response::ResponseChannel;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, ping};
use libp2p_stream::IncomingStreams;
use protocol::ids::SiteId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;

use super::Command;
use super::ask::UnderWay;
use super::behaviour::{Bus, BusEvent, VerbsEvent};
use super::line::{Line, Lines};
use super::relay::Relays;
use crate::ask::Refused;
use crate::codec::Carried;
use crate::dial::Dialer;
use crate::gate;
use crate::hello::{self, Greeted, Turned};
use crate::meter::Meters;
use crate::observe::{Book, RefusalRecord, Refuser};
use crate::options::Limits;
use crate::{Admission, Caller, Channel, Handler, Verdict};

/// How often what is wished is compared with what is: a lost peer is dialled within this.
const TICK: Duration = Duration::from_millis(250);

/// How many ticks pass between two reviews of the peers that are connected.
const TICKS_PER_REVIEW: u32 = 20;

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

/// The owner of the swarm.
pub(super) struct Task {
    pub(super) swarm: Swarm<Bus>,
    pub(super) limits: Limits,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) book: Book,
    pub(super) asked: UnderWay,
    pub(super) streams: BTreeMap<SiteId, Arc<Semaphore>>,
    pub(super) lines: Lines,
    /// This node.
    pub(super) me: Caller,
    admission: Arc<dyn Admission>,
    /// What our own site honoured at the last review.
    told_honours: u64,
    incoming: IncomingStreams,
    /// Whether the node listens on loopback only.
    pub(super) is_on_loopback: bool,
    /// Whether somebody new is to be told where this node is.
    pub(super) is_publishing_due: bool,
    pub(super) dialer: Dialer,
    pub(super) meters: Meters,
    pub(super) relays: Relays,
    /// Where connections that have not passed the hello come from.
    strangers: BTreeMap<ConnectionId, Multiaddr>,
    work: JoinSet<Outcome>,
    owed: HashMap<Id, Owed>,
    ticks: u32,
}

impl Task {
    pub(super) fn new(
        (swarm, incoming): (Swarm<Bus>, IncomingStreams),
        me: Caller,
        limits: Limits,
        admission: Arc<dyn Admission>,
        handler: Arc<dyn Handler>,
    ) -> Self {
        let dialer = Dialer::new(me.node, limits.redial_time, limits.peers);
        Self {
            swarm,
            lines: Lines::new(limits.silence_time),
            me,
            limits,
            handler,
            book: Book::default(),
            asked: UnderWay::new(),
            streams: BTreeMap::new(),
            told_honours: admission.honours(),
            admission,
            incoming,
            is_on_loopback: false,
            is_publishing_due: false,
            strangers: BTreeMap::new(),
            dialer,
            meters: Meters::default(),
            relays: Relays::default(),
            work: JoinSet::new(),
            owed: HashMap::new(),
            ticks: 0,
        }
    }

    /// Runs until it is told to close, or every handle is gone. `early` has happened already.
    pub(super) async fn run(
        mut self,
        early: Vec<SwarmEvent<BusEvent>>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        for event in early {
            self.on_event(event);
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Close) => break,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                Some((peer, stream)) = self.incoming.next() => self.on_stream(peer, stream),
                Some(ended) = self.work.join_next_with_id() => self.on_ended(ended),
                _ = tick.tick() => self.on_tick(),
            }
        }
        self.work.shutdown().await;
    }

    fn on_command(&mut self, command: Command) {
        // Whoever asked may have stopped waiting for the reply: that is no concern of ours.
        match command {
            Command::Ask { whom, channel, body, reply } => self.ask(whom, channel, body, reply),
            Command::Publish { body, reply } => {
                let _ = reply.send(self.publish(body));
            }
            Command::Route { whom, reply } => {
                let _ = reply.send(self.route(whom));
            }
            Command::SetPeers { peers, reply } => {
                let _ = reply.send(self.dialer.wish(peers));
                self.review();
                self.dial();
            }
            Command::Present { certificate } => {
                self.swarm.behaviour_mut().gate.present(*certificate);
            }
            Command::Peers { reply } => {
                let _ = reply.send(self.peers());
            }
            Command::Refusals { reply } => {
                let _ = reply.send(self.book.refusals());
            }
            Command::Close => {}
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BusEvent>) {
        match event {
            SwarmEvent::Behaviour(BusEvent::Gate(event)) => self.on_gate(event),
            SwarmEvent::Behaviour(BusEvent::Mdns(event)) => self.on_nearby(event),
            SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } => {
                self.strangers.insert(connection_id, endpoint.get_remote_address().clone());
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                let cause = cause.map(|cause| cause.to_string());
                self.on_closed(connection_id, cause);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error: DialError::LocalPeerId { .. },
                ..
            } => self.dialer.met_itself(connection_id),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_failed(connection_id, error.to_string());
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(address = %send_back_addr, %error, "a connection was not made");
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener has an error");
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. }
                if self.relays.has_ended(listener_id) =>
            {
                tracing::debug!(?reason, "a relay no longer holds a place for this node");
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "a listener is gone: restart the node");
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                tracing::info!(%address, "this node is reached under an address");
                self.is_publishing_due = true;
            }
            _ => {}
        }
    }

    fn on_gate(&mut self, event: gate::Event<VerbsEvent>) {
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
                if failure == gate::Failure::Oversize {
                    tracing::warn!(%peer, "a hello was too long; the connection is closed");
                }
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
        tracing::info!(%site, %peer, %address, "a peer is connected");
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
        tracing::warn!(%peer, %address, ?by, reason, "a connection did not pass the hello");
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

    fn on_closed(&mut self, connection: ConnectionId, cause: Option<String>) {
        if let Some(line) = self.lines.remove(connection) {
            let site = line.caller().site;
            tracing::info!(%site, peer = %line.peer, cause, "a connection to a peer is gone");
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

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(rtt) => self.lines.measured(event.connection, rtt),
            // Silence is judged at the next tick: the ping's own count of failures is too patient.
            Err(error) => tracing::debug!(peer = %event.peer, %error, "a ping has failed"),
        }
    }

    /// Closes connections whose other end has been silent for too long: a link that was cut says
    /// nothing, and TCP alone would notice after a quarter of an hour.
    fn end_silence(&mut self) {
        for connection in self.lines.silent() {
            tracing::warn!(%connection, "the other end is silent; the connection is closed");
            self.expel(connection);
        }
    }

    /// A frame or header was longer than its channel allows: the connection ends.
    pub(super) fn on_oversize(&mut self, site: SiteId, connection: ConnectionId) {
        self.book.of(site).oversize += 1;
        tracing::warn!(%site, "a peer sent a frame that is too long; the connection is closed");
        self.expel(connection);
    }

    /// A request was what no honest peer sends: the connection ends.
    pub(super) fn on_foul(&mut self, site: SiteId, connection: ConnectionId, reason: &str) {
        self.book.of(site).foul += 1;
        tracing::warn!(%site, reason, "a peer's request is foul; the connection is closed");
        self.expel(connection);
    }

    /// Closes a connection, which from now on is not there.
    pub(super) fn expel(&mut self, connection: ConnectionId) {
        self.swarm.behaviour_mut().gate.expel(connection);
        self.on_closed(connection, None);
    }

    fn expel_node(&mut self, peer: PeerId) {
        for connection in self.lines.of_node(peer) {
            self.expel(connection);
        }
    }

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

    fn on_ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
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

    fn on_tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(TICKS_PER_REVIEW) {
            self.review();
            self.fade();
            self.reserve();
        }
        self.end_silence();
        self.end_detours();
        self.end_overdue();
        self.search();
        self.dial();
    }

    /// Lets go whom the node's policy no longer admits, or whose certificate no longer holds; and
    /// the peers, so that they come again and hear it, if our own site has revoked certificates.
    fn review(&mut self) {
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

    pub(super) fn dial(&mut self) {
        let now = Instant::now();
        for attempt in self.dialer.due(now, &self.lines.callers()) {
            let options = match attempt.peer {
                // Another node there does not even pass the handshake.
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![attempt.address])
                    .build(),
                None => DialOpts::unknown_peer_id().address(attempt.address).build(),
            };
            let connection = options.connection_id();
            if let Some(site) = attempt.site {
                self.swarm.behaviour_mut().gate.expect(connection, site);
            }
            match self.swarm.dial(options) {
                Ok(()) => self.dialer.begun(attempt.target, connection),
                // The swarm leaves out the addresses that it listens on.
                Err(DialError::NoAddresses) => {
                    self.dialer.begun(attempt.target, connection);
                    self.dialer.met_itself(connection);
                }
                Err(error) => {
                    self.dialer.begun(attempt.target, connection);
                    self.on_failed(connection, error.to_string());
                }
            }
        }
    }
}
