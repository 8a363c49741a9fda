//! Networks that span sites: real guests at three sites, on two networks that have the same
//! addresses, reach each other and nobody else, and what crosses between the sites is encrypted.
//! Then each of the files here has its claims, on the same testnet.

mod check;
mod gateway;
mod liar;
mod metadata;
mod moves;
mod outside;
mod quality;
mod security;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testnet::Plan;

use crate::console::Pulse;
use crate::guest::Guest;
use crate::nodes::until_voters;
use crate::sites::{Machine, Sites};
use crate::world::{World, manifest, note, until};

/// Whose tenants have the networks.
const HOME: &str = "alpha";

/// Its hosts, each with a node.
const HOSTS: [&str; 3] = ["alpha", "alpha-2", "alpha-3"];

/// The sites, one machine of each service at each.
const SITES: [&str; 3] = ["alpha", "beta", "gamma"];

/// The services, each with a network of its own that takes the same prefix.
const SERVICES: [&str; 2] = ["red", "blue"];

/// What is said of a service's network: nothing decides its prefix; more is promised of one of the
/// two, and the other is slow.
fn network(service: &str) -> &'static str {
    if service == SERVICES[1] { "{ speed: 1MBS }" } else { "{ sla: gold }" }
}

/// What a site of one host sends to the others and is sent: counted by whether it is WireGuard's, the bus's, or
/// how neighbours are found; and the rest, which there must be none of.
const CAPTURE: &str = "
table netdev capture {
    counter wireguard { }
    counter bus { }
    counter neighbours { }
    counter rest { }
    chain in {
        type filter hook ingress device wan priority 0;
        jump sort
    }
    chain out {
        type filter hook egress device wan priority 0;
        jump sort
    }
    chain sort {
        udp dport 51820 counter name wireguard return
        tcp dport 7401 counter name bus return
        tcp sport 7401 counter name bus return
        udp dport 7401 counter name bus return
        udp sport 7401 counter name bus return
        ether type arp counter name neighbours return
        ip6 nexthdr icmpv6 counter name neighbours return
        ip6 nexthdr hopopt counter name neighbours return
        counter name rest
    }
}
";

/// A machine on a network, where it runs.
struct Member {
    name: String,
    address: String,
    boot: String,
    guest: Guest,
    site: &'static str,
    host: String,
}

fn member(sites: &Sites, name: &str, site: &'static str) -> Result<Member> {
    let name = name.to_owned();
    let shown: Value = sites.read(HOME, &["machine", "show", &name])?;
    let address = shown["address"].as_str().context("a machine without an address")?.to_owned();
    let machine: Machine = serde_json::from_value(shown).context("read a machine")?;
    ensure!(machine.site()? == site, "{name} is at {}", machine.site()?);
    let uuid = sites.uuid(HOME, &machine)?;
    let host = machine.place.as_ref().and_then(|place| place.host.clone());
    let host = host.unwrap_or_else(|| site.to_owned());
    let guest = Guest::at(sites.keeps(&host, uuid));
    // Before it beats it does not listen.
    until(&format!("{name} to beat"), || {
        Ok(Pulse::read(&sites.keeps(&host, uuid))?.last.is_some())
    })?;
    let (boot, done) = guest.does("cat /proc/sys/kernel/random/boot_id")?;
    ensure!(done, "{name} does not say which boot it is");
    let boot = boot.lines().map(str::trim).find(|line| line.len() == 36 && !line.contains(' '));
    let boot = boot.context("no boot id")?.to_owned();
    Ok(Member { name, address, boot, guest, site, host })
}

/// The machines of a service that has one at each site.
fn one_at_each(sites: &Sites, service: &str) -> Result<Vec<Member>> {
    SITES.into_iter().map(|site| member(sites, &format!("{service}/{site}-1"), site)).collect()
}

/// Every member reaches every other of its own network, by address and by name, and gets its page.
fn all_reach(members: &[Member]) -> Result<()> {
    for one in members {
        for other in members.iter().filter(|other| other.name != one.name) {
            let ping = format!("ping -c 1 -W 3 {} >/dev/null", other.address);
            until(&format!("{} to reach {}", one.name, other.name), || one.guest.can(&ping))?;
            let (said, done) = one.guest.does(&asks_for_page(&other.address))?;
            let (asks, asked) = (&one.name, &other.name);
            ensure!(done && said.contains(&other.boot), "{asks} asks {asked} and hears: {said}");
            let (service, host) = asked.split_once('/').context("a name in a service")?;
            let (said, done) = one.guest.does(&format!("nslookup {host}.{service}.internal"))?;
            let named = said.contains(&format!("Address: {}", other.address));
            ensure!(done && named, "{asks} asks for {asked} by name and hears: {said}");
        }
    }
    Ok(())
}

/// What has passed between a site and the others, by the counter's name.
fn passed(world: &World, counter: &str) -> Result<u64> {
    let text =
        world.run(SITES[1], &["nft", "-j", "list", "counter", "netdev", "capture", counter])?;
    let listed: Value = serde_json::from_str(&text).context("read a counter")?;
    let entries = listed["nftables"].as_array().context("no list")?;
    let found = entries.iter().find_map(|entry| entry["counter"]["packets"].as_u64());
    found.with_context(|| format!("no counter {counter}"))
}

