//! A guest that says too much: what it gets, and that nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use fabric::Change;
use fabric::networks::{Cause, Exit, Lan, Wanted};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, sendto, socket};

use crate::liars::{frame, udp};
use crate::one_host::servers;
use crate::outside::{World, leads_everywhere, open, outside};
use crate::scene::{Card, Guest, Host, Scene, inside, lan, run, wait_for, wanted};

/// How many connections a card may have begun.
const CARD_MAX: usize = 8192;

/// A host with two networks of two guests each.
fn two_networks(scene: &Scene) -> Result<(Host, [Guest; 4], Wanted)> {
    let red = lan(1, vec![Card(1).here(), Card(2).here()]);
    let blue = lan(2, vec![Card(101).here(), Card(102).here()]);
    let (host, all) = (scene.host("h")?, wanted(&[&red, &blue]));
    host.converge(&all)?;
    let plug = |network: &Lan, number| host.plug(network, &Card(number));
    let guests = [plug(&red, 1)?, plug(&red, 2)?, plug(&blue, 101)?, plug(&blue, 102)?];
    host.converge(&all)?;
    Ok((host, guests, all))
}

/// Sends one datagram to each of so many ports, from two of its own in turn.
fn sprays(guest: &Guest, to: Ipv4Addr, from: u16, count: u16) -> Result<()> {
    guest.within(|| {
        for half in 0..2 {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, from + half))?;
            for port in 1..=count {
                // What the host refuses is refused without a word.
                socket.send_to(b"flood", (to, port))?;
            }
        }
        Ok(())
    })
}

/// How many connections the host knows.
fn known(host: &Host) -> Result<usize> {
    Ok(host.run("cat /proc/sys/net/netfilter/nf_conntrack_count")?.trim().parse()?)
}

#[test]
fn a_guest_that_floods_has_no_more_connections_than_it_may() -> Result<()> {
    inside("floods::a_guest_that_floods_has_no_more_connections_than_it_may", |scene| {
        let (host, [flooder, peer, third, fourth], all) = two_networks(&scene)?;
        let listener = peer.listens("[::]:8000")?;
        let mut stream = flooder.connects("10.0.0.12:8000")?.context("port 8000 is open")?;
        let (mut accepted, _) = listener.accept()?;
        let mut is_alive = || -> Result<()> {
            stream.write_all(b"x")?;
            accepted.read_exact(&mut [0])?;
            Ok(())
        };
        is_alive()?;
        let refused = || host.drops(&all, Cause::Connections);
        // More at once than it may begin in a second.
        sprays(&flooder, [10, 0, 0, 12].into(), 20_000, 10_000)?;
        assert!(refused()? > 0);
        let hasty = known(&host)?;
        assert!(hasty < CARD_MAX, "{hasty} connections at once");
        // And, with time, more than it may have. The peer answers none of its connections, so that
        // they stay for half a minute: what fills them up is faster.
        let mut from = 21_000;
        wait_for("as many as it may have", || {
            sprays(&flooder, [10, 0, 0, 12].into(), from, 10_000)?;
            from += 2;
            let now = known(&host)?;
            ensure!(now <= CARD_MAX + 100, "{now} connections");
            Ok((now >= CARD_MAX).then_some(()))
        })?;
        is_alive().context("what it has goes on")?;
        let before = refused()?;
        assert!(flooder.connects("10.0.0.12:8000")?.is_none(), "it begins no more");
        assert!(refused()? > before);
        // A change of the rules gives it no more.
        let mut other = all.clone();
        other.lans[1].groups[0].ingress = open(2, vec![]).groups[0].egress.clone();
        assert_eq!(host.converge(&other)?, Change::Made);
        sprays(&flooder, [10, 0, 0, 12].into(), from, 10_000)?;
        let now = known(&host)?;
        assert!(now <= CARD_MAX + 100, "{now} connections");
        // Nobody else notices, in its own network or in another.
        assert!(peer.reaches([10, 0, 0, 1])? && peer.resolves("c1", "A")?.contains("10.0.0.11"));
        let _listener = third.listens("[::]:8000")?;
        assert!(fourth.connects("10.0.0.11:8000")?.is_some());
        assert!(fourth.connects("[fd00:1::11]:8000")?.is_some());
        Ok(())
    })
}

