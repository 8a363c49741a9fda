//! What is taken on each host, kept beside the rows that say so.
//!
//! Placing one machine must not cost a look at every other: what is promised on a host, which
//! slots are taken there and whose they are is counted as rows come and go. It is no part of the
//! replicated state, only another view of it: [`super::check`] counts again, without this.

use std::collections::{BTreeMap, BTreeSet};

use super::Site;
use super::state::{Guest, Hold, Remains};
use crate::ids::{HoldId, HostId, MachineName};
use crate::units::Size;

/// What is taken on one host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Occupied {
    /// What guests, holds and kept disks take together.
    pub(super) promised: Size,
    /// The slots that guests, holds and remains have.
    pub(super) slots: BTreeSet<u32>,
    /// The guests.
    pub(super) guests: BTreeSet<MachineName>,
    /// What is left of machines that have no place there any more.
    pub(super) remains: BTreeSet<MachineName>,
    /// Those of them of which nothing is to be left.
    pub(super) going: BTreeSet<MachineName>,
}

/// What is taken on each host; hosts with nothing on them are not in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Occupancy {
    hosts: BTreeMap<HostId, Occupied>,
}

impl Occupancy {
    /// What is taken on a host.
    pub(super) fn on(&self, host: HostId) -> Option<&Occupied> {
        self.hosts.get(&host)
    }

    fn change(&mut self, host: HostId, change: impl FnOnce(&mut Occupied)) {
        let occupied = self.hosts.entry(host).or_default();
        change(occupied);
        if *occupied == Occupied::default() {
            self.hosts.remove(&host);
        }
    }
}

impl Site {
    /// Counts everything anew, after rows were read from disk.
    pub(super) fn count_occupancy(&mut self) {
        let mut counted = Occupancy::default();
        for (name, guest) in self.guests.iter() {
            counted.change(guest.lodging.host, |it| it.take_in(*name, guest));
        }
        for (_, hold) in self.holds.iter() {
            counted.change(hold.lodging.host, |it| it.keep_for(hold));
        }
        for ((host, name), remains) in self.remains.iter() {
            counted.change(*host, |it| it.leave(*name, remains));
        }
        self.occupancy = counted;
    }

    pub(super) fn insert_guest(&mut self, name: MachineName, guest: Guest) {
        debug_assert!(self.guests.get(&name).is_none(), "a machine is a guest once");
        self.occupancy.change(guest.lodging.host, |it| it.take_in(name, &guest));
        self.guests.insert(name, guest);
    }

    pub(super) fn remove_guest(&mut self, name: MachineName) -> Option<Guest> {
        let guest = self.guests.remove(&name)?;
        // A machine at home here keeps what is handed to it until it is forgotten.
        if guest.agreement.is_some() {
            self.user_data.remove(&name);
        }
        self.occupancy.change(guest.lodging.host, |it| {
            it.promised = it.promised.minus(guest.hull.size());
            it.slots.remove(&guest.lodging.slot);
            it.guests.remove(&name);
        });
        Some(guest)
    }

    pub(super) fn insert_hold(&mut self, id: HoldId, hold: Hold) {
        debug_assert!(self.holds.get(&id).is_none(), "a hold's id is new");
        self.occupancy.change(hold.lodging.host, |it| it.keep_for(&hold));
        self.holds.insert(id, hold);
    }

    pub(super) fn remove_hold(&mut self, id: HoldId) -> Option<Hold> {
        let hold = self.holds.remove(&id)?;
        self.occupancy.change(hold.lodging.host, |it| {
            it.promised = it.promised.minus(hold.hull.size());
            it.slots.remove(&hold.lodging.slot);
        });
        Some(hold)
    }

    pub(super) fn insert_remains(&mut self, host: HostId, name: MachineName, remains: Remains) {
        // Only the latest start counts: whatever is older is gone with it.
        self.remove_remains(host, name);
        self.occupancy.change(host, |it| it.leave(name, &remains));
        self.remains.insert((host, name), remains);
    }

    pub(super) fn remove_remains(&mut self, host: HostId, name: MachineName) {
        let Some(remains) = self.remains.remove(&(host, name)) else { return };
        self.occupancy.change(host, |it| {
            it.promised = it.promised.minus(remains.size());
            it.slots.remove(&remains.slot);
            it.remains.remove(&name);
            it.going.remove(&name);
        });
    }

    /// The guests on a host, in the order of their names.
    pub(super) fn guests_on(&self, host: HostId) -> Vec<MachineName> {
        self.occupancy.on(host).map_or_else(Vec::new, |it| it.guests.iter().copied().collect())
    }
}

impl Occupied {
    fn take_in(&mut self, name: MachineName, guest: &Guest) {
        self.promised = self.promised.plus(guest.hull.size());
        self.slots.insert(guest.lodging.slot);
        self.guests.insert(name);
    }

    fn keep_for(&mut self, hold: &Hold) {
        self.promised = self.promised.plus(hold.hull.size());
        self.slots.insert(hold.lodging.slot);
    }

    fn leave(&mut self, name: MachineName, remains: &Remains) {
        self.promised = self.promised.plus(remains.size());
        self.slots.insert(remains.slot);
        self.remains.insert(name);
        if remains.kept.is_none() {
            self.going.insert(name);
        }
    }
}
