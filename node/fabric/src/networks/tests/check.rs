//! What contradicts itself is refused.

use std::net::IpAddr;

use protocol::ids::SiteId;

use super::super::check::{Contradiction, check};
use super::super::names::Tap;
use super::super::{
    At, Exit, GroupId, Hop, Outside, Peer, Ports, Public, Route, Rule, Traffic, Wanted,
};
use super::{everywhere, lan, machine, public, routed};

#[test]
fn networks_are_routed_that_fit_together_by_routes_that_lead_somewhere() {
    let refused = |spoil: &dyn Fn(&mut Wanted)| {
        let mut wanted = routed();
        spoil(&mut wanted);
        check(&wanted).expect_err("a contradiction")
    };
    let groups: [&dyn Fn(&mut Wanted); 5] = [
        &|it| it.routed.push(it.routed[0].clone()),
        &|it| it.routed[0].lans.push(lan(3, vec![]).identity),
        &|it| it.lans[1].v6 = it.lans[0].v6,
        &|it| it.lans[1].v4 = "10.0.0.0/16".parse().ok(),
        &|it| {
            it.lans[1].identity.home = SiteId::from_bytes([8; 32]);
            it.routed[0].lans[1] = it.lans[1].identity;
        },
    ];
    for (number, spoil) in groups.into_iter().enumerate() {
        let spoil = |it: &mut Wanted| {
            it.lans[1].members.clear();
            spoil(it);
        };
        let fault = refused(&spoil);
        assert!(matches!(fault, Contradiction::Routed { .. }), "{number}: {fault}");
    }
    for (to, hop) in [
        ("10.0.0.0/25", Hop::Nobody),
        ("10.8.0.0/16", Hop::Nobody),
        ("10.9.0.1/16", Hop::Nobody),
        ("10.9.0.0/16", Hop::Exit),
        ("10.9.0.0/16", Hop::Card([10, 0, 0, 99].into())),
        ("10.9.0.0/16", Hop::Card("fd00:1::10".parse().unwrap())),
    ] {
        let route = Route { to: to.parse().unwrap(), hop };
        let fault = refused(&|it| it.lans[0].routes.push(route));
        assert!(matches!(fault, Contradiction::Route { .. }), "{to}: {fault}");
    }
}

#[test]
fn a_card_is_awaited_once_and_not_where_it_is() {
    let tap = |number| Tap::of(machine(number), 0);
    let mut wanted = routed();
    wanted.lans[0].awaited.insert(tap(99));
    assert_eq!(check(&wanted), Ok(()));
    wanted.lans[1].awaited.insert(tap(99));
    assert!(matches!(check(&wanted), Err(Contradiction::Awaited { .. })));
    let mut wanted = everywhere();
    let At::Here { tap, .. } = &wanted.lans[0].members[0].at else { panic!("it is here") };
    let tap = tap.clone();
    wanted.lans[0].awaited.insert(tap);
    let refused = check(&wanted);
    assert!(matches!(refused, Err(Contradiction::Twice { .. })), "{refused:?}");
}

#[test]
fn a_public_address_is_one_cards_whose_exit_is_here() {
    let mut wanted = everywhere();
    wanted.lans[0].exit = Some(Exit::Here);
    wanted.outside = Some(Outside { interface: "eth0".parse().unwrap(), closed: vec![] });
    let right = public([203, 0, 113, 7].into(), [10, 0, 0, 11].into());
    let other = public([203, 0, 113, 8].into(), [10, 0, 0, 12].into());
    let refused = |all: &[Public], exit| {
        let mut wanted = wanted.clone();
        (wanted.public, wanted.lans[0].exit) = (all.to_vec(), Some(exit));
        matches!(check(&wanted), Err(Contradiction::Public(_)))
    };
    let here = Exit::Here;
    assert!(!refused(&[right, other], here));
    let elsewhere = Exit::Host { underlay: "192.0.2.9".parse().unwrap() };
    assert!(refused(&[right], elsewhere));
    assert!(refused(&[right, right], here));
    assert!(refused(&[right, Public { member: right.member, ..other }], here));
    assert!(refused(&[right, Public { address: right.address, ..other }], here));
    for (address, member) in [
        ("10.0.0.99", "10.0.0.11"),
        ("0.0.0.0", "10.0.0.11"),
        ("127.0.0.1", "10.0.0.11"),
        ("224.0.0.1", "10.0.0.11"),
        ("203.0.113.7", "10.0.0.77"),
        ("203.0.113.7", "10.0.0.1"),
        ("2001:db8::7", "10.0.0.11"),
    ] {
        let wrong = public(address.parse().unwrap(), member.parse().unwrap());
        assert!(refused(&[wrong], here), "{address} for {member}");
    }
}

