//! One rule, and how it is written: `tcp 443 from 0.0.0.0/0`, `any to database`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::GroupName;
use crate::manifest::NameError;
use crate::networks::special;
use crate::text::excerpt;

/// Which way what a rule allows is begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// By others, with the group's machines.
    Ingress,
    /// By the group's machines, with others.
    Egress,
}

impl Direction {
    /// Its key in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The word before whom a rule is about.
    const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }
}

/// Something that may be begun.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Rule {
    /// What.
    pub traffic: Traffic,
    /// With whom.
    pub peer: Peer,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Traffic {
    /// Everything.
    Any,
    /// TCP to these ports.
    Tcp(Ports),
    /// UDP to these ports.
    Udp(Ports),
    /// ICMP, of either version.
    Icmp,
}

/// A range of ports, both ends included.
///
/// **Invariant.** The first is not zero and not above the last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct Ports {
    first: u16,
    last: u16,
}

/// Whom a rule is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Peer {
    /// Whoever has an address in it.
    Block(Block),
    /// The machines of a group of the same service.
    Group(GroupName),
}

/// A block of addresses, of any size.
///
/// **Invariant.** No bits are set behind its prefix, and machines can have addresses in it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "IpNet", into = "IpNet")]
pub struct Block(IpNet);

/// The text is no rule, or none that could ever count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRule {
    /// Something behind what a rule consists of, or nothing at all.
    #[error("'{text}' is no rule")]
    Malformed {
        /// What is given.
        text: String,
        /// What would be one.
        example: &'static str,
    },
    /// A word that is no protocol.
    #[error("'{word}' is no protocol that a rule can be about")]
    Protocol {
        /// The word.
        word: String,
    },
    /// A protocol that has ports, without any.
    #[error("the rule does not say which ports of {protocol}")]
    NoPorts {
        /// The protocol.
        protocol: &'static str,
    },
    /// A protocol that has no ports, with some.
    #[error("{protocol} has no ports")]
    PortsOfNone {
        /// The protocol.
        protocol: &'static str,
    },
    /// No range of ports.
    #[error("'{text}' is neither a port nor a range of ports")]
    NotPorts {
        /// What is given.
        text: String,
    },
    /// A range without a port in it.
    #[error("there is no port from {first} to {last}")]
    Backwards {
        /// Where it begins.
        first: u16,
        /// Where it ends.
        last: u16,
    },
    /// It does not say whom it is about.
    #[error("the rule does not say {word} whom")]
    NoPeer {
        /// The word that introduces it.
        word: &'static str,
    },
    /// The word of the other direction.
    #[error("a rule of {direction} says '{word}', not '{other}'")]
    OtherWay {
        /// The direction.
        direction: &'static str,
        /// Its word.
        word: &'static str,
        /// The other one's.
        other: &'static str,
    },
    /// No block of addresses.
    #[error("'{text}' is no prefix of addresses")]
    NotABlock {
        /// What is given.
        text: String,
    },
    /// Bits are set behind the prefix.
    #[error("{given} is an address within the prefix {meant}")]
    HostBits {
        /// What is given.
        given: IpNet,
        /// The prefix that it lies in.
        meant: IpNet,
    },
    /// Nobody has an address in the block, so the rule is about nobody.
    #[error("no machine has an address in {given}, which is for {purpose}")]
    Nobody {
        /// The block.
        given: IpNet,
        /// What its addresses are for.
        purpose: &'static str,
    },
    /// A name that no group can have.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl BadRule {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed { example, .. } => format!("write a rule such as '{example}'"),
            Self::Protocol { .. } => "write tcp, udp, icmp or any".to_owned(),
            Self::NoPorts { protocol } => {
                format!("write a port or a range: {protocol} 443, {protocol} 1-65535 for all")
            }
            Self::PortsOfNone { .. } => "leave the ports out".to_owned(),
            Self::NotPorts { .. } => "write a port from 1 to 65535, or a range as 80-90".to_owned(),
            Self::Backwards { first, last } => format!("write {last}-{first}"),
            Self::NoPeer { word } => {
                format!("write {word} a group, or {word} 0.0.0.0/0 for everybody (::/0 in IPv6)")
            }
            Self::OtherWay { direction: "ingress", .. } => {
                "write from whom, or move the rule to egress".to_owned()
            }
            Self::OtherWay { .. } => "write to whom, or move the rule to ingress".to_owned(),
            Self::NotABlock { .. } => {
                "write an address and a length, such as 10.1.0.0/16, or the name of a group"
                    .to_owned()
            }
            Self::HostBits { given, meant } => {
                format!("write {meant}, or {} for the one address", given.addr())
            }
            Self::Nobody { .. } => "leave the rule out, or write another prefix".to_owned(),
            Self::Name(error) => error.hint(),
        }
    }
}

