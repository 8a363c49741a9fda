//! What one site allows another, as data: whom it sells to and buys from, at which price, up to
//! which credit, how large, how many.
//!
//! Peering is a policy of each side. Neither asks the other for leave: each keeps a row about the
//! other, changes it while running, and says no where the row says no. So a policy may be
//! one-sided, may be changed in the middle of everything, and the same change may be made again.
//! It decides about what is new only: an agreement that stands is held to, whatever the policy
//! has become, until it ends.
//!
//! ```text
//!   Open --drain--> Drained --enable--> Open        nothing new is placed there
//!     |                |
//!     +----remove------+--> Leaving --nothing is left between the two--> Gone --add--> Open
//! ```

pub mod monitor;
pub mod setting;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::agreement::Refusal;
use crate::manifest::OnPartition;
use crate::time::Span;
use crate::units::{Micros, Permille, Price, Size, Tariff};

pub use setting::Setting;

/// The most addresses of one peer: a few nodes with a few networks each.
pub const ADDRESSES_MAX: usize = 16;

/// The longest address, in bytes: a multiaddress through a relay names two keys and two places.
pub const ADDRESS_LENGTH_MAX: usize = 256;

/// For how long an agreement is made, unless the policy says otherwise: a month's bill.
pub const TERM: Span = Span::from_secs(30 * 86_400);

/// How long before it ends an agreement a provider says so, unless the policy says otherwise:
/// enough to find another place and to start there.
pub const NOTICE: Span = Span::from_secs(600);

/// How long a provider keeps the disks of a machine whose agreement ended without the home's word,
/// unless the policy says otherwise: a home that was away for a week still decides about them.
pub const RETENTION: Span = Span::from_secs(7 * 86_400);

/// How far a peer is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The policy alone decides.
    Open,
    /// Nothing new is placed there, and what runs there is placed elsewhere.
    Drained,
    /// As drained, and nothing is sold to it: it is gone once nothing is left between the two.
    Leaving,
    /// It is a stranger. Its row is kept for the numbers of the two streams, which must go on
    /// where they stopped should it ever be added again.
    Gone,
}

/// As what this site sells to a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Selling {
    /// Whether it may buy here at all.
    pub open: bool,
    /// What it pays, as a factor on the tariff.
    pub factor: Permille,
    /// The most that its agreements and the offers made to it may cost in all, for one hour; none
    /// for any amount.
    pub credit: Option<Micros>,
    /// The largest machine that is sold to it; none for any that fits.
    pub largest: Option<Size>,
    /// The most machines that it may have here; none for any number.
    pub machines_max: Option<u32>,
    /// For how long an agreement is made, and renewed.
    pub term: Span,
    /// How long before it ends an agreement this site says so.
    pub notice: Span,
    /// How long the disks of a machine are kept whose agreement ended without its home's word.
    pub retention: Span,
    /// Whether machines are sold that run on while their home is silent: nobody may stop them, so
    /// they may take their room until the agreement ends.
    pub holds: bool,
}

/// As what this site buys from a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Buying {
    /// Whether anything may be bought there at all.
    pub open: bool,
    /// The most that one machine may cost there for one hour; none for any amount.
    pub price_max: Option<Micros>,
    /// How much rather this peer than another: of two offers the one counts as cheaper whose
    /// price, divided by this, is less.
    pub preference: Permille,
}

/// What this site allows a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// When the peer buys here.
    pub selling: Selling,
    /// When this site buys there.
    pub buying: Buying,
}

impl Policy {
    /// Both directions, at the tariff, without bounds: what a peer has of whom nothing more is
    /// said.
    pub const OPEN: Self = Self {
        selling: Selling {
            open: true,
            factor: Permille::ONE,
            credit: None,
            largest: None,
            machines_max: None,
            term: TERM,
            notice: NOTICE,
            retention: RETENTION,
            holds: true,
        },
        buying: Buying { open: true, price_max: None, preference: Permille::ONE },
    };

    /// The policy with these settings, in their order.
    #[must_use]
    pub fn with(self, settings: &[Setting]) -> Self {
        settings.iter().fold(self, |policy, setting| setting.put(policy))
    }
}

/// What a buyer has here already: agreements that stand, and offers that may still be taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// How many machines.
    pub machines: u32,
    /// What they cost for one hour, in all.
    pub hourly: Micros,
}

impl Account {
    /// With one machine more.
    #[must_use]
    pub const fn plus(self, hourly: Micros) -> Self {
        Self {
            machines: self.machines.saturating_add(1),
            hourly: Micros(self.hourly.0.saturating_add(hourly.0)),
        }
    }

    /// Without one of its machines.
    #[must_use]
    pub const fn minus(self, hourly: Micros) -> Self {
        Self {
            machines: self.machines.saturating_sub(1),
            hourly: Micros(self.hourly.0.saturating_sub(hourly.0)),
        }
    }
}

impl Selling {
    /// What a machine of `size` costs this buyer in a class of this factor.
    #[must_use]
    pub fn price(&self, tariff: &Tariff, size: Size, class: Permille) -> Price {
        Price { currency: tariff.currency, hourly: tariff.hourly_for(size, [self.factor, class]) }
    }

    /// Whether a buyer with this account may have one machine more, at this price.
    ///
    /// # Errors
    ///
    /// What the policy has against it.
    pub fn allows(
        &self,
        account: Account,
        (size, on_partition): (Size, OnPartition),
        hourly: Micros,
    ) -> Result<(), Refusal> {
        if !self.open {
            return Err(Refusal::NotServed);
        }
        if on_partition == OnPartition::Hold && !self.holds {
            return Err(Refusal::HoldNotSold);
        }
        if self.largest.is_some_and(|largest| !largest.holds(size)) {
            return Err(Refusal::TooLarge);
        }
        let with = account.plus(hourly);
        if self.machines_max.is_some_and(|most| with.machines > most) {
            return Err(Refusal::TooMany);
        }
        if self.credit.is_some_and(|credit| with.hourly > credit) {
            return Err(Refusal::OverCredit);
        }
        Ok(())
    }
}

/// The share of a site's capacity that is kept for its own tenants, in thousandths of the whole.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reserve(u32);

/// The text is not a share.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is no share: write one from 0 to 1 with at most three decimals, such as 0.25")]
pub struct MalformedReserve(String);

impl std::str::FromStr for Reserve {
    type Err = MalformedReserve;

    fn from_str(text: &str) -> Result<Self, MalformedReserve> {
        let share = text.parse::<Permille>().ok().filter(|share| *share <= Permille::ONE);
        share.map(|it| Self(it.thousandths())).ok_or_else(|| MalformedReserve(text.to_owned()))
    }
}

impl std::fmt::Display for Reserve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

impl Reserve {
    /// What of `capacity` may be sold to others, rounded down in each dimension.
    #[must_use]
    pub fn sellable(self, capacity: Size) -> Size {
        let share = u64::from(1_000_u32.saturating_sub(self.0));
        let of = |amount: u64| {
            let part = u128::from(amount) * u128::from(share) / 1_000;
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        Size {
            vcpus: u32::try_from(of(capacity.vcpus.into())).unwrap_or(u32::MAX),
            memory: crate::units::Mebibytes(of(capacity.memory.0)),
            disk: crate::units::Mebibytes(of(capacity.disk.0)),
        }
    }
}
