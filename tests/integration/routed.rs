//! Networks of one group: real guests at three sites reach each other across them, what two machines
//! at one site say to each other does not leave it, a network outside of the group is not reached, and
//! a route leads to what is behind a machine.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testnet::Plan;

use crate::guest::Guest;
use crate::sites::Sites;
use crate::world::{World, note, until};

/// Whose tenant has the networks.
const HOME: &str = "alpha";

/// Two networks that are routed to each other, and one that stands alone. One of the two has a share
/// of their group's prefix, and behind a machine on the other there is a network that nobody else knows.
const SERVICE: &str = "
service: routed
networks:
  red: { prefix: 10.40.0.0/24, group: both }
  blue: { group: both }
  green: { prefix: 10.50.0.0/24 }
groups:
  both:
    prefix: 10.40.0.0/20
    routes: [10.8.0.0/16 via 10.40.0.77]
components:
";

/// The machine that the route leads to, by the address that the manifest fixes.
const ROUTER: (&str, &str) = ("red-away", "10.40.0.77");

/// What is behind it, and what no route leads to.
const BEHIND: &str = "10.8.0.1";
const STRANGE: &str = "10.9.0.1";

/// The machines: each with its network and its site.
const MACHINES: [(&str, &str, &str); 5] = [
    ("red-home", "red", "alpha"),
    ("red-away", "red", "beta"),
    ("blue-home", "blue", "alpha"),
    ("blue-away", "blue", "gamma"),
    ("green", "green", "beta"),
];

/// The beginning of the names of devices that lead to other sites.
const TUNNELLED: &str = "rsy";

struct Member {
    name: &'static str,
    network: &'static str,
    address: String,
    guest: Guest,
}

fn manifest() -> String {
    let mut text = SERVICE.to_owned();
    for (name, network, site) in MACHINES {
        let fixed = format!("{{ {network}: {{ address: {} }} }}", ROUTER.1);
        let networks = if name == ROUTER.0 { fixed } else { format!("[{network}]") };
        text.push_str(&format!(
            "  {name}:\n    image: guest\n    vcpus: 1\n    memory: 128MiB\n    disk: 64MiB\n    \
             networks: {networks}\n    place: {{ sites: [{site}] }}\n"
        ));
    }
    text
}

fn member(
    sites: &Sites,
    (name, network, site): (&'static str, &'static str, &str),
) -> Result<Member> {
    let full = format!("routed/{name}-1");
    let shown: Value = sites.read(HOME, &["machine", "show", &full])?;
    let address = shown["address"].as_str().context("a machine without an address")?.to_owned();
    let machine = sites.machine(HOME, &full)?;
    ensure!(machine.site()? == site, "{full} is at {}", machine.site()?);
    // Before it beats it does not listen.
    until(&format!("{full} to beat"), || Ok(sites.pulse(HOME, &machine)?.last.is_some()))?;
    let guest = Guest::at(sites.keeps(site, sites.uuid(HOME, &machine)?));
    Ok(Member { name, network, address, guest })
}

/// What has left a site for others on its networks, in bytes.
fn left(sites: &Sites, networks: &[&str]) -> Result<u64> {
    let mut sent = 0;
    for network in networks {
        let name = format!("routed/{network}");
        let shown: Value = sites.read(HOME, &["network", "show", &name])?;
        let devices = shown["inside"]["devices"].as_array().context("no devices")?;
        let is_tunnelled =
            |it: &&Value| it["name"].as_str().is_some_and(|name| name.starts_with(TUNNELLED));
        let bytes: Vec<u64> =
            devices.iter().filter(is_tunnelled).filter_map(|it| it["sent"].as_u64()).collect();
        ensure!(!bytes.is_empty(), "nothing of {name} leads to other sites: {devices:?}");
        sent += bytes.iter().sum::<u64>();
    }
    Ok(sent)
}

