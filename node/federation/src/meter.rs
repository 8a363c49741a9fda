//! How much each site sends, and when it is too much.
//!
//! Every kind of thing that a peer sends has a bucket of tokens, which fills at a steady rate up to a
//! burst. What finds no token is excess: it is not worked on, and it is counted. The count fades with
//! time; a site whose count grows beyond a bound is shunned until most of it has faded. What no honest
//! peer sends at all costs a site its connection, and counts as much excess: else it would come again
//! at once. Buckets belong to sites, not to connections or nodes, which cost an attacker nothing.
//!
//! What is written to the log about a site is metered too, without being held against it.
//!
//! **Invariant.** Nothing here does I/O or reads a clock.

use std::collections::BTreeMap;
use std::time::Instant;

use protocol::ids::SiteId;

use crate::Channel;
use crate::options::{Limits, Rate};

/// Sites whose meters are kept: more than a policy admits in practice.
const SITES_KEPT: usize = 1024;

/// Excess at which a site is shunned: no peer that heeds the word "busy" comes to so much.
const SHUNNED_AT: u32 = 1000;

/// Excess below which it is welcome again. Fading by a quarter at each review, the count gets there
/// in about a minute.
const WELCOME_BELOW: u32 = 100;

/// Excess that one offence counts for. One may be a fault of software, and passes; two within seconds
/// are enough that the site's adverts are not read for a moment; twenty, that it is shunned.
const OFFENCE: u32 = 50;

/// Lines of the log about one site, and about all together that have proven to be of none: enough to
/// tell what happens, and at a few hundred bytes each some 25 MB a day at the most.
const WORDS: Rate = Rate { per_second: 1, burst: 100 };

/// Tokens are counted in thousandths, so that a slow rate adds something in every millisecond.
const PARTS: u64 = 1000;

/// What is metered.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Adverts,
    Requests(Channel),
    Bytes(Channel),
    Words,
}

#[derive(Debug)]
struct Bucket {
    parts: u64,
    filled: Instant,
}

impl Bucket {
    const fn full(rate: Rate, now: Instant) -> Self {
        Self { parts: rate.burst * PARTS, filled: now }
    }

    fn take(&mut self, rate: Rate, now: Instant, tokens: u64) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_millis();
        let gained = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_mul(rate.per_second);
        self.parts = self.parts.saturating_add(gained).min(rate.burst * PARTS);
        self.filled = now;
        let wanted = tokens.saturating_mul(PARTS);
        let has = self.parts >= wanted;
        if has {
            self.parts -= wanted;
        }
        has
    }
}

#[derive(Debug, Default)]
struct Meter {
    buckets: BTreeMap<Kind, Bucket>,
    excess: u32,
    is_shunned: bool,
}

impl Meter {
    fn take(&mut self, kind: Kind, rate: Rate, now: Instant, tokens: u64) -> bool {
        self.buckets.entry(kind).or_insert_with(|| Bucket::full(rate, now)).take(rate, now, tokens)
    }

    fn exceed(&mut self, by: u32) {
        self.excess = self.excess.saturating_add(by);
        self.is_shunned |= self.excess >= SHUNNED_AT;
    }
}

/// The meters of all sites.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    sites: BTreeMap<SiteId, Meter>,
    /// Of all who have not proven to be of a site.
    strangers: Meter,
}

impl Meters {
    fn of(&mut self, site: SiteId) -> &mut Meter {
        if self.sites.len() >= SITES_KEPT && !self.sites.contains_key(&site) {
            // One that owes nothing, if there is one: a flooder does not push itself out.
            let idle =
                self.sites.iter().min_by_key(|(_, meter)| meter.excess).map(|(site, _)| *site);
            if let Some(idle) = idle {
                self.sites.remove(&idle);
            }
        }
        self.sites.entry(site).or_default()
    }

    /// Whether a request of a site is worked on.
    pub(crate) fn admits_request(
        &mut self,
        site: SiteId,
        channel: Channel,
        bytes: usize,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let meter = self.of(site);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let admitted = meter.take(Kind::Requests(channel), limits.ask_rate, now, 1)
            && meter.take(Kind::Bytes(channel), limits.byte_rate, now, bytes);
        if !admitted {
            meter.exceed(1);
        }
        admitted
    }

    /// Whether an advert that a site passes on is judged.
    pub(crate) fn admits_advert(&mut self, site: SiteId, limits: &Limits, now: Instant) -> bool {
        let meter = self.of(site);
        let admitted = meter.take(Kind::Adverts, limits.advert_rate, now, 1);
        if !admitted {
            meter.exceed(1);
        }
        admitted
    }

    /// A site has sent what no honest peer sends.
    pub(crate) fn offends(&mut self, site: SiteId) {
        self.of(site).exceed(OFFENCE);
    }

    /// Whether the log has room for another line about a site, or about a stranger.
    pub(crate) fn admits_word(&mut self, site: Option<SiteId>, now: Instant) -> bool {
        let meter = match site {
            Some(site) => self.of(site),
            None => &mut self.strangers,
        };
        meter.take(Kind::Words, WORDS, now, 1)
    }

    /// How much a site has sent too much of late.
    pub(crate) fn excess(&self, site: SiteId) -> u32 {
        self.sites.get(&site).map_or(0, |meter| meter.excess)
    }

    /// Whether a site is shunned.
    pub(crate) fn is_shunned(&self, site: SiteId) -> bool {
        self.sites.get(&site).is_some_and(|meter| meter.is_shunned)
    }

    /// Lets a part of the excess fade; called at every review.
    pub(crate) fn fade(&mut self) {
        for meter in self.sites.values_mut() {
            meter.excess -= meter.excess.div_ceil(4);
            meter.is_shunned &= meter.excess >= WELCOME_BELOW;
        }
    }
}
