//! What the sites on a network know of it, and tell each other.
//!
//! ```text
//!   home                                       a site that runs machines on it
//!     Terms -------------------------------->    prefixes, speed, names
//!     Group, Group, ... -------------------->    its security groups, with their rules
//!     Member, Member, ... ------------------>    who is on it, and where
//!     End, End, ... ------------------------>    how the other sites are reached on it
//!     <------------------------------- Joined    how this one is
//!     Group, Member, End, ... -------------->    what of that has changed
//!     Over --------------------------------->    nothing of it is there any more
//! ```
//!
//! Only the home speaks about its networks, to the sites that run a machine on them, and to these
//! only. Networks of a group are routed to each other wherever a machine of one is, so who has a
//! machine on one of them is told of all. Its words come in order and once each (see
//! [`crate::site`]), so that each is about what has changed. A site forwards a machine's frames only
//! from the place that its home says it has.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::gateway::Gateway;
use super::{Offset, Prefix4, Prefix6, Routes, Speed};
use crate::ids::{MachineId, NetworkId, SiteId};
use crate::security::{GroupName, MEMBERSHIPS_MAX, Rules};
use crate::sla::Class;

/// The most characters of a name in a network's DNS: those of a label (RFC 1035, section 2.3.4).
pub const NAME_MAX: usize = 63;

/// The number of a network in VXLAN (RFC 7348, section 5): 24 bits, and not zero.
///
/// Each site chooses by which number it wants to receive a network, so that no numbering is
/// shared between sites.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vni(u32);

/// The number is not one of a network in VXLAN.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is no VXLAN network identifier: it has 24 bits and is not zero")]
pub struct BadVni(u32);

impl Vni {
    /// The first one.
    pub const MIN: Self = Self(1);
    /// The last one.
    pub const MAX: Self = Self((1 << 24) - 1);

    /// The number, if it has at most 24 bits and is not zero.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number < Self::MIN.0 || number > Self::MAX.0 { None } else { Some(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The one after this; none after the last.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

impl TryFrom<u32> for Vni {
    type Error = BadVni;

    fn try_from(number: u32) -> Result<Self, BadVni> {
        Self::new(number).ok_or(BadVni(number))
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a network is, for every site on it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Its IPv4 addresses.
    pub prefix: Prefix4,
    /// Its IPv6 addresses.
    pub prefix6: Prefix6,
    /// How fast each card on it is at the most, in each direction.
    pub speed: Option<Speed>,
    /// What is promised of it.
    pub class: Class,
    /// Whether machines on it that have no public address reach the public network.
    pub outbound: bool,
    /// The domain of its names below `internal`: its service's; none for single machines.
    pub domain: Option<String>,
    /// The first network of its group; none if it stands alone. Networks of one home that say the
    /// same are routed to each other.
    pub group: Option<NetworkId>,
    /// Where what leaves it goes, if neither to its group nor to its exit.
    pub routes: Routes,
}

/// A card on a network.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The machine.
    pub machine: MachineId,
    /// Which of its cards, from 0.
    pub card: u8,
    /// Its name.
    pub name: String,
    /// The name that it shares with the other machines of its component.
    pub component: Option<String>,
    /// The security groups that it is in.
    pub groups: BTreeSet<GroupName>,
    /// The site that it has a place at.
    pub site: Option<SiteId>,
    /// The home's part of its epoch there.
    pub epoch: u64,
}

/// How one site is reached on a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// By which number it receives the network.
    pub vni: Vni,
    /// Through whom; nobody, if it has no gateway just now.
    pub gateway: Option<Gateway>,
}

/// What one site on a network says to another.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Word {
    /// Home to a site that has a machine on it: what the network is.
    Terms(Terms),
    /// Home to the others: who has an address; nobody, if none is named.
    Member {
        /// Which address.
        offset: Offset,
        /// Who.
        member: Option<Member>,
    },
    /// Home to the others: the rules of a security group, whole; there is no such group, if nothing
    /// is said.
    Group {
        /// Its name.
        name: GroupName,
        /// Its rules.
        rules: Option<Rules>,
    },
    /// Home to the others: how another site is reached; not at all, if nothing is said.
    End {
        /// Which site.
        site: SiteId,
        /// How.
        end: Option<End>,
    },
    /// A site to the home: how it is reached itself.
    Joined(End),
    /// Home to a site: it has nothing on the network any more.
    Over,
}

impl Word {
    /// Whether its names are names, and its places places.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Terms(terms) => terms.domain.iter().all(|domain| is_label(domain)),
            Self::Member { member: Some(member), .. } => {
                is_label(&member.name)
                    && member.component.iter().all(|name| is_label(name))
                    && member.groups.len() <= MEMBERSHIPS_MAX
            }
            Self::End { end: Some(end), .. } | Self::Joined(end) => {
                end.gateway.is_none_or(|gateway| gateway.is_sound())
            }
            // The types of a group let only names and rules be said.
            Self::Group { .. }
            | Self::Member { member: None, .. }
            | Self::End { end: None, .. }
            | Self::Over => true,
        }
    }
}

/// Whether a text can stand in a file of names and in an answer of the DNS.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
