//! Machines of this site's tenants that have lost their place, or have to leave it.
//!
//! A machine loses its place when what ran it cannot any more: its host has ended, or the session
//! with its provider has, or the provider says that it is gone. It is then sought a new one by the
//! same rules as at first, again and again, until it has one or its tenant does not want it.
//!
//! **Invariant.** A machine is placed anew only once it cannot run where it was: no lease can be
//! held there any more and it is one that the fence stops, or its provider has said that it is
//! gone. Its next placement has a higher epoch, so whatever is said of the former is late.

use std::collections::BTreeMap;

use super::super::command::{Outcome, Refusal as CommandRefusal};
use super::super::state::{Displacement, Place, Timer};
use super::super::{Site, Turn};
use crate::agreement::{Message, Refusal};
use crate::ids::{HoldId, HostId, MachineId, SiteId};
use crate::machine::{Goal, State};
use crate::manifest::OnPartition;
use crate::peering::Standing;
use crate::time::Span;

/// How long a machine for which there was no room is left before it is sought again: room comes
/// free at other people's pace, and every search asks peers.
const AGAIN: Span = Span::from_secs(30);

/// How long a buyer waits for the word on an offer it has accepted before it looks elsewhere: as
/// long as the seller would have kept the room.
pub(super) const WORD_AWAITED: Span = crate::agreement::HOLD;

/// What a machine's owner reads while its provider is out of reach.
const UNREACHED: &str = "its provider is out of reach";

impl Site {
    /// The session with a provider cannot be held any more.
    pub(super) fn peer_ended(&mut self, peer: SiteId, turn: &mut Turn) -> Outcome {
        let Some(row) = self.peers.get_mut(&peer) else { return Outcome::Done };
        if row.ended.is_none() {
            row.ended = Some(turn.now);
            for machine in self.machines_at(peer) {
                self.recall(machine, turn);
            }
        }
        Outcome::Done
    }

    /// A provider with whom the session had ended has one again.
    pub(super) fn peer_back(&mut self, peer: SiteId) -> Outcome {
        if !self.is_ended(peer) {
            return Outcome::Done;
        }
        if let Some(row) = self.peers.get_mut(&peer) {
            row.ended = None;
            for machine in self.machines_at(peer) {
                if let Some(row) = self.machines.get_mut(&machine)
                    && row.sight.reason == UNREACHED
                {
                    row.sight.reason.clear();
                }
            }
        }
        Outcome::Done
    }

    /// Has every machine that a peer runs for this site ended there and placed elsewhere, as far
    /// as that may be; nothing more is bought there.
    pub(super) fn drain_peer(
        &mut self,
        peer: SiteId,
        turn: &Turn,
    ) -> Result<Outcome, CommandRefusal> {
        self.standing_peer(peer)?;
        let Some(row) = self.peers.get_mut(&peer) else { return Ok(Outcome::Done) };
        row.standing = Standing::Drained;
        for machine in self.machines_at(peer) {
            self.leave(machine, turn);
        }
        Ok(Outcome::Done)
    }

    /// A provider says that a machine is gone: it had nowhere left to run it.
    pub(super) fn lost(&mut self, from: SiteId, machine: MachineId, epoch: u64, turn: &mut Turn) {
        let there = self.machines.get(&machine).is_some_and(|row| {
            row.epoch == epoch && matches!(row.place, Place::There { site, .. } if site == from)
        });
        if !there {
            return;
        }
        // Where it starts next its disks are fresh, and those that may be kept there are no use.
        // What is to be held no matter what may be worth a look before they go.
        let held = self.machines.get(&machine).is_some_and(|row| {
            row.on_partition == OnPartition::Hold && row.goal != Goal::Destroyed
        });
        if !held {
            self.owe(from, Message::Order { machine, epoch, goal: Goal::Destroyed }, turn);
        }
        self.place_anew(machine, turn);
    }

    /// Does for a machine at a peer that cannot be reached what may be done without the peer. What
    /// the peer is to do is owed to it, and reaches it when it is back.
    pub(super) fn recall(&mut self, machine: MachineId, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        let Place::There { site, .. } = row.place else { return };
        match (row.on_partition, row.goal) {
            (OnPartition::Fence, Goal::Active | Goal::Destroyed) => {
                let epoch = row.epoch;
                self.owe(site, Message::Order { machine, epoch, goal: Goal::Destroyed }, turn);
                self.place_anew(machine, turn);
            }
            (OnPartition::Fence, Goal::Defined | Goal::Paused | Goal::Suspended)
            | (OnPartition::Hold, _) => {
                if row.sight.reason.is_empty() {
                    UNREACHED.clone_into(&mut row.sight.reason);
                }
            }
        }
    }

