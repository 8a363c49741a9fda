//! A host as a model: a process or none, a file with saved memory or none, killed between any two
//! steps of what it does. Whatever happens, in whatever order, a guest's processors start at most
//! once in each epoch and from each save, and when the faults end it comes to where it should be. Its
//! memory may go elsewhere meanwhile; what may run there does not run here.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use expect_test::expect;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::super::guest::{Phase, Power, Progress, Seen};
use super::super::host::{Action, Found, Process, next};
use super::super::{Goal, Verb};
use super::START;
use crate::epoch::Epoch;
use crate::migration::handover::Outcome;
use crate::time::{Span, Timestamp};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The tenant says a verb.
    Verb(Verb),
    /// The host takes one elementary step.
    Step,
    /// The host is killed, and what it had begun stays half done.
    Kill,
    /// The step under way fails and is reported so.
    Fail,
    /// The guest ends by itself, or its process is killed.
    End,
    /// The guest has had its time to shut down.
    Overdue,
    /// An observation arrives, out of its order; perhaps it stays under way and arrives again.
    Arrive { which: usize, again: bool },
    /// Time passes.
    Pass(Span),
    /// Its memory is to go elsewhere.
    Leave,
    /// All of it is there. Whoever carries it does so in the place of the host's own steps, and not
    /// beside one that is half done.
    Copied,
    /// It is known what came of that.
    Told(Outcome),
}

/// What a process has in its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Memory {
    Fresh,
    FromSave(u32),
    Lived,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Make(Epoch, Memory),
    DeleteSaved,
    Run(Epoch),
    Stop(Epoch),
    WriteSaved(Epoch),
    EndProcess(Epoch),
    AskToEnd,
    Say(Epoch, Seen),
}

/// How often each phase led to each action.
type Census = BTreeMap<(&'static str, &'static str), u32>;

struct World {
    progress: Progress,
    now: Timestamp,
    process: Option<(Process, Memory)>,
    saved: Option<u32>,
    saves: u32,
    asked: bool,
    overdue: bool,
    program: VecDeque<Step>,
    under_way: Vec<(Epoch, Seen)>,
    boots: BTreeMap<Epoch, u32>,
    resumes: BTreeMap<u32, u32>,
    mishaps: u32,
    /// All of it is elsewhere, and it may run there.
    is_elsewhere: bool,
    census: Census,
}

