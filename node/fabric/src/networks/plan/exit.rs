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
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::super::names::{Key, Kind, link_local};
use super::super::wanted::{self, Lan, Public, Wanted};
use super::door::{Door, between};
use super::filters::{Table, translation};

/// The interface of the exit that is on the network.
pub(in super::super) const INSIDE: &str = "lan";

/// The place of exits among what is behind doors.
const PLACE: u8 = 0;

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
    /// The way to the host, with what the cards share and what they have for themselves behind it.
    pub(in super::super) door: Door,
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
            door: Door::new(key, Kind::Door, shared.iter().chain(&public).copied().collect()),
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
/// host: one of each version that it has.
pub(super) fn shared(lan: &Lan, zone: u16) -> Vec<IpAddr> {
    let all = between(PLACE, zone).into_iter();
    all.filter(|it| if it.is_ipv4() { lan.v4.is_some() } else { lan.v6.is_some() }).collect()
}

/// The public addresses that cards of a network have for themselves.
pub(super) fn own(lan: &Lan, wanted: &Wanted) -> Vec<Public> {
    let all = wanted.public.iter().filter(|public| public.network == lan.identity);
    all.copied().collect()
}
