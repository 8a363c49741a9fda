//! Prefixes of tenants' networks, and the addresses in them by number.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The longest IPv4 prefix: of its sixteen addresses, eleven are for machines.
const LONGEST: u8 = 28;

/// How many bits longer the prefix of a network is than that of its group, if it does not say: as many
/// networks as a service may have find room.
const SHARES: u8 = 4;

/// The shortest IPv4 prefix: the largest block that is set aside for private use (RFC 1918).
const SHORTEST: u8 = 8;

/// The length of an IPv6 prefix: that of any link's (RFC 4291, section 2.5.1).
const LENGTH_6: u8 = 64;

/// The first offset that a machine may have. The network itself, its gateway and two more are not
/// given out, as in EC2, whose clients count on it.
const FIRST: u32 = 4;

/// The offset of the gateway, which answers for DHCP, DNS and metadata as well.
const GATEWAY: u32 = 1;

/// IPv4 addresses that mean something else than a machine on a network (RFC 6890): each with what
/// it is for.
const SPECIAL: [(Ipv4Addr, u8, &str); 5] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local addresses, where metadata is served"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved use"),
];

/// The text is no prefix of a network, or of none that machines can have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPrefix {
    /// Not an address and a length.
    #[error("'{text}' is no prefix of a network")]
    Malformed {
        /// What is given.
        text: String,
        /// What would do.
        example: &'static str,
    },
    /// Bits are set behind the prefix.
    #[error("{given} is an address within the prefix {meant}")]
    HostBits {
        /// What is given.
        given: String,
        /// The prefix that it lies in.
        meant: String,
    },
    /// Too long or too short.
    #[error("the length of {given} must be {allowed}")]
    Length {
        /// What is given.
        given: String,
        /// What would do.
        allowed: String,
    },
    /// It overlaps addresses that are for something else.
    #[error("{given} overlaps {special}, which is for {purpose}")]
    Special {
        /// What is given.
        given: String,
        /// What it overlaps.
        special: String,
        /// What that is for.
        purpose: &'static str,
    },
}

impl BadPrefix {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed { example, .. } => {
                format!("write an address and a length, such as {example}")
            }
            Self::HostBits { meant, .. } => format!("write {meant}"),
            Self::Length { allowed, .. } => format!("the length must be {allowed}"),
            Self::Special { .. } => "write a prefix for private use, such as 10.1.0.0/16 or \
                                     fd12:3456:789a:1::/64"
                .to_owned(),
        }
    }
}

/// The number of an address in a network, counted from the beginning of its prefix.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u32);

/// The IPv4 addresses of a network.
///
/// **Invariant.** No bits are set behind the prefix, machines fit into it, and none of its
/// addresses means something else.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Ipv4Net", into = "Ipv4Net")]
pub struct Prefix4(Ipv4Net);

impl Prefix4 {
    /// The address with this number, if a machine may have it.
    #[must_use]
    pub fn address(self, offset: Offset) -> Option<Ipv4Addr> {
        self.offsets().contains(&offset.0).then(|| self.at(offset.0))
    }

    /// The number of an address, if a machine may have it.
    #[must_use]
    pub fn offset(self, address: Ipv4Addr) -> Option<Offset> {
        let offset = u32::from(address).checked_sub(u32::from(self.0.network()))?;
        self.offsets().contains(&offset).then_some(Offset(offset))
    }

    /// The gateway's address.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        self.at(GATEWAY)
    }

    /// The numbers that machines may have: all but the first four and the last.
    #[must_use]
    pub fn offsets(self) -> std::ops::Range<u32> {
        FIRST..u32::from(self.0.broadcast()) - u32::from(self.0.network())
    }

    /// The prefix as an address and a length.
    #[must_use]
    pub const fn net(self) -> Ipv4Net {
        self.0
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        overlap(self.0, other.0)
    }

    /// Whether all addresses of another are in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// A sixteenth of it, or the smallest network that there can be, which overlaps none of those
    /// given; none if they take all of it.
    #[must_use]
    pub fn share(self, given: &[Self]) -> Option<Self> {
        let length = (self.0.prefix_len() + SHARES).min(LONGEST);
        let shares = self.0.subnets(length).ok()?.filter_map(|net| Self::try_from(net).ok());
        let mut free = shares.filter(|share| given.iter().all(|other| !share.overlaps(*other)));
        free.next()
    }

    /// A prefix that overlaps none of those given, of which there are less than a hundred: the next
    /// of 10.1.0.0/16, 10.2.0.0/16 and so on, or, if somebody has taken all of 10.0.0.0/8, of
    /// 172.16.0.0/12, or else wherever there is one.
    #[must_use]
    pub(crate) fn spare(given: &[Self]) -> Self {
        let tens = (1..=255).map(|number| [10, number, 0, 0]);
        let others = (16..32).map(|number| [172, number, 0, 0]);
        let anywhere = (1..=223).map(|number| [number, 1, 0, 0]);
        let prefixes = tens.chain(others).chain(anywhere).filter_map(|octets: [u8; 4]| {
            Self::try_from(Ipv4Net::new(octets.into(), 16).ok()?).ok()
        });
        let mut free = prefixes.filter(|prefix| given.iter().all(|other| !prefix.overlaps(*other)));
        free.next().expect("a hundred, none shorter than eight bits, leave most of the others free")
    }

    /// The address with this number, whatever it is for.
    pub(crate) fn at(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.0.network()) + offset)
    }
}

