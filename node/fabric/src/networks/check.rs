//! What contradicts itself is refused before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use protocol::hull::Mac;
use protocol::networks::MEMBERS_MAX;

use super::names::{Identity, Key, Tap};
use super::wanted::{
    At, Exit, GroupId, Hop, Lan, Member, Peer, Ports, Public, Route, Rule, Traffic, Wanted,
};

/// The smallest packet that IPv6 goes through (RFC 8200, section 5).
const MTU_MIN: u16 = 1280;

/// The most cards of one network on one host. Linux gives a bridge 1024 ports.
const PORTS_MAX: usize = 1000;

/// The most networks with a router between them: those of one service.
const ROUTED_MAX: usize = protocol::networks::NETWORKS_MAX;

/// The most resolvers: as many as the C library asks (`MAXNS` in `resolv.h`).
const RESOLVERS_MAX: usize = 3;

/// The most routes of one network: EC2's limit for a table of them. Each is a rule that a packet
/// on its way out is held against.
const ROUTES_MAX: usize = 50;

/// What is wanted contradicts itself.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Contradiction {
    /// The same network twice, or two that would get the same names in the kernel.
    #[error("networks {one} and {other} cannot both be on this host")]
    Networks {
        /// The earlier.
        one: Identity,
        /// The later.
        other: Identity,
    },
    /// Two networks have the same number at this site.
    #[error("network {network} has the same VNI as another one")]
    Vni {
        /// The later.
        network: Identity,
    },
    /// A prefix that has no room for a gateway and a guest, or is not of 64 bits for IPv6.
    #[error("network {network} has the prefix {prefix}, which cannot be one of a network")]
    Prefix {
        /// The network.
        network: Identity,
        /// The prefix.
        prefix: IpNet,
    },
    /// No prefix at all.
    #[error("network {network} has neither IPv4 nor IPv6")]
    NoPrefix {
        /// The network.
        network: Identity,
    },
    /// Packets would be too small.
    #[error("network {network} has an MTU of {mtu}, and IPv6 needs {MTU_MIN}")]
    Mtu {
        /// The network.
        network: Identity,
        /// The MTU.
        mtu: u16,
    },
    /// More cards than a network has, or than a bridge has ports.
    #[error(
        "network {network} has {members} members; {MEMBERS_MAX} are the most, and {PORTS_MAX} on \
         one host"
    )]
    TooMany {
        /// The network.
        network: Identity,
        /// How many.
        members: usize,
    },
    /// A card's address is missing, outside of its network, or not for guests.
    #[error("card {mac} on network {network} has no address that fits")]
    Address {
        /// The network.
        network: Identity,
        /// The card.
        mac: Mac,
    },
    /// A card, an address or a tap twice.
    #[error("card {mac} on network {network} contradicts another one")]
    Twice {
        /// The network.
        network: Identity,
        /// The later card.
        mac: Mac,
    },
    /// A card that is on its way here has a tap that another card has.
    #[error("network {network} awaits a card at {tap}, which is another one's")]
    Awaited {
        /// The network.
        network: Identity,
        /// The tap.
        tap: Tap,
    },
    /// A group that is not there, or twice.
    #[error("network {network} names group {group:?}, which is not there exactly once")]
    Group {
        /// The network.
        network: Identity,
        /// The group.
        group: GroupId,
    },
    /// A range of ports without any.
    #[error("network {network} has a rule for the ports {} to {}", .ports.first, .ports.last)]
    Ports {
        /// The network.
        network: Identity,
        /// The range.
        ports: Ports,
    },
    /// A member is at another host or site, and this host has no way there.
    #[error("card {mac} on network {network} is where this host has no way to")]
    NoWay {
        /// The network.
        network: Identity,
        /// The card.
        mac: Mac,
    },
    /// A network's exit is where this host has no way to.
    #[error("the exit of network {network} is where this host has no way to")]
    NoExit {
        /// The network.
        network: Identity,
    },
    /// A route that leads nowhere, or into the network itself, or is there twice.
    #[error("network {network} cannot have a route to {}", .route.to)]
    Route {
        /// The network.
        network: Identity,
        /// The route.
        route: Route,
    },
    /// A network cannot have a router to the others of its group: one is not there, or another
    /// site's, or has addresses in common with it, or it is in two groups.
    #[error("network {network} cannot be routed with the others of its group")]
    Routed {
        /// The network.
        network: Identity,
    },
    /// A resolver that is no host's address, or of the host's own loopback; one too many; or there
    /// is no interface through which any is reached.
    #[error("{0} cannot be a resolver of this host's networks")]
    Resolver(IpAddr),
    /// A public address is none, or twice; or it is for a card that is not on a network with its
    /// exit here, or has another one.
    #[error("address {} cannot be that of {} on network {}", .0.address, .0.member, .0.network)]
    Public(Public),
}

