//! How many connections and requests each machine has had of late.
//!
//! Whoever has no connection and has rested long enough is forgotten, so there are never more
//! records here than machines that asked something a moment ago.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use protocol::ids::MachineName;

use crate::limits::{Limits, Rate};

/// The parts of one event that are counted, so that a share of one grows in steps of microseconds.
const ONE: u64 = 1_000_000;

/// A token bucket: full at `rest`, empty a burst earlier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    level: u64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: u64::from(rate.burst) * ONE, at: now }
    }

    /// Takes one out, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let left = self.level.checked_sub(ONE);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level == u64::from(self.rate.burst) * ONE
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_micros();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(self.rate.per_second.into());
        self.level = self.level.saturating_add(gained).min(u64::from(self.rate.burst) * ONE);
        self.at = self.at.max(now);
    }
}

#[derive(Debug)]
struct Record {
    connections: u32,
    requests: Bucket,
    pushes: Bucket,
}

impl Record {
    fn is_at_rest(&mut self, now: Instant) -> bool {
        self.connections == 0 && self.requests.is_full(now) && self.pushes.is_full(now)
    }
}

/// All machines that asked something a moment ago.
#[derive(Clone, Debug)]
pub(crate) struct Guests {
    limits: Limits,
    records: Arc<Mutex<BTreeMap<MachineName, Record>>>,
}

impl Guests {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, records: Arc::default() }
    }

    /// Lets a machine have one more connection, unless it has enough.
    pub(crate) fn enter(&self, machine: MachineName, now: Instant) -> Option<Visit> {
        let mut records = self.records();
        if !records.contains_key(&machine) {
            records.retain(|_, record| !record.is_at_rest(now));
        }
        let record = records.entry(machine).or_insert_with(|| Record {
            connections: 0,
            requests: Bucket::new(self.limits.requests, now),
            pushes: Bucket::new(self.limits.pushes, now),
        });
        if record.connections == self.limits.connections_each {
            return None;
        }
        record.connections += 1;
        Some(Visit { guests: self.clone(), machine })
    }

    /// How many machines there is a record of.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.records().len()
    }

    /// Nothing that panics is done under the lock, and a count is sound at every moment.
    fn records(&self) -> MutexGuard<'_, BTreeMap<MachineName, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of a machine, which counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    guests: Guests,
    machine: MachineName,
}

impl Visit {
    /// The machine.
    pub(crate) const fn machine(&self) -> MachineName {
        self.machine
    }

    /// Whether the machine may have one more request now.
    pub(crate) fn request(&self, now: Instant) -> bool {
        self.with(|record| record.requests.take(now))
    }

    /// Whether the machine may have one more KPI taken now.
    pub(crate) fn push(&self, now: Instant) -> bool {
        self.with(|record| record.pushes.take(now))
    }

    /// A record with a connection stays, so it is there.
    fn with(&self, act: impl FnOnce(&mut Record) -> bool) -> bool {
        self.guests.records().get_mut(&self.machine).is_some_and(act)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.with(|record| {
            record.connections = record.connections.saturating_sub(1);
            true
        });
    }
}
