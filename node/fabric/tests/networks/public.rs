//! Public addresses: reached from outside wherever the machine runs, and nobody else's.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fabric::Change;
use fabric::networks::{
    Cause, Exit, Group, GroupId, Outside, Peer, Ports, Public, Rule, Traffic, Wanted,
};

use crate::outside::{FAR, World, leads_everywhere, open, outside, seen_from};
use crate::scene::{Card, Guest, Scene, inside, wait_for, wanted};

const OWN: [&str; 2] = ["203.0.113.77", "203.0.113.78"];

/// Gives public addresses to cards by their number, and opens the cards to the one outside.
fn publish(all: &mut [Wanted; 3], public: &[(&str, &str)]) -> Result<()> {
    let network = all[0].lans[0].identity;
    let of = |(address, member): &(&str, &str)| -> Result<Public> {
        Ok(Public { address: address.parse()?, network, member: member.parse()? })
    };
    all[0].public = public.iter().map(of).collect::<Result<_>>()?;
    for wanted in all {
        let rules = FAR.map(|far| Rule {
            traffic: Traffic::Any,
            peer: Peer::Prefix(far.parse::<IpAddr>().expect("an address").into()),
        });
        wanted.lans[0].groups[0].ingress = rules.to_vec();
    }
    Ok(())
}

/// Connects from outside to an address that a guest's listener should get.
fn comes_in(world: &World, guest: &Guest, to: &str) -> Result<Option<(TcpStream, TcpStream)>> {
    let listener = guest.listens("0.0.0.0:80")?;
    let connected = world.far.within(|| {
        let to = format!("{to}:80").parse()?;
        Ok(TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok())
    })?;
    let Some(outer) = connected else { return Ok(None) };
    let (inner, from) = listener.accept()?;
    // The machine sees who it is.
    assert_eq!(from.ip(), FAR[0].parse::<IpAddr>()?);
    for stream in [&outer, &inner] {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    }
    Ok(Some((outer, inner)))
}

fn is_alive(outer: &mut TcpStream, inner: &mut TcpStream) -> Result<()> {
    outer.write_all(b"question")?;
    inner.read_exact(&mut [0; 8])?;
    inner.write_all(b"answer")?;
    outer.read_exact(&mut [0; 6])?;
    Ok(())
}

#[test]
fn a_public_address_is_its_machines_wherever_that_runs() -> Result<()> {
    inside("public::a_public_address_is_its_machines_wherever_that_runs", |scene| {
        let world = World::new(&scene)?;
        let mut all = World::wanted()?;
        publish(&mut all, &[(OWN[0], "10.0.0.11"), (OWN[1], "10.0.0.13")])?;
        let [first, second, third] = world.populate(&all)?;
        for (guest, own) in [(&first, OWN[0]), (&third, OWN[1])] {
            let (mut outer, mut inner) = comes_in(&world, guest, own)?.context("no connection")?;
            is_alive(&mut outer, &mut inner)?;
            assert_eq!(seen_from(&world.far, guest, 8000)?, own.parse::<IpAddr>()?);
        }
        // Who has none goes out as before.
        assert_ne!(seen_from(&world.far, &second, 8000)?, OWN[0].parse::<IpAddr>()?);
        // A machine reaches another by its public address, if that one's groups let it.
        for wanted in &mut all {
            let everyone = Rule { traffic: Traffic::Any, peer: Peer::Prefix("0.0.0.0/0".parse()?) };
            wanted.lans[0].groups[0].ingress.push(everyone);
        }
        world.converge(&all)?;
        assert!(second.reaches(OWN[1].parse::<IpAddr>()?)?);
        assert!(first.reaches(OWN[1].parse::<IpAddr>()?)?);
        assert!(first.reaches(OWN[0].parse::<IpAddr>()?)?);
        assert_eq!(world.converge(&all)?, [Change::Nothing; 3]);
        // All of it can be seen, where it is.
        let state = world.gateway.state(&all[0])?;
        let exit = state.lans[0].exit.as_ref().context("an exit")?;
        assert!(exit.connections > 0);
        assert_eq!(exit.public, all[0].public.iter().map(|it| it.address).collect::<Vec<_>>());
        let door = state.lans[0].devices.iter().find(|it| it.name.starts_with("rso"));
        assert!(door.is_some_and(|door| door.received > 0 && door.sent > 0), "{state:?}");
        assert_eq!(world.beta.state(&all[2])?.lans[0].exit, None);
        Ok(())
    })
}

#[test]
fn a_connection_from_outside_outlives_the_machines_move() -> Result<()> {
    inside("public::a_connection_from_outside_outlives_the_machines_move", |scene| {
        let world = World::new(&scene)?;
        let mut all = World::wanted()?;
        publish(&mut all, &[(OWN[0], "10.0.0.13")])?;
        let [_first, _second, third] = world.populate(&all)?;
        let (mut outer, mut inner) = comes_in(&world, &third, OWN[0])?.context("no connection")?;
        is_alive(&mut outer, &mut inner)?;
        // From beta to alpha's gateway.
        world.beta.run(&format!("ip link del {}", Card(3).tap()))?;
        all[0].lans[0].members[2] = Card(3).here();
        world.gateway.converge(&all[0])?;
        world.gateway.join(&third, &all[0].lans[0], &Card(3))?;
        world.gateway.converge(&all[0])?;
        leads_everywhere(&third)?;
        is_alive(&mut outer, &mut inner)?;
        Ok(())
    })
}

