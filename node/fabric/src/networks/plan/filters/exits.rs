//! What goes out of networks to the public network through this host, and what comes in.
//!
//! From an exit goes out what it has translated, to global addresses, through the interface to
//! the public network and no other. Closed are the host itself; private and special addresses;
//! what the user closes besides, such as the other hosts of the site; and the ports of VXLAN, since
//! those hosts believe this one's address. An exit is sent answers and what is for its public
//! addresses, and nothing else. The services of networks ask resolvers, and nobody else. Rules of others on this host come afterwards, and may still refuse.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::MetaKey;
use nftables::stmt::Statement;
use nftables::types::NfHook;

use super::super::super::names::{Key, Kind};
use super::super::super::wanted::{Exit, Lan, Outside, Wanted};
use super::super::Forwards;
use super::super::exit::{own, shared};
use super::super::overlay::{TUNNEL_PORT, UNDERLAY_PORT};
use super::super::services;
use super::translation::{OUTWARD, segments};
use super::words::{
    Family, Word, about, accept, address, any, by_family, dispatch, field, goto, in_state, is,
    is_not, jump, lies_in, number, text,
};
use super::{Cause, Table};

/// Before the administrator's own rules (priority 0), which may still refuse.
const FIRST: i32 = -10;

/// Where resolvers listen (RFC 1035, section 4.2).
const DNS: u16 = 53;

/// IPv4 addresses that are not of the public network (RFC 6890, RFC 5771, RFC 1112).
const CLOSED_V4: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
];

/// The IPv6 addresses that are of it (RFC 4291, section 2.4).
const OPEN_V6: &str = "2000::/3";

pub(super) fn filter(
    wanted: &Wanted,
    zones: &BTreeMap<Key, u16>,
    forwards: Forwards,
    table: &mut Table,
) {
    let Some(outside) = &wanted.outside else { return };
    let exits: Vec<Way> = wanted
        .lans
        .iter()
        .filter(|lan| matches!(lan.exit, Some(Exit::Here)))
        .map(|lan| {
            let key = Key::of(lan.identity);
            let public = own(lan, wanted).into_iter().map(|public| public.address).collect();
            Way { key, shared: shared(lan, zones[&key]), public }
        })
        .collect();
    let doors = |kind: Kind| text(format!("{}*", kind.letters()));
    let (to_exits, to_services) = (doors(Kind::Door), doors(Kind::Asking));
    table.hook("input", NfHook::Input, FIRST);
    table.hook("exits", NfHook::Forward, FIRST);
    let comes = |doors: &Word| is(about(MetaKey::Iifname), doors.clone());
    let goes = |doors: &Word| is(about(MetaKey::Oifname), doors.clone());
    // A resolver may be this host; nothing else of it is.
    table.rule("input", [comes(&to_services), jump("asking".to_owned())]);
    for doors in [&to_exits, &to_services] {
        table.refuse("input", [comes(doors)], None, Cause::ClosedDestination);
    }
    let ways = exits.iter().map(|way| (text(way.key.name(Kind::Door)), goto(name(way.key))));
    if let Some(step) = dispatch(about(MetaKey::Iifname), ways) {
        table.rule("exits", [step]);
    }
    table.rule("exits", [goes(&to_exits), goto("inwards".to_owned())]);
    asking(wanted, table);
    let leaves = is(about(MetaKey::Oifname), text(&outside.interface));
    table.rule("exits", [comes(&to_services), leaves, jump("asking".to_owned())]);
    table.refuse("exits", [comes(&to_services)], None, Cause::ClosedDestination);
    table.rule("exits", [goes(&to_services), in_state("established"), accept()]);
    table.rule("exits", [goes(&to_services), in_state("related"), accept()]);
    table.refuse("exits", [goes(&to_services)], None, Cause::Unasked);
    // Forwarding is on for the sake of the networks, and stays on when the last of them goes: the
    // host becomes nobody else's router. What the interface itself passes on, if it is a bridge,
    // comes and goes by the same name.
    for (forwards, family) in [(forwards.v4, Family::V4), (forwards.v6, Family::V6)] {
        if !forwards {
            let comes = is(about(MetaKey::Iifname), text(&outside.interface));
            let family = is(about(MetaKey::Nfproto), text(family.name()));
            let leaves = is_not(about(MetaKey::Oifname), text(&outside.interface));
            table.refuse("exits", [comes, leaves, family], None, Cause::Unasked);
        }
    }
    let public: Vec<IpAddr> = wanted.public.iter().map(|public| public.address).collect();
    inwards(&exits, &public, table);
    table.translation("masquerade", NfHook::Postrouting, OUTWARD);
    for way in &exits {
        outwards(way, &public, outside, table);
    }
    let asks = |lan: &&Lan| lan.exit.is_some() && !wanted.resolvers.is_empty();
    let services = wanted.lans.iter().filter(asks);
    let services = services.flat_map(|lan| services::asking(zones[&Key::of(lan.identity)]));
    let all = exits.iter().flat_map(|way| way.shared.iter().copied()).chain(services);
    for (family, all) in by_family(all) {
        if !all.is_empty() {
            let from = is(field(family.header(), "saddr"), any(all));
            let leaves = is(about(MetaKey::Oifname), text(&outside.interface));
            table.rule("masquerade", [from, leaves, Statement::Masquerade(None)]);
        }
    }
}

