//! Frames: a tap says only what its card may say, and a place only what its cards may.
//!
//! Everyone on a network is known, and every bridge answers who has which address. So ARP and
//! neighbour discovery never leave a host, and neither do DHCP and router advertisements: what a
//! place sends of them is a lie or a mistake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nftables::expr::{MetaKey, PayloadBase};
use nftables::types::NfHook;

use super::super::super::names::{Key, Kind, TAP, Tap, link_local, mac_bytes, mac_text};
use super::super::super::wanted::{At, BytesPerSecond, Exit, GroupId, Lan, Member, Wanted};
use super::super::addresses;
use super::words::{
    Family, Step, Word, about, accept, any, bits, by_family, dispatch, faster_than, field, goto,
    is, is_not, jump, number, one_of, pair, text,
};
use super::{Cause, Table, ways};

/// Before anyone else's rules, and before frames are shown to family inet.
const FIRST: i32 = -300;

/// Where a server listens for those who want an address (RFC 2131, RFC 9915).
const DHCP_SERVER: [u16; 2] = [67, 547];

/// Solicitations and advertisements of routers and neighbours, and redirects (RFC 4861).
const DISCOVERY: [&str; 5] = [
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "nd-redirect",
];

/// Who listens to which group (RFC 2710, RFC 3810).
const LISTENING: [&str; 4] =
    ["mld-listener-query", "mld-listener-report", "mld-listener-done", "mld2-listener-report"];

