//! A peer that lies inside the tunnel, where its frames are decrypted and known to be its own.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{HOME, Member, gateway::gateway, shown};
use crate::world::{World, until};

/// Where VXLAN is heard (RFC 7348, section 8.1).
const VXLAN_PORT: u16 = 4_789;

const IPV4: [u8; 2] = [0x08, 0];
const IPV6: [u8; 2] = [0x86, 0xdd];
const EVERYONE: [u8; 6] = [0xff; 6];

/// A card as a frame has it.
#[derive(Clone, Copy)]
struct Card {
    mac: [u8; 6],
    address: Ipv4Addr,
}

/// The sum of RFC 1071 over what has an even length.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|it| u16::from_be_bytes([it[0], it[1]]));
    let sum = words.fold(0_u16, |sum, word| {
        let (sum, carried) = sum.overflowing_add(word);
        sum + u16::from(carried)
    });
    (!sum).to_be_bytes()
}

fn ethernet(from: [u8; 6], to: [u8; 6], kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind, packet].concat()
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(20 + payload.len()).context("too long")?.to_be_bytes();
    let mut header = [&[0x45, 0][..], &length, &[0, 1, 0, 0, 64, protocol, 0, 0]].concat();
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    Ok([&header[..], payload].concat())
}

/// What asks a machine for an echo.
fn echo(from: Card, to: Card) -> Result<Vec<u8>> {
    let mut request = [8, 0, 0, 0, 0x5a, 0x5a, 0, 1];
    let sum = checksum(&request);
    request[2..4].copy_from_slice(&sum);
    Ok(ethernet(from.mac, to.mac, IPV4, &ipv4(from.address, to.address, 1, &request)?))
}

/// An offer of an address, to everybody.
fn dhcp(from: Card) -> Result<Vec<u8>> {
    let datagram = [0, 67, 0, 68, 0, 12, 0, 0, 2, 1, 6, 0];
    Ok(ethernet(from.mac, EVERYONE, IPV4, &ipv4(from.address, Ipv4Addr::BROADCAST, 17, &datagram)?))
}

/// An advertisement of a router, to everybody.
fn router(from: Card) -> Vec<u8> {
    let [a, b, c, d, e, f] = from.mac;
    let mut packet = vec![0x60, 0, 0, 0, 0, 16, 58, 255];
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    packet.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    ethernet(from.mac, [0x33, 0x33, 0, 0, 0, 1], IPV6, &packet)
}

/// The card that a machine has on its network.
fn card(network: &Value, member: &Member) -> Result<Card> {
    let cards = network["cards"].as_array().context("no cards")?;
    let own = cards.iter().find(|card| card["address"] == *member.address).context("no card")?;
    let mac = own["mac"].as_str().context("no MAC address")?;
    let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().context("read a MAC address")?;
    let mac = bytes.try_into().ok().context("read a MAC address")?;
    Ok(Card { mac, address: member.address.parse().context("read an address")? })
}

/// The number by which a site receives a network.
fn number(network: &Value) -> Result<u32> {
    let ends = network["inside"]["ends"].as_array().context("no ends")?;
    let own = ends.iter().find(|end| end["is_own"] == true).context("not its own end")?;
    u32::try_from(own["vni"].as_u64().context("no number")?).context("read a number")
}

/// How many packets a host has dropped for a cause.
pub(super) fn dropped(world: &World, host: &str, cause: &str) -> Result<u64> {
    let text = world.run(host, &["nft", "-j", "list", "counters"])?;
    let listed: Value = serde_json::from_str(&text).context("read the counters")?;
    let entries = listed["nftables"].as_array().context("no list")?;
    let counters = entries.iter().map(|entry| &entry["counter"]);
    let of_cause =
        counters.filter(|it| it["name"].as_str().is_some_and(|name| name.ends_with(cause)));
    Ok(of_cause.filter_map(|it| it["packets"].as_u64()).sum())
}

/// How many echoes a guest was asked for.
fn asked(guest: &Member) -> Result<u64> {
    let (said, _) = guest.guest.does("grep ^Icmp: /proc/net/snmp")?;
    let lines: Vec<Vec<&str>> = said
        .lines()
        .filter(|line| line.starts_with("Icmp:"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let [names, values] = &lines[..] else { anyhow::bail!("the guest says: {said}") };
    let place = names.iter().position(|name| *name == "InEchos").context("no count")?;
    values.get(place).context("no count")?.parse().context("read a count")
}

/// Beta's gateway speaks to alpha's as it should not. `networks` are two with the same addresses,
/// whose machines are at alpha, beta and gamma.
pub(super) fn a_lying_peer_gets_nothing_through(
    world: &World,
    networks: &[Vec<Member>],
) -> Result<()> {
    let [red, blue] = networks else { anyhow::bail!("not two networks") };
    let at = gateway(&world.sites, HOME)?;
    let network = shown(world, &at, "red/lan")?;
    let cards = red.iter().map(|it| card(&network, it)).collect::<Result<Vec<_>>>()?;
    let [victim, own, third] = cards[..] else { anyhow::bail!("not three cards") };
    let vni = number(&network)?;
    let other = number(&shown(world, &at, "blue/lan")?)?;
    let text = world.run(&at, &["ip", "-brief", "-6", "address", "show", "dev", "rwg0"])?;
    let addresses = text.split_whitespace().filter_map(|word| word.split_once('/'));
    let mut addresses = addresses.filter_map(|(address, _)| address.parse::<Ipv6Addr>().ok());
    let inner = addresses.find(|it| !it.is_unicast_link_local()).context("no address inside")?;
    let says = |vni: u32, frame: &[u8]| -> Result<()> {
        let [_, a, b, c] = vni.to_be_bytes();
        let packet = [&[8, 0, 0, 0, a, b, c, 0], frame].concat();
        world.inside("beta", || {
            let socket = UdpSocket::bind("[::]:0").context("open a socket")?;
            socket.send_to(&packet, (inner, VXLAN_PORT)).context("send a lie")?;
            Ok(())
        })?
    };
    // The truth arrives: the rest is refused for what it is.
    let before = asked(&red[0])?;
    says(vni, &echo(own, victim)?)?;
    until("the truth to arrive", || Ok(asked(&red[0])? == before + 1))?;
    let theirs = asked(&blue[0])?;
    let as_another = Card { address: third.address, ..own };
    let lies = [
        ("another site's card", "misplaced-mac", vni, echo(third, victim)?),
        ("another card's address", "foreign-address", vni, echo(as_another, victim)?),
        ("an offer of an address", "dhcp", vni, dhcp(own)?),
        ("a router", "router", vni, router(own)),
        ("another network", "misplaced-mac", other, echo(own, victim)?),
        ("no network", "foreign-vni", vni + 1_000, echo(own, victim)?),
    ];
    for (lie, cause, vni, frame) in lies {
        let before = dropped(world, &at, cause)?;
        says(vni, &frame)?;
        until(&format!("a lie about {lie} to be counted"), || {
            Ok(dropped(world, &at, cause)? > before)
        })?;
    }
    // What is said after them arrives before them if they do at all.
    says(vni, &echo(own, victim)?)?;
    until("the truth to arrive again", || Ok(asked(&red[0])? >= before + 2))?;
    ensure!(asked(&red[0])? == before + 2, "a lie has reached the guest");
    ensure!(asked(&blue[0])? == theirs, "a lie has reached a guest of another network");
    Ok(())
}
