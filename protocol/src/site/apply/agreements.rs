//! The life of an agreement: how it is renewed, and how it ends.
//!
//! ```text
//!   provider                                       home
//!     a tenth of the term is left
//!     Propose (new terms) ----------------------->   within its bounds?
//!     <----------------------------------- Consent     the new terms, with its signature
//!     Renewed ----------------------------------->   they count from here on
//!     <--------------------------------- Terminate     or it lets the agreement end at its time
//!
//!     Terminate (with notice) ------------------->   the machine is placed elsewhere by then
//!     <----------------------------------- Terminate   without: the provider ends the machine now
//! ```
//!
//! The provider alone watches the time. An agreement whose time has come has its guest stopped, the
//! provider's last word says so, and only then does the home place the machine anew: no clock
//! decides where a machine runs. Its disks are kept for a while, as `retention` says. What each side is held to it has signed: proposal and consent
//! carry the same terms, as offer and acceptance do.

use super::super::command::{Outcome, Refusal};
use super::super::state::{Agreement, Displacement, Place, Termination, guest_name};
use super::super::{Site, Turn};
use crate::agreement::{Message, Refusal as Reason, Terms};
use crate::identity::Verified;
use crate::ids::{HoldId, MachineId, SiteId};
use crate::machine::Goal;
use crate::manifest::OnPartition;
use crate::time::Timestamp;

/// New terms are proposed when one part in so many of the term is left: three days of thirty, in
/// which a home that is away for a weekend comes back.
const RENEWAL: u64 = 10;

/// When new terms are proposed that are agreed at `now`.
pub(super) const fn renewal(terms: &Terms, now: Timestamp) -> Timestamp {
    let term = terms.until.since(now).as_millis();
    Timestamp::from_millis(terms.until.as_millis().saturating_sub(term / RENEWAL))
}

impl Site {
    /// Sees to the agreements whose moment has come.
    pub(super) fn see_to_dues(&mut self, turn: &mut Turn) {
        loop {
            let due = self.dues.iter().next().map(|(key, ())| *key);
            let Some(key) = due.filter(|(at, _)| *at <= turn.now) else { return };
            self.dues.remove(&key);
            self.see_to(key.1, turn);
        }
    }

    /// Notes when the next thing is to be done about an agreement, as its provider. What was noted
    /// before stays: too early a look finds nothing to do, and notes the right moment.
    pub(super) fn note_due(&mut self, id: HoldId) {
        let Some(row) = self.live(id) else { return };
        let next = row.renew_at.map_or_else(|| row.end(), |at| at.min(row.end()));
        self.dues.insert((next, id), ());
    }

    /// What the time asks of one agreement.
    fn see_to(&mut self, id: HoldId, turn: &mut Turn) {
        let Some(row) = self.live(id) else {
            self.let_retained_disks_go(id, turn);
            return;
        };
        let (end, renews) = (row.end(), row.renew_at.is_some_and(|at| at <= turn.now));
        if end <= turn.now {
            let name = guest_name(row.terms.home, row.terms.machine);
            let by_home = row.termination.is_some_and(|it| it.by == row.terms.home);
            if by_home {
                self.order_guest(name, Goal::Destroyed, turn);
            } else {
                self.stop_for_good(name, turn);
            }
            return;
        }
        if renews && let Err(reason) = self.propose_terms(id, turn) {
            self.give_notice(id, end, reason, turn);
        }
        self.note_due(id);
    }

    /// Proposes terms as the policy has them now, from now on.
    fn propose_terms(&mut self, id: HoldId, turn: &Turn) -> Result<(), Reason> {
        let Some(row) = self.live(id) else { return Ok(()) };
        let home = row.terms.home;
        let selling = self.peers.get(&home).ok_or(Reason::NotServed)?.selling();
        let tariff = self.profile.get(&()).expect("a configured site has a tariff").tariff;
        let class = tariff.classes.factor(row.terms.class).ok_or(Reason::ClassNotSold)?;
        let (size, price) = (row.terms.size, selling.price(&tariff, row.terms.size, class));
        let others = self.account(home).minus(row.terms.price.hourly);
        selling.allows(others, (size, row.terms.on_partition), price.hourly)?;
        let until = (turn.now + selling.term).max(row.terms.until);
        let terms = Terms { price, until, notice: selling.notice, ..row.terms.clone() };
        if let Some(row) = self.agreements.get_mut(&id) {
            row.renew_at = None;
            row.proposed = Some(terms.clone());
        }
        self.owe(home, Message::Propose { hold: id, terms }, turn);
        Ok(())
    }

