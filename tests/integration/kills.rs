//! `kill -9` of any node at any moment of work, and what must hold afterwards: what was
//! acknowledged is there, no machine was started twice, none was forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use testnet::Plan;
use uuid::Uuid;

use crate::sites::{Machine, Sites};
use crate::workload::{Chance, Deed, Fate, Known, Workload};
use crate::world::{World, manifest, until};

const SITES: [&str; 3] = ["alpha", "beta", "gamma"];

/// How many nodes are killed.
const KILLS: usize = 22;

/// When a node is killed, in milliseconds after work was begun: any moment of a deployment.
const KILL_WITHIN: u64 = 1500;

/// How long it stays dead, in milliseconds: from a client's first retry to beyond its last.
const DEAD_FOR: u64 = 2500;

/// The seed, unless `RESERVOIR_SEED` says otherwise.
const SEED: u64 = 1;

#[expect(clippy::disallowed_methods, reason = "a test has no configuration file")]
fn seed() -> Result<u64> {
    match std::env::var("RESERVOIR_SEED") {
        Ok(text) => text.parse().context("RESERVOIR_SEED is a number"),
        Err(_) => Ok(SEED),
    }
}

#[test]
fn real_nodes_are_killed_and_nothing_is_lost_doubled_or_forgotten() -> Result<()> {
    let seed = seed()?;
    writeln!(
        std::io::stderr(),
        "replay with: RESERVOIR_SEED={seed} tests/run -E 'test(real_nodes_are_killed)'"
    )?;
    let mut chance = Chance::new(seed);
    let mut world = World::start("kills", &Plan::three(None))?;
    let sites = world.sites.clone();
    let mut work = Workload::default();
    for _ in 0..KILLS {
        let deeds = work.draw(&mut chance, &SITES, |service| {
            let parts = u32::try_from(service.machines.len()).context("count machines")?;
            let text = manifest(&service.name, &[("app", parts, None)]);
            world.file(&format!("{}.yaml", service.name), &text)
        })?;
        let victim = chance.pick(&SITES).context("no site")?;
        let [when, pause] = [KILL_WITHIN, DEAD_FOR].map(|bound| chance.below(bound));
        let outcomes = thread::scope(|scope| -> Result<Vec<Result<Known>>> {
            let at_work: Vec<_> = deeds
                .iter()
                .map(|deed| {
                    let (deed, sites): (Deed, &Sites) = (deed.clone(), &sites);
                    scope.spawn(move || deed.perform(sites))
                })
                .collect();
            // These are the moments that the seed chose, not waits for anything.
            thread::sleep(Duration::from_millis(when));
            world.kill_node(victim)?;
            thread::sleep(Duration::from_millis(pause));
            world.start_node(victim)?;
            let ended = at_work.into_iter().map(|it| it.join().map_err(|_| anyhow!("a panic")));
            ended.collect()
        })?;
        for (deed, outcome) in deeds.iter().zip(outcomes) {
            let outcome = outcome.with_context(|| format!("{victim} killed during {deed:?}"))?;
            work.note(deed, outcome);
        }
    }
    judge(&sites, work)?;
    world.close()
}

/// Compares what the sites and their hosts have with what tenants were told.
fn judge(sites: &Sites, mut work: Workload) -> Result<()> {
    let mut wanted: BTreeMap<&str, BTreeSet<Uuid>> = BTreeMap::new();
    let mut machines = Vec::new();
    for service in work.services.values_mut() {
        if service.fate == Fate::Ended {
            let all = sites.services(service.home)?;
            let stage = all.iter().find(|it| it.name == service.name).map(|it| it.stage.as_str());
            ensure!(stage == Some("ENDED"), "{service:?} is {stage:?}");
            continue;
        }
        service.settle(sites)?;
        if service.fate == Fate::Acknowledged {
            let found = lives(sites, service)?;
            for machine in &found {
                let uuid = sites.uuid(service.home, machine)?;
                let site =
                    SITES.into_iter().find(|site| machine.site().is_ok_and(|it| it == *site));
                wanted.entry(site.context("another site")?).or_default().insert(uuid);
            }
            machines.extend(found);
        }
    }
    for site in SITES {
        let wanted = wanted.remove(site).unwrap_or_default();
        until("exactly the guests that should run", || {
            let domains = sites.domains(site)?;
            ensure!(wanted.iter().all(|uuid| domains.contains_key(uuid)), "{site}: {domains:?}");
            let all_run = domains.values().all(|state| state == "running");
            Ok(all_run && domains.into_keys().collect::<BTreeSet<_>>() == wanted)
        })
        .with_context(|| {
            format!("{site} should run {wanted:?}, and has {:?}", sites.domains(site))
        })?;
        until("exactly the guests that should have room", || {
            let host = &sites.show(site)?["inside"]["hosts"][0];
            let kinds = ["own_guests", "foreign_guests"].map(|kind| host[kind].as_u64());
            Ok(kinds.into_iter().flatten().sum::<u64>() == u64::try_from(wanted.len())?)
        })?;
    }
    // A run in which little happened would show little.
    let cycles: usize = work.cycles.values().sum();
    writeln!(
        std::io::stderr(),
        "{KILLS} kills, {} services, {} machines at the end, {:?}",
        work.services.len(),
        machines.len(),
        work.cycles
    )?;
    ensure!(machines.len() >= 3 && cycles >= 5, "too little happened: {work:?}");
    Ok(())
}

/// The machines of a service that runs: each is ACTIVE, was started as often as it was asked to
/// be, and booted once for each start that was not from saved memory.
fn lives(sites: &Sites, service: &Known) -> Result<Vec<Machine>> {
    let home = service.home;
    let present = sites.machines(home)?;
    let own = present.iter().filter(|it| it.service.as_deref() == Some(&service.name));
    let names: BTreeSet<&String> = own.map(|machine| &machine.name).collect();
    ensure!(names == service.machines.keys().collect(), "{service:?} has {names:?}");
    let mut found = Vec::new();
    for (name, life) in &service.machines {
        until("a machine that is ACTIVE", || Ok(sites.machine(home, name)?.state == "ACTIVE"))?;
        let machine = sites.machine(home, name)?;
        sites.beats(home, &machine, life.boots)?;
        let starts: Option<usize> =
            machine.epoch.split_once('.').and_then(|(_, starts)| starts.parse().ok());
        let asked = life.boots + life.restores;
        ensure!(starts == Some(asked), "started otherwise than {life:?}: {machine:?}");
        found.push(machine);
    }
    Ok(found)
}
