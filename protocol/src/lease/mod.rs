//! Leases: who may run something, for how long, when nobody can be asked.
//!
//! A lease is *pulled*: its holder asks, its grantor answers with a duration, and the holder
//! counts the duration from the moment at which it *sent* the request. Nothing of it enters a log.
//! Two things are leased, by the same arithmetic:
//!
//! ```text
//!   home's leader  --- session: all machines of the home at one provider --->  provider's leader
//!                       provider's leader  --- host: what runs on one host --->  a host
//! ```
//!
//! A host may let guests run until its lease ends, and for the guests of another home only as
//! long as the session with that home lasts. When the lease of a host or of a session can no
//! longer be held by anybody, its grantor says so to its site, which then places what ran under it
//! elsewhere.
//!
//! **What must hold.** When a grantor says that a lease has ended, no guest runs under it, and
//! none ever will again.
//!
//! # What is assumed
//!
//! 1. Each machine has a clock that never stops while the machine may run a guest, suspended or
//!    not (`CLOCK_BOOTTIME`, see `clock_gettime(2)`), and advances at a rate between `1 - r` and
//!    `1 + r` of true time, where `r` is [`Timing::drift`]. Clocks are never compared with each other:
//!    a [`Moment`] has no encoding, so it cannot leave its machine.
//! 2. The fence of a host has stopped a guest at most a moment `f` of true time after the host's
//!    clock has reached the guest's deadline, and `f * (1 + r)` is at most [`Timing::margin`] less
//!    two milliseconds, which are lost where clocks are read in whole ones. A host whose fence is not
//!    alive is granted nothing; a fence that dies while guests run has to be started again by its
//!    supervisor before one of their deadlines passes.
//! 3. A grantor answers only after a linearizable read of its site's state that began after the
//!    request had arrived, and takes note of the answer before it is sent.
//! 4. Requests, answers and processes may be late by any time, be lost, be repeated, or die.
//!
//! # Proof, for one lease
//!
//! Let `D` be the duration. A request is sent at true time `s`, arrives at `a`, is answered at `g`:
//! `s <= a <= g`. The holder's deadline is when its clock has advanced by `D` since `s`: at the
//! latest at true time `s + D / (1 - r)`. No guest runs under this answer after
//! `s + D / (1 - r) + f`.
//!
//! *The same grantor.* It says that the lease has ended only once its clock has advanced by
//! [`Timing::wait`], `W = D * (1 + r) / (1 - r) + margin`, since the last answer of all. That takes at
//! least `W / (1 + r) >= D / (1 - r) + f` of true time; it starts at `g >= s`, so it ends after the last
//! guest has stopped. From the moment at which it has made up its mind it answers no more until the
//! end is in the state ([`Grantor::end`]): an answer between the two would follow a read that does
//! not show the end yet. After that, the state itself says no.
//!
//! *A new grantor.* It is elected at true time `e`, and knows nothing of the answers of the one
//! before. The read behind each of these was confirmed by a majority after `a` and before that
//! majority elected anybody else, so `s <= a <= e`, however late the answer itself was sent. The new
//! one waits `W` from its election: to the end of the paragraph above with `e` in the place of `g`.
//! This holds for a grantor that was merely started again, too. An end that the one before had
//! decided upon must not be proposed in the new one's term, which may have granted meanwhile: it
//! is proposed by the leader that decided, never passed on, and names the term in which it did: in an
//! entry of another term it counts for nothing.
//!
//! *A late answer.* The deadline belongs to the request, so an answer that arrives late gives what
//! is left, or nothing. An answer to an older request gives an earlier deadline, and the later of
//! the two counts: each was granted.
//!
//! *A holder that dies.* Its deadlines are in the fence's file, and are those of the answers it has
//! had. One that is started again has no lease, and asks.
//!
//! # Proof, for a site that grows
//!
//! While a site is one node, that node's guests need no end: nobody else could be elected to place
//! them anew. Somebody else can be from the moment at which a second node is given a vote, and that
//! moment the only voter itself begins, as the leader. Before, at true time `p`, it looks at every
//! deadline of its host, and goes on only if each [is outlasted](Timing::outlasts): it is at most `D`
//! away by the host's clock, so no guest runs under it after `p + D / (1 - r) + f`. From then on its
//! host takes no answer to a question that was sent before the look; what answers a later one was
//! read from a table with the second node in it, which is there before it can get a vote, and gives
//! `D` from the question at most. Whoever is elected is elected at `e >= p`, and waits `W`.
//!
//! It is enough to look at this one host. In a table of one node all hosts are that node's, and a node
//! has one: those of a node that was taken out were struck with it. What the table says does not
//! shrink to one node again between the look and the vote, since the one leader takes one step at a
//! time. A node that is started again has to see the deadlines anew: those that an earlier life has
//! set are in the fence's file.
//!
//! # Proof, for the chain
//!
//! A provider's leader sends for a session at `s`, and at some true time `x` answers a host that has
//! asked at `h <= x`. Of the session's `D` its clock has counted `c`, so what remains is `D - c`, and
//! `c >= (x - s) * (1 - r)`. The host counts `D - c` from `h`, on its own clock, until at the latest
//!
//! ```text
//!   h + (D - c) / (1 - r)  <=  x + (D - (x - s) * (1 - r)) / (1 - r)  =  s + D / (1 - r)
//! ```
//!
//! which is the very bound of a single lease: a chain, however long, costs nothing. The home's
//! grantor needs to know nothing of the provider's nodes, leaders and hosts.
//!
//! The tests go through every case on a small grid of delays, drifts, crashes and changes of
//! leader, and find each of these faults when it is planted: no drift, no margin, counting from
//! the answer, a new leader that does not wait, answers while the end is being decided, answers from
//! a read before it, an end that is passed on to the next leader, hosts that are given more than
//! what remains.

