//! Frames: a tap says only what its card may say, and hears only what is for it.
//!
//! Everyone on a network is known, and every bridge answers who has which address. So ARP and
//! neighbour discovery never leave a host, and neither do DHCP and router advertisements: what a
//! place sends of them is a lie or a mistake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nftables::expr::{MetaKey, PayloadBase};
use nftables::types::NfHook;

use super::super::super::names::{Key, Kind, TAP, Tap, link_local};
use super::super::super::wanted::{At, BytesPerSecond, GroupId, Lan, Member, Wanted};
use super::super::addresses;
use super::super::exit::nets;
use super::places::{self, Place};
use super::ways::{self, LINK_LOCAL, services};
use super::words::{
    Family, Step, Word, about, accept, any, bits, by_family, dispatch, faster_than, field, goto,
    is, is_not, jump, more_often_than, number, one_of, prefix, text,
};
use super::{Cause, Table};

/// Before anyone else's rules, and before frames are shown to family inet.
const FIRST: i32 = -300;

/// Where a server listens for those who want an address (RFC 2131, RFC 9915).
pub(super) const DHCP_SERVER: [u16; 2] = [67, 547];

/// Solicitations and advertisements of routers and neighbours, and redirects (RFC 4861).
pub(super) const DISCOVERY: [&str; 5] = [
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "nd-redirect",
];

/// Who listens to which group (RFC 2710, RFC 3810).
pub(super) const LISTENING: [&str; 4] =
    ["mld-listener-query", "mld-listener-report", "mld-listener-done", "mld2-listener-report"];

/// How many packets of one kind a guest may say to all, or to the services, in a second: what EC2 has
/// for its own services.
const SAID: u32 = 1024;

pub(super) fn filter(wanted: &Wanted, table: &mut Table) {
    table.hook("prerouting", NfHook::Prerouting, FIRST);
    table.hook("forward", NfHook::Forward, FIRST);
    table.hook("input", NfHook::Input, FIRST);
    let mut from = Vec::new();
    let mut to = Vec::new();
    for lan in &wanted.lans {
        let key = Key::of(lan.identity);
        let onto = format!("onto-{key}");
        for place in Place::all(lan, wanted) {
            let name = key.name(place.kind);
            from.push((text(&name), goto(place.from(lan, wanted, &name, table))));
            to.push((text(&name), goto(onto.clone())));
        }
        places::onto_wire(key, &onto, table);
        ways::chain(lan, wanted, table);
        for (port, chain) in places::routers(lan, wanted, table) {
            from.push((text(port), goto(chain)));
        }
        speed(lan, key, table);
        heard_chains(lan, table);
        let mut is_served = false;
        for member in &lan.members {
            let At::Here { tap, from_guest, .. } = &member.at else { continue };
            from_guest_chain(lan, member, tap, *from_guest, table);
            if let Some(turn) = ways::turn(lan, wanted) {
                table.rule(&format!("from-{tap}"), turn);
            }
            to_guest_chain(lan, member, tap, table);
            from.push((text(tap), goto(format!("from-{tap}"))));
            to.push((text(tap), goto(format!("to-{tap}"))));
            is_served = true;
        }
        if is_served {
            from.push((text(key.name(Kind::Services)), accept()));
        }
    }
    if let Some(step) = dispatch(about(MetaKey::Iifname), from) {
        table.rule("prerouting", [step]);
    }
    if let Some(step) = dispatch(about(MetaKey::Oifname), to) {
        table.rule("forward", [step]);
    }
    // What is not in the table says nothing, and nothing reaches the host itself.
    let kinds = [Kind::Underlay, Kind::Tunnel, Kind::Exit, Kind::Router];
    let ours = [TAP].into_iter().chain(kinds.map(Kind::letters));
    for letters in ours.clone() {
        let ours = is(about(MetaKey::Iifname), text(format!("{letters}*")));
        table.refuse("prerouting", [ours], None, Cause::UnknownPort);
    }
    for letters in ours.chain([Kind::Services.letters()]) {
        let ours = is(about(MetaKey::Iifname), text(format!("{letters}*")));
        table.rule("input", [ours, super::drop()]);
    }
}

