//! What must not get in, and what must not get out of hand: manifests that say nonsense, peers
//! that nobody knows, bytes that mean nothing, and a hypervisor that goes away.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testnet::{Plan, SitePlan, wait_for};

use crate::console::Pulse;
use crate::sites::{Machine, PATIENCE};
use crate::world::{World, manifest, until};

/// Where the service is at home that nothing may harm.
const HOME: &str = "alpha";

/// A site that knows its peer, and is not known there.
const STRANGER: &str = "delta";

#[test]
fn real_bad_input_and_a_lost_libvirtd_harm_nothing() -> Result<()> {
    let mut plan = Plan::three(None);
    let mut stranger = SitePlan { name: STRANGER.to_owned(), ..plan.sites[1].clone() };
    stranger.peers = vec![HOME.to_owned()];
    plan.sites.push(stranger);
    let mut world = World::start("bad_input", &plan)?;
    let parts = [("web", 1, Some(HOME)), ("database", 1, Some("beta"))];
    let file = world.file("shop.yaml", &manifest("shop", &parts))?;
    world.sites.say(HOME, &["service", "submit", &file])?;
    let machines = world.sites.machines(HOME)?;
    ensure!(machines.len() == 2, "{machines:?}");
    for machine in &machines {
        world.sites.beats(HOME, machine, 1)?;
    }

    bad_manifests_are_refused_with_place_and_reason(&world)?;
    a_stranger_is_turned_away(&world)?;
    a_forged_certificate_is_turned_away(&mut world)?;
    garbage_is_survived(&mut world)?;
    a_lost_libvirtd_is_said_and_healed(&mut world)?;

    for machine in &machines {
        ensure!(world.sites.machine(HOME, &machine.name)? == *machine, "{machine:?} was harmed");
        world.sites.beats(HOME, machine, 1)?;
    }
    world.close()
}

/// What a bad manifest is changed from: two components, one after the other.
const GOOD: &str = "\
service: bad
components:
  front:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    after: [back]
  back:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
";

fn bad_manifests_are_refused_with_place_and_reason(world: &World) -> Result<()> {
    let long = format!("service: {}", "n".repeat(300));
    // What is wrong, what is put for what, where that is, and a word of the reason.
    let cases = [
        ("an unknown key", ("    after: [back]", "    colour: red"), "8:5", "colour"),
        ("a cycle", ("  back:\n", "  back:\n    after: [front]\n"), "10:13", "wait for each other"),
        ("a negative size", ("memory: 128MiB", "memory: -128MiB"), "6:13", "memory must be"),
        ("an unknown image", ("image: guest", "image: nobody"), "4:12", "no image 'nobody'"),
        ("a name too long", ("service: bad", long.as_str()), "1:10", "63"),
    ];
    let stored = || -> Result<Value> {
        let mut site = world.sites.show(HOME)?;
        // The stranger goes on knocking, which is no part of the site's state.
        site["inside"]["refused"] = Value::Null;
        Ok(json!([site, world.sites.read::<Value>(HOME, &["machine", "ls", "--all"])?]))
    };
    let (services, before) = (world.sites.services(HOME)?, stored()?);
    for (what, (from, to), place, reason) in cases {
        let text = GOOD.replacen(from, to, 1);
        ensure!(text != GOOD, "{what} is in the manifest");
        let file = world.file("bad.yaml", &text)?;
        let answer = world.sites.ask(HOME, &["service", "submit", &file])?;
        ensure!(answer.code == 3, "{what}: {answer:?}");
        let said = format!("{file}:{place}: ");
        ensure!(answer.err.contains(&said) && answer.err.contains(reason), "{what}: {answer:?}");
        let answer = world.sites.ask(HOME, &["-o", "json", "service", "submit", &file])?;
        let problem: Value = serde_json::from_str(&answer.err)
            .or_else(|_| serde_json::from_str(&answer.out))
            .with_context(|| format!("{what}: {answer:?}"))?;
        let fault = &problem["faults"][0];
        ensure!(format!("{}:{}", fault["line"], fault["column"]) == place, "{what}: {problem}");
    }
    ensure!(world.sites.services(HOME)? == services, "nothing is stored");
    ensure!(stored()? == before, "nothing is stored: {before}, now {}", stored()?);
    // The same without its fault is good, so it was the fault that was refused.
    let file = world.file("good.yaml", GOOD)?;
    world.sites.say(HOME, &["service", "submit", "--plan", &file])?;
    Ok(())
}

/// Waits until a node lists that it has turned somebody away; answers what it says.
pub(crate) fn refusal(world: &World, at: &str, claimed: &Value, reason: &str) -> Result<Value> {
    wait_for("a refusal in 'site show'", PATIENCE, || {
        let show = world.sites.show(at)?;
        let refused = show["inside"]["refused"].as_array().context("no list of refusals")?;
        let is_it = |it: &&Value| {
            it["by_us"] == true
                && it["claimed"] == *claimed
                && it["reason"].as_str().is_some_and(|said| said.contains(reason))
        };
        Ok(refused.iter().find(is_it).cloned())
    })
    .with_context(|| format!("{:?}", world.sites.show(at)))
}

fn a_stranger_is_turned_away(world: &World) -> Result<()> {
    let stranger = world.sites.show(STRANGER)?;
    refusal(world, HOME, &stranger["id"], "not among the peers")?;
    let peers: Value = world.sites.read(STRANGER, &["peer", "ls"])?;
    ensure!(peers[0]["connected_since"].is_null(), "{peers}");
    // The stranger may not buy, and serves itself.
    let file = world.file("abroad.yaml", &manifest("abroad", &[("app", 1, Some(HOME))]))?;
    let answer = world.sites.ask(STRANGER, &["service", "submit", &file])?;
    ensure!(answer.code == 3, "{answer:?}");
    ensure!(world.sites.domains(STRANGER)?.is_empty() && world.sites.domains(HOME)?.len() == 1);
    Ok(())
}

