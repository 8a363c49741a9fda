//! A provider's side of a machine's life: how far its host has brought it.
//!
//! ```text
//!            goal            Prepared           Running, Paused
//!   Idle ----------> Starting -------> Started <--------------> Started
//!     ^               | ^                | | |
//!     |     Failed,   | | Prepared       | | +--Saved--> Saved --(wanted again)--> Restoring
//!     |     too often v | again          | |                                        | Prepared
//!     |             Failed <--too often--+ |                                        v
//!     +------------------- Absent ---------+                                     Started
//! ```
//!
//! **Invariant.** A guest's processors start at most once in each epoch. A host makes the machine
//! with its processors stopped and reports `Prepared`; only once that is committed does it let
//! them run. So a host that finds nothing in phase `Starting` may make the machine again, whatever
//! it did before it was killed; and one that finds nothing in phase `Started` knows that a guest
//! which may have run is gone, reports it, and the next start has the next epoch.
//!
//! **A guest that moves** between sites has a phase at each of them (see
//! [`crate::migration::handover`]):
//!
//! ```text
//!   source:       Started ----> Leaving ---(it stays)---> Started
//!                                 |  | Absent                ^
//!                                 |  v                       | the next start
//!                                 | Missing --(it stays)-----+
//!                                 +------(it has left)----> Released
//!   destination:  Arriving --(taken)--> Started             Arriving --(refused)--> Released
//! ```
//!
//! What is `Leaving` may stand still because all of it is elsewhere already, so its host does not let
//! it go on; and one that ended meanwhile is `Missing` and not started again, before it is known that
//! it stays. What is `Arriving` is brought on by what comes in, and its processors stand still until it
//! is taken; from then on it is a guest that has run and stands, which is started by being let go on.
//!
//! The same holds for a suspended guest: its saved memory is deleted between `Prepared` and the
//! first instruction, so it is never resumed twice from the same moment. A guest made from saved
//! memory has an epoch of its own, so that whatever is still said of the one before is late.
//!
//! What has been asked to end is never asked to go on: the next start waits until the host has
//! seen nothing of this one, and has the next epoch. So a word that it is gone, however late,
//! cannot be taken for the end of one that runs.

use serde::{Deserialize, Serialize};

use super::{Goal, State};
use crate::epoch::Epoch;
use crate::migration::handover::Outcome;
use crate::time::{Span, Timestamp};

/// How often in a row a guest is started again after it failed or ended by itself.
pub const RESTARTS_MAX: u8 = 5;

/// A guest that ran this long had started well: what happens then counts anew.
pub const STEADY: Span = Span::from_secs(60);

/// The most bytes of a reason that a host gives: one screen line.
pub const REASON_MAX: usize = 300;

/// How far the host has brought a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// It has room on the host and nothing more.
    Idle,
    /// It may be made; its processors have not run in this epoch.
    Starting,
    /// Its processors may have run in this epoch.
    Started(Power),
    /// Its memory is on disk.
    Saved,
    /// It may be made from its saved memory; its processors have not run since it was saved.
    Restoring,
    /// Its memory goes elsewhere: if it stands still, it is not let go on.
    Leaving,
    /// It ended while its memory went elsewhere, and may run there.
    Missing,
    /// What it is made of comes in from elsewhere; its processors have not run here.
    Arriving,
    /// It does not run, and no further try is made until the tenant asks for one.
    Failed,
    /// Nothing is left of it.
    Released,
}

/// What its processors were last seen doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Power {
    /// Stopped since it was made: they have not run yet, for all that was reported.
    Prepared,
    /// Running.
    Running,
    /// Stopped after having run.
    Paused,
}

/// What a host saw of a guest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Seen {
    /// It has been made, and its processors stand still.
    Prepared,
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It is gone, and its memory is on disk.
    Saved,
    /// It is gone.
    Absent,
    /// It is gone, and its disks too.
    Released,
    /// It could not be brought on.
    Failed {
        /// Why, for a person.
        reason: String,
    },
}

/// A guest's progress: what of it changes as a host works on it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Which start this is.
    pub epoch: Epoch,
    /// Where it should be.
    pub goal: Goal,
    /// Where it should be once it has ended, if it is to end only to start again.
    pub again: Option<Goal>,
    /// How far it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Starts in a row that went wrong.
    pub restarts: u8,
    /// Why it is not further, for a person; empty if nothing is wrong.
    pub reason: String,
}

