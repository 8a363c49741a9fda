//! Claims about what is refused, and about the plan, which is a pure function; the kernel is met
//! in `tests/`.

use std::fmt::Write as _;
use std::num::NonZeroU32;

use expect_test::expect_file;
use nftables::schema::NfListObject;
use protocol::hull::Mac;
use protocol::ids::{MachineId, MachineName, NetworkId, SiteId};
use uuid::Uuid;

use super::check::{Contradiction, check};
use super::names::{Key, Kind, Tap, mac_text};
use super::plan::filters::Table;
use super::plan::services::Asking;
use super::plan::{Door, Entry, Exit, Forwards, Overlay, Plan, Segment, Services};
use super::{
    At, Fake, Group, GroupId, Hop, Identity, InterfaceName, Lan, Member, Networks as _, Outside,
    Peer, Ports, Public, Route, Routed, Rule, Traffic, Tunnel, Vni, Wanted,
};
use crate::{Change, HostName};

fn home() -> SiteId {
    SiteId::from_bytes([7; 32])
}

fn machine(number: u8) -> MachineName {
    MachineName { home: home(), machine: MachineId::from_uuid(Uuid::from_bytes([number; 16])) }
}

fn here(number: u8) -> At {
    At::Here { tap: Tap::of(machine(number), 0), from_guest: None, to_guest: None }
}

fn member(number: u8, at: At) -> Member {
    Member {
        mac: Mac::of(home(), machine(number).machine, 0),
        v4: Some([10, 0, 0, 10 + number].into()),
        v6: format!("fd00:1::{number}0").parse().ok(),
        names: vec![HostName::nearest(&format!("c{number}"))],
        groups: vec![GroupId(1)],
        at,
    }
}

fn lan(number: u8, members: Vec<Member>) -> Lan {
    Lan {
        identity: Identity {
            home: home(),
            network: NetworkId::from_uuid(Uuid::from_bytes([number; 16])),
        },
        v4: "10.0.0.0/24".parse().ok(),
        v6: "fd00:1::/64".parse().ok(),
        mtu: 1400,
        vni: Vni::new(u32::from(number)).unwrap(),
        domain: ["service", "example"].map(HostName::nearest).to_vec(),
        members,
        groups: vec![Group { id: GroupId(1), ingress: vec![], egress: vec![] }],
        speed: None,
        exit: None,
        routes: vec![],
    }
}

/// A network with a card here, one on another host and one at another site.
fn everywhere() -> Wanted {
    let host = At::Host { underlay: "192.0.2.2".parse().unwrap() };
    let site = At::Site { gateway: "fd99::2".parse().unwrap(), vni: Vni::new(9).unwrap() };
    let mut red = lan(1, vec![member(1, here(1)), member(2, host), member(3, site)]);
    red.members[0].at = At::Here {
        tap: Tap::of(machine(1), 0),
        from_guest: NonZeroU32::new(1_000_000),
        to_guest: NonZeroU32::new(2_000_000),
    };
    red.speed = NonZeroU32::new(5_000_000);
    let web = Traffic::Tcp(Ports { first: 80, last: 81 });
    red.groups[0].ingress = vec![
        Rule { traffic: web, peer: Peer::Prefix("192.168.0.0/16".parse().unwrap()) },
        Rule { traffic: Traffic::Icmp, peer: Peer::Prefix("::/0".parse().unwrap()) },
        Rule { traffic: Traffic::Any, peer: Peer::Group(GroupId(1)) },
    ];
    Wanted {
        lans: vec![red],
        underlay: "192.0.2.1".parse().ok(),
        tunnel: Some(Tunnel {
            device: "wg0".parse().unwrap(),
            address: "fd99::1".parse().unwrap(),
        }),
        outside: None,
        public: vec![],
        resolvers: vec![],
        routed: vec![],
    }
}

fn said(plan: &Plan) -> String {
    let mut text = String::new();
    for segment in &plan.lans {
        text.push_str(&said_of(segment));
        if let Some(exit) = &segment.exit {
            text.push_str(&said_of_exit(exit));
        }
        if let Some(services) = &segment.services {
            let directory = std::path::Path::new("/run/reservoir");
            let _infallible = writeln!(text, "{}", services.configuration(directory, 7));
        }
    }
    text + &said_of_table(&plan.filters.bridge) + &said_of_table(&plan.filters.inet)
}

fn said_of_table(table: &Table) -> String {
    let line = |object: NfListObject<'_>| match &object {
        NfListObject::Rule(rule) => {
            let steps: Vec<String> =
                rule.expr.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
            format!("{}: {}\n", rule.chain, steps.join(" "))
        }
        other => serde_json::to_string(other).unwrap() + "\n",
    };
    table.objects().map(line).collect()
}