impl World {
    fn new() -> Self {
        Self {
            progress: Progress::new(1, START),
            now: START,
            process: None,
            saved: None,
            saves: 0,
            asked: false,
            overdue: false,
            program: VecDeque::new(),
            under_way: Vec::new(),
            boots: BTreeMap::new(),
            resumes: BTreeMap::new(),
            mishaps: 0,
            is_elsewhere: false,
            census: Census::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        self.now = self.now + Span::from_secs(1);
        match event {
            Event::Verb(verb) if verb.leads_from(self.progress.goal) => {
                self.progress.order(verb.goal(), self.now);
            }
            Event::Verb(_) => {}
            Event::Step => self.step(),
            Event::Kill => self.program.clear(),
            Event::Fail => {
                if self.program.pop_front().is_some() {
                    self.program.clear();
                    self.mishaps += 1;
                    let reason = "a fault".to_owned();
                    self.under_way.push((self.progress.epoch, Seen::Failed { reason }));
                }
            }
            Event::End => {
                self.mishaps += u32::from(self.process.take().is_some());
                (self.asked, self.overdue) = (false, false);
            }
            Event::Overdue => self.overdue = self.asked,
            Event::Arrive { which, again } => {
                if !self.under_way.is_empty() {
                    let which = which % self.under_way.len();
                    let (epoch, seen) = self.under_way[which].clone();
                    if !again {
                        self.under_way.remove(which);
                    }
                    self.progress.observe(epoch, &seen, self.now);
                }
            }
            Event::Pass(span) => self.now = self.now + span,
            Event::Leave => {
                self.progress.leave(self.now);
            }
            Event::Copied => {
                let is_at_work = !self.program.is_empty() || self.progress.phase != Phase::Leaving;
                let epoch = self.progress.epoch;
                let process = self.process.as_mut().filter(|it| it.0.epoch == epoch);
                if let Some((process, _)) = process.filter(|_| !is_at_work) {
                    process.running = false;
                    self.is_elsewhere = true;
                }
            }
            // What is not there is not taken.
            Event::Told(Outcome::Moved) if !self.is_elsewhere => {}
            Event::Told(outcome) => {
                if matches!(self.progress.phase, Phase::Leaving | Phase::Missing) {
                    self.progress.told(outcome, self.now);
                    self.is_elsewhere &= outcome == Outcome::Moved;
                }
            }
        }
        self.judge();
    }

    /// Goes on with what was begun, or looks anew. The look happens before the step, so orders
    /// and observations come between the two.
    fn step(&mut self) {
        if let Some(step) = self.program.pop_front() {
            self.perform(step);
            return;
        }
        let process = self.process.map(|(process, _)| process);
        let found = Found { process, saved: self.saved.is_some(), overdue: self.overdue };
        let action = next(&self.progress, found);
        *self.census.entry((name(self.progress.phase), label(&action))).or_default() += 1;
        let epoch = self.progress.epoch;
        let memory = self.saved.map_or(Memory::Fresh, Memory::FromSave);
        self.program.extend(match action {
            Action::Nothing => vec![],
            Action::Prepare => vec![Step::Make(epoch, Memory::Fresh)],
            Action::Restore => vec![Step::Make(epoch, memory)],
            Action::Resume => vec![Step::DeleteSaved, Step::Run(epoch)],
            Action::Pause => vec![Step::Stop(epoch)],
            Action::Save => {
                vec![Step::Stop(epoch), Step::WriteSaved(epoch), Step::EndProcess(epoch)]
            }
            Action::Shutdown => vec![Step::AskToEnd],
            Action::Destroy(epoch) => vec![Step::EndProcess(epoch)],
            Action::Wipe => vec![Step::DeleteSaved, Step::Say(epoch, Seen::Released)],
            Action::Report(seen) => vec![Step::Say(epoch, seen)],
        });
    }

    fn perform(&mut self, step: Step) {
        let current = self.process.as_mut();
        match step {
            Step::Make(epoch, memory) => {
                if self.process.is_none() {
                    self.process = Some((Process { epoch, running: false }, memory));
                }
            }
            Step::DeleteSaved => self.saved = None,
            Step::Run(epoch) => {
                if let Some((process, memory)) = current.filter(|it| it.0.epoch == epoch) {
                    process.running = true;
                    match std::mem::replace(memory, Memory::Lived) {
                        Memory::Fresh => *self.boots.entry(epoch).or_default() += 1,
                        Memory::FromSave(save) => *self.resumes.entry(save).or_default() += 1,
                        Memory::Lived => {}
                    }
                }
            }
            Step::Stop(epoch) => {
                if let Some((process, _)) = current.filter(|it| it.0.epoch == epoch) {
                    process.running = false;
                }
            }
            Step::WriteSaved(epoch) => {
                if current.is_some_and(|it| it.0.epoch == epoch) {
                    self.saves += 1;
                    self.saved = Some(self.saves);
                }
            }
            Step::EndProcess(epoch) => {
                if current.is_some_and(|it| it.0.epoch == epoch) {
                    self.process = None;
                    (self.asked, self.overdue) = (false, false);
                }
            }
            Step::AskToEnd => self.asked = true,
            Step::Say(epoch, seen) => self.under_way.push((epoch, seen)),
        }
    }

    fn judge(&self) {
        let runs = self.process.is_some_and(|(process, _)| process.running);
        assert!(!runs || !self.is_elsewhere, "it runs here and may run elsewhere");
        for (epoch, boots) in &self.boots {
            assert!(*boots <= 1, "{boots} boots in epoch {epoch}");
        }
        for (save, resumes) in &self.resumes {
            assert!(*resumes <= 1, "save {save} was resumed {resumes} times");
        }
        if self.progress.phase == Phase::Saved && self.progress.goal != Goal::Destroyed {
            assert!(self.saved.is_some(), "the memory that is said to be saved is lost");
        }
    }

    /// Lets everything happen that still can, without faults.
    fn settle(&mut self) {
        for _ in 0..400 {
            while !self.under_way.is_empty() {
                self.happen(Event::Arrive { which: 0, again: false });
            }
            self.happen(Event::Step);
            self.happen(Event::Told(Outcome::Stays));
            self.overdue = self.asked;
        }
    }

    /// Whether the guest is where it should be, or has failed for a reason.
    fn judge_settled(&self) {
        let process = self.process.map(|(process, _)| process.running);
        let arrived = match self.progress.goal {
            Goal::Defined => self.progress.phase == Phase::Idle && process.is_none(),
            Goal::Active => {
                self.progress.phase == Phase::Started(Power::Running) && process == Some(true)
            }
            Goal::Paused => {
                self.progress.phase == Phase::Started(Power::Paused) && process == Some(false)
            }
            Goal::Suspended => {
                self.progress.phase == Phase::Saved && self.saved.is_some() && process.is_none()
            }
            Goal::Destroyed => self.progress.phase == Phase::Released && self.saved.is_none(),
        };
        let given_up = matches!(self.progress.phase, Phase::Failed | Phase::Saved)
            && self.mishaps > 0
            && process.is_none()
            && !self.progress.reason.is_empty();
        assert!(arrived || given_up, "{:?}, {process:?}, {:?}", self.progress, self.saved);
    }
}

const fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "Idle",
        Phase::Starting => "Starting",
        Phase::Started(Power::Prepared) => "Prepared",
        Phase::Started(Power::Running) => "Running",
        Phase::Started(Power::Paused) => "Paused",
        Phase::Saved => "Saved",
        Phase::Restoring => "Restoring",
        Phase::Leaving => "Leaving",
        Phase::Missing => "Missing",
        Phase::Arriving => "Arriving",
        Phase::Failed => "Failed",
        Phase::Released => "Released",
    }
}

