//! How many handshakes one source may begin: each costs us arithmetic on a curve.
//!
//! What comes here has shown that it knows our key, and, once there are many in a second, that it
//! gets packets at the address that it sends from (the cookie of WireGuard, section 5.4.7). So the
//! sources that are counted here are real.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How many a source may begin in a second, as in the kernel's WireGuard.
const EACH: u16 = 20;
/// How many all may begin in a second before they have to show that their addresses are theirs.
/// A thousand peers begin one every two minutes.
const ALL: u64 = 100;
/// What the library counts, which looks at each of them twice.
pub(super) const UNDER_LOAD: u64 = 2 * ALL;
/// Sources share counters by their hash, so that many sources cost no memory. [`ALL`] is far less.
const COUNTERS: usize = 1024;
const PERIOD: Duration = Duration::from_secs(1);

/// What each source has begun in this second.
#[derive(Debug)]
pub(super) struct Flood {
    counters: Box<[u16; COUNTERS]>,
    since: Instant,
    hasher: RandomState,
}

impl Flood {
    pub(super) fn new(now: Instant) -> Self {
        Self { counters: Box::new([0; COUNTERS]), since: now, hasher: RandomState::new() }
    }

    /// Whether one more of this source is to be answered.
    pub(super) fn admits(&mut self, source: IpAddr, now: Instant) -> bool {
        if now.duration_since(self.since) >= PERIOD {
            self.counters.fill(0);
            self.since = now;
        }
        // Who has one address of IPv6 has all of its network.
        let hash = match source.to_canonical() {
            IpAddr::V4(address) => self.hasher.hash_one(address),
            IpAddr::V6(address) => self.hasher.hash_one(&address.segments()[..4]),
        };
        let place = hash % u64::try_from(COUNTERS).expect("it is a small number");
        let counter = &mut self.counters[usize::try_from(place).expect("it is a small number")];
        *counter = counter.saturating_add(1);
        *counter <= EACH
    }
}