/// Refuses what contradicts itself.
///
/// # Errors
///
/// The first contradiction.
pub fn check(wanted: &Wanted) -> Result<(), Contradiction> {
    let mut keys = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    let mut taps = BTreeSet::new();
    for lan in &wanted.lans {
        let network = lan.identity;
        if let Some(one) = keys.insert(Key::of(network), network) {
            return Err(Contradiction::Networks { one, other: network });
        }
        if !numbers.insert(lan.vni) {
            return Err(Contradiction::Vni { network });
        }
        prefixes(lan)?;
        groups(lan)?;
        members(lan, wanted, &mut taps)?;
        exit(lan, wanted)?;
        routes(lan)?;
    }
    routed(wanted)?;
    resolvers(wanted)?;
    public(wanted)
}

fn resolvers(wanted: &Wanted) -> Result<(), Contradiction> {
    for (number, resolver) in wanted.resolvers.iter().enumerate() {
        let is_host = !resolver.is_loopback()
            && !resolver.is_unspecified()
            && !resolver.is_multicast()
            && !matches!(resolver, IpAddr::V6(address) if address.is_unicast_link_local());
        let is_new = !wanted.resolvers[..number].contains(resolver);
        if !is_host || !is_new || number == RESOLVERS_MAX || wanted.outside.is_none() {
            return Err(Contradiction::Resolver(*resolver));
        }
    }
    Ok(())
}

fn routed(wanted: &Wanted) -> Result<(), Contradiction> {
    let mut taken = BTreeSet::new();
    for group in &wanted.routed {
        let mut others: Vec<&Lan> = Vec::new();
        for network in group.lans.iter().copied() {
            let fault = Contradiction::Routed { network };
            let lan = wanted.lans.iter().find(|lan| lan.identity == network);
            let Some(lan) = lan.filter(|_| taken.insert(network)) else { return Err(fault) };
            let fits = |other: &&Lan| {
                let apart = nets(lan).all(|net| nets(other).all(|it| !overlap(net, it)));
                other.identity.home == network.home && apart
            };
            if !others.iter().all(fits) || others.len() == ROUTED_MAX {
                return Err(fault);
            }
            others.push(lan);
        }
    }
    Ok(())
}

fn routes(lan: &Lan) -> Result<(), Contradiction> {
    let network = lan.identity;
    let mut known = BTreeSet::new();
    for route in &lan.routes {
        let is_v4 = route.to.addr().is_ipv4();
        let leads = match route.hop {
            Hop::Card(address) => {
                address.is_ipv4() == is_v4
                    && lan.members.iter().flat_map(own).any(|it| it == address)
            }
            Hop::Exit => lan.exit.is_some(),
            Hop::Nobody => true,
        };
        let is_own = nets(lan).any(|net| net.contains(&route.to));
        let is_kind = nets(lan).any(|net| net.addr().is_ipv4() == is_v4);
        let is_new = known.len() < ROUTES_MAX && known.insert(route.to);
        if !leads || is_own || !is_kind || !is_new || route.to.addr() != route.to.network() {
            return Err(Contradiction::Route { network, route: *route });
        }
    }
    Ok(())
}

fn nets(lan: &Lan) -> impl Iterator<Item = IpNet> + use<> {
    lan.v4.map(IpNet::from).into_iter().chain(lan.v6.map(IpNet::from))
}

fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn public(wanted: &Wanted) -> Result<(), Contradiction> {
    let (mut addresses, mut members) = (BTreeSet::new(), BTreeSet::new());
    for public in &wanted.public {
        let Public { address, network, member } = *public;
        let lan = wanted.lans.iter().find(|lan| lan.identity == network);
        let is_on = lan.is_some_and(|lan| {
            let mut all = lan.members.iter().flat_map(own);
            lan.exit == Some(Exit::Here)
                && all.any(|own| own == member)
                && !nets(lan).any(|net| net.contains(&address))
        });
        let is_address = address.is_ipv4() == member.is_ipv4()
            && !address.is_unspecified()
            && !address.is_loopback()
            && !address.is_multicast();
        let is_new = addresses.insert(address) && members.insert((network, member));
        if !(is_on && is_address && is_new) {
            return Err(Contradiction::Public(*public));
        }
    }
    Ok(())
}

/// The addresses of a card.
fn own(member: &Member) -> impl Iterator<Item = IpAddr> {
    member.v4.map(IpAddr::from).into_iter().chain(member.v6.map(IpAddr::from))
}