#[test]
fn what_goes_one_way_for_long_is_one_connection() -> Result<()> {
    inside("floods::what_goes_one_way_for_long_is_one_connection", |scene| {
        let (host, [speaker, listener, ..], all) = two_networks(&scene)?;
        let heard = listener.udp("10.0.0.12:9000")?;
        speaker.within(|| {
            let socket = UdpSocket::bind("10.0.0.11:0")?;
            for _ in 0..20_000 {
                socket.send_to(b"and so on", "10.0.0.12:9000")?;
            }
            Ok(())
        })?;
        assert_eq!(heard.recv(&mut [0; 16])?, 9);
        assert_eq!(host.drops(&all, Cause::Connections)?, 0);
        Ok(())
    })
}

#[test]
fn a_network_that_floods_the_public_network_leaves_room_for_others() -> Result<()> {
    inside("floods::a_network_that_floods_the_public_network_leaves_room_for_others", |scene| {
        let world = World::new(&scene)?;
        let (mut red, mut blue) = (open(1, vec![Card(1).here()]), open(2, vec![Card(101).here()]));
        (red.exit, blue.exit) = (Some(Exit::Here), Some(Exit::Here));
        let mut both = wanted(&[&red, &blue]);
        both.outside = outside()?;
        let host = &world.gateway;
        host.converge(&both)?;
        let (flooder, other) = (host.plug(&red, &Card(1))?, host.plug(&blue, &Card(101))?);
        host.converge(&both)?;
        leads_everywhere(&flooder)?;
        leads_everywhere(&other)?;
        sprays(&flooder, [203, 0, 113, 9].into(), 20_000, 10_000)?;
        assert!(host.drops(&both, Cause::Connections)? > 0);
        // Those of the card, and those of its exit.
        let now = known(host)?;
        assert!(now < 2 * CARD_MAX, "{now} connections");
        assert!(other.reaches("203.0.113.9".parse::<IpAddr>()?)?);
        Ok(())
    })
}

/// Says frames so many times, as they are.
fn says(guest: &Guest, frames: &[Vec<u8>], times: usize) -> Result<()> {
    guest.within(|| {
        let is_card = |it: nix::ifaddrs::InterfaceAddress| {
            (it.interface_name == "eth0").then_some(())?;
            it.address?.as_link_addr().copied()
        };
        let card = getifaddrs()?.find_map(is_card).context("a card")?;
        let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        for frame in frames.iter().cycle().take(times * frames.len()) {
            sendto(raw.as_raw_fd(), frame, &card, MsgFlags::empty())?;
        }
        Ok(())
    })
}

/// A question for an address (RFC 2131) by a card, with these options.
fn discover(card: Card, options: &[u8]) -> Vec<u8> {
    let mac = *card.mac().as_bytes();
    let mut text = vec![1, 1, 6, 0, 7, 7, 7, 7];
    text.resize(28, 0);
    text.extend(mac);
    text.resize(236, 0);
    text.extend([99, 130, 83, 99]);
    text.extend(options);
    frame(mac, [0xff; 6], 0x800, &udp([0; 4], [0xff; 4], [68, 67], &text))
}

/// A question who has the gateway's address.
fn who_has(card: Card) -> Vec<u8> {
    let mac = *card.mac().as_bytes();
    let own = card.v4().expect("it has one").octets();
    let content = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &mac, &own, &[0; 6], &[10, 0, 0, 1]].concat();
    frame(mac, [0xff; 6], 0x806, &content)
}

