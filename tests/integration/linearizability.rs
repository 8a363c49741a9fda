//! A site of three nodes is one site: whoever asks at whichever of them, while its leader is
//! killed, frozen or cut off, sees one order of all that was done.
//!
//! The registers are peers' policies: how many machines a peer may have. Clients at all nodes write
//! and read the same register at a time, over the REST interface, and give up early, as clients do.
//! `RESERVOIR_ROUNDS` says how many faults there are, and `RESERVOIR_SEED` when.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use protocol::ids::SiteId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use stateright::semantics::register::{RegisterOp, RegisterRet};
use testnet::Plan;

use crate::history::{History, Op, Told, Value};
use crate::nodes::{leader, until_voters};
use crate::sites::{Answer, NOT_FOUND, Sites, UNREACHABLE};
use crate::workload::Chance;
use crate::world::{World, note, until};

/// The nodes of the site, by their numbers.
const NODES: [&str; 3] = ["alpha", "alpha-2", "alpha-3"];

/// How many clients there are at each node.
const CLIENTS: usize = 2;

/// How many operations a register sees: a search through their orders is short.
const OPERATIONS: usize = 16;

/// How many registers are left at most between two rounds: a site has 512 peers at most.
const REGISTERS_KEPT: usize = 256;

/// How many operations have to end once a fault is over.
const AFTERWARDS: usize = 12;

/// When a fault begins and how long it lasts, in milliseconds: from within an election to well
/// beyond it.
const FAULT_WITHIN: u64 = 800;
const FAULT_FOR: Range<u64> = 500..3000;

/// The seed and the number of rounds, unless the environment says otherwise.
const SEED: u64 = 1;
const ROUNDS: u64 = 8;

/// The exit code of `timeout`, when the client had not ended.
const GIVEN_UP: i32 = 137;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Its process is killed.
    Kill,
    /// Nothing reaches it from the other nodes, nor the other way round.
    Cut,
    /// Its process stands still, and then goes on as if nothing had been.
    Freeze,
}

/// What goes wrong in each round, and whether to the node that leads or to another one.
const FAULTS: [(Fault, bool); 4] =
    [(Fault::Cut, true), (Fault::Kill, true), (Fault::Freeze, true), (Fault::Cut, false)];

impl Fault {
    fn begin(self, world: &mut World, victim: &str) -> Result<()> {
        match self {
            Self::Kill => world.kill_node(victim),
            Self::Cut => others(victim).try_for_each(|other| world.cut(victim, other)),
            Self::Freeze => signal(world, victim, Signal::STOP),
        }
    }

    fn end(self, world: &mut World, victim: &str) -> Result<()> {
        match self {
            Self::Kill => world.start_node(victim),
            Self::Cut => others(victim).try_for_each(|other| world.heal(victim, other)),
            Self::Freeze => signal(world, victim, Signal::CONT),
        }
    }
}

fn others(node: &str) -> impl Iterator<Item = &'static str> {
    NODES.into_iter().filter(move |other| *other != node)
}

fn signal(world: &mut World, node: &str, signal: Signal) -> Result<()> {
    let pid = world.pids(node)?[2].and_then(Pid::from_raw);
    kill_process(pid.context("the node does not run")?, signal).context("signal a node")
}

/// What the clients share.
#[derive(Debug, Default)]
struct Shared {
    history: Mutex<History>,
    begun: AtomicUsize,
    ended: AtomicUsize,
    stop: AtomicBool,
}

const HISTORY: &str = "nothing that holds the history panics";