pub(super) const fn label(action: &Action) -> &'static str {
    match action {
        Action::Nothing => "nothing",
        Action::Prepare => "prepare",
        Action::Restore => "restore",
        Action::Resume => "resume",
        Action::Pause => "pause",
        Action::Save => "save",
        Action::Shutdown => "shutdown",
        Action::Destroy(_) => "destroy",
        Action::Wipe => "wipe",
        Action::Report(Seen::Prepared) => "report prepared",
        Action::Report(Seen::Running) => "report running",
        Action::Report(Seen::Paused) => "report paused",
        Action::Report(Seen::Saved) => "report saved",
        Action::Report(Seen::Absent) => "report absent",
        Action::Report(Seen::Released) => "report released",
        Action::Report(Seen::Failed { .. }) => "report failed",
    }
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        6 => Just(Verb::Activate),
        3 => Just(Verb::Pause),
        4 => Just(Verb::Suspend),
        3 => Just(Verb::Shutdown),
        1 => Just(Verb::Destroy),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => verb().prop_map(Event::Verb),
        30 => Just(Event::Step),
        2 => Just(Event::Kill),
        1 => Just(Event::Fail),
        2 => Just(Event::End),
        1 => Just(Event::Overdue),
        12 => (0_usize..4, prop::bool::weighted(0.2))
            .prop_map(|(which, again)| Event::Arrive { which, again }),
        1 => (1_u64..100).prop_map(|secs| Event::Pass(Span::from_secs(secs))),
        3 => Just(Event::Leave),
        4 => Just(Event::Copied),
        2 => Just(Event::Told(Outcome::Stays)),
        1 => Just(Event::Told(Outcome::Moved)),
    ]
}

/// Runs many worlds, each with its own events, and counts what they met.
fn census() -> Census {
    let total = RefCell::new(Census::new());
    let config = Config { cases: 1_500, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
        .run(&prop::collection::vec(event(), 1..250), |events| {
            let mut world = World::new();
            for event in events {
                world.happen(event);
            }
            world.program.clear();
            world.settle();
            world.judge_settled();
            for (cell, times) in world.census {
                *total.borrow_mut().entry(cell).or_default() += times;
            }
            Ok(())
        })
        .unwrap();
    total.into_inner()
}

#[test]
fn no_order_of_faults_starts_a_guest_twice_or_strands_it() {
    let reached: String =
        census().keys().map(|(phase, action)| format!("{phase}: {action}\n")).collect();
    expect![[r#"
        Failed: nothing
        Failed: wipe
        Idle: nothing
        Idle: wipe
        Leaving: destroy
        Leaving: nothing
        Leaving: report absent
        Leaving: wipe
        Missing: nothing
        Missing: wipe
        Paused: destroy
        Paused: nothing
        Paused: pause
        Paused: report absent
        Paused: report running
        Paused: report saved
        Paused: resume
        Paused: save
        Paused: shutdown
        Paused: wipe
        Prepared: destroy
        Prepared: pause
        Prepared: report absent
        Prepared: report paused
        Prepared: report running
        Prepared: report saved
        Prepared: resume
        Prepared: save
        Prepared: shutdown
        Prepared: wipe
        Released: nothing
        Restoring: destroy
        Restoring: report prepared
        Restoring: restore
        Restoring: wipe
        Running: destroy
        Running: nothing
        Running: pause
        Running: report absent
        Running: report paused
        Running: report saved
        Running: resume
        Running: save
        Running: shutdown
        Running: wipe
        Saved: nothing
        Saved: wipe
        Starting: destroy
        Starting: prepare
        Starting: report absent
        Starting: report prepared
        Starting: wipe
    "#]]
    .assert_eq(&reached);
}
