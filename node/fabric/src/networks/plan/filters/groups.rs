//! Who may begin what with whom.
//!
//! Every packet of a connection is judged by the packet that began it, in both directions. So a
//! rule that goes cuts what it had allowed, with the next packet, and a rule that stays leaves
//! its connections alone: nothing has to be looked up or ended when the rules change.
//!
//! A card's egress is judged on its own host and a card's ingress on its own, each by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::MetaKey;
use nftables::types::NfHook;

use super::super::super::names::{Key, Kind};
use super::super::super::wanted::{At, Group, Lan, Member, Peer, Ports, Rule, Traffic, Wanted};
use super::super::router::siblings;
use super::super::services::{METADATA_V4, METADATA_V6};
use super::super::{PASSING, addresses};
use super::words::{
    Family, Step, Word, about, accept, any, becomes, by_family, connection, dispatch, field, goto,
    in_state, is, jump, lies_in, number, one_of, original, range, text,
};
use super::{Cause, Table};

/// Where zones are given: before connections are looked up (priority -200).
pub(super) const ZONES: i32 = -300;

/// One of the two judgements.
#[derive(Clone, Copy)]
enum Way {
    /// What a card of this host begins.
    Outward,
    /// What others begin with a card of this host.
    Inward,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Outward => "outward",
            Self::Inward => "inward",
        }
    }

    /// The end of the connection that is the card's.
    fn card(self, family: Family) -> Word {
        match self {
            Self::Outward => family.beginner(),
            Self::Inward => family.other(),
        }
    }

    /// The end that is not.
    fn peer(self, family: Family) -> Word {
        match self {
            Self::Outward => family.other(),
            Self::Inward => family.beginner(),
        }
    }

    fn rules(self, group: &Group) -> &[Rule] {
        match self {
            Self::Outward => &group.egress,
            Self::Inward => &group.ingress,
        }
    }
}

pub(super) fn filter(wanted: &Wanted, zones: &BTreeMap<Key, u16>, table: &mut Table) {
    table.hook("zones", NfHook::Prerouting, ZONES);
    let mut ways = Vec::new();
    for lan in &wanted.lans {
        let key = Key::of(lan.identity);
        ways.push((text(key.name(Kind::Bridge)), goto(zone(lan, key, zones[&key], table))));
    }
    if let Some(step) = dispatch(about(MetaKey::Iifname), ways) {
        table.rule("zones", [step]);
    }
    for (priority, way) in [(0, Way::Outward), (1, Way::Inward)] {
        table.hook(way.name(), NfHook::Forward, priority);
        let mut ways = Vec::new();
        for lan in &wanted.lans {
            if lan.members.iter().any(|member| matches!(member.at, At::Here { .. })) {
                let key = Key::of(lan.identity);
                let chain = format!("{}-{key}", way.name());
                network((lan, wanted), way, &chain, table);
                ways.push((text(key.name(Kind::Bridge)), goto(chain)));
            }
        }
        if let Some(step) = dispatch(about(MetaKey::Iifname), ways) {
            table.rule(way.name(), [step]);
        }
    }
}

/// Gives the connections of the cards that are here their zone, and what passes through another.
fn zone(lan: &Lan, key: Key, zone: u16, table: &mut Table) -> String {
    let chain = format!("zone-{key}");
    let gives = |zone: u16| becomes(connection("zone"), number(zone));
    for end in own_ends(lan) {
        table.rule(&chain, [end, gives(zone), accept()]);
    }
    table.rule(&chain, [gives(zone | PASSING)]);
    chain
}

/// One end of a packet is one of the cards that are here.
fn own_ends(lan: &Lan) -> impl Iterator<Item = Step> {
    let here = lan.members.iter().filter(|member| matches!(member.at, At::Here { .. }));
    let ends = by_family(here.flat_map(addresses)).into_iter().flat_map(|(family, own)| {
        ["saddr", "daddr"].map(|end| (!own.is_empty()).then(|| (family, end, own.clone())))
    });
    ends.flatten().map(|(family, end, own)| is(field(family.header(), end), any(own)))
}

