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
//! Where a site is may also be said by others: by a peer that was asked (`swarm::directory`), or by
//! the node itself on the local network. Each such word costs one dial, whose hello shows whether
//! it was true.
//!
//! **Invariant.** Nothing here does I/O or reads a clock.

pub(crate) mod address;
mod target;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use protocol::identity::PublicKey;
use protocol::ids::SiteId;

use crate::options::{Error, PeerAddress};
use crate::{Caller, hello};
use target::Origin;
pub(crate) use target::{Attempt, Target};

/// The most nodes of the local network that are dialled: whoever is there can pretend to be many.
const NEARBY_LIMIT: usize = 64;

/// The longest pause between two attempts to reach a node that was heard nearby: most of those
/// that refuse once are no peers.
const NEARBY_PAUSE: Duration = Duration::from_secs(60);

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

    /// What is wished for, in the order of the wish.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.origin == Origin::Wished)
    }

    /// Replaces the wish; what is known of a peer that stays is kept.
    pub(crate) fn wish(&mut self, peers: Vec<PeerAddress>) -> Result<(), Error> {
        if peers.len() > self.targets_max {
            return Err(Error::TooManyPeers { count: peers.len(), limit: self.targets_max });
        }
        let mut targets: Vec<Target> = Vec::new();
        for peer in peers {
            if !targets.iter().any(|target| target.wish == peer) {
                targets.push(Target::new(peer, Origin::Wished)?);
            }
        }
        for target in &mut targets {
            let kept = self
                .targets
                .iter()
                .position(|old| old.origin == Origin::Wished && old.wish == target.wish);
            if let Some(kept) = kept {
                *target = self.targets.swap_remove(kept);
            }
        }
        targets.extend(self.targets.drain(..).filter(|old| old.origin == Origin::Nearby));
        self.targets = targets;
        Ok(())
    }

    /// The attempts that are due at `now`, one for each node that is not there.
    pub(crate) fn due(&mut self, now: Instant, connected: &BTreeSet<Caller>) -> Vec<Attempt> {
        let missing = self.missing(connected);
        let attempts = missing.into_iter().map(|index| self.targets[index].attempt(index, now));
        attempts.flatten().collect()
    }

    /// The sites for which others are to be asked at `now`, at most `room` of them.
    pub(crate) fn sought(
        &mut self,
        now: Instant,
        connected: &BTreeSet<Caller>,
        room: usize,
    ) -> Vec<SiteId> {
        let missing = self.missing(connected);
        missing.into_iter().filter_map(|index| self.targets[index].seek(now)).take(room).collect()
    }

    /// The places of the targets that are not there.
    fn missing(&self, connected: &BTreeSet<Caller>) -> Vec<usize> {
        let all = self.targets.iter().enumerate();
        all.filter(|(_, target)| !self.is_fulfilled(target, connected)).map(|(at, _)| at).collect()
    }

    fn is_fulfilled(&self, target: &Target, connected: &BTreeSet<Caller>) -> bool {
        match (target.node(), target.site()) {
            (Some(node), _) => {
                node == self.me || connected.iter().any(|caller| caller.node == node)
            }
            // Nobody has been met there yet. Where the site has no other place, a node of it that
            // has dialled us is the one.
            (None, Some(site)) => {
                let places = self.targets().filter(|other| other.site() == Some(site)).count();
                places == 1 && connected.iter().any(|caller| caller.site == site)
            }
            (None, None) => false,
        }
    }

    fn of(&mut self, connection: ConnectionId) -> Option<&mut Target> {
        self.targets.iter_mut().find(|target| target.connection == Some(connection))
    }

    /// An attempt has been begun.
    pub(crate) fn begun(&mut self, target: usize, connection: ConnectionId) {
        if let Some(target) = self.targets.get_mut(target) {
            target.connection = Some(connection);
        }
    }

    /// The connection has passed the hello.
    pub(crate) fn greeted(&mut self, connection: ConnectionId, caller: Caller) {
        for target in &mut self.targets {
            target.greeted(connection, caller);
        }
    }

    /// An attempt has come back to this node.
    pub(crate) fn met_itself(&mut self, connection: ConnectionId) {
        if let Some(target) = self.of(connection) {
            target.met_itself();
        }
    }

    /// An attempt has failed, before or at the hello. Answers the site that was not where others
    /// said it was, if they did.
    pub(crate) fn failed(
        &mut self,
        connection: ConnectionId,
        now: Instant,
        reason: String,
    ) -> Option<SiteId> {
        let longest = self.longest_pause;
        let target = self.of(connection)?;
        let longest = match target.origin {
            Origin::Wished => longest,
            Origin::Nearby => NEARBY_PAUSE,
        };
        target.fail(now, longest, reason).then(|| target.site()).flatten()
    }

    /// A connection is gone that had passed the hello.
    pub(crate) fn lost(&mut self, connection: ConnectionId) {
        if let Some(target) = self.of(connection) {
            target.connection = None;
        }
    }

    /// Others have been asked where a site is.
    pub(crate) fn answered(&mut self, site: SiteId, now: Instant, is_known: bool) {
        for target in self.targets.iter_mut().filter(|target| target.site() == Some(site)) {
            target.sought(now, is_known);
        }
    }

    /// There is somebody new to ask where sites are.
    pub(crate) fn ask_anew(&mut self) {
        self.targets.iter_mut().for_each(Target::ask_anew);
    }

    /// Somebody says where a node of a site is.
    pub(crate) fn hear(&mut self, site: SiteId, peer: PeerId, addresses: &[Multiaddr]) {
        for target in self.targets.iter_mut().filter(|target| target.wish.site == Some(site)) {
            target.hear(peer, addresses);
        }
    }

    /// A node says on the local network that it is there.
    pub(crate) fn nearby(&mut self, peer: &PeerId, address: Multiaddr) {
        let Some(node) = hello::proven_key(peer).filter(|node| *node != self.me) else { return };
        let mut heard = self.targets.iter_mut().filter(|target| target.origin == Origin::Nearby);
        if let Some(known) = heard.find(|target| target.wish.node == Some(node)) {
            return known.add(address);
        }
        let count = self.targets.iter().filter(|it| it.origin == Origin::Nearby).count();
        let addresses = vec![address.to_string()];
        let wish = PeerAddress { site: None, node: Some(node), addresses };
        if let Ok(target) = Target::new(wish, Origin::Nearby)
            && count < NEARBY_LIMIT
        {
            self.targets.push(target);
        }
    }

    /// A node is no longer heard under an address.
    pub(crate) fn silent(&mut self, peer: &PeerId, address: &Multiaddr) {
        let Some(node) = hello::proven_key(peer) else { return };
        self.targets.retain_mut(|target| {
            let is_it = target.origin == Origin::Nearby && target.wish.node == Some(node);
            !(is_it && target.drop_address(address))
        });
    }
}

/// Checks where a peer is said to be: a number or a name, then TCP or QUIC, and perhaps the way
/// through a relay. Names are made numbers by whoever wishes for the peer.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    let address = parse(text)?;
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let rest = match &parts[..] {
        [place, Protocol::Tcp(_), rest @ ..] if address::is_place(place) => rest,
        [place, Protocol::Udp(_), Protocol::QuicV1, rest @ ..] if address::is_place(place) => rest,
        _ => return Err(Error::Form { text: text.to_owned() }),
    };
    let is_way = |part: &Protocol<'_>| matches!(part, Protocol::P2p(_) | Protocol::P2pCircuit);
    if rest.iter().all(is_way) { Ok(()) } else { Err(Error::Form { text: text.to_owned() }) }
}

/// Reads a multiaddress.
pub(crate) fn parse(text: &str) -> Result<Multiaddr, Error> {
    text.parse().map_err(|source| Error::Address { text: text.to_owned(), source })
}
