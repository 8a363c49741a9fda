//! What there is to say about a machine.
//!
//! The site makes it from its rows, for each request anew. Values stand in listings that are split
//! at line breaks, so each is known to be one line: nobody's tag puts an entry into a listing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hyper::body::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use protocol::hull::Mac;
use protocol::ids::MachineName;
use protocol::time::Timestamp;

/// The longest line in bytes: a public key of RSA with 16384 bits has about 2800.
pub const LINE_MAX: usize = 4_096;

/// The most user data in bytes: EC2's limit, so that what fits there fits here, and the reverse.
pub const USER_DATA_MAX: usize = 16 << 10;

/// One line of text: no control characters.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Line(String);

impl Line {
    /// The line as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not one line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not one line: write at most {LINE_MAX} bytes, without line breaks and control characters")]
pub struct NotALine;

impl FromStr for Line {
    type Err = NotALine;

    fn from_str(text: &str) -> Result<Self, NotALine> {
        if text.len() <= LINE_MAX && !text.contains(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotALine)
        }
    }
}

/// The name of a tag that a guest can ask for. EC2 shows tags only if all of their keys are such:
/// letters, digits and `+-=.,_:@`, at most 128, not `.`, `..` or `_index`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TagKey(String);

impl TagKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the key of a tag that a guest can ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a tag's key that a guest can ask for: write 1 to 128 letters, digits and +-=.,_:@")]
pub struct NotATagKey;

impl FromStr for TagKey {
    type Err = NotATagKey;

    fn from_str(text: &str) -> Result<Self, NotATagKey> {
        let known = |c: char| c.is_ascii_alphanumeric() || "+-=.,_:@".contains(c);
        let reserved = [".", "..", "_index"].contains(&text);
        if (1..=128).contains(&text.len()) && text.chars().all(known) && !reserved {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotATagKey)
        }
    }
}

/// What the tenant hands to the machine. It is not looked into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserData(Bytes);

impl UserData {
    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// The user data are too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("user data of {length} bytes: no more than {USER_DATA_MAX} are handed to a machine")]
pub struct TooLong {
    length: usize,
}

impl TryFrom<Vec<u8>> for UserData {
    type Error = TooLong;

    fn try_from(bytes: Vec<u8>) -> Result<Self, TooLong> {
        if bytes.len() <= USER_DATA_MAX {
            Ok(Self(bytes.into()))
        } else {
            Err(TooLong { length: bytes.len() })
        }
    }
}

/// How many hops an answer to a request for a token travels: 1 to 64, as in EC2. 1 keeps it in the
/// machine; 2 lets it through to containers behind a bridge of the machine.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HopLimit(u8);

impl HopLimit {
    /// The limit of whoever said nothing: tokens stay in the machine.
    pub const ONE: Self = Self(1);

    /// The number of hops.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The number is no hop limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0} is no hop limit: choose 1 to 64")]
pub struct NotAHopLimit(u8);

impl TryFrom<u8> for HopLimit {
    type Error = NotAHopLimit;

    fn try_from(hops: u8) -> Result<Self, NotAHopLimit> {
        if (1..=64).contains(&hops) { Ok(Self(hops)) } else { Err(NotAHopLimit(hops)) }
    }
}

/// Whether a request has to show a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tokens {
    /// Version 1 of the service, without tokens, is answered as well.
    Optional,
    /// Version 2 only.
    Required,
}

/// A public key that may log in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    /// Its name.
    pub name: Line,
    /// The key, as in OpenSSH's `authorized_keys`.
    pub key: Line,
}

/// A security group that a card is in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecurityGroup {
    /// Its id, as EC2 writes it (`sg-…`).
    pub id: Line,
    /// Its name.
    pub name: Line,
}

/// The routed group of networks that a card's network belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vpc {
    /// Its id, as EC2 writes it (`vpc-…`).
    pub id: Line,
    /// Its prefixes of IPv4, the first one first.
    pub ipv4: Vec<Ipv4Net>,
    /// Its prefixes of IPv6.
    pub ipv6: Vec<Ipv6Net>,
}

/// A network card of a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Card {
    /// Its address in the LAN.
    pub mac: Mac,
    /// Its id, as EC2 writes it (`eni-…`).
    pub id: Line,
    /// Its addresses of IPv4, the first one first.
    pub ipv4: Vec<Ipv4Addr>,
    /// Its addresses of IPv6, the first one first.
    pub ipv6: Vec<Ipv6Addr>,
    /// The public addresses that lead to it, each with the address of the card behind it.
    pub public: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// The id of its network, as EC2 writes it (`subnet-…`).
    pub subnet: Line,
    /// The network's prefix of IPv4.
    pub subnet_ipv4: Option<Ipv4Net>,
    /// The network's prefixes of IPv6.
    pub subnet_ipv6: Vec<Ipv6Net>,
    /// The group of networks, if its network is in one.
    pub vpc: Option<Vpc>,
    /// The security groups that it is in.
    pub security_groups: Vec<SecurityGroup>,
}

/// A machine, as a guest may know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// The machine: what tokens and limits are bound to.
    pub machine: MachineName,
    /// Its id, as EC2 writes it (`i-…`).
    pub id: Line,
    /// Its name in DNS inside its network.
    pub hostname: Line,
    /// What it started from, as EC2 writes it (`ami-…`).
    pub image: Line,
    /// Its size by name.
    pub instance_type: Line,
    /// Its number among those that were submitted with it, from 0.
    pub launch_index: u32,
    /// What it was submitted with, as EC2 writes it (`r-…`).
    pub reservation: Line,
    /// Whom it belongs to.
    pub account: Line,
    /// The site that runs it. EC2's zones are their region and one letter, so some clients take all
    /// but the last letter of it for the region.
    pub zone: Line,
    /// The site that it belongs to.
    pub region: Line,
    /// Since when it is there.
    pub launched: Timestamp,
    /// Its first disk, as the guest names it (`/dev/vda`).
    pub root_device: Line,
    /// Its first card.
    pub card: Card,
    /// Its other cards, in their order.
    pub more_cards: Vec<Card>,
    /// Who may log in.
    pub public_keys: Vec<PublicKey>,
    /// Its tags.
    pub tags: BTreeMap<TagKey, Line>,
    /// What the tenant hands to it.
    pub user_data: Option<UserData>,
    /// Whether it has to show tokens.
    pub tokens: Tokens,
    /// How far its tokens travel.
    pub hop_limit: HopLimit,
}