impl Shared {
    /// Reads and writes at one node until it is told to stop. All clients work on one register
    /// until that has seen enough.
    fn work(&self, sites: &Sites, at: &str, mut chance: Chance) -> Result<()> {
        while !self.stop.load(Ordering::Acquire) {
            let number = self.begun.fetch_add(1, Ordering::AcqRel);
            let register = number / OPERATIONS;
            // Every write has a value of its own.
            let value = u32::try_from(number + 1).context("count the operations")?;
            let op = match chance.below(2) {
                0 => RegisterOp::Read,
                _ => RegisterOp::Write(Some(value)),
            };
            let call = self.history.lock().expect(HISTORY).asked(register, op.clone());
            if let Some(told) = perform(sites, at, register, &op)? {
                self.history.lock().expect(HISTORY).told(register, call, told);
            }
            self.ended.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// Takes registers away that have seen enough, if there are many.
fn tidy(sites: &Sites, shared: &Shared, kept: &mut usize) -> Result<()> {
    let current = shared.begun.load(Ordering::Acquire) / OPERATIONS;
    if current - *kept < REGISTERS_KEPT {
        return Ok(());
    }
    for register in *kept..current {
        let answer = sites.ask(NODES[0], &["peer", "rm", &name(register)])?;
        ensure!([0, NOT_FOUND].contains(&answer.code), "{answer:?}");
    }
    *kept = current;
    Ok(())
}

fn name(register: usize) -> String {
    format!("peer-{register}")
}

/// Asks for one operation; none if what came of it is not known.
fn perform(sites: &Sites, at: &str, register: usize, op: &Op) -> Result<Option<Told>> {
    let name = name(register);
    let unknown = |answer: &Answer| matches!(answer.code, UNREACHABLE | GIVEN_UP | -1);
    match op {
        RegisterOp::Write(value) => {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&register.to_le_bytes());
            let site = SiteId::from_bytes(digest).to_string();
            let setting = format!("machines-max={}", value.context("nothing is not written")?);
            let words = ["peer", "add", &site, "--name", &name, &setting];
            match sites.ask_shortly(at, &words)? {
                answer if answer.code == 0 => Ok(Some(RegisterRet::WriteOk)),
                answer if unknown(&answer) => Ok(None),
                answer => bail!("{at}: {words:?}: {answer:?}"),
            }
        }
        RegisterOp::Read => {
            let words = ["-o", "json", "peer", "show", &name];
            match sites.ask_shortly(at, &words)? {
                answer if answer.code == 0 => {
                    let peer: Json = serde_json::from_str(&answer.out).context("read a peer")?;
                    let setting = peer["policy"]["machines-max"].as_str();
                    let value = setting.context("a policy without the setting")?.parse();
                    let value: Value = Some(value.with_context(|| answer.out.clone())?);
                    Ok(Some(RegisterRet::ReadOk(value)))
                }
                answer if answer.code == NOT_FOUND => Ok(Some(RegisterRet::ReadOk(None))),
                answer if unknown(&answer) => Ok(None),
                answer => bail!("{at}: {words:?}: {answer:?}"),
            }
        }
    }
}

/// A number from the environment, by which a person repeats or lengthens a run.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration file")]
fn asked_for(name: &str, usual: u64) -> Result<u64> {
    let Ok(text) = std::env::var(name) else { return Ok(usual) };
    text.parse().with_context(|| format!("{name} is a number"))
}

/// One fault, while all clients are at work; they stop only once the site has got over it.
fn round(world: &mut World, shared: &Shared, chance: &mut Chance, number: usize) -> Result<()> {
    let begun = Instant::now();
    let (fault, of_leader) = FAULTS[number % FAULTS.len()];
    let leads = leader(&world.sites, NODES[0], &NODES)?;
    let follower = chance.pick(&others(leads).collect::<Vec<_>>()).context("no other node")?;
    let victim = if of_leader { leads } else { follower };
    let when = chance.below(FAULT_WITHIN);
    let lasts = FAULT_FOR.start + chance.below(FAULT_FOR.end - FAULT_FOR.start);
    let sites = world.sites.clone();
    shared.stop.store(false, Ordering::Release);
    thread::scope(|scope| -> Result<()> {
        let clients: Vec<_> = NODES
            .into_iter()
            .flat_map(|node| [node; CLIENTS])
            .map(|node| (node, Chance::new(chance.below(u64::MAX))))
            .map(|(node, chance)| scope.spawn(|| shared.work(&sites, node, chance)))
            .collect();
        let struck = strike(world, shared, (fault, victim), [when, lasts]);
        shared.stop.store(true, Ordering::Release);
        for client in clients {
            client.join().map_err(|_| anyhow!("a panic"))??;
        }
        let ended = struck?;
        note(
            begun,
            &format!(
                "{fault:?} of {victim}, while {leads} led, after {when} ms for {lasts} ms: {ended} \
                 operations ended meanwhile"
            ),
        );
        Ok(())
    })
}

/// Lets a fault begin and end at the moments that the seed chose, and waits until operations end
/// again; answers how many did meanwhile.
fn strike(
    world: &mut World,
    shared: &Shared,
    (fault, victim): (Fault, &str),
    [when, lasts]: [u64; 2],
) -> Result<usize> {
    let ended = || shared.ended.load(Ordering::Acquire);
    // These are moments, not waits for anything.
    thread::sleep(Duration::from_millis(when));
    let before = ended();
    fault.begin(world, victim)?;
    thread::sleep(Duration::from_millis(lasts));
    let meanwhile = ended() - before;
    fault.end(world, victim)?;
    let healed = ended();
    until("operations that end", || Ok(ended() >= healed + AFTERWARDS))?;
    Ok(meanwhile)
}

#[test]
fn real_clients_at_all_nodes_see_one_order_of_what_was_done() -> Result<()> {
    let seed = asked_for("RESERVOIR_SEED", SEED)?;
    let rounds = usize::try_from(asked_for("RESERVOIR_ROUNDS", ROUNDS)?)?;
    let begun = Instant::now();
    note(
        begun,
        &format!(
            "replay with: RESERVOIR_SEED={seed} RESERVOIR_ROUNDS={rounds} tests/run -E \
             'test(real_clients_at_all_nodes)'"
        ),
    );
    let mut plan = Plan::three(None).with_nodes(NODES[0], NODES.len())?;
    plan.sites.truncate(1);
    plan.sites[0].peers.clear();
    let mut world = World::start("linearizability", &plan)?;
    until_voters(&world.sites, NODES[0], NODES.len())?;
    let (shared, mut chance) = (Shared::default(), Chance::new(seed));
    let mut kept = 0;
    for number in 0..rounds {
        round(&mut world, &shared, &mut chance, number)?;
        tidy(&world.sites, &shared, &mut kept)?;
    }
    let history = shared.history.into_inner().expect(HISTORY);
    history.judge()?;
    let [read, written, unknown] = history.census();
    note(
        begun,
        &format!(
            "{read} reads and {written} writes were answered, {unknown} writes were not: one order \
             explains them all"
        ),
    );
    // A run in which little happened would show little.
    let enough = rounds * OPERATIONS / 2;
    ensure!(read >= enough && written >= enough && unknown > 0, "too little happened");
    world.close()
}
