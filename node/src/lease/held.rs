//! What this host holds: its own lease, those of the guests on it, and whom it watches over.

use std::collections::BTreeMap;

use fence::Target;
use protocol::epoch::Epoch;
use protocol::ids::MachineName;
use protocol::lease::{Holder, Moment, Pending};
use protocol::time::Span;
use protocol::wire::v1::lease::{Leased, Term};

use super::deadlines::Fence;
use super::now;

/// What is to be known of a guest to see to its deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Watched {
    /// Its number on the host.
    pub(crate) slot: u32,
    /// Which start it is.
    pub(crate) epoch: Epoch,
    /// Whether its processors were seen running.
    pub(crate) running: bool,
}

/// Until when a guest may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grant {
    /// Until it is told otherwise.
    Endless,
    /// As long as this is held.
    Held(Holder),
}

#[derive(Default)]
pub(super) struct Held {
    /// How far the state has to be that this host acts on.
    applied: u64,
    /// Until when this host may act.
    host: Holder,
    /// What each guest was granted, in which epoch.
    grants: BTreeMap<MachineName, (Epoch, Grant)>,
    guests: BTreeMap<MachineName, (Watched, Option<Target>)>,
}

impl Held {
    pub(super) fn may_act(&self, applied: u64, now: Moment) -> bool {
        self.host.holds(now) && self.applied <= applied
    }

    /// Takes note of what the leader has granted. Answers come in the order of their questions.
    pub(super) fn granted(
        &mut self,
        pending: Pending,
        applied: u64,
        duration: Span,
        guests: &[Leased],
    ) {
        self.applied = self.applied.max(applied);
        self.host.granted(pending, duration);
        for Leased { name, epoch, term } in guests {
            let fresh = (*epoch, Grant::Held(Holder::default()));
            let grant = self.grants.entry(*name).or_insert(fresh);
            if grant.0 < *epoch {
                *grant = fresh;
            }
            if grant.0 != *epoch {
                // Of a start that is over.
                continue;
            }
            match (&mut grant.1, term) {
                (it, Term::Endless) => *it = Grant::Endless,
                (Grant::Held(holder), Term::For(span)) => drop(holder.granted(pending, *span)),
                (it @ Grant::Endless, Term::For(span)) => {
                    let mut holder = Holder::default();
                    holder.granted(pending, *span);
                    *it = Grant::Held(holder);
                }
            }
        }
    }

    pub(super) fn watches(&self, name: MachineName, wanted: &Watched) -> bool {
        self.guests.get(&name).is_some_and(|(watched, target)| {
            watched == wanted && target.is_none_or(Target::is_alive)
        })
    }

    pub(super) fn watch(
        &mut self,
        name: MachineName,
        watched: Watched,
        target: Option<Target>,
        fence: &mut Fence,
    ) {
        self.guests.insert(name, (watched, target));
        self.move_deadline(name, fence);
    }

    pub(super) fn retain(&mut self, present: impl Fn(MachineName) -> bool, fence: &mut Fence) {
        self.guests.retain(|name, (watched, target)| {
            let stays = present(*name);
            if !stays && let Some(target) = target {
                fence.forget(watched.slot, *target);
            }
            stays
        });
        self.grants.retain(|name, _| present(*name));
    }

    pub(super) fn may_run(&self, name: MachineName, now: Moment) -> bool {
        let Some((watched, _)) = self.guests.get(&name) else { return false };
        match self.grant(name, watched) {
            Some(Grant::Endless) => true,
            Some(Grant::Held(holder)) => holder.holds(now),
            None => false,
        }
    }

    pub(super) fn move_deadlines(&self, fence: &mut Fence) {
        for name in self.guests.keys() {
            self.move_deadline(*name, fence);
        }
    }

    fn move_deadline(&self, name: MachineName, fence: &mut Fence) {
        let Some((watched, Some(target))) = self.guests.get(&name) else { return };
        let until = match self.grant(name, watched) {
            Some(Grant::Endless) => return fence.set(watched.slot, *target, None),
            Some(Grant::Held(holder)) => holder.until(),
            None => None,
        };
        if let Some(until) = until {
            fence.set(watched.slot, *target, Some(until));
        } else if watched.running {
            // What an earlier node had a lease for has a deadline. Nobody knows of any other; and
            // one that has not run yet needs none.
            fence.set_if_none(watched.slot, *target, now());
        }
    }

    /// What was granted to the start of a guest that is watched over.
    fn grant(&self, name: MachineName, watched: &Watched) -> Option<Grant> {
        let (epoch, grant) = self.grants.get(&name)?;
        (*epoch == watched.epoch).then_some(*grant)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{MachineId, SiteId};

    use super::*;
    use crate::lease::Fencing;

    const EPOCH: Epoch = Epoch { home: 1, provider: 1 };
    const DURATION: Span = Span::from_secs(10);

    const fn at(secs: u64) -> Moment {
        Moment::from_millis(secs * 1_000)
    }

    fn guest(number: u128) -> MachineName {
        let machine = MachineId::from_uuid(uuid::Uuid::from_u128(number));
        MachineName { home: SiteId::from_bytes([2; 32]), machine }
    }

    fn held(guests: &[MachineName]) -> Held {
        let data = tempfile::tempdir().unwrap();
        let mut fence = Fence::open(data.path(), Fencing::Unneeded).unwrap();
        let mut held = Held::default();
        for name in guests {
            let watched = Watched { slot: 0, epoch: EPOCH, running: false };
            held.watch(*name, watched, None, &mut fence);
        }
        held
    }

    fn leased(name: MachineName, epoch: Epoch, term: Term) -> [Leased; 1] {
        [Leased { name, epoch, term }]
    }

    #[test]
    fn a_host_acts_under_a_lease_and_on_a_state_that_has_reached_it() {
        let mut held = held(&[]);
        assert!(!held.may_act(7, at(0)));
        held.granted(Pending::sent(at(0)), 7, DURATION, &[]);
        assert!(!held.may_act(6, at(1)), "it replays the past");
        assert!(held.may_act(7, at(9)));
        assert!(!held.may_act(7, at(10)));
    }

    #[test]
    fn a_guest_runs_as_long_as_was_said_of_its_start() {
        let (first, second) = (guest(1), guest(2));
        let mut held = held(&[first, second]);
        let term = Term::For(Span::from_secs(4));
        held.granted(Pending::sent(at(0)), 1, DURATION, &leased(first, EPOCH, term));
        assert!(held.may_run(first, at(3)) && !held.may_run(first, at(4)));
        assert!(!held.may_run(second, at(0)), "nothing was said of it");
        let next = EPOCH.started_anew();
        held.granted(Pending::sent(at(3)), 1, DURATION, &leased(first, next, term));
        assert!(!held.may_run(first, at(3)), "that was another start of it");
    }

    #[test]
    fn a_guest_without_an_end_gets_one_when_it_is_told_so() {
        let name = guest(1);
        let mut held = held(&[name]);
        held.granted(Pending::sent(at(0)), 1, DURATION, &leased(name, EPOCH, Term::Endless));
        assert!(held.may_run(name, at(1_000)));
        let term = Term::For(DURATION);
        held.granted(Pending::sent(at(5)), 1, DURATION, &leased(name, EPOCH, term));
        assert!(held.may_run(name, at(14)) && !held.may_run(name, at(15)));
        // An answer that does not name it any more takes nothing back.
        held.granted(Pending::sent(at(10)), 1, DURATION, &[]);
        assert!(held.may_run(name, at(14)) && !held.may_run(name, at(15)));
    }
}
