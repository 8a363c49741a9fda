//! Disks that outlive their agreement.
//!
//! ```text
//!   the agreement ends without the home's word on the disks
//!     guest --stopped--> its room is free, but for the disks; the home is told: Lost
//!       |                     |
//!       |                     +-- the home's Order: DESTROYED --> they go
//!       |                     +-- the retention agreed on is over --> they go
//!       +-- the home's Order: DESTROYED --> ended, and they go with it
//! ```
//!
//! A home may be away for as long as an agreement has left, and a day longer. So time alone stops
//! a guest and frees its processors and memory; what it wrote goes by its home's word, or once the
//! retention is over that both have signed. What the home itself has ended needs no further word.

use super::super::state::{Keeping, Remains};
use super::super::{Site, Turn};
use crate::agreement::Message;
use crate::ids::{HoldId, HostId, MachineName};
use crate::machine::Goal;
use crate::machine::guest::Phase;
use crate::manifest::OnPartition;

impl Site {
    /// Whether the time of an agreement under which this site runs a guest is over.
    pub(super) fn is_over(&self, agreement: Option<HoldId>, turn: &Turn) -> bool {
        agreement.and_then(|id| self.live(id)).is_some_and(|row| row.end() <= turn.now)
    }

    /// Whether a guest's agreement is over, and its home has not said what becomes of its disks.
    pub(super) fn is_left_over(&self, name: MachineName, turn: &Turn) -> bool {
        self.guests.get(&name).is_some_and(|guest| {
            guest.wanted() != Goal::Destroyed
                && guest.leaving.is_none()
                && self.is_over(guest.agreement, turn)
        })
    }

    /// Whether a guest's agreement is over, wherever the guest is on its way to.
    pub(super) fn has_no_more_time(&self, name: MachineName, turn: &Turn) -> bool {
        self.guests.get(&name).is_some_and(|guest| self.is_over(guest.agreement, turn))
    }

    /// Has a guest stopped whose agreement is over. One that is being moved off its host is gone
    /// when that is done, and starts nowhere else.
    pub(super) fn stop_for_good(&mut self, name: MachineName, turn: &mut Turn) {
        if let Some(guest) = self.guests.get_mut(&name)
            && guest.leaving.is_some()
        {
            guest.leaving = Some(Goal::Defined);
            return;
        }
        if !self.is_left_over(name, turn) {
            return;
        }
        if let Some(guest) = self.guests.get_mut(&name) {
            guest.progress.halt(turn.now);
        }
        self.keep_if_stopped(name, turn);
    }

    /// Keeps the disks of a guest whose agreement is over, once it does not run any more: its host
    /// has said so, or its host is lost and the fence has stopped it.
    pub(super) fn keep_if_stopped(&mut self, name: MachineName, turn: &mut Turn) {
        let Some(guest) = self.guests.get(&name) else { return };
        let host = self.hosts.get(&guest.lodging.host);
        let fenced =
            guest.on_partition == OnPartition::Fence && host.is_some_and(|row| row.ended.is_some());
        if fenced || matches!(guest.progress.phase, Phase::Idle | Phase::Saved) {
            self.keep_disks(name, turn);
        }
    }

    /// Parts with a guest that does not run any more, and keeps its disks.
    fn keep_disks(&mut self, name: MachineName, turn: &mut Turn) {
        let Some(guest) = self.remove_guest(name) else { return };
        let Some(agreement) = guest.agreement else { return };
        let retention = self.agreements.get(&agreement).map(|row| row.terms.retention);
        let until = turn.now + retention.unwrap_or_default();
        let remains = Remains {
            slot: guest.lodging.slot,
            epoch: guest.progress.epoch,
            hull: guest.hull,
            image: guest.image,
            kept: Some(Keeping { agreement, until }),
        };
        self.insert_remains(guest.lodging.host, name, remains);
        self.end_agreement(Some(agreement), turn);
        self.dues.insert((until, agreement), ());
        let epoch = guest.progress.epoch.home;
        self.owe(name.home, Message::Lost { machine: name.machine, epoch }, turn);
    }

    /// Whether disks of a machine are kept here.
    pub(super) fn has_kept_disks_of(&self, name: MachineName) -> bool {
        self.remains.iter().any(|((_, other), remains)| *other == name && remains.kept.is_some())
    }

    /// Lets the kept disks go of a machine, if they are meant.
    pub(super) fn let_disks_go(&mut self, meant: impl Fn(&Remains) -> bool, name: MachineName) {
        let kept = self.remains.iter().find(|((_, other), remains)| {
            *other == name && remains.kept.is_some() && meant(remains)
        });
        let Some((key, remains)) = kept.map(|(key, remains)| (*key, remains.clone())) else {
            return;
        };
        self.insert_remains(key.0, name, Remains { kept: None, ..remains });
    }

    /// Lets the disks go that were kept under an agreement, if their time is over.
    pub(super) fn let_retained_disks_go(&mut self, agreement: HoldId, turn: &Turn) {
        let over = |kept: Keeping| kept.agreement == agreement && kept.until <= turn.now;
        let kept: Option<(HostId, MachineName)> = self
            .remains
            .iter()
            .find(|(_, remains)| remains.kept.is_some_and(over))
            .map(|(key, _)| *key);
        if let Some((_, name)) = kept {
            self.let_disks_go(|remains| remains.kept.is_some_and(over), name);
        }
    }
}