impl Rule {
    /// Reads a rule of one direction.
    ///
    /// # Errors
    ///
    /// If the text is none, or none that could ever count.
    pub fn parse(text: &str, direction: Direction) -> Result<Self, BadRule> {
        let malformed = || BadRule::Malformed {
            text: excerpt(text),
            example: match direction {
                Direction::Ingress => "tcp 443 from 0.0.0.0/0",
                Direction::Egress => "tcp 5432 to database",
            },
        };
        let mut words = text.split_whitespace().peekable();
        let protocol = words.next().ok_or_else(malformed)?;
        let ports = words.next_if(|word| !matches!(*word, "from" | "to"));
        let traffic = Traffic::parse(protocol, ports)?;
        let word = direction.word();
        match words.next() {
            None => return Err(BadRule::NoPeer { word }),
            Some(said) if said == word => {}
            Some(other @ ("from" | "to")) => {
                let direction = direction.as_str();
                let other = if other == "to" { "to" } else { "from" };
                return Err(BadRule::OtherWay { direction, word, other });
            }
            Some(_) => return Err(malformed()),
        }
        let peer = words.next().ok_or(BadRule::NoPeer { word })?;
        let peer = Peer::parse(peer)?;
        if words.next().is_some() {
            return Err(malformed());
        }
        Ok(Self { traffic, peer })
    }

    /// The rule as it is read.
    #[must_use]
    pub fn written(&self, direction: Direction) -> String {
        format!("{} {} {}", self.traffic, direction.word(), self.peer)
    }
}

impl Traffic {
    fn parse(protocol: &str, ports: Option<&str>) -> Result<Self, BadRule> {
        let with = |protocol, kind: fn(Ports) -> Self| match ports {
            Some(ports) => Ports::parse(ports).map(kind),
            None => Err(BadRule::NoPorts { protocol }),
        };
        let without = |protocol, kind| match ports {
            Some(_) => Err(BadRule::PortsOfNone { protocol }),
            None => Ok(kind),
        };
        match protocol {
            "tcp" => with("tcp", Self::Tcp),
            "udp" => with("udp", Self::Udp),
            "icmp" => without("icmp", Self::Icmp),
            "any" => without("any", Self::Any),
            word => Err(BadRule::Protocol { word: excerpt(word) }),
        }
    }
}

impl Ports {
    /// The lowest.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    fn parse(text: &str) -> Result<Self, BadRule> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let port = text.parse::<u16>().ok().filter(|port| is_number && *port != 0);
            port.ok_or_else(|| BadRule::NotPorts { text: excerpt(text) })
        };
        (port(first)?, port(last)?).try_into()
    }
}

impl TryFrom<(u16, u16)> for Ports {
    type Error = BadRule;

    fn try_from((first, last): (u16, u16)) -> Result<Self, BadRule> {
        if first == 0 {
            return Err(BadRule::NotPorts { text: first.to_string() });
        }
        if first > last {
            return Err(BadRule::Backwards { first, last });
        }
        Ok(Self { first, last })
    }
}

impl From<Ports> for (u16, u16) {
    fn from(ports: Ports) -> Self {
        (ports.first, ports.last)
    }
}

impl Peer {
    /// A group's name is a label and begins with a letter; nothing that looks like an address is
    /// taken for one.
    fn parse(text: &str) -> Result<Self, BadRule> {
        let is_address =
            text.contains([':', '/', '.']) || text.starts_with(|c: char| c.is_ascii_digit());
        if !is_address {
            return Ok(Self::Group(text.parse()?));
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map_err(|_| BadRule::NotABlock { text: excerpt(text) })?.try_into().map(Self::Block)
    }
}

impl Block {
    /// Everybody, in both families.
    pub(super) const EVERYBODY: [Self; 2] = [
        Self(IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))),
        Self(IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0))),
    ];

    /// The block as an address and a length.
    #[must_use]
    pub const fn net(self) -> IpNet {
        self.0
    }
}

impl TryFrom<IpNet> for Block {
    type Error = BadRule;

    fn try_from(given: IpNet) -> Result<Self, BadRule> {
        let meant = given.trunc();
        if meant != given {
            return Err(BadRule::HostBits { given, meant });
        }
        match special(given) {
            Some(purpose) => Err(BadRule::Nobody { given, purpose }),
            None => Ok(Self(given)),
        }
    }
}

impl From<Block> for IpNet {
    fn from(block: Block) -> Self {
        block.0
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Tcp(ports) => write!(f, "tcp {ports}"),
            Self::Udp(ports) => write!(f, "udp {ports}"),
            Self::Icmp => f.write_str("icmp"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(block) => block.0.fmt(f),
            Self::Group(name) => name.fmt(f),
        }
    }
}