#[test]
fn real_guests_at_three_sites_share_their_network_and_nothing_else() -> Result<()> {
    let begun = Instant::now();
    let mut world = World::start("networks", &Plan::three(None).with_nodes(HOME, HOSTS.len())?)?;
    until_voters(&world.sites, HOME, HOSTS.len())?;
    until("a gateway that is not the only host", || {
        let hosts: Vec<Value> = world.sites.read(HOME, &["host", "ls"])?;
        let well = hosts.iter().filter(|host| host["trouble"] == "").count();
        Ok(well == HOSTS.len() && !gateway::gateway(&world.sites, HOME)?.is_empty())
    })?;
    // Whoever is at home talks to others by another host than its own, which can be killed.
    world.sites.say(HOME, &["host", "drain", &gateway::gateway(&world.sites, HOME)?])?;
    let capture = world.file("capture.nft", CAPTURE)?;
    world.run(SITES[1], &["nft", "-f", &capture])?;
    let parts: Vec<(&str, u32, Option<&str>)> =
        SITES.iter().map(|site| (*site, 1, Some(*site))).collect();
    for service in SERVICES {
        let networks = format!("networks: {{ lan: {} }}\ncomponents:", network(service));
        let text = manifest(service, &parts).replace("components:", &networks);
        let handed = metadata::handed(service).replace('\n', "\n      ");
        let handed = format!("    user_data: |-\n      {handed}\n    image:");
        let text = text.replace("    image:", &handed);
        let file = world.file(&format!("{service}.yaml"), &text)?;
        world.sites.say(HOME, &["service", "submit", &file])?;
    }
    note(begun, "two services run at three sites each");
    let networks: Vec<Vec<Member>> =
        SERVICES.iter().map(|service| one_at_each(&world.sites, service)).collect::<Result<_>>()?;
    let addresses =
        |members: &[Member]| members.iter().map(|it| it.address.clone()).collect::<Vec<_>>();
    ensure!(
        addresses(&networks[0]) == addresses(&networks[1]),
        "the networks have other addresses"
    );
    for members in &networks {
        all_reach(members)?;
    }
    note(begun, "all of each network reach each other, by address and by name, and no other");
    ensure!(passed(&world, "wireguard")? > 0, "nothing came by the tunnel");
    let rest = passed(&world, "rest")?;
    ensure!(rest == 0, "{rest} packets between the sites were neither encrypted nor the bus's");
    let named = gateway::gateway(&world.sites, HOME)?;
    check::what_is_broken_between_sites_is_named(&world, &named)?;
    note(begun, "what is broken between sites is named");
    let [red, blue] = &networks[..] else { anyhow::bail!("not two networks") };
    quality::ipv6_reaches_as_well(&world, red)?;
    note(begun, &quality::a_speed_is_held_to(red, blue)?);
    metadata::each_is_told_of_itself(&world, &red[..2])?;
    metadata::each_is_told_of_itself(&world, &blue[1..2])?;
    metadata::a_token_is_its_guests_alone(red)?;
    metadata::who_asks_as_another_is_told_nothing(&world, red)?;
    note(begun, "each guest is told of itself, and not by the address of another");
    metadata::what_a_guest_says_of_itself_is_read_at_home(&world, &red[..2])?;
    note(begun, "what a guest says of itself is read at home, where it runs there and at a peer");
    quality::who_spoofs_is_heard_by_nobody(&world, red)?;
    note(begun, "who spoofs is heard by nobody");
    liar::a_lying_peer_gets_nothing_through(&world, &networks)?;
    note(begun, "a peer that lies inside the tunnel gets nothing through");
    let members = security::secured(&world)?;
    security::groups_hold_and_change_at_once(&world, &members)?;
    note(begun, "security groups hold, and change at once");
    outside::the_outside_is_reached_and_reaches_in(&world, &members[0])?;
    note(begun, "a machine at a peer reaches the outside, and is reached by a public address");
    check::what_was_missed_is_measured(&world, &named)?;
    note(begun, "what was missed of a network is measured");
    moves::what_is_gone_is_forgotten(&world, &["red", "blue", "green"], &red[1])?;
    let members = moves::a_machine_is_followed_to_another_site(&world)?;
    note(begun, "a machine was placed anew, and its network was there");
    gateway::another_gateway_takes_over(&mut world, &members)?;
    note(begun, "another gateway has taken over");
    world.close()
}

/// Asks for the page of a machine; whether it came.
fn page(from: &Member, address: &str, boot: &str) -> Result<bool> {
    let (said, done) = from.guest.does(&asks_for_page(address))?;
    Ok(done && said.contains(boot))
}

fn asks_for_page(address: &str) -> String {
    format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} 80")
}

/// A network as a node sees it.
fn shown(world: &World, at: &str, name: &str) -> Result<Value> {
    world.sites.read(at, &["network", "show", name])
}
