//! Which of several offers a buyer takes.
//!
//! The criteria in their order, each with its reason:
//!
//! 1. **What is not bought at all**: a peer from which nothing is bought any more, a price in
//!    another currency than this site's own (nothing here can say what it is worth), a price
//!    above what the operator pays there. The manifest's directives have been kept to before:
//!    nobody else was asked.
//! 2. **Price**, divided by the operator's preference for the peer. Offers within a tenth of the
//!    best are as good as it: for a few per cent nobody should give up what follows, and sellers
//!    who undercut each other by nothing do not draw everything to one place.
//! 3. **Spread**: where the fewest machines of the same component are, so that the loss of one
//!    site takes as few of its replicas as can be.
//! 4. **Class**: at as good a price, the better promise.
//! 5. **Latency**, in steps of ten milliseconds, since nothing smaller is felt and jitter should
//!    not decide. A peer that has not been measured comes after those that have.
//! 6. **What runs there already**: a site with more of this one's machines has their images, and
//!    keeps the number of sites low that have to be reached.
//! 7. The price to the last digit, then the order of ids, so that every replica chooses the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::buyer::Offer;
use crate::ids::SiteId;
use crate::peering::Buying;
use crate::time::Span;
use crate::units::{Currency, Micros};

/// Offers are as good as the best if they cost at most one part in this many more.
const TOLERANCE: u128 = 10;

/// Round trips are compared in steps of so many milliseconds.
const LATENCY_STEP: u64 = 10;

/// What is known of a site that is asked, before it answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The site.
    pub site: SiteId,
    /// The round trip to it, if the leader has measured one.
    pub round_trip: Option<Span>,
}

/// What the buyer thinks of a site, for one machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Regard {
    /// When anything is bought there.
    pub buying: Buying,
    /// The round trip to it, if one has been measured.
    pub round_trip: Option<Span>,
    /// How many machines of the same component are there.
    pub siblings: usize,
    /// How many machines of this site are there in all.
    pub machines: usize,
}

/// Why an offer is not taken, however it compares with others.
#[must_use]
pub fn objection(offer: &Offer, regard: Option<&Regard>, currency: Currency) -> Option<Refusal> {
    let price = offer.terms.price;
    match regard {
        Some(regard) if regard.buying.open => {
            let dear = regard.buying.price_max.is_some_and(|most| price.hourly > most);
            if price.currency != currency {
                Some(Refusal::OtherCurrency)
            } else if dear {
                Some(Refusal::TooDear)
            } else {
                None
            }
        }
        Some(_) | None => Some(Refusal::NotWanted),
    }
}

/// The place of the best of these offers, against which there is no objection.
#[must_use]
pub fn best(offers: &[Offer], regards: &BTreeMap<SiteId, Regard>) -> Option<usize> {
    let weighed: Vec<(usize, &Offer, &Regard, u128)> = offers
        .iter()
        .enumerate()
        .filter_map(|(place, offer)| {
            let regard = regards.get(&offer.site)?;
            Some((place, offer, regard, weighed(offer.terms.price.hourly, &regard.buying)))
        })
        .collect();
    let cheapest = weighed.iter().map(|(.., price)| *price).min()?;
    let most = cheapest.saturating_add(cheapest / TOLERANCE);
    weighed
        .into_iter()
        .filter(|(.., price)| *price <= most)
        .min_by_key(|(_, offer, regard, price)| {
            let latency = regard.round_trip.map(|time| time.as_millis() / LATENCY_STEP);
            let unmeasured = latency.is_none();
            let machines = Reverse(regard.machines);
            let class = Reverse(offer.terms.class);
            (regard.siblings, class, unmeasured, latency, machines, *price, offer.site)
        })
        .map(|(place, ..)| place)
}

/// A price, weighed with the preference for who asks it; in thousandths of a millionth.
fn weighed(price: Micros, buying: &Buying) -> u128 {
    let preference = u128::from(buying.preference.thousandths().max(1));
    u128::from(price.0) * 1_000_000 / preference
}
