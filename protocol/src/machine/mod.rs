//! A machine's life: the states a tenant sees, the verbs that lead from one to another, and the
//! phases in which a provider brings it there.
//!
//! RESERVOIR's `VEEUpdate` has five verbs and five states:
//!
//! ```text
//!            ACTIVATE              PAUSE
//!   DEFINED ----------> ACTIVE ------------> PAUSED
//!      ^                 |  ^                |   |
//!      +---- SHUTDOWN ---+  +--- ACTIVATE ---+   |
//!      +---- SHUTDOWN ---|-----------------------+
//!                        |  SUSPEND              |  SUSPEND
//!                        +------> SUSPENDED <----+     (ACTIVATE leads back to ACTIVE)
//!
//!   DESTROY leads from any of them to DESTROYED.
//! ```
//!
//! To be where a verb leads already is success; any other step is refused. A verb is judged
//! against the machine's [`Goal`], which is where the last accepted verb leads, and not against
//! what a host has made of it so far: verbs are serialised by the log, and a host follows the
//! goal level by level.

pub mod guest;
pub mod host;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a machine should be, once everything has been done.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Goal {
    /// It has its disks and does not run.
    Defined,
    /// It runs.
    Active,
    /// It holds its memory and does not run.
    Paused,
    /// Its memory is on disk.
    Suspended,
    /// Nothing is left of it.
    Destroyed,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Defined => "DEFINED",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Suspended => "SUSPENDED",
            Self::Destroyed => "DESTROYED",
        })
    }
}

/// The deck's `VEEUpdate` verbs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Start it, or let it go on.
    Activate,
    /// Stop its processors; its memory stays where it is.
    Pause,
    /// Write its memory to disk and free it.
    Suspend,
    /// Ask the guest to end, then end it; its disks stay.
    Shutdown,
    /// End it and delete its disks.
    Destroy,
}

impl Verb {
    /// All verbs, in the deck's order.
    pub const ALL: [Self; 5] =
        [Self::Activate, Self::Pause, Self::Suspend, Self::Shutdown, Self::Destroy];

    /// Where the verb leads.
    #[must_use]
    pub const fn goal(self) -> Goal {
        match self {
            Self::Activate => Goal::Active,
            Self::Pause => Goal::Paused,
            Self::Suspend => Goal::Suspended,
            Self::Shutdown => Goal::Defined,
            Self::Destroy => Goal::Destroyed,
        }
    }

    /// Whether the verb may be said to a machine on its way to `from`.
    #[must_use]
    pub const fn leads_from(self, from: Goal) -> bool {
        match (self, from) {
            (Self::Destroy, _)
            | (Self::Activate, Goal::Defined | Goal::Active | Goal::Paused | Goal::Suspended)
            | (Self::Pause, Goal::Active | Goal::Paused)
            | (Self::Suspend, Goal::Active | Goal::Paused | Goal::Suspended)
            | (Self::Shutdown, Goal::Active | Goal::Paused | Goal::Defined) => true,
            (Self::Activate, Goal::Destroyed)
            | (Self::Pause, Goal::Defined | Goal::Suspended | Goal::Destroyed)
            | (Self::Suspend, Goal::Defined | Goal::Destroyed)
            | (Self::Shutdown, Goal::Suspended | Goal::Destroyed) => false,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Activate => "activate",
            Self::Pause => "pause",
            Self::Suspend => "suspend",
            Self::Shutdown => "shutdown",
            Self::Destroy => "destroy",
        })
    }
}

/// What a user sees of a machine: the deck's five states, and the transitional ones that a user
/// must be able to tell from them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Described, not running.
    Defined,
    /// A place is being found for it.
    Placing,
    /// Its disks and devices are being made.
    Staging,
    /// It runs.
    Active,
    /// Stopped, its memory where it was.
    Paused,
    /// Stopped, its memory on disk.
    Suspended,
    /// It does not run although it should; the reason stands beside it.
    Failed,
    /// Gone.
    Destroyed,
    /// On its way to another site; it runs at one of the two.
    Migrating,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Defined => "DEFINED",
            Self::Placing => "PLACING",
            Self::Staging => "STAGING",
            Self::Migrating => "MIGRATING",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Suspended => "SUSPENDED",
            Self::Failed => "FAILED",
            Self::Destroyed => "DESTROYED",
        })
    }
}
