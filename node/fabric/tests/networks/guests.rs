//! What a guest may say, who may begin what with it, and how fast.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::num::NonZeroU32;

use anyhow::{Context as _, Result, ensure};
use fabric::Change;
use fabric::networks::{At, Cause, Group, GroupId, Lan, Peer, Ports, Rule, Traffic, Wanted};

use crate::scene::{Card, Guest, Host, Scene, inside, lan, wait_for, wanted};

/// A host with one network and these cards plugged into it.
fn plugged(scene: &Scene, network: &Lan, cards: &[u8]) -> Result<(Host, Vec<Guest>, Wanted)> {
    let host = scene.host("h")?;
    let all = wanted(&[network]);
    host.converge(&all)?;
    let guests: Result<Vec<Guest>> =
        cards.iter().map(|number| host.plug(network, &Card(*number))).collect();
    host.converge(&all)?;
    Ok((host, guests?, all))
}

#[test]
fn a_guest_cannot_pose_as_another() -> Result<()> {
    inside("guests::a_guest_cannot_pose_as_another", |scene| {
        let red = lan(1, vec![Card(1).here(), Card(2).here()]);
        let (host, guests, all) = plugged(&scene, &red, &[1, 2])?;
        let [liar, victim] = &guests[..] else { unreachable!("two guests") };
        assert!(liar.reaches([10, 0, 0, 12])?);
        let heard = victim.udp("[::]:9999")?;
        let counted = |cause, lie: &mut dyn FnMut() -> Result<()>| -> Result<()> {
            let before = host.drops(&all, cause)?;
            lie()?;
            wait_for(cause.name(), || Ok((host.drops(&all, cause)? > before).then_some(())))
        };
        let says = |from: &str, to: &str, text: &[u8]| -> Result<()> {
            liar.within(|| {
                let socket = UdpSocket::bind(from)?;
                socket.set_broadcast(true)?;
                socket.send_to(text, to)?;
                Ok(())
            })
        };
        liar.ip("addr add 10.0.0.99/24 dev eth0")?;
        liar.ip("addr add fd00:1::99/64 dev eth0 nodad")?;
        counted(Cause::ForeignAddress, &mut || says("10.0.0.99:9", "10.0.0.12:9999", b"lie"))?;
        counted(Cause::ForeignAddress, &mut || {
            says("[fd00:1::99]:9", "[fd00:1::12]:9999", b"lie")
        })?;
        counted(Cause::ForeignAddress, &mut || {
            liar.run("busybox arping -U -c 1 -w 1 -I eth0 -s 10.0.0.1 10.0.0.1")?;
            Ok(())
        })?;
        // It answers nobody from a DHCP server's port.
        counted(Cause::Dhcp, &mut || says("10.0.0.11:67", "10.0.0.12:9999", b"offer"))?;
        counted(Cause::Dhcp, &mut || says("[fd00:1::11]:547", "[fd00:1::12]:9999", b"reply"))?;
        // It is no router either.
        let dnsmasq = "dnsmasq --conf-file=/dev/null --pid-file= --port=0 --interface=eth0 \
                       --enable-ra --dhcp-range=fd00:1::,ra-only --ra-param=eth0,4,600";
        counted(Cause::Router, &mut || {
            let (began, said) = liar.run(dnsmasq)?;
            ensure!(began, "dnsmasq does not start: {said}");
            Ok(())
        })?;
        liar.ip("link set eth0 address 52:00:00:00:00:99")?;
        counted(Cause::ForeignMac, &mut || {
            liar.ip("neigh replace 10.0.0.12 lladdr 52:00:00:00:00:98 dev eth0")?;
            says("10.0.0.11:9", "10.0.0.12:9999", b"lie")
        })?;
        liar.ip(&format!("link set eth0 address {}", Card(1).mac()))?;
        liar.ip("neigh flush all")?;

        // A tap that is not in the table says nothing at all.
        let stranger = host.plug(&red, &Card(5))?;
        counted(Cause::UnknownPort, &mut || stranger.reaches([10, 0, 0, 12]).map(drop))?;

        liar.ip("addr del 10.0.0.99/24 dev eth0")?;
        says("10.0.0.11:9", "10.0.0.12:9999", b"truth")?;
        let mut text = [0; 16];
        let (length, _) = heard.recv_from(&mut text)?;
        assert_eq!(&text[..length], b"truth");
        Ok(())
    })
}

