//! Networks of one host: equal prefixes, services, what is put right, what goes.

use std::io::{Read as _, Write as _};
use std::net::Ipv6Addr;

use anyhow::{Context as _, Result};
use fabric::Change;
use fabric::networks::{Contradiction, Group, GroupId, Peer, Ports, Rule, Traffic, bridge};

use crate::scene::{Card, Guest, inside, lan, wait_for, wanted};

#[test]
fn two_networks_with_equal_prefixes_are_two_networks() -> Result<()> {
    inside("one_host::two_networks_with_equal_prefixes_are_two_networks", |scene| {
        let host = scene.host("h")?;
        let red = lan(1, vec![Card(1).here(), Card(2).here()]);
        let blue = lan(2, vec![Card(101).here(), Card(103).here()]);
        let both = wanted(&[&red, &blue]);
        assert_eq!(host.converge(&both)?, Change::Made);
        let r1 = host.plug(&red, &Card(1))?;
        let r2 = host.plug(&red, &Card(2))?;
        let b1 = host.plug(&blue, &Card(101))?;
        let b3 = host.plug(&blue, &Card(103))?;
        assert_eq!(host.converge(&both)?, Change::Made);
        assert_eq!(host.converge(&both)?, Change::Nothing);

        // Equal addresses get equal answers, each from its own network.
        for guest in [&r1, &b1] {
            assert_eq!(guest.asks_dhcp()?.as_deref(), Some("10.0.0.11:10.0.0.1:1400"));
        }
        for (guest, known, strange) in [(&r1, "c2", "c103"), (&b1, "c103", "c2")] {
            assert!(guest.resolves(known, "A")?.contains("Address: 10.0.0.1"), "{known}");
            let whole = format!("{known}.service.internal");
            assert!(guest.resolves(&whole, "AAAA")?.contains("fd00:1::1"), "{whole}");
            assert!(!guest.resolves(strange, "A")?.contains("10.0.0.1\n\nName"), "{strange}");
        }
        assert!(r1.reaches(Card(2).v4().context("v4")?)?);
        assert!(r1.reaches(Card(2).v6().context("v6")?)?);
        assert!(b1.reaches(Card(103).v4().context("v4")?)?);
        assert!(!r1.reaches(Card(103).v4().context("v4")?)?);
        assert!(!b1.reaches(Card(2).v6().context("v6")?)?);
        assert!(b3.reaches(Card(101).v4().context("v4")?)?);
        assert!(r2.reaches(Card(1).v4().context("v4")?)?);

        // Nothing of a network has an address on the host, and no guest reaches the host.
        for network in [&red, &blue] {
            let seen = host.run(&format!("ip -d addr show dev {}", bridge(network.identity)))?;
            assert!(!seen.contains("inet"), "{seen}");
        }
        host.run("ip addr add 198.51.100.1/32 dev lo")?;
        r1.ip("route add 198.51.100.1/32 dev eth0")?;
        assert!(!r1.reaches([198, 51, 100, 1])?);
        Ok(())
    })
}

#[test]
fn guests_are_told_their_ipv6_addresses() -> Result<()> {
    inside("one_host::guests_are_told_their_ipv6_addresses", |scene| {
        let host = scene.host("h")?;
        let red = lan(1, vec![Card(1).here()]);
        host.converge(&wanted(&[&red]))?;
        let guest = host.plug(&red, &Card(1))?;
        host.converge(&wanted(&[&red]))?;
        wait_for("a router", || {
            Ok(guest.ip("-6 route show default")?.contains("via fe80::").then_some(()))
        })?;
        let offered = wait_for("an address", || solicit(&guest))?;
        assert_eq!(Some(offered), Card(1).v6());
        Ok(())
    })
}

