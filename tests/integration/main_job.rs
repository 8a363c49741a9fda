//! The main job, as a newcomer does it: `testnet/up`, a look around, every verb of a machine's
//! life on a machine at home and on one at a peer, `testnet/down`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::console::Pulse;
use crate::sites::{Answer, Machine, Sites};
use crate::terminal;
use crate::traces::Traces;
use crate::world::{keep, program, until};

/// The site at which `testnet/up` submits its service.
const HOME: &str = "alpha";

const SITES: [&str; 3] = [HOME, "beta", "gamma"];

/// The testnet of the scripts. However the test ends, it is taken down.
struct Scripts {
    place: TempDir,
    is_up: bool,
}

impl Scripts {
    fn directory(&self) -> PathBuf {
        self.place.path().join("net")
    }

    /// Runs `testnet/up` or `testnet/down`, with what has been built already.
    fn run(&mut self, script: &str) -> Result<Answer> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let built = program("reservoir")?;
        let target = built.ancestors().nth(2).context("programs lie in a target directory")?;
        self.is_up = true;
        let output = Command::new(root.join("testnet").join(script))
            .env("CARGO_TARGET_DIR", target)
            .env("RESERVOIR_TESTNET", self.directory())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run testnet/{script}"))?;
        let answer: Answer = output.into();
        ensure!(answer.code == 0, "testnet/{script}: {answer:?}");
        self.is_up = script == "up";
        Ok(answer)
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        if self.is_up {
            keep(&self.directory(), "main_job");
            // The test has failed already, and this is all that can be done about what it leaves.
            drop(self.run("down"));
        }
    }
}

#[test]
fn real_the_main_job_runs_here_and_at_peers_and_leaves_nothing() -> Result<()> {
    let place = tempfile::tempdir().context("make a directory")?;
    let mut scripts = Scripts { place, is_up: false };
    let said = scripts.run("up")?.out;
    let sites = Sites::meet(&scripts.directory(), SITES)?;

    let machines = sites.machines(HOME)?;
    service_spans_sites(&sites, &machines)?;
    for machine in &machines {
        ensure!(said.contains(&machine.name), "up tells where {} is: {said}", machine.name);
        sites.beats(HOME, machine, 1)?;
    }

    scripts.run("up")?;
    ensure!(sites.machines(HOME)? == machines, "a second up changes nothing");
    a_plan_changes_nothing(&sites)?;

    let at_peer = |machine: &&Machine| machine.site().is_ok_and(|site| site != HOME);
    let at_home = |machine: &&Machine| machine.site().is_ok_and(|site| site == HOME);
    let here = machines.iter().find(at_home).context("no machine at home")?;
    let there = machines.iter().find(at_peer).context("no machine at a peer")?;
    let console = sites.say(HOME, &["machine", "console", &there.name, "--for", "3"])?;
    let mut heard = Pulse::default();
    heard.listen(&console);
    ensure!(heard.boots == sites.pulse(HOME, there)?.boots, "another guest's console: {console}");
    terminal::console_is_raw_until_detached(&sites.program(HOME), &there.name)?;
    for machine in [here, there] {
        Walk::of(&sites, machine)?.through_all_verbs()?;
    }

    let traces = Traces::of(&scripts.directory())?;
    ensure!(traces.namespaces() == SITES.len() + 1, "each site and the Internet: {traces:?}");
    ensure!(traces.found()?.len() > SITES.len(), "what runs leaves traces: {traces:?}");
    scripts.run("down")?;
    ensure!(traces.found()?.is_empty(), "down leaves {:?}", traces.found()?);
    for interface in fs::read_dir("/sys/class/net").context("list interfaces")? {
        let name = interface.context("list interfaces")?.file_name();
        let name = name.to_string_lossy().into_owned();
        ensure!(!SITES.iter().any(|site| name == format!("rsv-{site}")), "down leaves {name}");
    }
    Ok(())
}

/// Every machine is ACTIVE and has one running guest where the home says; home has room for
/// some of them and not for all.
fn service_spans_sites(sites: &Sites, machines: &[Machine]) -> Result<()> {
    let mut placed: BTreeMap<&str, usize> = BTreeMap::new();
    for machine in machines {
        ensure!(machine.state == "ACTIVE", "{machine:?}");
        let uuid = sites.uuid(HOME, machine)?;
        let state = sites.domains(machine.site()?)?.get(&uuid).cloned();
        ensure!(state.as_deref() == Some("running"), "libvirt has {state:?} for {machine:?}");
        *placed.entry(machine.site()?).or_default() += 1;
    }
    for site in SITES {
        let guests = sites.domains(site)?.len();
        ensure!(placed.get(site).copied().unwrap_or_default() == guests, "{site}: {guests} guests");
    }
    ensure!(placed.len() >= 2 && placed.contains_key(HOME), "at two sites or more: {placed:?}");
    let host = &sites.show(HOME)?["inside"]["hosts"][0];
    ensure!(host["promised"]["vcpus"] == host["capacity"]["vcpus"], "home is full: {host}");
    Ok(())
}

