//! What a host's networks should be, read from the site's state: a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use fabric::HostName;
use fabric::networks::{
    At, BytesPerSecond, Contradiction, Exit, Hop, Identity, Lan, Member, Outside, Public, Route,
    Routed, Tap, Tunnel, Wanted, bridge, check,
};
use hypervisor::backend::Plug;
use ipnet::IpNet;
use protocol::hull::{Hull, Mac};
use protocol::ids::{HostId, MachineName, NetworkId, NodeId, SiteId};
use protocol::networks::gateway::{Gateway, TunnelKey, Uplink};
use protocol::networks::{self, Offset, Speed, lan};
use protocol::site::Site;
use protocol::site::state::{Lan as Row, Node};

use super::arrivals::Arrivals;
use super::security::Named;
use crate::config;

/// The interface that leads to other sites.
pub const TUNNEL_DEVICE: &str = "rwg0";

/// How often a gateway is sent something even if there is nothing to say: often enough for the NAT
/// of a site behind one, which forgets a flow of UDP after 30 s (RFC 4787, section 4.3, has 120 s as
/// what it should be).
const KEEPALIVE: NonZeroU16 = NonZeroU16::new(20).expect("it is not zero");

/// What should be there.
#[derive(Debug)]
pub(super) struct Plan {
    /// The networks.
    pub(super) wanted: Wanted,
    /// What was left out, since it contradicts itself: one home's nonsense is kept from the others.
    pub(super) refused: Vec<Contradiction>,
}

/// Where a machine's cards are plugged in, in the order of its hull's.
#[must_use]
pub fn plugs(hull: &Hull) -> Vec<Plug> {
    let name = MachineName { home: hull.home, machine: hull.machine };
    let cards = (0..).zip(&hull.cards);
    let plug = |(number, card): (u8, &protocol::hull::Card)| Plug {
        bridge: bridge(Identity { home: hull.home, network: card.network }),
        interface: Tap::of(name, number).to_string(),
    };
    cards.map(plug).collect()
}

/// The gateways of other sites that this node talks to: those on this site's networks if it is the
/// gateway, and none if it is not. Nothing if it takes no part in networks.
pub(super) fn peers(site: &Site, node: NodeId) -> Option<Vec<tunnel::Peer>> {
    let (_, row) = site.nodes().find(|(id, _)| *id == node)?;
    row.uplink?;
    if !row.is_gateway {
        return Some(Vec::new());
    }
    // A key may be said to be called at more than one place. What the site itself has said of its
    // own networks goes first; a wrong place is put right by the first packet from the true one.
    let mut known: BTreeMap<_, (bool, Gateway)> = BTreeMap::new();
    for ((home, _), lan) in site.lans() {
        for (of, end) in &lan.ends {
            let Some(gateway) = end.and_then(|end| end.gateway) else { continue };
            let claim = (of != home, gateway);
            let best = known.entry(gateway.key).or_insert(claim);
            *best = claim.min(*best);
        }
    }
    let own = row.uplink.map(|uplink| uplink.gateway.key);
    known.retain(|key, _| Some(*key) != own);
    let peer = |(key, (_, gateway)): (TunnelKey, (bool, Gateway))| tunnel::Peer {
        public_key: tunnel::PublicKey::from_bytes(*gateway.key.as_bytes()),
        endpoint: gateway.endpoint,
        addresses: vec![IpAddr::V6(key.address())],
        keepalive: Some(KEEPALIVE),
    };
    Some(known.into_iter().take(tunnel::PEERS_MAX).map(peer).collect())
}

/// What the networks of a host should be. `node` speaks for it.
/// The machines of `arrivals` are on their way to it.
pub(super) fn of(
    site: &Site,
    (host, node): (HostId, NodeId),
    network: &config::Network,
    arrivals: &Arrivals,
) -> Plan {
    let view = View::of(site, (host, node), network.outside.is_some(), arrivals);
    let outside = network.outside.as_ref().map(|interface| Outside {
        interface: interface.clone(),
        closed: view.hosts.values().map(|host| IpNet::from(*host)).collect(),
    });
    let (underlay, tunnel) = (view.underlay, view.tunnel());
    let bare = Wanted {
        lans: Vec::new(),
        underlay,
        tunnel,
        outside,
        public: Vec::new(),
        resolvers: network.resolvers.clone(),
        routed: Vec::new(),
    };
    let (mut wanted, mut refused) = (bare.clone(), Vec::new());
    for group in view.groups() {
        let mut together = bare.clone();
        for lan in group {
            // Each is checked by itself, so that one that contradicts itself is left out alone.
            let alone = Wanted { lans: vec![lan], ..bare.clone() };
            match check(&alone) {
                Ok(()) => together.lans.extend(alone.lans),
                Err(fault) => refused.push(fault),
            }
        }
        if together.lans.len() > 1 {
            let lans = together.lans.iter().map(|lan| lan.identity).collect();
            together.routed.push(Routed { lans });
            // Those that cannot have a router between them go on without.
            if let Err(fault) = check(&together) {
                refused.push(fault);
                together.routed.clear();
            }
        }
        wanted.lans.extend(together.lans);
        wanted.routed.extend(together.routed);
    }
    wanted.public = published(site, &wanted.lans);
    Plan { wanted, refused }
}

