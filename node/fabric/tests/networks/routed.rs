//! Networks with a router between them, and routes of a network's own.
//!
//! Alpha has two hosts, of which the first is its gateway; beta has one. Red and blue are routed
//! with each other, and no host has guests of both but beta.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result};
use fabric::Change;
use fabric::networks::{
    At, Cause, GroupId, Hop, Member, Peer, Route, Routed, Rule, Traffic, Tunnel, Vni, Wanted,
    bridge,
};

use crate::liars::{Liar, frame, udp};
use crate::outside::{leads_everywhere, open};
use crate::scene::{Card, Guest, Host, Scene, inside, wait_for, wanted};

struct World {
    gateway: Host,
    other: Host,
    beta: Host,
}

/// The numbers of red and blue at alpha and at beta.
const NUMBERS: [[u32; 2]; 2] = [[5, 6], [9, 10]];

impl World {
    fn new(scene: &Scene) -> Result<Self> {
        let (gateway, other, beta) = (scene.host("g")?, scene.host("o")?, scene.host("b")?);
        Scene::wire((&gateway, "eth0", "192.0.2.1/24"), (&other, "eth0", "192.0.2.2/24"))?;
        Scene::wire((&gateway, "wg0", "fd99::1/64"), (&beta, "wg0", "fd99::2/64"))?;
        Ok(Self { gateway, other, beta })
    }

    fn hosts(&self) -> [&Host; 3] {
        [&self.gateway, &self.other, &self.beta]
    }

    /// Red's card 1 is at alpha's other host and card 2 at beta; blue's card 3 is at alpha's gateway
    /// and card 4 at beta.
    fn wanted() -> Result<[Wanted; 3]> {
        let tunnel = |address: &str| -> Result<Option<Tunnel>> {
            Ok(Some(Tunnel { device: "wg0".parse()?, address: address.parse()? }))
        };
        let host = |address: &str| At::Host { underlay: address.parse().expect("an address") };
        let site = |gateway: &str, site: usize, lan: usize| At::Site {
            gateway: gateway.parse().expect("an address"),
            vni: Vni::new(NUMBERS[site][lan]).expect("a number"),
        };
        let gateway = || host("192.0.2.1");
        let (beta, alpha) = (|lan| site("fd99::2", 1, lan), |lan| site("fd99::1", 0, lan));
        let mut all = [
            both(
                vec![Card(1).at(host("192.0.2.2")), Card(2).at(beta(0))],
                vec![Card(3).here(), Card(4).at(beta(1))],
                NUMBERS[0],
            )?,
            both(
                vec![Card(1).here(), Card(2).at(gateway())],
                vec![Card(3).at(gateway()), Card(4).at(gateway())],
                NUMBERS[0],
            )?,
            both(
                vec![Card(1).at(alpha(0)), Card(2).here()],
                vec![Card(3).at(alpha(1)), Card(4).here()],
                NUMBERS[1],
            )?,
        ];
        let [first, second, third] = &mut all;
        (first.underlay, first.tunnel) = ("192.0.2.1".parse().ok(), tunnel("fd99::1")?);
        second.underlay = "192.0.2.2".parse().ok();
        third.tunnel = tunnel("fd99::2")?;
        Ok(all)
    }

    fn converge(&self, all: &[Wanted; 3]) -> Result<Vec<Change>> {
        self.hosts().iter().zip(all).map(|(host, all)| host.converge(all)).collect()
    }

    fn populate(&self, all: &[Wanted; 3]) -> Result<[Guest; 4]> {
        self.converge(all)?;
        let [red, blue] = [0, 1].map(|lan| move |site: usize| &all[site].lans[lan]);
        let guests = [
            self.other.plug(red(1), &Card(1))?,
            self.beta.plug(red(2), &Card(2))?,
            self.gateway.plug(blue(0), &Card(3))?,
            self.beta.plug(blue(2), &Card(4))?,
        ];
        for (guest, card) in guests[2..].iter().zip([3, 4]) {
            guest.ip("addr flush dev eth0 scope global")?;
            guest.ip(&format!("addr add 10.0.1.1{card}/24 dev eth0"))?;
            guest.ip(&format!("addr add fd00:2::1{card}/64 dev eth0 nodad"))?;
            guest.ip("route add default via 10.0.1.1")?;
            guest.ip("-6 route add default via fd00:2::1 metric 1")?;
        }
        guests[..2].iter().try_for_each(leads_everywhere)?;
        self.converge(all)?;
        assert_eq!(self.converge(all)?, [Change::Nothing; 3]);
        Ok(guests)
    }
}

