//! A seller keeps to its own policy: no offer leaves its buyer with more than it has credit for,
//! more machines than it may have, or a larger one, and none takes what is kept for own tenants.
//!
//! Judged when a hold appears, by the policy as it is then: a policy decides about what is new,
//! and one that was narrowed later has nothing to say about what stands.

use std::collections::BTreeSet;

use protocol::ids::{HoldId, SiteId};
use protocol::site::Site;
use protocol::units::{Micros, Size};

use crate::world::World;

impl World {
    /// Judges the offers that a site has made with its last command.
    pub(crate) fn judge_policy(&mut self, member: usize) {
        let Some(leader) = self.members[member].leader else { return };
        let state = &self.members[member].replicas[leader].site;
        let holds: BTreeSet<HoldId> = state.holds().map(|(id, _)| *id).collect();
        let new = holds.difference(&self.members[member].offered);
        let found = new.filter_map(|id| fault(state, *id)).next();
        self.members[member].offered = holds;
        if let Some(detail) = found {
            self.breach("policy", member, detail);
        }
    }
}

/// What an offer breaks.
fn fault(state: &Site, id: HoldId) -> Option<String> {
    let (_, hold) = state.holds().find(|(known, _)| **known == id)?;
    let peer = state.peer(hold.buyer)?;
    let policy = peer.policy.selling;
    let (machines, hourly) = has(state, hold.buyer);
    let size = hold.terms.size;
    if policy.credit.is_some_and(|credit| hourly > credit) {
        return Some(format!("{id:?}: {hourly} an hour are more than {:?}", policy.credit));
    }
    if policy.machines_max.is_some_and(|most| machines > most) {
        return Some(format!(
            "{id:?}: {machines} machines are more than {:?}",
            policy.machines_max
        ));
    }
    if policy.largest.is_some_and(|largest| !largest.holds(size)) {
        return Some(format!("{id:?}: {size} is more than {:?}", policy.largest));
    }
    let (sold, whole) = (sold(state), whole(state));
    let reserve = state.profile()?.reserve;
    (!reserve.sellable(whole).holds(sold))
        .then(|| format!("{id:?}: {sold} of {whole} are sold, {reserve} is to be kept"))
}

/// The machines of a buyer, and their price.
fn has(state: &Site, buyer: SiteId) -> (u32, Micros) {
    let agreed = state
        .guests()
        .filter(|(name, _)| name.home == buyer)
        .filter_map(|(_, guest)| state.agreement(guest.agreement?).map(|it| it.terms.price.hourly));
    let held = state.holds().filter(|(_, hold)| hold.buyer == buyer);
    let held = held.map(|(_, hold)| hold.terms.price.hourly);
    let prices: Vec<Micros> = agreed.chain(held).collect();
    let machines = u32::try_from(prices.len()).expect("few machines");
    (machines, Micros(prices.iter().map(|price| price.0).sum()))
}

fn sold(state: &Site) -> Size {
    let guests = state.guests().filter(|(_, guest)| guest.agreement.is_some());
    let guests = guests.map(|(_, guest)| guest.hull.size());
    let holds = state.holds().map(|(_, hold)| hold.terms.size);
    guests.chain(holds).fold(Size::default(), Size::plus)
}

fn whole(state: &Site) -> Size {
    let well = state
        .hosts()
        .filter(|(_, host)| host.trouble.is_empty() && !host.drained && host.ended.is_none());
    well.fold(Size::default(), |sum, (_, host)| sum.plus(host.capacity))
}
