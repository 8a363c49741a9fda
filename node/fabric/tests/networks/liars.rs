//! A peer inside the tunnel that lies: nothing of it arrives, and each lie is counted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fabric::networks::Cause;

use crate::many_hosts::{ALPHA, World};
use crate::scene::{Card, Host, inside, wait_for};

/// What a lying peer sends: VXLAN by hand, from its own side of the tunnel.
pub(crate) struct Liar {
    socket: UdpSocket,
    to: (IpAddr, u16),
}

impl Liar {
    pub(crate) fn at(host: &Host, from: &str, to: &str, port: u16) -> Result<Self> {
        let socket = host.within(|| Ok(UdpSocket::bind((from.parse::<IpAddr>()?, 0))?))?;
        Ok(Self { socket, to: (to.parse()?, port) })
    }

    pub(crate) fn says(&self, vni: u32, frame: &[u8]) -> Result<()> {
        let mut packet = vec![8, 0, 0, 0];
        packet.extend((vni << 8).to_be_bytes());
        packet.extend(frame);
        self.socket.send_to(&packet, self.to)?;
        Ok(())
    }
}

/// A frame from a card to another, with this type and content.
pub(crate) fn frame(from: [u8; 6], to: [u8; 6], kind: u16, content: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), content].concat()
}

/// UDP over IPv4 without a checksum, which IPv4 permits.
pub(crate) fn udp(from: [u8; 4], to: [u8; 4], ports: [u16; 2], text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + text.len()).expect("short");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    let words = packet.chunks(2).map(|it| u16::from_be_bytes([it[0], it[1]]));
    // The sum of RFC 1071: what is carried over is added again.
    let sum = words.fold(0_u16, |sum, word| {
        let (sum, carried) = sum.overflowing_add(word);
        sum + u16::from(carried)
    });
    packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    packet.extend(ports.into_iter().flat_map(u16::to_be_bytes));
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(text);
    packet
}

/// A frame that fits the header of its kind, by the card at beta to the one that is to hear it.
fn from_own(kind: u16, content: &[u8]) -> Vec<u8> {
    frame(mac(3), mac(1), kind, content)
}

/// The same, to everyone.
fn to_all(kind: u16, content: &[u8]) -> Vec<u8> {
    frame(mac(3), [0xff; 6], kind, content)
}

fn mac(card: u8) -> [u8; 6] {
    *Card(card).mac().as_bytes()
}

/// What a card says to the port that listens, from an address.
fn said(from: [u8; 6], address: u8, text: &[u8]) -> Vec<u8> {
    let packet = udp([10, 0, 0, address], [10, 0, 0, 11], [9, 9999], text);
    frame(from, mac(1), 0x800, &packet)
}

/// Asks (1) or tells (2) who has an address, and says that it is the card at beta.
fn arp(operation: u8, address: u8) -> Vec<u8> {
    let sender = [&mac(3)[..], &[10, 0, 0, address]].concat();
    let target = [&[0; 6][..], &[10, 0, 0, address]].concat();
    to_all(0x806, &[&[0, 1, 8, 0, 6, 4, 0, operation][..], &sender, &target].concat())
}

/// An IPv6 packet from an address. Who refuses it does so before anyone looks at a checksum.
fn six(from: [u8; 16], protocol: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    let head = [0x60, 0, 0, 0, 0, length, protocol, 255];
    from_own(0x86dd, &[&head[..], &from, &address6(11), content].concat())
}

fn address6(host: u16) -> [u8; 16] {
    let host = u16::from_str_radix(&host.to_string(), 16).expect("digits");
    Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, host).octets()
}

/// UDP behind an IPv6 header.
fn udp6(ports: [u16; 2]) -> Vec<u8> {
    let ports = ports.into_iter().flat_map(u16::to_be_bytes);
    ports.chain([0, 12, 0, 0]).chain(*b"lies").collect()
}

