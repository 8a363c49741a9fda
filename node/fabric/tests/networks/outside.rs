//! The way to the public network: from everywhere through one place, and what is closed there.
//!
//! Alpha is the home of the networks and has two hosts, of which the first is its gateway; beta
//! has one. The public network is a host beyond alpha's gateway.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};

use anyhow::{Context as _, Result};
use fabric::Change;
use fabric::networks::{
    At, Cause, Exit, Lan, Outside, Peer, Rule, Traffic, Tunnel, Vni, Wanted, bridge,
};

use crate::scene::{Card, Guest, Host, Scene, inside, lan, wait_for, wanted};

/// Somebody on the public network, and alpha's gateway there.
pub(crate) const FAR: [&str; 2] = ["203.0.113.9", "2001:db8::9"];
const NEAR: &str = "203.0.113.1";

pub(crate) struct World {
    pub(crate) gateway: Host,
    pub(crate) other: Host,
    pub(crate) beta: Host,
    pub(crate) far: Host,
}

impl World {
    pub(crate) fn new(scene: &Scene) -> Result<Self> {
        let (gateway, other) = (scene.host("g")?, scene.host("o")?);
        let (beta, far) = (scene.host("b")?, scene.host("w")?);
        Scene::wire((&gateway, "eth0", "192.0.2.1/24"), (&other, "eth0", "192.0.2.2/24"))?;
        Scene::wire((&gateway, "wg0", "fd99::1/64"), (&beta, "wg0", "fd99::2/64"))?;
        Scene::wire((&gateway, "wan", "203.0.113.1/24"), (&far, "eth0", "203.0.113.9/24"))?;
        gateway.run("ip addr add 2001:db8::1/64 dev wan nodad")?;
        far.run("ip addr add 2001:db8::9/64 dev eth0 nodad")?;
        Ok(Self { gateway, other, beta, far })
    }

    /// What each of the three wants of a network with a card at each, whose exit is at alpha.
    pub(crate) fn wanted() -> Result<[Wanted; 3]> {
        let host = |address: &str| -> Result<At> { Ok(At::Host { underlay: address.parse()? }) };
        let tunnel = |address: &str| -> Result<Option<Tunnel>> {
            Ok(Some(Tunnel { device: "wg0".parse()?, address: address.parse()? }))
        };
        let number = |number| Vni::new(number).context("a number");
        let (alpha, beta) = ("fd99::1".parse()?, "fd99::2".parse()?);
        let (at_alpha, at_beta) = (
            At::Site { gateway: alpha, vni: number(5)? },
            At::Site { gateway: beta, vni: number(9)? },
        );
        let cards = [
            vec![Card(1).here(), Card(2).at(host("192.0.2.2")?), Card(3).at(at_beta)],
            vec![Card(1).at(host("192.0.2.1")?), Card(2).here(), Card(3).at(host("192.0.2.1")?)],
            vec![Card(1).at(at_alpha.clone()), Card(2).at(at_alpha), Card(3).here()],
        ];
        let exits = [
            Exit::Here,
            Exit::Host { underlay: "192.0.2.1".parse()? },
            Exit::Site { gateway: alpha, vni: number(5)? },
        ];
        let mut all = cards.into_iter().zip(exits).zip([5, 5, 9]).map(|((cards, exit), vni)| {
            let mut network = open(1, cards);
            (network.exit, network.vni) = (Some(exit), Vni::new(vni).expect("a number"));
            wanted(&[&network])
        });
        let mut next = || all.next().context("three hosts");
        let (mut first, mut second, mut third) = (next()?, next()?, next()?);
        (first.underlay, first.tunnel) = ("192.0.2.1".parse().ok(), tunnel("fd99::1")?);
        first.outside = outside()?;
        second.underlay = "192.0.2.2".parse().ok();
        third.tunnel = tunnel("fd99::2")?;
        Ok([first, second, third])
    }

    pub(crate) fn converge(&self, all: &[Wanted; 3]) -> Result<Vec<Change>> {
        [&self.gateway, &self.other, &self.beta]
            .iter()
            .zip(all)
            .map(|(it, all)| it.converge(all))
            .collect()
    }

    /// The guests plugged in, each with its gateway as its way to everywhere.
    pub(crate) fn populate(&self, all: &[Wanted; 3]) -> Result<[Guest; 3]> {
        self.converge(all)?;
        let guests = [
            self.gateway.plug(&all[0].lans[0], &Card(1))?,
            self.other.plug(&all[1].lans[0], &Card(2))?,
            self.beta.plug(&all[2].lans[0], &Card(3))?,
        ];
        self.converge(all)?;
        assert_eq!(self.converge(all)?, [Change::Nothing; 3]);
        for guest in &guests {
            leads_everywhere(guest)?;
        }
        Ok(guests)
    }
}

