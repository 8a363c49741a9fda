//! `/v1/networks`: who is on a network, and what carries it, as this node sees that.
//!
//! A tenant sees its own networks. What carries them is the site's, and an operator's to see.

mod check;
mod faults;

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use fabric::networks::{Device, Identity};
use protocol::hull::Mac;
use protocol::ids::{MachineName, NetworkId, NodeId, SiteId};
use protocol::networks::lan::{self, Member};
use protocol::networks::{self, Hop, Offset};
use protocol::site::Site;
use protocol::site::state::{Lan, Role};
use protocol::sla::measure::{self, Tally};
use tunnel::PeerState;

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::shapes::{List, network as shapes};
use super::{input, list, machines};
use crate::networks::Seen;
use crate::observe::{chain, now};

pub(super) use check::check;

/// `ListNetworks`
pub(super) async fn list(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List<shapes::Network>>, Error> {
    let networks = list::list(&server.desk, |site| {
        let seen = site.lans().filter(|(id, _)| may_see(site, **id, caller));
        seen.map(|(id, row)| view(site, *id, row)).collect()
    })
    .await?;
    Ok(Json(networks))
}

/// `ShowNetwork`
pub(super) async fn show(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
) -> Result<Json<shapes::Detailed>, Error> {
    let desk = &server.desk;
    let id = parse(&text, desk.site())?;
    desk.current().await?;
    let (mut network, row) = desk.read(|site| {
        let row = find(site, id, &text)?;
        if !may_see(site, id, caller) {
            return Err(unknown(&text));
        }
        let cards = site.members_on(id.0, id.1);
        let cards = cards.map(|(offset, member)| card(site, id.0, row, offset, member));
        let cards: Vec<shapes::Member> = cards.collect();
        let network = shapes::Detailed {
            network: view(site, id, row),
            measured: measured(site, id, row),
            routed_to: routed_to(site, id, row),
            routes: row.terms.routes.iter().map(|it| route(it, &cards)).collect(),
            cards,
            inside: None,
        };
        Ok((network, row.clone()))
    })?;
    if caller.role == Role::Operator {
        let seen = server.networks.seen().await;
        let mut inside = desk.read(|site| inside(site, desk.node(), &row, &seen));
        carried(&mut inside, Identity { home: id.0, network: id.1 }, seen);
        network.inside = Some(inside);
    }
    Ok(Json(network))
}

/// Which network a path names: `ID` is one of this site, `ID@SITE` one of another.
fn parse(text: &str, me: SiteId) -> Result<(SiteId, NetworkId), Error> {
    match text.split_once('@') {
        None => Ok((me, input::id(text)?)),
        Some((network, home)) => Ok((input::id(home)?, input::id(network)?)),
    }
}

/// The row of a network that reaches here.
fn find<'a>(site: &'a Site, id: (SiteId, NetworkId), text: &str) -> Result<&'a Lan, Error> {
    let found = site.lans().find(|(of, _)| **of == id);
    found.map(|(_, row)| row).ok_or_else(|| unknown(text))
}

fn unknown(text: &str) -> Error {
    let message = format!("there is no network {text}");
    Error::new(Code::UnknownNetwork, message).hint("'reservoir network ls'")
}

fn may_see(site: &Site, id: (SiteId, NetworkId), caller: Caller) -> bool {
    let is_own = || own(site, id).is_some_and(|row| row.tenant == caller.tenant);
    caller.role == Role::Operator || is_own()
}

/// The network, if it is of a tenant of this site.
fn own(site: &Site, (home, id): (SiteId, NetworkId)) -> Option<&protocol::site::state::Network> {
    site.network(id).filter(|_| is_me(site, home))
}

fn is_me(site: &Site, other: SiteId) -> bool {
    site.profile().is_some_and(|profile| profile.site == other)
}

/// What people call a site.
fn called(site: &Site, other: SiteId) -> String {
    match site.profile() {
        Some(profile) if profile.site == other => profile.name.clone(),
        Some(_) | None => machines::peer_place(site, other).site,
    }
}

