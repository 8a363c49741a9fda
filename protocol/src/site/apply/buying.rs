//! The buyer's side of an agreement: calls for offers, and machines at peers.

use std::collections::BTreeMap;

use super::super::command::Outcome;
use super::super::state::{Agreement, Displacement, Place, Timer, guest_name};
use super::super::{OUTBOX_MAX, Site, Turn};
use super::displacing::WORD_AWAITED;
use crate::agreement::buyer::{Asking, Offer};
use crate::agreement::choice::{Asked, Regard};
use crate::agreement::{Acceptance, Call, Message, Refusal, Report};
use crate::identity::Verified;
use crate::ids::{CallId, HoldId, MachineId, SiteId};
use crate::machine::Goal;
use crate::machine::guest::readable;
use crate::peering::Standing;

/// How often a machine is sought anew because the offer it had accepted had lapsed.
const LAPSES_MAX: u8 = 3;

impl Site {
    /// Asks `sites` for a machine that has no place yet. Own hosts are tried once more first:
    /// room may have come free meanwhile.
    pub(super) fn seek(
        &mut self,
        machine: MachineId,
        sites: &[Asked],
        last: bool,
        turn: &mut Turn,
    ) -> Outcome {
        let Some(row) = self.machines.get(&machine) else { return Outcome::Done };
        let Place::Sought { call: None, refused } = &row.place else { return Outcome::Done };
        let refused = refused.clone();
        if self.place_here(&[machine], turn) {
            return Outcome::Done;
        }
        let asked: Vec<Asked> = sites.iter().copied().filter(|it| self.may_ask(it.site)).collect();
        if asked.is_empty() {
            if last {
                self.cannot_place(machine, &refused, turn);
            }
            return Outcome::Done;
        }
        let call = CallId::from_uuid(turn.mint.uuid());
        let Some(row) = self.machines.get_mut(&machine) else { return Outcome::Done };
        row.place = Place::Sought { call: Some(call), refused };
        let question = Call {
            call,
            tenant: row.tenant,
            hull: row.hull.clone(),
            image: row.image,
            on_partition: row.on_partition,
            class: row.class,
            callable: true,
        };
        self.calls.insert(call, Asking::new(machine, &asked, last, turn.now));
        for Asked { site, .. } in asked {
            let callable = self.has_callable_ends(&question.hull, site);
            let question = Call { callable, ..question.clone() };
            self.owe(site, Message::Call(Box::new(question)), turn);
        }
        Outcome::Done
    }

    fn may_ask(&self, site: SiteId) -> bool {
        self.peers.get(&site).is_some_and(|peer| peer.buying().open)
            && self.owed_to(site) < OUTBOX_MAX
    }

    /// What this site thinks of those that it has asked, for one machine.
    fn regards(&self, asking: &Asking) -> BTreeMap<SiteId, Regard> {
        let component = self.machines.get(&asking.machine).and_then(|row| row.membership.as_ref());
        let mut regards: BTreeMap<SiteId, Regard> = asking
            .asked()
            .filter_map(|Asked { site, round_trip }| {
                let buying = self.peers.get(&site)?.buying();
                Some((site, Regard { buying, round_trip, siblings: 0, machines: 0 }))
            })
            .collect();
        for (_, row) in self.machines.iter() {
            let site = match &row.place {
                Place::There { site, .. } => *site,
                Place::Held(offer) | Place::Accepted(offer) => offer.site,
                Place::Nowhere | Place::Sought { .. } | Place::Postponed | Place::Here(_) => {
                    continue;
                }
            };
            if let Some(regard) = regards.get_mut(&site) {
                regard.machines += 1;
                let sibling = component.is_some_and(|it| {
                    let other = row.membership.as_ref();
                    other.is_some_and(|other| {
                        (other.service, &other.component) == (it.service, &it.component)
                    })
                });
                regard.siblings += usize::from(sibling);
            }
        }
        regards
    }