/// Asks for an address (RFC 9915): a solicitation by hand.
fn solicit(guest: &Guest) -> Result<Option<Ipv6Addr>> {
    let index = guest.ip("-o link show dev eth0")?;
    let index: u32 = index.split(':').next().context("an index")?.parse()?;
    let Ok(socket) = guest.udp("[::]:546") else { return Ok(None) };
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1)))?;
    let mut text = vec![1, 7, 7, 7, 0, 1, 0, 10, 0, 3, 0, 1];
    text.extend(Card(1).mac().as_bytes());
    text.extend([0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let servers = std::net::SocketAddrV6::new("ff02::1:2".parse()?, 547, 0, index);
    if socket.send_to(&text, servers).is_err() {
        return Ok(None);
    }
    let mut answer = [0; 1024];
    let Ok(length) = socket.recv(&mut answer) else { return Ok(None) };
    // The option of an address, in an answer that is an advertisement.
    let at = answer[..length].windows(4).position(|it| it == [0, 5, 0, 24]);
    let address = at.and_then(|at| answer.get(at + 4..at + 20));
    let address = address.and_then(|it| <[u8; 16]>::try_from(it).ok()).map(Ipv6Addr::from);
    Ok(address.filter(|_| answer[0] == 2))
}

#[test]
fn a_service_of_the_node_listens_inside_a_network() -> Result<()> {
    inside("one_host::a_service_of_the_node_listens_inside_a_network", |scene| {
        let host = scene.host("h")?;
        let (red, blue) = (lan(1, vec![Card(1).here()]), lan(2, vec![Card(101).here()]));
        host.converge(&wanted(&[&red, &blue]))?;
        let mut guests = Vec::new();
        for (network, card) in [(&red, Card(1)), (&blue, Card(101))] {
            let listener = host.listen(network.identity, "169.254.169.254:80")?;
            assert!(host.listen(network.identity, "169.254.169.254:80").is_err(), "it is taken");
            let guest = host.plug(network, &card)?;
            guest.ip("route add default via 10.0.0.1")?;
            guests.push((guest, listener));
        }
        host.converge(&wanted(&[&red, &blue]))?;
        for (number, (guest, listener)) in guests.iter().enumerate() {
            let mut stream = guest.connects("169.254.169.254:80")?.context("no connection")?;
            let (mut accepted, from) = listener.accept()?;
            assert_eq!(from.ip().to_string(), "10.0.0.11");
            accepted.write_all(&[u8::try_from(number)?])?;
            let mut byte = [9];
            stream.read_exact(&mut byte)?;
            assert_eq!(usize::from(byte[0]), number);
        }
        assert!(host.listen(lan(3, vec![]).identity, "169.254.169.254:80").is_err());
        Ok(())
    })
}

#[test]
fn every_kind_of_network_can_be_made() -> Result<()> {
    inside("one_host::every_kind_of_network_can_be_made", |scene| {
        let host = scene.host("h")?;
        let only = |number: u8, of_v4: bool| {
            let mut network = lan(number, vec![Card(number).here()]);
            if of_v4 {
                (network.v6, network.members[0].v6) = (None, None);
            } else {
                (network.v4, network.members[0].v4) = (None, None);
            }
            network
        };
        let mut bare = lan(3, vec![Card(3).here()]);
        (bare.domain, bare.members[0].names, bare.members[0].groups) = (vec![], vec![], vec![]);
        let mut strict = lan(4, vec![Card(4).here()]);
        strict.groups.push(Group { id: GroupId(2), ingress: vec![], egress: vec![] });
        let ports = |first, last| Ports { first, last };
        for traffic in [
            Traffic::Any,
            Traffic::Icmp,
            Traffic::Tcp(ports(0, 65535)),
            Traffic::Tcp(ports(22, 22)),
            Traffic::Udp(ports(1, 2)),
        ] {
            for net in ["0.0.0.0/0", "::/0", "192.0.2.1/32", "2001:db8::/32", "10.0.0.0/8"] {
                let rule = Rule { traffic, peer: Peer::Prefix(net.parse()?) };
                strict.groups[0].ingress.push(rule);
                strict.groups[1].egress.push(rule);
            }
            let rule = Rule { traffic, peer: Peer::Group(GroupId(2)) };
            strict.groups[0].egress.push(rule);
        }
        let (v4, v6, empty) = (only(1, true), only(2, false), lan(5, vec![]));
        let mut large = lan(6, vec![]);
        large.v4 = Some("10.0.0.0/16".parse()?);
        for number in 0..200_u8 {
            let mut member = Card(number).here();
            (member.v4, member.v6) =
                (Some([10, 0, 1, number].into()), format!("fd00:1::1:{number}").parse().ok());
            large.members.push(member);
        }
        // Cards 1 to 4 are on the other networks.
        large.members.drain(1..5);
        let all = wanted(&[&v4, &v6, &bare, &strict, &empty, &large]);
        assert_eq!(host.converge(&all)?, Change::Made);
        assert_eq!(host.converge(&all)?, Change::Nothing);
        let guest = host.plug(&v4, &Card(1))?;
        assert_eq!(guest.asks_dhcp()?.as_deref(), Some("10.0.0.11:10.0.0.1:1400"));
        Ok(())
    })
}

#[test]
fn what_was_changed_behind_our_back_is_put_right() -> Result<()> {
    inside("one_host::what_was_changed_behind_our_back_is_put_right", |scene| {
        let host = scene.host("h")?;
        let red = lan(1, vec![Card(1).here(), Card(2).here()]);
        let all = wanted(&[&red]);
        host.converge(&all)?;
        let guest = host.plug(&red, &Card(1))?;
        host.plug(&red, &Card(2))?;
        host.converge(&all)?;
        let (bridge, tap) = (bridge(red.identity), Card(2).tap());
        let services = bridge.replacen("rsb", "rsv", 1);
        for harm in [
            "nft flush table bridge reservoir".to_owned(),
            "nft delete table inet reservoir".to_owned(),
            format!("ip link del {services}"),
            format!("ip link set {bridge} down"),
            format!("ip neigh flush dev {bridge} nud permanent"),
            format!("bridge fdb del {} dev {tap} master", Card(2).mac()),
            format!("bridge link set dev {tap} learning on"),
        ] {
            host.run(&harm)?;
            assert_eq!(host.converge(&all)?, Change::Made, "{harm}");
            assert_eq!(host.converge(&all)?, Change::Nothing, "{harm}");
            assert!(guest.reaches(Card(2).v4().context("v4")?)?, "{harm}");
        }
        assert!(guest.asks_dhcp()?.is_some());
        Ok(())
    })
}

#[test]
fn what_a_killed_node_left_is_taken_over() -> Result<()> {
    inside("one_host::what_a_killed_node_left_is_taken_over", |scene| {
        let mut host = scene.host("h")?;
        let red = lan(1, vec![Card(1).here()]);
        host.converge(&wanted(&[&red]))?;
        let before = servers()?;
        assert_eq!(before.len(), 1);
        host.forgets();
        // The filters are put in place once more, since how they were is not known.
        host.converge(&wanted(&[&red]))?;
        assert_eq!(host.converge(&wanted(&[&red]))?, Change::Nothing);
        assert_eq!(servers()?, before);

        // What serves the guests is stopped without the rest, and comes back.
        let links = host.run("ip -br link")?;
        host.close()?;
        assert_eq!(servers()?.len(), 0);
        assert_eq!(host.run("ip -br link")?, links);
        assert_eq!(host.converge(&wanted(&[&red]))?, Change::Made);
        assert_eq!(servers()?.len(), 1);
        Ok(())
    })
}

/// The DHCP servers in this process namespace, which is all of ours.
pub(crate) fn servers() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let place = entry?.path();
        let name = std::fs::read_to_string(place.join("comm")).unwrap_or_default();
        let line = std::fs::read(place.join("cmdline")).unwrap_or_default();
        if name.trim() == "dnsmasq" && !line.is_empty() {
            found.push(place.display().to_string());
        }
    }
    Ok(found)
}

