//! What is for elsewhere: turned to whoever is on the way there.
//!
//! A guest sends what leaves its network to its gateway, whose MAC address is the same on every
//! host. Such a frame gets the MAC address of the next router before the bridge looks up where
//! that is. It keeps the guest's own as its sender, so that every place on the way goes on
//! checking that the card is where it says and has the address that it says.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::super::names::{Key, link_local, mac_bytes, mac_text};
use super::super::super::wanted::{Hop, Lan, Member, Route, Wanted};
use super::super::exit::nets;
use super::super::router::siblings;
use super::super::services::{METADATA_V4, METADATA_V6};
use super::words::{
    Step, accept, address, any, becomes, by_family, field, goto, is, lies_in, one_of, text,
};
use super::{Cause, Table};

/// What sends a guest's frame for its gateway on its way; none if nothing leads out of the
/// network.
pub(super) fn turn(lan: &Lan, wanted: &Wanted) -> Option<[Step; 2]> {
    if !leads_out(lan, wanted) {
        return None;
    }
    let key = Key::of(lan.identity);
    Some([is(field("ether", "daddr"), text(mac_text(key.gateway()))), goto(name(key))])
}

fn leads_out(lan: &Lan, wanted: &Wanted) -> bool {
    lan.exit.is_some() || !lan.routes.is_empty() || !siblings(lan, wanted).is_empty()
}

fn name(key: Key) -> String {
    format!("way-{key}")
}

/// The chain that [`turn`] leads to.
pub(super) fn chain(lan: &Lan, wanted: &Wanted, table: &mut Table) {
    if !leads_out(lan, wanted) {
        return;
    }
    let key = Key::of(lan.identity);
    let chain = &name(key);
    for (family, services) in by_family(services(lan)) {
        if !services.is_empty() {
            table.rule(chain, [is(field(family.header(), "daddr"), any(services)), accept()]);
        }
    }
    let near = nets(lan).into_iter().map(|net| lies_in(address(net.addr(), "daddr"), net));
    for near in near {
        table.rule(chain, [near, accept()]);
    }
    let to = |net: IpNet| lies_in(address(net.addr(), "daddr"), net);
    let turned = |mac: [u8; 6]| becomes(field("ether", "daddr"), text(mac_text(mac)));
    for net in siblings(lan, wanted).into_iter().flat_map(nets) {
        table.rule(chain, [to(net), turned(key.router()), accept()]);
    }
    let mut routes: Vec<&Route> = lan.routes.iter().collect();
    routes.sort_by_key(|route| Reverse(route.to.prefix_len()));
    for Route { to: net, hop } in routes {
        let mac = match hop {
            Hop::Card(address) => card(lan, *address),
            Hop::Exit => Some(key.exit()),
            Hop::Nobody => None,
        };
        match mac {
            Some(mac) => {
                table.rule(chain, within(*net, "daddr").into_iter().chain([turned(mac), accept()]));
            }
            None => table.refuse(chain, within(*net, "daddr"), Some(key), Cause::NoRoute),
        }
    }
    if lan.exit.is_some() {
        let packets = is(field("ether", "type"), one_of(&["ip", "ip6"]));
        table.rule(chain, [packets, turned(key.exit())]);
    }
}

/// Where a network's services are asked, on every host.
pub(super) fn services(lan: &Lan) -> impl Iterator<Item = IpAddr> + use<> {
    let local = link_local(Key::of(lan.identity).gateway());
    let all = [
        lan.gateway_v4().map(IpAddr::from),
        lan.v4.map(|_| METADATA_V4.into()),
        lan.gateway_v6().map(IpAddr::from),
        lan.v6.map(|_| METADATA_V6.into()),
        lan.v6.map(|_| local.into()),
    ];
    all.into_iter().flatten()
}

/// The card that has an address.
fn card(lan: &Lan, address: IpAddr) -> Option<[u8; 6]> {
    let has = |member: &&Member| {
        member.v4.map(IpAddr::from) == Some(address) || member.v6.map(IpAddr::from) == Some(address)
    };
    lan.members.iter().find(has).map(|member| mac_bytes(member.mac))
}

/// A frame carries a packet from or to a prefix. One of no bits means all of its version.
pub(super) fn within(net: IpNet, end: &'static str) -> Vec<Step> {
    let kind = if net.addr().is_ipv4() { "ip" } else { "ip6" };
    let of_kind = is(field("ether", "type"), text(kind));
    let lies_in = (net.prefix_len() > 0).then(|| lies_in(address(net.addr(), end), net));
    [of_kind].into_iter().chain(lies_in).collect()
}

/// What is routed to a card, which may send what comes from there.
pub(super) fn behind(lan: &Lan, member: &Member) -> Vec<IpNet> {
    let mac = mac_bytes(member.mac);
    let is_by = |hop: &Hop| matches!(hop, Hop::Card(address) if card(lan, *address) == Some(mac));
    let routes = lan.routes.iter().filter(|route| is_by(&route.hop));
    routes.map(|route| route.to).collect()
}

/// What the exit may say: nothing from the addresses of the network and its siblings, or someone outside could pose
/// as one of its cards.
pub(super) fn from_exit(lan: &Lan, wanted: &Wanted, table: &mut Table) -> String {
    let key = Key::of(lan.identity);
    let chain = format!("exit-{key}");
    let routed = siblings(lan, wanted).into_iter().flat_map(nets);
    let own = nets(lan).into_iter().chain(routed).chain(lan.v6.map(|_| LINK_LOCAL));
    for net in own {
        let own = lies_in(address(net.addr(), "saddr"), net);
        table.refuse(&chain, [own], Some(key), Cause::ForeignAddress);
    }
    chain
}

/// What is valid on one link only (RFC 4291, section 2.5.6).
pub(super) const LINK_LOCAL: IpNet =
    IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));
