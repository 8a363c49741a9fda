//! Machines that come, move to another site and go: their network is there when they are.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::gateway::gateway;
use super::{HOME, Member, member, shown};
use crate::world::{World, note, until};

/// A machine that may run at either of two sites, and one at home that talks to it.
const NOMAD: &str = "
service: nomad
components:
  camel:
    { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, place: { sites: [beta, gamma] } }
  tent:
    { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, place: { sites: [alpha] } }
";

const CAMEL: &str = "nomad/camel-1";

/// Where the home's gateway sends frames for a card: nowhere, if it knows no such card.
fn way(world: &World, host: &str, mac: &str) -> Result<Option<String>> {
    let entries = world.run(host, &["bridge", "fdb", "show"])?;
    let leads = entries.lines().filter(|line| line.starts_with(mac));
    let away = leads.filter_map(|line| line.split_once(" dst ").map(|(_, to)| to.to_owned()));
    Ok(away.into_iter().next())
}

/// The site that runs the machine.
fn place(world: &World) -> Result<&'static str> {
    let machine = world.sites.machine(HOME, CAMEL)?;
    let site = machine.site()?;
    ["beta", "gamma"].into_iter().find(|it| *it == site).context("it runs elsewhere")
}

/// One try, since what is not there yet when the guest first speaks is too late.
fn answers_at_once(tent: &Member, camel: &Member) -> Result<()> {
    let ping = format!("ping -c 1 -W 1 {} >/dev/null", camel.address);
    ensure!(tent.guest.can(&ping)?, "{} beats, and is not reached", camel.name);
    Ok(())
}

/// The MAC address that a machine has on its network.
fn mac(world: &World, at: &str, network: &str, member: &Member) -> Result<String> {
    let network = shown(world, at, network)?;
    let cards = network["cards"].as_array().context("no cards")?;
    let card = cards.iter().find(|card| card["address"] == *member.address).context("no card")?;
    Ok(card["mac"].as_str().context("no MAC address")?.to_owned())
}

/// Services end, and nothing leads to a machine that was theirs.
pub(super) fn what_is_gone_is_forgotten(
    world: &World,
    services: &[&str],
    member: &Member,
) -> Result<()> {
    let at = gateway(&world.sites, HOME)?;
    let mac = mac(world, &at, "red/lan", member)?;
    until("a way to lead to a machine", || Ok(way(world, &at, &mac)?.is_some()))?;
    for service in services {
        world.sites.say(HOME, &["service", "end", service])?;
    }
    until("no way to lead to what is gone", || Ok(way(world, &at, &mac)?.is_none()))
}

/// A machine that is placed anew at another site keeps its address, and is reached there from its
/// first moment on. Answers who talks to each other now.
pub(super) fn a_machine_is_followed_to_another_site(world: &World) -> Result<Vec<Member>> {
    let file = world.file("nomad.yaml", NOMAD)?;
    world.sites.say(HOME, &["service", "submit", &file])?;
    until("the machine to have a place", || Ok(place(world).is_ok()))?;
    let first = place(world)?;
    let camel = member(&world.sites, CAMEL, first)?;
    let tent = member(&world.sites, "nomad/tent-1", HOME)?;
    answers_at_once(&tent, &camel)?;

    let at = gateway(&world.sites, HOME)?;
    let mac = mac(world, &at, "nomad/lan", &camel)?;
    let before = way(world, &at, &mac)?.context("no way leads to it")?;
    world.sites.say(HOME, &["peer", "drain", first])?;
    until("the machine to be placed anew", || {
        let machine = world.sites.machine(HOME, CAMEL)?;
        Ok(machine.state == "ACTIVE" && machine.site().is_ok_and(|site| site != first))
    })?;
    let active = Instant::now();
    until("the way to lead there", || Ok(way(world, &at, &mac)?.is_some_and(|now| now != before)))?;
    note(active, "from ACTIVE at another site to the way there");
    let moved = member(&world.sites, CAMEL, place(world)?)?;
    ensure!(moved.address == camel.address, "it has another address");
    ensure!(moved.boot != camel.boot, "it was not placed anew");
    answers_at_once(&tent, &moved)?;
    world.sites.say(HOME, &["peer", "enable", first])?;
    Ok(vec![tent, moved])
}
