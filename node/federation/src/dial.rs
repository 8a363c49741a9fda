//! Whom to dial, and when: the wish is a list of nodes, and every tick compares it with what is.
//!
//! Level-triggered: nothing is remembered of a lost connection but that the peer is not there now.
//! Attempts to one peer follow one another, with pauses that double up to a bound and are spread
//! by chance, so that the peers of a site that comes back do not all come at once. A peer that was
//! connected until now is tried again at once.
//!
//! A site may be wished for several times, once for each of its nodes. Which node is at an address
//! is said by the wish or learned from the first hello there; a wish is fulfilled once that node is
//! connected, whichever side dialled.
//!
//! **Invariant.** Nothing here does I/O or reads a clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use protocol::identity::PublicKey;
use protocol::ids::SiteId;
use rand::Rng;

use crate::options::{Error, PeerAddress};
use crate::{Caller, hello};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The most addresses of one peer: a few networks, TCP and QUIC.
const ADDRESSES_LIMIT: usize = 16;

/// A node that is to be connected.
#[derive(Debug)]
pub(crate) struct Target {
    wish: PeerAddress,
    /// libp2p's name of the node, if the wish names one.
    peer: Option<PeerId>,
    /// The addresses that are not our own.
    addresses: Vec<Multiaddr>,
    /// Who was found there.
    learned: Option<Caller>,
    /// The attempt under way, or the connection it led to.
    connection: Option<ConnectionId>,
    next: usize,
    failures: u32,
    not_before: Option<Instant>,
    last_failure: Option<String>,
}

impl Target {
    fn new(wish: PeerAddress) -> Result<Self, Error> {
        let mut addresses = Vec::new();
        for text in wish.addresses.iter().take(ADDRESSES_LIMIT) {
            addresses.push(parse(text)?);
        }
        if addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        // TCP first: it passes where UDP is shaped or blocked. The sort keeps the order otherwise.
        addresses
            .sort_by_key(|address| !address.iter().any(|part| matches!(part, Protocol::Tcp(_))));
        let name = |node| hello::peer_id(node).ok_or(Error::NodeKey);
        let peer = wish.node.map(name).transpose()?;
        Ok(Self {
            wish,
            peer,
            addresses,
            learned: None,
            connection: None,
            next: 0,
            failures: 0,
            not_before: None,
            last_failure: None,
        })
    }

    /// The site that is wished for, or was found.
    pub(crate) fn site(&self) -> Option<SiteId> {
        self.wish.site.or_else(|| self.learned.map(|found| found.site))
    }

    /// The node that is wished for, or was found.
    fn node(&self) -> Option<PublicKey> {
        self.wish.node.or_else(|| self.learned.map(|found| found.node))
    }

    /// The address to try next; none if all of them are our own.
    fn address(&self) -> Option<&Multiaddr> {
        self.addresses.get(self.next % self.addresses.len().max(1))
    }

    /// The configured addresses.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.wish.addresses
    }

    /// Why the last attempt failed, unless it has succeeded since.
    pub(crate) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }
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

/// The wish, and how far it has come true.
#[derive(Debug)]
pub(crate) struct Dialer {
    targets: Vec<Target>,
    me: PublicKey,
    longest_pause: Duration,
    targets_max: usize,
}

impl Dialer {
    /// A dialer for the node with the key `me`.
    pub(crate) const fn new(me: PublicKey, longest_pause: Duration, targets_max: usize) -> Self {
        Self { targets: Vec::new(), me, longest_pause, targets_max }
    }

    /// The targets, in the order of the wish.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Replaces the wish; what is known of a peer that stays is kept.
    pub(crate) fn wish(&mut self, peers: Vec<PeerAddress>) -> Result<(), Error> {
        if peers.len() > self.targets_max {
            return Err(Error::TooManyPeers { count: peers.len(), limit: self.targets_max });
        }
        let mut targets: Vec<Target> = Vec::new();
        for peer in peers {
            if !targets.iter().any(|target| target.wish == peer) {
                targets.push(Target::new(peer)?);
            }
        }
        for target in &mut targets {
            if let Some(kept) = self.targets.iter().position(|old| old.wish == target.wish) {
                *target = self.targets.swap_remove(kept);
            }
        }
        self.targets = targets;
        Ok(())
    }