    /// The provider proposes new terms. A home that does not want them lets the agreement end at
    /// its time, and says why.
    pub(super) fn proposed(
        &mut self,
        from: SiteId,
        id: HoldId,
        terms: &Terms,
        word: &Verified<Message>,
        turn: &Turn,
    ) {
        let Some(row) = self.live(id).filter(|row| row.terms.provider == from) else { return };
        if row.termination.is_some() {
            return;
        }
        let (until, fits) = (row.terms.until, row.terms.differ_in_price_and_time_only(terms));
        match self.objection_to(from, &row.terms, terms) {
            None if fits => {
                if let Some(row) = self.agreements.get_mut(&id) {
                    row.proposed = Some(terms.clone());
                    row.keep(word);
                }
                self.owe(from, Message::Consent { hold: id, terms: terms.clone() }, turn);
            }
            objection => {
                let reason = objection.unwrap_or(Reason::Malformed);
                self.give_notice(id, until, reason, turn);
            }
        }
    }

    /// What this site has against new terms. Without a bound of the operator's it pays no more
    /// than it does: a machine that is dearer elsewhere still stays, and nobody raises a price in
    /// silence.
    fn objection_to(&self, provider: SiteId, old: &Terms, new: &Terms) -> Option<Reason> {
        let buying = self.peers.get(&provider)?.buying();
        let most = buying.price_max.unwrap_or(old.price.hourly);
        if !buying.open {
            Some(Reason::NotWanted)
        } else if new.price.currency != old.price.currency {
            Some(Reason::OtherCurrency)
        } else if new.price.hourly > most {
            Some(Reason::TooDear)
        } else {
            None
        }
    }

    /// The home takes new terms.
    pub(super) fn consented(
        &mut self,
        from: SiteId,
        id: HoldId,
        terms: &Terms,
        word: &Verified<Message>,
        turn: &Turn,
    ) {
        let Some(row) = self.live(id).filter(|row| row.terms.home == from) else { return };
        let machine = row.terms.machine;
        let late = row.end() <= turn.now;
        if late || row.proposed.as_ref() != Some(terms) || row.termination.is_some() {
            let reason = Reason::Lapsed;
            self.owe(from, Message::Lapsed { hold: id, machine, reason }, turn);
            return;
        }
        if let Some(row) = self.agreements.get_mut(&id) {
            row.terms = terms.clone();
            row.proposed = None;
            row.renew_at = Some(renewal(terms, turn.now));
            row.keep(word);
        }
        self.note_due(id);
        self.owe(from, Message::Renewed { hold: id }, turn);
    }

    /// The provider says that the new terms count.
    pub(super) fn renewed(&mut self, from: SiteId, id: HoldId, word: &Verified<Message>) {
        let row = self.agreements.get_mut(&id).filter(|row| row.terms.provider == from);
        if let Some(row) = row
            && let Some(terms) = row.proposed.take()
        {
            row.terms = terms;
            row.keep(word);
        }
    }

    /// The provider says that its proposal does not stand any more.
    pub(super) fn proposal_lapsed(&mut self, from: SiteId, id: HoldId) {
        if let Some(row) = self.agreements.get_mut(&id)
            && row.terms.provider == from
        {
            row.proposed = None;
        }
    }

    /// Says to the other side that an agreement ends at a moment.
    fn give_notice(&mut self, id: HoldId, at: Timestamp, reason: Reason, turn: &Turn) {
        let me = self.me();
        let Some(row) = self.agreements.get_mut(&id) else { return };
        row.terminate(Termination { by: me, at, reason });
        let other = if row.terms.home == me { row.terms.provider } else { row.terms.home };
        self.owe(other, Message::Terminate { hold: id, at, reason }, turn);
    }