    /// Seeks a new place for a machine that has lost the one it had. One that should not run is
    /// only described from then on; one whose memory was wanted has failed.
    pub(super) fn place_anew(&mut self, machine: MachineId, turn: &mut Turn) {
        let awaited = self.awaits_its_start(machine);
        let Some(row) = self.machines.get_mut(&machine) else { return };
        let goal = row.goal;
        let former = std::mem::replace(&mut row.place, Place::Nowhere);
        if goal == Goal::Active || (awaited && goal == Goal::Defined) {
            // Where it was it would come to the same end.
            let refused = match &former {
                Place::There { site, .. } => BTreeMap::from([(*site, Refusal::Ended)]),
                _ => BTreeMap::new(),
            };
            row.place = Place::Sought { call: None, refused };
        }
        row.lapses = 0;
        row.displacement =
            if goal == Goal::Active { Displacement::Lost } else { Displacement::None };
        let (state, reason) = match goal {
            Goal::Active | Goal::Defined => (State::Defined, ""),
            Goal::Paused | Goal::Suspended => {
                (State::Failed, "its memory was lost with what held it")
            }
            // What is still to be read of it is not about its place.
            Goal::Destroyed => (row.sight.state, row.sight.reason.as_str()),
        };
        (row.sight.state, row.sight.reason) = (state, reason.to_owned());
        row.sight.since = turn.now;
        if let Place::There { agreement, .. } = former {
            self.end_agreement(Some(agreement), turn);
        }
        match goal {
            Goal::Active | Goal::Defined => drop(self.place_here(&[machine], turn)),
            Goal::Destroyed => self.vanish(machine, turn),
            // Its service need not wait for it any longer.
            Goal::Paused | Goal::Suspended => {
                if let Some((service, _)) = self.service_of(machine) {
                    self.advance(service, turn);
                }
            }
        }
    }

    /// One of this site's hosts has taken a machine over from another.
    pub(super) fn moved_here(&mut self, machine: MachineId, host: HostId) {
        if let Some(row) = self.machines.get_mut(&machine) {
            row.place = Place::Here(host);
        }
    }

    /// Leaves a machine that has lost its place and found no other for a while.
    pub(super) fn postpone(&mut self, machine: MachineId, reason: String, turn: &Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        row.place = Place::Postponed;
        row.lapses = 0;
        row.sight.reason = reason;
        self.timers.insert((turn.now + AGAIN, machine), Timer::Seek);
    }

    /// Does what was put off until now.
    pub(super) fn ring_timers(&mut self, turn: &mut Turn) {
        loop {
            let due = self.timers.iter().next().map(|(key, _)| *key);
            let Some(key) = due.filter(|(at, _)| *at <= turn.now) else { return };
            let Some(timer) = self.timers.remove(&key) else { return };
            let machine = key.1;
            match timer {
                Timer::Seek => self.seek_again(machine, turn),
                Timer::Word(hold) => self.word_overdue(machine, hold, turn),
            }
        }
    }

    fn seek_again(&mut self, machine: MachineId, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        if row.place == Place::Postponed {
            row.place = Place::Sought { call: None, refused: BTreeMap::new() };
            self.place_here(&[machine], turn);
        }
    }

    /// The seller of an accepted offer has not said a word. What it may have begun ends by an
    /// order behind the acceptance in the same stream; nothing runs there before this site has
    /// heard that the agreement stands.
    fn word_overdue(&mut self, machine: MachineId, hold: HoldId, turn: &mut Turn) {
        let Some(row) = self.machines.get(&machine) else { return };
        let Place::Accepted(offer) = &row.place else { return };
        if offer.hold != hold {
            return;
        }
        let (site, epoch) = (offer.site, row.epoch);
        self.owe(site, Message::Order { machine, epoch, goal: Goal::Destroyed }, turn);
        self.lapsed(site, machine, hold, Refusal::Silent, turn);
    }

    fn machines_at(&self, peer: SiteId) -> Vec<MachineId> {
        let there = |place: &Place| matches!(place, Place::There { site, .. } if *site == peer);
        self.machines.iter().filter(|(_, row)| there(&row.place)).map(|(id, _)| *id).collect()
    }

    /// Whether the session with a peer has ended.
    pub(in crate::site) fn is_ended(&self, peer: SiteId) -> bool {
        self.peers.get(&peer).is_some_and(|row| row.ended.is_some())
    }

    pub(super) fn end_agreement(&mut self, agreement: Option<HoldId>, turn: &Turn) {
        if let Some(agreement) = agreement.and_then(|id| self.agreements.get_mut(&id)) {
            agreement.ended.get_or_insert(turn.now);
        }
    }
}
