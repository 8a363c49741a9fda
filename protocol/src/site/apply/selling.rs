//! The seller's side of an agreement: offers with room behind them, and guests under agreements.

use super::super::state::{Agreement, Guest, Hold, Lodging, Peer, guest_name};
use super::super::{GUESTS_MAX, OUTBOX_MAX, Site, Turn};
use super::agreements::renewal;
use crate::agreement::{Acceptance, Call, HOLD, Message, Refusal, Terms};
use crate::identity::Verified;
use crate::ids::{HoldId, HostId, MachineId, SiteId};
use crate::machine::Goal;
use crate::machine::guest::Progress;
use crate::units::Size;
use crate::user_data::UserData;

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
        let selling = self.peers.get(&from).map(Peer::selling).filter(|selling| selling.open);
        let Some(selling) = selling else { return Err(Refusal::NotServed) };
        self.check_described(from, call)?;
        if !call.callable && self.gateway().is_some_and(|own| own.endpoint.is_none()) {
            return Err(Refusal::BothBehindNat);
        }
        let hull = &call.hull;
        let size = hull.size();
        let profile = self.profile.get(&()).expect("a configured site has a tariff");
        let sold = profile.tariff.classes.cheapest(call.class);
        let (class, factor) = sold.ok_or(Refusal::ClassNotSold)?;
        let (price, reserve) = (selling.price(&profile.tariff, size, factor), profile.reserve);
        selling.allows(self.account(from), (size, call.on_partition), price.hourly)?;
        let host = self.room_for(hull.machine, size).ok_or(Refusal::NoCapacity)?;
        if self.guests.len() + self.holds.len() >= GUESTS_MAX {
            return Err(Refusal::NoCapacity);
        }
        if !reserve.sellable(self.capacity()).holds(self.sold().plus(size)) {
            return Err(Refusal::Reserved);
        }
        let terms = Terms {
            home: from,
            provider: self.me(),
            machine: hull.machine,
            hull: hull.id(),
            size,
            image: call.image,
            on_partition: call.on_partition,
            class,
            price,
            until: turn.now + selling.term,
            notice: selling.notice,
            retention: selling.retention,
        };
        let id = HoldId::from_uuid(turn.mint.uuid());
        let hold = Hold {
            buyer: from,
            tenant: call.tenant,
            terms: terms.clone(),
            hull: hull.clone(),
            user_data: None,
            lodging: self.lodging(host),
            expires: turn.now + HOLD,
        };
        self.insert_hold(id, hold);
        Ok((id, terms))
    }

    /// Whether the machine that is asked for hangs together, and could be made here.
    fn check_described(&self, from: SiteId, call: &Call) -> Result<(), Refusal> {
        let hull = &call.hull;
        if hull.home != from || !hull.is_sound() {
            return Err(Refusal::Malformed);
        }
        let name = guest_name(from, hull.machine);
        if self.guests.get(&name).is_some() || self.has_kept_disks_of(name) {
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
        Ok(())
    }

    /// What has been sold, or is held for an offer.
    fn sold(&self) -> Size {
        let guests = self.guests.iter().filter(|(_, guest)| guest.agreement.is_some());
        let guests = guests.map(|(_, guest)| guest.hull.size());
        let holds = self.holds.iter().map(|(_, hold)| hold.hull.size());
        guests.chain(holds).fold(Size::default(), Size::plus)
    }

    /// What may be sold besides, however it lies on the hosts.
    pub(in crate::site) fn for_sale(&self) -> Size {
        let reserve = self.profile.get(&()).map(|it| it.reserve).unwrap_or_default();
        reserve.sellable(self.capacity()).minus(self.sold())
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
        if let Some(user_data) = held.user_data {
            self.user_data.insert(name, user_data);
        }
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
            renew_at: Some(renewal(&held.terms, turn.now)),
            terms: held.terms,
            since: turn.now,
            proposed: None,
            termination: None,
            ended: None,
            evidence: vec![evidence.clone()],
        };
        self.agreements.insert(hold, agreement);
        self.note_due(hold);
        self.owe(from, Message::Agreed { hold, machine: terms.machine }, turn);
    }

    /// The buyer says what is to be handed to the machine that it takes an offer for.
    pub(super) fn handed(&mut self, from: SiteId, hold: HoldId, user_data: &UserData) {
        if let Some(held) = self.holds.get_mut(&hold).filter(|held| held.buyer == from) {
            held.user_data = Some(user_data.clone());
        }
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
        if current && (goal == Goal::Destroyed || !self.has_no_more_time(name, turn)) {
            self.order_guest(name, goal, turn);
        }
        if goal == Goal::Destroyed {
            self.let_disks_go(|remains| remains.epoch.home == epoch, name);
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
