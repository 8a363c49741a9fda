//! A peer that means harm, with its true keys and software of its own, against a site of three nodes:
//! it speaks where only that site's own nodes may, it lies, and it floods. It is turned away, an
//! operator sees what it did, and the site serves its own tenants all the while.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use federation::Channel;
use protocol::codec;
use protocol::ids::{RequestId, SiteId};
use protocol::site::Command;
use protocol::site::command::OperatorAsk;
use protocol::site::state::Role;
use protocol::wire::v1::NodeRequest;
use protocol::wire::v1::machine::Question;
use serde::Serialize;
use serde_json::Value;
use testnet::Plan;
use uuid::Uuid;

use crate::nodes::{leader, until_voters};
use crate::rogue::{Heard, Keys, LINES, Line, flood};
use crate::world::{World, manifest, note, until};

/// The site whose keys are misused.
const ROGUE: &str = "alpha";

/// The nodes of the site that it turns against, by their numbers.
const NODES: [&str; 3] = ["beta", "beta-2", "beta-3"];

/// The key that the rogue would like to have there.
const BACKDOOR: &str = "backdoor";

/// How often it is tried to do harm to Raft: beside other work the nodes may elect another leader on
/// their own, but not every time.
const TRIES: usize = 3;

/// Keys that are taken into use, beside a machine, while the flood lasts.
const WRITES: usize = 10;

/// What a connection may make a node hold: 128 streams of 256 KiB that are not read yet, and 5 MiB of
/// requests that are.
const LINE_MEMORY: u64 = (128 << 18) + (5 << 20);

/// What the node itself may take more meanwhile, as it does under any load: the tables that its
/// database fills in memory before it writes them down.
const OWN_MEMORY: u64 = 64 << 20;

#[test]
fn real_a_peer_that_means_harm_is_turned_away_and_seen_and_costs_little() -> Result<()> {
    let mut plan = Plan::three(None).with_nodes(NODES[0], NODES.len())?;
    plan.sites.truncate(2);
    for site in &mut plan.sites {
        site.peers.retain(|peer| peer != "gamma");
    }
    let mut world = World::start("hostility", &plan)?;
    let begun = Instant::now();
    until_voters(&world.sites, NODES[0], NODES.len())?;
    until("the peer", || Ok(is_connected(&seen(&world, NODES[0])?)))?;
    let keys = Keys::of(&world.data(ROGUE)?)?;
    world.kill_node(ROGUE)?;

    let leader = leader(&world.sites, NODES[0], &NODES)?;
    let mut others = NODES.into_iter().filter(|node| *node != leader);
    let (second, third) = (others.next().context("a node")?, others.next().context("a node")?);
    inner_channels_are_shut_to_another_site(&world, &keys, [leader, second])?;
    note(begun, "no inner channel was open to it");
    the_certificate_is_what_makes_the_difference(&mut world, second, third)?;
    note(begun, "they are to a node of the site's own");
    lies_are_seen(&world, &keys, third)?;
    note(begun, "its lies are seen");
    a_flood_leaves_the_site_to_its_own_tenants(&mut world, &keys, leader)?;
    note(begun, "its flood is over");
    honest_words_go_through_again(&mut world, second)?;
    note(begun, "it is an honest peer again");
    world.close()
}

/// Where the bus of a node of [`NODES`] is.
fn address(node: &str) -> Result<String> {
    let number = NODES.iter().position(|it| *it == node).context("no such node")? + 2;
    Ok(format!("/ip4/203.0.113.{number}/tcp/7401"))
}

/// Does something in the rogue's network. What it begins goes on beside it, on threads that are there
/// too.
fn play<T: Send>(world: &World, part: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    world.inside(ROGUE, || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.context("make a runtime")?.block_on(part())
    })?
}

/// The rogue, as an operator sees it at a node.
fn seen(world: &World, at: &str) -> Result<Value> {
    world.sites.read(at, &["peer", "show", ROGUE])
}

fn is_connected(peer: &Value) -> bool {
    !peer["connected_since"].is_null()
}

/// How often a node has counted something of the rogue.
fn count(world: &World, at: &str, what: &str) -> Result<u64> {
    seen(world, at)?["counters"][what].as_u64().with_context(|| format!("no counter of {what}"))
}

/// Who leads in which term, as every node has it.
fn order(world: &World) -> Result<Vec<Value>> {
    let mut order = Vec::new();
    for node in NODES {
        let node = &world.sites.show(node)?["node"];
        order.extend([node["leader"].clone(), node["term"].clone()]);
    }
    Ok(order)
}

/// The beginning of Raft's messages, as the log's own crate has them.
#[derive(Serialize)]
enum Raft {
    #[expect(dead_code, reason = "it stands before the other")]
    Append,
    /// A vote asked for by a node in a term, which is not committed, and its last entry with its
    /// term, node and index.
    Vote(((u64, u64), bool), Option<((u64, u64), u64)>),
}

