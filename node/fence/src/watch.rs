//! The fence itself: look, stop what is due, sleep.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Signal, setpriority_process, setsid};

use crate::Error;
use crate::clock::{self, Moment};
use crate::deadlines;
use crate::map::Map;
use crate::process::State;
use crate::pulse::Pulse;
use crate::record::{self, Reading, Record, SLOTS, WORDS};

/// How often all deadlines are looked at, if none is nearer: a new one may have been written.
const PERIOD: Duration = Duration::from_millis(100);

/// How often a process that is due is looked at: somebody may continue it.
const AGAIN: Duration = Duration::from_millis(10);

/// Watches over the deadlines in a node's directory until it is killed.
///
/// # Errors
///
/// If it cannot begin; once it watches, it does.
pub fn watch(data: &Path, ready: impl FnOnce(&[&'static str])) -> Result<Infallible, Error> {
    let (file, path) = deadlines::file(data)?;
    let pulse = Pulse::begin(data)?;
    let map = Map::new(&file, WORDS, false).map_err(|source| Error::File {
        what: "map",
        path,
        source,
    })?;
    let boot = clock::boot()?;
    let mut looks = Looks { map, boot, pulse, calm: vec![0; SLOTS] };
    ready(&harden());
    loop {
        looks.look().sleep();
    }
}

/// Asks the kernel for what keeps the fence going when the host is in need. Says what it refused:
/// without these the fence does its work as long as the host has some memory and time to spare.
fn harden() -> Vec<&'static str> {
    // From a session of its own it outlives whoever started it; one that has one already stays.
    let _ = setsid();
    let mut refused = Vec::new();
    if mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).is_err() {
        refused.push("to lock its memory");
    }
    if setpriority_process(None, -20).is_err() {
        refused.push("a high priority");
    }
    if std::fs::write("/proc/self/oom_score_adj", "-1000").is_err() {
        refused.push("to be spared when memory is short");
    }
    refused
}

struct Looks {
    map: Map,
    boot: u64,
    pulse: Pulse,
    /// For each slot the generation that was found in order: not due, and not standing still. What
    /// is forgotten of it is looked at again.
    calm: Vec<u64>,
}

impl Looks {
    /// Looks at all deadlines, and says when to look again.
    fn look(&mut self) -> Moment {
        let mut next = Moment::now() + PERIOD;
        let words = self.map.words();
        if record::is_of(words, self.boot) {
            for (slot, calm) in self.calm.iter_mut().enumerate().take(record::used(words)) {
                let reading = record::read(record::slot(words, slot));
                if let Some(at) = tend(&self.pulse, reading, calm) {
                    next = next.min(at);
                }
            }
        }
        self.pulse.beat(Moment::now());
        next
    }
}

/// Makes one process stand still or go on, as its record says. Says when to look at it again.
fn tend(pulse: &Pulse, reading: Reading, calm: &mut u64) -> Option<Moment> {
    let Record { target, deadline } = reading.record?;
    let now = Moment::now();
    if deadline.is_some_and(|at| at <= now) {
        *calm = 0;
        let running = target.state() == State::Alive;
        // Whatever it was found doing: it may have been continued since.
        let there = target.signal(Signal::STOP);
        if running && there {
            pulse.stopped();
        }
        return there.then(|| now + AGAIN);
    }
    if *calm != reading.generation {
        if target.state() == State::Stopped && target.signal(Signal::CONT) {
            pulse.resumed();
        }
        *calm = reading.generation;
    }
    deadline
}
