//! What the grids have in common: true time in ticks, clocks that are as wrong as they may be, and
//! a timing that is small enough to go through every case.

use super::super::{Moment, PartsPerMillion, Timing};
use crate::time::Span;

/// How much a clock advances in one tick of true time: four, and one more or less for a drift of a
/// quarter.
pub(super) const SLOW: u64 = 3;
pub(super) const FAST: u64 = 5;
pub(super) const RATES: [u64; 2] = [SLOW, FAST];

/// Twelve: four ticks of the slowest clock. The margin covers a fence that is one tick late.
pub(super) const TIMING: Timing = Timing {
    duration: Span::from_millis(12),
    drift: PartsPerMillion::new(250_000),
    margin: Span::from_millis(FAST),
};

/// A guest stops at most so many ticks after its deadline.
pub(super) const FENCE_LATE: u64 = 1;

/// A machine's clock. It is far from zero, so that nothing is hidden by where it starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) rate: u64,
}

impl Clock {
    /// What it shows at a tick of true time.
    pub(super) const fn at(self, tick: u64) -> Moment {
        Moment::from_millis(1_000 + tick * self.rate)
    }

    /// The first tick of true time at which it shows `moment` or more.
    pub(super) const fn reaches(self, moment: Moment) -> u64 {
        moment.as_millis().saturating_sub(1_000).div_ceil(self.rate)
    }
}

/// One fault of the arithmetic or of the order of things, to be found by the grid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// The grantor believes that clocks are right.
    NoDrift,
    /// The grantor believes that a fence takes no time.
    NoMargin,
    /// The holder counts from the answer.
    FromAnswer,
    /// A new leader goes by the answers it knows of, which are none.
    NoWait,
    /// Answers are given while the end of the lease is on its way into the log.
    NoEnding,
    /// Answers are given from reads that began before the end was in the state.
    NoQuestion,
    /// The end that a leader has decided upon is proposed by the next one.
    Forwarded,
    /// A host is given a whole duration, whatever remains.
    WholeDuration,
}

/// The timing, as it is with this fault.
pub(super) fn timing(fault: Option<Fault>) -> Timing {
    match fault {
        Some(Fault::NoDrift) => Timing { drift: PartsPerMillion::new(0), ..TIMING },
        Some(Fault::NoMargin) => Timing { margin: Span::default(), ..TIMING },
        _ => TIMING,
    }
}

/// When a leader elected at `tick` counts its wait from.
pub(super) const fn elected(clock: Clock, tick: u64, fault: Option<Fault>) -> Moment {
    match fault {
        Some(Fault::NoWait) => Moment::from_millis(0),
        _ => clock.at(tick),
    }
}
