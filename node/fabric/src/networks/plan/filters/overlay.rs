//! VXLAN that comes in: only from who has to do with a network, only about that network, and from
//! another site only as the cards that are there.
//!
//! This is decided on the outer packet, where the sender is still known. The device behind the
//! tunnel vouches for the sender's inner address; a host of the site is believed by its address
//! on the site's own wire.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use nftables::expr::{MetaKey, PayloadBase};
use nftables::types::NfHook;

use super::super::super::names::{Key, mac_bytes};
use super::super::super::wanted::{At, Exit, Tunnel, Wanted};
use super::super::overlay::{TUNNEL_PORT, UNDERLAY_PORT};
use super::super::router::siblings;
use super::words::{
    Word, about, accept, any, bits, dispatch, field, goto, is, is_not, number, one_of, text,
};
use super::{Cause, Table};

/// Before the administrator's own rules (priority 0), which may still refuse.
const FIRST: i32 = -10;

pub(super) fn filter(wanted: &Wanted, table: &mut Table) {
    table.hook("input", NfHook::Input, FIRST);
    let port = |port: u16| is(field("udp", "dport"), number(port));
    if let Some(tunnel) = &wanted.tunnel {
        table.rule("input", [port(TUNNEL_PORT), goto("tunnel".to_owned())]);
        among_sites(wanted, tunnel, table);
        closed(tunnel, table);
    }
    if let Some(underlay) = wanted.underlay {
        table.rule("input", [port(UNDERLAY_PORT), goto("underlay".to_owned())]);
        among_hosts(wanted, underlay, table);
    }
}

/// What a gateway says to another besides VXLAN: how faults between them are found (RFC 4443), and
/// where the device is a wire, who is there (RFC 4861).
const BETWEEN_GATEWAYS: [&str; 7] = [
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "echo-request",
    "echo-reply",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
];

/// A peer's gateway has an address at which it reaches this host, and nothing else to do there:
/// what listens at all of the host's addresses is not for it.
fn closed(tunnel: &Tunnel, table: &mut Table) {
    let from_tunnel = || is(about(MetaKey::Iifname), text(&tunnel.device));
    let faults = is(field("icmpv6", "type"), one_of(&BETWEEN_GATEWAYS));
    table.rule("input", [from_tunnel(), faults, accept()]);
    table.refuse("input", [from_tunnel()], None, Cause::HostClosed);
}

/// The number of the network, in VXLAN's header behind that of UDP (RFC 7348, section 5).
fn vni() -> Word {
    bits(PayloadBase::TH, 96, 24)
}

/// The card that the frame inside is from.
fn inner_sender() -> Word {
    bits(PayloadBase::TH, 176, 48)
}

fn among_sites(wanted: &Wanted, tunnel: &Tunnel, table: &mut Table) {
    let elsewhere = is_not(about(MetaKey::Iifname), text(&tunnel.device));
    table.refuse("tunnel", [elsewhere], None, Cause::WrongDevice);
    let mut peers: BTreeMap<Ipv6Addr, BTreeMap<(u32, Key), Vec<Word>>> = BTreeMap::new();
    for lan in &wanted.lans {
        let key = Key::of(lan.identity);
        let members = lan.members.iter().filter_map(|member| match member.at {
            At::Site { gateway, .. } => Some((gateway, mac_bytes(member.mac))),
            At::Here { .. } | At::Host { .. } => None,
        });
        let exit = match lan.exit {
            Some(Exit::Site { gateway, .. }) => Some((gateway, key.exit())),
            Some(Exit::Here | Exit::Host { .. }) | None => None,
        };
        let routed = siblings(lan, wanted).into_iter().flat_map(|lan| &lan.members);
        let routers: BTreeSet<Ipv6Addr> = routed
            .filter_map(|member| match member.at {
                At::Site { gateway, .. } => Some(gateway),
                At::Here { .. } | At::Host { .. } => None,
            })
            .collect();
        let routers = routers.into_iter().map(|gateway| (gateway, key.router()));
        for (gateway, mac) in members.chain(exit).chain(routers) {
            let numbers = peers.entry(gateway).or_default();
            let digits: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            let macs = numbers.entry((lan.vni.get(), key)).or_default();
            macs.push(text(format_args!("0x{digits}")));
        }
    }
    let name = |peer: &Ipv6Addr| format!("tunnel-{:032x}", peer.to_bits());
    let ways = peers.keys().map(|peer| (text(peer), goto(name(peer))));
    table.rule("tunnel", dispatch(field("ip6", "saddr"), ways));
    table.refuse("tunnel", [], None, Cause::UnknownPeer);
    for (peer, numbers) in peers {
        let chain = name(&peer);
        let inner = |key: &Key| format!("{chain}-{key}");
        let ways = numbers.keys().map(|(vni, key)| (number(*vni), goto(inner(key))));
        table.rule(&chain, dispatch(vni(), ways));
        table.refuse(&chain, [], None, Cause::ForeignVni);
        for ((_, key), macs) in &numbers {
            let chain = inner(key);
            table.rule(&chain, [is(inner_sender(), any(macs.iter().cloned())), accept()]);
            table.refuse(&chain, [], Some(*key), Cause::MisplacedMac);
        }
    }
}

fn among_hosts(wanted: &Wanted, underlay: IpAddr, table: &mut Table) {
    let mut hosts: BTreeMap<IpAddr, BTreeSet<u32>> = BTreeMap::new();
    for lan in &wanted.lans {
        let routed = siblings(lan, wanted).into_iter().flat_map(|lan| &lan.members);
        let members = lan.members.iter().chain(routed).filter_map(|member| match member.at {
            At::Host { underlay } => Some(underlay),
            At::Here { .. } | At::Site { .. } => None,
        });
        let exit = match lan.exit {
            Some(Exit::Host { underlay }) => Some(underlay),
            Some(Exit::Here | Exit::Site { .. }) | None => None,
        };
        for host in members.chain(exit) {
            hosts.entry(host).or_default().insert(lan.vni.get());
        }
    }
    let name = |host: &IpAddr| match host {
        IpAddr::V4(host) => format!("underlay-{:08x}", host.to_bits()),
        IpAddr::V6(host) => format!("underlay-{:032x}", host.to_bits()),
    };
    let ways = hosts.keys().map(|host| (text(host), goto(name(host))));
    let header = if underlay.is_ipv4() { "ip" } else { "ip6" };
    table.rule("underlay", dispatch(field(header, "saddr"), ways));
    table.refuse("underlay", [], None, Cause::UnknownPeer);
    for (host, numbers) in hosts {
        let chain = name(&host);
        table.rule(&chain, [is(vni(), any(numbers.into_iter().map(number))), accept()]);
        table.refuse(&chain, [], None, Cause::ForeignVni);
    }
}
