//! A site of three nodes loses one with its host, by a cut, by a kill and by an operator's word:
//! what ran there runs on the others, never twice, and what runs on the others goes on. Nor can a
//! stranger take the place of a node that is gone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testnet::Plan;

use crate::bad_input::{forge, refusal};
use crate::copies::{Copies, GLANCE, Seen};
use crate::nodes::{leader, until_voters};
use crate::sites::Machine;
use crate::world::{World, duplicate, manifest, note, until};

/// Whose machines run at the other site.
const HOME: &str = "alpha";

/// The site that loses nodes.
const SITE: &str = "beta";

/// Its nodes, by their numbers, each with its host.
const NODES: [&str; 3] = ["beta", "beta-2", "beta-3"];

/// Longer than any lease of the testnet.
const LEASES: Duration = Duration::from_secs(20);

/// Submits a service of one machine that SITE runs; its machine, once that beats.
fn deploy<'a>(world: &'a World, home: &str, service: &str) -> Result<Copies<'a>> {
    let file = format!("{service}.yaml");
    let file = world.file(&file, &manifest(service, &[("app", 1, Some(SITE))]))?;
    world.sites.say(home, &["service", "submit", &file])?;
    let copies = Copies::of(&world.sites, home, &machine(world, home, service)?)?;
    copies.beats_on(copies.host(&NODES)?)?;
    Ok(copies)
}

fn machine(world: &World, home: &str, service: &str) -> Result<Machine> {
    world.sites.machine(home, &format!("{service}/app-1"))
}

fn others(host: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|it| *it != host).collect()
}

/// Lets the node of a host lead its site.
fn lead(world: &World, host: &str) -> Result<()> {
    let number = NODES.iter().position(|it| *it == host).context("no host of the site")? + 1;
    world.sites.say(NODES[0], &["site", "node", "lead", &number.to_string()])?;
    let leads = leader(&world.sites, host, &NODES)?;
    ensure!(leads == host, "{leads} leads, and {host} was to");
    Ok(())
}

/// A host, as an operator sees it at a node.
fn host(world: &World, at: &str, name: &str) -> Result<Value> {
    let all: Vec<Value> = world.sites.read(at, &["host", "ls"])?;
    let found = all.into_iter().find(|it| it["name"] == name);
    found.with_context(|| format!("{at} has no host {name}"))
}

#[test]
fn real_guests_of_a_lost_host_run_on_the_others_and_never_twice() -> Result<()> {
    let mut plan = Plan::three(None).with_nodes(SITE, NODES.len())?;
    plan.sites.truncate(2);
    for site in &mut plan.sites {
        site.peers.retain(|peer| peer != "gamma");
    }
    let mut world = World::start("repair", &plan)?;
    until_voters(&world.sites, SITE, NODES.len())?;
    until("three hosts that take machines", || {
        let all: Vec<Value> = world.sites.read(SITE, &["host", "ls"])?;
        Ok(all.len() == NODES.len() && all.iter().all(|host| host["trouble"] == ""))
    })?;
    until("the image at every node", || {
        let files = |node: &str| -> Result<BTreeSet<OsString>> {
            let files = fs::read_dir(world.data(node)?.join("blobs")).context("list files")?;
            files.map(|file| Ok(file?.file_name())).collect()
        };
        let all = NODES.map(files).into_iter().collect::<Result<Vec<_>>>()?;
        Ok(all.iter().all(|there| *there == all[0]))
    })?;
    a_host_that_is_cut_off(&world)?;
    a_node_that_is_dead(&mut world)?;
    a_host_that_is_drained(&world)?;
    a_stranger_in_the_place_of_a_dead_node(&mut world)?;
    world.close()
}

/// The host is cut off from everybody, with the node that leads and at which the image was
/// registered. All of it lives, and nobody reaches it.
fn a_host_that_is_cut_off(world: &World) -> Result<()> {
    let lost = NODES[0];
    for other in others(lost) {
        world.sites.say(lost, &["host", "drain", other])?;
    }
    let foreign = deploy(world, HOME, "foreign")?;
    let own = deploy(world, SITE, "own")?;
    for other in others(lost) {
        world.sites.say(lost, &["host", "enable", other])?;
    }
    ensure!([&foreign, &own].map(|it| it.host(&NODES).ok()) == [Some(lost); 2], "both on {lost}");
    lead(world, lost)?;
    let since = Instant::now();
    for other in [HOME].into_iter().chain(others(lost)) {
        world.cut(lost, other)?;
    }
    note(since, &format!("{lost} is cut off, and led"));
    let now = foreign.moves(lost, &others(lost))?;
    own.moves(lost, &others(lost))?;
    ensure!(foreign.look(lost)? == Seen::Stopped, "the old copy is there, and stands still");
    until("its home to see it", || Ok(machine(world, HOME, "foreign")?.state == "ACTIVE"))?;
    ensure!(machine(world, HOME, "foreign")?.site()? == SITE, "its home had nothing to do");

    for other in [HOME].into_iter().chain(others(lost)) {
        world.heal(lost, other)?;
    }
    foreign.is_cleared(lost)?;
    until_voters(&world.sites, lost, NODES.len())?;
    until("the host to be well", || Ok(host(world, lost, lost)?["standing"] == "well"))?;
    foreign.beats_on(now)?;
    ensure!(foreign.host(&NODES)? == now, "it is where it was");
    Ok(())
}