pub(crate) fn outside() -> Result<Option<Outside>> {
    let closed = vec!["203.0.113.128/25".parse()?];
    Ok(Some(Outside { interface: "wan".parse()?, closed }))
}

/// A network whose cards may begin anything.
pub(crate) fn open(number: u8, cards: Vec<fabric::networks::Member>) -> Lan {
    let mut network = lan(number, cards);
    let everyone = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("a prefix"));
    let rules = everyone.map(|net| Rule { traffic: Traffic::Any, peer: Peer::Prefix(net) });
    network.groups[0].egress = rules.to_vec();
    network
}

pub(crate) fn leads_everywhere(guest: &Guest) -> Result<()> {
    guest.ip("route add default via 10.0.0.1")?;
    guest.ip("-6 route add default via fd00:1::1 metric 1")?;
    Ok(())
}

/// Who connected, as a listener on the public network sees it.
pub(crate) fn seen_from(far: &Host, guest: &Guest, port: u16) -> Result<IpAddr> {
    let listener = far.within(|| Ok(TcpListener::bind((FAR[0], port))?))?;
    let mut stream = guest.connects(&format!("{}:{port}", FAR[0]))?.context("no connection")?;
    let (mut accepted, from) = listener.accept()?;
    accepted.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    Ok(from.ip())
}

#[test]
fn a_machine_reaches_the_public_network_through_its_home() -> Result<()> {
    inside("outside::a_machine_reaches_the_public_network_through_its_home", |scene| {
        let world = World::new(&scene)?;
        let all = World::wanted()?;
        let guests = world.populate(&all)?;
        for (number, guest) in guests.iter().enumerate() {
            for far in FAR {
                assert!(guest.reaches(far.parse::<IpAddr>()?)?, "guest {number} to {far}");
            }
            // Wherever it runs, its home answers for it.
            assert_eq!(seen_from(&world.far, guest, 8000)?, NEAR.parse::<IpAddr>()?);
            // Its own network is still next to it, and so is what serves it.
            for near in ["10.0.0.11", "10.0.0.13", "10.0.0.1"] {
                assert!(guest.reaches(near.parse::<IpAddr>()?)?, "guest {number} to {near}");
            }
        }
        assert_eq!(world.converge(&all)?, [Change::Nothing; 3]);
        // It goes, and nothing of it stays.
        let mut closed = all;
        for wanted in &mut closed {
            wanted.lans[0].exit = None;
        }
        assert_eq!(world.converge(&closed)?, [Change::Made; 3]);
        assert_eq!(world.converge(&closed)?, [Change::Nothing; 3]);
        let links = world.gateway.run("ip -br link")?;
        assert!(!links.contains("rse") && !links.contains("rso"), "{links}");
        for guest in &guests {
            assert!(!guest.reaches(FAR[0].parse::<IpAddr>()?)?);
        }
        Ok(())
    })
}

#[test]
fn ipv6_goes_out_and_no_other_interface_of_the_host_forwards_it() -> Result<()> {
    inside("outside::ipv6_goes_out_and_no_other_interface_of_the_host_forwards_it", |scene| {
        let world = World::new(&scene)?;
        let all = World::wanted()?;
        let guests = world.populate(&all)?;
        let keeps = || -> Result<bool> {
            let state = world.gateway.state(&all[0])?;
            Ok(state.lans[0].exit.as_ref().context("the exit")?.keeps_ipv6)
        };
        for guest in &guests {
            assert!(guest.reaches(FAR[1].parse::<IpAddr>()?)?);
        }
        assert!(!keeps()?);
        // The host as a whole is no router, and neither are its other interfaces.
        for setting in [
            "all/forwarding",
            "all/force_forwarding",
            "default/force_forwarding",
            "eth0/force_forwarding",
            "wg0/force_forwarding",
        ] {
            let told = world.gateway.run(&format!("cat /proc/sys/net/ipv6/conf/{setting}"))?;
            assert_eq!(told.trim(), "0", "{setting}");
        }
        // Without it nothing goes out, and the host says so; what an administrator has forwarded
        // for all interfaces is enough.
        world.gateway.run("busybox sysctl -w net.ipv6.conf.wan.force_forwarding=0")?;
        assert!(keeps()?);
        world.gateway.run("busybox sysctl -w net.ipv6.conf.all.forwarding=1")?;
        assert!(!keeps()?);
        assert!(guests[0].reaches(FAR[1].parse::<IpAddr>()?)?);
        Ok(())
    })
}