/// The public addresses of the cards on those networks that leave the site here.
fn published(site: &Site, lans: &[Lan]) -> Vec<Public> {
    let Some(home) = site.profile().map(|profile| profile.site) else { return Vec::new() };
    let published = site.published().filter_map(|(address, network, member)| {
        let network = Identity { home, network };
        let lan = lans.iter().find(|lan| lan.identity == network)?;
        let is_on = lan.members.iter().any(|it| it.v4 == Some(member));
        let public = Public { address: address.into(), network, member: member.into() };
        (lan.exit == Some(Exit::Here) && is_on).then_some(public)
    });
    published.collect()
}

/// The site as one of its hosts sees it.
struct View<'a> {
    site: &'a Site,
    me: Option<SiteId>,
    host: HostId,
    /// Where the other hosts of the site reach this one.
    underlay: Option<IpAddr>,
    /// This node's own uplink, if it is the gateway.
    gateway: Option<Uplink>,
    /// Where each host of the site is reached.
    hosts: BTreeMap<HostId, IpAddr>,
    /// Where the gateway is reached by the other hosts.
    gateway_at: Option<IpAddr>,
    /// Whether the public network is reached from here.
    has_outside: bool,
    arrivals: &'a Arrivals,
}

impl<'a> View<'a> {
    fn of(
        site: &'a Site,
        (host, node): (HostId, NodeId),
        has_outside: bool,
        arrivals: &'a Arrivals,
    ) -> Self {
        let nodes: BTreeMap<NodeId, &Node> = site.nodes().collect();
        let uplink = |id: NodeId| nodes.get(&id).and_then(|row| row.uplink);
        let own = uplink(node);
        let is_gateway = nodes.get(&node).is_some_and(|row| row.is_gateway);
        let at = |(id, row): (&HostId, &protocol::site::state::Host)| {
            Some((*id, uplink(row.node)?.underlay))
        };
        let gateway_at = nodes.values().find(|row| row.is_gateway).and_then(|row| row.uplink);
        Self {
            site,
            me: site.profile().map(|profile| profile.site),
            host,
            underlay: own.map(|uplink| uplink.underlay),
            gateway: own.filter(|_| is_gateway),
            hosts: site.hosts().filter_map(at).collect(),
            gateway_at: gateway_at.map(|uplink| uplink.underlay),
            has_outside,
            arrivals,
        }
    }

    fn tunnel(&self) -> Option<Tunnel> {
        let device = TUNNEL_DEVICE.parse().expect("it is a name of an interface");
        Some(Tunnel { device, address: self.gateway?.gateway.key.address() })
    }

    /// The networks that have to do with this host: those of a group together, a network that stands
    /// alone by itself.
    fn groups(&self) -> Vec<Vec<Lan>> {
        let mut rows: BTreeMap<(SiteId, NetworkId), Vec<(NetworkId, &Row)>> = BTreeMap::new();
        for ((home, network), row) in self.site.lans() {
            let first = row.terms.group.unwrap_or(*network);
            rows.entry((*home, first)).or_default().push((*network, row));
        }
        let groups = rows.into_iter().map(|((home, _), rows)| self.group(home, &rows));
        groups.filter(|group| concerns(group)).collect()
    }

    fn group(&self, home: SiteId, rows: &[(NetworkId, &Row)]) -> Vec<Lan> {
        // What is routed to each other has the same security groups under the same numbers.
        let named = Named::on(rows.iter().map(|(_, row)| &row.groups));
        rows.iter().map(|(network, row)| self.lan((home, *network), row, &named)).collect()
    }

    fn lan(&self, (home, network): (SiteId, NetworkId), row: &Row, named: &Named) -> Lan {
        let terms = &row.terms;
        let id = (home, network);
        let members = self.site.members_on(home, network);
        let members: Vec<Member> = members
            .filter_map(|(offset, member)| self.member(id, row, named, (offset, member)))
            .collect();
        let awaited = self.awaited(home, network, &members);
        let exit = if terms.outbound { self.exit(home, row) } else { None };
        let domain = terms.domain.as_deref().map(|service| [service, "internal"]);
        Lan {
            identity: Identity { home, network },
            v4: Some(terms.prefix.net()),
            v6: Some(terms.prefix6.net()),
            mtu: networks::MTU,
            vni: row.own.vni,
            domain: domain.into_iter().flatten().map(HostName::nearest).collect(),
            groups: named.groups(&row.groups),
            speed: None,
            routes: routes(row, &members, exit),
            members,
            exit,
            awaited,
        }
    }

