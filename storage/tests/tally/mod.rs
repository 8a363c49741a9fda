//! The smallest state worth replicating: how often each key was counted. A command that is lost
//! leaves a zero, one that is applied twice a two.

use protocol::rows::{Change, LoadError, Origin, Replicated, Row, Table};
use serde::{Deserialize, Serialize};

/// Keys from here on are other sites'.
pub(crate) const FOREIGN: u64 = 1 << 40;

/// Counts.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Table<u64, u64>,
}

/// Counts each of these keys once more. The padding is there to have a size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) keys: Vec<u64>,
    pub(crate) padding: Vec<u8>,
}

impl Count {
    pub(crate) const fn of(keys: Vec<u64>) -> Self {
        Self { keys, padding: Vec::new() }
    }
}

impl Tally {
    pub(crate) fn of(&self, key: u64) -> u64 {
        self.counts.get(&key).copied().unwrap_or(0)
    }

    pub(crate) fn all(&self) -> Vec<(u64, u64)> {
        self.counts.iter().map(|(key, count)| (*key, *count)).collect()
    }
}

impl Replicated for Tally {
    type Command = Count;
    /// The first key's count.
    type Outcome = u64;

    fn load(rows: impl Iterator<Item = Row>) -> Result<Self, LoadError> {
        let mut counts = Table::new(1);
        for row in rows {
            match row.table {
                1 => counts.load(&row)?,
                table => return Err(LoadError::UnknownTable { table }),
            }
        }
        Ok(Self { counts })
    }

    fn origin(command: &Count) -> Origin {
        if command.keys.iter().any(|key| *key >= FOREIGN) { Origin::Foreign } else { Origin::Own }
    }

    fn apply(&mut self, command: &Count) -> u64 {
        for key in &command.keys {
            let count = self.of(*key) + 1;
            self.counts.insert(*key, count);
        }
        command.keys.first().map_or(0, |key| self.of(*key))
    }

    fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.counts.take_changes(&mut changes);
        changes
    }
}
