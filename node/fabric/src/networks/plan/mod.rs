//! The whole plan of a host's networks, as a pure function of what is wanted.
//!
//! The plan says everything and does nothing: devices, forwarding entries, neighbours, files of
//! the services, filters. What applies it decides nothing.

pub(super) mod door;
pub(super) mod exit;
pub(super) mod filters;
mod overlay;
mod router;
pub(super) mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) use self::door::Door;
pub(super) use self::exit::Exit;
use self::filters::Filters;
pub(super) use self::overlay::{Entry, Overlay};
pub(super) use self::router::Router;
pub(super) use self::services::Services;
use super::names::{Key, Kind, Tap, link_local, mac_bytes};
use super::wanted::{self, At, BytesPerSecond, Lan, Member, Wanted};

/// Everything that should be on this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    pub(super) lans: Vec<Segment>,
    /// What is between them.
    pub(super) routers: Vec<Router>,
    pub(super) filters: Filters,
}

/// One network on this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Segment {
    pub(super) key: Key,
    pub(super) bridge: String,
    pub(super) mtu: u16,
    /// The device among the hosts of the site, if any other has to do with this network.
    pub(super) underlay: Option<Overlay>,
    /// The device among sites, if this host is the gateway to any other with a member.
    pub(super) tunnel: Option<Overlay>,
    /// What answers the guests, if any is here.
    pub(super) services: Option<Services>,
    /// The way to the public network, if it is on this host.
    pub(super) exit: Option<Exit>,
    /// The port of the router to other networks, if one is on this host.
    pub(super) router: Option<String>,
    /// Which port leads to which card.
    pub(super) ports: BTreeMap<[u8; 6], String>,
    /// Who has which address: the bridge answers for those who are elsewhere.
    pub(super) neighbours: BTreeMap<IpAddr, [u8; 6]>,
    /// The taps of guests, and what each guest is sent at most.
    pub(super) taps: BTreeMap<Tap, Option<BytesPerSecond>>,
}

impl Plan {
    pub(super) fn of(wanted: &Wanted, forwards: Forwards) -> Self {
        let zones = zones(wanted);
        let lans = wanted.lans.iter().map(|lan| segment(lan, wanted, &zones)).collect();
        Self { lans, routers: Router::all(wanted), filters: Filters::of(wanted, &zones, forwards) }
    }
}

/// Whether the host forwarded packets of others before, in each version of IP: then it goes on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Forwards {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

fn segment(lan: &Lan, wanted: &Wanted, zones: &BTreeMap<Key, u16>) -> Segment {
    let key = Key::of(lan.identity);
    let mut ports = BTreeMap::new();
    let mut neighbours = BTreeMap::new();
    let mut taps = BTreeMap::new();
    for member in &lan.members {
        let port = match &member.at {
            At::Here { tap, to_guest, .. } => {
                taps.insert(tap.clone(), *to_guest);
                tap.to_string()
            }
            At::Host { .. } => key.name(Kind::Underlay),
            At::Site { .. } => key.name(Kind::Tunnel),
        };
        let mac = mac_bytes(member.mac);
        ports.insert(mac, port);
        neighbours.extend(addresses(member).map(|address| (address, mac)));
    }
    taps.extend(lan.awaited.iter().map(|tap| (tap.clone(), None)));
    let services = (!taps.is_empty()).then(|| Services::of(lan, wanted, key, zones[&key]));
    if let Some(services) = &services {
        let mac = key.gateway();
        ports.insert(mac, services.port.clone());
        let own = lan.gateway_v4().map(IpAddr::from).into_iter();
        let own = own.chain(lan.gateway_v6().map(IpAddr::from));
        neighbours.extend(own.map(|address| (address, mac)));
    }
    let exit = Exit::of(lan, wanted, key, zones[&key]);
    match lan.exit {
        Some(wanted::Exit::Here) => Some(Kind::Exit),
        Some(wanted::Exit::Host { .. }) => Some(Kind::Underlay),
        Some(wanted::Exit::Site { .. }) => Some(Kind::Tunnel),
        None => None,
    }
    .and_then(|kind| ports.insert(key.exit(), key.name(kind)));
    let router = router::is_here(lan, wanted).then(|| key.name(Kind::Router));
    ports.extend(router.clone().map(|port| (key.router(), port)));
    Segment {
        key,
        bridge: key.name(Kind::Bridge),
        mtu: lan.mtu,
        underlay: Overlay::among_hosts(lan, wanted, key),
        tunnel: Overlay::among_sites(lan, wanted, key),
        services,
        exit,
        router,
        ports,
        neighbours,
        taps,
    }
}

/// Every address that a card may use: its own, and the link-local one of its MAC address.
pub(super) fn addresses(member: &Member) -> impl Iterator<Item = IpAddr> {
    let local = member.v6.map(|_| link_local(mac_bytes(member.mac)));
    let v6 = member.v6.into_iter().chain(local).map(IpAddr::from);
    member.v4.map(IpAddr::from).into_iter().chain(v6)
}

/// What distinguishes the zone of what only passes through this host.
pub(super) const PASSING: u16 = 0x8000;

/// A zone of connections for each network, so that equal addresses and ports of two networks are
/// two connections.
///
/// What only passes through this host is in the zone with the highest bit set: it may be seen in
/// one direction alone, and if a card comes here later, nothing is believed of what passed before.
///
/// The zone follows from the network, so that connections outlive a node and a change of the
/// table. Two networks that draw the same are kept apart by taking the next free one; zone 0 is
/// the host's own.
pub(super) fn zones(wanted: &Wanted) -> BTreeMap<Key, u16> {
    let keys: BTreeSet<Key> = wanted.lans.iter().map(|lan| Key::of(lan.identity)).collect();
    let mut taken = BTreeSet::from([0]);
    let mut zones = BTreeMap::new();
    for key in keys {
        let mut zone = key.zone();
        while !taken.insert(zone) {
            zone = (zone + 1) & !PASSING;
        }
        zones.insert(key, zone);
    }
    zones
}
