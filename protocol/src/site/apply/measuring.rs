//! What the gateway has measured of networks.

use super::super::command::{Counted, Outcome};
use super::super::{Site, Turn};
use crate::sla::measure::Measured;

impl Site {
    /// Adds what was counted. What does not follow on what is known is left out: another gateway has
    /// counted meanwhile, or this was told before.
    pub(super) fn measured_are(&mut self, counts: &[Counted], turn: &Turn) -> Outcome {
        for counted in counts {
            let key = (counted.home, counted.network);
            if self.lans.get(&key).is_none() {
                continue;
            }
            let known = self.measured.get(&key).copied();
            let known = known.unwrap_or_else(|| Measured::begin(turn.now));
            if let Some(row) = known.plus(counted.after, counted.tally, turn.now) {
                self.measured.insert(key, row);
            }
        }
        Outcome::Done
    }
}
