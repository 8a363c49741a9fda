//! What guests say of themselves: kept on the host that runs them, and asked for there.
//!
//! ```text
//!   guest --pushes--> its host's node: the last value of each measure
//!                            ^
//!          its site's nodes -+- ask each other; the machine's home asks its provider
//! ```
//!
//! Nothing of it enters the log. What a node keeps is lost with it, until the guest pushes again; and
//! a machine that is placed anew begins with nothing.

mod fetch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metadata::NotTaken;
use protocol::ids::MachineName;
use protocol::kpi::{Kpi, NAMES_MAX, Name, Observed, Value};
use protocol::lease::Moment;

pub use fetch::Error;
pub(crate) use fetch::tell;

/// What one machine has said: the last value of each measure, and when.
type Said = BTreeMap<Name, (Value, Moment)>;

/// What the guests of this host have said of themselves, of each measure the last.
///
/// It is bounded: [`NAMES_MAX`] measures of each guest that is here.
#[derive(Clone, Debug, Default)]
pub struct Kpis {
    said: Arc<Mutex<BTreeMap<MachineName, Said>>>,
}

impl Kpis {
    /// Keeps what a machine says, which is on this host, instead of what it said before.
    ///
    /// # Errors
    ///
    /// If as many measures of it are kept as are of any machine, and this is another one.
    pub fn keep(&self, machine: MachineName, kpi: Kpi, now: Moment) -> Result<(), NotTaken> {
        let mut said = self.said();
        let its = said.entry(machine).or_default();
        if its.len() >= NAMES_MAX && !its.contains_key(&kpi.name) {
            return Err(NotTaken::Names { max: NAMES_MAX });
        }
        its.insert(kpi.name, (kpi.value, now));
        Ok(())
    }

    /// What a machine has said, and how long ago; nothing of one that is not here.
    #[must_use]
    pub fn of(&self, machine: MachineName, now: Moment) -> BTreeMap<Name, Observed> {
        let said = self.said();
        let its = said.get(&machine).into_iter().flatten();
        its.map(|(name, (value, at))| {
            (name.clone(), Observed { value: *value, age: at.until(now) })
        })
        .collect()
    }

    /// Forgets the machines that are not here any more.
    pub(crate) fn retain(&self, is_here: impl Fn(MachineName) -> bool) {
        self.said().retain(|machine, _| is_here(*machine));
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<MachineName, Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