pub mod grantor;
pub mod holder;
pub mod session;
#[cfg(test)]
mod tests;

use std::ops::Add;

use crate::time::Span;

pub use grantor::Grantor;
pub use holder::{Holder, Pending};
pub use session::Session;

/// A moment of one machine in one boot: milliseconds of its `CLOCK_BOOTTIME`, rounded down.
///
/// It has no encoding on purpose: a moment of another machine, or of the boot before, says nothing
/// here.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(u64);

impl Moment {
    /// The moment so many milliseconds after the boot.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the boot.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long it is from here to `later`; zero if that is not later.
    #[must_use]
    pub const fn until(self, later: Self) -> Span {
        Span::from_millis(later.0.saturating_sub(self.0))
    }
}

impl Add<Span> for Moment {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.as_millis()))
    }
}

/// How many parts in a million a clock may be too fast or too slow.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PartsPerMillion(u32);

const MILLION: u64 = 1_000_000;

impl PartsPerMillion {
    /// So many parts.
    ///
    /// # Panics
    ///
    /// If they are a million or more: such a clock could stand still.
    #[must_use]
    pub const fn new(parts: u32) -> Self {
        assert!(parts < 1_000_000, "a clock that may stand still bounds nothing");
        Self(parts)
    }
}

/// The numbers that all leases of a site and of those it deals with have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How long an answer lasts.
    pub duration: Span,
    /// How far a clock's rate may be from that of true time.
    pub drift: PartsPerMillion,
    /// What a fence may need to stop a guest, and what is lost in rounding.
    pub margin: Span,
}

impl Timing {
    /// As long as a node may be away without anybody noticing: a machine reboots and its node is
    /// back within a minute.
    pub const DURATION: Span = Span::from_secs(60);

    /// The most by which Linux lets a clock's frequency be corrected (`MAXFREQ`, adjtimex(2)). A
    /// quartz is within a tenth of it.
    pub const DRIFT: PartsPerMillion = PartsPerMillion::new(500);

    /// Ten times the period at which the fence looks at all its deadlines: a host so busy that a
    /// locked process of high priority waits longer than that has been seen by nobody.
    pub const MARGIN: Span = Span::from_secs(1);

    /// The shortest duration: below it, a busy node's pauses end leases.
    pub const DURATION_MIN: Span = Span::from_secs(2);

    /// The longest duration: what is lost with a host is missing for so long.
    pub const DURATION_MAX: Span = Span::from_secs(3_600);

    /// The usual numbers, with this duration, brought between the shortest and the longest.
    #[must_use]
    pub fn lasting(duration: Span) -> Self {
        let duration = duration.clamp(Self::DURATION_MIN, Self::DURATION_MAX);
        Self { duration, drift: Self::DRIFT, margin: Self::MARGIN }
    }

    /// How long a grantor waits, by its own clock, from its last answer until it knows that nobody
    /// can hold the lease any more: `duration * (1 + drift) / (1 - drift) + margin`, rounded up.
    #[must_use]
    pub fn wait(&self) -> Span {
        let drift = u64::from(self.drift.0);
        let fast = u128::from(self.duration.as_millis()) * u128::from(MILLION + drift);
        let slow = u128::from(MILLION - drift);
        let stretched = u64::try_from(fast.div_ceil(slow)).unwrap_or(u64::MAX);
        Span::from_millis(stretched.saturating_add(self.margin.as_millis()))
    }

    /// Whether nobody runs under a deadline any more once somebody has waited as long as it takes who
    /// is elected now or later. `now` is the moment on the clock of the deadline; what has none is
    /// never outlasted.
    #[must_use]
    pub fn outlasts(&self, deadline: Option<Moment>, now: Moment) -> bool {
        deadline.is_some_and(|deadline| deadline <= now + self.duration)
    }

    /// How long after a request a holder sends the next one: three tries fit into one duration.
    #[must_use]
    pub const fn again(&self) -> Span {
        Span::from_millis(self.duration.as_millis() / 3)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::lasting(Self::DURATION)
    }
}
