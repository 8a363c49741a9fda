//! What tenants do while nodes are killed, and what they may rely on: a model beside the sites.
//!
//! A tenant repeats what was not answered until it is, and believes what was. From the verbs
//! alone follows how often each guest has booted, and that is what the end is judged by.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use protocol::ids::Mint;
use protocol::time::Timestamp;
use testnet::wait_for;

use crate::sites::{Answer, Machine, PATIENCE, REFUSED, Sites, UNREACHABLE};

/// The most machines at once: one less than the sites have processors for.
const MACHINES_MAX: usize = 7;

/// A seeded stream of draws, from the generator that sites use themselves.
pub(crate) struct Chance(Mint);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(Mint::new(Timestamp::default(), bytes))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// One of several; none of none.
    pub(crate) fn pick<T: Clone>(&mut self, among: &[T]) -> Option<T> {
        let bound = u64::try_from(among.len()).ok()?;
        let index = usize::try_from(self.below(bound)).ok()?;
        among.get(index).cloned()
    }
}

/// How often a guest has been started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Life {
    /// From nothing: each is a boot.
    pub(crate) boots: usize,
    /// From saved memory: none is.
    pub(crate) restores: usize,
}

/// How far a service was when a tenant last knew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// Its submission was acknowledged.
    Acknowledged,
    /// There was no room for it, or not everybody could be asked.
    Refused,
    /// Its end was acknowledged.
    Ended,
}

/// A service that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) home: &'static str,
    pub(crate) fate: Fate,
    pub(crate) machines: BTreeMap<String, Life>,
}

impl Known {
    /// Waits until it runs or is refused; a refusal has its reasons.
    pub(crate) fn settle(&mut self, sites: &Sites) -> Result<()> {
        let show = ["service", "show", &self.name];
        let settled = wait_for(&format!("{} to settle", self.name), PATIENCE, || {
            let answer = sites.ask(self.home, &[&["-o", "json"], &show[..]].concat())?;
            if answer.code == UNREACHABLE {
                return Ok(None);
            }
            ensure!(answer.code == 0, "{} is not known at {}: {answer:?}", self.name, self.home);
            let service: serde_json::Value = serde_json::from_str(&answer.out)?;
            let stage = service["stage"].as_str().unwrap_or_default().to_owned();
            Ok(["RUNNING", "REFUSED"].contains(&stage.as_str()).then_some(service))
        })?;
        if settled["stage"] == "REFUSED" {
            let machines = settled["machines"].as_array().context("a service without machines")?;
            ensure!(machines.iter().all(|it| it["reason"] != ""), "no reason: {settled}");
            self.fate = Fate::Refused;
        }
        Ok(())
    }
}

/// What a tenant does next.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Submit a service with the manifest in a file.
    Submit { service: Known, file: String },
    /// Lead a machine of a service to rest by a verb, and back to ACTIVE.
    Cycle { service: Known, machine: String, verb: &'static str },
    /// End a service.
    End { service: Known },
}

impl Deed {
    /// Does it, through every outage; answers what the tenant knows of the service afterwards.
    pub(crate) fn perform(self, sites: &Sites) -> Result<Known> {
        match self {
            Self::Submit { service, file } => {
                let words = ["service", "submit", "--detach", &file];
                // That the name is taken means that a submission before was not answered.
                insist(sites, service.home, &words, |answer| answer.err.contains("name_taken"))?;
                Ok(service)
            }
            Self::Cycle { mut service, machine, verb } => {
                service.settle(sites)?;
                if service.fate == Fate::Acknowledged {
                    cycle(sites, &mut service, &machine, verb)?;
                }
                Ok(service)
            }
            Self::End { mut service } => {
                service.settle(sites)?;
                for (name, life) in &service.machines {
                    if service.fate == Fate::Acknowledged {
                        sites.beats(service.home, &look(sites, service.home, name)?, life.boots)?;
                    }
                }
                insist(sites, service.home, &["service", "end", &service.name], |_| false)?;
                service.fate = Fate::Ended;
                Ok(service)
            }
        }
    }
}

