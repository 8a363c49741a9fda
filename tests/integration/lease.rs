//! Leases and the fence, with real guests: what is cut off stops in time, and only then is it
//! started elsewhere. The consoles' heartbeats and the processes' states say so, not the sites.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testnet::Plan;

use crate::copies::{Copies, GLANCE, Seen};
use crate::sites::Machine;
use crate::world::{World, note, until};

const HOME: &str = "alpha";
const PEERS: [&str; 2] = ["beta", "gamma"];

/// Long enough for several heartbeats under emulation, and for any lease of the testnet to end.
const LEASE: Duration = Duration::from_secs(10);

/// A machine of its own service that one of `sites` runs.
fn service(name: &str, sites: &[&str], on_partition: &str) -> String {
    format!(
        "service: {name}\ncomponents:\n  app:\n    image: guest\n    vcpus: 1\n    memory: 128MiB\n    \
         disk: 64MiB\n    on_partition: {on_partition}\n    place: {{ sites: [{}] }}\n",
        sites.join(", ")
    )
}

/// Submits a service of one machine, waits until it beats, and says where it runs.
fn deploy(world: &World, name: &str, sites: &[&str], on_partition: &str) -> Result<Machine> {
    let file = world.file(&format!("{name}.yaml"), &service(name, sites, on_partition))?;
    world.sites.say(HOME, &["service", "submit", &file])?;
    let machine = find(world, name)?;
    world.sites.beats(HOME, &machine, 1)?;
    Ok(machine)
}

fn find(world: &World, service: &str) -> Result<Machine> {
    let machines = world.sites.machines(HOME)?;
    let found = machines.into_iter().find(|it| it.service.as_deref() == Some(service));
    found.with_context(|| format!("{service} has no machine"))
}

/// The other peer.
fn other(site: &str) -> Result<&'static str> {
    PEERS.into_iter().find(|peer| *peer != site).context("there are two peers")
}

/// The copies of a service's one machine.
fn copies<'a>(world: &'a World, service: &str) -> Result<Copies<'a>> {
    Copies::of(&world.sites, HOME, &find(world, service)?)
}

#[test]
fn real_guests_stop_when_their_leases_end_and_only_then_run_elsewhere() -> Result<()> {
    let mut world = World::start("lease", &Plan::three(None))?;
    let away = deploy(&world, "away", &PEERS, "fence")?;
    let first = PEERS.into_iter().find(|it| away.site().is_ok_and(|site| site == *it));
    let first = first.context("it runs at a peer")?;
    let second = other(first)?;

    a_home_that_reboots_is_not_noticed(&mut world, &away, first)?;

    // The provider is cut off: all of it lives, and nobody reaches it.
    world.cut(HOME, first)?;
    world.cut(second, first)?;
    copies(&world, "away")?.moves(first, &[second])?;
    world.heal(HOME, first)?;
    world.heal(second, first)?;
    copies(&world, "away")?.is_cleared(first)?;

    // The provider's node is dead and stays so; its libvirtd and its guests live.
    world.kill_node(second)?;
    copies(&world, "away")?.moves(second, &[first])?;
    ensure!(world.pids(second)?[1].is_some(), "libvirtd lives");
    world.start_node(second)?;
    copies(&world, "away")?.is_cleared(second)?;

    a_home_that_is_cut_off(&world, "gamma")?;
    world.close()
}

/// The home's node is killed and started again within a lease: nobody stops.
fn a_home_that_reboots_is_not_noticed(
    world: &mut World,
    machine: &Machine,
    site: &'static str,
) -> Result<()> {
    let begun = Instant::now();
    world.kill_node(HOME)?;
    world.start_node(HOME)?;
    note(begun, "the home's node was killed and is back");
    let copies = Copies::of(&world.sites, HOME, machine)?;
    while begun.elapsed() < LEASE * 2 {
        ensure!(copies.look(site)? == Seen::Alive, "the guest runs on");
        thread::sleep(GLANCE);
    }
    world.sites.beats(HOME, machine, 1)?;
    Ok(())
}

/// The home is cut off from everybody: what is fenced stops, what is held and what runs at home
/// goes on.
fn a_home_that_is_cut_off(world: &World, site: &'static str) -> Result<()> {
    let fenced = deploy(world, "fenced", &[site], "fence")?;
    let held = deploy(world, "held", &[site], "hold")?;
    let own = deploy(world, "own", &[HOME], "fence")?;
    let all = [&fenced, &held, &own].map(|it| Copies::of(&world.sites, HOME, it));
    let [fenced, held, own] = all;
    let (fenced, held, own) = (fenced?, held?, own?);
    let since = Instant::now();
    for peer in PEERS {
        world.cut(HOME, peer)?;
    }
    until("the fenced guest stands still", || {
        ensure!(held.look(site)? == Seen::Alive, "what is held runs on");
        ensure!(own.look(HOME)? == Seen::Alive, "what is at home runs on");
        Ok(fenced.look(site)? == Seen::Stopped)
    })?;
    note(since, "the fenced guest stands still");
    held.beats_on(site)?;
    own.beats_on(HOME)?;
    // Nobody may start it elsewhere: it is to run there and nowhere else.
    for peer in PEERS {
        world.heal(HOME, peer)?;
    }
    until("all of it runs again", || {
        let machines = world.sites.machines(HOME)?;
        let active = |name: &str| {
            machines.iter().any(|it| it.service.as_deref() == Some(name) && it.state == "ACTIVE")
        };
        Ok(["fenced", "held", "own"].into_iter().all(active))
    })?;
    note(since, "all of it runs again");
    let held_last = held.pulse(site)?;
    ensure!(held_last.boots.len() == 1, "what was held was never started again: {held_last:?}");
    Ok(())
}
