//! Whatever is asked, lost, doubled or late, in whatever order: no site breaks an invariant, no
//! refusal changes a row, no machine runs twice, the rows are the whole state, and in the end
//! every service has come to an end of its deployment.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::*;
use crate::agreement::HOLD;

#[derive(Clone, Debug)]
enum Event {
    Submit { at: usize, vcpus: u32, replicas: u32, mode: Mode },
    Define { at: usize, vcpus: u32 },
    Update { at: usize, which: usize, verb: Verb },
    Scale { at: usize, which: usize, replicas: u32 },
    End { at: usize, which: usize },
    Seek { at: usize },
    Work { at: usize },
    Deliver { from: usize, to: usize, lost: bool, answer_lost: bool },
    Crash { at: usize },
    Pass(Span),
}

fn at() -> impl Strategy<Value = usize> {
    0_usize..3
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop_oneof![Just(Mode::AllOrNothing), Just(Mode::BestEffort)];
    prop_oneof![
        4 => (at(), 1_u32..3, 1_u32..4, mode)
            .prop_map(|(at, vcpus, replicas, mode)| Event::Submit { at, vcpus, replicas, mode }),
        2 => (at(), 1_u32..3).prop_map(|(at, vcpus)| Event::Define { at, vcpus }),
        6 => (at(), any::<usize>(), prop::sample::select(&Verb::ALL[..]))
            .prop_map(|(at, which, verb)| Event::Update { at, which, verb }),
        2 => (at(), any::<usize>(), 1_u32..5)
            .prop_map(|(at, which, replicas)| Event::Scale { at, which, replicas }),
        1 => (at(), any::<usize>()).prop_map(|(at, which)| Event::End { at, which }),
        8 => at().prop_map(|at| Event::Seek { at }),
        20 => at().prop_map(|at| Event::Work { at }),
        24 => (at(), 1_usize..3, any::<bool>(), any::<bool>()).prop_map(
            |(from, step, lost, answer_lost)| {
                Event::Deliver { from, to: (from + step) % 3, lost, answer_lost }
            }
        ),
        1 => at().prop_map(|at| Event::Crash { at }),
        2 => prop_oneof![Just(Span::from_secs(1)), Just(HOLD)].prop_map(Event::Pass),
    ]
}

/// How often each thing came about that this must have met.
type Census = BTreeMap<&'static str, u32>;

impl World {
    fn happen(&mut self, event: &Event, census: &mut Census) {
        let mut count = |what| *census.entry(what).or_default() += 1;
        match event {
            Event::Submit { at, vcpus, replicas, mode } => {
                self.drawn += 1;
                let service = format!("s{}", self.drawn);
                let manifest = manifest(&service, &[("web", *vcpus, *replicas, &[])]);
                self.submit(*at, manifest, *mode);
            }
            Event::Define { at, vcpus } => {
                self.drawn += 1;
                let name = format!("m{}", self.drawn);
                self.define(*at, &name, size(*vcpus));
            }
            Event::Update { at, which, verb } => {
                let machines: Vec<_> =
                    self.parties[*at].site.machines().map(|(id, _)| *id).collect();
                if let Some(machine) = machines.get(which % machines.len().max(1)) {
                    match self.update(*at, *machine, *verb) {
                        Outcome::Done => count("verbs obeyed"),
                        _ => count("verbs refused"),
                    }
                }
            }
            Event::Scale { at, which, replicas } => {
                if let Some(service) = self.pick_service(*at, *which)
                    && self.scale(*at, service, "web", *replicas) == Outcome::Done
                {
                    count("services scaled");
                }
            }
            Event::End { at, which } => {
                if let Some(service) = self.pick_service(*at, *which) {
                    self.ask(*at, TenantAsk::End { service });
                    count("services ended");
                }
            }
            Event::Seek { at } => drop(self.seek(*at)),
            Event::Work { at } => drop(self.work(*at)),
            Event::Deliver { from, to, lost: false, answer_lost: false } => {
                if self.deliver(*from, *to) {
                    count("deliveries");
                }
            }
            Event::Deliver { from, to, lost: false, answer_lost: true } => {
                let messages = self.owed(*from, *to);
                self.apply(*to, Command::Receive { messages });
                count("answers lost");
            }
            Event::Deliver { lost: true, .. } => count("deliveries lost"),
            Event::Crash { at } => {
                self.parties[*at].processes.clear();
                count("crashes");
            }
            Event::Pass(span) => self.pass(*span),
        }
        self.judge(census);
    }

    fn pick_service(&self, at: usize, which: usize) -> Option<ServiceId> {
        let services: Vec<_> = self.parties[at].site.services().map(|(id, _)| *id).collect();
        services.get(which % services.len().max(1)).copied()
    }

    /// What concerns several sites at once.
    fn judge(&self, census: &mut Census) {
        let mut running: BTreeMap<MachineName, u32> = BTreeMap::new();
        for party in &self.parties {
            let processes = party.processes.iter();
            for ((_, name), _) in processes.filter(|(_, process)| process.running) {
                *running.entry(*name).or_default() += 1;
            }
            for (id, agreement) in party.site.agreements() {
                let mut others = self.parties.iter().filter(|other| other.id != party.id);
                let other = others.find_map(|other| other.site.agreement(*id));
                // The seller signs first, so its side stands alone for a moment.
                match other {
                    Some(other) => assert_eq!(other.terms, agreement.terms),
                    None => assert_eq!(agreement.terms.provider, party.id),
                }
                *census.entry("agreements").or_default() += 1;
            }
        }
        for (name, times) in running {
            assert_eq!(times, 1, "machine {name} runs {times} times");
        }
    }

    /// Lets all be done that is still to be done, with no more faults.
    fn come_to_rest(&mut self, census: &mut Census) {
        for _ in 0..4 {
            self.settle();
            self.pass(HOLD);
        }
        self.settle();
        for (at, party) in self.parties.iter().enumerate() {
            assert_eq!(party.site.holds.len(), 0, "a hold outlived its time");
            assert_eq!(party.site.outbox.len(), 0);
            for (id, service) in party.site.services() {
                let what = match service.stage {
                    Stage::Running => "services running",
                    Stage::Refused => "services refused",
                    Stage::Ended => "services ended",
                    Stage::Reserving | Stage::Committing | Stage::Starting | Stage::Ending => {
                        panic!("stranded: {}", self.view(at, *id))
                    }
                };
                *census.entry(what).or_default() += 1;
            }
            for (id, row) in party.site.machines() {
                let is_there =
                    row.state() == State::Failed || row.goal.to_string() == row.state().to_string();
                assert!(is_there, "{} should be {}", self.view_machine(at, *id), row.goal);
            }
        }
    }
}

#[test]
fn sites_keep_their_invariants_whatever_happens_and_come_to_rest() {
    let total = RefCell::new(Census::new());
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
        .run(&prop::collection::vec(event(), 1..120), |events| {
            let mut world = World::new(&[3, 3, 2]);
            for event in &events {
                world.happen(event, &mut total.borrow_mut());
            }
            rows::judge(&mut world);
            world.come_to_rest(&mut total.borrow_mut());
            rows::judge(&mut world);
            Ok(())
        })
        .unwrap();
    let met: Vec<&str> = total.borrow().keys().copied().collect();
    assert_eq!(
        met,
        [
            "agreements",
            "answers lost",
            "crashes",
            "deliveries",
            "deliveries lost",
            "services ended",
            "services refused",
            "services running",
            "services scaled",
            "verbs obeyed",
            "verbs refused",
        ]
    );
}