fn a_plan_changes_nothing(sites: &Sites) -> Result<()> {
    let view = || -> Result<[Value; 3]> {
        let read = |words: &[&str]| sites.read(HOME, words);
        Ok([
            read(&["service", "ls"])?,
            read(&["machine", "ls", "--all"])?,
            read(&["site", "show"])?,
        ])
    };
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/three-tier.yaml");
    let before = view()?;
    let plan: Value = sites.read(HOME, &["service", "submit", "--plan", example])?;
    let planned = plan["machines"].as_array().context("a plan without machines")?;
    ensure!(planned.len() == 5, "{plan}");
    ensure!(planned.iter().any(|machine| machine["place"]["site"] == "gamma"), "{plan}");
    ensure!(planned.iter().all(|machine| machine["place"]["site"] != HOME), "{plan}");
    ensure!(view()? == before, "a plan changes nothing");
    Ok(())
}

/// A machine on its way through all states, looked at from all sides.
struct Walk<'a> {
    sites: &'a Sites,
    name: &'a str,
    /// The host that runs it, and what libvirt there calls it.
    host: &'a str,
    uuid: Uuid,
}

impl<'a> Walk<'a> {
    fn of(sites: &'a Sites, machine: &'a Machine) -> Result<Self> {
        let uuid = sites.uuid(HOME, machine)?;
        Ok(Self { sites, name: &machine.name, host: machine.site()?, uuid })
    }

    fn through_all_verbs(&self) -> Result<()> {
        let first = self.pulse(1)?;
        self.step("pause", "PAUSED", Some("paused"))?;
        let paused = self.heard()?;
        self.step("activate", "ACTIVE", Some("running"))?;
        self.goes_on(&paused)?;

        self.step("suspend", "SUSPENDED", None)?;
        let suspended = self.heard()?;
        self.refused("pause")?;
        self.refused("shutdown")?;
        self.step("activate", "ACTIVE", Some("running"))?;
        self.goes_on(&suspended)?;
        ensure!(self.heard()?.boots == first.boots, "{}: one boot until here", self.name);

        self.step("shutdown", "DEFINED", None)?;
        self.refused("pause")?;
        self.refused("suspend")?;
        self.step("activate", "ACTIVE", Some("running"))?;
        let second = self.pulse(2)?;
        ensure!(second.boots.is_superset(&first.boots), "{}: {first:?} {second:?}", self.name);

        self.step("destroy", "DESTROYED", None)?;
        self.refused("activate")?;
        let kept = self.sites.keeps(self.host, self.uuid);
        until("its disks' end", || Ok(!kept.exists()))
    }

    /// Says a verb twice: the first leads to `state`, the second is success and changes nothing.
    fn step(&self, verb: &str, state: &str, domain: Option<&str>) -> Result<()> {
        self.sites.say(HOME, &["machine", verb, self.name])?;
        let reached = self.seen()?;
        ensure!(reached.0.state == state, "after {verb}: {reached:?}");
        ensure!(reached.1.as_deref() == domain, "after {verb} on {}: {reached:?}", self.host);
        self.sites.say(HOME, &["machine", verb, self.name])?;
        let again = self.seen()?;
        ensure!(again == reached, "{verb} again: {reached:?}, then {again:?}");
        Ok(())
    }

    /// Says a verb that does not lead from where the machine is.
    fn refused(&self, verb: &str) -> Result<()> {
        let before = self.seen()?;
        let answer = self.sites.ask(HOME, &["machine", verb, self.name])?;
        let named = answer.err.contains("illegal_step") && answer.err.contains(&before.0.state);
        ensure!(answer.code == 3 && named, "{verb} from {before:?}: {answer:?}");
        ensure!(self.seen()? == before, "a refused {verb} changes nothing");
        Ok(())
    }

    /// What the home says of the machine, and what libvirt does where it runs.
    fn seen(&self) -> Result<(Machine, Option<String>)> {
        let machine = self.sites.machine(HOME, self.name)?;
        Ok((machine, self.sites.domains(self.host)?.remove(&self.uuid)))
    }

    fn heard(&self) -> Result<Pulse> {
        Pulse::read(&self.sites.keeps(self.host, self.uuid))
    }

    /// Waits until the guest beats in the last of so many boots.
    fn pulse(&self, boots: usize) -> Result<Pulse> {
        self.sites.beats(HOME, &self.sites.machine(HOME, self.name)?, boots)
    }

    /// The guest goes on from where it stood: the same boot, and a later beat of it.
    fn goes_on(&self, stood: &Pulse) -> Result<()> {
        let (boot, beat) = stood.last.context("a guest that never said anything")?;
        until("a later beat", || {
            let pulse = self.heard()?;
            ensure!(pulse.boots == stood.boots, "another boot: {stood:?}, then {pulse:?}");
            Ok(pulse.last.is_some_and(|(its, later)| its == boot && later > beat))
        })
    }
}
