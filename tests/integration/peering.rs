//! Peering is each side's own policy, changed while the nodes run: whom a site buys of and sells
//! to, at which price, up to which credit, what a peer may see, and how two sites part.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testnet::Plan;

use crate::copies::Copies;
use crate::sites::{Answer, NOT_FOUND, REFUSED};
use crate::world::{World, duplicate, manifest, note, until};

const HOME: &str = "alpha";

/// The peer that sells to HOME, and buys nothing of it.
const SELLER: &str = "beta";

/// The peer that says two things.
const LIAR: &str = "gamma";

/// Where a machine may run that is to come home when its peer is drained.
const ANYWHERE: &str = "alpha, beta";

/// Where the bus of a site is.
fn address(site: &str) -> Result<String> {
    let number = [HOME, SELLER, LIAR].iter().position(|it| *it == site).context("no site")? + 1;
    Ok(format!("/ip4/203.0.113.{number}/tcp/7401"))
}

/// Adds a peer at a site that runs.
fn add(world: &World, at: &str, peer: &str, settings: &[&str]) -> Result<()> {
    let id = world.sites.show(peer)?["id"].as_str().context("a site without an id")?.to_owned();
    let words = ["peer", "add", &id, "--name", peer, "--address", &address(peer)?];
    let words = [&words[..], settings].concat();
    let said = world.sites.say(at, &words)?;
    ensure!(world.sites.say(at, &words)? == said, "to add a peer again changes nothing");
    Ok(())
}

/// A peer as a site shows it.
fn peer(world: &World, at: &str, name: &str) -> Result<Value> {
    world.sites.read(at, &["peer", "show", name])
}

fn until_connected(world: &World, at: &str, name: &str) -> Result<()> {
    until("the peer", || Ok(!peer(world, at, name)?["connected_since"].is_null()))
}

/// Submits a service of one machine that one of some sites is to run.
fn submit(world: &World, at: &str, service: &str, site: &str) -> Result<Answer> {
    let text = manifest(service, &[("app", 1, Some(site))]);
    let file = world.file(&format!("{service}.yaml"), &text)?;
    world.sites.ask(at, &["service", "submit", &file])
}

/// The same, and it must run.
fn deploy<'a>(world: &'a World, at: &str, service: &str, site: &str) -> Result<Copies<'a>> {
    let answer = submit(world, at, service, site)?;
    ensure!(answer.code == 0, "{service}: {answer:?}");
    let machine = world.sites.machine(at, &format!("{service}/app-1"))?;
    Copies::of(&world.sites, at, &machine)
}

/// Submits what must be refused, with a reason that the buyer reads in the answer and afterwards.
fn refused(world: &World, at: &str, service: &str, site: &str, reason: &str) -> Result<()> {
    let answer = submit(world, at, service, site)?;
    ensure!(answer.code == REFUSED && answer.err.contains(reason), "{service}: {answer:?}");
    let machine = world.sites.machine(at, &format!("{service}/app-1"))?;
    ensure!(machine.state == "FAILED" && machine.reason.contains(reason), "{machine:?}");
    note(Instant::now(), &format!("{service}: {}", machine.reason));
    world.sites.say(at, &["service", "end", service])?;
    Ok(())
}

/// What the agreement about a service's machine costs for an hour, in millionths.
fn price(world: &World, at: &str, service: &str) -> Result<u64> {
    let all: Vec<Value> = world.sites.read(at, &["agreement", "ls"])?;
    let name = format!("{service}/app-1");
    let found = all.iter().find(|it| it["name"] == name.as_str());
    let price = found.and_then(|it| it["price"].as_str());
    let price = price.with_context(|| format!("no agreement about {name}: {all:?}"))?;
    let (whole, part) = price.split_once('.').context("a price has millionths")?;
    format!("{whole}{part:0<6}").parse().with_context(|| price.to_owned())
}

