//! Where a network meets the public network: a router in a namespace of its own, on one host.
//!
//! ```text
//!   bridge of the network            namespace of the exit               the host
//!   rse... ------------------- lan   10.0.0.11 becomes 198.18.x.y   out ------- rso...
//!                                                            198.18.x.y becomes the host's own
//! ```
//!
//! Addresses are translated twice. In the exit's namespace, which has connections of its own,
//! those of one network become one address that no other network of the host has: so equal
//! addresses and ports of two networks are never mixed. The host then lets that address go out as
//! its own. Everyone on the network is known, so nobody is asked who has which address: the exit
//! says nothing but what it forwards.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::super::names::{Key, Kind, link_local};
use super::super::wanted::{self, Lan, Public, Wanted};
use super::filters::{Table, translation};

/// The interface of the exit that is on the network, and the one that leads to the host.
pub(in super::super) const INSIDE: &str = "lan";
pub(in super::super) const OUTSIDE: &str = "out";

/// What the host is called by the exits and by nobody else: they send everything there.
pub(in super::super) const HOST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

/// One network's exit, on the host that has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Exit {
    /// The name of its namespace.
    pub(in super::super) namespace: String,
    /// The bridge's end of the pair that joins it to the network.
    pub(in super::super) port: String,
    pub(in super::super) mac: [u8; 6],
    /// Its address on the network's link, from which it tells of errors in IPv6.
    pub(in super::super) addresses: Vec<IpNet>,
    /// The network's prefixes.
    pub(in super::super) nets: Vec<IpNet>,
    /// Who has which address on the network.
    pub(in super::super) neighbours: BTreeMap<IpAddr, [u8; 6]>,
    /// The host's end of the pair that joins it to the host.
    pub(in super::super) door: String,
    /// The MAC addresses of that pair: the host's end, and the exit's.
    pub(in super::super) doors: [[u8; 6]; 2],
    /// What the host sends to the exit: what the cards share, and what they have for themselves.
    pub(in super::super) behind: Vec<IpAddr>,
    /// Those of them that the host answers for outside.
    pub(in super::super) public: Vec<IpAddr>,
    /// What the exit makes of whose addresses.
    pub(in super::super) translation: Table,
}

impl Exit {
    /// The exit of a network; none if it is elsewhere, or nowhere.
    pub(super) fn of(lan: &Lan, wanted: &Wanted, key: Key, zone: u16) -> Option<Self> {
        match lan.exit {
            Some(wanted::Exit::Here) => {}
            Some(wanted::Exit::Host { .. } | wanted::Exit::Site { .. }) | None => return None,
        }
        let mac = key.exit();
        let local = Ipv6Net::new(link_local(mac), 64).expect("64 is a length of IPv6");
        let known = lan.members.iter().flat_map(|member| {
            let own = member.v4.map(IpAddr::from).into_iter().chain(member.v6.map(IpAddr::from));
            own.map(|address| (address, super::mac_bytes(member.mac)))
        });
        let (shared, own) = (shared(lan, zone), own(lan, wanted));
        let public: Vec<IpAddr> = own.iter().map(|public| public.address).collect();
        Some(Self {
            namespace: key.name(Kind::ExitNamespace),
            port: key.name(Kind::Exit),
            mac,
            addresses: lan.v6.map(|_| local.into()).into_iter().collect(),
            nets: nets(lan),
            neighbours: known.collect(),
            door: key.name(Kind::Door),
            doors: key.door(),
            behind: shared.iter().chain(&public).copied().collect(),
            public,
            translation: translation::table(lan, &shared, &own),
        })
    }
}

/// The prefixes of a network.
pub(super) fn nets(lan: &Lan) -> Vec<IpNet> {
    lan.v4.map(IpNet::from).into_iter().chain(lan.v6.map(IpNet::from)).collect()
}

/// The addresses that all cards of a network share on their way out, between its exit and the
/// host: one of each family that it has. The zone of its connections is its alone on this host.
///
/// 198.18.0.0/15 is set aside for benchmarks (RFC 2544) and on no network in use, neither a
/// tenant's nor one that the host is on, unlike the addresses for private use or for carriers. The
/// IPv6 prefix is a local one (RFC 4193), drawn once.
pub(super) fn shared(lan: &Lan, zone: u16) -> Vec<IpAddr> {
    let [high, low] = zone.to_be_bytes();
    let v4 = lan.v4.map(|_| IpAddr::from([198, 18, high, low]));
    let v6 = Ipv6Addr::new(0xfd9c, 0x8e3a, 0x51d7, 0, 0, 0, 1, zone);
    v4.into_iter().chain(lan.v6.map(|_| IpAddr::V6(v6))).collect()
}

/// The public addresses that cards of a network have for themselves.
pub(super) fn own(lan: &Lan, wanted: &Wanted) -> Vec<Public> {
    let all = wanted.public.iter().filter(|public| public.network == lan.identity);
    all.copied().collect()
}
