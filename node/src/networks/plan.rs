//! What a host's networks should be, read from the site's state: a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};

use fabric::HostName;
use fabric::networks::{
    At, BytesPerSecond, Contradiction, Exit, Identity, Lan, Member, Outside, Public, Tap, Tunnel,
    Wanted, bridge, check,
};
use hypervisor::backend::Plug;
use ipnet::IpNet;
use protocol::hull::{Hull, Mac};
use protocol::ids::{HostId, MachineName, NetworkId, NodeId, SiteId};
use protocol::networks::gateway::{Gateway, TunnelKey, Uplink};
use protocol::networks::{self, Offset, Speed, lan};
use protocol::site::Site;
use protocol::site::state::Node;

use super::arrivals::Arrivals;
use super::security;
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
    let mut wanted = Wanted {
        lans: Vec::new(),
        underlay,
        tunnel,
        outside,
        public: Vec::new(),
        resolvers: network.resolvers.clone(),
        routed: Vec::new(),
    };
    let mut refused = Vec::new();
    for ((home, network), lan) in site.lans() {
        let Some(lan) = view.lan(*home, *network, lan) else { continue };
        // Each is checked by itself, so that one that contradicts itself is left out alone.
        wanted.lans.push(lan);
        let alone = Wanted { lans: wanted.lans.split_off(wanted.lans.len() - 1), ..wanted.clone() };
        match check(&alone) {
            Ok(()) => wanted.lans.extend(alone.lans),
            Err(fault) => refused.push(fault),
        }
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

    /// A network, if a guest here is on it, or if it passes through here: from the site's other
    /// hosts to other sites.
    fn lan(
        &self,
        home: SiteId,
        network: NetworkId,
        row: &protocol::site::state::Lan,
    ) -> Option<Lan> {
        let terms = &row.terms;
        let members = self.site.members_on(home, network);
        let members: Vec<Member> =
            members.filter_map(|(offset, member)| self.member(home, row, offset, member)).collect();
        let awaited = self.awaited(home, network, &members);
        let any = |is: fn(&At) -> bool| members.iter().any(|member| is(&member.at));
        let here = any(|at| matches!(at, At::Here { .. }));
        let passes =
            any(|at| matches!(at, At::Host { .. })) && any(|at| matches!(at, At::Site { .. }));
        let exit = if terms.outbound { self.exit(home, row) } else { None };
        if !here
            && awaited.is_empty()
            && !passes
            && (exit != Some(Exit::Here) || members.is_empty())
        {
            return None;
        }
        let domain = terms.domain.as_deref().map(|service| [service, "internal"]);
        Some(Lan {
            identity: Identity { home, network },
            v4: Some(terms.prefix.net()),
            v6: Some(terms.prefix6.net()),
            mtu: networks::MTU,
            vni: row.own.vni,
            domain: domain.into_iter().flatten().map(HostName::nearest).collect(),
            members,
            groups: security::groups(&row.groups),
            speed: None,
            exit,
            routes: Vec::new(),
            awaited,
        })
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
    fn exit(&self, home: SiteId, row: &protocol::site::state::Lan) -> Option<Exit> {
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
        home: SiteId,
        row: &protocol::site::state::Lan,
        offset: Offset,
        member: &lan::Member,
    ) -> Option<Member> {
        let name = MachineName { home, machine: member.machine };
        let at = self.place(name, row, member)?;
        let names = [Some(&member.name), member.component.as_ref()];
        let mut seen = BTreeSet::new();
        let names = names.into_iter().flatten().filter(|name| seen.insert(*name));
        Some(Member {
            mac: Mac::of(home, member.machine, member.card),
            v4: row.terms.prefix.address(offset),
            v6: Some(row.terms.prefix6.address(offset)),
            names: names.map(|name| HostName::nearest(name)).collect(),
            groups: security::memberships(&row.groups, &member.groups),
            at,
        })
    }

    /// Where a card is; nowhere if it is not known how it is reached.
    fn place(
        &self,
        name: MachineName,
        row: &protocol::site::state::Lan,
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
        let host = self.site.guest(name)?.lodging.host;
        if host != self.host {
            return Some(At::Host { underlay: *self.hosts.get(&host)? });
        }
        let speed = row.terms.speed.map(bytes_per_second);
        Some(At::Here { tap: Tap::of(name, member.card), from_guest: speed, to_guest: speed })
    }
}

/// What the fabric can hold a card to; whatever is faster than that is as fast as it is.
fn bytes_per_second(speed: Speed) -> BytesPerSecond {
    let bytes = u32::try_from(speed.bytes_per_second()).unwrap_or(u32::MAX);
    NonZeroU32::new(bytes).unwrap_or(NonZeroU32::MIN)
}