/// What addresses are for of which no machine has one, if the whole of a block is of them.
pub(crate) fn special(net: IpNet) -> Option<&'static str> {
    match net {
        IpNet::V4(net) => {
            let within = SPECIAL.into_iter().find(|(address, length, _)| {
                *length <= net.prefix_len()
                    && Ipv4Net::new(*address, *length).is_ok_and(|it| it.contains(&net))
            });
            within.map(|(_, _, purpose)| purpose)
        }
        IpNet::V6(net) if net.network().is_multicast() => Some("multicast"),
        IpNet::V6(net) if net.network().is_loopback() => Some("loopback"),
        IpNet::V6(_) => None,
    }
}

pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

impl TryFrom<Ipv4Net> for Prefix4 {
    type Error = BadPrefix;

    fn try_from(net: Ipv4Net) -> Result<Self, BadPrefix> {
        let given = net.to_string();
        if net.trunc() != net {
            return Err(BadPrefix::HostBits { given, meant: net.trunc().to_string() });
        }
        if !(SHORTEST..=LONGEST).contains(&net.prefix_len()) {
            let allowed = format!("from {SHORTEST} to {LONGEST}");
            return Err(BadPrefix::Length { given, allowed });
        }
        for (address, length, purpose) in SPECIAL {
            let special = Ipv4Net::new(address, length).expect("its length is one of IPv4");
            if overlap(net, special) {
                return Err(BadPrefix::Special { given, special: special.to_string(), purpose });
            }
        }
        Ok(Self(net))
    }
}

impl From<Prefix4> for Ipv4Net {
    fn from(prefix: Prefix4) -> Self {
        prefix.0
    }
}

impl FromStr for Prefix4 {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let malformed =
            |_| BadPrefix::Malformed { text: crate::text::excerpt(text), example: "10.1.0.0/16" };
        text.parse::<Ipv4Net>().map_err(malformed)?.try_into()
    }
}

impl fmt::Display for Prefix4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Prefix4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The IPv6 addresses of a network.
///
/// **Invariant.** It is as long as a link's prefix is, no bits are set behind it, and its
/// addresses are unicast: unique local ones (RFC 4193) or global ones.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "Ipv6Net", into = "Ipv6Net")]
pub struct Prefix6(Ipv6Net);

impl Prefix6 {
    /// A prefix of unique local addresses (RFC 4193, section 3.2): 40 bits from `digest`, so that
    /// no two are likely to be the same, and the number of a subnet.
    #[must_use]
    pub fn unique_local(digest: &[u8; 32], subnet: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[0] = 0xfd;
        bytes[1..6].copy_from_slice(&digest[..5]);
        bytes[6..8].copy_from_slice(&subnet.to_be_bytes());
        Self(Ipv6Net::new(bytes.into(), LENGTH_6).expect("its length is one of IPv6"))
    }

    /// The address with this number.
    #[must_use]
    pub fn address(self, offset: Offset) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.0.network()) | u128::from(offset.0))
    }

    /// The number of an address, if it is one that [`Prefix6::address`] makes.
    #[must_use]
    pub fn offset(self, address: Ipv6Addr) -> Option<Offset> {
        let [.., a, b, c, d] = address.octets();
        let offset = Offset(u32::from_be_bytes([a, b, c, d]));
        (self.address(offset) == address).then_some(offset)
    }

    /// The gateway's address.
    #[must_use]
    pub fn gateway(self) -> Ipv6Addr {
        self.address(Offset(GATEWAY))
    }

    /// The prefix as an address and a length.
    #[must_use]
    pub const fn net(self) -> Ipv6Net {
        self.0
    }
}

impl TryFrom<Ipv6Net> for Prefix6 {
    type Error = BadPrefix;

    fn try_from(net: Ipv6Net) -> Result<Self, BadPrefix> {
        let given = net.to_string();
        if net.prefix_len() != LENGTH_6 {
            return Err(BadPrefix::Length { given, allowed: LENGTH_6.to_string() });
        }
        if net.trunc() != net {
            return Err(BadPrefix::HostBits { given, meant: net.trunc().to_string() });
        }
        let first = net.network().octets()[0];
        // fc00::/7 and 2000::/3: all else is for something else, or for nothing yet.
        if first & 0xfe != 0xfc && first & 0xe0 != 0x20 {
            let special = "what is neither fc00::/7 nor 2000::/3".to_owned();
            let purpose = "other addresses than machines'";
            return Err(BadPrefix::Special { given, special, purpose });
        }
        Ok(Self(net))
    }
}

impl From<Prefix6> for Ipv6Net {
    fn from(prefix: Prefix6) -> Self {
        prefix.0
    }
}

impl FromStr for Prefix6 {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let malformed = |_| BadPrefix::Malformed {
            text: crate::text::excerpt(text),
            example: "fd12:3456:789a:1::/64",
        };
        text.parse::<Ipv6Net>().map_err(malformed)?.try_into()
    }
}

impl fmt::Display for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
