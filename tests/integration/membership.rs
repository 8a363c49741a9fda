//! A site of three nodes among others: it goes on when its leader is killed, and its nodes change.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use testnet::Plan;

use crate::console::Pulse;
use crate::nodes::{leader, nodes, until_voters};
use crate::sites::Sites;
use crate::world::{World, manifest, until};

/// The nodes of alpha, by their numbers.
const NODES: [&str; 3] = ["alpha", "alpha-2", "alpha-3"];

/// How often the leader is killed under load.
const KILLS: usize = 3;

/// How many writes are acknowledged between two moments of a killing, so that load is on.
const WRITES: usize = 5;

/// A key or a machine, as far as the test looks at it.
#[derive(Clone, Debug, Deserialize)]
struct Named {
    name: String,
}

fn names(sites: &Sites, at: &str, noun: &str) -> Result<BTreeSet<String>> {
    let all: Vec<Named> = sites.read(at, &[noun, "ls"])?;
    Ok(all.into_iter().map(|it| it.name).collect())
}

/// Writes at one node, again and again, until it is told to stop. What was acknowledged, and the
/// longest time between two acknowledgements.
fn write(sites: &Sites, at: &str, run: usize, stop: &AtomicBool) -> Result<Written> {
    let mut written = Written::default();
    let mut last = Instant::now();
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let name = format!("{at}-{run}-{number}");
        let answer = if number % 2 == 0 {
            sites.ask(at, &["key", "add", &name])?
        } else {
            let size = ["--memory", "128MiB", "--disk", "64MiB"];
            sites
                .ask(at, &[&["machine", "define", &name, "--image", "guest"][..], &size].concat())?
        };
        if answer.code != 0 {
            continue;
        }
        written.longest = written.longest.max(last.elapsed());
        last = Instant::now();
        let kind = if number % 2 == 0 { &mut written.keys } else { &mut written.machines };
        kind.insert(name);
    }
    Ok(written)
}

#[derive(Debug, Default)]
struct Written {
    keys: BTreeSet<String>,
    machines: BTreeSet<String>,
    longest: Duration,
}

impl Written {
    fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.machines.extend(other.machines);
        self.longest = self.longest.max(other.longest);
    }
}

/// Kills the leader while all nodes are written at, and starts it again.
fn kill_under_load(world: &mut World, run: usize, all: &mut Written) -> Result<()> {
    let victim = leader(&world.sites, NODES[0], &NODES)?;
    let sites = world.sites.clone();
    let stop = AtomicBool::new(false);
    let before = names(&sites, NODES[0], "key")?.len();
    let written = thread::scope(|scope| -> Result<Vec<Written>> {
        let (sites, stop) = (&sites, &stop);
        let writers: Vec<_> =
            NODES.iter().map(|at| scope.spawn(move || write(sites, at, run, stop))).collect();
        let survivor = NODES.into_iter().find(|node| *node != victim).context("no other node")?;
        let more = |than: usize| {
            until("acknowledged writes", || Ok(names(sites, survivor, "key")?.len() > than))
        };
        let killed = more(before + WRITES).and_then(|()| world.kill_node(victim)).and_then(|()| {
            let at = Instant::now();
            more(names(sites, survivor, "key")?.len() + WRITES)?;
            Ok(at.elapsed())
        });
        stop.store(true, Ordering::Release);
        let ended = writers.into_iter().map(|it| it.join().map_err(|_| anyhow!("a panic"))?);
        let written = ended.collect::<Result<Vec<_>>>()?;
        let longest = NODES
            .into_iter()
            .zip(&written)
            .filter(|(node, _)| *node != victim)
            .map(|(_, written)| written.longest)
            .max();
        writeln!(
            std::io::stderr(),
            "{victim} killed while it led: at the others no write was acknowledged for {longest:?} \
             at the longest; {WRITES} more keys were there after {:?}",
            killed?
        )?;
        Ok(written)
    })?;
    for one in written {
        all.add(one);
    }
    world.start_node(victim)?;
    until_voters(&world.sites, victim, NODES.len())?;
    for node in NODES {
        let (keys, machines) = (names(&sites, node, "key")?, names(&sites, node, "machine")?);
        let lost: Vec<&String> =
            all.keys.difference(&keys).chain(all.machines.difference(&machines)).collect();
        ensure!(lost.is_empty(), "{node} has lost what was acknowledged: {lost:?}");
    }
    Ok(())
}