#[test]
fn a_guest_that_floods_the_services_is_not_in_the_others_way() -> Result<()> {
    inside("floods::a_guest_that_floods_the_services_is_not_in_the_others_way", |scene| {
        let (host, [flooder, peer, third, _], all) = two_networks(&scene)?;
        let frames = [discover(Card(1), &[53, 1, 1, 255]), who_has(Card(1))];
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| -> Result<()> {
            let flood = scope.spawn(|| -> Result<()> {
                while !is_over.load(Ordering::Relaxed) {
                    says(&flooder, &frames, 1000)?;
                    flooder.within(|| {
                        let socket = UdpSocket::bind("10.0.0.11:0")?;
                        for _ in 0..1000 {
                            socket.send_to(b"not a question", "10.0.0.1:53")?;
                        }
                        Ok(())
                    })?;
                }
                Ok(())
            });
            let served = (|| -> Result<()> {
                for cause in [Cause::Flood, Cause::Flood] {
                    let before = host.drops(&all, cause)?;
                    wait_for("the flood", || {
                        Ok((host.drops(&all, cause)? > before + 1000).then_some(()))
                    })?;
                }
                for guest in [&peer, &third] {
                    assert!(guest.asks_dhcp()?.is_some());
                    assert!(guest.resolves("c1.service.internal", "A")?.contains("10.0.0.1"));
                    guest.ip("neigh flush all")?;
                    assert!(guest.reaches([10, 0, 0, 1])?);
                }
                Ok(())
            })();
            is_over.store(true, Ordering::Relaxed);
            flood.join().expect("a flood does not panic")?;
            served
        })
    })
}

/// Bytes that look like chance, and are the same each time.
fn noise(seed: u32, count: usize) -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let words = std::iter::successors(Some(seed), next);
    words.map(|word| word.to_be_bytes()[0]).take(count).collect()
}

#[test]
fn nonsense_gets_no_answer_and_ends_no_server() -> Result<()> {
    inside("floods::nonsense_gets_no_answer_and_ends_no_server", |scene| {
        let (host, [liar, peer, ..], all) = two_networks(&scene)?;
        let before = servers()?;
        let mac = *Card(1).mac().as_bytes();
        let asked =
            |text: &[u8]| frame(mac, [0xff; 6], 0x800, &udp([0; 4], [0xff; 4], [68, 67], text));
        // An option that is longer than what is there, one without an end, none at all; less than a
        // header, and more than a question ever has.
        let mut frames = vec![
            discover(Card(1), &[53, 200, 1]),
            discover(Card(1), &[53]),
            discover(Card(1), &[]),
            discover(Card(1), &[53, 0, 61, 255, 82, 255, 12, 0, 255]),
            asked(&[1, 1, 6]),
            asked(&[]),
        ];
        frames.extend((0..60).map(|seed| asked(&noise(seed, 20 * seed as usize))));
        frames.extend((0..60).map(|seed| discover(Card(1), &noise(seed, 4 * seed as usize))));
        says(&liar, &frames, 1)?;
        let socket = liar.udp("10.0.0.11:0")?;
        socket.set_read_timeout(Some(std::time::Duration::from_millis(1)))?;
        for seed in 0..200 {
            // A header that says one question, and names that point at themselves.
            let mut text = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c];
            if seed > 0 {
                text = noise(seed, 3 * seed as usize);
            }
            socket.send_to(&text, "10.0.0.1:53")?;
            liar.within(|| {
                let six = UdpSocket::bind("[::]:0")?;
                Ok(six.send_to(&noise(seed, 2 * seed as usize), "[fd00:1::1]:547")?)
            })?;
        }
        assert!(peer.asks_dhcp()?.is_some());
        assert!(peer.resolves("c1", "A")?.contains("10.0.0.11"));
        assert_eq!(servers()?, before);
        assert_eq!(host.converge(&all)?, Change::Nothing);

        // One that has ended all the same is there again with the next look.
        let pid = before[0].rsplit('/').next().context("an id")?;
        run("kill", &["-KILL", pid])?;
        wait_for("its end", || Ok((servers()?.len() < before.len()).then_some(())))?;
        assert_eq!(host.converge(&all)?, Change::Made);
        assert_eq!(servers()?.len(), before.len());
        assert!(peer.asks_dhcp()?.is_some());
        assert_eq!(host.converge(&all)?, Change::Nothing);
        Ok(())
    })
}
