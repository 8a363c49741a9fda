//! What is for elsewhere: turned to whoever is on the way there.
//!
//! A guest sends what leaves its network to its gateway, whose MAC address is the same on every
//! host. Such a frame gets the MAC address of the next router before the bridge looks up where
//! that is. It keeps the guest's own as its sender, so that every place on the way goes on
//! checking that the card is where it says and has the address that it says.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::super::names::{Key, link_local, mac_text};
use super::super::super::wanted::Lan;
use super::super::exit::nets;
use super::super::services::{METADATA_V4, METADATA_V6};
use super::words::{
    Step, accept, address, any, becomes, by_family, field, goto, is, lies_in, one_of, text,
};
use super::{Cause, Table};

/// What sends a guest's frame for its gateway on its way; none if nothing leads out of the
/// network.
pub(super) fn turn(lan: &Lan) -> Option<[Step; 2]> {
    lan.exit?;
    let key = Key::of(lan.identity);
    Some([is(field("ether", "daddr"), text(mac_text(key.gateway()))), goto(name(key))])
}

fn name(key: Key) -> String {
    format!("way-{key}")
}

/// The chain that [`turn`] leads to.
pub(super) fn chain(lan: &Lan, table: &mut Table) {
    if lan.exit.is_none() {
        return;
    }
    let key = Key::of(lan.identity);
    let chain = &name(key);
    let services = [
        lan.gateway_v4().map(IpAddr::from),
        lan.v4.map(|_| METADATA_V4.into()),
        lan.gateway_v6().map(IpAddr::from),
        lan.v6.map(|_| METADATA_V6.into()),
        lan.v6.map(|_| link_local(key.gateway()).into()),
    ];
    for (family, services) in by_family(services.into_iter().flatten()) {
        if !services.is_empty() {
            table.rule(chain, [is(field(family.header(), "daddr"), any(services)), accept()]);
        }
    }
    let near = nets(lan).into_iter().map(|net| lies_in(address(net.addr(), "daddr"), net));
    for near in near {
        table.rule(chain, [near, accept()]);
    }
    let packets = is(field("ether", "type"), one_of(&["ip", "ip6"]));
    let exit = becomes(field("ether", "daddr"), text(mac_text(key.exit())));
    table.rule(chain, [packets, exit]);
}

/// What the exit may say: nothing from the network's own addresses, or someone outside could pose
/// as one of its cards.
pub(super) fn from_exit(lan: &Lan, table: &mut Table) -> String {
    let key = Key::of(lan.identity);
    let chain = format!("exit-{key}");
    let own = nets(lan).into_iter().chain(lan.v6.map(|_| LINK_LOCAL));
    for net in own {
        let own = lies_in(address(net.addr(), "saddr"), net);
        table.refuse(&chain, [own], Some(key), Cause::ForeignAddress);
    }
    chain
}

/// What is valid on one link only (RFC 4291, section 2.5.6).
const LINK_LOCAL: IpNet =
    IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));