#[test]
fn a_resolver_is_another_host_or_an_address_of_this_one() {
    let mut wanted = everywhere();
    let four = [1, 2, 3, 4].map(|it| IpAddr::from([203, 0, 113, it]));
    wanted.resolvers = four[..1].to_vec();
    assert!(matches!(check(&wanted), Err(Contradiction::Resolver(_))), "there is no way to it");
    wanted.outside = Some(Outside { interface: "eth0".parse().unwrap(), closed: vec![] });
    assert_eq!(check(&wanted), Ok(()));
    for all in [
        four.to_vec(),
        vec![four[0], four[0]],
        vec!["127.0.0.53".parse().unwrap()],
        vec!["::1".parse().unwrap()],
        vec!["fe80::1".parse().unwrap()],
        vec!["0.0.0.0".parse().unwrap()],
    ] {
        wanted.resolvers = all;
        assert!(matches!(check(&wanted), Err(Contradiction::Resolver(_))), "{wanted:?}");
    }
}

/// What makes a table contradict itself, and whether it is refused for that.
type Contradicting = (fn(&mut Wanted), fn(&Contradiction) -> bool);

const CONTRADICTIONS: [Contradicting; 19] = [
    (|it| it.lans.push(it.lans[0].clone()), |it| matches!(it, Contradiction::Networks { .. })),
    (
        |it| {
            let mut other = lan(2, vec![]);
            other.vni = it.lans[0].vni;
            it.lans.push(other);
        },
        |it| matches!(it, Contradiction::Vni { .. }),
    ),
    (
        |it| (it.lans[0].v4, it.lans[0].v6) = (None, None),
        |it| matches!(it, Contradiction::NoPrefix { .. }),
    ),
    (
        |it| it.lans[0].v4 = "10.0.0.1/24".parse().ok(),
        |it| matches!(it, Contradiction::Prefix { .. }),
    ),
    (
        |it| it.lans[0].v4 = "10.0.0.0/30".parse().ok(),
        |it| matches!(it, Contradiction::Prefix { .. }),
    ),
    (
        |it| it.lans[0].v6 = "fd00:1::/48".parse().ok(),
        |it| matches!(it, Contradiction::Prefix { .. }),
    ),
    (|it| it.lans[0].mtu = 1279, |it| matches!(it, Contradiction::Mtu { .. })),
    (
        |it| it.lans[0].members[0].v4 = Some([10, 0, 0, 1].into()),
        |it| matches!(it, Contradiction::Address { .. }),
    ),
    (
        |it| it.lans[0].members[0].v4 = Some([10, 0, 0, 255].into()),
        |it| matches!(it, Contradiction::Address { .. }),
    ),
    (|it| it.lans[0].members[0].v6 = None, |it| matches!(it, Contradiction::Address { .. })),
    (
        |it| it.lans[0].members[1].v4 = it.lans[0].members[0].v4,
        |it| matches!(it, Contradiction::Twice { .. }),
    ),
    (
        |it| it.lans[0].members[1].mac = it.lans[0].members[0].mac,
        |it| matches!(it, Contradiction::Twice { .. }),
    ),
    (
        |it| it.lans[0].members[1].at = it.lans[0].members[0].at.clone(),
        |it| matches!(it, Contradiction::Twice { .. }),
    ),
    (
        |it| it.lans[0].members[0].groups.push(GroupId(9)),
        |it| matches!(it, Contradiction::Group { .. }),
    ),
    (
        |it| {
            let traffic = Traffic::Udp(Ports { first: 2, last: 1 });
            it.lans[0].groups[0].egress.push(Rule { traffic, peer: Peer::Group(GroupId(1)) });
        },
        |it| matches!(it, Contradiction::Ports { .. }),
    ),
    (|it| it.underlay = None, |it| matches!(it, Contradiction::NoWay { .. })),
    (|it| it.tunnel = None, |it| matches!(it, Contradiction::NoWay { .. })),
    (|it| it.lans[0].exit = Some(Exit::Here), |it| matches!(it, Contradiction::NoExit { .. })),
    (
        |it| {
            let underlay = it.underlay.unwrap();
            it.lans[0].exit = Some(Exit::Host { underlay });
        },
        |it| matches!(it, Contradiction::NoExit { .. }),
    ),
];

#[test]
fn what_contradicts_itself_is_refused_with_its_reason() {
    assert_eq!(check(&everywhere()), Ok(()));
    for (number, (spoil, is_right)) in CONTRADICTIONS.iter().enumerate() {
        let mut wanted = everywhere();
        spoil(&mut wanted);
        let fault = check(&wanted).expect_err("a contradiction");
        assert!(is_right(&fault), "{number}: {fault}");
    }
}