pub(super) fn filter(wanted: &Wanted, table: &mut Table) {
    table.hook("prerouting", NfHook::Prerouting, FIRST);
    table.hook("forward", NfHook::Forward, FIRST);
    table.hook("input", NfHook::Input, FIRST);
    let mut from = Vec::new();
    let mut to = Vec::new();
    for lan in &wanted.lans {
        let key = Key::of(lan.identity);
        let onto = format!("onto-{key}");
        for kind in [Kind::Underlay, Kind::Tunnel] {
            let members: Vec<&Member> =
                lan.members.iter().filter(|member| is_behind(&member.at, kind)).collect();
            if members.is_empty() && !has_exit_behind(lan, kind) {
                continue;
            }
            let name = key.name(kind);
            from_place(lan, &members, kind, &name, table);
            from.push((text(&name), goto(format!("from-{name}"))));
            to.push((text(&name), goto(onto.clone())));
        }
        onto_wire(key, &onto, table);
        ways::chain(lan, table);
        if let Some(Exit::Here) = lan.exit {
            let port = key.name(Kind::Exit);
            from.push((text(&port), goto(from_exit_port(lan, &port, table))));
        }
        speed(lan, key, table);
        heard_chains(lan, table);
        let mut is_served = false;
        for member in &lan.members {
            let At::Here { tap, from_guest, .. } = &member.at else { continue };
            from_guest_chain(lan, member, tap, *from_guest, table);
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
    let ours = [TAP, Kind::Underlay.letters(), Kind::Tunnel.letters(), Kind::Exit.letters()];
    for letters in ours {
        let ours = is(about(MetaKey::Iifname), text(format!("{letters}*")));
        table.refuse("prerouting", [ours], None, Cause::UnknownPort);
    }
    for letters in ours.into_iter().chain([Kind::Services.letters()]) {
        let ours = is(about(MetaKey::Iifname), text(format!("{letters}*")));
        table.rule("input", [ours, super::drop()]);
    }
}

const fn is_behind(at: &At, kind: Kind) -> bool {
    match at {
        At::Here { .. } => false,
        At::Host { .. } => matches!(kind, Kind::Underlay),
        At::Site { .. } => matches!(kind, Kind::Tunnel),
    }
}

const fn has_exit_behind(lan: &Lan, kind: Kind) -> bool {
    match lan.exit {
        Some(Exit::Here) | None => false,
        Some(Exit::Host { .. }) => matches!(kind, Kind::Underlay),
        Some(Exit::Site { .. }) => matches!(kind, Kind::Tunnel),
    }
}

/// What the exit of this host may say: what it forwards from elsewhere, and nothing of its own.
fn from_exit_port(lan: &Lan, port: &str, table: &mut Table) -> String {
    let chain = format!("from-{port}");
    for (step, _) in host_matters() {
        table.rule(&chain, [step, super::drop()]);
    }
    let from_exit = ways::from_exit(lan, table);
    table.rule(&chain, [goto(from_exit)]);
    chain
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
    for (family, own) in by_family(addresses(member)) {
        if !own.is_empty() {
            let foreign = is_not(field(family.header(), "saddr"), any(own));
            table.refuse(chain, [foreign], key, Cause::ForeignAddress);
        }
    }
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
    if let Some(turn) = ways::turn(lan) {
        table.rule(chain, turn);
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
    for (family, own) in by_family(addresses(member)) {
        if !own.is_empty() {
            let mine = is(field("ether", "daddr"), text(member.mac));
            let foreign = is_not(field(family.header(), "daddr"), any(own));
            table.refuse(chain, [mine, foreign], key, Cause::NotForCard);
        }
    }
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

/// What a place may say: as the cards that are there, from their addresses; and as the exit, if
/// that is there.
fn from_place(lan: &Lan, members: &[&Member], kind: Kind, name: &str, table: &mut Table) {
    let chain = &format!("from-{name}");
    let exit = has_exit_behind(lan, kind).then(|| text(mac_text(Key::of(lan.identity).exit())));
    let key = Some(Key::of(lan.identity));
    let macs = members.iter().map(|member| text(member.mac)).chain(exit.clone());
    table.refuse(chain, [is_not(field("ether", "saddr"), any(macs))], key, Cause::ForeignMac);
    table.refuse(chain, [is_not(field("ether", "type"), types(lan))], key, Cause::OtherProtocol);
    for (step, cause) in host_matters() {
        table.refuse(chain, [step], key, cause);
    }
    if let Some(exit) = exit {
        let from_exit = ways::from_exit(lan, table);
        table.rule(chain, [is(field("ether", "saddr"), exit), goto(from_exit)]);
    }
    for family in [Family::V4, Family::V6] {
        let own = |member: &&Member| {
            let mac = text(mac_text(mac_bytes(member.mac)));
            let [(_, v4), (_, v6)] = by_family(addresses(member));
            let all = if family == Family::V4 { v4 } else { v6 };
            all.into_iter().map(move |address| pair(mac.clone(), address)).collect::<Vec<_>>()
        };
        let pairs: Vec<Word> = members.iter().flat_map(own).collect();
        if !pairs.is_empty() {
            let sender = pair(field("ether", "saddr"), field(family.header(), "saddr"));
            table.refuse(chain, [is_not(sender, any(pairs))], key, Cause::ForeignAddress);
        }
    }
}

/// What never crosses to another host, and why it is refused from there.
fn host_matters() -> [(Step, Cause); 6] {
    let ports = || any(DHCP_SERVER.map(number));
    let [solicit, advert, ask, tell, redirect] = DISCOVERY;
    [
        (is(field("udp", "sport"), ports()), Cause::Dhcp),
        (is(field("udp", "dport"), ports()), Cause::Dhcp),
        (is(field("icmpv6", "type"), one_of(&[solicit, advert, redirect])), Cause::Router),
        (is(field("icmpv6", "type"), one_of(&[ask, tell])), Cause::Neighbour),
        (is(field("icmpv6", "type"), one_of(&LISTENING)), Cause::Neighbour),
        (is(field("ether", "type"), text("arp")), Cause::Neighbour),
    ]
}

/// What leaves for other hosts: nothing of the services, and nothing that is for them.
fn onto_wire(key: Key, chain: &str, table: &mut Table) {
    let services = is(field("ether", "saddr"), text(mac_text(key.gateway())));
    table.rule(chain, [services, super::drop()]);
    for (step, _) in host_matters() {
        table.rule(chain, [step, super::drop()]);
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
fn types(lan: &Lan) -> Word {
    let v4 = lan.v4.map(|_| ["arp", "ip"]).into_iter().flatten();
    any(v4.chain(lan.v6.map(|_| "ip6")).map(text))
}