#[test]
fn groups_see_who_is_outside() -> Result<()> {
    inside("public::groups_see_who_is_outside", |scene| {
        let world = World::new(&scene)?;
        let mut all = World::wanted()?;
        publish(&mut all, &[(OWN[0], "10.0.0.13")])?;
        let [_first, _second, third] = world.populate(&all)?;
        assert!(comes_in(&world, &third, OWN[0])?.is_some());
        let web = Traffic::Tcp(Ports { first: 80, last: 80 });
        let only = |peer: &str| -> Result<Vec<Rule>> {
            Ok(vec![Rule { traffic: web, peer: Peer::Prefix(peer.parse()?) }])
        };
        for (peer, is_open) in [("203.0.113.8/32", false), ("203.0.113.9/32", true)] {
            all[2].lans[0].groups[0].ingress = only(peer)?;
            world.beta.converge(&all[2])?;
            assert_eq!(comes_in(&world, &third, OWN[0])?.is_some(), is_open, "{peer}");
        }
        // Nor does somebody outside pose as a machine of the network, or as one with an address.
        let posing = || world.gateway.drops(&all[0], Cause::ForeignAddress);
        world.far.run("ip addr add 10.0.0.12/32 dev lo")?;
        for from in ["10.0.0.12", OWN[1]] {
            world.far.run(&format!("ip addr replace {from}/32 dev lo"))?;
            let mut both = all.clone();
            publish(&mut both, &[(OWN[0], "10.0.0.13"), (OWN[1], "10.0.0.12")])?;
            world.gateway.converge(&both[0])?;
            let before = posing()?;
            let line = format!("busybox ping -c 1 -W 1 -I {from} {}", OWN[0]);
            assert!(world.far.run(&line).is_err(), "{from}");
            assert!(posing()? > before, "{from}");
        }
        Ok(())
    })
}

#[test]
fn an_address_that_becomes_anothers_leaves_nothing_behind() -> Result<()> {
    inside("public::an_address_that_becomes_anothers_leaves_nothing_behind", |scene| {
        let world = World::new(&scene)?;
        let mut all = World::wanted()?;
        publish(&mut all, &[(OWN[0], "10.0.0.11")])?;
        let [first, second, _third] = world.populate(&all)?;
        let (mut outer, mut inner) = comes_in(&world, &first, OWN[0])?.context("no connection")?;
        is_alive(&mut outer, &mut inner)?;
        publish(&mut all, &[(OWN[0], "10.0.0.12")])?;
        assert_eq!(world.gateway.converge(&all[0])?, Change::Made);
        assert_eq!(world.gateway.converge(&all[0])?, Change::Nothing);
        assert!(comes_in(&world, &second, OWN[0])?.is_some());
        inner.set_read_timeout(Some(Duration::from_secs(1)))?;
        assert!(is_alive(&mut outer, &mut inner).is_err(), "it is another's now");
        assert_ne!(seen_from(&world.far, &first, 8000)?, OWN[0].parse::<IpAddr>()?);

        // Released, it is nobody's, and is not answered for.
        publish(&mut all, &[])?;
        world.gateway.converge(&all[0])?;
        assert_eq!(world.gateway.converge(&all[0])?, Change::Nothing);
        assert!(!world.gateway.run("ip neigh show proxy")?.contains(OWN[0]));
        world.far.run("ip neigh flush dev eth0")?;
        assert!(world.far.run(&format!("busybox arping -c 1 -w 1 -I eth0 {}", OWN[0])).is_err());
        Ok(())
    })
}