#[test]
fn segments_fit_a_path_that_carries_less_than_it_says() -> Result<()> {
    inside("outside::segments_fit_a_path_that_carries_less_than_it_says", |scene| {
        let world = World::new(&scene)?;
        let guests = world.populate(&World::wanted()?)?;
        // Whoever sends more loses it, and is not told.
        world.gateway.run("ip link set wan mtu 1300")?;
        let listener = world.far.within(|| Ok(TcpListener::bind((FAR[0], 8000))?))?;
        let mut stream = guests[1].connects("203.0.113.9:8000")?.context("no connection")?;
        let (mut accepted, _) = listener.accept()?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
        let bytes = vec![7; 1 << 20];
        let arrived = std::thread::scope(|scope| -> Result<Vec<u8>> {
            let sent = scope.spawn(|| accepted.write_all(&bytes));
            let mut arrived = vec![0; bytes.len()];
            stream.read_exact(&mut arrived)?;
            sent.join().ok().context("the sender panicked")??;
            Ok(arrived)
        })?;
        assert!(arrived == bytes);
        Ok(())
    })
}

#[test]
fn equal_addresses_and_ports_go_out_as_two() -> Result<()> {
    inside("outside::equal_addresses_and_ports_go_out_as_two", |scene| {
        let world = World::new(&scene)?;
        let (mut red, mut blue) = (open(1, vec![Card(1).here()]), open(2, vec![Card(101).here()]));
        (red.exit, blue.exit) = (Some(Exit::Here), Some(Exit::Here));
        let mut both = wanted(&[&red, &blue]);
        both.outside = outside()?;
        world.gateway.converge(&both)?;
        let guests = [world.gateway.plug(&red, &Card(1))?, world.gateway.plug(&blue, &Card(101))?];
        world.gateway.converge(&both)?;
        let far = world.far.within(|| Ok(UdpSocket::bind("203.0.113.9:7000")?))?;
        let mut ends = Vec::new();
        for (number, guest) in (0_u8..).zip(&guests) {
            leads_everywhere(guest)?;
            let socket = guest.udp("10.0.0.11:5000")?;
            socket.connect("203.0.113.9:7000")?;
            socket.send(&[number])?;
            let mut byte = [9];
            let (_, from) = far.recv_from(&mut byte)?;
            assert_eq!(byte, [number]);
            ends.push((socket, from));
        }
        assert_ne!(ends[0].1, ends[1].1);
        for (number, (socket, from)) in (0_u8..).zip(&ends) {
            far.send_to(&[number + 10], from)?;
            let mut byte = [9];
            socket.recv(&mut byte)?;
            assert_eq!(byte, [number + 10]);
        }
        Ok(())
    })
}

#[test]
fn the_host_and_private_addresses_are_closed_to_machines() -> Result<()> {
    inside("outside::the_host_and_private_addresses_are_closed_to_machines", |scene| {
        let world = World::new(&scene)?;
        let all = World::wanted()?;
        let guests = world.populate(&all)?;
        for address in ["10.9.9.9/24", "100.64.0.9/24", "169.254.9.9/16", "203.0.113.200/24"] {
            world.far.run(&format!("ip addr add {address} dev eth0"))?;
        }
        world.far.run("ip addr add fd98::9/64 dev eth0 nodad")?;
        world.gateway.run("ip addr add 10.9.9.1/24 dev wan")?;
        world.gateway.run("ip addr add fd98::1/64 dev wan nodad")?;
        world.gateway.run("ip route add default via 203.0.113.9")?;
        let closed = || world.gateway.drops(&all[0], Cause::ClosedDestination);
        // The host, by each of its addresses; its neighbour; and what is private beyond it.
        let addresses = [
            "203.0.113.1",
            "192.0.2.1",
            "10.9.9.1",
            "192.0.2.2",
            "10.9.9.9",
            "100.64.0.9",
            "169.254.9.9",
            "203.0.113.200",
            "fd98::9",
            "2001:db8::1",
            "fd99::2",
        ];
        for (address, guest) in addresses.iter().zip(guests.iter().cycle()) {
            let before = closed()?;
            let (reached, _) = guest.run(&format!("busybox ping -c 1 -W 1 {address}"))?;
            assert!(!reached, "{address}");
            assert!(closed()? > before, "{address}");
        }
        // Whom the host's neighbours believe, nobody speaks as.
        let before = closed()?;
        let heard = world.far.within(|| Ok(UdpSocket::bind("203.0.113.9:8472")?))?;
        let says = |port: u16| -> Result<()> {
            let socket = guests[2].udp("0.0.0.0:0")?;
            socket.send_to(b"vxlan", (FAR[0], port))?;
            Ok(())
        };
        says(8472)?;
        wait_for("the refusal", || Ok((closed()? > before).then_some(())))?;
        heard.set_nonblocking(true)?;
        assert!(heard.recv(&mut [0; 8]).is_err());
        Ok(())
    })
}

