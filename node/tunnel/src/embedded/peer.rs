//! The peers of a tunnel, and which inner address is whose.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use boringtun::noise::Tunn;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519;

use crate::{PeerDrops, PeerState, PublicKey, Traffic};

/// A number that only grows, and is read by others than those who count.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, number: usize) {
        let number = u64::try_from(number).expect("a length fits 64 bits");
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Packets and bytes.
#[derive(Debug, Default)]
pub(super) struct TrafficCounter {
    packets: Counter,
    bytes: Counter,
}

impl TrafficCounter {
    pub(super) fn count(&self, packet: &[u8]) {
        self.packets.add(1);
        self.bytes.add(packet.len());
    }

    fn get(&self) -> Traffic {
        Traffic { packets: Some(self.packets.get()), bytes: self.bytes.get() }
    }
}

/// What of a peer's packets was dropped.
#[derive(Debug, Default)]
pub(super) struct PeerDropCounters {
    pub(super) wrong_source: Counter,
    pub(super) replayed: Counter,
    pub(super) unauthentic: Counter,
    pub(super) malformed: Counter,
    pub(super) unsent: Counter,
}

/// One peer.
pub(super) struct Peer {
    pub(super) public_key: PublicKey,
    pub(super) keepalive: Option<NonZeroU16>,
    tunn: Mutex<Tunn>,
    endpoint: Mutex<Option<SocketAddr>>,
    pub(super) received: TrafficCounter,
    pub(super) sent: TrafficCounter,
    pub(super) drops: PeerDropCounters,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.public_key)
    }
}

impl Peer {
    /// `number` tells its sessions from those of others; it has 24 bits.
    pub(super) fn new(
        secret: x25519::StaticSecret,
        limiter: Arc<RateLimiter>,
        number: u32,
        wanted: &crate::Peer,
    ) -> Self {
        let public = x25519::PublicKey::from(*wanted.public_key.as_bytes());
        let keepalive = wanted.keepalive.map(NonZeroU16::get);
        Self {
            public_key: wanted.public_key,
            keepalive: wanted.keepalive,
            tunn: Mutex::new(Tunn::new(secret, public, None, keepalive, number, Some(limiter))),
            endpoint: Mutex::new(wanted.endpoint),
            received: TrafficCounter::default(),
            sent: TrafficCounter::default(),
            drops: PeerDropCounters::default(),
        }
    }

    /// The state of its sessions. A thread that panicked left it as any packet may.
    pub(super) fn tunn(&self) -> MutexGuard<'_, Tunn> {
        self.tunn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is from now on.
    pub(super) fn set_endpoint(&self, endpoint: SocketAddr) {
        let mut place = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        if *place != Some(endpoint) {
            tracing::debug!(peer = %self.public_key, %endpoint, "a peer is heard from elsewhere");
            *place = Some(endpoint);
        }
    }

    pub(super) fn state(&self) -> PeerState {
        let drops = &self.drops;
        PeerState {
            public_key: self.public_key,
            endpoint: self.endpoint(),
            last_handshake: self.tunn().time_since_last_handshake(),
            received: self.received.get(),
            sent: self.sent.get(),
            drops: Some(PeerDrops {
                wrong_source: drops.wrong_source.get(),
                replayed: drops.replayed.get(),
                unauthentic: drops.unauthentic.get(),
                malformed: drops.malformed.get(),
                unsent: drops.unsent.get(),
            }),
        }
    }
}

/// The peers of a tunnel, found by whatever a packet says.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By key, each with its number.
    pub(super) by_key: HashMap<PublicKey, (u32, Arc<Peer>)>,
    pub(super) by_number: HashMap<u32, Arc<Peer>>,
    pub(super) by_address: HashMap<IpAddr, Arc<Peer>>,
}

/// Where the packet of IP says that it goes.
pub(super) fn destination(packet: &[u8]) -> Option<IpAddr> {
    address(packet, 16, 24)
}

/// The address at one of two places.
fn address(packet: &[u8], ipv4: usize, ipv6: usize) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let bytes: [u8; 4] = packet.get(ipv4..ipv4 + 4)?.try_into().ok()?;
            Some(IpAddr::from(bytes))
        }
        6 => {
            let bytes: [u8; 16] = packet.get(ipv6..ipv6 + 16)?.try_into().ok()?;
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

/// The bits of explicit congestion notification of a packet of IP.
pub(super) fn ecn(packet: &[u8]) -> u8 {
    match packet {
        [first, second, ..] if first >> 4 == 4 => second & 0b11,
        [first, second, ..] if first >> 4 == 6 => (second >> 4) & 0b11,
        _ => 0,
    }
}
