//! A bus in memory: several sites in one process, whose links are cut and healed at will.
//!
//! It keeps the promises of the real bus and no more: a request may be lost before or after it was
//! acted on, an advert may reach some and not others, a stream ends when its link is cut. Which
//! messages are lost is drawn from a seed. There is no hello: two sites are connected if one of
//! them wishes for the other and their link is not cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use protocol::ids::SiteId;
use protocol::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::AbortHandle;

use crate::ask::{self, Refused};
use crate::observe::{Book, Counters, PeerState, RefusalRecord};
use crate::options::{Error, Limits, PeerAddress};
use crate::stream::{self, Duplex, HEADER_LIMIT};
use crate::tell;
use crate::{Channel, Handler, Peers, Verdict};

/// Bytes that a stream holds until they are read; a socket's buffer is of that size.
const STREAM_BUFFER: usize = 64 << 10;

/// Two sites, in a fixed order.
type Link = (SiteId, SiteId);

struct Place {
    address: String,
    handler: Arc<dyn Handler>,
    wishes: Vec<PeerAddress>,
    book: Book,
}

struct World {
    places: BTreeMap<SiteId, Place>,
    cuts: BTreeSet<Link>,
    streams: Vec<(Link, AbortHandle)>,
    lost_per_mille: u32,
    chance: StdRng,
}

/// All sites and the links between them. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Mutex<World>>);

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Network").finish_non_exhaustive()
    }
}