#[test]
fn nobody_comes_in_who_was_not_asked() -> Result<()> {
    inside("outside::nobody_comes_in_who_was_not_asked", |scene| {
        let world = World::new(&scene)?;
        let all = World::wanted()?;
        let _guests = world.populate(&all)?;
        let unasked = || world.gateway.drops(&all[0], Cause::Unasked);
        world.far.run("ip route add 198.18.0.0/15 via 203.0.113.1")?;
        world.far.run("ip route add 10.0.0.0/24 via 203.0.113.1")?;
        world.far.run("ip route add 192.0.2.0/24 via 203.0.113.1")?;
        world.other.run("ip route add 203.0.113.0/24 via 192.0.2.1")?;
        let routes = world.gateway.run("ip -o route show")?;
        let shared = routes
            .lines()
            .filter_map(|line| line.split(' ').next())
            .find(|it| it.starts_with("198.18."))
            .context("the address that the network's machines share")?;
        // Neither the shared address, nor a machine, nor, through the gateway, the site's host.
        for address in [shared, "192.0.2.2"] {
            let before = unasked()?;
            let line = format!("busybox ping -c 1 -W 1 {address}");
            assert!(world.far.run(&line).is_err(), "{address}");
            assert!(unasked()? > before, "{address}");
        }
        assert!(world.far.run("busybox ping -c 1 -W 1 10.0.0.11").is_err());
        Ok(())
    })
}

#[test]
fn connections_outlive_the_node_and_whatever_is_put_right() -> Result<()> {
    inside("outside::connections_outlive_the_node_and_whatever_is_put_right", |scene| {
        let mut world = World::new(&scene)?;
        let all = World::wanted()?;
        let [_first, _second, third] = world.populate(&all)?;
        let listener = world.far.within(|| Ok(TcpListener::bind((FAR[0], 8000))?))?;
        let mut stream = third.connects("203.0.113.9:8000")?.context("no connection")?;
        let (mut accepted, _) = listener.accept()?;
        accepted.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
        let mut is_alive = || -> Result<()> {
            stream.write_all(b"x")?;
            accepted.read_exact(&mut [0])?;
            accepted.write_all(b"y")?;
            stream.read_exact(&mut [0])?;
            Ok(())
        };
        // How everything was is not known to another node, which puts it in place once more.
        world.gateway.forgets();
        world.gateway.converge(&all[0])?;
        assert_eq!(world.gateway.converge(&all[0])?, Change::Nothing);
        is_alive()?;
        let own = bridge(all[0].lans[0].identity);
        let named = |letters: &str| own.replacen("rsb", letters, 1);
        let (door, port, place) = (named("rso"), named("rse"), named("rsm"));
        let within = format!("nsenter --net=/run/reservoir/g/{place}");
        for harm in [
            format!("ip neigh flush dev {door} nud permanent"),
            format!("ip route flush dev {door}"),
            format!("bridge link set dev {port} learning on"),
            format!("busybox sysctl -w net.ipv4.conf.{door}.forwarding=0"),
            "busybox sysctl -w net.ipv4.conf.wan.forwarding=0".to_owned(),
            "busybox sysctl -w net.ipv6.conf.wan.force_forwarding=0".to_owned(),
            format!("busybox sysctl -w net.ipv6.conf.{door}.force_forwarding=0"),
            "nft flush table inet reservoir-limits".to_owned(),
            "nft delete table inet reservoir".to_owned(),
            format!("{within} ip route del default"),
            format!("{within} ip neigh flush all nud permanent"),
            format!("ip link del {door}"),
            format!("ip link del {port}"),
        ] {
            world.gateway.run(&harm)?;
            assert_eq!(world.gateway.converge(&all[0])?, Change::Made, "{harm}");
            assert_eq!(world.gateway.converge(&all[0])?, Change::Nothing, "{harm}");
            is_alive().context(harm)?;
        }
        Ok(())
    })
}
