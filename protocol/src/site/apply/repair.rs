//! Own hosts that are lost, drained or back, and what becomes of the guests on them.
//!
//! ```text
//!   ended:   its lease cannot be held any more, so no guest under `fence` runs there
//!            guest ----------------------------------> another host, or its home is told
//!              \-- remains: ended and wiped as soon as the host is back
//!   drained: it is well and is to be empty
//!            guest --ended and wiped there first-----> another host
//! ```
//!
//! **Invariant.** A guest is moved off a host only once it cannot run there: either the host's
//! lease has ended and the guest is one that the fence stops, or the host itself has said that
//! nothing is left of it.

use super::super::command::{Outcome, Refusal};
use super::super::state::{Guest, Remains};
use super::super::{Site, Turn};
use crate::agreement::Message;
use crate::ids::{HoldId, HostId, MachineName};
use crate::machine::Goal;
use crate::machine::guest::Seen;
use crate::manifest::OnPartition;

/// What a guest's owner reads while its host is out of reach.
const UNREACHED: &str = "its host is out of reach";

impl Site {
    /// A host's lease cannot be held any more.
    pub(super) fn host_ended(&mut self, host: HostId, turn: &mut Turn) -> Outcome {
        let Some(row) = self.hosts.get_mut(&host) else { return Outcome::Done };
        if row.ended.is_none() {
            row.ended = Some(turn.now);
            for name in self.guests_on(host) {
                self.rescue(name, turn);
            }
        }
        Outcome::Done
    }

    /// A host that had ended asks for a lease again.
    pub(super) fn host_back(&mut self, host: HostId, turn: &mut Turn) -> Outcome {
        let Some(row) = self.hosts.get_mut(&host) else { return Outcome::Done };
        if row.ended.take().is_some() {
            for name in self.guests_on(host) {
                self.remark(name, UNREACHED, "", turn);
            }
        }
        Outcome::Done
    }

    /// Empties a host as far as its guests can be started elsewhere here, and puts nothing new on
    /// it. A guest without such a place stays and stands in the way.
    pub(super) fn drain_host(&mut self, host: HostId, turn: &mut Turn) -> Result<Outcome, Refusal> {
        let Some(row) = self.hosts.get_mut(&host) else {
            return Err(Refusal::UnknownHost { host });
        };
        row.drained = true;
        for name in self.guests_on(host) {
            self.vacate(name, turn);
        }
        Ok(Outcome::Done)
    }

    /// Lets machines be placed on a drained host again.
    pub(super) fn enable_host(&mut self, host: HostId) -> Result<Outcome, Refusal> {
        let Some(row) = self.hosts.get_mut(&host) else {
            return Err(Refusal::UnknownHost { host });
        };
        row.drained = false;
        Ok(Outcome::Done)
    }

    /// Forgets a host that will not come back. The operator's word stands for the end of whatever
    /// was left on it, also of guests that are to be destroyed or whose agreements are over, and that
    /// only the host itself could say are gone.
    pub(super) fn forget_host(
        &mut self,
        host: HostId,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        let Some(row) = self.hosts.get(&host) else { return Ok(Outcome::Done) };
        let is_wanted = |name: &&MachineName| {
            let goal = self.guests.get(name).map(Guest::wanted);
            goal.is_some_and(|goal| goal != Goal::Destroyed) && !self.has_no_more_time(**name, turn)
        };
        let left = self.guests_on(host);
        let guests = left.iter().filter(is_wanted).count();
        if row.ended.is_none() || guests > 0 {
            return Err(Refusal::HostInUse { host, guests });
        }
        for name in left {
            self.give_up(name, turn);
        }
        self.strike_host(host);
        Ok(Outcome::Done)
    }

    /// Strikes a host without guests, with what may be left on it and what was offered there.
    pub(super) fn strike_host(&mut self, host: HostId) {
        let offered = self.holds.iter().filter(|(_, hold)| hold.lodging.host == host);
        let offered: Vec<HoldId> = offered.map(|(id, _)| *id).collect();
        for hold in offered {
            self.remove_hold(hold);
        }
        let left: Vec<MachineName> = self
            .occupancy
            .on(host)
            .map_or_else(Vec::new, |occupied| occupied.remains.iter().copied().collect());
        for name in left {
            self.remove_remains(host, name);
        }
        self.hosts.remove(&host);
    }