/// A reason as it can be shown and kept: on one line, without control characters, which a peer
/// could use against a terminal, and no longer than [`REASON_MAX`].
#[must_use]
pub fn readable(reason: &str) -> String {
    let end = reason.floor_char_boundary(REASON_MAX);
    reason[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Progress {
    /// A guest that has been given room, and nothing yet.
    #[must_use]
    pub const fn new(home: u64, now: Timestamp) -> Self {
        Self {
            epoch: Epoch { home, provider: 0 },
            goal: Goal::Defined,
            again: None,
            phase: Phase::Idle,
            since: now,
            restarts: 0,
            reason: String::new(),
        }
    }

    /// What may still run, and is to end: its machine was placed elsewhere.
    #[must_use]
    pub fn remains(epoch: Epoch) -> Self {
        Self {
            epoch,
            goal: Goal::Destroyed,
            phase: Phase::Started(Power::Running),
            ..Self::new(epoch.home, Timestamp::default())
        }
    }

    /// What does not run any more, and whose disks are kept.
    #[must_use]
    pub fn kept(epoch: Epoch) -> Self {
        Self { epoch, ..Self::new(epoch.home, Timestamp::default()) }
    }

    /// A guest that comes in from elsewhere, where it ran or stood.
    #[must_use]
    pub fn arriving(home: u64, goal: Goal, now: Timestamp) -> Self {
        let new = Self::new(home, now);
        Self { epoch: new.epoch.started_anew(), goal, phase: Phase::Arriving, ..new }
    }

    /// Lets its memory go elsewhere, if it has any that is not on disk and is to keep it; whether that
    /// is so.
    pub fn leave(&mut self, now: Timestamp) -> bool {
        let may = matches!(self.phase, Phase::Started(Power::Running | Power::Paused))
            && matches!(self.goal, Goal::Active | Goal::Paused);
        if may {
            self.enter(Phase::Leaving, now);
        }
        may
    }

    /// Hears what came of its leaving.
    pub fn told(&mut self, outcome: Outcome, now: Timestamp) {
        match (self.phase, outcome) {
            (Phase::Leaving | Phase::Missing, Outcome::Moved) => self.order(Goal::Destroyed, now),
            (Phase::Leaving, Outcome::Stays) => self.enter(Phase::Started(Power::Paused), now),
            (Phase::Missing, Outcome::Stays) => self.ended(now),
            (
                Phase::Idle
                | Phase::Starting
                | Phase::Started(_)
                | Phase::Saved
                | Phase::Restoring
                | Phase::Arriving
                | Phase::Failed
                | Phase::Released,
                _,
            ) => {}
        }
    }

    /// Takes it, all of which is here and stands still; whether it was awaited.
    pub fn take(&mut self, now: Timestamp) -> bool {
        let is_awaited = self.phase == Phase::Arriving && self.goal != Goal::Destroyed;
        if is_awaited {
            self.enter(Phase::Started(Power::Paused), now);
        }
        is_awaited
    }

    /// A guest that has been given room on another host, and nothing there yet. Its next start
    /// has a higher epoch than any before.
    #[must_use]
    pub fn displaced(&self, now: Timestamp) -> Self {
        Self { epoch: self.epoch, ..Self::new(self.epoch.home, now) }
    }

    /// Ends whatever runs without asking it, and leaves its disks alone: it is stopped once its
    /// host has seen nothing of it. Saved memory stays saved.
    pub fn halt(&mut self, now: Timestamp) {
        self.again = None;
        match self.phase {
            Phase::Starting
            | Phase::Started(_)
            | Phase::Restoring
            | Phase::Leaving
            | Phase::Missing
            | Phase::Arriving
            | Phase::Failed => {
                self.goal = Goal::Defined;
                self.enter(Phase::Starting, now);
            }
            Phase::Idle | Phase::Saved | Phase::Released => {}
        }
    }

    /// Turns towards another goal.
    pub fn order(&mut self, goal: Goal, now: Timestamp) {
        if self.goal == Goal::Destroyed {
            return;
        }
        let ends =
            self.goal == Goal::Defined && matches!(self.phase, Phase::Starting | Phase::Started(_));
        self.again = match goal {
            Goal::Active | Goal::Paused | Goal::Suspended if ends => Some(goal),
            Goal::Active | Goal::Paused | Goal::Suspended | Goal::Defined | Goal::Destroyed => None,
        };
        if self.again.is_some() {
            return;
        }
        self.goal = goal;
        self.restarts = 0;
        if self.phase != Phase::Failed {
            self.reason.clear();
        }
        match (self.phase, goal) {
            (Phase::Idle, Goal::Active | Goal::Paused | Goal::Suspended)
            | (Phase::Failed, Goal::Active) => self.start(now),
            (Phase::Saved, Goal::Active | Goal::Paused | Goal::Defined) => self.restore(now),
            (Phase::Failed, Goal::Defined) => self.enter(Phase::Idle, now),
            (
                Phase::Idle
                | Phase::Failed
                | Phase::Saved
                | Phase::Starting
                | Phase::Started(_)
                | Phase::Restoring
                | Phase::Leaving
                | Phase::Missing
                | Phase::Arriving
                | Phase::Released,
                _,
            ) => {}
        }
    }

    /// Takes note of what a host saw in `epoch`. What is of another epoch, or cannot follow, is
    /// late and changes nothing.
    pub fn observe(&mut self, epoch: Epoch, seen: &Seen, now: Timestamp) {
        if epoch != self.epoch || self.phase == Phase::Released {
            return;
        }
        match (self.phase, seen) {
            (_, Seen::Released) if self.goal == Goal::Destroyed => {
                self.enter(Phase::Released, now);
            }
            (Phase::Starting | Phase::Restoring, Seen::Prepared) => {
                self.enter(Phase::Started(Power::Prepared), now);
            }
            (Phase::Started(power), Seen::Running) if power != Power::Running => {
                self.enter(Phase::Started(Power::Running), now);
            }
            (Phase::Started(power), Seen::Paused) if power != Power::Paused => {
                self.enter(Phase::Started(Power::Paused), now);
            }
            (Phase::Started(_), Seen::Saved) => match self.goal {
                Goal::Active | Goal::Paused | Goal::Defined => self.restore(now),
                Goal::Suspended | Goal::Destroyed => self.enter(Phase::Saved, now),
            },
            (Phase::Started(_), Seen::Absent) => self.ended(now),
            (Phase::Leaving, Seen::Absent) => self.enter(Phase::Missing, now),
            (Phase::Starting, Seen::Absent) if self.goal == Goal::Defined => self.rest(now),
            (_, Seen::Failed { reason }) => self.failed(reason, now),
            _ => {}
        }
    }

    /// Where the tenant wants it.
    #[must_use]
    pub fn wanted(&self) -> Goal {
        self.again.unwrap_or(self.goal)
    }

    /// What a user sees of it.
    #[must_use]
    pub const fn state(&self) -> State {
        match (self.phase, self.goal) {
            (Phase::Idle, _) => State::Defined,
            (Phase::Starting | Phase::Restoring, _)
            | (Phase::Started(Power::Prepared), Goal::Active) => State::Staging,
            (Phase::Started(Power::Running), _) => State::Active,
            (Phase::Started(Power::Prepared | Power::Paused), _) => State::Paused,
            (Phase::Leaving | Phase::Missing | Phase::Arriving, _) => State::Migrating,
            (Phase::Saved, _) => State::Suspended,
            (Phase::Failed, _) => State::Failed,
            (Phase::Released, _) => State::Destroyed,
        }
    }

    fn start(&mut self, now: Timestamp) {
        self.epoch = self.epoch.started_anew();
        self.enter(Phase::Starting, now);
    }

    fn restore(&mut self, now: Timestamp) {
        self.epoch = self.epoch.started_anew();
        self.enter(Phase::Restoring, now);
    }

    /// Nothing is left of a guest that was to end. It starts again if that was asked meanwhile.
    fn rest(&mut self, now: Timestamp) {
        self.enter(Phase::Idle, now);
        if let Some(goal) = self.again.take() {
            self.order(goal, now);
        }
    }

    /// A guest that may have run is gone.
    fn ended(&mut self, now: Timestamp) {
        let steady = now.since(self.since) >= STEADY;
        match self.goal {
            Goal::Defined => self.rest(now),
            Goal::Active => {
                self.restarts = if steady { 1 } else { self.restarts.saturating_add(1) };
                if self.restarts > RESTARTS_MAX {
                    self.give_up("the guest ended by itself, again and again", now);
                } else {
                    self.start(now);
                    "the guest ended by itself and is started again".clone_into(&mut self.reason);
                }
            }
            Goal::Paused | Goal::Suspended => {
                self.give_up("the guest ended while it stood still: its memory is lost", now);
            }
            Goal::Destroyed => {}
        }
    }

    /// A step went wrong. A guest that stands or runs is given up only if it cannot be brought to
    /// run: one that cannot be saved, say, still has its memory, and keeps it.
    fn failed(&mut self, reason: &str, now: Timestamp) {
        let vain = match self.phase {
            // What is not to run is ended as often as it takes.
            Phase::Starting => !matches!(self.goal, Goal::Defined | Goal::Destroyed),
            Phase::Restoring => self.goal != Goal::Destroyed,
            Phase::Started(_) => self.goal == Goal::Active,
            Phase::Idle
            | Phase::Leaving
            | Phase::Missing
            | Phase::Arriving
            | Phase::Saved
            | Phase::Failed
            | Phase::Released => false,
        };
        let reason = &readable(reason);
        self.restarts = self.restarts.saturating_add(1);
        if self.restarts > RESTARTS_MAX && vain {
            self.give_up(reason, now);
        } else {
            reason.clone_into(&mut self.reason);
        }
    }

    /// Stops trying. Saved memory stays saved: only what cannot come back is failed.
    fn give_up(&mut self, reason: &str, now: Timestamp) {
        let restoring = self.phase == Phase::Restoring;
        self.enter(if restoring { Phase::Saved } else { Phase::Failed }, now);
        reason.clone_into(&mut self.reason);
    }

    fn enter(&mut self, phase: Phase, now: Timestamp) {
        if let Phase::Started(_) = phase {
            self.reason.clear();
        }
        if matches!(phase, Phase::Idle | Phase::Saved) {
            self.reason.clear();
            self.restarts = 0;
        }
        self.phase = phase;
        self.since = now;
    }
}