#[test]
fn real_peers_set_their_own_policies_while_they_run_and_part() -> Result<()> {
    let mut plan = Plan::three(None);
    for site in &mut plan.sites {
        site.peers.clear();
        site.vcpus = 4;
    }
    plan.sites[1].sla.insert("gold".to_owned(), "1.500".to_owned());
    let mut world = World::start("peering", &plan)?;
    let nodes = [HOME, SELLER].map(|site| world.pids(site).map(|all| all[2]));
    one_side_buys_and_the_other_does_not(&world)?;
    what_is_promised_has_its_price(&world)?;
    a_seller_sets_its_price_and_its_credit(&world)?;
    they_part_once_nothing_stands_in_the_way(&world)?;
    for (site, before) in [HOME, SELLER].into_iter().zip(nodes) {
        ensure!(world.pids(site)?[2] == before?, "{site} was not restarted");
    }
    who_says_two_things_is_shown(&mut world)?;
    world.close()
}

fn one_side_buys_and_the_other_does_not(world: &World) -> Result<()> {
    // So that what may run at home runs at the peer at first.
    world.sites.say(HOME, &["host", "drain", HOME])?;
    add(world, HOME, SELLER, &["sells-to=no"])?;
    add(world, SELLER, HOME, &["buys-from=no"])?;
    until_connected(world, HOME, SELLER)?;
    until_connected(world, SELLER, HOME)?;
    refused(world, SELLER, "unwanted", HOME, "no peer could be asked")?;
    world.sites.say(SELLER, &["peer", "policy", HOME, "buys-from=yes"])?;
    refused(world, SELLER, "unserved", HOME, "that site does not sell to this one")?;

    // What a peer shows of itself opens with the first machine, and is of one's own machines.
    let closed = world.sites.ask(HOME, &["peer", "monitor", SELLER])?;
    ensure!(closed.code != 0 && closed.err.contains("has none"), "{closed:?}");
    deploy(world, SELLER, "private", SELLER)?;
    deploy(world, HOME, "shop", ANYWHERE)?;
    let seen: Value = world.sites.read(HOME, &["peer", "monitor", SELLER])?;
    let machines = seen["machines"].as_array().context("no list of machines")?;
    ensure!(machines.len() == 1 && machines[0]["name"] == "shop/app-1", "{seen}");
    let none = world.sites.ask(SELLER, &["peer", "monitor", HOME])?;
    ensure!(none.code != 0 && none.err.contains("has none"), "{none:?}");
    Ok(())
}

fn what_is_promised_has_its_price(world: &World) -> Result<()> {
    let text = manifest("promised", &[("app", 1, Some(ANYWHERE))]) + "    sla: Gold\n";
    let file = world.file("promised.yaml", &text)?;
    note(Instant::now(), &world.sites.say(HOME, &["service", "submit", &file, "--plan"])?);
    world.sites.say(HOME, &["service", "submit", &file])?;
    let (plain, promised) = (price(world, HOME, "shop")?, price(world, HOME, "promised")?);
    ensure!(promised.abs_diff(plain * 3 / 2) <= 1, "{plain} and {promised}");
    let all: Vec<Value> = world.sites.read(HOME, &["agreement", "ls"])?;
    let classes: Vec<&Value> = all.iter().map(|it| &it["class"]).collect();
    ensure!(classes.contains(&&json!("gold")), "{all:?}");
    world.sites.say(HOME, &["service", "end", "promised"])?;
    Ok(())
}

fn a_seller_sets_its_price_and_its_credit(world: &World) -> Result<()> {
    let said = world.sites.say(SELLER, &["peer", "policy", HOME, "price-factor=2"])?;
    note(Instant::now(), &said);
    deploy(world, HOME, "dear", ANYWHERE)?;
    let (before, after) = (price(world, HOME, "shop")?, price(world, HOME, "dear")?);
    ensure!(after == before * 2, "{before} and {after}");
    ensure!(price(world, HOME, "shop")? == before, "what was agreed on stands");
    let credit = format!("credit=0.{:06}", before + after + 1);
    world.sites.say(SELLER, &["peer", "policy", HOME, &credit])?;
    refused(world, HOME, "beyond", SELLER, "it would exceed the credit")?;
    world.sites.say(SELLER, &["peer", "policy", HOME, "credit=none", "machines-max=2"])?;
    refused(world, HOME, "more", SELLER, "lets this one have no more machines")
}

