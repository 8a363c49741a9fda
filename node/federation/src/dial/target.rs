//! One node that is to be connected: where it may be, and how the attempts to reach it went.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use protocol::identity::PublicKey;
use protocol::ids::SiteId;
use rand::Rng as _;

use super::parse;
use crate::options::{Error, PeerAddress};
use crate::{Caller, hello};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The pause after the first time that nobody knew where a site is.
const FIRST_LOOKUP_PAUSE: Duration = Duration::from_secs(5);

/// The longest pause between two times that others are asked where a site is.
const LONGEST_LOOKUP_PAUSE: Duration = Duration::from_secs(300);

/// The most addresses of one node: a few networks, TCP and QUIC.
const ADDRESSES_LIMIT: usize = 16;

/// Why a node is to be connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// The operator wishes it.
    Wished,
    /// It has made itself heard on the local network.
    Nearby,
}

/// A place where a node is said to be, by somebody else.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Rumour {
    peer: PeerId,
    address: Multiaddr,
}

/// An attempt to be made.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) target: usize,
    pub(crate) address: Multiaddr,
    /// The site expected there.
    pub(crate) site: Option<SiteId>,
    /// The node expected there.
    pub(crate) peer: Option<PeerId>,
}

/// A node that is to be connected.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) wish: PeerAddress,
    pub(super) origin: Origin,
    /// libp2p's name of the node, if the wish names one.
    peer: Option<PeerId>,
    /// The addresses that are not our own.
    addresses: Vec<Multiaddr>,
    /// What others have said; each is tried once.
    rumours: VecDeque<Rumour>,
    /// The rumour that the attempt under way follows.
    followed: Option<Rumour>,
    /// Who was found there.
    learned: Option<Caller>,
    /// The attempt under way, or the connection it led to.
    pub(super) connection: Option<ConnectionId>,
    next: usize,
    failures: u32,
    not_before: Option<Instant>,
    last_failure: Option<String>,
    /// Whether somebody is being asked where the site is.
    is_sought: bool,
    seek_after: Option<Instant>,
    seek_pause: Duration,
}

impl Target {
    pub(super) fn new(wish: PeerAddress, origin: Origin) -> Result<Self, Error> {
        let mut addresses = Vec::new();
        for text in wish.addresses.iter().take(ADDRESSES_LIMIT) {
            addresses.push(parse(text)?);
        }
        if addresses.is_empty() && wish.site.is_none() {
            return Err(Error::NoAddress);
        }
        // TCP first: it passes where UDP is shaped or blocked. The sort keeps the order otherwise.
        addresses
            .sort_by_key(|address| !address.iter().any(|part| matches!(part, Protocol::Tcp(_))));
        let name = |node| hello::peer_id(node).ok_or(Error::NodeKey);
        let peer = wish.node.map(name).transpose()?;
        let unknown = "nobody is connected who could be asked where the site is";
        let last_failure = addresses.is_empty().then(|| unknown.to_owned());
        Ok(Self {
            wish,
            origin,
            peer,
            addresses,
            rumours: VecDeque::new(),
            followed: None,
            learned: None,
            connection: None,
            next: 0,
            failures: 0,
            not_before: None,
            last_failure,
            is_sought: false,
            seek_after: None,
            seek_pause: FIRST_LOOKUP_PAUSE,
        })
    }

    /// The site that is wished for, or was found.
    pub(crate) fn site(&self) -> Option<SiteId> {
        self.wish.site.or_else(|| self.learned.map(|found| found.site))
    }

    /// The node that is wished for, or was found.
    pub(super) fn node(&self) -> Option<PublicKey> {
        self.wish.node.or_else(|| self.learned.map(|found| found.node))
    }