/// What a guest may say: as its own card, from its own addresses, and nothing that only the
/// network's services say.
fn from_guest_chain(
    lan: &Lan,
    member: &Member,
    tap: &Tap,
    speed: Option<BytesPerSecond>,
    table: &mut Table,
) {
    let chain = &format!("from-{tap}");
    let key = Some(Key::of(lan.identity));
    let mac = || text(member.mac);
    table.refuse(chain, [is_not(field("ether", "saddr"), mac())], key, Cause::ForeignMac);
    table.refuse(chain, [is_not(field("ether", "type"), types(lan))], key, Cause::OtherProtocol);
    if let Some(speed) = speed {
        table.refuse(chain, [faster_than(speed.get())], key, Cause::Speed);
    }
    flood(lan, chain, table);
    if lan.speed.is_some() {
        table.rule(chain, [jump(format!("speed-{}", Key::of(lan.identity)))]);
    }
    if let Some(own) = member.v4 {
        let own = [own, Ipv4Addr::UNSPECIFIED].map(text);
        let sender = |name| field("arp", name);
        table.refuse(chain, [is_not(sender("saddr ether"), mac())], key, Cause::ForeignMac);
        // A card asks whether its address is free before it has one (RFC 5227).
        table.refuse(chain, [is_not(sender("saddr ip"), any(own))], key, Cause::ForeignAddress);
        // And it asks everyone for one as nobody (RFC 2131).
        table.rule(
            chain,
            [
                is(field("ip", "saddr"), text(Ipv4Addr::UNSPECIFIED)),
                is(field("ip", "daddr"), text(Ipv4Addr::BROADCAST)),
                is(field("udp", "sport"), number(68_u16)),
                is(field("udp", "dport"), number(67_u16)),
                accept(),
            ],
        );
    }
    let server = is(field("udp", "sport"), any(DHCP_SERVER.map(number)));
    table.refuse(chain, [server], key, Cause::Dhcp);
    if member.v6.is_some() {
        let router = is(field("icmpv6", "type"), one_of(&["nd-router-advert", "nd-redirect"]));
        table.refuse(chain, [router], key, Cause::Router);
        // The same question in IPv6 (RFC 4862, section 5.4), and what goes with it.
        let probing = any(LISTENING.iter().chain(&["nd-neighbor-solicit"]).map(text));
        let nobody = is(field("ip6", "saddr"), text(Ipv6Addr::UNSPECIFIED));
        table.rule(chain, [nobody, is(field("icmpv6", "type"), probing), accept()]);
    }
    foreign(lan, member, "saddr", Cause::ForeignAddress, &[], (chain, &mut *table));
    if member.v6.is_some() {
        let own = addresses(member).filter_map(target);
        let advert = is(field("icmpv6", "type"), text("nd-neighbor-advert"));
        table.refuse(
            chain,
            [advert, is_not(bits(PayloadBase::TH, 64, 128), any(own))],
            key,
            Cause::ForeignAddress,
        );
    }
}

/// What a guest says to all is heard by all of them, and what it asks the services takes a turn of
/// theirs: of either it has so much and no more.
fn flood(lan: &Lan, chain: &str, table: &mut Table) {
    let key = Some(Key::of(lan.identity));
    let to_all = is(about(MetaKey::Pkttype), one_of(&["broadcast", "multicast"]));
    let asking = is(field("ether", "type"), text("arp"));
    let services = by_family(services(lan)).into_iter().filter(|(_, all)| !all.is_empty());
    let services = services.map(|(family, all)| is(field(family.header(), "daddr"), any(all)));
    for about in [to_all, asking].into_iter().chain(services) {
        let steps = [about, more_often_than(SAID, SAID)];
        table.refuse(chain, steps, key, Cause::Flood);
    }
}

