//! A hypervisor in memory, with faults from a seed: for simulation, and for tests of what stands
//! on this crate.
//!
//! It keeps the same promises as the real one, and keeps books on top: how often each machine
//! was booted in each epoch. It stands for the host, so it outlives a node that is killed and
//! started again: share it between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use protocol::epoch::Epoch;
use protocol::hull::Hull;
use protocol::ids::MachineName;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::render::{self, Accelerator};
use crate::{Backend, Capacity, Error, Guest, Hypervisor, Operation, Power, Tag};

#[cfg(test)]
mod tests;

/// How often what goes wrong, in thousandths of all calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// The call does nothing and fails.
    pub before: u16,
    /// The call acts and fails all the same: its answer was lost.
    pub after: u16,
    /// A running guest crashes meanwhile.
    pub crash: u16,
    /// The hypervisor goes away for [`Faults::outage_calls`] calls.
    pub outage: u16,
    /// How many calls an outage lasts.
    pub outage_calls: u16,
}

/// What a guest is and whether it has ever run.
#[derive(Clone, Copy, Debug)]
struct Running {
    guest: Guest,
    memory: Memory,
}

/// What is in a guest's memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Memory {
    /// Nothing yet: the next resume boots it.
    Blank,
    /// A system that has booted.
    Booted,
}

#[derive(Debug)]
struct State {
    guests: BTreeMap<MachineName, Running>,
    saved: BTreeMap<PathBuf, (Tag, Memory)>,
    directories: BTreeSet<PathBuf>,
    boots: BTreeMap<(MachineName, Epoch), u32>,
    reachable: bool,
    outage_calls_left: u16,
    faults: Faults,
    chance: StdRng,
}

/// A hypervisor in memory.
#[derive(Debug)]
pub struct Fake {
    capacity: Capacity,
    state: Mutex<State>,
}

/// What an injected fault does to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Heard,
    AnswerLost,
}

impl Fake {
    /// A host with this capacity and no guests; the same seed brings the same faults.
    #[must_use]
    pub fn new(capacity: Capacity, seed: u64, faults: Faults) -> Self {
        let state = State {
            guests: BTreeMap::new(),
            saved: BTreeMap::new(),
            directories: BTreeSet::new(),
            boots: BTreeMap::new(),
            reachable: true,
            outage_calls_left: 0,
            faults,
            chance: StdRng::seed_from_u64(seed),
        };
        Self { capacity, state: Mutex::new(state) }
    }

    /// How often the machine was booted in this epoch. More than once is a broken promise of
    /// whoever called.
    #[must_use]
    pub fn boots(&self, name: MachineName, epoch: Epoch) -> u32 {
        self.state().boots.get(&(name, epoch)).copied().unwrap_or(0)
    }

    /// All boots there were.
    #[must_use]
    pub fn all_boots(&self) -> BTreeMap<(MachineName, Epoch), u32> {
        self.state().boots.clone()
    }

    /// The guests, without a call that could fail.
    #[must_use]
    pub fn look(&self) -> Vec<Guest> {
        self.state().guests.values().map(|running| running.guest).collect()
    }

    /// Whether libvirtd is there.
    pub fn set_reachable(&self, reachable: bool) {
        let mut state = self.state();
        state.reachable = reachable;
        state.outage_calls_left = 0;
    }

    /// From now on these faults: none, for instance, so that everything can heal.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        state.faults = faults;
        state.outage_calls_left = 0;
    }

    /// The guest's process dies. Says whether there was one.
    pub fn crash(&self, name: MachineName) -> bool {
        self.state().guests.remove(&name).is_some()
    }

    /// The host loses its power: guests go, disks stay.
    pub fn reboot_host(&self) {
        self.state().guests.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call: `work`, and whatever chance has against it.
    fn call<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&mut State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.state();
        let fate = state.draw(operation)?;
        let answer = work(&mut state)?;
        match fate {
            Fate::Heard => Ok(answer),
            Fate::AnswerLost => Err(Error::Injected { operation }),
        }
    }
}

impl State {
    fn strikes(&mut self, thousandths: u16) -> bool {
        self.chance.random_range(0..1_000) < thousandths
    }

    /// Draws all that can go wrong with one call, always in the same order.
    fn draw(&mut self, operation: Operation) -> Result<Fate, Error> {
        let faults = self.faults;
        let (crash, outage) = (self.strikes(faults.crash), self.strikes(faults.outage));
        let (before, after) = (self.strikes(faults.before), self.strikes(faults.after));
        if crash {
            self.crash_one();
        }
        if outage && self.outage_calls_left == 0 {
            self.outage_calls_left = faults.outage_calls;
        }
        let out = self.outage_calls_left > 0;
        self.outage_calls_left = self.outage_calls_left.saturating_sub(1);
        if out || !self.reachable {
            return Err(Error::Unreachable { uri: "fake".to_owned(), source: None });
        }
        if before {
            return Err(Error::Injected { operation });
        }
        Ok(if after { Fate::AnswerLost } else { Fate::Heard })
    }

    fn crash_one(&mut self) {
        let running: Vec<MachineName> = self
            .guests
            .iter()
            .filter(|(_, running)| running.guest.power == Power::Running)
            .map(|(name, _)| *name)
            .collect();
        if !running.is_empty() {
            let victim = running[self.chance.random_range(0..running.len())];
            self.guests.remove(&victim);
        }
    }