fn inner_channels_are_shut_to_another_site(
    world: &World,
    keys: &Keys,
    nodes: [&str; 2],
) -> Result<()> {
    const FAR: u64 = 1 << 40;
    let ask = OperatorAsk::AddKey {
        name: BACKDOOR.parse()?,
        tenant: BACKDOOR.parse()?,
        role: Role::Operator,
        digest: [7; 32],
    };
    let request = RequestId::from_uuid(Uuid::from_u128(7));
    let proposal = NodeRequest::Propose(Box::new(Command::Operator { request, ask }));
    let vote = Raft::Vote(((FAR, 1), false), Some(((FAR, 1), FAR)));
    let words = [
        (Channel::Raft, codec::encode(&vote)),
        (Channel::Site, codec::encode(&NodeRequest::Stand)),
        (Channel::Site, codec::encode(&proposal)),
    ];
    for _ in 0..TRIES {
        let before = order(world)?;
        for node in nodes {
            speak_inside(world, keys, node, &words)?;
        }
        if order(world)? == before {
            return Ok(());
        }
    }
    bail!("{TRIES} times another node led, or led in another term, than before")
}

/// Says words on inner channels of a node, each of which costs the connection.
fn speak_inside(
    world: &World,
    keys: &Keys,
    node: &str,
    words: &[(Channel, Vec<u8>)],
) -> Result<()> {
    let (address, mut times) = (address(node)?, count(world, node, "foul")?);
    for (channel, body) in words {
        play(world, async || {
            let mut line = Line::open(keys, &address).await?;
            let heard = line.ask(*channel, body).await?;
            ensure!(heard == Heard::Nothing, "{node} answers {heard:?}");
            line.closed().await
        })?;
        times += 1;
        until("the breach in 'peer show'", || Ok(count(world, node, "foul")? == times))?;
    }
    let told = world.sites.say(node, &["peer", "show", ROGUE])?;
    ensure!(told.contains(&format!("{times} foul")), "{told}");
    let keys: Vec<Value> = world.sites.read(node, &["key", "ls"])?;
    ensure!(keys.iter().all(|key| key["name"] != BACKDOOR), "{keys:?}");
    Ok(())
}

/// The same channels are open to the keys of a node of the site's own, in the same words.
fn the_certificate_is_what_makes_the_difference(
    world: &mut World,
    asked: &str,
    lent: &str,
) -> Result<()> {
    world.kill_node(lent)?;
    let keys = Keys::of(&world.data(lent)?)?;
    let address = address(asked)?;
    let number = NODES.iter().position(|it| *it == lent).context("no such node")? as u64 + 1;
    // It stands in a term that is long over, so that nobody heeds it.
    let vote = codec::encode(&Raft::Vote(((0, number), false), None));
    play(world, async || {
        for (channel, body) in
            [(Channel::Raft, vote), (Channel::Site, codec::encode(&NodeRequest::HasRoot))]
        {
            let mut line = Line::open(&keys, &address).await?;
            let heard = line.ask(channel, &body).await?;
            ensure!(matches!(heard, Heard::Answer(_)), "{asked} answers {heard:?}");
        }
        Ok(())
    })?;
    world.start_node(lent)?;
    until_voters(&world.sites, asked, NODES.len())
}

/// Adverts that are none make it a peer whose adverts are not even read; a delivery that it has
/// altered after it was signed ends the connection.
fn lies_are_seen(world: &World, keys: &Keys, at: &str) -> Result<()> {
    let (address, foul) = (address(at)?, count(world, at, "foul")?);
    let mut delivery = codec::encode(&keys.delivery(site(world, at)?)?);
    *delivery.last_mut().context("an empty delivery")? ^= 1;
    let adverts = |number: u64| codec::encode(&("all the room in the world", number));
    let adverts: Vec<_> = (0..10).map(adverts).collect();
    play(world, async || {
        let mut line = Line::open(keys, &address).await?;
        line.tell(&adverts).await?;
        until("a peer that is not read", || {
            Ok(seen(world, at)?["nodes"][0]["is_graylisted"] == true)
        })?;
        let told = world.sites.say(at, &["peer", "show", ROGUE])?;
        ensure!(told.contains("(unread)"), "{told}");
        let heard = line.ask(Channel::Outbox, &delivery).await?;
        ensure!(heard == Heard::Nothing, "{at} answers {heard:?}");
        line.closed().await
    })?;
    ensure!(count(world, at, "adverts_rejected")? >= 3);
    until("the forgery in 'peer show'", || Ok(count(world, at, "foul")? == foul + 1))
}

fn site(world: &World, at: &str) -> Result<SiteId> {
    let show = world.sites.show(at)?;
    show["id"].as_str().context("a site without an id")?.parse().context("read a site's id")
}

/// So many bytes of memory, by a line of the kernel's account of a process.
fn memory(pid: i32, line: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("look at a process")?;
    let found = status.lines().find_map(|it| it.strip_prefix(line)?.strip_suffix(" kB"));
    let kib: u64 =
        found.context("an account of memory")?.trim().parse().context("read a number")?;
    Ok(kib << 10)
}