/// A drained peer is left by what may run elsewhere; then, and not before, the two can part.
fn they_part_once_nothing_stands_in_the_way(world: &World) -> Result<()> {
    for (at, name) in [(HOME, SELLER), (SELLER, HOME)] {
        let answer = world.sites.ask(at, &["peer", "rm", name])?;
        ensure!(answer.code == REFUSED, "{answer:?}");
        let [there, here] = if at == HOME { [2, 0] } else { [0, 2] };
        let why = format!("{there} machines of this site are at peer '{name}', and {here} of its");
        ensure!(answer.err.contains(&why), "{answer:?}");
    }
    world.sites.say(HOME, &["host", "enable", HOME])?;
    let begun = Instant::now();
    let said = world.sites.say(HOME, &["peer", "drain", SELLER])?;
    note(begun, &said);
    for service in ["shop", "dear"] {
        let machine = world.sites.machine(HOME, &format!("{service}/app-1"))?;
        Copies::of(&world.sites, HOME, &machine)?.moves(SELLER, &[HOME])?;
    }
    until("nothing to be left there", || {
        let shown = peer(world, HOME, SELLER)?;
        Ok(shown["standing"] == "drained" && shown["machines_there"] == 0)
    })?;
    note(begun, &world.sites.say(HOME, &["peer", "ls"])?);
    let closed = world.sites.ask(HOME, &["peer", "monitor", SELLER])?;
    ensure!(closed.code != 0 && closed.err.contains("has none"), "{closed:?}");
    for (at, name) in [(HOME, SELLER), (SELLER, HOME)] {
        until("the last machine to be gone", || {
            Ok(peer(world, at, name)?["account"]["machines"] == 0)
        })?;
        world.sites.say(at, &["peer", "rm", name])?;
        let gone = world.sites.ask(at, &["peer", "show", name])?;
        ensure!(gone.code == NOT_FOUND, "{gone:?}");
    }
    let left = world.sites.domains(SELLER)?.len();
    ensure!(left == 1, "its own machine runs on, and nothing else: {left}");
    Ok(())
}

/// A peer whose disk was put back to what it was says other things under numbers that it has used.
/// What it had signed proves it, and is shown.
fn who_says_two_things_is_shown(world: &mut World) -> Result<()> {
    add(world, HOME, LIAR, &[])?;
    add(world, LIAR, HOME, &[])?;
    until_connected(world, HOME, LIAR)?;
    deploy(world, HOME, "first", LIAR)?;
    let state = world.data(LIAR)?.join("state");
    let kept = state.with_extension("kept");
    world.kill_node(LIAR)?;
    duplicate(&state, &kept)?;
    world.start_node(LIAR)?;
    until_connected(world, HOME, LIAR)?;
    deploy(world, HOME, "second", LIAR)?;
    ensure!(
        peer(world, HOME, LIAR)?["contradictions"] == json!([]),
        "it has said one thing so far"
    );
    world.kill_node(LIAR)?;
    fs::remove_dir_all(&state).context("lose the disk")?;
    fs::rename(&kept, &state).context("put the disk back")?;
    world.start_node(LIAR)?;
    // What it says next it says under a number that it does not know it has used.
    let all: Vec<Value> = world.sites.read(LIAR, &["agreement", "ls"])?;
    let [first] = &all[..] else { bail!("it knows of one agreement: {all:?}") };
    let first = first["id"].as_str().context("an agreement without an id")?;
    world.sites.say(LIAR, &["agreement", "terminate", first])?;
    until("the contradiction in 'peer show'", || {
        let shown = peer(world, HOME, LIAR)?;
        let said = shown["contradictions"].as_array().context("no list of contradictions")?;
        Ok(said.iter().any(|it| it["of"] == "messages" && it["digests"][0] != it["digests"][1]))
    })?;
    note(Instant::now(), &world.sites.say(HOME, &["peer", "show", LIAR])?);
    Ok(())
}