    /// The attempts that are due at `now`, one for each node that is not there.
    pub(crate) fn due(&mut self, now: Instant, connected: &BTreeSet<Caller>) -> Vec<Attempt> {
        let fulfilled: Vec<bool> =
            self.targets.iter().map(|target| self.is_fulfilled(target, connected)).collect();
        let mut attempts = Vec::new();
        for (index, target) in self.targets.iter_mut().enumerate() {
            let waits = target.not_before.is_some_and(|moment| now < moment);
            if fulfilled[index] || waits || target.connection.is_some() {
                continue;
            }
            let Some(address) = target.address().cloned() else { continue };
            target.next = target.next.wrapping_add(1);
            let (site, peer) = (target.wish.site, target.peer);
            attempts.push(Attempt { target: index, address, site, peer });
        }
        attempts
    }

    fn is_fulfilled(&self, target: &Target, connected: &BTreeSet<Caller>) -> bool {
        match (target.node(), target.site()) {
            (Some(node), _) => {
                node == self.me || connected.iter().any(|caller| caller.node == node)
            }
            // Nobody has been met there yet. Where the site has no other place, a node of it that
            // has dialled us is the one.
            (None, Some(site)) => {
                let places = self.targets.iter().filter(|other| other.site() == Some(site)).count();
                places == 1 && connected.iter().any(|caller| caller.site == site)
            }
            (None, None) => false,
        }
    }

    /// An attempt has been begun.
    pub(crate) fn begun(&mut self, target: usize, connection: ConnectionId) {
        if let Some(target) = self.targets.get_mut(target) {
            target.connection = Some(connection);
        }
    }

    /// An attempt was not possible.
    pub(crate) fn not_begun(&mut self, target: usize, now: Instant, reason: String) {
        let longest = self.longest_pause;
        if let Some(target) = self.targets.get_mut(target) {
            fail(target, now, longest, reason);
        }
    }

    /// The connection has passed the hello.
    pub(crate) fn greeted(&mut self, connection: ConnectionId, caller: Caller) {
        for target in &mut self.targets {
            let led_there = target.connection == Some(connection);
            let is_met = match target.node() {
                Some(node) => node == caller.node,
                None => target.site() == Some(caller.site),
            };
            if led_there || is_met {
                target.failures = 0;
                target.not_before = None;
                target.last_failure = None;
            }
            if led_there {
                target.learned = Some(caller);
                // The address that led there is the first to try again.
                target.next = target.next.wrapping_sub(1);
            }
        }
    }

    /// An attempt has come back to this node: the address is its own.
    pub(crate) fn met_itself(&mut self, connection: ConnectionId) {
        let found = self.targets.iter_mut().find(|target| target.connection == Some(connection));
        if let Some(target) = found {
            target.connection = None;
            target.next = target.next.wrapping_sub(1);
            let own = target.address().cloned();
            target.addresses.retain(|address| Some(address) != own.as_ref());
            target.last_failure = Some("the address is this node's own".to_owned());
        }
    }

    /// An attempt has failed, before or at the hello.
    pub(crate) fn failed(&mut self, connection: ConnectionId, now: Instant, reason: String) {
        let longest = self.longest_pause;
        let found = self.targets.iter_mut().find(|target| target.connection == Some(connection));
        if let Some(target) = found {
            fail(target, now, longest, reason);
        }
    }

    /// A connection is gone that had passed the hello.
    pub(crate) fn lost(&mut self, connection: ConnectionId) {
        for target in &mut self.targets {
            if target.connection == Some(connection) {
                target.connection = None;
            }
        }
    }
}

fn fail(target: &mut Target, now: Instant, longest: Duration, reason: String) {
    target.connection = None;
    // The pause doubles after each round over the addresses, not after each address.
    let round = target.failures / u32::try_from(target.addresses.len().max(1)).unwrap_or(u32::MAX);
    target.failures = target.failures.saturating_add(1);
    let pause = FIRST_PAUSE.saturating_mul(1_u32 << round.min(16)).min(longest);
    // Between half of the pause and all of it.
    let spread = rand::rng().random_range(500_u32..=1000);
    target.not_before = Some(now + pause * spread / 1000);
    target.last_failure = Some(reason);
}

/// Reads a multiaddress.
pub(crate) fn parse(text: &str) -> Result<Multiaddr, Error> {
    text.parse().map_err(|source| Error::Address { text: text.to_owned(), source })
}