fn said_of_exit(exit: &Exit) -> String {
    let mut text =
        format!("exit in {} behind {} as {}\n", exit.namespace, exit.port, mac_text(exit.mac));
    for net in &exit.nets {
        let _infallible = writeln!(text, "  is next to {net}");
    }
    for (address, mac) in &exit.neighbours {
        let _infallible = writeln!(text, "  knows {address} as {}", mac_text(*mac));
    }
    text.push_str(&said_of_door(&exit.door));
    for address in &exit.public {
        let _infallible = writeln!(text, "  is answered for as {address}");
    }
    text + &said_of_table(&exit.translation)
}

fn said_of_door(door: &Door) -> String {
    let Door { name, host, own, behind } = door;
    let mut text =
        format!("  leads to {name} as {} and is {} there\n", mac_text(*host), mac_text(*own));
    for address in behind {
        let _infallible = writeln!(text, "  has {address} behind it");
    }
    text
}

fn said_of(segment: &Segment) -> String {
    let mut lines = vec![format!("bridge {} mtu {}", segment.bridge, segment.mtu)];
    let overlays = [&segment.underlay, &segment.tunnel].into_iter().flatten();
    for Overlay { name, vni, port, local, device, entries } in overlays {
        let vni = vni.get();
        lines.push(format!("vxlan {name} vni {vni} port {port} local {local} through {device:?}"));
        for Entry { mac, to, vni } in entries {
            lines.push(format!("  {} to {to} vni {}", mac_text(*mac), vni.get()));
        }
    }
    for (mac, port) in &segment.ports {
        lines.push(format!("{} behind {port}", mac_text(*mac)));
    }
    for (address, mac) in &segment.neighbours {
        lines.push(format!("{address} is {}", mac_text(*mac)));
    }
    for (tap, speed) in &segment.taps {
        lines.push(format!("tap {tap} is sent at most {speed:?} bytes a second"));
    }
    if let Some(Services { namespace, port, mac, addresses, leases, names, asking, .. }) =
        &segment.services
    {
        lines.push(format!("services in {namespace} behind {port} as {}", mac_text(*mac)));
        lines.extend(addresses.iter().map(|address| format!("  have {address}")));
        if let Some(Asking { door, resolvers }) = asking {
            lines.push(format!("  ask {resolvers:?}\n{}", said_of_door(door)));
        }
        lines.push(format!("hosts.dhcp\n{leases}hosts.dns\n{names}"));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_plan_says_everything() {
    let plan = Plan::of(&everywhere(), Forwards::default());
    assert_eq!(plan, Plan::of(&everywhere(), Forwards::default()));
    expect_file!["plan/plan.txt"].assert_eq(&said(&plan));
}

/// Two networks with a router between them, of which one has a guest here.
fn routed() -> Wanted {
    let mut wanted = everywhere();
    let mut blue = lan(2, vec![]);
    (blue.v4, blue.v6) = ("10.0.1.0/24".parse().ok(), "fd00:2::/64".parse().ok());
    let host = At::Host { underlay: "192.0.2.3".parse().unwrap() };
    let mut fourth = member(4, host);
    (fourth.v4, fourth.v6) = (Some([10, 0, 1, 14].into()), "fd00:2::40".parse().ok());
    blue.members.push(fourth);
    let lans = vec![wanted.lans[0].identity, blue.identity];
    wanted.lans.push(blue);
    wanted.routed.push(Routed { lans });
    let route = |to: &str, hop| Route { to: to.parse().unwrap(), hop };
    wanted.lans[0].routes = vec![
        route("10.8.0.0/16", Hop::Card([10, 0, 0, 12].into())),
        route("10.0.0.0/8", Hop::Nobody),
        route("::/0", Hop::Card("fd00:1::10".parse().unwrap())),
    ];
    wanted
}

#[test]
fn the_plan_says_what_is_routed() {
    let wanted = routed();
    assert_eq!(check(&wanted), Ok(()));
    let plan = Plan::of(&wanted, Forwards::default());
    let mut text = String::new();
    for router in &plan.routers {
        let _infallible = writeln!(text, "router in {}", router.namespace);
        for leg in &router.legs {
            let (port, inner, mac, mtu) = (&leg.port, &leg.inner, mac_text(leg.mac), leg.mtu);
            let _infallible = writeln!(text, "  {inner} behind {port} as {mac} mtu {mtu}");
            for net in leg.nets.iter().chain(&leg.addresses) {
                let _infallible = writeln!(text, "    is on {net}");
            }
            for (address, mac) in &leg.neighbours {
                let _infallible = writeln!(text, "    knows {address} as {}", mac_text(*mac));
            }
        }
    }
    expect_file!["plan/routed.txt"].assert_eq(&(text + &said(&plan)));
}

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

fn public(address: std::net::IpAddr, member: std::net::IpAddr) -> Public {
    Public { address, network: lan(1, vec![]).identity, member }
}

#[test]
fn the_plan_says_what_goes_out_and_comes_in() {
    let mut wanted = everywhere();
    wanted.lans[0].exit = Some(super::Exit::Here);
    wanted.outside = Some(Outside {
        interface: "eth0".parse().unwrap(),
        closed: vec!["192.0.2.0/24".parse().unwrap(), "::/0".parse().unwrap()],
    });
    wanted.resolvers = vec![[203, 0, 113, 53].into(), "2001:db8::53".parse().unwrap()];
    wanted.public = vec![
        public([203, 0, 113, 7].into(), [10, 0, 0, 13].into()),
        public("2001:db8::7".parse().unwrap(), "fd00:1::10".parse().unwrap()),
    ];
    assert_eq!(check(&wanted), Ok(()));
    let plan = Plan::of(&wanted, Forwards::default());
    expect_file!["plan/exit.txt"].assert_eq(&said(&plan));
}

#[test]
fn a_public_address_is_one_cards_whose_exit_is_here() {
    let mut wanted = everywhere();
    wanted.lans[0].exit = Some(super::Exit::Here);
    wanted.outside = Some(Outside { interface: "eth0".parse().unwrap(), closed: vec![] });
    let right = public([203, 0, 113, 7].into(), [10, 0, 0, 11].into());
    let other = public([203, 0, 113, 8].into(), [10, 0, 0, 12].into());
    let refused = |all: &[Public], exit| {
        let mut wanted = wanted.clone();
        (wanted.public, wanted.lans[0].exit) = (all.to_vec(), Some(exit));
        matches!(check(&wanted), Err(Contradiction::Public(_)))
    };
    let here = super::Exit::Here;
    assert!(!refused(&[right, other], here));
    let elsewhere = super::Exit::Host { underlay: "192.0.2.9".parse().unwrap() };
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
    let four = [1, 2, 3, 4].map(|it| std::net::IpAddr::from([203, 0, 113, it]));
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

#[test]
fn an_interface_has_a_name_that_means_nothing_else() {
    for name in ["eth0", "enP2p1s0f0np0", "eth0.100", "br_lan-1"] {
        assert!(name.parse::<InterfaceName>().is_ok(), "{name}");
    }
    for name in ["", ".", "..", "-a", "eth*", "a/b", "a b", "abcdefghijklmnop", "é"] {
        assert!(name.parse::<InterfaceName>().is_err(), "{name}");
    }
}

#[test]
fn names_fit_the_kernel_and_are_known_again() {
    let key = Key::of(lan(1, vec![]).identity);
    for kind in [
        Kind::Bridge,
        Kind::Underlay,
        Kind::Tunnel,
        Kind::Services,
        Kind::Namespace,
        Kind::Exit,
        Kind::Door,
        Kind::Asking,
        Kind::ExitNamespace,
        Kind::Router,
        Kind::RouterNamespace,
    ] {
        let name = key.name(kind);
        assert!(name.len() <= 15, "{name}");
        assert_eq!(Key::of_name(kind, &name), Some(key));
    }
    assert_eq!(Key::of_name(Kind::Bridge, "rsb00112233445"), None);
    assert_eq!(Key::of_name(Kind::Bridge, "rsb00112233445X"), None);
    assert_eq!(Key::of_name(Kind::Bridge, "rsb0011223344556"), None);
    assert!(Tap::of(machine(1), 0).as_str().len() <= 15);
    assert_ne!(Tap::of(machine(1), 0), Tap::of(machine(1), 1));
}

#[test]
fn every_network_has_a_zone_of_its_own_that_stays() {
    let lans: Vec<Lan> = (1..=200).map(|number| lan(number, vec![])).collect();
    let zones = |lans: &[Lan]| {
        let wanted = Wanted { lans: lans.to_vec(), ..Wanted::default() };
        super::plan::zones(&wanted)
    };
    let all = zones(&lans);
    let distinct: std::collections::BTreeSet<u16> = all.values().copied().collect();
    assert_eq!(distinct.len(), lans.len());
    assert!(!distinct.contains(&0));
    let alone = zones(&lans[..1]);
    assert_eq!(all.get(&Key::of(lans[0].identity)), alone.get(&Key::of(lans[0].identity)));
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
    (
        |it| it.lans[0].exit = Some(super::Exit::Here),
        |it| matches!(it, Contradiction::NoExit { .. }),
    ),
    (
        |it| {
            let underlay = it.underlay.unwrap();
            it.lans[0].exit = Some(super::Exit::Host { underlay });
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

#[tokio::test]
async fn the_fake_converges_and_fails_as_told() {
    let fake = Fake::new();
    fake.fail(1);
    assert!(fake.converge(&everywhere()).await.is_err());
    assert_eq!(fake.present(), None);
    assert_eq!(fake.converge(&everywhere()).await.unwrap(), Change::Made);
    assert_eq!(fake.converge(&everywhere()).await.unwrap(), Change::Nothing);
    assert_eq!(fake.present(), Some(everywhere()));
    let mut spoilt = everywhere();
    spoilt.lans[0].mtu = 1;
    assert!(fake.converge(&spoilt).await.is_err());
    assert_eq!(fake.present(), Some(everywhere()));
}
