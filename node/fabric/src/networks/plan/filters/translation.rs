//! Whose addresses become which, in an exit's own namespace.
//!
//! The segments of TCP are made to fit both sides on the way: a guest that was not told its MTU,
//! or a path that loses what says so, would otherwise wait for ever.

use std::net::IpAddr;

use ipnet::IpNet;
use nftables::expr::{Expression, MetaKey, NamedExpression, RT, RTKey, TcpOption};
use nftables::stmt::{Mangle, Match, NAT, NATFamily, Operator, Statement};
use nftables::types::{NfFamily, NfHook};

use super::super::super::wanted::Lan;
use super::super::exit::{OUTSIDE, nets, shared};
use super::Table;
use super::words::{Step, about, address, field, is, lies_in, text};

/// When sources are translated (`NF_IP_PRI_NAT_SRC`).
pub(super) const OUTWARD: i32 = 100;

/// The table of one network's exit.
pub(in super::super) fn table(lan: &Lan, zone: u16) -> Table {
    let mut table = Table::new(NfFamily::INet);
    table.hook("segments", NfHook::Forward, 0);
    table.rule("segments", segments());
    table.translation("outward", NfHook::Postrouting, OUTWARD);
    let leaves = || is(about(MetaKey::Oifname), text(OUTSIDE));
    for shared in shared(lan, zone) {
        let own = nets(lan).into_iter().filter(|net| is_v4(net) == shared.is_ipv4());
        for net in own {
            let from = lies_in(address(net.addr(), "saddr"), net);
            table.rule("outward", [leaves(), from, from_now_on(shared)]);
        }
    }
    table
}

const fn is_v4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

/// The source becomes this address.
fn from_now_on(source: IpAddr) -> Step {
    let family = Some(if source.is_ipv4() { NATFamily::IP } else { NATFamily::IP6 });
    Statement::SNAT(Some(NAT { addr: Some(text(source)), family, port: None, flags: None }))
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