    /// Does for a guest on a host that has ended what may be done without the host.
    pub(super) fn rescue(&mut self, name: MachineName, turn: &mut Turn) {
        if self.is_left_over(name, turn) {
            return self.keep_if_stopped(name, turn);
        }
        let Some(guest) = self.guests.get(&name) else { return };
        let goal = match guest.wanted() {
            // It was to start elsewhere; now it is only to be gone.
            Goal::Defined if self.has_no_more_time(name, turn) => Goal::Active,
            goal => goal,
        };
        match (guest.on_partition, goal) {
            (OnPartition::Fence, Goal::Active) => {
                if let Some(guest) = self.remove_guest(name) {
                    self.leave_behind(name, &guest);
                    self.resettle(name, guest, turn);
                }
            }
            (OnPartition::Fence, Goal::Destroyed) => {
                self.leave_behind(name, &guest.clone());
                self.give_up(name, turn);
            }
            (OnPartition::Fence, Goal::Defined | Goal::Paused | Goal::Suspended)
            | (OnPartition::Hold, _) => self.remark(name, "", UNREACHED, turn),
        }
    }

    /// Takes a guest that is not wanted any more for gone.
    fn give_up(&mut self, name: MachineName, turn: &mut Turn) {
        if let Some(guest) = self.guests.get_mut(&name) {
            guest.progress.order(Goal::Destroyed, turn.now);
            let epoch = guest.progress.epoch;
            guest.progress.observe(epoch, &Seen::Released, turn.now);
        }
        self.guest_changed(name, turn);
    }

    /// Has a guest ended where it is, to be started elsewhere here, if there is room.
    fn vacate(&mut self, name: MachineName, turn: &mut Turn) {
        let Some(guest) = self.guests.get(&name) else { return };
        let movable = guest.on_partition == OnPartition::Fence
            && matches!(guest.wanted(), Goal::Active | Goal::Defined);
        if guest.leaving.is_some()
            || !movable
            || self.is_left_over(name, turn)
            || self.room_for(name.machine, guest.hull.size()).is_none()
        {
            return;
        }
        if let Some(guest) = self.guests.get_mut(&name) {
            guest.leaving = Some(guest.progress.wanted());
            guest.progress.order(Goal::Destroyed, turn.now);
        }
        self.guest_changed(name, turn);
    }

    /// Gives a guest, of which nothing runs any more and whose row has been taken out, a place on
    /// another host here; if there is none, its home decides.
    pub(super) fn resettle(&mut self, name: MachineName, mut guest: Guest, turn: &mut Turn) {
        let goal = guest.wanted();
        guest.leaving = None;
        let own = name.home == self.me();
        let over = self.is_over(guest.agreement, turn);
        let host = self.room_for(name.machine, guest.hull.size()).filter(|_| !over);
        if let Some(host) = host {
            guest.lodging = self.lodging(host);
            guest.progress = guest.progress.displaced(turn.now);
            guest.progress.order(goal, turn.now);
            self.insert_guest(name, guest);
            if own {
                self.moved_here(name.machine, host);
            }
            self.guest_changed(name, turn);
        } else if own {
            self.place_anew(name.machine, turn);
        } else {
            let epoch = guest.progress.epoch.home;
            self.end_agreement(guest.agreement, turn);
            self.owe(name.home, Message::Lost { machine: name.machine, epoch }, turn);
        }
    }

    /// Notes what may still be on a guest's host, so that it ends there.
    fn leave_behind(&mut self, name: MachineName, guest: &Guest) {
        let remains = Remains {
            hull: guest.hull.clone(),
            image: guest.image,
            slot: guest.lodging.slot,
            epoch: guest.progress.epoch,
            kept: None,
        };
        self.insert_remains(guest.lodging.host, name, remains);
    }

    /// Puts one remark about a guest in the place of another, and leaves any other alone.
    fn remark(&mut self, name: MachineName, before: &str, after: &str, turn: &mut Turn) {
        let Some(guest) = self.guests.get_mut(&name) else { return };
        if guest.progress.reason == before {
            after.clone_into(&mut guest.progress.reason);
            self.guest_changed(name, turn);
        }
    }
}
