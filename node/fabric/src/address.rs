//! The addresses of one bridge: which is the bridge's own, and which slot has which.
//!
//! A slot is a number that the site gives a machine on a bridge. Its address follows from it by
//! arithmetic, so that every replica of the site knows it without asking a host.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The first slot's distance from the base: the bridge has 1, and 2 to 9 are left for routers.
const FIRST: u32 = 10;

/// The most slots of one bridge. Linux gives a bridge 1024 ports; a few belong to tunnels.
pub const SLOTS_MAX: usize = 1000;

/// The range of prefix lengths: at /28 there is room for five guests; above /16 nothing is
/// gained, since the ports of a bridge end first.
const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// An IPv4 subnet, given by its base address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Subnet {
    base: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The bridge's own address.
    #[must_use]
    pub const fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() + 1)
    }

    /// The lowest address, which names the subnet.
    #[must_use]
    pub const fn base(self) -> Ipv4Addr {
        self.base
    }

    /// How many leading bits all addresses share.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The mask of those bits.
    #[must_use]
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - self.prefix as u32))
    }

    /// The address of the slot with this number, counted from zero; none if the subnet ends
    /// before it.
    #[must_use]
    pub fn slot(self, number: u16) -> Option<Ipv4Addr> {
        let address = self.base.to_bits() + FIRST + u32::from(number);
        let fits = usize::from(number) < SLOTS_MAX && address < self.last();
        fits.then(|| Ipv4Addr::from_bits(address))
    }

    /// Whether a guest may have this address.
    #[must_use]
    pub fn is_for_guests(self, address: Ipv4Addr) -> bool {
        (self.gateway().to_bits() + 1..self.last()).contains(&address.to_bits())
    }

    /// The highest address, which means all of them.
    const fn last(self) -> u32 {
        self.base.to_bits() | !self.mask().to_bits()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The text is not a subnet for guests.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedSubnet {
    /// Not an address, a slash and a number.
    #[error("'{0}' is not a subnet: write it as 10.77.1.0/24")]
    Form(String),
    /// Too large or too small.
    #[error("'{0}' has no prefix length from 16 to 28")]
    Prefix(String),
    /// Bits are set behind the prefix.
    #[error("'{0}' is an address within a subnet: write {1}")]
    Base(String, Subnet),
    /// Not of the addresses set aside for private use (RFC 1918).
    #[error("'{0}' is not private: take it from 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")]
    Public(String),
}

impl FromStr for Subnet {
    type Err = MalformedSubnet;

    fn from_str(text: &str) -> Result<Self, MalformedSubnet> {
        let form = || MalformedSubnet::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if !PREFIXES.contains(&prefix) {
            return Err(MalformedSubnet::Prefix(text.to_owned()));
        }
        let given = Self { base: address, prefix };
        let base = Ipv4Addr::from_bits(address.to_bits() & given.mask().to_bits());
        if base != address {
            return Err(MalformedSubnet::Base(text.to_owned(), Self { base, prefix }));
        }
        if !base.is_private() {
            return Err(MalformedSubnet::Public(text.to_owned()));
        }
        Ok(given)
    }
}
