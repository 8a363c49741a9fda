//! The hand-over: who runs a machine while it moves, and how it is never two, nor none for good.
//!
//! ```text
//!   home                     source                      destination
//!   Open     ----- grant -------------------------------->  Awaiting
//!            ----- grant --->  Leaving
//!                              its guest is copied, and at the end stands still
//!                                     ------ told ------->  Taken or Refusing, never both
//!                                                           its guest runs, or is gone: Returned
//!   Settled  <------------------------------ verdict -----
//!            ---- outcome -->  Left or Stayed
//! ```
//!
//! **The point of decision** is one entry in the destination's log. Until it is `Taken`, no processor
//! runs there, since only `Taken` lets it be started; once it is `Refusing`, it is never `Taken`.
//! The source's guest stands still before it is `Taken`, and goes on only by the home's word that it
//! never will be. So at most one of them runs, whatever is lost in between.
//!
//! **The source hears of it from the home** and not from the destination: the machine is the home's,
//! so its word needs no proof, and there is one place that decides what becomes of a move of which
//! nobody has heard. How long a guest is down does not depend on it; the destination asks nobody.
//!
//! **What a cut costs.** A destination that is cut off from the home in the wrong moment may have
//! taken the machine, or not. The home renews the leases of both until it knows. If it cannot, the
//! destination's lease ends, and with it whatever ran there; then the source goes on where it stood
//! still. What a guest did at the destination meanwhile is lost, as if it had crashed: at most one
//! lease's worth. A machine whose owner would rather wait is not given up ([`AtHome::give_up`] is not
//! asked), and stands still until the cut is healed. The lease of the destination counts from its
//! own request; it takes a machine only with enough of it left for its fence to have the guest in
//! hand first (see [`crate::lease`]).
//!
//! **Who is believed.** A verdict is signed by the destination. Its first word counts; if it says
//! the other one as well, that is a contradiction, to be kept as proof. A destination that says
//! `Returned` and runs the guest all the same has the home's word against it, and the networks' too:
//! nothing is forwarded from it.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// How much of its lease a destination must have left to take a machine: its processors are started
/// within it, or not at all. It takes 20 ms on a host at leisure.
pub const LEASE_LEFT_MIN: Span = Span::from_secs(2);

/// What the destination says in the end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Verdict {
    /// It is there, for good or ill.
    Taken,
    /// It has never run there, and never will in this epoch.
    Returned,
}

/// The destination has said one thing, and then the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the destination has said {said:?} and now says {now:?}")]
pub struct Contradiction {
    /// What it said first, which counts.
    pub said: Verdict,
    /// What it says now.
    pub now: Verdict,
}

/// A move as its destination has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum AtDestination {
    /// A guest waits for what comes in; its processors stand still.
    Awaiting,
    /// The machine is this site's: its processors may be started.
    Taken,
    /// The machine will not be this site's; what waits for it is being ended.
    Refusing,
    /// And is gone.
    Returned,
}

/// What a destination knows when it is to take a machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// Whether the source has said that its guest stands still, and all of it is here.
    pub is_copied: bool,
    /// How long its lease of the machine in the new epoch lasts.
    pub lease_left: Span,
    /// Whether the home's grant is good still.
    pub is_granted: bool,
}

/// A machine is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotTaken {
    /// It is not awaited any more.
    #[error("the move is over: {0:?}")]
    Over(AtDestination),
    /// Its guest may run at the source.
    #[error("the source has not said that the guest stands still")]
    NotCopied,
    /// The lease might end before the guest is in the fence's hand.
    #[error("the lease lasts {} ms, and {} are needed", .0.as_millis(), LEASE_LEFT_MIN.as_millis())]
    Lease(Span),
    /// The grant has ended.
    #[error("the home's grant has ended")]
    NotGranted,
}

impl AtDestination {
    /// Takes the machine.
    ///
    /// # Errors
    ///
    /// It may run elsewhere, or might outlive its lease here.
    pub fn take(self, ready: Ready) -> Result<Self, NotTaken> {
        match self {
            Self::Taken => Ok(self),
            Self::Refusing | Self::Returned => Err(NotTaken::Over(self)),
            Self::Awaiting if !ready.is_copied => Err(NotTaken::NotCopied),
            Self::Awaiting if !ready.is_granted => Err(NotTaken::NotGranted),
            Self::Awaiting if ready.lease_left < LEASE_LEFT_MIN => {
                Err(NotTaken::Lease(ready.lease_left))
            }
            Self::Awaiting => Ok(Self::Taken),
        }
    }