/// A message of neighbour discovery (RFC 4861) about the gateway's address.
fn about_gateway(kind: u8) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0xa0, 0, 0, 0][..], &address6(1), &address6(11)].concat()
}

/// Everything that a site must not say, with what it is refused for.
fn lies() -> Vec<(Cause, u32, Vec<u8>)> {
    let own = mac(3);
    let here = u32::from(ALPHA);
    let truth = said(own, 13, b"tagged");
    let tagged = |kind| from_own(kind, &[&[0, 7][..], &truth[12..]].concat());
    let offer = udp([10, 0, 0, 13], [255; 4], [67, 68], b"offer");
    let lies = [
        (Cause::MisplacedMac, said(mac(2), 12, b"alpha's own card")),
        (Cause::MisplacedMac, said([2, 0, 0, 0, 0, 9], 13, b"nobody's card")),
        // In fragments, of which only the first says which card it is from.
        (Cause::MisplacedMac, said(mac(2), 12, &[7; 3000])),
        (Cause::ForeignAddress, said(own, 12, b"another's address")),
        (Cause::ForeignAddress, said(own, 1, b"the gateway's address")),
        (Cause::ForeignAddress, six(address6(12), 17, &udp6([9, 9999]))),
        (Cause::ForeignAddress, six(address6(1), 17, &udp6([9, 9999]))),
        (Cause::ForeignAddress, six(link_local(mac(1)), 17, &udp6([9, 9999]))),
        // That it is the gateway, or the card that is to hear it, asked and told.
        (Cause::Neighbour, arp(1, 1)),
        (Cause::Neighbour, arp(2, 1)),
        (Cause::Neighbour, arp(1, 11)),
        (Cause::Neighbour, six(link_local(own), 58, &about_gateway(136))),
        // That it is a router, and that the gateway is elsewhere.
        (Cause::Router, six(link_local(own), 58, &[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0])),
        (Cause::Router, six(link_local(own), 58, &about_gateway(137))),
        (Cause::Dhcp, to_all(0x800, &offer)),
        (Cause::Dhcp, six(link_local(own), 17, &udp6([547, 546]))),
        (Cause::OtherProtocol, from_own(0x88cc, b"lldp, and more of it")),
        (Cause::OtherProtocol, from_own(0x8864, b"ppp, and more of it")),
        // The truth, in one kind of tag and in another.
        (Cause::OtherProtocol, tagged(0x8100)),
        (Cause::OtherProtocol, tagged(0x88a8)),
    ];
    let other = (Cause::ForeignVni, here + 1, said(own, 13, b"another network"));
    lies.into_iter().map(|(cause, lie)| (cause, here, lie)).chain([other]).collect()
}

