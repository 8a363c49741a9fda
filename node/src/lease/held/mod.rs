//! What this host holds: its own lease, those of the guests on it, and whom it watches over.

#[cfg(test)]
mod growing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use fence::Target;
use protocol::epoch::Epoch;
use protocol::ids::MachineName;
use protocol::lease::{Holder, Moment, Pending, Timing};
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

#[derive(Clone, Default)]
pub(super) struct Held {
    /// How far the state has to be that this host acts on.
    applied: u64,
    /// What was asked for no later than this is not taken any more.
    bounded_at: Option<Moment>,
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

    /// Takes note of what the leader has granted, and says whether it counts. Answers come in the
    /// order of their questions.
    pub(super) fn granted(
        &mut self,
        pending: Pending,
        applied: u64,
        duration: Span,
        guests: &[Leased],
    ) -> bool {
        if self.bounded_at.is_some_and(|moment| !pending.is_after(moment)) {
            return false;
        }
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
        true
    }

    /// Whether all that was granted, but to the guests that are `held` on to in a cut, is outlasted
    /// by whoever is elected from now on. If so, it stays so: what was asked for before counts no
    /// more, since it may have been read when this was the site's only node.
    pub(super) fn bound(
        &mut self,
        timing: Timing,
        now: Moment,
        held: impl Fn(MachineName) -> bool,
    ) -> bool {
        let bounded = self.grants.iter().filter(|(name, _)| !held(**name)).all(
            |(_, (_, grant))| match grant {
                Grant::Endless => false,
                Grant::Held(holder) => {
                    holder.until().is_none_or(|until| timing.outlasts(Some(until), now))
                }
            },
        );
        if bounded {
            self.bounded_at = Some(now);
        }
        bounded
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
