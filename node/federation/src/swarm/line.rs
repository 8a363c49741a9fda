//! The connections that have passed the hello, and which node of a site the next request takes.
//!
//! A site is asked through any of its nodes that are connected. One that has been silent, or has
//! just left a request unanswered, is passed over while there is another: a dead node is not missed
//! at once, and must not take its site with it. Among the others the one with the fewest requests
//! under way is asked, and of equals the one whose turn was longest ago.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use protocol::identity::PublicKey;
use protocol::ids::SiteId;
use protocol::time::Timestamp;

use crate::dial::address;
use crate::hello::Greeted;
use crate::{Caller, NodeState};

/// A connection that has passed the hello.
pub(super) struct Line {
    pub(super) peer: PeerId,
    pub(super) greeted: Greeted,
    pub(super) address: Multiaddr,
    pub(super) since: Timestamp,
    pub(super) rtt: Option<Duration>,
    /// When the other end last answered.
    pub(super) heard: Instant,
}

impl Line {
    pub(super) const fn caller(&self) -> Caller {
        self.greeted.caller
    }
}

/// How a node has fared with our requests.
#[derive(Default)]
struct Record {
    /// When it last left one unanswered, unless it has answered since.
    failed: Option<Instant>,
    /// The number of the turn in which it was asked last.
    turn: u64,
}

/// All of them.
pub(super) struct Lines {
    lines: BTreeMap<ConnectionId, Line>,
    records: BTreeMap<PeerId, Record>,
    turn: u64,
    /// After how much silence a connection counts as dead.
    silence_time: Duration,
}

impl Lines {
    pub(super) const fn new(silence_time: Duration) -> Self {
        Self { lines: BTreeMap::new(), records: BTreeMap::new(), turn: 0, silence_time }
    }

    pub(super) fn insert(&mut self, connection: ConnectionId, line: Line) {
        self.records.entry(line.peer).or_default();
        self.lines.insert(connection, line);
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) -> Option<Line> {
        let line = self.lines.remove(&connection)?;
        if !self.lines.values().any(|other| other.peer == line.peer) {
            self.records.remove(&line.peer);
        }
        Some(line)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Line)> {
        self.lines.iter().map(|(connection, line)| (*connection, line))
    }

    fn of_site(&self, site: SiteId) -> impl Iterator<Item = &Line> {
        self.lines.values().filter(move |line| line.caller().site == site)
    }

    /// Who is at the other end of a connection.
    pub(super) fn caller(&self, connection: ConnectionId) -> Option<Caller> {
        self.lines.get(&connection).map(Line::caller)
    }

    /// Whom a node speaks for, by the oldest of its connections.
    pub(super) fn caller_of(&self, peer: PeerId) -> Option<Caller> {
        self.lines.values().find(|line| line.peer == peer).map(Line::caller)
    }

    /// Everybody who is connected.
    pub(super) fn callers(&self) -> BTreeSet<Caller> {
        self.lines.values().map(Line::caller).collect()
    }

    /// The connections to a site.
    pub(super) fn to_site(&self, site: SiteId) -> Vec<ConnectionId> {
        self.iter().filter(|(_, line)| line.caller().site == site).map(|(id, _)| id).collect()
    }

    /// Whether any node of a site is connected.
    pub(super) fn has_site(&self, site: SiteId) -> bool {
        self.of_site(site).next().is_some()
    }

    /// A node with this key that speaks for the site.
    pub(super) fn node(&self, caller: Caller) -> Option<PeerId> {
        self.lines.values().find(|line| line.caller() == caller).map(|line| line.peer)
    }

    /// The node of a site to be asked next, of those that `has_room`; `load` says how many requests
    /// are under way to each. It is its turn now.
    pub(super) fn route(
        &mut self,
        site: SiteId,
        has_room: impl Fn(&PeerId) -> bool,
        load: impl Fn(&PeerId) -> usize,
    ) -> Option<PeerId> {
        let turn = |peer| self.records.get(peer).map_or(0, |record| record.turn);
        let peer = self
            .of_site(site)
            .map(|line| &line.peer)
            .filter(|peer| has_room(peer))
            .min_by_key(|peer| (self.is_doubtful(peer), load(peer), turn(peer)))
            .copied()?;
        self.turn += 1;
        self.records.entry(peer).or_default().turn = self.turn;
        Some(peer)
    }