#[test]
fn what_a_restart_of_the_host_left_is_cleared_away_or_used() -> Result<()> {
    inside("one_host::what_a_restart_of_the_host_left_is_cleared_away_or_used", |scene| {
        let mut host = scene.host("h")?;
        let (red, blue) = (lan(1, vec![Card(1).here()]), lan(2, vec![Card(101).here()]));
        host.converge(&wanted(&[&red, &blue]))?;
        // Files stay on the disk; processes, interfaces and mounts do not.
        host.close()?;
        for network in [&red, &blue] {
            let bridge = bridge(network.identity);
            host.run(&format!("ip link del {}", bridge.replacen("rsb", "rsv", 1)))?;
            host.run(&format!("ip link del {bridge}"))?;
        }
        host.run("nft flush ruleset")?;
        host.loses_namespaces()?;
        host.forgets();
        assert_eq!(host.files()?, 2);
        assert_eq!(host.converge(&wanted(&[&red]))?, Change::Made);
        assert_eq!(host.files()?, 1);
        let guest = host.plug(&red, &Card(1))?;
        assert!(guest.asks_dhcp()?.is_some());
        Ok(())
    })
}

#[test]
fn what_is_not_wanted_goes_but_not_under_a_guest() -> Result<()> {
    inside("one_host::what_is_not_wanted_goes_but_not_under_a_guest", |scene| {
        let host = scene.host("h")?;
        let (red, blue) = (lan(1, vec![Card(1).here()]), lan(2, vec![Card(101).here()]));
        host.converge(&wanted(&[&red, &blue]))?;
        host.plug(&red, &Card(1))?;
        host.run("ip link add other type bridge")?;
        host.run("nft add table inet other")?;
        assert_eq!(servers()?.len(), 2);

        assert_eq!(host.converge(&wanted(&[]))?, Change::Made);
        let links = host.run("ip -br link")?;
        assert!(links.contains(&bridge(red.identity)), "{links}");
        assert!(!links.contains(&bridge(blue.identity)) && !links.contains("rsv"), "{links}");
        assert!(links.contains("other"), "{links}");
        assert!(host.run("nft list tables")?.contains("table inet other"));
        wait_for("the servers' end", || Ok(servers()?.is_empty().then_some(())))?;

        host.run(&format!("ip link del {}", Card(1).tap()))?;
        assert_eq!(host.converge(&wanted(&[]))?, Change::Made);
        assert_eq!(host.converge(&wanted(&[]))?, Change::Nothing);
        assert!(!host.run("ip -br link")?.contains("rsb"));
        Ok(())
    })
}

#[test]
fn a_contradiction_touches_nothing() -> Result<()> {
    inside("one_host::a_contradiction_touches_nothing", |scene| {
        let host = scene.host("h")?;
        let red = lan(1, vec![Card(1).here(), Card(101).here()]);
        let refused = host.converge(&wanted(&[&red])).expect_err("equal addresses");
        let fault = refused.downcast_ref::<fabric::networks::Error>().context("another error")?;
        let twice =
            matches!(fault, fabric::networks::Error::Contradiction(Contradiction::Twice { .. }));
        assert!(twice, "{fault}");
        assert!(!host.run("ip -br link")?.contains("rsb"));
        assert!(!host.run("nft list tables")?.contains("reservoir"));
        Ok(())
    })
}
