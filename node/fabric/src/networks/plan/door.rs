//! A pair of interfaces from a namespace of a network to the host, by which it reaches what is
//! beyond the host.
//!
//! The host has no address there and asks nobody who has one: it knows what is behind each door,
//! and what is behind it knows the host by addresses that mean the host and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::names::{Key, Kind};

/// The end of the pair in the namespace.
pub(in super::super) const OUTSIDE: &str = "out";

/// What the host is called from behind a door.
pub(in super::super) const HOST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

/// One door.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Door {
    /// The end on the host.
    pub(in super::super) name: String,
    /// The MAC address of that end.
    pub(in super::super) host: [u8; 6],
    /// That of the other end.
    pub(in super::super) own: [u8; 6],
    /// What the host sends there.
    pub(in super::super) behind: Vec<IpAddr>,
}

impl Door {
    pub(super) fn new(key: Key, kind: Kind, behind: Vec<IpAddr>) -> Self {
        let [host, own] = key.door();
        Self { name: key.name(kind), host, own, behind }
    }
}

/// Addresses of one network on the way between its namespaces and the host: of the given place
/// there, one of each version. The zone of its connections is the network's alone on this host.
///
/// 198.18.0.0/15 is set aside for benchmarks (RFC 2544) and on no network in use, neither a
/// tenant's nor one that the host is on, unlike the addresses for private use or for carriers. The
/// IPv6 prefix is a local one (RFC 4193), drawn once.
pub(super) fn between(place: u8, zone: u16) -> [IpAddr; 2] {
    let [high, low] = zone.to_be_bytes();
    let v4 = IpAddr::from([198, 18 | place, high, low]);
    let v6 = Ipv6Addr::new(0xfd9c, 0x8e3a, 0x51d7, 0, 0, 0, u16::from(place), zone);
    [v4, IpAddr::V6(v6)]
}
