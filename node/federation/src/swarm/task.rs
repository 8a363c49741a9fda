//! The task that owns the swarm: it takes events and commands, one at a time, and waits for none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, Swarm};
use libp2p_stream::IncomingStreams;
use protocol::ids::SiteId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::MissedTickBehavior;

use super::Command;
use super::ask::UnderWay;
use super::behaviour::{Bus, BusEvent};
use super::line::Lines;
use super::relay::Relays;
use super::work::{Outcome, Owed};
use crate::dial::Dialer;
use crate::meter::Meters;
use crate::observe::Book;
use crate::options::Limits;
use crate::{Admission, Caller, Handler};

/// How often what is wished is compared with what is: a lost peer is dialled within this.
const TICK: Duration = Duration::from_millis(250);

/// How many ticks pass between two reviews of the peers that are connected.
const TICKS_PER_REVIEW: u32 = 20;

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
    pub(super) admission: Arc<dyn Admission>,
    /// What our own site honoured at the last review.
    pub(super) told_honours: u64,
    incoming: IncomingStreams,
    /// Whether the node listens on loopback only.
    pub(super) is_on_loopback: bool,
    /// Whether somebody new is to be told where this node is.
    pub(super) is_publishing_due: bool,
    pub(super) dialer: Dialer,
    pub(super) meters: Meters,
    pub(super) relays: Relays,
    /// Where connections that have not passed the hello come from.
    pub(super) strangers: BTreeMap<ConnectionId, Multiaddr>,
    pub(super) work: JoinSet<Outcome>,
    pub(super) owed: HashMap<Id, Owed>,
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