fn prefixes(lan: &Lan) -> Result<(), Contradiction> {
    let network = lan.identity;
    if lan.v4.is_none() && lan.v6.is_none() {
        return Err(Contradiction::NoPrefix { network });
    }
    if lan.mtu < MTU_MIN {
        return Err(Contradiction::Mtu { network, mtu: lan.mtu });
    }
    if let Some(net) = lan.v4
        && (net.prefix_len() > 29 || net.prefix_len() < 8 || net.addr() != net.network())
    {
        return Err(Contradiction::Prefix { network, prefix: net.into() });
    }
    // Guests are told their addresses by DHCPv6; dnsmasq announces prefixes of 64 bits only.
    if let Some(net) = lan.v6
        && (net.prefix_len() != 64 || net.addr() != net.network())
    {
        return Err(Contradiction::Prefix { network, prefix: net.into() });
    }
    Ok(())
}

fn groups(lan: &Lan) -> Result<(), Contradiction> {
    let network = lan.identity;
    let mut known = BTreeSet::new();
    for group in &lan.groups {
        if !known.insert(group.id) {
            return Err(Contradiction::Group { network, group: group.id });
        }
    }
    let rules = lan.groups.iter().flat_map(|group| group.ingress.iter().chain(&group.egress));
    for Rule { traffic, peer } in rules {
        if let Traffic::Tcp(ports) | Traffic::Udp(ports) = *traffic
            && ports.first > ports.last
        {
            return Err(Contradiction::Ports { network, ports });
        }
        if let Peer::Group(group) = *peer
            && !known.contains(&group)
        {
            return Err(Contradiction::Group { network, group });
        }
    }
    let named = lan.members.iter().flat_map(|member| &member.groups);
    match named.copied().find(|group| !known.contains(group)) {
        Some(group) => Err(Contradiction::Group { network, group }),
        None => Ok(()),
    }
}

fn members<'a>(
    lan: &'a Lan,
    wanted: &Wanted,
    taps: &mut BTreeSet<&'a Tap>,
) -> Result<(), Contradiction> {
    let network = lan.identity;
    let here = lan.members.iter().filter(|member| matches!(member.at, At::Here { .. })).count();
    if lan.members.len() > MEMBERS_MAX || here + lan.awaited.len() > PORTS_MAX {
        return Err(Contradiction::TooMany { network, members: lan.members.len() });
    }
    if let Some(tap) = lan.awaited.iter().find(|tap| !taps.insert(tap)) {
        return Err(Contradiction::Awaited { network, tap: tap.clone() });
    }
    let mut macs = BTreeSet::new();
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for member in &lan.members {
        let mac = member.mac;
        if !has_fitting_addresses(lan, member) {
            return Err(Contradiction::Address { network, mac });
        }
        let fresh = own(member).all(|address| addresses.insert(address));
        if !fresh || !macs.insert(mac) {
            return Err(Contradiction::Twice { network, mac });
        }
        let reached = match &member.at {
            At::Here { tap, .. } if !taps.insert(tap) => {
                return Err(Contradiction::Twice { network, mac });
            }
            At::Here { .. } => true,
            At::Host { underlay } => reaches_host(wanted, *underlay),
            At::Site { gateway, .. } => reaches_site(wanted, *gateway),
        };
        if !reached {
            return Err(Contradiction::NoWay { network, mac });
        }
    }
    Ok(())
}

fn exit(lan: &Lan, wanted: &Wanted) -> Result<(), Contradiction> {
    let reached = match lan.exit {
        None => true,
        Some(Exit::Here) => wanted.outside.is_some(),
        Some(Exit::Host { underlay }) => reaches_host(wanted, underlay),
        Some(Exit::Site { gateway, .. }) => reaches_site(wanted, gateway),
    };
    if reached { Ok(()) } else { Err(Contradiction::NoExit { network: lan.identity }) }
}

fn reaches_host(wanted: &Wanted, other: IpAddr) -> bool {
    wanted.underlay.is_some_and(|own| own != other && own.is_ipv4() == other.is_ipv4())
}

fn reaches_site(wanted: &Wanted, gateway: Ipv6Addr) -> bool {
    wanted.tunnel.as_ref().is_some_and(|tunnel| tunnel.address != gateway)
}

/// Whether a card has an address of each kind that its network has, and none that is not for
/// guests.
fn has_fitting_addresses(lan: &Lan, member: &Member) -> bool {
    let v4 = match (lan.v4, member.v4) {
        (None, None) => true,
        (Some(net), Some(address)) => {
            let kept = [net.network(), net.broadcast()];
            net.contains(&address) && !kept.contains(&address) && lan.gateway_v4() != Some(address)
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    let v6 = match (lan.v6, member.v6) {
        (None, None) => true,
        (Some(net), Some(address)) => {
            net.contains(&address) && address != net.network() && lan.gateway_v6() != Some(address)
        }
        (Some(_), None) | (None, Some(_)) => false,
    };
    v4 && v6
}
