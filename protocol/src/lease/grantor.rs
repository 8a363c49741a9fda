//! The grantor's side of leases: when each was last answered, and which cannot be held any more.

use std::collections::{BTreeMap, BTreeSet};

use super::{Moment, Timing};
use crate::time::Span;

/// Nothing is granted to this request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The end of the lease is on its way into the state.
    #[error("the lease is being declared ended: ask again once that is decided")]
    Ending,
    /// The end of a lease has entered the state, or another leader was elected, since the request
    /// arrived: the read behind it may not show that.
    #[error("the site has decided something else meanwhile: ask again")]
    Overtaken,
}

/// A request that has arrived, and when that was in the order of what the grantor has decided. The
/// linearizable read begins after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    term: u64,
    settled: u64,
}

/// What a leader knows of the leases it grants, for the time it leads. `S` names what is leased.
///
/// It is made anew in each term: a leader that comes back remembers nothing of its last one.
#[derive(Clone, Debug)]
pub struct Grantor<S> {
    timing: Timing,
    term: u64,
    elected: Moment,
    answered: BTreeMap<S, Moment>,
    ending: BTreeSet<S>,
    settled: u64,
}

impl<S: Ord + Copy> Grantor<S> {
    /// The grantor of a leader that has been elected for `term` at `elected` or before.
    #[must_use]
    pub const fn new(timing: Timing, term: u64, elected: Moment) -> Self {
        Self {
            timing,
            term,
            elected,
            answered: BTreeMap::new(),
            ending: BTreeSet::new(),
            settled: 0,
        }
    }

    /// The term it is of.
    #[must_use]
    pub const fn term(&self) -> u64 {
        self.term
    }

    /// A request arrives. The read that it is answered from begins after this.
    #[must_use]
    pub const fn question(&self) -> Question {
        Question { term: self.term, settled: self.settled }
    }

    /// Takes note of an answer that is sent at `now` or later, and says for how long it grants the
    /// lease. The state allows it, as the linearizable read after the question showed it.
    ///
    /// # Errors
    ///
    /// If the end of the lease is being decided, or something was decided since the question.
    pub fn answer(&mut self, question: Question, subject: S, now: Moment) -> Result<Span, Refusal> {
        if self.ending.contains(&subject) {
            return Err(Refusal::Ending);
        }
        if question != self.question() {
            return Err(Refusal::Overtaken);
        }
        let last = self.answered.entry(subject).or_insert(now);
        *last = now.max(*last);
        Ok(self.timing.duration)
    }

    /// Begins to count for a lease that has just come to be: whoever is to hold it gets as long as
    /// anybody to ask for it.
    pub fn expect(&mut self, subject: S, now: Moment) {
        self.answered.entry(subject).or_insert(now);
    }

    /// When the lease was last answered in this term, or came to be.
    #[must_use]
    pub fn answered(&self, subject: S) -> Option<Moment> {
        self.answered.get(&subject).copied()
    }

    /// Whether somebody may hold the lease.
    #[must_use]
    pub fn may_be_held(&self, subject: S, now: Moment) -> bool {
        let last = self.answered(subject).map_or(self.elected, |at| at.max(self.elected));
        now < last + self.timing.wait()
    }

    /// Makes up the grantor's mind: if nobody can hold the lease, says so, and answers no more
    /// until [`settled`](Self::settled).
    #[must_use]
    pub fn end(&mut self, subject: S, now: Moment) -> bool {
        let ended = !self.may_be_held(subject, now);
        if ended {
            self.ending.insert(subject);
        }
        ended
    }

    /// The end is in the state: from now on the state says what may be granted, to those who read
    /// it from now on.
    pub fn settled(&mut self, subject: S) {
        if self.ending.remove(&subject) {
            self.settled += 1;
        }
    }

    /// Forgets what the state does not know any more.
    pub fn retain(&mut self, known: impl Fn(S) -> bool) {
        self.answered.retain(|subject, _| known(*subject));
        let gone: Vec<S> = self.ending.iter().copied().filter(|it| !known(*it)).collect();
        for subject in gone {
            self.settled(subject);
        }
    }
}