    /// A seller makes an offer. One that nobody waits for any more is declined, so that its room
    /// does not stay held for nothing; a seller that takes up no answers lets it lapse.
    pub(super) fn offered(&mut self, call: CallId, offer: Box<Offer>, turn: &mut Turn) {
        let me = self.me();
        let known = self.knows_hold(offer.hold);
        let asking = self.calls.get(&call);
        let row = asking.as_ref().and_then(|asking| self.machines.get(&asking.machine));
        let fits = row.is_some_and(|row| {
            offer.terms.home == me
                && offer.terms.provider == offer.site
                && offer.terms.machine == row.hull.machine
                && offer.terms.hull == row.hull.id()
                && offer.terms.size == row.hull.size()
                && offer.terms.image == row.image
                && offer.terms.on_partition == row.on_partition
                && offer.terms.class >= row.class
        });
        let (site, hold) = (offer.site, offer.hold);
        let objection = match self.calls.get_mut(&call) {
            None => Some(Refusal::NotSought),
            Some(_) if !fits => Some(Refusal::Malformed),
            Some(_) if known => Some(Refusal::SoldTwice),
            Some(asking) => asking.offered(offer).err().map(|_| Refusal::NotSought),
        };
        if let Some(reason) = objection
            && self.owed_to(site) < OUTBOX_MAX
        {
            self.owe(site, Message::Decline { hold, reason }, turn);
        }
        self.close_call_if_over(call, turn);
    }

    /// Whether a number stands for an offer or an agreement already. Sellers choose them, and one
    /// that chose another's would put its own agreement in the place of that one.
    fn knows_hold(&self, hold: HoldId) -> bool {
        let offered = |place: &Place| match place {
            Place::Held(offer) | Place::Accepted(offer) => offer.hold == hold,
            Place::Nowhere
            | Place::Sought { .. }
            | Place::Postponed
            | Place::Here(_)
            | Place::There { .. } => false,
        };
        self.agreements.get(&hold).is_some()
            || self.holds.get(&hold).is_some()
            || self.calls.iter().any(|(_, it)| it.offers().any(|offer| offer.hold == hold))
            || self.machines.iter().any(|(_, row)| offered(&row.place))
    }

    /// A seller makes none.
    pub(super) fn call_refused(
        &mut self,
        from: SiteId,
        call: CallId,
        reason: Refusal,
        turn: &mut Turn,
    ) {
        if let Some(asking) = self.calls.get_mut(&call) {
            asking.refused(from, reason);
        }
        self.close_call_if_over(call, turn);
    }