/// Takes one connection and answers what it is told, until that ends.
fn echo(guest: &Guest, address: &str) -> Result<()> {
    let listener = guest.listens(address)?;
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(())
}

/// Whether something said over a connection comes back.
fn is_alive(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(&[7]).is_ok() && matches!(stream.read(&mut byte), Ok(1)) && byte == [7]
}

#[test]
fn groups_say_who_may_begin_what_and_change_at_once() -> Result<()> {
    inside("guests::groups_say_who_may_begin_what_and_change_at_once", |scene| {
        let any = Peer::Prefix("0.0.0.0/0".parse()?);
        let tcp = |first, last| Traffic::Tcp(Ports { first, last });
        let group = |id, ingress: Vec<Rule>| {
            let everything = ["0.0.0.0/0", "::/0"].map(|net| net.parse().map(Peer::Prefix));
            let everything = everything.into_iter().flatten();
            let egress = everything.map(|peer| Rule { traffic: Traffic::Any, peer }).collect();
            Group { id: GroupId(id), ingress, egress }
        };
        // Cards 1 and 4 are web servers, card 2 is a client, card 3 is in no group.
        let mut red = lan(1, [1, 2, 3, 4].map(|number| Card(number).here()).to_vec());
        red.members[1].groups = vec![GroupId(2)];
        red.members[2].groups = vec![];
        let rule = |traffic, peer| Rule { traffic, peer };
        red.groups = vec![
            group(1, vec![rule(tcp(80, 81), any), rule(Traffic::Icmp, Peer::Group(GroupId(2)))]),
            group(2, vec![]),
        ];
        let (host, guests, all) = plugged(&scene, &red, &[1, 2, 3, 4])?;
        let [web, client, outcast, peer] = &guests[..] else { unreachable!("four guests") };
        for port in [80, 81, 82] {
            echo(web, &format!("[::]:{port}"))?;
        }
        echo(client, "[::]:80")?;

        let mut kept = client.connects("10.0.0.11:80")?.context("port 80 is open")?;
        let mut lost = client.connects("10.0.0.11:81")?.context("port 81 is open")?;
        assert!(is_alive(&mut kept) && is_alive(&mut lost));
        assert!(client.reaches([10, 0, 0, 11])?, "an echo is allowed");
        assert!(client.connects("10.0.0.11:82")?.is_none(), "port 82 is closed");
        assert!(client.connects("[fd00:1::11]:80")?.is_none(), "the rule is about IPv4");
        assert!(peer.connects("[fd00:1::11]:82")?.is_some(), "a group is open to its own");
        assert!(web.connects("10.0.0.12:80")?.is_none(), "the client's group is closed");
        assert!(outcast.connects("10.0.0.11:80")?.is_none(), "no group, no traffic");
        assert!(!web.reaches([10, 0, 0, 13])?, "no group, no traffic");
        assert!(outcast.asks_dhcp()?.is_some(), "the services are for all");
        assert!(outcast.resolves("c1", "A")?.contains("10.0.0.11"));

        // What is said to all, the own group hears.
        let heard = peer.udp("0.0.0.0:7777")?;
        let before = host.drops(&all, Cause::Group)?;
        web.within(|| {
            let socket = UdpSocket::bind("10.0.0.11:0")?;
            socket.set_broadcast(true)?;
            Ok(socket.send_to(b"all", "10.0.0.255:7777")?)
        })?;
        let mut text = [0; 8];
        assert_eq!(heard.recv(&mut text)?, 3);
        wait_for("the client's and the outcast's tap", || {
            Ok((host.drops(&all, Cause::Group)? >= before + 2).then_some(()))
        })?;

        // Port 81 closes and 82 opens: at once, and what stays allowed goes on.
        let mut changed = all;
        changed.lans[0].groups[0].ingress = vec![rule(tcp(80, 80), any), rule(tcp(82, 82), any)];
        assert_eq!(host.converge(&changed)?, Change::Made);
        assert!(is_alive(&mut kept), "what stays allowed goes on");
        assert!(!is_alive(&mut lost), "what is no longer allowed is cut");
        assert!(client.connects("10.0.0.11:82")?.is_some());
        assert!(client.connects("10.0.0.11:81")?.is_none());
        assert!(host.drops(&changed, Cause::Group)? > 0);
        assert_eq!(host.converge(&changed)?, Change::Nothing);
        kept.shutdown(Shutdown::Both)?;
        Ok(())
    })
}

