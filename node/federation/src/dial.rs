//! Whom to dial, and when: the wish is a list of peers, and every tick compares it with what is.
//!
//! Level-triggered: nothing is remembered of a lost connection but that the peer is not there now.
//! Attempts to one peer follow one another, with pauses that double up to a bound and are spread
//! by chance, so that the peers of a site that comes back do not all come at once. A peer that was
//! connected until now is tried again at once.
//!
//! **Invariant.** Nothing here does I/O or reads a clock.

use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use protocol::ids::SiteId;
use rand::Rng;

use crate::options::{Error, PeerAddress};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The most addresses of one peer: a few networks, TCP and QUIC.
const ADDRESSES_LIMIT: usize = 16;

/// A peer that is to be connected.
#[derive(Debug)]
pub(crate) struct Target {
    wish: PeerAddress,
    addresses: Vec<Multiaddr>,
    /// The site found there, when the wish names none.
    learned: Option<SiteId>,
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
        Ok(Self {
            wish,
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
        self.wish.site.or(self.learned)
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
    pub(crate) expected: Option<SiteId>,
}

/// The wish, and how far it has come true.
#[derive(Debug)]
pub(crate) struct Dialer {
    targets: Vec<Target>,
    longest_pause: Duration,
    targets_max: usize,
}

impl Dialer {
    pub(crate) const fn new(longest_pause: Duration, targets_max: usize) -> Self {
        Self { targets: Vec::new(), longest_pause, targets_max }
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

    /// The attempts that are due at `now`, one for each peer that is not there.
    pub(crate) fn due(&mut self, now: Instant, is_up: impl Fn(SiteId) -> bool) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for (index, target) in self.targets.iter_mut().enumerate() {
            let up = target.site().is_some_and(&is_up);
            let waits = target.not_before.is_some_and(|moment| now < moment);
            if up || waits || target.connection.is_some() {
                continue;
            }
            let address = target.addresses[target.next % target.addresses.len()].clone();
            target.next = target.next.wrapping_add(1);
            attempts.push(Attempt { target: index, address, expected: target.wish.site });
        }
        attempts
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
    pub(crate) fn greeted(&mut self, connection: ConnectionId, site: SiteId) {
        for target in &mut self.targets {
            if target.connection == Some(connection) || target.site() == Some(site) {
                target.failures = 0;
                target.not_before = None;
                target.last_failure = None;
            }
            if target.connection == Some(connection) {
                target.learned = Some(site);
                // The address that led there is the first to try again.
                target.next = target.next.wrapping_sub(1);
            }
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
    let round = target.failures / u32::try_from(target.addresses.len()).unwrap_or(u32::MAX);
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