/// The node that leads is dead and stays so. The site takes on more, and what its peer has on the
/// other hosts goes on through several leases.
fn a_node_that_is_dead(world: &mut World) -> Result<()> {
    let before = machine(world, HOME, "foreign")?;
    let stays = Copies::of(&world.sites, HOME, &before)?.host(&NODES)?;
    let dead = others(stays)[0];
    lead(world, dead)?;
    let since = Instant::now();
    world.kill_node(dead)?;
    note(since, &format!("{dead} is dead, and led"));
    let foreign = Copies::of(&world.sites, HOME, &before)?;
    let boots = foreign.pulse(stays)?.boots;
    let later = deploy(world, HOME, "later")?;
    note(since, &format!("later/app-1 runs on {}", later.host(&others(dead))?));
    while since.elapsed() < LEASES {
        ensure!(foreign.look(stays)? == Seen::Alive, "what runs on {stays} runs on");
        thread::sleep(GLANCE);
    }
    foreign.beats_on(stays)?;
    ensure!(foreign.pulse(stays)?.boots == boots, "it was not started again");
    ensure!(machine(world, HOME, "foreign")? == before, "its home saw nothing of it");
    until("the host to be lost", || Ok(host(world, stays, dead)?["standing"] == "lost"))?;
    world.start_node(dead)?;
    until_voters(&world.sites, dead, NODES.len())?;
    until("the host to be well", || Ok(host(world, stays, dead)?["standing"] == "well"))
}

/// An operator empties a host: its guests run on the others, and it takes no more until it is
/// enabled.
fn a_host_that_is_drained(world: &World) -> Result<()> {
    let foreign = Copies::of(&world.sites, HOME, &machine(world, HOME, "foreign")?)?;
    let from = foreign.host(&NODES)?;
    let at = others(from)[0];
    let said = world.sites.say(at, &["host", "drain", from])?;
    ensure!(said.contains("drained"), "{said}");
    foreign.moves(from, &others(from))?;
    until("the host to be empty", || {
        let host = host(world, at, from)?;
        let guests = ["own_guests", "foreign_guests", "remains"].map(|kind| host[kind].as_u64());
        Ok(host["standing"] == "drained" && guests.into_iter().flatten().sum::<u64>() == 0)
    })?;
    ensure!(world.sites.domains(from)?.is_empty(), "{from} has guests");
    until("its home to see it", || Ok(machine(world, HOME, "foreign")?.state == "ACTIVE"))?;
    let said = world.sites.say(at, &["host", "ls"])?;
    note(Instant::now(), &format!("{from} is empty:\n{said}"));
    world.sites.say(at, &["host", "enable", from])?;
    ensure!(host(world, from, from)?["standing"] == "well", "it takes machines again");
    Ok(())
}

/// A stranger has all that a node of the site has had, its part of Raft's log too, but no
/// certificate that the site's root key has signed. Nobody hears it, and nobody is kept from anything.
fn a_stranger_in_the_place_of_a_dead_node(world: &mut World) -> Result<()> {
    let dead = NODES[1];
    lead(world, NODES[0])?;
    world.kill_node(dead)?;
    world.kill_node(HOME)?;
    let (stolen, own) = (world.data(dead)?, world.data(HOME)?);
    forge(&own, &stolen)?;
    for file in ["joining", "joined.toml"] {
        let file = Path::new("keys").join(file);
        fs::copy(stolen.join(&file), own.join(&file)).context("claim a place in a site")?;
    }
    fs::remove_file(own.join("keys/root.key")).context("be no founder")?;
    fs::remove_dir_all(own.join("state")).context("drop the true site")?;
    duplicate(&stolen.join("state"), &own.join("state"))?;
    let before = world.sites.show(NODES[0])?;
    world.launch_node(HOME)?;
    let told = refusal(world, NODES[0], &before["id"], "not signed by its site's root key")?;
    note(Instant::now(), &format!("a stranger was turned away: {told}"));
    world.sites.say(NODES[2], &["key", "add", "afterwards"])?;
    let after = world.sites.show(NODES[0])?;
    let leads = |show: &Value| ["leader", "term"].map(|it| show["node"][it].clone());
    ensure!(leads(&after) == leads(&before), "an election was held: {before}, {after}");
    ensure!(world.pids(HOME)?[2].is_some(), "the stranger goes on");
    world.start_node(dead)?;
    until_voters(&world.sites, dead, NODES.len())
}