    /// The configured addresses.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.wish.addresses
    }

    /// Why the last attempt failed, unless it has succeeded since.
    pub(crate) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// The address to try next; none if there is none, or all of them are our own.
    fn address(&self) -> Option<&Multiaddr> {
        self.addresses.get(self.next % self.addresses.len().max(1))
    }

    /// The attempt to make at `now`: what others say comes first, being new.
    pub(super) fn attempt(&mut self, target: usize, now: Instant) -> Option<Attempt> {
        if self.connection.is_some() {
            return None;
        }
        let site = self.wish.site;
        if let Some(rumour) = self.rumours.pop_front() {
            let Rumour { peer, address } = rumour.clone();
            self.followed = Some(rumour);
            return Some(Attempt { target, address, site, peer: Some(peer) });
        }
        if self.not_before.is_some_and(|moment| now < moment) {
            return None;
        }
        let address = self.address().cloned()?;
        self.next = self.next.wrapping_add(1);
        Some(Attempt { target, address, site, peer: self.peer })
    }

    /// The connection has passed the hello, or another one to the same node has.
    pub(super) fn greeted(&mut self, connection: ConnectionId, caller: Caller) {
        let led_there = self.connection == Some(connection);
        let is_met = match self.node() {
            Some(node) => node == caller.node,
            None => self.site() == Some(caller.site),
        };
        if led_there || is_met {
            self.failures = 0;
            self.not_before = None;
            self.last_failure = None;
            self.seek_pause = FIRST_LOOKUP_PAUSE;
            self.rumours.clear();
        }
        if !led_there {
            return;
        }
        self.learned = Some(caller);
        match self.followed.take() {
            // What has proven true is kept, and is the first to be tried again.
            Some(Rumour { address, .. }) => {
                self.addresses.retain(|known| *known != address);
                self.addresses.truncate(ADDRESSES_LIMIT - 1);
                self.addresses.insert(0, address);
                self.next = 0;
            }
            // The address that led there is the first to try again.
            None => self.next = self.next.wrapping_sub(1),
        }
    }

    /// The attempt has come back to this node: the address is its own.
    pub(super) fn met_itself(&mut self) {
        self.connection = None;
        self.last_failure = Some("the address is this node's own".to_owned());
        if self.followed.take().is_none() {
            self.next = self.next.wrapping_sub(1);
            let own = self.address().cloned();
            self.addresses.retain(|address| Some(address) != own.as_ref());
        }
    }

    /// The attempt has failed; answers whether it followed a rumour.
    pub(super) fn fail(&mut self, now: Instant, longest: Duration, reason: String) -> bool {
        self.connection = None;
        self.last_failure = Some(reason);
        if self.followed.take().is_some() {
            return true;
        }
        // The pause doubles after each round over the addresses, not after each address.
        let round = self.failures / u32::try_from(self.addresses.len().max(1)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST_PAUSE.saturating_mul(1_u32 << round.min(16)).min(longest);
        self.not_before = Some(now + spread(pause));
        false
    }

    /// The site to ask others for, if that is due at `now`: nobody has said where it is, or it has
    /// not been there.
    pub(super) fn seek(&mut self, now: Instant) -> Option<SiteId> {
        let site = self.wish.site.filter(|_| self.origin == Origin::Wished)?;
        let has_failed = usize::try_from(self.failures).is_ok_and(|it| it >= self.addresses.len());
        let waits = self.seek_after.is_some_and(|moment| now < moment);
        if !has_failed || waits || self.is_sought || !self.rumours.is_empty() {
            return None;
        }
        self.is_sought = true;
        Some(site)
    }

    /// Others have been asked; `is_known` says whether one of them knew.
    pub(super) fn sought(&mut self, now: Instant, is_known: bool) {
        self.is_sought = false;
        self.seek_after = Some(now + spread(self.seek_pause));
        self.seek_pause = (self.seek_pause * 2).min(LONGEST_LOOKUP_PAUSE);
        if !is_known && self.addresses.is_empty() {
            self.last_failure = Some("no peer knows where the site is".to_owned());
        }
    }

    /// There is somebody new to ask.
    pub(super) fn ask_anew(&mut self) {
        self.seek_after = None;
        self.seek_pause = FIRST_LOOKUP_PAUSE;
    }

    /// Somebody says where the node is.
    pub(super) fn hear(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        if self.peer.is_some_and(|wished| wished != peer) {
            return;
        }
        for address in addresses {
            let rumour = Rumour { peer, address: address.clone() };
            let room = ADDRESSES_LIMIT.saturating_sub(self.rumours.len());
            let is_new = !self.rumours.contains(&rumour) && self.followed.as_ref() != Some(&rumour);
            if room > 0 && is_new {
                self.rumours.push_back(rumour);
            }
        }
    }

    /// The node is heard under another address on the local network.
    pub(super) fn add(&mut self, address: Multiaddr) {
        if self.addresses.len() < ADDRESSES_LIMIT && !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    /// It is no longer heard under an address; answers whether none is left.
    pub(super) fn drop_address(&mut self, address: &Multiaddr) -> bool {
        self.addresses.retain(|known| known != address);
        self.addresses.is_empty()
    }
}

/// Between half of a pause and all of it, by chance.
fn spread(pause: Duration) -> Duration {
    pause * rand::rng().random_range(500_u32..=1000) / 1000
}