    fn is_doubtful(&self, peer: &PeerId) -> bool {
        // A ping goes out in each third of the time: one is missing.
        let quiet = self.silence_time * 2 / 3;
        let of_node = self.lines.values().filter(|line| line.peer == *peer);
        let is_silent = of_node.map(|line| line.heard.elapsed()).min().is_none_or(|it| it > quiet);
        let failed = self.records.get(peer).and_then(|record| record.failed);
        is_silent || failed.is_some_and(|moment| moment.elapsed() < self.silence_time)
    }

    /// The other end of a connection has answered a ping.
    pub(super) fn measured(&mut self, connection: ConnectionId, rtt: Duration) {
        if let Some(line) = self.lines.get_mut(&connection) {
            line.rtt = Some(rtt);
            line.heard = Instant::now();
        }
    }

    /// A node has answered a request.
    pub(super) fn answered(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.heard = Instant::now();
        if let Some(record) = self.records.get_mut(&line.peer) {
            record.failed = None;
        }
    }

    /// A node has left a request unanswered.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if let Some(record) = self.records.get_mut(peer) {
            record.failed = Some(Instant::now());
        }
    }

    /// The connections whose other end has been silent for too long.
    pub(super) fn silent(&self) -> Vec<ConnectionId> {
        let is_silent = |line: &Line| line.heard.elapsed() > self.silence_time;
        self.iter().filter(|(_, line)| is_silent(line)).map(|(connection, _)| connection).collect()
    }

    /// The connections to one node.
    pub(super) fn of_node(&self, peer: PeerId) -> Vec<ConnectionId> {
        self.iter().filter(|(_, line)| line.peer == peer).map(|(id, _)| id).collect()
    }

    /// The connections to sites other than this one.
    pub(super) fn to_others(&self, site: SiteId) -> Vec<ConnectionId> {
        self.iter().filter(|(_, line)| line.caller().site != site).map(|(id, _)| id).collect()
    }

    /// The connections through a relay to nodes that are connected directly as well.
    pub(super) fn detours(&self) -> Vec<(ConnectionId, PeerId)> {
        let is_direct = |line: &Line| !address::is_relayed(&line.address);
        let direct: BTreeSet<PeerId> =
            self.lines.values().filter(|line| is_direct(line)).map(|line| line.peer).collect();
        self.iter()
            .filter(|(_, line)| !is_direct(line) && direct.contains(&line.peer))
            .map(|(connection, line)| (connection, line.peer))
            .collect()
    }

    /// Whether a node is connected.
    pub(super) fn has_node(&self, peer: PeerId) -> bool {
        self.lines.values().any(|line| line.peer == peer)
    }

    /// The connected nodes of a site, as an operator sees them.
    pub(super) fn states(
        &self,
        site: SiteId,
        score: impl Fn(&PeerId) -> (i32, bool),
    ) -> Vec<NodeState> {
        let mut nodes: BTreeMap<PublicKey, NodeState> = BTreeMap::new();
        for line in self.of_site(site) {
            let node = line.caller().node;
            let (score, is_graylisted) = score(&line.peer);
            let state = nodes.entry(node).or_insert_with(|| NodeState {
                score,
                is_graylisted,
                node,
                addresses: Vec::new(),
                connected_since: line.since,
                rtt: None,
                incarnation: line.greeted.incarnation,
            });
            state.addresses.push(line.address.to_string());
            state.connected_since = state.connected_since.min(line.since);
            state.rtt = line.rtt.or(state.rtt);
            state.incarnation = line.greeted.incarnation;
        }
        nodes.into_values().collect()
    }
}