/// The sites on a network, this one with them.
fn ends(site: &Site, row: &Lan) -> BTreeMap<SiteId, Option<lan::End>> {
    let me = site.profile().map(|profile| (profile.site, Some(row.own)));
    row.ends.iter().map(|(id, end)| (*id, *end)).chain(me).collect()
}

fn view(site: &Site, id: (SiteId, NetworkId), row: &Lan) -> shapes::Network {
    let terms = &row.terms;
    let name = own(site, id).map(|network| network.name.to_string());
    let names = [terms.domain.clone(), name];
    let own_group = own(site, id).and_then(|network| network.group.as_ref());
    shapes::Network {
        id: match own(site, id) {
            Some(_) => id.1.to_string(),
            None => format!("{}@{}", id.1, id.0),
        },
        name: names.into_iter().flatten().collect::<Vec<_>>().join("/"),
        home: called(site, id.0),
        prefix: terms.prefix.to_string(),
        prefix6: terms.prefix6.to_string(),
        speed: terms.speed.map(|speed| speed.to_string()),
        sla: terms.class,
        outbound: terms.outbound,
        group: match own_group {
            Some(group) => Some(group.to_string()),
            None => terms.group.map(|first| first.to_string()),
        },
        members: site.members_on(id.0, id.1).count(),
        sites: ends(site, row).into_keys().map(|end| called(site, end)).collect(),
    }
}

/// What was measured of a network, against what is promised of it.
fn measured(site: &Site, id: (SiteId, NetworkId), row: &Lan) -> Option<shapes::Measured> {
    let now = now();
    let measured = site.measured(id.0, id.1)?.at(now);
    let percent = |share: u32| format!("{}.{:04} %", share / 10_000, share % 10_000);
    let tally = measured.tally;
    let seconds = |intervals: u64| measure::INTERVAL.as_millis() * intervals / 1_000;
    Some(shapes::Measured {
        since: measured.since.into(),
        seen: seconds(tally.seen.into()),
        missed: seconds(tally.missed.into()),
        allowed: measure::allowance(row.terms.class).map(seconds),
        availability: tally.availability().map(percent),
        unseen: measured.unseen(now).as_millis() / 1_000,
        kept: tally.keeps(row.terms.class),
        before: measured.before.and_then(Tally::availability).map(percent),
    })
}

/// The other networks of its group.
fn routed_to(site: &Site, id: (SiteId, NetworkId), row: &Lan) -> Vec<String> {
    let Some(group) = row.terms.group else { return Vec::new() };
    let of_group = site
        .lans()
        .filter(|(other, lan)| **other != id && other.0 == id.0 && lan.terms.group == Some(group));
    of_group.map(|(other, lan)| view(site, *other, lan).name).collect()
}

fn route(route: &networks::Route, cards: &[shapes::Member]) -> shapes::Route {
    let has = |card: &&shapes::Member, address: IpAddr| match address {
        IpAddr::V4(_) => card.address.as_ref().is_some_and(|own| *own == address.to_string()),
        IpAddr::V6(_) => card.address6 == address.to_string(),
    };
    let (via, next) = match route.hop {
        Hop::Machine(address) => (address.to_string(), cards.iter().find(|it| has(it, address))),
        Hop::Exit => ("exit".to_owned(), None),
        Hop::Nobody => ("nobody".to_owned(), None),
    };
    shapes::Route { to: route.to.net().to_string(), via, machine: next.map(|it| it.name.clone()) }
}

fn card(site: &Site, home: SiteId, row: &Lan, offset: Offset, member: &Member) -> shapes::Member {
    let name = MachineName { home, machine: member.machine };
    let here = member.site.filter(|at| is_me(site, *at)).and_then(|_| site.guest(name));
    shapes::Member {
        name: member.name.clone(),
        machine_id: member.machine.to_string(),
        address: row.terms.prefix.address(offset).map(|address| address.to_string()),
        address6: row.terms.prefix6.address(offset).to_string(),
        mac: Mac::of(home, member.machine, member.card).to_string(),
        site: member.site.map(|at| called(site, at)),
        host: here.and_then(|guest| machines::own_place(site, guest.lodging.host)?.host),
    }
}

