//! The market: what sites say they have, and whom a buyer asks.
//!
//! An advert is a hint. It is gossiped, small, signed and short-lived, and it is never the reason
//! that a machine is placed: only a hold at the seller is. So adverts stay out of the replicated
//! log; each node keeps a [`Book`] of them, and the leader draws from its book whom to ask.

pub mod book;
pub mod draw;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::identity::Claim;
use crate::time::{Span, Timestamp};
use crate::units::{Size, Tariff};

pub use book::Book;

/// An advert is said again this often, changed or not.
pub const REFRESH: Span = Span::from_secs(60);

/// An advert that was not refreshed counts for nothing after this long: three refreshes, so that
/// two may be lost.
pub const LIFETIME: Span = Span::from_secs(180);

/// A changed advert is said again at once, but not more often than this.
pub const PACE: Span = Span::from_secs(2);

/// What a site says it has to sell.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Advert {
    /// Room in all.
    pub free: Size,
    /// The largest machine that fits on one host.
    pub largest: Size,
    /// What it charges.
    pub tariff: Tariff,
}

impl Claim for Advert {
    const DOMAIN: &'static str = "reservoir 2026 advert v1";
    const LIMIT: usize = 200;
}

/// Whether an advert is due, given the last one and when it was said.
///
/// A change counts only beyond an eighth of what was said (hysteresis), or when room appears or
/// runs out: small changes wait for the next refresh.
#[must_use]
pub fn is_due(last: Option<(&Advert, Timestamp)>, current: &Advert, now: Timestamp) -> bool {
    let Some((said, at)) = last else { return true };
    let age = now.since(at);
    if age >= REFRESH {
        return true;
    }
    age >= PACE
        && (said.tariff != current.tariff
            || differs(u64::from(said.free.vcpus), u64::from(current.free.vcpus))
            || differs(said.free.memory.0, current.free.memory.0)
            || differs(said.free.disk.0, current.free.disk.0))
}

const fn differs(said: u64, current: u64) -> bool {
    said.abs_diff(current) > said / 8
}
