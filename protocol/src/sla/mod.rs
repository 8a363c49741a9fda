//! What a site promises of a machine: the classes of service.
//!
//! A class means the same at every site, or offers could not be compared and a tenant's word would
//! change its meaning on the way: it is the share of a month in which a machine that should be
//! ACTIVE is. Which classes a site sells, and at which factor on its tariff, is its own affair; a
//! site promises nothing that its operator has not put a price on.
//!
//! The deck writes `SLA(C1) = Gold`; case does not matter.

pub mod measure;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::Permille;

/// A class of service; a later one promises more.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing is promised.
    #[default]
    BestEffort,
    /// It is there for 99 % of a month: 7.2 hours of thirty days may be missing.
    Bronze,
    /// 99.5 %: 3.6 hours.
    Silver,
    /// 99.9 %: 43 minutes.
    Gold,
}

impl Class {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::BestEffort, Self::Bronze, Self::Silver, Self::Gold];

    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "best-effort",
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
        }
    }

    /// The share of a month in which a machine that should be ACTIVE is; none is promised of
    /// [`BestEffort`](Self::BestEffort).
    #[must_use]
    pub const fn availability(self) -> Option<Permille> {
        match self {
            Self::BestEffort => None,
            Self::Bronze => Permille::new(990),
            Self::Silver => Permille::new(995),
            Self::Gold => Permille::new(999),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no class.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is no class of service: write best-effort, bronze, silver or gold")]
pub struct Unknown(String);

impl FromStr for Class {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let known = Self::ALL.into_iter().find(|class| class.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| Unknown(text.to_owned()))
    }
}

/// The classes that a site sells, each with its factor on the tariff; none, and it is not sold.
/// Machines without a promise are always sold, at the tariff itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// See [`Class::Bronze`].
    pub bronze: Option<Permille>,
    /// See [`Class::Silver`].
    pub silver: Option<Permille>,
    /// See [`Class::Gold`].
    pub gold: Option<Permille>,
}

impl Catalogue {
    /// Nothing is promised.
    pub const NONE: Self = Self { bronze: None, silver: None, gold: None };

    /// The factor of a class; none if it is not sold.
    #[must_use]
    pub const fn factor(&self, class: Class) -> Option<Permille> {
        match class {
            Class::BestEffort => Some(Permille::ONE),
            Class::Bronze => self.bronze,
            Class::Silver => self.silver,
            Class::Gold => self.gold,
        }
    }

    /// The cheapest class that promises no less than `least`, with its factor; of equally cheap
    /// ones the one that promises most. None if nothing so good is sold.
    #[must_use]
    pub fn cheapest(&self, least: Class) -> Option<(Class, Permille)> {
        let sold = Class::ALL.into_iter().filter(|class| *class >= least);
        let sold = sold.rev().filter_map(|class| Some((class, self.factor(class)?)));
        sold.min_by_key(|(_, factor)| *factor)
    }

    /// The classes that are sold, the least first, each with its factor.
    pub fn sold(&self) -> impl Iterator<Item = (Class, Permille)> {
        let all = Class::ALL.into_iter();
        all.filter_map(|class| Some((class, self.factor(class)?)))
    }
}
