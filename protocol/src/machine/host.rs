//! What a host does next for one guest: the whole decision, as a table.
//!
//! A host compares what the site has decided ([`Progress`]) with what it finds, takes one step,
//! and looks again. It keeps nothing in mind between two looks, so it does not matter when it was
//! killed. It must not look at a state that lags behind what the site has committed: the node
//! asks for a linearizable read first.

use super::Goal;
use super::guest::{Phase, Power, Progress, Seen};
use crate::epoch::Epoch;

/// The guest's process, as the hypervisor has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Process {
    /// The epoch it carries.
    pub epoch: Epoch,
    /// Whether its processors run.
    pub running: bool,
}

/// What a host finds of a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// Its process, if there is one.
    pub process: Option<Process>,
    /// Whether its memory lies on disk, complete.
    pub saved: bool,
    /// Whether it has been asked to shut down longer ago than it is given to do so.
    pub overdue: bool,
}

/// One step of a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// All is as it should be.
    Nothing,
    /// Make its disks and the machine, processors stopped.
    Prepare,
    /// Make the machine from its saved memory, processors stopped.
    Restore,
    /// Delete saved memory, if there is any, then let the processors run.
    Resume,
    /// Stop the processors.
    Pause,
    /// Write the memory to disk and end the process.
    Save,
    /// Ask the guest to end.
    Shutdown,
    /// End the process that carries this epoch.
    Destroy(Epoch),
    /// Delete disks and saved memory, then report [`Seen::Released`].
    Wipe,
    /// Tell the site what was seen.
    Report(Seen),
}

/// The next step for a guest.
#[must_use]
pub fn next(progress: &Progress, found: Found) -> Action {
    if let Some(process) = found.process {
        if process.epoch > progress.epoch {
            // The site knows less than this host: it must have been restored from a backup. To
            // touch nothing is the only safe step.
            return Action::Nothing;
        }
        if process.epoch < progress.epoch {
            return Action::Destroy(process.epoch);
        }
    }
    match (progress.phase, progress.goal, found.process) {
        (Phase::Released, _, None) => Action::Nothing,
        (_, Goal::Destroyed, None) => Action::Wipe,
        (Phase::Idle | Phase::Failed | Phase::Saved, _, None) => Action::Nothing,
        (_, Goal::Destroyed, Some(process))
        | (Phase::Idle | Phase::Failed | Phase::Released | Phase::Saved, _, Some(process))
        | (Phase::Starting, Goal::Defined, Some(process)) => Action::Destroy(process.epoch),
        (Phase::Starting, Goal::Defined, None) => Action::Report(Seen::Absent),
        // Who carries the memory brings these on, and nothing is done to them meanwhile.
        (Phase::Leaving, _, Some(_)) | (Phase::Arriving | Phase::Missing, _, _) => Action::Nothing,
        (Phase::Leaving, _, None) => Action::Report(Seen::Absent),
        (Phase::Starting, _, None) => Action::Prepare,
        (Phase::Restoring, _, None) => Action::Restore,
        (Phase::Starting | Phase::Restoring, _, Some(_)) => Action::Report(Seen::Prepared),
        (Phase::Started(_), _, None) => {
            Action::Report(if found.saved { Seen::Saved } else { Seen::Absent })
        }
        (Phase::Started(power), goal, Some(process)) => started(power, goal, process, found),
    }
}

fn started(power: Power, goal: Goal, process: Process, found: Found) -> Action {
    match (goal, process.running) {
        (Goal::Active, false) => Action::Resume,
        (Goal::Active, true) if power == Power::Running => Action::Nothing,
        (Goal::Active, true) => Action::Report(Seen::Running),
        (Goal::Paused, true) => Action::Pause,
        (Goal::Paused, false) if power == Power::Paused => Action::Nothing,
        (Goal::Paused, false) => Action::Report(Seen::Paused),
        (Goal::Suspended, _) => Action::Save,
        (Goal::Defined, _) if found.overdue => Action::Destroy(process.epoch),
        // It has not run yet, nor did it before it was saved: there is nobody to ask.
        (Goal::Defined, false) if power == Power::Prepared && !found.saved => {
            Action::Destroy(process.epoch)
        }
        (Goal::Defined, false) => Action::Resume,
        (Goal::Defined, true) => Action::Shutdown,
        (Goal::Destroyed, _) => Action::Destroy(process.epoch),
    }
}