#[test]
fn real_site_of_three_nodes_goes_on_without_its_leader_and_replaces_a_node() -> Result<()> {
    let mut plan = Plan::three(None).with_nodes(NODES[0], NODES.len())?;
    // Its nodes are what it is about, not the market.
    plan.sites[0].vcpus = 1;
    let mut world = World::start("membership", &plan)?;
    let sites = world.sites.clone();
    until_voters(&sites, NODES[0], NODES.len())?;
    let mut all = Written::default();
    for run in 0..KILLS {
        kill_under_load(&mut world, run, &mut all)?;
    }
    writeln!(
        std::io::stderr(),
        "{} keys and {} machines were acknowledged, and all are there",
        all.keys.len(),
        all.machines.len()
    )?;
    ensure!(all.keys.len() > KILLS * WRITES && !all.machines.is_empty(), "too little happened");

    // Whoever leads, another takes over when it is asked for.
    for number in [2, 3, 1] {
        let said = sites.say(NODES[0], &["site", "node", "lead", &number.to_string()])?;
        writeln!(std::io::stderr(), "{}", said.trim())?;
    }

    who_is_lost_leaves_before_who_lives(&mut world)?;
    let ids: Vec<usize> = nodes(&sites, NODES[2])?.into_iter().map(|node| node.id).collect();
    ensure!(ids == [1, 4, 5], "the number of a node that left is not used again: {ids:?}");
    let keys = names(&sites, NODES[2], "key")?;
    ensure!(all.keys.is_subset(&keys), "the new node lacks what was acknowledged");

    // The peers speak to whichever node is there.
    world.kill_node(NODES[0])?;
    until("a peer that is connected", || {
        let peers: serde_json::Value = sites.read("beta", &["peer", "ls"])?;
        let peers = peers.as_array().context("a list of peers")?;
        Ok(peers.iter().any(|peer| peer["name"] == "alpha" && !peer["connected_since"].is_null()))
    })?;
    world.start_node(NODES[0])?;
    until_voters(&sites, NODES[0], NODES.len())?;
    world.close()
}

/// A node is lost for good while another is to leave: that one is needed, and stays until the lost one
/// is taken out as well. Then others take their places.
fn who_is_lost_leaves_before_who_lives(world: &mut World) -> Result<()> {
    let sites = world.sites.clone();
    let [first, second, third] = NODES;
    world.kill_node(third)?;
    until("the loss to be seen", || {
        Ok(nodes(&sites, first)?.iter().any(|node| node.id == 3 && !node.reachable))
    })?;
    sites.say(first, &["site", "node", "remove", "2"])?;
    for number in 0..WRITES {
        sites.say(first, &["key", "add", &format!("needed-{number}")])?;
        let stays = nodes(&sites, second)?.into_iter().any(|node| node.id == 2 && node.votes());
        ensure!(stays, "node 2 has left, and of two votes one is lost");
    }
    sites.say(second, &["site", "node", "remove", "3"])?;
    until("both removals", || Ok(nodes(&sites, first)?.len() == 1))?;
    sites.say(first, &["key", "add", "alone"])?;
    for place in [second, third] {
        world.replace_node(place, first)?;
    }
    until_voters(&sites, third, NODES.len())
}

#[test]
fn real_machines_run_on_every_host_of_a_site_and_are_heard_at_every_node() -> Result<()> {
    let mut plan = Plan::three(None).with_nodes(NODES[0], NODES.len())?;
    // One machine fills a host, so that three need all of them.
    plan.sites[0].vcpus = 1;
    plan.sites.truncate(1);
    plan.sites[0].peers.clear();
    let world = World::start("hosts", &plan)?;
    let sites = world.sites.clone();
    until("three hosts that take machines", || {
        let show = sites.show(NODES[2])?;
        let hosts = show["inside"]["hosts"].as_array().context("a list of hosts")?;
        Ok(hosts.len() == 3 && hosts.iter().all(|host| host["trouble"] == ""))
    })?;
    let file = world.file("all.yaml", &manifest("all", &[("app", 3, None)]))?;
    // The image was registered at the first node, and the service is submitted at another.
    sites.say(NODES[1], &["service", "submit", &file])?;
    let machines = sites.machines(NODES[2])?;
    let mut hosts = BTreeSet::new();
    for machine in &machines {
        let host = machine.place.as_ref().and_then(|place| place.host.clone());
        let host = host.with_context(|| format!("{machine:?} has no host"))?;
        let uuid = sites.uuid(NODES[0], machine)?;
        until("a guest that beats", || {
            Ok(Pulse::read(&sites.keeps(&host, uuid))?.boots.len() == 1)
        })?;
        ensure!(sites.domains(&host)?.contains_key(&uuid), "{host} does not run {machine:?}");
        for node in NODES {
            let heard = sites.say(node, &["machine", "console", &machine.name, "--for", "3"])?;
            ensure!(heard.contains("reservoir-guest boot="), "{node} hears of {host}: {heard}");
        }
        hosts.insert(host);
    }
    ensure!(hosts == NODES.map(str::to_owned).into(), "machines on {hosts:?}");
    let refused = sites.ask(NODES[0], &["site", "node", "remove", "2"])?;
    ensure!(refused.err.contains("move or destroy them first"), "{refused:?}");
    sites.say(NODES[2], &["service", "end", "all"])?;
    world.close()
}
