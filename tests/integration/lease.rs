//! Leases and the fence, with real guests: what is cut off stops in time, and only then is it
//! started elsewhere. The consoles' heartbeats and the processes' states say so, not the sites.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testnet::{Plan, wait_for};
use uuid::Uuid;

use crate::console::Pulse;
use crate::sites::{Machine, PATIENCE};
use crate::world::{World, note, until};

const HOME: &str = "alpha";
const PEERS: [&str; 2] = ["beta", "gamma"];

/// Long enough for several heartbeats under emulation, and for any lease of the testnet to end.
const LEASE: Duration = Duration::from_secs(10);

/// How often guests are looked at while something is waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// A machine of its own service that one of `sites` runs.
fn service(name: &str, sites: &[&str], on_partition: &str) -> String {
    format!(
        "service: {name}\ncomponents:\n  app:\n    image: guest\n    vcpus: 1\n    memory: 128MiB\n    \
         disk: 64MiB\n    on_partition: {on_partition}\n    place: {{ sites: [{}] }}\n",
        sites.join(", ")
    )
}

/// What is to be seen of one machine on one host.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    /// No process.
    Gone,
    /// A process that a signal has stopped.
    Stopped,
    /// Any other process.
    Alive,
}

/// Looks at the process that runs a guest, as libvirtd has noted it.
fn look(world: &World, site: &str, uuid: Uuid) -> Result<Seen> {
    let run = world.sites.directory(site).join("host/run/libvirt/qemu");
    let Ok(pid) = fs::read_to_string(run.join(format!("reservoir-{uuid}.pid"))) else {
        return Ok(Seen::Gone);
    };
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", pid.trim())) else {
        return Ok(Seen::Gone);
    };
    let (_, rest) = stat.rsplit_once(')').context("a process has a name")?;
    Ok(match rest.split_whitespace().next() {
        Some("T") => Seen::Stopped,
        Some("Z" | "X") => Seen::Gone,
        Some(_) => Seen::Alive,
        None => bail!("a process without a state"),
    })
}

fn pulse(world: &World, site: &str, uuid: Uuid) -> Result<Pulse> {
    Pulse::read(&world.sites.keeps(site, uuid))
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

/// Waits until a machine beats at `to`, and sees to it that it stands still at `from` before it
/// does: it is looked at on both hosts all the time, `from` last, so that what was seen there holds
/// for the earlier look.
fn moves(world: &World, name: &str, from: &'static str, to: &'static str) -> Result<()> {
    let since = Instant::now();
    let uuid = world.sites.uuid(HOME, &find(world, name)?)?;
    let old = pulse(world, from, uuid)?;
    let before = pulse(world, to, uuid)?;
    let mut stopped_at = None;
    wait_for(&format!("{name} at {to}"), PATIENCE, || {
        let new = pulse(world, to, uuid)?;
        let seen = look(world, from, uuid)?;
        if stopped_at.is_none() && seen != Seen::Alive {
            let last = pulse(world, from, uuid)?.last;
            note(since, &format!("{name} is {seen:?} at {from}; its last beat there: {last:?}"));
            stopped_at = Some(last);
        }
        ensure!(
            stopped_at.is_none() || seen != Seen::Alive,
            "{name} goes on at {from} although its lease has ended"
        );
        if new.last == before.last {
            thread::sleep(GLANCE);
            return Ok(None);
        }
        note(since, &format!("{name} beats at {to}: {:?}", new.last));
        ensure!(stopped_at.is_some(), "{name} beats at {to}, and is {seen:?} at {from}");
        Ok(Some(()))
    })
    .with_context(|| format!("at its home it is {:?}", find(world, name)))?;
    // What it had written down when it stopped may have been on its way to the file.
    let last = pulse(world, from, uuid)?;
    ensure!(last.boots == old.boots, "it did not boot at {from} again");
    let new = pulse(world, to, uuid)?.last;
    until("three more beats there", || {
        let now = pulse(world, to, uuid)?.last;
        Ok(match (new, now) {
            (Some((boot, beat)), Some((same, later))) => boot == same && later >= beat + 3,
            _ => false,
        })
    })?;
    ensure!(pulse(world, from, uuid)?.last == last.last, "nothing more was said at {from}");
    Ok(())
}

/// Waits until nothing is left of a machine on a host that is back; it says nothing meanwhile. Its
/// process is killed, and so is seen in other states than stopped.
fn is_cleared(world: &World, name: &str, site: &'static str) -> Result<()> {
    let since = Instant::now();
    let uuid = world.sites.uuid(HOME, &find(world, name)?)?;
    let directory = world.sites.keeps(site, uuid);
    let last = pulse(world, site, uuid)?.last;
    until(&format!("nothing left of {name} at {site}"), || {
        let said = pulse(world, site, uuid)?.last;
        ensure!(said.is_none() || said == last, "{name} runs at {site} again: {said:?}");
        Ok(look(world, site, uuid)? == Seen::Gone && !directory.exists())
    })?;
    note(since, &format!("nothing is left of {name} at {site}"));
    Ok(())
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
    moves(&world, "away", first, second)?;
    world.heal(HOME, first)?;
    world.heal(second, first)?;
    is_cleared(&world, "away", first)?;

    // The provider's node is dead and stays so; its libvirtd and its guests live.
    world.kill_node(second)?;
    moves(&world, "away", second, first)?;
    ensure!(world.pids(second)?[1].is_some(), "libvirtd lives");
    world.start_node(second)?;
    is_cleared(&world, "away", second)?;

    a_home_that_is_cut_off(&world, "gamma")?;
    world.close()
}

/// The home's node is killed and started again within a lease: nobody stops.
fn a_home_that_reboots_is_not_noticed(
    world: &mut World,
    machine: &Machine,
    site: &'static str,
) -> Result<()> {
    let uuid = world.sites.uuid(HOME, machine)?;
    let begun = Instant::now();
    world.kill_node(HOME)?;
    world.start_node(HOME)?;
    note(begun, "the home's node was killed and is back");
    while begun.elapsed() < LEASE * 2 {
        ensure!(look(world, site, uuid)? == Seen::Alive, "the guest runs on");
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
    let [fenced, held, own] = [&fenced, &held, &own].map(|it| world.sites.uuid(HOME, it));
    let (fenced, held, own) = (fenced?, held?, own?);
    let since = Instant::now();
    for peer in PEERS {
        world.cut(HOME, peer)?;
    }
    until("the fenced guest stands still", || {
        ensure!(look(world, site, held)? == Seen::Alive, "what is held runs on");
        ensure!(look(world, HOME, own)? == Seen::Alive, "what is at home runs on");
        Ok(look(world, site, fenced)? == Seen::Stopped)
    })?;
    note(since, "the fenced guest stands still");
    let beats = [(site, held), (HOME, own)].map(|(at, uuid)| (at, uuid, pulse(world, at, uuid)));
    for (at, uuid, before) in beats {
        let before = before?;
        until("it beats on", || Ok(pulse(world, at, uuid)?.last > before.last))?;
        ensure!(pulse(world, at, uuid)?.boots == before.boots, "it beats in the same boot");
    }
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
    let held_last = pulse(world, site, held)?;
    ensure!(held_last.boots.len() == 1, "what was held was never started again: {held_last:?}");
    Ok(())
}
