//! Whose addresses become which, in an exit's own namespace.
//!
//! The segments of TCP are made to fit both sides on the way: a guest that was not told its MTU,
//! or a path that loses what says so, would otherwise wait for ever.

use std::net::IpAddr;

use nftables::expr::{Expression, MetaKey, NamedExpression, RT, RTKey, TcpOption};
use nftables::stmt::{Mangle, Match, NAT, NATFamily, Operator, Statement};
use nftables::types::{NfFamily, NfHook};

use super::super::super::wanted::{Lan, Public};
use super::super::door::OUTSIDE;
use super::super::exit::{INSIDE, nets};
use super::Table;
use super::groups::ZONES;
use super::words::{
    Family, Step, Word, about, address, becomes, connection, field, is, lies_in, looked_up, number,
    text,
};

/// When sources are translated (`NF_IP_PRI_NAT_SRC`).
pub(super) const OUTWARD: i32 = 100;

/// When destinations are translated (`NF_IP_PRI_NAT_DST`).
const INWARD: i32 = -100;

/// The table of one network's exit, whose cards share some addresses and have others for
/// themselves.
pub(in super::super) fn table(lan: &Lan, shared: &[IpAddr], public: &[Public]) -> Table {
    let mut table = Table::new(NfFamily::INet);
    table.hook("segments", NfHook::Forward, 0);
    table.rule("segments", segments());
    table.translation("outward", NfHook::Postrouting, OUTWARD);
    for family in [Family::V4, Family::V6] {
        let all = public.iter().filter(|it| it.address.is_ipv4() == (family == Family::V4));
        let all: Vec<&Public> = all.collect();
        if !all.is_empty() {
            one_to_one(family, &all, &mut table);
        }
    }
    for shared in shared {
        let own = nets(lan).into_iter().filter(|net| net.addr().is_ipv4() == shared.is_ipv4());
        for net in own {
            let from = lies_in(address(net.addr(), "saddr"), net);
            let becomes = Statement::SNAT(translated(text(shared), family_of(*shared)));
            table.rule("outward", [leaves(), from, becomes]);
        }
    }
    table
}

/// Cards with public addresses of their own.
///
/// The connections of an address and the card that has it are in a zone of their own: when the
/// address becomes another card's, nothing of what was goes on, nor comes back later.
fn one_to_one(family: Family, all: &[&Public], table: &mut Table) {
    let header = |name| field(family.header(), name);
    let comes = |from: &str| is(about(MetaKey::Iifname), text(from));
    let public = |it: &&Public| text(it.address);
    let member = |it: &&Public| text(it.member);
    let zone = |it: &&Public| number(zone(it));
    table.hook("zones", NfHook::Prerouting, ZONES);
    let pairs = all.iter().map(|it| (public(it), zone(it)));
    let inward = becomes(connection("zone"), looked_up(header("daddr"), pairs));
    table.rule("zones", [comes(OUTSIDE), inward]);
    let pairs = all.iter().map(|it| (member(it), zone(it)));
    let outward = becomes(connection("zone"), looked_up(header("saddr"), pairs));
    table.rule("zones", [comes(INSIDE), outward]);

    table.translation("inward", NfHook::Prerouting, INWARD);
    let to = looked_up(header("daddr"), all.iter().map(|it| (public(it), member(it))));
    table.rule("inward", [comes(OUTSIDE), Statement::DNAT(translated(to, family))]);
    let from = looked_up(header("saddr"), all.iter().map(|it| (member(it), public(it))));
    table.rule("outward", [leaves(), Statement::SNAT(translated(from, family))]);
}

/// Sixteen bits that an address has with one card and, but for one chance in 65,000, with no
/// other; zone 0 is that of the cards that share.
fn zone(public: &Public) -> u16 {
    let mut hasher = blake3::Hasher::new_derive_key("reservoir 2026 zone of a public address");
    hasher.update(public.address.to_string().as_bytes()).update(b" ");
    hasher.update(public.member.to_string().as_bytes());
    let mut zone = [0; 2];
    hasher.finalize_xof().fill(&mut zone);
    u16::from_be_bytes(zone).max(1)
}

fn leaves() -> Step {
    is(about(MetaKey::Oifname), text(OUTSIDE))
}

const fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// A translation to an address of this version.
const fn translated(addr: Word, family: Family) -> Option<NAT<'static>> {
    let family = match family {
        Family::V4 => NATFamily::IP,
        Family::V6 => NATFamily::IP6,
    };
    Some(NAT { addr: Some(addr), family: Some(family), port: None, flags: None })
}

/// The first packet of each side says no larger segments than the routes of both carry.
pub(super) fn segments() -> [Step; 2] {
    let begins = Match { left: field("tcp", "flags"), right: text("syn"), op: Operator::IN };
    let option = TcpOption { name: "maxseg".into(), field: Some("size".into()) };
    let route = RT { key: RTKey::MTU, family: None };
    let fit = Mangle {
        key: Expression::Named(NamedExpression::TcpOption(option)),
        value: Expression::Named(NamedExpression::RT(route)),
    };
    [Statement::Match(begins), Statement::Mangle(fit)]
}