fn a_flood_leaves_the_site_to_its_own_tenants(
    world: &mut World,
    keys: &Keys,
    at: &str,
) -> Result<()> {
    let pid = world.pids(at)?[2].context("a node runs")?;
    let address = address(at)?;
    // What costs the most, which goes through Raft before it is refused, and more of it at once than is
    // worked on; and what is answered at once, so that it is soon too much.
    let words = [
        (Channel::Outbox, codec::encode(&keys.delivery(site(world, at)?)?)),
        (Channel::Machine, codec::encode(&Question::Site { after: None })),
    ];
    let before = memory(pid, "VmRSS:")?;
    // From here on the kernel notes the most that it ever was (proc(5), clear_refs).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("forget the peak")?;
    let log = world.sites.directory(at).join("log/reservoir.log");
    let begun = Instant::now();
    let stop = AtomicBool::new(false);
    let shared = &*world;
    let flooded = thread::scope(|scope| {
        let flooding =
            scope.spawn(|| play(shared, async || flood(keys, &address, &words, &stop).await));
        let served = own_tenants_are_served(shared, at);
        stop.store(true, Ordering::Release);
        let flooded = flooding.join().map_err(|_| anyhow!("a panic"))??;
        served.map(|()| flooded)
    })?;
    let peak = memory(pid, "VmHWM:")?;
    let told = world.sites.say(at, &["peer", "show", ROGUE])?;
    note(begun, &format!("{flooded:?}: {before} bytes, {peak} at the most\n{told}"));
    // However often it comes, the log tells of it a hundred times, and then once in a second.
    let lines = fs::read_to_string(&log).context("read a log")?;
    let lines = lines.lines().filter(|line| line.contains("did not pass the hello")).count();
    let lines_max = 100 + begun.elapsed().as_secs() + 1;
    ensure!(lines as u64 <= lines_max, "{lines} lines of the log tell of the same");
    let bound = LINES as u64 * LINE_MEMORY + OWN_MEMORY;
    ensure!(peak < before + bound, "{peak} bytes is more than {bound} above {before}");
    if world.pids(at)?[2] != Some(pid) {
        bail!("the node has ended");
    }
    Ok(())
}

/// Until the flooder is shunned, and again while it is: keys, a list, and a machine that runs.
fn own_tenants_are_served(world: &World, at: &str) -> Result<()> {
    let serve = |when: &str| -> Result<()> {
        for number in 0..WRITES {
            world.sites.say(at, &["key", "add", &format!("{when}-{number}")])?;
        }
        let file = format!("{when}.yaml");
        let file = world.file(&file, &manifest(when, &[("app", 1, Some(NODES[0]))]))?;
        world.sites.say(at, &["service", "submit", &file])?;
        is_run(world, at, &format!("{when}/app-1"))
    };
    let begun = Instant::now();
    serve("flooded")?;
    note(begun, "keys and a machine, beside the flood");
    until("a peer that is shunned", || Ok(seen(world, at)?["is_shunned"] == true))?;
    note(begun, "the flooder is shunned");
    serve("shunning")?;
    note(begun, "keys and a machine, while it is shunned");
    let told = world.sites.say(at, &["peer", "show", ROGUE])?;
    ensure!(told.contains("yes, it sends more than it may"), "{told}");
    let ignored = count(world, at, "limited")? + count(world, at, "busy")?;
    ensure!(ignored > 0, "all of it was worked on: {told}");
    until("that it is turned away", || Ok(count(world, at, "refused")? > 0))
}

/// The true node comes back. One node of the site shuns it for a while; the others do not.
fn honest_words_go_through_again(world: &mut World, at: &str) -> Result<()> {
    let number = NODES.iter().position(|it| *it == at).context("no such node")? + 1;
    world.sites.say(at, &["site", "node", "lead", &number.to_string()])?;
    world.start_node(ROGUE)?;
    until("the peer", || Ok(is_connected(&seen(world, at)?)))?;
    let file = world.file("bought.yaml", &manifest("bought", &[("app", 1, Some(NODES[0]))]))?;
    world.sites.say(ROGUE, &["service", "submit", &file])?;
    is_run(world, ROGUE, "bought/app-1")
}

/// A machine is active, and libvirt runs it at a node of the site.
fn is_run(world: &World, home: &str, name: &str) -> Result<()> {
    let machine = world.sites.machine(home, name)?;
    ensure!(machine.state == "ACTIVE" && machine.site()? == NODES[0], "{machine:?}");
    let site = if home == ROGUE { ROGUE } else { NODES[0] };
    let uuid = world.sites.uuid(site, &machine)?;
    for node in NODES {
        if world.sites.domains(node)?.get(&uuid).is_some_and(|state| state == "running") {
            return Ok(());
        }
    }
    bail!("libvirt runs {machine:?} at none of the nodes")
}