    /// Whether this very guest is there already.
    fn is_there(&self, tag: &Tag) -> Result<bool, Error> {
        let name = tag.name;
        match self.guests.get(&name).map(|running| running.guest.tag) {
            None => Ok(false),
            Some(present) if present == *tag => Ok(true),
            Some(present) if present.epoch == tag.epoch => {
                Err(Error::OtherHull { name, epoch: tag.epoch })
            }
            Some(present) => {
                Err(Error::OtherEpoch { name, asked: tag.epoch, present: present.epoch })
            }
        }
    }

    fn guest(&mut self, name: MachineName, epoch: Epoch) -> Result<&mut Running, Error> {
        let running = self.guests.get_mut(&name).ok_or(Error::Absent { name })?;
        let present = running.guest.tag.epoch;
        if present == epoch {
            Ok(running)
        } else {
            Err(Error::OtherEpoch { name, asked: epoch, present })
        }
    }

    fn make(&mut self, tag: &Tag, backend: &Backend, memory: Memory) -> Result<(), Error> {
        if !self.directories.contains(&backend.directory) {
            let path = backend.directory.clone();
            return Err(Error::File { path, source: std::io::ErrorKind::NotFound.into() });
        }
        let guest = Guest { tag: *tag, power: Power::Paused };
        self.guests.insert(tag.name, Running { guest, memory });
        Ok(())
    }

    fn boot(&mut self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        let running = self.guest(name, epoch)?;
        running.guest.power = Power::Running;
        if running.memory == Memory::Blank {
            running.memory = Memory::Booted;
            *self.boots.entry((name, epoch)).or_default() += 1;
        }
        Ok(())
    }

    fn save(&mut self, name: MachineName, epoch: Epoch, file: &Path) -> Result<(), Error> {
        let is_it = |tag: &Tag| tag.name == name && tag.epoch == epoch;
        if !self.guests.contains_key(&name)
            && self.saved.get(file).is_some_and(|(tag, _)| is_it(tag))
        {
            return Ok(());
        }
        let running = *self.guest(name, epoch)?;
        self.guests.remove(&name);
        self.saved.insert(file.to_owned(), (running.guest.tag, running.memory));
        Ok(())
    }
}

/// What the real one would refuse to describe, the fake refuses too.
fn check(hull: &Hull, backend: &Backend, tag: &Tag) -> Result<(), Error> {
    render::domain(hull, backend, tag, Accelerator::Emulation)
        .map(|_| ())
        .map_err(|source| Error::Description { name: tag.name, source })
}

#[async_trait]
impl Hypervisor for Fake {
    async fn probe(&self) -> Result<Capacity, Error> {
        self.call(Operation::Probe, |_| Ok(self.capacity.clone()))
    }

    async fn guests(&self) -> Result<Vec<Guest>, Error> {
        self.call(Operation::List, |state| {
            Ok(state.guests.values().map(|running| running.guest).collect())
        })
    }

    /// Its guests are no processes.
    async fn process(&self, name: MachineName, epoch: Epoch) -> Result<Option<i32>, Error> {
        self.call(Operation::Locate, |state| state.guest(name, epoch).map(|_| None))
    }

    async fn prepare(&self, hull: &Hull, backend: &Backend, tag: &Tag) -> Result<(), Error> {
        check(hull, backend, tag)?;
        self.call(Operation::Prepare, |state| {
            if state.is_there(tag)? { Ok(()) } else { state.make(tag, backend, Memory::Blank) }
        })
    }

    async fn resume(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Resume, |state| state.boot(name, epoch))
    }

    async fn pause(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Pause, |state| {
            state.guest(name, epoch)?.guest.power = Power::Paused;
            Ok(())
        })
    }

    async fn shutdown(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Shutdown, |state| {
            if state.guest(name, epoch)?.guest.power == Power::Running {
                state.guests.remove(&name);
            }
            Ok(())
        })
    }

    async fn destroy(&self, name: MachineName, epoch: Epoch) -> Result<(), Error> {
        self.call(Operation::Destroy, |state| match state.guest(name, epoch) {
            Err(Error::Absent { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                state.guests.remove(&name);
                Ok(())
            }
        })
    }

    async fn save(&self, name: MachineName, epoch: Epoch, file: &Path) -> Result<(), Error> {
        self.call(Operation::Save, |state| state.save(name, epoch, file))
    }

    async fn restore(
        &self,
        hull: &Hull,
        backend: &Backend,
        tag: &Tag,
        file: &Path,
    ) -> Result<(), Error> {
        check(hull, backend, tag)?;
        let name = tag.name;
        self.call(Operation::Restore, |state| {
            if state.is_there(tag)? {
                return Ok(());
            }
            match state.saved.get(file).copied() {
                Some((saved, memory)) if saved.name == name => state.make(tag, backend, memory),
                _ => Err(Error::NotSaved { name, file: file.to_owned() }),
            }
        })
    }

    async fn disk_create(&self, _hull: &Hull, backend: &Backend) -> Result<(), Error> {
        self.state().directories.insert(backend.directory.clone());
        Ok(())
    }

    async fn wipe(&self, directory: &Path) -> Result<(), Error> {
        let mut state = self.state();
        state.directories.remove(directory);
        state.saved.retain(|file, _| !file.starts_with(directory));
        Ok(())
    }

    /// Says which machine it would be, and ends.
    async fn console(&self, backend: &Backend) -> Result<UnixStream, Error> {
        let path = backend.console_socket();
        let failed = |source| Error::File { path: path.clone(), source };
        if !self.state().directories.contains(&backend.directory) {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        }
        let (ours, mut guests) = UnixStream::pair().map_err(failed)?;
        let line = format!("the guest in {}\n", backend.directory.display());
        guests.write_all(line.as_bytes()).await.map_err(failed)?;
        Ok(ours)
    }
}