fn network((lan, wanted): (&Lan, &Wanted), way: Way, chain: &str, table: &mut Table) {
    let key = Key::of(lan.identity);
    for step in always(lan) {
        table.rule(chain, step.into_iter().chain([accept()]));
    }
    for end in own_ends(lan) {
        table.refuse(chain, [end, in_state("invalid")], Some(key), Cause::NoConnection);
    }
    let mut ways = [(Family::V4, Vec::new()), (Family::V6, Vec::new())];
    for member in &lan.members {
        let At::Here { tap, .. } = &member.at else { continue };
        let own = format!("{}-{tap}", way.name());
        for ((_, ways), (_, own_addresses)) in ways.iter_mut().zip(by_family(addresses(member))) {
            ways.extend(own_addresses.into_iter().map(|address| (address, goto(own.clone()))));
        }
        for group in &member.groups {
            table.rule(&own, [jump(name(key, way, group.0))]);
        }
        table.refuse(&own, [], Some(key), Cause::Group);
    }
    for (family, ways) in ways {
        if let Some(step) = dispatch(way.card(family), ways) {
            table.rule(chain, [step]);
        }
    }
    for group in &lan.groups {
        rules((lan, wanted), group, way, &name(key, way, group.id.0), table);
    }
}

fn name(key: Key, way: Way, group: u32) -> String {
    format!("{}-{key}-{group}", way.name())
}

/// What no group is asked about: who has which address, what the services say and are asked, what
/// is for all (a tap takes that only from its own groups), and errors about a connection.
fn always(lan: &Lan) -> Vec<Vec<Step>> {
    let mut always = Vec::new();
    if lan.v6.is_some() {
        let finding = one_of(&[
            "nd-router-solicit",
            "nd-router-advert",
            "nd-neighbor-solicit",
            "nd-neighbor-advert",
            "mld-listener-query",
            "mld-listener-report",
            "mld-listener-done",
            "mld2-listener-report",
        ]);
        always.push(vec![is(field("icmpv6", "type"), finding)]);
    }
    always.push(vec![in_state("related")]);
    always.push(vec![is(about(MetaKey::Pkttype), one_of(&["broadcast", "multicast"]))]);
    // Only the services send from here: a tap or a place that does is refused.
    always.push(vec![is(field("udp", "sport"), any([67_u16, 547].map(number)))]);
    if let Some(gateway) = lan.gateway_v4() {
        let services = any([gateway, METADATA_V4].map(text));
        always.push(vec![is(Family::V4.other(), services)]);
    }
    if let Some(gateway) = lan.gateway_v6() {
        let local = super::super::super::names::link_local(Key::of(lan.identity).gateway());
        let services = any([gateway, METADATA_V6, local].map(text));
        always.push(vec![is(Family::V6.other(), services)]);
    }
    always
}

fn rules(at: (&Lan, &Wanted), group: &Group, way: Way, chain: &str, table: &mut Table) {
    // The chain is there even if it says nothing: cards jump to it.
    table.chains.entry(chain.to_owned()).or_default();
    for (family, own) in of_group(at, group.id.0) {
        table.rule(chain, [is(way.peer(family), any(own)), accept()]);
    }
    for rule in way.rules(group) {
        let peers = match rule.peer {
            Peer::Prefix(net) => vec![within(net, way)],
            Peer::Group(id) => {
                of_group(at, id.0).map(|(family, all)| is(way.peer(family), any(all))).collect()
            }
        };
        for peer in peers {
            let traffic = traffic(rule.traffic);
            table.rule(chain, [peer].into_iter().chain(traffic).chain([accept()]));
        }
    }
}

/// The addresses of a group's cards, of each family that has any: of those on the network, and of
/// those on the others that are routed with it.
fn of_group((lan, wanted): (&Lan, &Wanted), id: u32) -> impl Iterator<Item = (Family, Vec<Word>)> {
    let is_in = |member: &&Member| member.groups.iter().any(|group| group.0 == id);
    let own = lan.members.iter().filter(is_in).flat_map(addresses);
    let routed = siblings(lan, wanted).into_iter().flat_map(|lan| &lan.members);
    // What is valid on one link only does not come from another.
    let routed = routed.filter(is_in).flat_map(|member| {
        member.v4.map(IpAddr::from).into_iter().chain(member.v6.map(IpAddr::from))
    });
    let all: Vec<IpAddr> = own.chain(routed).collect();
    by_family(all).into_iter().filter(|(_, all)| !all.is_empty())
}

fn within(net: IpNet, way: Way) -> Step {
    let family = match net {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    };
    lies_in(way.peer(family), net)
}

fn traffic(traffic: Traffic) -> Vec<Step> {
    let protocol = |name| is(about(MetaKey::L4proto), text(name));
    let to = |Ports { first, last }| is(original("proto-dst"), range(first, last));
    match traffic {
        Traffic::Any => Vec::new(),
        Traffic::Tcp(ports) => vec![protocol("tcp"), to(ports)],
        Traffic::Udp(ports) => vec![protocol("udp"), to(ports)],
        Traffic::Icmp => vec![is(about(MetaKey::L4proto), one_of(&["icmp", "ipv6-icmp"]))],
    }
}