#[test]
fn an_address_is_answered_for_where_it_is_and_what_others_answer_for_stays() -> Result<()> {
    let test = "public::an_address_is_answered_for_where_it_is_and_what_others_answer_for_stays";
    inside(test, |scene| {
        let world = World::new(&scene)?;
        world.gateway.run("ip neigh add proxy 203.0.113.55 dev wan")?;
        // Somebody outside still believes that another host answers for it.
        world.far.run(&format!(
            "ip neigh replace {} lladdr 02:00:00:00:00:66 dev eth0 nud stale",
            OWN[0]
        ))?;
        let mut red = open(1, vec![Card(1).here()]);
        red.exit = Some(Exit::Here);
        red.groups.push(Group { id: GroupId(2), ingress: vec![], egress: vec![] });
        let mut all = wanted(&[&red]);
        all.outside = outside()?;
        let of = |address: &str, member: &str| -> Result<Public> {
            let (address, member) = (address.parse()?, member.parse()?);
            Ok(Public { address, network: red.identity, member })
        };
        // For IPv6 the administrator has to have it forwarded there.
        world.gateway.run("busybox sysctl -w net.ipv6.conf.wan.forwarding=1")?;
        all.public = vec![of(OWN[0], "10.0.0.11")?, of("2001:db8::77", "fd00:1::11")?];
        world.gateway.converge(&all)?;
        let known = world.gateway.run("busybox cat /sys/class/net/wan/address")?;
        wait_for("what was believed to be put right", || {
            let told = world.far.run(&format!("ip neigh show {}", OWN[0]))?;
            Ok(told.contains(known.trim()).then_some(()))
        })?;
        let proxies = world.gateway.run("ip neigh show proxy")?;
        assert!(proxies.contains("203.0.113.55") && proxies.contains(OWN[0]), "{proxies}");

        let guest = world.gateway.plug(&red, &Card(1))?;
        leads_everywhere(&guest)?;
        world.gateway.converge(&all)?;
        let listener = world.far.within(|| Ok(TcpListener::bind("[2001:db8::9]:8000")?))?;
        // The host's own address on that link takes a second until it is sure to be unique.
        let _stream = wait_for("a connection", || guest.connects("[2001:db8::9]:8000"))?;
        assert_eq!(listener.accept()?.1.ip(), "2001:db8::77".parse::<IpAddr>()?);
        // A host that no longer has the exit answers for nothing, and others' matters stay.
        world.gateway.converge(&wanted(&[]))?;
        let proxies = world.gateway.run("ip neigh show proxy")?;
        assert!(proxies.contains("203.0.113.55") && !proxies.contains(OWN[0]), "{proxies}");
        Ok(())
    })
}

#[test]
fn another_host_takes_over_and_is_found_at_once() -> Result<()> {
    inside("public::another_host_takes_over_and_is_found_at_once", |scene| {
        let world = World::new(&scene)?;
        // Both of alpha's hosts are on the same link outside, which is a bridge at its far end.
        Scene::wire((&world.other, "wan", "203.0.113.2/24"), (&world.far, "eth1", "fd97::1/64"))?;
        world.far.run("ip link add br0 type bridge")?;
        for step in [
            "link set eth0 master br0",
            "link set eth1 master br0",
            "addr del 203.0.113.9/24 dev eth0",
            "addr add 203.0.113.9/24 dev br0",
            "link set br0 up",
        ] {
            world.far.run(&format!("ip {step}"))?;
        }
        let mut all = World::wanted()?;
        publish(&mut all, &[(OWN[0], "10.0.0.12")])?;
        let [first, second, _third] = world.populate(&all)?;
        assert!(comes_in(&world, &second, OWN[0])?.is_some());
        assert_eq!(seen_from(&world.far, &first, 8000)?, "203.0.113.1".parse::<IpAddr>()?);

        let public = std::mem::take(&mut all[0].public);
        (all[1].public, all[1].outside) = (public, outside()?);
        let exit = "192.0.2.2".parse()?;
        (all[0].lans[0].exit, all[1].lans[0].exit) =
            (Some(Exit::Host { underlay: exit }), Some(Exit::Here));
        world.converge(&all)?;
        assert_eq!(world.converge(&all)?, [Change::Nothing; 3]);
        // Nobody outside has to forget what they believed: they were told.
        assert!(comes_in(&world, &second, OWN[0])?.is_some());
        assert_eq!(seen_from(&world.far, &first, 8000)?, "203.0.113.2".parse::<IpAddr>()?);
        assert_eq!(seen_from(&world.far, &second, 8000)?, OWN[0].parse::<IpAddr>()?);
        Ok(())
    })
}

#[test]
fn a_bridge_outside_goes_on_passing_what_is_not_ours() -> Result<()> {
    inside("public::a_bridge_outside_goes_on_passing_what_is_not_ours", |scene| {
        let (host, one, other) = (scene.host("h")?, scene.host("one")?, scene.host("other")?);
        Scene::wire((&host, "eth0", "fd97::1/64"), (&one, "eth0", "203.0.113.8/24"))?;
        Scene::wire((&host, "eth1", "fd96::1/64"), (&other, "eth0", "203.0.113.9/24"))?;
        for step in [
            "link add br0 type bridge nf_call_iptables 1 nf_call_ip6tables 1",
            "link set eth0 master br0",
            "link set eth1 master br0",
            "addr add 203.0.113.1/24 dev br0",
            "link set br0 up",
        ] {
            host.run(&format!("ip {step}"))?;
        }
        let mut red = open(1, vec![Card(1).here()]);
        red.exit = Some(Exit::Here);
        let mut all = wanted(&[&red]);
        all.outside = Some(Outside { interface: "br0".parse()?, closed: vec![] });
        host.converge(&all)?;
        let guest = host.plug(&red, &Card(1))?;
        host.converge(&all)?;
        leads_everywhere(&guest)?;
        assert!(guest.reaches([203, 0, 113, 9])?);
        one.run("busybox ping -c 1 -W 5 203.0.113.9")?;
        Ok(())
    })
}