#[test]
fn real_guests_reach_each_other_across_networks_of_a_group_and_no_other() -> Result<()> {
    let begun = Instant::now();
    let world = World::start("routed", &Plan::three(None))?;
    let file = world.file("routed.yaml", &manifest())?;
    world.sites.say(HOME, &["service", "submit", &file])?;
    let members: Vec<Member> =
        MACHINES.into_iter().map(|it| member(&world.sites, it)).collect::<Result<_>>()?;
    note(begun, "five machines run on three networks at three sites");
    let (routed, alone): (Vec<&Member>, Vec<&Member>) =
        members.iter().partition(|it| it.network != "green");
    for one in &routed {
        for other in routed.iter().filter(|other| other.name != one.name) {
            let ping = format!("ping -c 1 -W 3 {}", other.address);
            let mut said = String::new();
            until(&format!("{} to reach {}", one.name, other.name), || {
                let (answer, done) = one.guest.does(&ping)?;
                said = answer;
                Ok(done)
            })?;
            // One router on the way, wherever both are: that of the site which sends.
            let hops = if one.network == other.network { 64 } else { 63 };
            let (from, to) = (one.name, other.name);
            ensure!(said.contains(&format!("ttl={hops} ")), "{from} to {to}: {said}");
            let (said, _) = one.guest.does(&format!("nslookup {to}-1.routed.internal"))?;
            let named = said.contains(&format!("Address: {}", other.address));
            ensure!(named, "{from} asks for {to} by name and hears: {said}");
        }
    }
    note(begun, "all of the group reach each other");
    let [red, _, blue, away] = routed[..] else { anyhow::bail!("not four machines") };
    let networks = ["red", "blue"];
    let before = left(&world.sites, &networks)?;
    let pings = |to: &Member| format!("ping -c 20 -i 0.1 -W 3 {} >/dev/null", to.address);
    ensure!(red.guest.can(&pings(blue))? && blue.guest.can(&pings(red))?, "they lost each other");
    ensure!(left(&world.sites, &networks)? == before, "what two at one site said has left it");
    ensure!(red.guest.can(&pings(away))?, "the one at another site is lost");
    ensure!(left(&world.sites, &networks)? > before, "what has left the site was not counted");
    for (one, other) in [(red, alone[0]), (alone[0], red), (alone[0], away)] {
        let ping = format!("ping -c 2 -W 2 {} >/dev/null", other.address);
        ensure!(!one.guest.can(&ping)?, "{} reaches {}", one.name, other.name);
    }
    note(begun, "two at one site are not heard of elsewhere, and nobody reaches the third network");
    a_route_leads_behind_a_machine(&world.sites, &members)?;
    note(begun, "what is behind a machine is reached by the group's route, on its network only");
    world.close()
}

/// What is behind a machine at another site is reached by those on its own network; from elsewhere,
/// and for addresses that no route leads to, it is not.
fn a_route_leads_behind_a_machine(sites: &Sites, members: &[Member]) -> Result<()> {
    let named = |name: &str| members.iter().find(|it| it.name == name).context("a machine");
    let (red, router, blue) = (named("red-home")?, named(ROUTER.0)?, named("blue-home")?);
    let shown: Value = sites.read(HOME, &["network", "show", "routed/red"])?;
    ensure!(shown["routed_to"] == serde_json::json!(["routed/blue"]), "{}", shown["routed_to"]);
    let leads = &shown["routes"][0]["machine"];
    ensure!(leads.as_str().is_some_and(|it| it.starts_with(ROUTER.0)), "it leads to {leads}");
    ensure!(router.address == ROUTER.1, "it has {}", router.address);
    let share: Ipv4Addr = blue.address.parse().context("read an address")?;
    ensure!(share.octets()[..3] == [10, 40, 1], "{share} is not in the first free share");
    for address in [BEHIND, STRANGE] {
        let add = format!("ip address add {address}/32 dev lo");
        ensure!(router.guest.can(&add)?, "{} takes no address", router.name);
    }
    // It asks for others as itself, as a router does whose addresses are elsewhere.
    let as_itself = "echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce";
    ensure!(router.guest.can(as_itself)?, "{} does not do what routers do", router.name);
    let ping = |address: &str| format!("ping -c 2 -W 2 {address} >/dev/null");
    until("what is behind a machine to be reached", || red.guest.can(&ping(BEHIND)))?;
    ensure!(!red.guest.can(&ping(STRANGE))?, "what no route leads to is reached");
    ensure!(!blue.guest.can(&ping(BEHIND))?, "a route counts on another network");
    Ok(())
}