/// What the services say: questions about names, to the resolvers.
fn asking(wanted: &Wanted, table: &mut Table) {
    table.chains.entry("asking".to_owned()).or_default();
    for (family, resolvers) in by_family(wanted.resolvers.iter().copied()) {
        for protocol in ["udp", "tcp"].into_iter().filter(|_| !resolvers.is_empty()) {
            let to = is(field(family.header(), "daddr"), any(resolvers.clone()));
            let question = is(field(protocol, "dport"), number(DNS));
            table.rule("asking", [to, question, accept()]);
        }
    }
}

/// One network's way out.
struct Way {
    key: Key,
    /// What its cards share on the way, which the host translates once more.
    shared: Vec<IpAddr>,
    /// What its cards have for themselves.
    public: Vec<IpAddr>,
}

/// What comes to the exits from outside: answers, and what is for a card's own public address. Who
/// poses as a machine is not let in.
fn inwards(exits: &[Way], public: &[IpAddr], table: &mut Table) {
    let ours = exits.iter().flat_map(|way| way.shared.iter().chain(&way.public));
    for (family, ours) in by_family(ours.copied()) {
        if !ours.is_empty() {
            let posing = is(field(family.header(), "saddr"), any(ours));
            table.refuse("inwards", [posing], None, Cause::ForeignAddress);
        }
    }
    table.rule("inwards", segments());
    for state in ["established", "related"] {
        table.rule("inwards", [in_state(state), accept()]);
    }
    to_public(public, "inwards", table);
    table.refuse("inwards", [], None, Cause::Unasked);
}

fn to_public(public: &[IpAddr], chain: &str, table: &mut Table) {
    for (family, public) in by_family(public.iter().copied()) {
        if !public.is_empty() {
            table.rule(chain, [is(field(family.header(), "daddr"), any(public)), accept()]);
        }
    }
}

fn name(key: Key) -> String {
    format!("exit-{key}")
}

fn outwards(way: &Way, public: &[IpAddr], outside: &Outside, table: &mut Table) {
    let chain = &name(way.key);
    let key = Some(way.key);
    // What belongs to no connection is not translated, and shows it by its source.
    for (family, sources) in by_family(way.shared.iter().chain(&way.public).copied()) {
        if sources.is_empty() {
            let all = is(about(MetaKey::Nfproto), text(family.name()));
            table.refuse(chain, [all], key, Cause::NoConnection);
        } else {
            let foreign = is_not(field(family.header(), "saddr"), any(sources));
            table.refuse(chain, [foreign], key, Cause::NoConnection);
        }
    }
    table.rule(chain, segments());
    for state in ["established", "related"] {
        table.rule(chain, [in_state(state), accept()]);
    }
    // A machine may speak to another by its public address, as anyone outside may.
    to_public(public, chain, table);
    let elsewhere = is_not(about(MetaKey::Oifname), text(&outside.interface));
    let private = CLOSED_V4.map(|net| super::words::prefix(net.parse().expect("a prefix")));
    let open: IpNet = OPEN_V6.parse().expect("a prefix");
    let ours = any([UNDERLAY_PORT, TUNNEL_PORT].map(number));
    let closed = [
        elsewhere,
        is(field("ip", "daddr"), any(private)),
        is_not(field("ip6", "daddr"), super::words::prefix(open)),
        is(field("udp", "dport"), ours),
    ];
    let more = outside.closed.iter().map(|net| lies_in(address(net.addr(), "daddr"), *net));
    for closed in closed.into_iter().chain(more) {
        table.refuse(chain, [closed], key, Cause::ClosedDestination);
    }
    table.rule(chain, [accept()]);
}