/// Has the node in a directory claim to be of another's site: it puts that site's root key into its
/// own certificate, which begins with that key and is not signed by it.
pub(crate) fn forge(own: &Path, another: &Path) -> Result<()> {
    const KEY_LENGTH: usize = 32;
    let (own, another) = (own.join("keys"), another.join("keys"));
    let mut forged = fs::read(own.join("node.cert")).context("read the true certificate")?;
    let claim = fs::read(another.join("node.cert")).context("read another's certificate")?;
    forged[..KEY_LENGTH].copy_from_slice(&claim[..KEY_LENGTH]);
    fs::write(own.join("node.cert"), forged).context("forge a certificate")?;
    fs::copy(another.join("root.pub"), own.join("root.pub")).context("claim another's key")?;
    Ok(())
}

/// The stranger claims to be beta.
fn a_forged_certificate_is_turned_away(world: &mut World) -> Result<()> {
    let (beta, stranger) = (world.data("beta")?, world.data(STRANGER)?);
    world.kill_node(STRANGER)?;
    forge(&stranger, &beta)?;
    fs::remove_dir_all(stranger.join("state")).context("drop the true site")?;
    world.start_node(STRANGER)?;
    let claimed = world.sites.show("beta")?["id"].clone();
    ensure!(world.sites.show(STRANGER)?["id"] == claimed, "the forger claims to be beta");
    refusal(world, HOME, &claimed, "not signed by its site's root key")?;
    // The real one is not mistaken for it.
    let peers: Value = world.sites.read(HOME, &["peer", "ls"])?;
    let real = peers.as_array().and_then(|all| all.iter().find(|it| it["name"] == "beta"));
    ensure!(real.is_some_and(|it| !it["connected_since"].is_null()), "{peers}");
    world.kill_node(STRANGER)
}

/// Bytes that are no handshake, to each port, many connections at a time.
fn garbage_is_survived(world: &mut World) -> Result<()> {
    /// Eight connections with a quarter of a MiB each; what the other end does to them is its own.
    const SEND: &str = "for i in 1 2 3 4 5 6 7 8; do \
        busybox dd if=/dev/urandom bs=4096 count=64 2>/dev/null | \
        busybox timeout 5 busybox nc $0 $1 >/dev/null 2>&1 & done; wait";
    let node = world.pids(HOME)?[2].context("no node")?;
    world.run("gamma", &["sh", "-c", SEND, "203.0.113.1", "7401"])?;
    world.run(HOME, &["sh", "-c", SEND, "127.0.0.1", "7400"])?;
    ensure!(world.pids(HOME)?[2] == Some(node), "the node has not ended");
    world.sites.show(HOME)?;
    until("the peers", || {
        let peers: Value = world.sites.read(HOME, &["peer", "ls"])?;
        let all = peers.as_array().context("no list of peers")?;
        Ok(all.iter().all(|it| !it["connected_since"].is_null()))
    })
}

fn a_lost_libvirtd_is_said_and_healed(world: &mut World) -> Result<()> {
    const HOST: &str = "beta";
    let trouble = |world: &World| -> Result<String> {
        let show = world.sites.show(HOST)?;
        let said = show["inside"]["hosts"][0]["trouble"].as_str().map(str::to_owned);
        said.context("a host without a word on its trouble")
    };
    let guests = world.sites.domains(HOST)?;
    let there = |world: &World| -> Result<Machine> { world.sites.machine(HOME, "shop/database-1") };
    let before: Pulse = world.sites.pulse(HOME, &there(world)?)?;
    world.kill_libvirtd(HOST)?;
    until("the host's trouble in 'site show'", || Ok(!trouble(world)?.is_empty()))?;

    // It keeps serving: what can run elsewhere does, what cannot is refused, and says why.
    world.sites.services(HOST)?;
    let file = world.file("else.yaml", &manifest("else", &[("app", 1, None)]))?;
    world.sites.say(HOST, &["service", "submit", &file])?;
    let placed = world.sites.machine(HOST, "else/app-1")?;
    ensure!(placed.state == "ACTIVE" && placed.site()? != HOST, "{placed:?}");
    let file = world.file("only.yaml", &manifest("only", &[("app", 1, Some(HOST))]))?;
    let answer = world.sites.ask(HOST, &["service", "submit", &file])?;
    let refused = world.sites.machine(HOST, "only/app-1")?;
    ensure!(answer.code == 3 && !refused.reason.is_empty(), "{answer:?} {refused:?}");
    ensure!(!trouble(world)?.is_empty(), "libvirtd came back by itself");

    world.start_libvirtd(HOST)?;
    until("the end of the trouble", || Ok(trouble(world)?.is_empty()))?;
    ensure!(world.sites.domains(HOST)? == guests, "the same guests run");
    let after = world.sites.beats(HOME, &there(world)?, 1)?;
    ensure!(after.boots == before.boots && after.last > before.last, "{before:?}, now {after:?}");
    let file = world.file("again.yaml", &manifest("again", &[("app", 1, Some(HOST))]))?;
    world.sites.say(HOST, &["service", "submit", &file])?;
    ensure!(world.sites.domains(HOST)?.len() == guests.len() + 1, "the host takes machines again");
    Ok(())
}