/// Leads a machine to rest and back. A guest that has not been heard yet is let boot first, so
/// that every boot is heard.
fn cycle(sites: &Sites, service: &mut Known, name: &str, verb: &str) -> Result<()> {
    let life = service.machines.get_mut(name).context("a machine of another service")?;
    sites.beats(service.home, &look(sites, service.home, name)?, life.boots)?;
    for verb in [verb, "activate"] {
        insist(sites, service.home, &["machine", verb, name], |_| false)?;
    }
    match verb {
        "shutdown" => life.boots += 1,
        "suspend" => life.restores += 1,
        _ => {}
    }
    Ok(())
}

/// A machine as its home sees it, once the home can be asked.
fn look(sites: &Sites, home: &str, name: &str) -> Result<Machine> {
    let out = insist(sites, home, &["-o", "json", "machine", "show", name], |_| false)?;
    serde_json::from_str(&out).with_context(|| format!("read {out}"))
}

/// Says something until the site has taken it. A refusal counts as that if it says that it was
/// done before.
fn insist(
    sites: &Sites,
    home: &str,
    words: &[&str],
    is_done: impl Fn(&Answer) -> bool,
) -> Result<String> {
    let start = Instant::now();
    loop {
        let answer = sites.ask(home, words)?;
        match answer.code {
            0 => return Ok(answer.out),
            REFUSED if is_done(&answer) => return Ok(answer.out),
            UNREACHABLE if start.elapsed() < PATIENCE => {}
            _ => bail!("{home}: reservoir {}: {answer:?}", words.join(" ")),
        }
    }
}

/// All services that were acknowledged, and the next deeds.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    pub(crate) services: BTreeMap<String, Known>,
    submitted: usize,
    /// Cycles that were done, by their verb.
    pub(crate) cycles: BTreeMap<&'static str, usize>,
}

impl Workload {
    /// Draws two deeds of different services, or as many as there are.
    pub(crate) fn draw(
        &mut self,
        chance: &mut Chance,
        homes: &[&'static str],
        file: impl Fn(&Known) -> Result<String>,
    ) -> Result<Vec<Deed>> {
        let mut deeds = Vec::new();
        let mut busy = BTreeSet::new();
        for _ in 0..2 {
            let free: Vec<&Known> = self
                .services
                .values()
                .filter(|it| it.fate != Fate::Ended && !busy.contains(&it.name))
                .collect();
            let room = MACHINES_MAX.saturating_sub(self.machines());
            if room > 0 && (free.is_empty() || chance.below(3) == 0) {
                let service = self.submission(chance, homes, room)?;
                busy.insert(service.name.clone());
                deeds.push(Deed::Submit { file: file(&service)?, service });
                continue;
            }
            let Some(service) = chance.pick(&free).cloned() else { continue };
            busy.insert(service.name.clone());
            if service.fate == Fate::Refused || chance.below(8) == 0 {
                deeds.push(Deed::End { service });
                continue;
            }
            let names: Vec<String> = service.machines.keys().cloned().collect();
            let machine = chance.pick(&names).context("a service without machines")?;
            let verb = chance.pick(&["pause", "suspend", "shutdown"]).context("no verb")?;
            deeds.push(Deed::Cycle { service, machine, verb });
        }
        Ok(deeds)
    }

    fn submission(
        &mut self,
        chance: &mut Chance,
        homes: &[&'static str],
        room: usize,
    ) -> Result<Known> {
        self.submitted += 1;
        let name = format!("s{}", self.submitted);
        let count = 1 + usize::from(chance.below(2) == 1 && room > 1);
        let home = chance.pick(homes).context("no site to submit at")?;
        let life = Life { boots: 1, restores: 0 };
        let machines = (1..=count).map(|number| (format!("{name}/app-{number}"), life)).collect();
        let service = Known { name: name.clone(), home, fate: Fate::Acknowledged, machines };
        self.services.insert(name, service.clone());
        Ok(service)
    }

    /// Takes note of what a deed came to.
    pub(crate) fn note(&mut self, deed: &Deed, service: Known) {
        if let Deed::Cycle { verb, .. } = deed
            && service.fate == Fate::Acknowledged
        {
            *self.cycles.entry(*verb).or_default() += 1;
        }
        self.services.insert(service.name.clone(), service);
    }

    fn machines(&self) -> usize {
        let living = self.services.values().filter(|it| it.fate != Fate::Ended);
        living.map(|it| it.machines.len()).sum()
    }
}
