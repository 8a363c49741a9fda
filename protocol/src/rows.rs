//! Typed tables that remember which of their rows were touched.
//!
//! A replicated state is a few [`Table`]s. Applying a command changes them in memory; the rows it
//! touched are then taken as [`Change`]s and written to disk in the same batch as the applied
//! index. [`Replicated`] is all that storage knows of a state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;

/// The most bytes of one encoded row: a manifest of 256 KiB and what is made of it fit well.
pub const ROW_BYTES_MAX: usize = 4 << 20;

/// A row as it is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The table's number.
    pub table: u8,
    /// The encoded key.
    pub key: Vec<u8>,
    /// The encoded value.
    pub value: Vec<u8>,
}

/// What became of a row: its new value, or none if it is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The table's number.
    pub table: u8,
    /// The encoded key.
    pub key: Vec<u8>,
    /// The encoded value.
    pub value: Option<Vec<u8>>,
}

/// A row on disk does not fit the state that should be read from it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The table is not known to this version.
    #[error("rows of table {table} are of a newer version: start the version that wrote them")]
    UnknownTable {
        /// The table's number.
        table: u8,
    },
    /// The row cannot be read.
    #[error("a row of table {table} cannot be read")]
    Unreadable {
        /// The table's number.
        table: u8,
        /// Why.
        #[source]
        source: codec::Error,
    },
}

/// A state that commands change, deterministically and totally: every replica that applies the
/// same commands has the same rows.
pub trait Replicated: Sized + Debug + Send + Sync + 'static {
    /// What enters the log.
    type Command: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What the proposer of a command learns; a refusal is an outcome.
    type Outcome: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The state that these rows hold; with no rows, the state before the first command.
    ///
    /// # Errors
    ///
    /// If a row is not of this state.
    fn load(rows: impl Iterator<Item = Row>) -> Result<Self, LoadError>;

    /// Whose doing a command is: under load, a site's own work goes before that of others.
    fn origin(command: &Self::Command) -> Origin;

    /// Applies one command.
    fn apply(&mut self, command: &Self::Command) -> Self::Outcome;

    /// The rows touched since the last call, each as it is now.
    fn take_changes(&mut self) -> Vec<Change>;
}

/// Whose doing a command is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The site's own: its tenants', its operators', its hosts'. It goes first.
    Own,
    /// Another site's.
    Foreign,
}

/// A table of a replicated state.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    number: u8,
    rows: BTreeMap<K, V>,
    touched: BTreeSet<K>,
}

impl<K, V> Table<K, V>
where
    K: Clone + Ord + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// An empty table with a number that no other table of the state has.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self { number, rows: BTreeMap::new(), touched: BTreeSet::new() }
    }

    /// The table's number.
    #[must_use]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// The row under `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    /// The row under `key`, to be changed: it counts as touched.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.touched.insert(key.clone());
        Some(row)
    }

    /// The keys of the rows touched since [`take_changes`](Self::take_changes) was called last, also
    /// of those that are gone.
    pub fn touched(&self) -> impl Iterator<Item = &K> {
        self.touched.iter()
    }

    /// Puts a row under `key` and hands back what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.touched.insert(key.clone());
        self.rows.insert(key, value)
    }

    /// Takes the row under `key` away.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.touched.insert(key.clone());
        Some(row)
    }

    /// All rows in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// The rows from one key to another, in order.
    pub fn range(
        &self,
        range: impl std::ops::RangeBounds<K>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.range(range)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads one row from disk.
    ///
    /// # Errors
    ///
    /// If key or value cannot be read.
    pub fn load(&mut self, row: &Row) -> Result<(), LoadError> {
        let unreadable = |source| LoadError::Unreadable { table: self.number, source };
        let key = codec::decode(&row.key, ROW_BYTES_MAX).map_err(unreadable)?;
        let value = codec::decode(&row.value, ROW_BYTES_MAX).map_err(unreadable)?;
        self.rows.insert(key, value);
        Ok(())
    }

    /// Moves the rows touched since the last call into `changes`.
    pub fn take_changes(&mut self, changes: &mut Vec<Change>) {
        for key in std::mem::take(&mut self.touched) {
            let value = self.rows.get(&key).map(codec::encode);
            changes.push(Change { table: self.number, key: codec::encode(&key), value });
        }
    }
}