/// Red and blue on one host, routed with each other and open to each other.
fn both(red: Vec<Member>, blue: Vec<Member>, numbers: [u32; 2]) -> Result<Wanted> {
    let mut red = open(1, red);
    let mut blue = open(2, blue);
    (blue.v4, blue.v6) = (Some("10.0.1.0/24".parse()?), Some("fd00:2::/64".parse()?));
    for member in &mut blue.members {
        let [.., last] = member.v4.context("v4")?.octets();
        (member.v4, member.v6) =
            (Some([10, 0, 1, last].into()), format!("fd00:2::{last}").parse().ok());
        member.groups = vec![GroupId(2)];
    }
    blue.groups[0].id = GroupId(2);
    let allow = |nets: [&str; 2]| {
        let rule = |net: &str| Rule {
            traffic: Traffic::Any,
            peer: Peer::Prefix(net.parse().expect("a prefix")),
        };
        nets.map(rule).to_vec()
    };
    red.groups[0].ingress = allow(["10.0.1.0/24", "fd00:2::/64"]);
    blue.groups[0].ingress = allow(["10.0.0.0/24", "fd00:1::/64"]);
    for (lan, number) in [&mut red, &mut blue].into_iter().zip(numbers) {
        lan.vni = Vni::new(number).context("a number")?;
    }
    let mut all = wanted(&[&red, &blue]);
    all.routed = vec![Routed { lans: vec![red.identity, blue.identity] }];
    Ok(all)
}

const ADDRESSES: [[&str; 2]; 4] = [
    ["10.0.0.11", "fd00:1::11"],
    ["10.0.0.12", "fd00:1::12"],
    ["10.0.1.13", "fd00:2::13"],
    ["10.0.1.14", "fd00:2::14"],
];

fn reaches(guest: &Guest, address: &str) -> Result<bool> {
    guest.reaches(address.parse::<std::net::IpAddr>()?)
}

#[test]
fn networks_of_a_group_are_routed_wherever_their_machines_are() -> Result<()> {
    inside("routed::networks_of_a_group_are_routed_wherever_their_machines_are", |scene| {
        let world = World::new(&scene)?;
        let all = World::wanted()?;
        let guests = world.populate(&all)?;
        for (number, guest) in guests.iter().enumerate() {
            for address in ADDRESSES.as_flattened() {
                assert!(reaches(guest, address)?, "guest {number} to {address}");
            }
        }
        // Each is told the names of all; a network's services answer for those it is routed to.
        for (name, address) in [("c2", "10.0.0.12"), ("c3", "10.0.1.13"), ("c4", "10.0.1.14")] {
            let answer = guests[0].resolves(&format!("{name}.service.internal"), "A")?;
            assert!(answer.contains(address), "{name}: {answer}");
        }
        // A connection goes on in both directions, and not one packet of it is a stranger's.
        let listener = guests[3].listens("10.0.1.14:80")?;
        let _stream = guests[0].connects("10.0.1.14:80")?.context("no connection")?;
        assert_eq!(listener.accept()?.1.ip(), std::net::IpAddr::from([10, 0, 0, 11]));
        for (host, all) in world.hosts().iter().zip(&all) {
            assert_eq!(host.drops(all, Cause::NoConnection)?, 0, "{}", host.name);
            assert_eq!(host.drops(all, Cause::ForeignAddress)?, 0, "{}", host.name);
        }
        // Between two machines at beta nothing leaves beta.
        let sent = || -> Result<u64> {
            let state = world.beta.state(&all[2])?;
            let devices = state.lans.iter().flat_map(|lan| &lan.devices);
            Ok(devices.filter(|it| it.name.starts_with("rsy")).map(|it| it.sent).sum())
        };
        let before = sent()?;
        assert!(reaches(&guests[1], ADDRESSES[3][0])? && reaches(&guests[3], ADDRESSES[1][1])?);
        assert_eq!(sent()?, before);
        Ok(())
    })
}

