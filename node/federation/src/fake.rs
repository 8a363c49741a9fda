//! A bus in memory: several nodes in one process, whose links are cut and healed at will.
//!
//! It keeps the promises of the real bus and no more: a request may be lost before or after it was
//! acted on, an advert may reach some and not others, a stream ends when its link is cut. Which
//! messages are lost is drawn from a seed. There is no hello: two nodes are connected if one of
//! them wishes for the other and their link is not cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use protocol::identity::{NodeCertificate, PublicKey};
use protocol::ids::SiteId;
use protocol::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::AbortHandle;

use crate::ask::{self, Addressee, Refused};
use crate::observe::{Book, Counters, NodeState, PeerState, RefusalRecord};
use crate::options::{Error, Limits, PeerAddress};
use crate::stream::{self, Duplex, HEADER_LIMIT};
use crate::tell;
use crate::{Caller, Channel, Handler, Peers, Verdict};

/// Bytes that a stream holds until they are read; a socket's buffer is of that size.
const STREAM_BUFFER: usize = 64 << 10;

/// Two nodes, in a fixed order.
type Link = (Caller, Caller);

/// What is cut: all links between two sites, or one between two nodes; each in a fixed order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Cut {
    Sites(SiteId, SiteId),
    Nodes(PublicKey, PublicKey),
}

impl Cut {
    fn sites(one: SiteId, other: SiteId) -> Self {
        Self::Sites(one.min(other), one.max(other))
    }

    fn nodes(one: PublicKey, other: PublicKey) -> Self {
        Self::Nodes(one.min(other), one.max(other))
    }

    fn severs(self, (one, other): Link) -> bool {
        self == Self::sites(one.site, other.site) || self == Self::nodes(one.node, other.node)
    }
}

struct Place {
    address: String,
    handler: Arc<dyn Handler>,
    wishes: Vec<PeerAddress>,
    book: Book,
}

struct World {
    places: BTreeMap<Caller, Place>,
    cuts: BTreeSet<Cut>,
    streams: Vec<(Link, AbortHandle)>,
    lost_per_mille: u32,
    chance: StdRng,
    turn: usize,
}

/// All nodes and the links between them. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Mutex<World>>);

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Network").finish_non_exhaustive()
    }
}

impl Network {
    /// A network without nodes, which loses nothing.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            places: BTreeMap::new(),
            cuts: BTreeSet::new(),
            streams: Vec::new(),
            lost_per_mille: 0,
            chance: StdRng::seed_from_u64(seed),
            turn: 0,
        })))
    }

    /// Adds a node under an address, or starts it again with another handler.
    #[must_use]
    pub fn join(&self, me: Caller, address: &str, handler: Arc<dyn Handler>) -> Node {
        let address = address.to_owned();
        let place = Place { address, handler, wishes: Vec::new(), book: Book::default() };
        self.world().places.insert(me, place);
        Node { network: self.clone(), me }
    }

    /// Takes a node away, with all that was under way.
    pub fn leave(&self, node: Caller) {
        let mut world = self.world();
        world.places.remove(&node);
        world.end_streams(|link| link.0 == node || link.1 == node);
    }

    /// Cuts all links between two sites, in both directions.
    pub fn cut(&self, one: SiteId, other: SiteId) {
        self.world().cut(Cut::sites(one, other));
    }

    /// Heals what [`cut`](Self::cut) has cut.
    pub fn heal(&self, one: SiteId, other: SiteId) {
        self.world().cuts.remove(&Cut::sites(one, other));
    }

    /// Cuts the link between two nodes, in both directions.
    pub fn cut_nodes(&self, one: PublicKey, other: PublicKey) {
        self.world().cut(Cut::nodes(one, other));
    }

    /// Heals what [`cut_nodes`](Self::cut_nodes) has cut.
    pub fn heal_nodes(&self, one: PublicKey, other: PublicKey) {
        self.world().cuts.remove(&Cut::nodes(one, other));
    }

    /// Loses so many of a thousand messages from now on.
    pub fn lose(&self, per_mille: u32) {
        self.world().lost_per_mille = per_mille;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // No code that may panic runs under the lock but the tests' own arithmetic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn cut(&mut self, cut: Cut) {
        self.cuts.insert(cut);
        self.end_streams(|link| cut.severs(link));
    }

    fn are_connected(&self, one: Caller, other: Caller) -> bool {
        one != other
            && !self.cuts.iter().any(|cut| cut.severs((one, other)))
            && (self.wishes(one, other) || self.wishes(other, one))
    }

    fn wishes(&self, one: Caller, other: Caller) -> bool {
        let (Some(here), Some(there)) = (self.places.get(&one), self.places.get(&other)) else {
            return false;
        };
        here.wishes.iter().any(|wish| {
            wish.site.is_none_or(|site| site == other.site)
                && wish.node.is_none_or(|node| node == other.node)
                && (wish.addresses.is_empty() || wish.addresses.contains(&there.address))
        })
    }

    fn neighbours(&self, node: Caller) -> Vec<Caller> {
        self.places.keys().copied().filter(|other| self.are_connected(node, *other)).collect()
    }

    /// The node at the other end, if one is connected; of several it is each one's turn.
    fn find(&mut self, from: Caller, whom: Addressee) -> Option<Caller> {
        let mut found = self.neighbours(from);
        found.retain(|other| match whom {
            Addressee::Site(site) => other.site == site,
            Addressee::Node(node) => *other == Caller { site: from.site, node },
        });
        self.turn += 1;
        found.get(self.turn % found.len().max(1)).copied()
    }

    fn loses(&mut self) -> bool {
        self.chance.random_range(0..1000) < self.lost_per_mille
    }

    fn handler(&self, node: Caller) -> Option<Arc<dyn Handler>> {
        self.places.get(&node).map(|place| Arc::clone(&place.handler))
    }

    fn count(&mut self, at: Caller, of: SiteId, change: impl FnOnce(&mut Counters)) {
        if let Some(place) = self.places.get_mut(&at) {
            change(place.book.of(of));
        }
    }

    fn end_streams(&mut self, which: impl Fn(Link) -> bool) {
        self.streams.retain(|(link, console)| {
            if which(*link) {
                console.abort();
            }
            !which(*link) && !console.is_finished()
        });
    }
}

