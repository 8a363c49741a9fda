//! What must hold: one file for each property, judged after every event on what it has touched,
//! and once more when everything has settled.

pub(crate) mod capacity;
pub(crate) mod durability;
pub(crate) mod forgetting;
pub(crate) mod networks;
pub(crate) mod one_instance;
pub(crate) mod own_tenants;
pub(crate) mod policy;
pub(crate) mod replicas;
pub(crate) mod scaling;
pub(crate) mod settled;
pub(crate) mod undisturbed;

use std::fmt;

use crate::world::World;

/// A property that did not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Breach {
    /// Which.
    pub(crate) property: &'static str,
    /// At which site it was seen.
    pub(crate) site: String,
    /// When, in milliseconds since the beginning.
    pub(crate) at: u64,
    /// What was seen.
    pub(crate) detail: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' does not hold at {} after {} ms: {}",
            self.property, self.site, self.at, self.detail
        )
    }
}

impl World {
    /// Judges the sites that the last event has touched.
    pub(crate) fn judge(&mut self) {
        for member in std::mem::take(&mut self.touched) {
            self.judge_capacity(member);
            self.judge_policy(member);
            self.judge_durability(member);
        }
    }

    /// Judges everything, once all has settled. What is forgotten at the very end is no loss of
    /// what was acknowledged, so that is judged before.
    pub(crate) fn conclude(&mut self) {
        self.touched = (0..self.members.len()).collect();
        self.judge();
        for member in 0..self.members.len() {
            self.count_ends(member);
            self.judge_forgetting(member);
            self.judge_capacity(member);
            self.judge_replicas(member);
        }
        self.touched.clear();
    }
}
