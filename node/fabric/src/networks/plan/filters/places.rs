//! What comes from other hosts and sites, and from this host's own routers, and what leaves.
//!
//! A place says only what the cards that are there may say. Routers are everywhere, and each is
//! believed for the cards that are where it is.

use std::net::IpAddr;

use super::super::super::names::{Key, Kind, mac_bytes, mac_text};
use super::super::super::wanted::{At, Exit, Lan, Member, Wanted};
use super::super::addresses;
use super::super::exit::nets;
use super::super::router::{is_here, siblings};
use super::ports::{DHCP_SERVER, DISCOVERY, LISTENING, types};
use super::words::{
    Family, Step, Word, accept, address, any, field, goto, is, is_not, lies_in, number, one_of,
    pair, text,
};
use super::{Cause, Table, ways};

/// All that is behind one device of a network.
pub(super) struct Place<'a> {
    pub(super) kind: Kind,
    members: Vec<&'a Member>,
    /// The cards there of networks that are routed with this one: a router there speaks for them.
    routed: Vec<&'a Member>,
    has_exit: bool,
}

impl<'a> Place<'a> {
    /// Every place that has to do with the network.
    pub(super) fn all(lan: &'a Lan, wanted: &'a Wanted) -> Vec<Self> {
        let of = |kind| {
            let is_there = |member: &&Member| is_behind(&member.at, kind);
            let routed = siblings(lan, wanted).into_iter().flat_map(|lan| &lan.members);
            let members: Vec<&Member> = lan.members.iter().filter(is_there).collect();
            let routed: Vec<&Member> = routed.filter(is_there).collect();
            let has_exit = has_exit_behind(lan, kind);
            let is_used = has_exit || !members.is_empty() || !routed.is_empty();
            is_used.then_some(Self { kind, members, routed, has_exit })
        };
        [Kind::Underlay, Kind::Tunnel].into_iter().filter_map(of).collect()
    }

    /// What the place may say; answers the name of the chain.
    pub(super) fn from(&self, lan: &Lan, wanted: &Wanted, name: &str, table: &mut Table) -> String {
        let chain = format!("from-{name}");
        let own = Key::of(lan.identity);
        let key = Some(own);
        let exit = self.has_exit.then(|| text(mac_text(own.exit())));
        let router = (!self.routed.is_empty()).then(|| text(mac_text(own.router())));
        let macs = self.members.iter().map(|member| text(member.mac));
        let macs = any(macs.chain(exit.clone()).chain(router));
        table.refuse(&chain, [is_not(field("ether", "saddr"), macs)], key, Cause::ForeignMac);
        let other = is_not(field("ether", "type"), types(lan));
        table.refuse(&chain, [other], key, Cause::OtherProtocol);
        for (step, cause) in host_matters() {
            table.refuse(&chain, [step], key, cause);
        }
        if let Some(exit) = exit {
            let from_exit = ways::from_exit(lan, wanted, table);
            table.rule(&chain, [is(field("ether", "saddr"), exit), goto(from_exit)]);
        }
        for member in &self.members {
            self.behind(lan, member, &chain, table);
        }
        for family in [Family::V4, Family::V6] {
            let pairs = self.pairs(own, family);
            if !pairs.is_empty() {
                let sender = pair(field("ether", "saddr"), field(family.header(), "saddr"));
                let foreign = is_not(sender, any(pairs));
                table.refuse(&chain, [foreign], key, Cause::ForeignAddress);
            }
        }
        chain
    }

    /// A card to which something is routed sends what comes from there, but not as another card.
    fn behind(&self, lan: &Lan, member: &Member, chain: &str, table: &mut Table) {
        let own = || is(field("ether", "saddr"), text(member.mac));
        for net in ways::behind(lan, member) {
            let is_like = |near: &ipnet::IpNet| near.addr().is_ipv4() == net.addr().is_ipv4();
            let near = nets(lan).into_iter().chain([ways::LINK_LOCAL]).filter(is_like);
            let far =
                near.map(|near| is_not(address(near.addr(), "saddr"), super::words::prefix(near)));
            let from = ways::within(net, "saddr");
            table.rule(chain, [own()].into_iter().chain(from).chain(far).chain([accept()]));
        }
    }

    /// Which MAC address goes with which address.
    fn pairs(&self, key: Key, family: Family) -> Vec<Word> {
        let own = self
            .members
            .iter()
            .flat_map(|member| addresses(member).map(|address| (mac_bytes(member.mac), address)));
        let routed = self.routed.iter().flat_map(|member| {
            let all = member.v4.map(IpAddr::from).into_iter();
            all.chain(member.v6.map(IpAddr::from)).map(|address| (key.router(), address))
        });
        let is_like = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
        let all = own.chain(routed).filter(|(_, address)| is_like(address));
        all.map(|(mac, address)| pair(text(mac_text(mac)), text(address))).collect()
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

/// The ports of the network's routers on this host, each with what it may say: what it forwards
/// from elsewhere, and nothing of its own.
pub(super) fn routers(lan: &Lan, wanted: &Wanted, table: &mut Table) -> Vec<(String, String)> {
    let key = Key::of(lan.identity);
    let mut all = Vec::new();
    if let Some(Exit::Here) = lan.exit {
        let port = key.name(Kind::Exit);
        let chain = only_forwards(&port, table);
        let from_exit = ways::from_exit(lan, wanted, table);
        table.rule(&chain, [goto(from_exit)]);
        all.push((port, chain));
    }
    if is_here(lan, wanted) {
        let port = key.name(Kind::Router);
        let chain = only_forwards(&port, table);
        for net in nets(lan) {
            let own = lies_in(address(net.addr(), "saddr"), net);
            table.refuse(&chain, [own], Some(key), Cause::ForeignAddress);
        }
        all.push((port, chain));
    }
    all
}

fn only_forwards(port: &str, table: &mut Table) -> String {
    let chain = format!("from-{port}");
    for (step, _) in host_matters() {
        table.rule(&chain, [step, super::drop()]);
    }
    chain
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
pub(super) fn onto_wire(key: Key, chain: &str, table: &mut Table) {
    let services = is(field("ether", "saddr"), text(mac_text(key.gateway())));
    table.rule(chain, [services, super::drop()]);
    for (step, _) in host_matters() {
        table.rule(chain, [step, super::drop()]);
    }
}
