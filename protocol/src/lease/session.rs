//! What a provider's leader knows of its sessions: until when each guest of another home may run.
//!
//! A session is one exchange for all machines of one home here, but each machine is renewed by
//! itself: a machine that the home has placed elsewhere is not, and its deadline passes. So a guest
//! that was stopped because the session had ended goes on only if its home still wants it here.

use std::collections::BTreeMap;

use super::{Holder, Moment, Pending};
use crate::ids::MachineName;
use crate::time::Span;

/// The leases of foreign guests, for the time this leader leads.
#[derive(Clone, Debug, Default)]
pub struct Session {
    held: BTreeMap<MachineName, (u64, Holder)>,
}

impl Session {
    /// Takes note of what a home has renewed: machines, each with the home's part of its epoch.
    pub fn granted(
        &mut self,
        pending: Pending,
        duration: Span,
        renewed: impl IntoIterator<Item = (MachineName, u64)>,
    ) {
        for (name, epoch) in renewed {
            let fresh = (epoch, Holder::default());
            let held = self.held.entry(name).or_insert(fresh);
            if held.0 < epoch {
                *held = fresh;
            }
            // What is said of an epoch that has passed is late.
            if held.0 == epoch {
                held.1.granted(pending, duration);
            }
        }
    }

    /// How much longer a guest may run in this epoch of its home's; none if it may not.
    #[must_use]
    pub fn remaining(&self, name: MachineName, epoch: u64, now: Moment) -> Option<Span> {
        let (of, holder) = self.held.get(&name)?;
        holder.remaining(now).filter(|_| *of == epoch)
    }

    /// Until when a guest may run in this epoch of its home's, if it ever might.
    #[must_use]
    pub fn until(&self, name: MachineName, epoch: u64) -> Option<Moment> {
        let (of, holder) = self.held.get(&name)?;
        holder.until().filter(|_| *of == epoch)
    }

    /// Forgets guests that are gone.
    pub fn retain(&mut self, present: impl Fn(MachineName) -> bool) {
        self.held.retain(|name, _| present(*name));
    }
}
