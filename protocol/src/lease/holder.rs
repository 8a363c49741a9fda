//! The holder's side of a lease.

use super::Moment;
use crate::time::Span;

/// A request under way. It is the only way to a deadline, and knows when it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pending {
    sent: Moment,
}

impl Pending {
    /// A request that is sent at `now` or later.
    #[must_use]
    pub const fn sent(now: Moment) -> Self {
        Self { sent: now }
    }

    /// Whether it is sent later than `moment`, for certain.
    #[must_use]
    pub fn is_after(self, moment: Moment) -> bool {
        self.sent > moment
    }

    /// Until when an answer of this duration is worth something.
    #[must_use]
    pub fn until(self, duration: Span) -> Moment {
        self.sent + duration
    }
}

/// What a holder knows of its lease.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Holder {
    until: Option<Moment>,
}

impl Holder {
    /// Takes note of an answer, and says until when the lease is held now. What was granted before
    /// is not taken back by an answer that gives less.
    pub fn granted(&mut self, pending: Pending, duration: Span) -> Moment {
        let granted = pending.until(duration);
        let until = self.until.map_or(granted, |held| held.max(granted));
        self.until = Some(until);
        until
    }

    /// Until when the lease is held; none if it never was.
    #[must_use]
    pub const fn until(&self) -> Option<Moment> {
        self.until
    }

    /// Whether the lease is held.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// What is left of the lease; nothing if it is not held. It may be passed on to somebody who
    /// has asked before `now`, and counts there from that request.
    #[must_use]
    pub fn remaining(&self, now: Moment) -> Option<Span> {
        self.until.filter(|until| now < *until).map(|until| now.until(until))
    }
}