/// The sites on a network with the tunnels to them.
fn inside(site: &Site, node: NodeId, row: &Lan, seen: &Seen) -> shapes::Inside {
    let peers = seen.tunnel.as_ref().ok().and_then(Option::as_ref).map(|state| &state.peers);
    let tunnel = |end: &lan::End| {
        let key = tunnel::PublicKey::from_bytes(*end.gateway?.key.as_bytes());
        peers?.iter().find(|peer| peer.public_key == key).map(through)
    };
    let end = |(id, end): (SiteId, Option<lan::End>)| shapes::End {
        site: called(site, id),
        site_id: id.to_string(),
        is_own: is_me(site, id),
        vni: end.map(|end| end.vni.into()),
        gateway: end.and_then(|end| end.gateway).map(|it| it.key.to_string()),
        endpoint: end.and_then(|end| end.gateway?.endpoint).map(|it| it.to_string()),
        tunnel: end.as_ref().and_then(tunnel),
    };
    shapes::Inside {
        node: node.0,
        gateway: site.nodes().find(|(_, row)| row.is_gateway).map(|(id, _)| id.0),
        mtu: networks::MTU.into(),
        room_between_sites: None,
        ends: ends(site, row).into_iter().map(end).collect(),
        devices: Vec::new(),
        drops: BTreeMap::new(),
        trouble: String::new(),
    }
}

/// What has gone through the tunnel to a peer.
fn through(peer: &PeerState) -> shapes::Tunnel {
    let drops = peer.drops.map(|drops| {
        [
            ("wrong-source", drops.wrong_source),
            ("replayed", drops.replayed),
            ("unauthentic", drops.unauthentic),
            ("malformed", drops.malformed),
            ("unsent", drops.unsent),
        ]
    });
    let drops = drops.into_iter().flatten().filter(|(_, packets)| *packets > 0);
    shapes::Tunnel {
        endpoint: peer.endpoint.map(|endpoint| endpoint.to_string()),
        last_handshake: peer.last_handshake.map(|ago| ago.as_secs()),
        received: peer.received.bytes,
        sent: peer.sent.bytes,
        drops: drops.map(|(cause, packets)| (cause.to_owned(), packets)).collect(),
    }
}

/// What is wrong where IPv6 does not go out.
const KEEPS_IPV6: &str = "IPv6 does not go out of this host, whose kernel cannot forward it for single \
                          interfaces: use Linux 6.17, or have it forwarded for all of them \
                          (net.ipv6.conf.all.forwarding)";

/// Adds what this host has of a network.
fn carried(inside: &mut shapes::Inside, identity: Identity, seen: Seen) {
    let mut faults: Vec<String> = seen.tunnel.err().iter().map(|it| chain(it)).collect();
    match seen.lans {
        Ok(state) => {
            if let Some(lan) = state.lans.into_iter().find(|lan| lan.identity == identity) {
                inside.room_between_sites = lan.room_between_sites;
                if lan.exit.is_some_and(|exit| exit.keeps_ipv6) {
                    faults.push(KEEPS_IPV6.to_owned());
                }
                inside.devices = lan.devices.into_iter().map(device).collect();
                let dropped = lan.drops.into_iter().filter(|drops| drops.packets > 0);
                inside.drops = dropped
                    .map(|it| {
                        let (packets, bytes) = (it.packets, it.bytes);
                        (it.cause.name().to_owned(), shapes::Drops { packets, bytes })
                    })
                    .collect();
            }
        }
        Err(fault) => faults.push(chain(&fault)),
    }
    inside.trouble = faults.join("; ");
}

fn device(device: Device) -> shapes::Device {
    let Device { name, is_up, mtu, received, sent } = device;
    shapes::Device { name, is_up, mtu, received, sent }
}