#[test]
fn groups_and_the_lack_of_a_group_hold_between_networks() -> Result<()> {
    inside("routed::groups_and_the_lack_of_a_group_hold_between_networks", |scene| {
        let world = World::new(&scene)?;
        let mut all = World::wanted()?;
        let guests = world.populate(&all)?;
        assert!(reaches(&guests[0], ADDRESSES[3][0])?);
        // Blue is closed to red, where its machine is.
        all[2].lans[1].groups[0].ingress.clear();
        world.beta.converge(&all[2])?;
        let before = world.beta.drops(&all[2], Cause::Group)?;
        assert!(!reaches(&guests[0], ADDRESSES[3][0])?);
        assert!(!reaches(&guests[1], ADDRESSES[3][0])?);
        assert!(world.beta.drops(&all[2], Cause::Group)? > before);
        assert!(reaches(&guests[3], ADDRESSES[0][0])?, "red is open to blue");
        // A rule about red's group lets in red's cards, and so does a card's being in it.
        let red = all[2].lans[0].groups[0].clone();
        let blue = &mut all[2].lans[1];
        let rule = Rule { traffic: Traffic::Any, peer: Peer::Group(red.id) };
        blue.groups[0].ingress = vec![rule];
        blue.groups.push(red.clone());
        world.beta.converge(&all[2])?;
        assert!(reaches(&guests[0], ADDRESSES[3][0])? && reaches(&guests[1], ADDRESSES[3][1])?);
        let blue = &mut all[2].lans[1];
        blue.groups[0].ingress.clear();
        world.beta.converge(&all[2])?;
        assert!(!reaches(&guests[0], ADDRESSES[3][0])?);
        let card = all[2].lans[1].members.iter_mut().find(|it| it.mac == Card(4).mac());
        card.context("no card 4")?.groups.push(red.id);
        world.beta.converge(&all[2])?;
        assert!(reaches(&guests[0], ADDRESSES[3][0])? && reaches(&guests[1], ADDRESSES[3][1])?);
        // Without the group there is no router, and nothing stays of it.
        let mut apart = World::wanted()?;
        apart.iter_mut().for_each(|wanted| wanted.routed.clear());
        assert_eq!(world.converge(&apart)?, [Change::Made; 3]);
        assert_eq!(world.converge(&apart)?, [Change::Nothing; 3]);
        assert!(!reaches(&guests[1], ADDRESSES[3][0])?);
        assert!(!reaches(&guests[1], ADDRESSES[2][0])?);
        assert!(!guests[0].resolves("c4.service.internal", "A")?.contains("10.0.1.14"));
        assert!(!world.beta.run("ip -br link")?.contains("rsr"));
        Ok(())
    })
}

#[test]
fn a_place_routes_only_for_the_machines_that_it_has() -> Result<()> {
    inside("routed::a_place_routes_only_for_the_machines_that_it_has", |scene| {
        let world = World::new(&scene)?;
        let all = World::wanted()?;
        let guests = world.populate(&all)?;
        let heard = guests[2].udp("0.0.0.0:9999")?;
        let liar = Liar::at(&world.beta, "fd99::2", "fd99::1", 4789)?;
        let router = |lan: usize| -> Result<[u8; 6]> {
            let name = bridge(all[0].lans[lan].identity);
            let number = u64::from_str_radix(&name[3..13], 16)?;
            let [.., a, b, c, d, e] = number.to_be_bytes();
            Ok([0x6a, a, b, c, d, e])
        };
        let victim = *Card(3).mac().as_bytes();
        let said = |router, from: [u8; 4], text: &[u8]| {
            frame(router, victim, 0x800, &udp(from, [10, 0, 1, 13], [9, 9999], text))
        };
        let [_, blue] = NUMBERS[0];
        for (cause, lie) in [
            (Cause::ForeignAddress, said(router(1)?, [10, 0, 0, 11], b"a machine of alpha")),
            (Cause::ForeignAddress, said(router(1)?, [10, 0, 0, 99], b"nobody")),
            (Cause::ForeignAddress, said(router(1)?, [203, 0, 113, 9], b"somebody outside")),
            (Cause::MisplacedMac, said(router(0)?, [10, 0, 0, 12], b"another router")),
        ] {
            let before = world.gateway.drops(&all[0], cause)?;
            liar.says(blue, &lie)?;
            wait_for(cause.name(), || {
                Ok((world.gateway.drops(&all[0], cause)? > before).then_some(()))
            })?;
        }
        liar.says(blue, &said(router(1)?, [10, 0, 0, 12], b"truth"))?;
        let mut text = [0; 64];
        let (length, _) = heard.recv_from(&mut text)?;
        assert_eq!(&text[..length], b"truth");
        Ok(())
    })
}