impl Network {
    /// A network without sites, which loses nothing.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            places: BTreeMap::new(),
            cuts: BTreeSet::new(),
            streams: Vec::new(),
            lost_per_mille: 0,
            chance: StdRng::seed_from_u64(seed),
        })))
    }

    /// Adds a site under an address, or starts it again with another handler.
    #[must_use]
    pub fn join(&self, site: SiteId, address: &str, handler: Arc<dyn Handler>) -> Site {
        let address = address.to_owned();
        let place = Place { address, handler, wishes: Vec::new(), book: Book::default() };
        self.world().places.insert(site, place);
        Site { network: self.clone(), site }
    }

    /// Takes a site away, with all that was under way.
    pub fn leave(&self, site: SiteId) {
        let mut world = self.world();
        world.places.remove(&site);
        world.end_streams(|link| link.0 == site || link.1 == site);
    }

    /// Cuts the link between two sites, in both directions.
    pub fn cut(&self, one: SiteId, other: SiteId) {
        let cut = link(one, other);
        let mut world = self.world();
        world.cuts.insert(cut);
        world.end_streams(|link| link == cut);
    }

    /// Heals the link between two sites.
    pub fn heal(&self, one: SiteId, other: SiteId) {
        self.world().cuts.remove(&link(one, other));
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
    fn are_connected(&self, one: SiteId, other: SiteId) -> bool {
        one != other
            && !self.cuts.contains(&link(one, other))
            && (self.wishes(one, other) || self.wishes(other, one))
    }

    fn wishes(&self, one: SiteId, other: SiteId) -> bool {
        let (Some(here), Some(there)) = (self.places.get(&one), self.places.get(&other)) else {
            return false;
        };
        here.wishes.iter().any(|wish| match wish.site {
            Some(site) => site == other,
            None => wish.addresses.contains(&there.address),
        })
    }

    fn neighbours(&self, site: SiteId) -> Vec<SiteId> {
        self.places.keys().copied().filter(|other| self.are_connected(site, *other)).collect()
    }

    fn loses(&mut self) -> bool {
        self.chance.random_range(0..1000) < self.lost_per_mille
    }

    fn handler(&self, site: SiteId) -> Option<Arc<dyn Handler>> {
        self.places.get(&site).map(|place| Arc::clone(&place.handler))
    }

    fn count(&mut self, at: SiteId, of: SiteId, change: impl FnOnce(&mut Counters)) {
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

fn link(one: SiteId, other: SiteId) -> Link {
    (one.min(other), one.max(other))
}

/// The bus of one site of a [`Network`].
#[derive(Clone, Debug)]
pub struct Site {
    network: Network,
    site: SiteId,
}

impl Site {
    /// The handler of a site, if the message gets there.
    fn deliver(&self, to: SiteId) -> Result<Arc<dyn Handler>, ask::Error> {
        let mut world = self.network.world();
        if !world.are_connected(self.site, to) {
            return Err(ask::Error::Unreachable { site: to });
        }
        world.count(self.site, to, |counters| counters.asks_out += 1);
        if world.loses() {
            return Err(ask::Error::Lost { site: to });
        }
        world.count(to, self.site, |counters| counters.asks_in += 1);
        world.handler(to).ok_or(ask::Error::Unreachable { site: to })
    }
}

#[async_trait]
impl Peers for Site {
    async fn ask(
        &self,
        site: SiteId,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Error> {
        let (length, limit) = (body.len(), channel.limit());
        if length > limit {
            return Err(ask::Error::TooLong { site, length, limit });
        }
        let handler = self.deliver(site)?;
        let answered = handler.ask(self.site, channel, body).await;
        let mut world = self.network.world();
        if !world.are_connected(self.site, site) || world.loses() {
            return Err(ask::Error::Lost { site });
        }
        match answered {
            Ok(answer) if answer.len() > limit => {
                let source = Refused::new("the answer is too long");
                Err(ask::Error::Refused { site, source })
            }
            Ok(answer) => Ok(answer),
            Err(source) => Err(ask::Error::Refused { site, source }),
        }
    }

    /// Tells all peers, and waits for their verdicts, so that a test sees what comes of it.
    async fn publish(&self, body: Vec<u8>) -> Result<(), tell::Error> {
        let length = body.len();
        if length > tell::LIMIT {
            return Err(tell::Error::TooLong { length });
        }
        let neighbours = self.network.world().neighbours(self.site);
        if neighbours.is_empty() {
            return Err(tell::Error::Nobody);
        }
        let mut told = BTreeSet::from([self.site]);
        let mut ways: VecDeque<(SiteId, SiteId)> =
            neighbours.into_iter().map(|to| (self.site, to)).collect();
        while let Some((from, to)) = ways.pop_front() {
            let handler = {
                let mut world = self.network.world();
                if told.contains(&to) || !world.are_connected(from, to) || world.loses() {
                    continue;
                }
                world.count(to, from, |counters| counters.adverts += 1);
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
                    world.count(to, from, |counters| counters.adverts_rejected += 1);
                }
            }
        }
        Ok(())
    }

    async fn open(&self, site: SiteId, header: Vec<u8>) -> Result<Duplex, stream::Error> {
        let length = header.len();
        if length > HEADER_LIMIT {
            return Err(stream::Error::TooLong { length });
        }
        let mut world = self.network.world();
        if !world.are_connected(self.site, site) {
            return Err(stream::Error::Unreachable { site });
        }
        let handler = world.handler(site).ok_or(stream::Error::Unreachable { site })?;
        world.count(site, self.site, |counters| counters.streams_in += 1);
        let (near, far) = tokio::io::duplex(STREAM_BUFFER);
        let from = self.site;
        let console =
            tokio::spawn(async move { handler.console(from, header, Box::new(far)).await });
        world.end_streams(|_| false);
        world.streams.push((link(self.site, site), console.abort_handle()));
        Ok(Box::new(near))
    }

    async fn set_peers(&self, peers: Vec<PeerAddress>) -> Result<(), Error> {
        let (count, limit) = (peers.len(), Limits::STANDARD.peers);
        if count > limit {
            return Err(Error::TooManyPeers { count, limit });
        }
        let mut world = self.network.world();
        let place = world.places.get_mut(&self.site).ok_or(Error::Closed)?;
        place.wishes = peers;
        Ok(())
    }

    /// The peers it is connected to; there is no clock here, so they have been since the epoch.
    async fn peers(&self) -> Vec<PeerState> {
        let world = self.network.world();
        let Some(place) = world.places.get(&self.site) else { return Vec::new() };
        let state = |site: SiteId| PeerState {
            site: Some(site),
            addresses: world
                .places
                .get(&site)
                .map(|there| there.address.clone())
                .into_iter()
                .collect(),
            connected_since: Some(Timestamp::from_millis(0)),
            rtt: None,
            incarnation: None,
            counters: place.book.read(site),
            last_failure: None,
        };
        world.neighbours(self.site).into_iter().map(state).collect()
    }

    async fn refusals(&self) -> Vec<RefusalRecord> {
        Vec::new()
    }
}
