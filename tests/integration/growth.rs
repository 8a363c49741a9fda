//! A site of one node, whose guests have no deadline, grows to three and loses the first node at
//! once: its guest is stopped there before it runs on another host.

use std::time::Instant;

use anyhow::{Result, ensure};
use testnet::Plan;

use crate::copies::{Copies, Seen};
use crate::nodes::{nodes, until_voters};
use crate::world::{World, manifest, note, until};

/// The nodes of the site, each with its host.
const NODES: [&str; 3] = ["alpha", "alpha-2", "alpha-3"];

#[test]
fn real_guest_of_a_site_that_grows_and_loses_its_first_node_at_once_never_runs_twice() -> Result<()>
{
    let [first, second, third] = NODES;
    let mut plan = Plan::three(None).with_nodes(first, NODES.len())?;
    plan.sites.truncate(1);
    plan.sites[0].peers.clear();
    let mut world = World::start("growth", &plan)?;
    let sites = world.sites.clone();
    until_voters(&sites, first, NODES.len())?;
    for (number, left) in [("3", 2), ("2", 1)] {
        sites.say(first, &["site", "node", "remove", number])?;
        until("its removal", || Ok(nodes(&sites, first)?.len() == left))?;
    }

    let file = world.file("lone.yaml", &manifest("lone", &[("app", 1, None)]))?;
    sites.say(first, &["service", "submit", &file])?;
    let lone = Copies::of(&sites, first, &sites.machine(first, "lone/app-1")?)?;
    lone.beats_on(first)?;

    world.replace_node(second, first)?;
    // Once the first is gone, nobody else would have the image's files.
    sites.register(second, world.image())?;
    world.replace_node(third, first)?;
    until_voters(&sites, second, NODES.len())?;
    let since = Instant::now();
    ensure!(lone.look(first)? == Seen::Alive, "nobody has stopped it to grow");
    world.kill_node(first)?;
    note(since, "the first node is dead");
    lone.moves(first, &[second, third])?;
    world.start_node(first)?;
    lone.is_cleared(first)?;
    world.close()
}