#[test]
fn a_group_that_comes_leaves_the_connections_of_others_alone() -> Result<()> {
    inside("guests::a_group_that_comes_leaves_the_connections_of_others_alone", |scene| {
        let rule = |peer| {
            let traffic = Traffic::Tcp(Ports { first: 80, last: 80 });
            Rule { traffic, peer }
        };
        // Of the web server's group and the client's, with the first of their numbers.
        let network = |first: u32| {
            let (web, clients) = (GroupId(first), GroupId(first + 1));
            let mut red = lan(1, [1, 2].map(|number| Card(number).here()).to_vec());
            (red.members[0].groups, red.members[1].groups) = (vec![web], vec![clients]);
            let ingress = vec![rule(Peer::Group(clients))];
            let egress = vec![rule(Peer::Group(web))];
            red.groups = vec![
                Group { id: web, ingress, egress: vec![] },
                Group { id: clients, ingress: vec![], egress },
            ];
            red
        };
        let (host, guests, _) = plugged(&scene, &network(1), &[1, 2])?;
        let [web, client] = &guests[..] else { unreachable!("two guests") };
        echo(web, "[::]:80")?;
        let mut stream = client.connects("10.0.0.11:80")?.context("port 80 is open")?;
        assert!(is_alive(&mut stream));
        // One whose name sorts first takes the first number, which was the web server's.
        let mut more = network(2);
        more.groups.insert(0, Group { id: GroupId(1), ingress: vec![], egress: vec![] });
        assert_eq!(host.converge(&wanted(&[&more]))?, Change::Made);
        assert!(is_alive(&mut stream));
        assert!(client.connects("10.0.0.11:80")?.is_some());
        assert_eq!(host.drops(&wanted(&[&more]), Cause::NoConnection)?, 0);
        assert_eq!(host.drops(&wanted(&[&more]), Cause::Group)?, 0);
        Ok(())
    })
}

#[test]
fn equal_addresses_and_ports_of_two_networks_are_two_connections() -> Result<()> {
    inside("guests::equal_addresses_and_ports_of_two_networks_are_two_connections", |scene| {
        let red = lan(1, vec![Card(1).here(), Card(2).here()]);
        let blue = lan(2, vec![Card(101).here(), Card(102).here()]);
        let host = scene.host("h")?;
        let both = wanted(&[&red, &blue]);
        host.converge(&both)?;
        let mut ends = Vec::new();
        for (network, server, client) in [(&red, 1, 2), (&blue, 101, 102)] {
            let (server, client) =
                (host.plug(network, &Card(server))?, host.plug(network, &Card(client))?);
            ends.push((server, client));
        }
        host.converge(&both)?;
        // The same five numbers in both: protocol, addresses, ports.
        let mut pairs = Vec::new();
        for (server, client) in &ends {
            let server = server.udp("10.0.0.11:5000")?;
            let client = client.udp("10.0.0.12:5000")?;
            client.connect("10.0.0.11:5000")?;
            pairs.push((server, client));
        }
        for (number, (server, client)) in (0_u8..).zip(&pairs) {
            client.send(&[number])?;
            let mut byte = [9];
            let (_, from) = server.recv_from(&mut byte)?;
            assert_eq!(byte, [number]);
            server.send_to(&[number + 10], from)?;
            client.recv(&mut byte)?;
            assert_eq!(byte, [number + 10]);
        }
        let known = host.run("cat /proc/net/nf_conntrack")?;
        let tracked = known.lines().filter(|line| line.contains("sport=5000 dport=5000")).count();
        assert_eq!(tracked, 2, "{known}");
        Ok(())
    })
}