/// The bus of one node of a [`Network`].
#[derive(Clone, Debug)]
pub struct Node {
    network: Network,
    me: Caller,
}

impl Node {
    /// Who gets a request, and its handler, if the request gets there.
    fn deliver(
        &self,
        whom: Addressee,
        channel: Channel,
    ) -> Result<(Caller, Arc<dyn Handler>), ask::Error> {
        let mut world = self.network.world();
        let unreachable = || ask::Error::Unreachable { whom };
        if channel.is_inner() && matches!(whom, Addressee::Site(site) if site != self.me.site) {
            return Err(ask::Error::Inner { whom, channel });
        }
        let to = world.find(self.me, whom).ok_or_else(unreachable)?;
        world.count(self.me, to.site, |counters| counters.asks_out += 1);
        if world.loses() {
            return Err(ask::Error::Lost { whom });
        }
        world.count(to, self.me.site, |counters| counters.asks_in += 1);
        Ok((to, world.handler(to).ok_or_else(unreachable)?))
    }

    async fn request(
        &self,
        whom: Addressee,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Error> {
        let (length, limit) = (body.len(), channel.limit());
        if length > limit {
            return Err(ask::Error::TooLong { whom, length, limit });
        }
        let (to, handler) = self.deliver(whom, channel)?;
        let answered = handler.ask(self.me, channel, body).await;
        let mut world = self.network.world();
        if !world.are_connected(self.me, to) || world.loses() {
            return Err(ask::Error::Lost { whom });
        }
        match answered {
            Ok(answer) if answer.len() > limit => {
                let source = Refused::new("the answer is too long");
                Err(ask::Error::Refused { whom, source })
            }
            Ok(answer) => Ok(answer),
            Err(refused) if refused.is_foul() => {
                world.count(to, self.me.site, |counters| counters.foul += 1);
                Err(ask::Error::Lost { whom })
            }
            Err(source) => Err(ask::Error::Refused { whom, source }),
        }
    }

    fn stream(&self, whom: Addressee, header: Vec<u8>) -> Result<Duplex, stream::Error> {
        let length = header.len();
        if length > HEADER_LIMIT {
            return Err(stream::Error::TooLong { length });
        }
        let mut world = self.network.world();
        let unreachable = || stream::Error::Unreachable { whom };
        let to = world.find(self.me, whom).ok_or_else(unreachable)?;
        let handler = world.handler(to).ok_or_else(unreachable)?;
        world.count(to, self.me.site, |counters| counters.streams_in += 1);
        let (near, far) = tokio::io::duplex(STREAM_BUFFER);
        let from = self.me;
        let console =
            tokio::spawn(async move { handler.console(from, header, Box::new(far)).await });
        world.end_streams(|_| false);
        world.streams.push(((from, to), console.abort_handle()));
        Ok(Box::new(near))
    }
}

#[async_trait]
impl Peers for Node {
    async fn ask(
        &self,
        site: SiteId,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Error> {
        self.request(Addressee::Site(site), channel, body).await
    }

    async fn ask_node(
        &self,
        node: PublicKey,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Error> {
        self.request(Addressee::Node(node), channel, body).await
    }

    /// Tells all peers, and waits for their verdicts, so that a test sees what comes of it.
    async fn publish(&self, body: Vec<u8>) -> Result<(), tell::Error> {
        let length = body.len();
        if length > tell::LIMIT {
            return Err(tell::Error::TooLong { length });
        }
        let neighbours = self.network.world().neighbours(self.me);
        if neighbours.is_empty() {
            return Err(tell::Error::Nobody);
        }
        let mut told = BTreeSet::from([self.me]);
        let mut ways: VecDeque<(Caller, Caller)> =
            neighbours.into_iter().map(|to| (self.me, to)).collect();
        while let Some((from, to)) = ways.pop_front() {
            let handler = {
                let mut world = self.network.world();
                if told.contains(&to) || !world.are_connected(from, to) || world.loses() {
                    continue;
                }
                world.count(to, from.site, |counters| counters.adverts += 1);
                world.handler(to)
            };
            let Some(handler) = handler else { continue };
            told.insert(to);
            match handler.gossip(from, body.clone()).await {
                Verdict::Accept => {
                    let further = self.network.world().neighbours(to);
                    ways.extend(further.into_iter().map(|next| (to, next)));
                }
                Verdict::Ignore => {}
                Verdict::Reject => {
                    let mut world = self.network.world();
                    world.count(to, from.site, |counters| counters.adverts_rejected += 1);
                }
            }
        }
        Ok(())
    }

    async fn open(&self, site: SiteId, header: Vec<u8>) -> Result<Duplex, stream::Error> {
        self.stream(Addressee::Site(site), header)
    }

    async fn open_node(&self, node: PublicKey, header: Vec<u8>) -> Result<Duplex, stream::Error> {
        self.stream(Addressee::Node(node), header)
    }

    async fn set_peers(&self, peers: Vec<PeerAddress>) -> Result<(), Error> {
        let (count, limit) = (peers.len(), Limits::STANDARD.peers);
        if count > limit {
            return Err(Error::TooManyPeers { count, limit });
        }
        let mut world = self.network.world();
        let place = world.places.get_mut(&self.me).ok_or(Error::Closed)?;
        place.wishes = peers;
        Ok(())
    }

    /// Without a hello nobody sees it.
    async fn present(&self, certificate: NodeCertificate) -> Result<(), Error> {
        let is_own = certificate.site() == self.me.site;
        if is_own { Ok(()) } else { Err(Error::OtherKey) }
    }

    /// Whom it is connected to; there is no clock here, so they have been since the epoch.
    async fn peers(&self) -> Vec<PeerState> {
        let world = self.network.world();
        let Some(place) = world.places.get(&self.me) else { return Vec::new() };
        let mut nodes: BTreeMap<SiteId, Vec<NodeState>> = BTreeMap::new();
        for other in world.neighbours(self.me) {
            let there = world.places.get(&other).map(|there| there.address.clone());
            nodes.entry(other.site).or_default().push(NodeState {
                node: other.node,
                addresses: there.into_iter().collect(),
                connected_since: Timestamp::from_millis(0),
                rtt: None,
                incarnation: 0,
                score: 0,
                is_graylisted: false,
            });
        }
        let state = |(site, nodes): (SiteId, Vec<NodeState>)| PeerState {
            site: Some(site),
            addresses: nodes.iter().flat_map(|node| node.addresses.clone()).collect(),
            connected_since: Some(Timestamp::from_millis(0)),
            rtt: None,
            incarnation: None,
            is_shunned: false,
            nodes,
            counters: place.book.read(site),
            last_failure: None,
        };
        nodes.into_iter().map(state).collect()
    }

    async fn refusals(&self) -> Vec<RefusalRecord> {
        Vec::new()
    }
}