    /// The taps of cards that are on their way here, and are not here yet.
    fn awaited(&self, home: SiteId, network: NetworkId, members: &[Member]) -> BTreeSet<Tap> {
        let is_here = |tap: &Tap| {
            members.iter().any(|it| matches!(&it.at, At::Here { tap: own, .. } if own == tap))
        };
        let cards = self.site.members_on(home, network).filter_map(|(_, member)| {
            let name = MachineName { home, machine: member.machine };
            self.arrivals.has(name).then(|| Tap::of(name, member.card))
        });
        cards.filter(|tap| !is_here(tap)).collect()
    }

    /// Where a network meets the public network: at its home's gateway.
    fn exit(&self, home: SiteId, row: &Row) -> Option<Exit> {
        match self.gateway {
            None => Some(Exit::Host { underlay: self.gateway_at? }),
            Some(_) if Some(home) == self.me => self.has_outside.then_some(Exit::Here),
            Some(_) => {
                let end = row.ends.get(&home).copied().flatten()?;
                Some(Exit::Site { gateway: end.gateway?.key.address(), vni: end.vni })
            }
        }
    }

    fn member(
        &self,
        (home, network): (SiteId, NetworkId),
        row: &Row,
        named: &Named,
        (offset, member): (Offset, &lan::Member),
    ) -> Option<Member> {
        let at = self.place((home, network), row, member)?;
        let names = [Some(&member.name), member.component.as_ref()];
        let mut seen = BTreeSet::new();
        let names = names.into_iter().flatten().filter(|name| seen.insert(*name));
        Some(Member {
            mac: Mac::of(home, member.machine, member.card),
            v4: row.terms.prefix.address(offset),
            v6: Some(row.terms.prefix6.address(offset)),
            names: names.map(|name| HostName::nearest(name)).collect(),
            groups: named.memberships(&row.groups, &member.groups),
            at,
        })
    }

    /// Where a card is; nowhere if it is not known how it is reached.
    fn place(
        &self,
        (home, network): (SiteId, NetworkId),
        row: &Row,
        member: &lan::Member,
    ) -> Option<At> {
        let site = member.site?;
        if Some(site) != self.me {
            return match self.gateway {
                Some(_) => {
                    let end = row.ends.get(&site).copied().flatten()?;
                    Some(At::Site { gateway: end.gateway?.key.address(), vni: end.vni })
                }
                None => Some(At::Host { underlay: self.gateway_at? }),
            };
        }
        let name = MachineName { home, machine: member.machine };
        let guest = self.site.guest(name)?;
        // A guest's hull says where its cards are plugged in, whatever its home says of them.
        let card = guest.hull.cards.get(usize::from(member.card));
        let host = card.filter(|card| card.network == network).map(|_| guest.lodging.host)?;
        if host != self.host {
            return Some(At::Host { underlay: *self.hosts.get(&host)? });
        }
        let speed = row.terms.speed.map(bytes_per_second);
        Some(At::Here { tap: Tap::of(name, member.card), from_guest: speed, to_guest: speed })
    }
}

/// Where what leaves a network goes. A machine or an exit that is not there is nobody.
fn routes(row: &Row, members: &[Member], exit: Option<Exit>) -> Vec<Route> {
    let has = |member: &Member, address: IpAddr| {
        member.v4.map(IpAddr::from) == Some(address) || member.v6.map(IpAddr::from) == Some(address)
    };
    let routes = row.terms.routes.iter().map(|route| {
        let hop = match route.hop {
            networks::Hop::Machine(address) if members.iter().any(|it| has(it, address)) => {
                Hop::Card(address)
            }
            networks::Hop::Exit if exit.is_some() => Hop::Exit,
            networks::Hop::Machine(_) | networks::Hop::Exit | networks::Hop::Nobody => Hop::Nobody,
        };
        Route { to: route.to.net(), hop }
    });
    routes.collect()
}

/// Whether networks that are routed to each other have to do with this host: a guest on one of them is
/// here or on its way, or they pass through here, from the site's other hosts to other sites, or they
/// meet the public network here.
fn concerns(group: &[Lan]) -> bool {
    let any = |is: fn(&At) -> bool| {
        group.iter().flat_map(|lan| &lan.members).any(|member| is(&member.at))
    };
    let leads_away = any(|at| matches!(at, At::Site { .. }))
        || group.iter().any(|lan| matches!(lan.exit, Some(Exit::Site { .. })));
    let passes = leads_away && any(|at| matches!(at, At::Host { .. }));
    let leaves = group.iter().any(|lan| lan.exit == Some(Exit::Here) && !lan.members.is_empty());
    let awaits = group.iter().any(|lan| !lan.awaited.is_empty());
    passes || leaves || awaits || any(|at| matches!(at, At::Here { .. }))
}

/// What the fabric can hold a card to; whatever is faster than that is as fast as it is.
fn bytes_per_second(speed: Speed) -> BytesPerSecond {
    let bytes = u32::try_from(speed.bytes_per_second()).unwrap_or(u32::MAX);
    NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN)
}