#[test]
fn a_guest_is_held_to_its_speed_in_both_directions() -> Result<()> {
    inside("guests::a_guest_is_held_to_its_speed_in_both_directions", |scene| {
        let mut red = lan(1, vec![Card(1).here(), Card(2).here()]);
        let slow = NonZeroU32::new(100_000);
        red.members[0].at = At::Here { tap: Card(1).tap(), from_guest: slow, to_guest: slow };
        let (host, guests, all) = plugged(&scene, &red, &[1, 2])?;
        assert_eq!(host.converge(&all)?, Change::Nothing);
        let flood = |guest: &Guest, to: &str| -> Result<()> {
            guest.within(|| {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                // Far more than what may come at once.
                for _ in 0..1000 {
                    socket.send_to(&[0; 1000], to)?;
                }
                Ok(())
            })
        };
        flood(&guests[0], "10.0.0.12:9")?;
        assert!(host.drops(&all, Cause::Speed)? > 0);
        let dropped = || -> Result<u64> {
            let told = host.run(&format!("tc -s qdisc show dev {}", Card(1).tap()))?;
            ensure!(told.contains("tbf") && told.contains("rate 800Kbit"), "{told}");
            let number = told.split("dropped ").nth(1).and_then(|it| it.split(',').next());
            Ok(number.context("a number of drops")?.parse()?)
        };
        flood(&guests[1], "10.0.0.11:9")?;
        assert!(dropped()? > 0);

        // Another speed, and none.
        let mut other = all;
        other.lans[0].members[0].at =
            At::Here { tap: Card(1).tap(), from_guest: None, to_guest: NonZeroU32::new(200_000) };
        assert_eq!(host.converge(&other)?, Change::Made);
        assert_eq!(host.converge(&other)?, Change::Nothing);
        other.lans[0].members[0] = Card(1).here();
        other.lans[0].speed = slow;
        assert_eq!(host.converge(&other)?, Change::Made);
        let told = host.run(&format!("tc qdisc show dev {}", Card(1).tap()))?;
        assert!(!told.contains("tbf"), "{told}");
        // The whole network has a speed too.
        let before = host.drops(&other, Cause::Speed)?;
        flood(&guests[1], "10.0.0.11:9")?;
        assert!(host.drops(&other, Cause::Speed)? > before);
        Ok(())
    })
}

#[test]
fn what_is_there_can_be_seen() -> Result<()> {
    inside("guests::what_is_there_can_be_seen", |scene| {
        let red = lan(1, vec![Card(1).here(), Card(2).here()]);
        let (host, guests, all) = plugged(&scene, &red, &[1, 2])?;
        assert!(guests[0].reaches([10, 0, 0, 12])?);
        let state = host.state(&all)?;
        let seen = &state.lans[0];
        assert_eq!((seen.identity, seen.members), (red.identity, 2));
        assert_eq!(seen.room_between_sites, None);
        let tap = seen.devices.iter().find(|it| it.name == Card(1).tap().as_str());
        let tap = tap.context("the tap")?;
        assert!(tap.is_up && tap.received > 0 && tap.sent > 0, "{tap:?}");
        assert!(seen.devices.iter().any(|it| it.name.starts_with("rsb") && it.mtu == 1400));
        Ok(())
    })
}
