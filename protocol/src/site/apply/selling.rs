//! The seller's side of an agreement: offers with room behind them, and guests under agreements.

use super::super::state::{Agreement, Guest, Hold, Lodging, guest_name};
use super::super::{GUESTS_MAX, OUTBOX_MAX, Site, Turn};
use crate::agreement::{Acceptance, Call, HOLD, Message, Refusal, Terms};
use crate::identity::Verified;
use crate::ids::{HoldId, HostId, MachineId, SiteId};
use crate::machine::Goal;
use crate::machine::guest::Progress;
use crate::placement::{self, Need};
use crate::units::Price;

impl Site {
    /// A buyer asks whether this site could run a machine. One that asks and asks and takes up no
    /// answer gets none: silence is a refusal.
    pub(super) fn called(&mut self, from: SiteId, call: &Call, turn: &mut Turn) {
        if self.owed_to(from) >= OUTBOX_MAX {
            return;
        }
        let answer = match self.hold(from, call, turn) {
            Ok((hold, terms)) => Message::Offer { call: call.call, hold, terms },
            Err(reason) => Message::Refuse { call: call.call, reason },
        };
        self.owe(from, answer, turn);
    }

    fn hold(
        &mut self,
        from: SiteId,
        call: &Call,
        turn: &mut Turn,
    ) -> Result<(HoldId, Terms), Refusal> {
        if !self.peers.get(&from).is_some_and(|peer| peer.sells_to) {
            return Err(Refusal::NotServed);
        }
        let hull = &call.hull;
        if hull.home != from || !hull.is_sound() {
            return Err(Refusal::Malformed);
        }
        if self.guests.get(&guest_name(from, hull.machine)).is_some() {
            return Err(Refusal::Duplicate);
        }
        let Some(registered) = self.images.get(&call.image) else {
            return Err(Refusal::UnknownImage);
        };
        if hull.boot != registered.image.boot()
            || hull.disks.first().is_none_or(|root| root.size < registered.image.disk_min())
        {
            return Err(Refusal::Malformed);
        }
        let size = hull.size();
        let need = Need { machine: hull.machine, size };
        let rooms = self.rooms();
        let plan = placement::plan(&[need], &rooms);
        let Some((_, host)) = plan.here.first().copied() else {
            return Err(Refusal::NoCapacity);
        };
        if self.guests.len() + self.holds.len() >= GUESTS_MAX {
            return Err(Refusal::NoCapacity);
        }
        let tariff = self.profile.get(&()).expect("a configured site has a tariff").tariff;
        let terms = Terms {
            home: from,
            provider: self.me(),
            machine: hull.machine,
            hull: hull.id(),
            size,
            image: call.image,
            on_partition: call.on_partition,
            price: Price { currency: tariff.currency, hourly: tariff.hourly(size) },
        };
        let id = HoldId::from_uuid(turn.mint.uuid());
        let hold = Hold {
            buyer: from,
            tenant: call.tenant,
            terms: terms.clone(),
            hull: hull.clone(),
            lodging: self.lodging(host),
            expires: turn.now + HOLD,
        };
        self.insert_hold(id, hold);
        Ok((id, terms))
    }

    /// A place on `host` with the lowest number that nothing else there has.
    pub(super) fn lodging(&self, host: HostId) -> Lodging {
        let taken = |slot: &u32| self.occupancy.on(host).is_some_and(|it| it.slots.contains(slot));
        let slot = (0..).find(|slot| !taken(slot)).expect("there are more slots than guests");
        Lodging { host, slot }
    }

    /// The buyer takes an offer.
    pub(super) fn accepted(
        &mut self,
        from: SiteId,
        acceptance: &Acceptance,
        evidence: &Verified<Message>,
        turn: &Turn,
    ) {
        let Acceptance { hold, terms, epoch } = acceptance;
        let (hold, epoch) = (*hold, *epoch);
        let stands =
            self.holds.get(&hold).is_some_and(|held| held.buyer == from && held.terms == *terms);
        let name = guest_name(from, terms.machine);
        if !stands || self.guests.get(&name).is_some() {
            let machine = terms.machine;
            let answer = Message::Lapsed { hold, machine, reason: Refusal::Lapsed };
            self.owe(from, answer, turn);
            return;
        }
        let Some(held) = self.remove_hold(hold) else { return };
        let guest = Guest {
            tenant: held.tenant,
            agreement: Some(hold),
            hull: held.hull,
            image: held.terms.image,
            on_partition: held.terms.on_partition,
            lodging: held.lodging,
            progress: Progress::new(epoch, turn.now),
            told: None,
            leaving: None,
        };
        self.insert_guest(name, guest);
        let agreement = Agreement {
            terms: held.terms,
            since: turn.now,
            ended: None,
            evidence: vec![evidence.clone()],
        };
        self.agreements.insert(hold, agreement);
        self.owe(from, Message::Agreed { hold, machine: terms.machine }, turn);
    }

    /// The buyer does not take an offer.
    pub(super) fn declined(&mut self, from: SiteId, hold: HoldId) {
        if self.holds.get(&hold).is_some_and(|held| held.buyer == from) {
            self.remove_hold(hold);
        }
    }

    /// A home says where its machine should be. An order of an earlier epoch is late.
    pub(super) fn ordered(
        &mut self,
        from: SiteId,
        machine: MachineId,
        epoch: u64,
        goal: Goal,
        turn: &mut Turn,
    ) {
        let name = guest_name(from, machine);
        let current =
            self.guests.get(&name).is_some_and(|guest| guest.progress.epoch.home == epoch);
        if current {
            self.order_guest(name, goal, turn);
        }
    }

    /// Lets holds go whose time has passed.
    pub(super) fn let_holds_go(&mut self, turn: &Turn) {
        let gone: Vec<HoldId> = self
            .holds
            .iter()
            .filter(|(_, hold)| hold.expires <= turn.now)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.remove_hold(id);
        }
    }
}
