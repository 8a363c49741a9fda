//! What a node remembers of other sites' adverts.

use std::collections::BTreeMap;

use super::{Advert, LIFETIME};
use crate::identity::{Signed, Verified};
use crate::ids::SiteId;
use crate::time::Timestamp;
use crate::units::{Size, Tariff};

/// The most sites that are remembered: an advert of 400 bytes for each makes 4 MB.
pub const SITES_MAX: usize = 10_000;

/// The most sites of which a proof is kept: an operator needs few of them, and forging sites is
/// cheap.
pub const PROOFS_MAX: usize = 64;

/// What became of an advert that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Noted {
    /// It was news.
    New,
    /// It, or a later one of its site, is known already.
    Known,
    /// It contradicts another one of the same number: its site has said two things at once. Both
    /// are kept.
    Equivocation,
    /// It is longer-lived than it may be by this node's clock, or there is no room for its site.
    Refused,
    /// It is longer-lived than it may be by any clock that is near enough to take part.
    Endless,
}

#[derive(Clone, Debug)]
struct Entry {
    advert: Verified<Advert>,
    heard: Timestamp,
    is_peer: bool,
}

/// A site that may be asked for an offer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The site.
    pub site: SiteId,
    /// Room it says it has in all.
    pub free: Size,
    /// The largest machine that it says fits on one host.
    pub largest: Size,
    /// What it says it charges.
    pub tariff: Tariff,
}

/// A node's adverts.
#[derive(Clone, Debug, Default)]
pub struct Book {
    entries: BTreeMap<SiteId, Entry>,
    proofs: BTreeMap<SiteId, (Signed<Advert>, Signed<Advert>)>,
}

impl Book {
    /// Takes note of an advert; of a peer's, if `is_peer`. Where there is no room for a peer's,
    /// a stranger's has to go: names are free, and whoever invents ten thousand of them must not
    /// keep those out with whom there is trade.
    ///
    /// Clocks may differ by a lifetime. By this node's an honest advert lives for no more than
    /// two, and what an honest node has passed on by its own for no more than three.
    pub fn note(&mut self, advert: Verified<Advert>, is_peer: bool, now: Timestamp) -> Noted {
        let said = advert.statement();
        let site = said.issuer;
        if said.expires_at > now + LIFETIME + LIFETIME + LIFETIME {
            return Noted::Endless;
        }
        if said.expires_at > now + LIFETIME + LIFETIME {
            return Noted::Refused;
        }
        match self.entries.get(&site) {
            Some(entry) => {
                let known = entry.advert.statement();
                let order = (known.incarnation, known.sequence);
                let offered = (said.incarnation, said.sequence);
                if offered < order || entry.advert == advert {
                    return Noted::Known;
                }
                if offered == order {
                    if known == said {
                        return Noted::Known;
                    }
                    let proof = (entry.advert.evidence().clone(), advert.evidence().clone());
                    if self.proofs.len() < PROOFS_MAX {
                        self.proofs.entry(site).or_insert(proof);
                    }
                    return Noted::Equivocation;
                }
            }
            None => {
                if !self.has_room(is_peer) {
                    return Noted::Refused;
                }
            }
        }
        self.entries.insert(site, Entry { advert, heard: now, is_peer });
        Noted::New
    }

    /// Whether there is room for one more site; for a peer, room is made.
    fn has_room(&mut self, is_peer: bool) -> bool {
        if self.entries.len() < SITES_MAX {
            return true;
        }
        let stranger = self.entries.iter().find(|(_, entry)| !entry.is_peer).map(|(site, _)| *site);
        is_peer && stranger.is_some_and(|site| self.entries.remove(&site).is_some())
    }

    /// Forgets adverts that have expired. An expiry further off than [`LIFETIME`] after the
    /// advert was heard does not help it: clocks differ.
    pub fn expire(&mut self, now: Timestamp) {
        self.entries.retain(|_, entry| {
            now <= entry.advert.statement().expires_at && now.since(entry.heard) <= LIFETIME
        });
    }

    /// The sites that have adverts, in the order of their ids.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate> {
        self.entries.iter().map(|(site, entry)| {
            let body = entry.advert.body();
            Candidate { site: *site, free: body.free, largest: body.largest, tariff: body.tariff }
        })
    }

    /// The advert of a site, and when it was heard.
    #[must_use]
    pub fn of(&self, site: SiteId) -> Option<(&Verified<Advert>, Timestamp)> {
        self.entries.get(&site).map(|entry| (&entry.advert, entry.heard))
    }

    /// The sites that were caught saying two things under one number, with the proof.
    pub fn equivocations(
        &self,
    ) -> impl Iterator<Item = (&SiteId, &(Signed<Advert>, Signed<Advert>))> {
        self.proofs.iter()
    }
}
