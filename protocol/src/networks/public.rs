//! Public addresses: those of a site by which machines are reached from the public network.
//!
//! An operator gives the site *pools* of them. A tenant has one of them *allocated*, which is its
//! own from then on, and *associates* it with a machine's card; or its manifest asks for one for
//! each machine of a component. An address stays a card's wherever its machine runs, as what comes in
//! for it comes in at the home.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::prefix::overlap;
use super::{BadPrefix, special};
use crate::text::excerpt;

/// The shortest prefix of a pool: more than one site ever gives out.
const SHORTEST: u8 = 16;

/// A prefix of public addresses, each of which can be given out: no link has the whole of it, so
/// neither the first nor the last stands for anything.
///
/// **Invariant.** No bits are set behind the prefix, and machines can have its addresses.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Ipv4Net", into = "Ipv4Net")]
pub struct Pool(Ipv4Net);

impl Pool {
    /// Its addresses, from the first on.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.0.network());
        (first..=u32::from(self.0.broadcast())).map(Ipv4Addr::from)
    }

    /// Whether an address is one of its own.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        self.0.contains(&address)
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        overlap(self.0, other.0)
    }
}

impl TryFrom<Ipv4Net> for Pool {
    type Error = BadPrefix;

    fn try_from(net: Ipv4Net) -> Result<Self, BadPrefix> {
        let given = net.to_string();
        if net.trunc() != net {
            return Err(BadPrefix::HostBits { given, meant: net.trunc().to_string() });
        }
        if net.prefix_len() < SHORTEST {
            return Err(BadPrefix::Length { given, allowed: format!("from {SHORTEST} to 32") });
        }
        match special(net.into()) {
            Some(purpose) => Err(BadPrefix::Special { special: given.clone(), given, purpose }),
            None => Ok(Self(net)),
        }
    }
}

impl From<Pool> for Ipv4Net {
    fn from(pool: Pool) -> Self {
        pool.0
    }
}

impl FromStr for Pool {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let malformed =
            |_| BadPrefix::Malformed { text: excerpt(text), example: "198.51.100.0/28" };
        text.parse::<Ipv4Net>().map_err(malformed)?.try_into()
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