    /// Will not take the machine: the home has called it off, the grant has ended, or it cannot be
    /// done. What was taken stays so.
    #[must_use]
    pub const fn refuse(self) -> Self {
        match self {
            Self::Awaiting => Self::Refusing,
            Self::Taken | Self::Refusing | Self::Returned => self,
        }
    }

    /// The host says that what waited for the machine is gone.
    #[must_use]
    pub const fn gone(self) -> Self {
        match self {
            Self::Refusing => Self::Returned,
            Self::Awaiting | Self::Taken | Self::Returned => self,
        }
    }

    /// Whether its processors may be started here.
    #[must_use]
    pub const fn may_start(self) -> bool {
        matches!(self, Self::Taken)
    }

    /// What the home and the source are owed.
    #[must_use]
    pub const fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Awaiting | Self::Refusing => None,
            Self::Taken => Some(Verdict::Taken),
            Self::Returned => Some(Verdict::Returned),
        }
    }
}

/// What the home says to the source in the end.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Outcome {
    /// The machine runs elsewhere.
    Moved,
    /// It never will run elsewhere in the epoch of this move.
    Stays,
}

/// A move as its source has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum AtSource {
    /// The guest is copied; once it stands still for that it is not let go on.
    Leaving,
    /// It runs elsewhere: what is left here is to be ended.
    Left,
    /// It stays: it is let go on.
    Stayed,
}

impl AtSource {
    /// Hears what came of it; the first word counts, and what was done on it stays done.
    #[must_use]
    pub const fn told(self, outcome: Outcome) -> Self {
        match (self, outcome) {
            (Self::Leaving, Outcome::Moved) => Self::Left,
            (Self::Leaving, Outcome::Stays) => Self::Stayed,
            (Self::Left | Self::Stayed, _) => self,
        }
    }

    /// Whether a guest that stands still here may go on.
    #[must_use]
    pub const fn may_resume(self) -> bool {
        matches!(self, Self::Stayed)
    }

    /// Whether the guest here is to be ended.
    #[must_use]
    pub const fn must_end(self) -> bool {
        matches!(self, Self::Left)
    }
}

/// A move as the machine's home has it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum AtHome {
    /// It is on.
    Open,
    /// The destination is asked to refuse; it may have taken it.
    CalledOff,
    /// The destination has said what came of it.
    Settled(Verdict),
    /// The destination said nothing, and cannot run the machine any more: the source goes on.
    Void,
    /// Nobody can run the machine any more: it is placed anew.
    Abandoned,
}

/// The source and the destination, and something that may be so of each: that it may hold a lease
/// of the machine, or may be given one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Leases {
    /// The source, in the old epoch.
    pub source: bool,
    /// The destination, in the new one.
    pub destination: bool,
}

impl AtHome {
    /// Asks the destination to refuse, if nobody has said what came of it.
    #[must_use]
    pub const fn call_off(self) -> Self {
        match self {
            Self::Open => Self::CalledOff,
            Self::CalledOff | Self::Settled(_) | Self::Void | Self::Abandoned => self,
        }
    }

    /// Hears the verdict. Of a move that was given up it comes too late.
    ///
    /// # Errors
    ///
    /// It is not the one that it was.
    pub fn heard(self, verdict: Verdict) -> Result<Self, Contradiction> {
        match self {
            Self::Open | Self::CalledOff => Ok(Self::Settled(verdict)),
            Self::Settled(said) if said != verdict => Err(Contradiction { said, now: verdict }),
            Self::Settled(_) | Self::Void | Self::Abandoned => Ok(self),
        }
    }

    /// Waits no longer for a verdict, if the destination cannot run the machine any more: neither by
    /// the lease that it has had, nor by one that it is given from here on.
    #[must_use]
    pub const fn give_up(self, held: Leases) -> Self {
        match self {
            Self::Open | Self::CalledOff if !held.destination => {
                if held.source {
                    Self::Void
                } else {
                    Self::Abandoned
                }
            }
            Self::Open | Self::CalledOff | Self::Settled(_) | Self::Void | Self::Abandoned => self,
        }
    }

    /// Whose lease of the machine is renewed: that of both as long as either may turn out to have it.
    #[must_use]
    pub const fn renews(self) -> Leases {
        let (source, destination) = match self {
            Self::Open | Self::CalledOff => (true, true),
            Self::Settled(Verdict::Taken) => (false, true),
            Self::Settled(Verdict::Returned) | Self::Void => (true, false),
            Self::Abandoned => (false, false),
        };
        Leases { source, destination }
    }

    /// What the source is owed.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Open | Self::CalledOff | Self::Abandoned => None,
            Self::Settled(Verdict::Taken) => Some(Outcome::Moved),
            Self::Settled(Verdict::Returned) | Self::Void => Some(Outcome::Stays),
        }
    }
}

#[cfg(test)]
mod tests;