    /// Closes the calls whose time is over.
    pub(super) fn close_calls(&mut self, turn: &mut Turn) {
        let over: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, asking)| asking.is_over(turn.now))
            .map(|(id, _)| *id)
            .collect();
        for call in over {
            self.close_call(call, turn);
        }
    }

    pub(super) fn close_call_if_over(&mut self, call: CallId, turn: &mut Turn) {
        if self.calls.get(&call).is_some_and(|asking| asking.is_over(turn.now)) {
            self.close_call(call, turn);
        }
    }

    fn close_call(&mut self, call: CallId, turn: &mut Turn) {
        let Some(asking) = self.calls.remove(&call) else { return };
        let (machine, last) = (asking.machine, asking.last);
        let regards = self.regards(&asking);
        let currency = self.profile.get(&()).expect("a configured site").tariff.currency;
        let verdict = asking.verdict(&regards, currency);
        for (offer, reason) in verdict.declined {
            self.owe(offer.site, Message::Decline { hold: offer.hold, reason }, turn);
        }
        let silent = verdict.refused.iter().filter(|(_, reason)| **reason == Refusal::Silent);
        let silent: Vec<SiteId> = silent.map(|(site, _)| *site).collect();
        for site in silent {
            self.note_refusal(site, Refusal::Silent, turn);
        }
        let sought = self.machines.get_mut(&machine).and_then(|row| match &mut row.place {
            Place::Sought { call: open, refused } if *open == Some(call) => {
                *open = None;
                refused.extend(verdict.refused);
                Some(refused.clone())
            }
            _ => None,
        });
        match (sought, verdict.taken) {
            (Some(_), Some(offer)) => {
                if let Some(row) = self.machines.get_mut(&machine) {
                    row.place = Place::Held(Box::new(offer));
                }
                self.reserved(machine, turn);
            }
            (Some(refused), None) if last => self.cannot_place(machine, &refused, turn),
            (Some(_), None) | (None, None) => {}
            (None, Some(offer)) => {
                let (hold, reason) = (offer.hold, Refusal::NotSought);
                self.owe(offer.site, Message::Decline { hold, reason }, turn);
            }
        }
    }

    /// Takes the offer that is held for a machine.
    pub(super) fn accept(&mut self, machine: MachineId, turn: &Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        let Place::Held(offer) = &row.place else { return };
        let offer = offer.clone();
        row.epoch += 1;
        let (site, hold, terms) = (offer.site, offer.hold, offer.terms.clone());
        let message = Message::Accept(Acceptance { hold, terms, epoch: row.epoch });
        row.place = Place::Accepted(offer);
        self.timers.insert((turn.now + WORD_AWAITED, machine), Timer::Word(hold));
        // What is handed to the machine is there before the machine is.
        if let Some(user_data) = self.user_data(guest_name(self.me(), machine)).cloned() {
            self.owe(site, Message::Hand { hold, user_data }, turn);
        }
        self.owe(site, message, turn);
    }

    /// The seller says that the agreement stands.
    pub(super) fn agreed(
        &mut self,
        machine: MachineId,
        hold: HoldId,
        word: &Verified<Message>,
        turn: &mut Turn,
    ) {
        let from = word.statement().issuer;
        let Some(offer) = self.accepted_offer(machine, from, hold) else { return };
        let agreement = Agreement {
            terms: offer.terms.clone(),
            since: turn.now,
            renew_at: None,
            proposed: None,
            termination: None,
            ended: None,
            evidence: vec![offer.evidence, word.clone()],
        };
        self.agreements.insert(hold, agreement);
        if let Some(row) = self.machines.get_mut(&machine) {
            row.place = Place::There { site: from, agreement: hold };
            row.displacement = Displacement::None;
        }
        self.placed(&[machine], turn);
        // Nothing is to run there any more, which was decided after the offer was accepted.
        if self.peers.get(&from).is_some_and(|peer| peer.standing != Standing::Open) {
            self.leave(machine, turn);
        }
    }

    /// The seller says that the offer had lapsed: the search goes on, a few times.
    pub(super) fn lapsed(
        &mut self,
        from: SiteId,
        machine: MachineId,
        hold: HoldId,
        reason: Refusal,
        turn: &mut Turn,
    ) {
        if self.accepted_offer(machine, from, hold).is_none() {
            return;
        }
        let Some(row) = self.machines.get_mut(&machine) else { return };
        row.lapses += 1;
        if row.lapses > LAPSES_MAX {
            self.cannot_place(machine, &BTreeMap::from([(from, reason)]), turn);
        } else {
            row.place = Place::Sought { call: None, refused: BTreeMap::new() };
            self.unplaced(machine, turn);
        }
    }

    /// The peer that held room for a machine, or had been told that it is taken, will not keep it:
    /// the search goes on without that peer.
    pub(super) fn offer_gone(&mut self, machine: MachineId, peer: SiteId, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        let refused = BTreeMap::from([(peer, Refusal::NotServed)]);
        row.place = Place::Sought { call: None, refused };
        self.unplaced(machine, turn);
    }

    fn accepted_offer(&self, machine: MachineId, from: SiteId, hold: HoldId) -> Option<Offer> {
        match &self.machines.get(&machine)?.place {
            Place::Accepted(offer) if offer.site == from && offer.hold == hold => {
                Some((**offer).clone())
            }
            _ => None,
        }
    }

    /// A provider says what has become of a machine.
    pub(super) fn reported(&mut self, from: SiteId, report: &Report, turn: &mut Turn) {
        let there = self
            .machines
            .get(&report.machine)
            .is_some_and(|row| matches!(row.place, Place::There { site, .. } if site == from));
        if there {
            let reason = readable(&report.reason);
            self.sighted(&Report { reason, ..report.clone() }, turn);
        }
    }

    /// Tells whoever runs a machine where it should be.
    pub(super) fn order(&mut self, machine: MachineId, turn: &mut Turn) {
        let Some(row) = self.machines.get(&machine) else { return };
        let (goal, epoch) = (row.goal, row.epoch);
        match row.place {
            Place::Here(_) => self.order_guest(self.own_guest(machine), goal, turn),
            // It is being ended there; where it goes next, its goal is followed.
            Place::There { .. }
                if row.displacement == Displacement::Leaving && goal != Goal::Destroyed => {}
            Place::There { site, .. } => {
                self.owe(site, Message::Order { machine, epoch, goal }, turn);
                if self.is_ended(site) {
                    self.recall(machine, turn);
                }
            }
            Place::Nowhere
            | Place::Sought { .. }
            | Place::Postponed
            | Place::Held(_)
            | Place::Accepted(_) => {}
        }
    }
}
