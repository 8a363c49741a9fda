//! At most one process of a machine has running processors, over all sites; a machine boots at
//! most once in each epoch; and no saved memory is gone on from twice.
//!
//! Judged where processors begin to run, since that is the only step that can break it, on all
//! hosts of all sites.

use std::collections::BTreeSet;

use protocol::epoch::Epoch;
use protocol::ids::MachineName;

/// Everything that ever began to run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    boots: BTreeSet<(MachineName, Epoch)>,
    resumed: BTreeSet<u64>,
}

impl Ledger {
    /// Takes note of a guest whose processors have begun to run: whether for the first time, from
    /// which saved memory, and how many processes of the machine run now.
    ///
    /// # Errors
    ///
    /// What must not be, in words.
    pub(crate) fn started(
        &mut self,
        name: MachineName,
        epoch: Epoch,
        (first, from): (bool, Option<u64>),
        running: usize,
    ) -> Result<(), String> {
        if running > 1 {
            return Err(format!("{name} runs {running} times at once"));
        }
        if first && !self.boots.insert((name, epoch)) {
            return Err(format!("{name} boots for the second time in epoch {epoch}"));
        }
        if let Some(image) = from
            && !self.resumed.insert(image)
        {
            return Err(format!("{name} goes on for the second time from one saved memory"));
        }
        Ok(())
    }
}