    /// The other side says that an agreement ends. Its provider ends the guest at that moment; its
    /// home places the machine elsewhere before, if there is room here.
    pub(super) fn terminated(
        &mut self,
        from: SiteId,
        (id, at, reason): (HoldId, Timestamp, Reason),
        word: &Verified<Message>,
        turn: &mut Turn,
    ) {
        let Some(row) = self.live(id) else { return };
        let (home, provider, machine) = (row.terms.home, row.terms.provider, row.terms.machine);
        if from != home && from != provider {
            return;
        }
        if let Some(row) = self.agreements.get_mut(&id) {
            row.terminate(Termination { by: from, at, reason });
            row.keep(word);
        }
        if from == home {
            self.see_to(id, turn);
        } else if self.has_room_for(machine) {
            self.leave(machine, turn);
        }
    }

    fn has_room_for(&self, machine: MachineId) -> bool {
        self.machines.get(&machine).is_some_and(|row| {
            self.may_run_here(row) && self.room_for(machine, row.hull.size()).is_some()
        })
    }

    /// Has a machine of this site's ended at its provider, to be placed elsewhere, as far as that
    /// may be: one whose memory or disks are wanted stays until somebody decides.
    pub(super) fn leave(&mut self, machine: MachineId, turn: &Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        let Place::There { site, .. } = row.place else { return };
        let movable = row.on_partition == OnPartition::Fence
            && matches!(row.goal, Goal::Active | Goal::Defined);
        if movable && row.displacement == Displacement::None {
            row.displacement = Displacement::Leaving;
            let epoch = row.epoch;
            self.owe(site, Message::Order { machine, epoch, goal: Goal::Destroyed }, turn);
        }
    }

    /// An operator ends an agreement: as provider with the notice agreed on, as home at once.
    pub(super) fn terminate_agreement(
        &mut self,
        id: HoldId,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        let row = self.live(id).ok_or(Refusal::UnknownAgreement { agreement: id })?;
        let me = self.me();
        let mine = row.termination.as_ref().is_some_and(|it| it.by == me);
        let (home, machine) = (row.terms.home, row.terms.machine);
        if mine && (home != me || row.end() <= turn.now) {
            return Ok(Outcome::Done);
        }
        let at = if home == me { turn.now } else { (turn.now + row.terms.notice).min(row.end()) };
        self.give_notice(id, at, Reason::Terminated, turn);
        if home != me {
            self.note_due(id);
        } else if let Some(row) = self.machines.get_mut(&machine) {
            row.displacement = Displacement::Leaving;
        }
        Ok(Outcome::Done)
    }

    /// An operator of the provider proposes terms as the policy has them now.
    pub(super) fn renew_agreement(&mut self, id: HoldId, turn: &Turn) -> Result<Outcome, Refusal> {
        let row = self.live(id).ok_or(Refusal::UnknownAgreement { agreement: id })?;
        if row.terms.provider != self.me() || row.termination.is_some() {
            return Err(Refusal::NotRenewable { agreement: id });
        }
        match self.propose_terms(id, turn) {
            Ok(()) => Ok(Outcome::Done),
            Err(reason) => Err(Refusal::OwnPolicy { agreement: id, reason }),
        }
    }

    /// Ends, with notice, all that a peer has here.
    pub(super) fn end_all_of(&mut self, home: SiteId, turn: &Turn) {
        let guests: Vec<_> = self.guests_from(home).collect();
        let agreements = guests.into_iter().filter_map(|name| self.guests.get(&name)?.agreement);
        for id in agreements.collect::<Vec<_>>() {
            let Some(row) = self.live(id) else { continue };
            if row.termination.is_none() {
                let at = (turn.now + row.terms.notice).min(row.end());
                self.give_notice(id, at, Reason::NotServed, turn);
                self.note_due(id);
            }
        }
    }

    pub(super) fn live(&self, id: HoldId) -> Option<&Agreement> {
        self.agreements.get(&id).filter(|row| row.ended.is_none())
    }
}
