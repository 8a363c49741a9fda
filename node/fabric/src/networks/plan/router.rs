//! The router between networks of one group: a namespace with a card on each of them.
//!
//! It is on every host that has a guest on one of them, with the same MAC addresses, and each host
//! routes what its own guests send: traffic between two machines takes the way that it would take
//! on one network. It knows who has which address on each, and no way to anywhere else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::super::names::{Key, Kind, link_local, mac_bytes};
use super::super::wanted::{At, Lan, Routed, Wanted};
use super::exit::nets;

/// One group's router on this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Router {
    /// The name of its namespace.
    pub(in super::super) namespace: String,
    pub(in super::super) legs: Vec<Leg>,
}

/// A router's card on one network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Leg {
    /// The bridge's end of the pair.
    pub(in super::super) port: String,
    /// The router's end.
    pub(in super::super) inner: String,
    pub(in super::super) mac: [u8; 6],
    pub(in super::super) mtu: u16,
    /// Its address on the link, from which it tells of errors in IPv6.
    pub(in super::super) addresses: Vec<IpNet>,
    /// The network's prefixes.
    pub(in super::super) nets: Vec<IpNet>,
    /// Who has which address on it.
    pub(in super::super) neighbours: BTreeMap<IpAddr, [u8; 6]>,
}

impl Router {
    /// Every router of this host.
    pub(super) fn all(wanted: &Wanted) -> Vec<Self> {
        let here = wanted.routed.iter().filter(|group| has_guests(group, wanted));
        here.filter_map(|group| Self::of(&members(group, wanted).collect::<Vec<_>>())).collect()
    }

    fn of(lans: &[&Lan]) -> Option<Self> {
        let keys = lans.iter().map(|lan| Key::of(lan.identity));
        let namespace = keys.min()?.name(Kind::RouterNamespace);
        Some(Self { namespace, legs: lans.iter().map(|lan| Leg::of(lan)).collect() })
    }
}

impl Leg {
    fn of(lan: &Lan) -> Self {
        let key = Key::of(lan.identity);
        let mac = key.router();
        let local = Ipv6Net::new(link_local(mac), 64).expect("64 is a length of IPv6");
        let known = lan.members.iter().flat_map(|member| {
            let own = member.v4.map(IpAddr::from).into_iter().chain(member.v6.map(IpAddr::from));
            own.map(|address| (address, mac_bytes(member.mac)))
        });
        Self {
            port: key.name(Kind::Router),
            inner: key.to_string(),
            mac,
            mtu: lan.mtu,
            addresses: lan.v6.map(|_| local.into()).into_iter().collect(),
            nets: nets(lan),
            neighbours: known.collect(),
        }
    }
}

fn members<'a>(group: &Routed, wanted: &'a Wanted) -> impl Iterator<Item = &'a Lan> {
    wanted.lans.iter().filter(|lan| group.lans.contains(&lan.identity))
}

fn has_guests(group: &Routed, wanted: &Wanted) -> bool {
    members(group, wanted).any(|lan| {
        let mut all = lan.members.iter();
        !lan.awaited.is_empty() || all.any(|member| matches!(member.at, At::Here { .. }))
    })
}

fn group_of<'a>(lan: &Lan, wanted: &'a Wanted) -> Option<&'a Routed> {
    wanted.routed.iter().find(|group| group.lans.contains(&lan.identity))
}

/// Whether a router with a card on this network is on this host.
pub(super) fn is_here(lan: &Lan, wanted: &Wanted) -> bool {
    group_of(lan, wanted).is_some_and(|group| has_guests(group, wanted))
}

/// The other networks that are routed with this one.
pub(super) fn siblings<'a>(lan: &Lan, wanted: &'a Wanted) -> Vec<&'a Lan> {
    let group = group_of(lan, wanted).into_iter();
    let all = group.flat_map(|group| members(group, wanted));
    all.filter(|other| other.identity != lan.identity).collect()
}