/// Refuses what has at one end neither the card nor what is routed to it. Whatever is routed to it,
/// it is no other card of its own network.
fn foreign(
    lan: &Lan,
    member: &Member,
    end: &'static str,
    cause: Cause,
    about: &[Step],
    table: (&str, &mut Table),
) {
    let (chain, table) = table;
    let key = Some(Key::of(lan.identity));
    let routed = ways::behind(lan, member);
    for (family, own) in by_family(addresses(member)) {
        if own.is_empty() {
            continue;
        }
        let is_like = |net: &IpNet| net.addr().is_ipv4() == (family == Family::V4);
        let routed: Vec<IpNet> = routed.iter().copied().filter(is_like).collect();
        let foreign = is_not(field(family.header(), end), any(own));
        if !routed.is_empty() {
            for near in nets(lan).into_iter().chain([LINK_LOCAL]).filter(is_like) {
                let near = ways::within(near, end);
                let steps = about.iter().cloned().chain(near).chain([foreign.clone()]);
                table.refuse(chain, steps, key, cause);
            }
        }
        let strange = routed.iter().map(|net| is_not(field(family.header(), end), prefix(*net)));
        if routed.iter().all(|net| net.prefix_len() > 0) {
            let steps = about.iter().cloned().chain([foreign]).chain(strange);
            table.refuse(chain, steps, key, cause);
        }
    }
}

/// The target of a neighbour advertisement, which is 64 bits behind the beginning of its header.
fn target(address: IpAddr) -> Option<Word> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(text(format_args!("{:#034x}", address.to_bits()))),
    }
}

/// What reaches a guest: what is for its own addresses, and what its groups say to all.
fn to_guest_chain(lan: &Lan, member: &Member, tap: &Tap, table: &mut Table) {
    let chain = &format!("to-{tap}");
    let key = Some(Key::of(lan.identity));
    // Who wants an address asks everyone, and only the services are meant.
    let asking = is(field("udp", "dport"), any(DHCP_SERVER.map(number)));
    table.rule(chain, [asking, super::drop()]);
    let mine = is(field("ether", "daddr"), text(member.mac));
    foreign(lan, member, "daddr", Cause::NotForCard, &[mine], (chain, &mut *table));
    if member.v6.is_some() {
        let kinds = any(DISCOVERY.iter().chain(&LISTENING).map(text));
        table.rule(chain, [is(field("icmpv6", "type"), kinds), accept()]);
    }
    let to_all = || is(about(MetaKey::Pkttype), one_of(&["broadcast", "multicast"]));
    for group in &member.groups {
        table.rule(chain, [to_all(), jump(heard(lan, *group))]);
    }
    let gateway = [
        lan.gateway_v4().map(IpAddr::from),
        lan.gateway_v6().map(IpAddr::from),
        lan.v6.map(|_| link_local(Key::of(lan.identity).gateway()).into()),
    ];
    for (family, gateway) in by_family(gateway.into_iter().flatten()) {
        if !gateway.is_empty() {
            let foreign = is_not(field(family.header(), "saddr"), any(gateway));
            table.refuse(chain, [to_all(), foreign], key, Cause::Group);
        }
    }
}

/// The chain that accepts what a group's cards say to all.
fn heard(lan: &Lan, group: GroupId) -> String {
    format!("heard-{}-{}", Key::of(lan.identity), group.0)
}

/// What cards say to all, their own groups hear.
fn heard_chains(lan: &Lan, table: &mut Table) {
    for group in &lan.groups {
        let chain = heard(lan, group.id);
        table.chains.entry(chain.clone()).or_default();
        let is_in = |member: &&Member| member.groups.contains(&group.id);
        let all: Vec<IpAddr> = lan.members.iter().filter(is_in).flat_map(addresses).collect();
        for (family, all) in by_family(all) {
            if !all.is_empty() {
                table.rule(&chain, [is(field(family.header(), "saddr"), any(all)), accept()]);
            }
        }
    }
}

/// What all guests of the network on this host may send together.
fn speed(lan: &Lan, key: Key, table: &mut Table) {
    if let Some(speed) = lan.speed {
        let chain = format!("speed-{key}");
        table.refuse(&chain, [faster_than(speed.get())], Some(key), Cause::Speed);
    }
}

/// The kinds of frames that a network carries. A frame with a tag is none of them.
pub(super) fn types(lan: &Lan) -> Word {
    let v4 = lan.v4.map(|_| ["arp", "ip"]).into_iter().flatten();
    any(v4.chain(lan.v6.map(|_| "ip6")).map(text))
}