#[test]
fn a_route_leads_to_a_machine_or_to_nobody() -> Result<()> {
    inside("routed::a_route_leads_to_a_machine_or_to_nobody", |scene| {
        let (near, far) = (scene.host("n")?, scene.host("f")?);
        Scene::wire((&near, "eth0", "192.0.2.1/24"), (&far, "eth0", "192.0.2.2/24"))?;
        // Cards 1 and 3 are near, card 2 is far and leads to 10.8.0.0/16 and fd00:8::/32.
        let view = |cards: Vec<Member>, underlay: &str| -> Result<Wanted> {
            let mut red = open(1, cards);
            let card = |address: &str| -> Result<Hop> { Ok(Hop::Card(address.parse()?)) };
            let route = |to: &str, hop| -> Result<Route> { Ok(Route { to: to.parse()?, hop }) };
            red.routes = vec![
                route("10.0.0.0/8", Hop::Nobody)?,
                route("10.8.0.0/16", card("10.0.0.12")?)?,
                route("fd00:8::/32", card("fd00:1::12")?)?,
                route("0.0.0.0/0", card("10.0.0.12")?)?,
            ];
            let mut all = wanted(&[&red]);
            all.underlay = underlay.parse().ok();
            Ok(all)
        };
        let at = |address: &str| -> Result<At> { Ok(At::Host { underlay: address.parse()? }) };
        let here = [Card(1).here(), Card(2).at(at("192.0.2.2")?), Card(3).here()].to_vec();
        let there = [Card(1).at(at("192.0.2.1")?), Card(2).here(), Card(3).at(at("192.0.2.1")?)];
        let views = [view(here, "192.0.2.1")?, view(there.to_vec(), "192.0.2.2")?];
        let converge =
            || -> Result<[Change; 2]> { Ok([near.converge(&views[0])?, far.converge(&views[1])?]) };
        converge()?;
        let (first, third) =
            (near.plug(&views[0].lans[0], &Card(1))?, near.plug(&views[0].lans[0], &Card(3))?);
        let second = far.plug(&views[1].lans[0], &Card(2))?;
        converge()?;
        assert_eq!(converge()?, [Change::Nothing; 2]);
        for address in ["10.8.0.1/32", "203.0.113.9/32", "10.9.0.1/32"] {
            second.ip(&format!("addr add {address} dev lo"))?;
        }
        second.ip("addr add fd00:8::1/128 dev lo")?;
        // It asks for others as itself, as a router does whose addresses are elsewhere.
        second.run("busybox sysctl -w net.ipv4.conf.all.arp_announce=2")?;
        leads_everywhere(&first)?;
        for address in ["10.8.0.1", "fd00:8::1", "203.0.113.9", "10.0.0.13"] {
            assert!(reaches(&first, address)?, "{address}");
        }
        let before = near.drops(&views[0], Cause::NoRoute)?;
        assert!(!reaches(&first, "10.9.0.1")?);
        assert!(near.drops(&views[0], Cause::NoRoute)? > before);
        // Only the card that it leads to speaks for what is behind it, and for none of its network.
        for (host, all, guest, from) in
            [(&near, &views[0], &third, "10.8.0.7"), (&far, &views[1], &second, "10.0.0.13")]
        {
            guest.ip(&format!("addr add {from}/32 dev lo"))?;
            let before = host.drops(all, Cause::ForeignAddress)?;
            let (reached, _) = guest.run(&format!("busybox ping -c 1 -W 1 -I {from} 10.0.0.11"))?;
            assert!(!reached, "{from}");
            assert!(host.drops(all, Cause::ForeignAddress)? > before, "{from}");
        }
        Ok(())
    })
}

#[test]
fn what_passed_through_a_host_does_not_speak_against_a_machine_that_comes() -> Result<()> {
    let test = "routed::what_passed_through_a_host_does_not_speak_against_a_machine_that_comes";
    inside(test, |scene| {
        let world = World::new(&scene)?;
        let mut all = World::wanted()?;
        // Red is closed to blue, and begins what it wants.
        for wanted in &mut all {
            wanted.lans[0].groups[0].ingress.clear();
        }
        let guests = world.populate(&all)?;
        let [red, _, _, blue] = &guests;
        let listener = blue.listens("10.0.1.14:80")?;
        let mut stream = red.connects("10.0.1.14:80")?.context("no connection")?;
        let (mut accepted, _) = listener.accept()?;
        accepted.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
        let mut is_alive = || -> Result<()> {
            stream.write_all(b"x")?;
            accepted.read_exact(&mut [0])?;
            accepted.write_all(b"y")?;
            stream.read_exact(&mut [0])?;
            Ok(())
        };
        is_alive()?;
        // Of red, beta has seen the answers alone. Now the machine that asks moves there.
        world.other.run(&format!("ip link del {}", Card(1).tap()))?;
        all[2].lans[0].members[0] = Card(1).here();
        world.beta.converge(&all[2])?;
        world.beta.join(red, &all[2].lans[0], &Card(1))?;
        world.beta.converge(&all[2])?;
        leads_everywhere(red)?;
        is_alive()?;
        // And what it did not begin is still refused.
        assert!(!reaches(blue, ADDRESSES[0][0])?);
        Ok(())
    })
}