#[test]
fn a_lying_peer_gets_nothing_through() -> Result<()> {
    inside("liars::a_lying_peer_gets_nothing_through", |scene| {
        let world = World::new(&scene)?;
        let ([first, ..], made) = world.populate()?;
        let wanted = &made[0].1;
        let heard = first.udp("[::]:9999")?;
        let liar = Liar::at(&world.beta, "fd99::2", "fd99::1", 4789)?;
        let (own, vni) = (mac(3), u32::from(ALPHA));
        for (number, (cause, vni, lie)) in lies().into_iter().enumerate() {
            let before = world.gateway.drops(wanted, cause)?;
            liar.says(vni, &lie)?;
            wait_for(&format!("lie {number}: {}", cause.name()), || {
                Ok((world.gateway.drops(wanted, cause)? > before).then_some(()))
            })?;
        }
        // A stranger inside the tunnel, and a site that does not use it.
        world.beta.run("ip addr add fd99::66/64 dev wg0 nodad")?;
        Liar::at(&world.beta, "fd99::66", "fd99::1", 4789)?.says(vni, &said(own, 13, b"who"))?;
        wait_for("the stranger", || {
            Ok((world.gateway.drops(wanted, Cause::UnknownPeer)? > 0).then_some(()))
        })?;
        world.other.run("ip addr add fd98::2/64 dev eth0 nodad")?;
        world.gateway.run("ip addr add fd98::1/64 dev eth0 nodad")?;
        Liar::at(&world.other, "fd98::2", "fd98::1", 4789)?.says(vni, &said(own, 13, b"how"))?;
        wait_for("the wrong device", || {
            Ok((world.gateway.drops(wanted, Cause::WrongDevice)? > 0).then_some(()))
        })?;
        // The port of the site's hosts is not for sites, nor for hosts that have no such network.
        Liar::at(&world.beta, "fd99::2", "fd99::1", 8472)?.says(vni, &said(own, 13, b"wire"))?;
        Liar::at(&world.other, "192.0.2.2", "192.0.2.1", 8472)?
            .says(vni + 1, &said(mac(2), 12, b"other network"))?;
        // More than the network's MTU, on a path that carries it. And VXLAN inside VXLAN, to the
        // gateway's host by way of a network that is on it: no host listens to its networks.
        liar.says(vni, &said(own, 13, &[7; 1700]))?;
        let nested = [&[8, 0, 0, 0, 0, 0, ALPHA, 0][..], &said(mac(2), 12, b"nested")].concat();
        for to in [mac_of_gateway(&world.gateway)?, [0xff; 6], mac(1)] {
            let packet = udp([10, 0, 0, 13], [192, 0, 2, 1], [9, 8472], &nested);
            liar.says(vni, &frame(own, to, 0x800, &packet))?;
        }

        // The truth arrives, and it is the first thing that does.
        liar.says(vni, &said(own, 13, b"truth"))?;
        let mut text = [0; 64];
        let (length, from) = heard.recv_from(&mut text)?;
        assert_eq!(&text[..length], b"truth");
        assert_eq!(from.ip().to_canonical().to_string(), "10.0.0.13");
        Ok(())
    })
}

#[test]
fn a_peer_reaches_nothing_of_the_host_that_its_gateway_runs_on() -> Result<()> {
    inside("liars::a_peer_reaches_nothing_of_the_host_that_its_gateway_runs_on", |scene| {
        let world = World::new(&scene)?;
        let (_guests, made) = world.populate()?;
        let own: SocketAddr = "[fd99::1]:22".parse()?;
        let _listener = world.gateway.within(|| Ok(TcpListener::bind("[::]:22")?))?;
        assert!(world.gateway.within(|| Ok(TcpStream::connect(own).is_ok()))?, "it listens");
        let wanted = &made[0].1;
        let before = world.gateway.drops(wanted, Cause::HostClosed)?;
        let patience = Duration::from_millis(500);
        let asked = world.beta.within(|| Ok(TcpStream::connect_timeout(&own, patience).is_ok()))?;
        assert!(!asked, "a peer has connected to the host");
        assert!(world.gateway.drops(wanted, Cause::HostClosed)? > before);
        // How faults are found goes on.
        world.beta.run("busybox ping -c 1 -W 2 fd99::1")?;
        Ok(())
    })
}

/// The MAC address that guests have for their gateway.
fn mac_of_gateway(host: &Host) -> Result<[u8; 6]> {
    let told = host.run("ip -o link show")?;
    let line = told.lines().find(|line| line.contains(": rsb")).context("a bridge")?;
    let text = line.split("link/ether ").nth(1).and_then(|it| it.split(' ').next());
    let bytes: Result<Vec<u8>, _> =
        text.context("an address")?.split(':').map(|it| u8::from_str_radix(it, 16)).collect();
    let mut mac: [u8; 6] = bytes?.try_into().ok().context("six bytes")?;
    // The bridge's own has another first byte.
    mac[0] = 0x56;
    Ok(mac)
}

/// The link-local address of a card.
fn link_local(mac: [u8; 6]) -> [u8; 16] {
    let [a, b, c, d, e, f] = mac;
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}
