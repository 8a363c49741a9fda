//! The sites it knows, and what was said to them and by them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agreement::{Message, Refusal};
use crate::identity::Verified;
use crate::names::Label;
use crate::peering::{self, Buying, Policy, Selling};
use crate::time::Timestamp;

/// A peer, and how far the conversation with it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// What this site calls it.
    pub name: Label,
    /// Where it is, as multiaddresses.
    pub addresses: Vec<String>,
    /// What it is allowed.
    pub policy: Policy,
    /// How far it is wanted.
    pub standing: peering::Standing,
    /// Whether a configuration has named it: the row of such a peer is never forgotten, or the
    /// file would bring back whom an operator has removed.
    pub seeded: bool,
    /// When it was added.
    pub since: Timestamp,
    /// The number of the next message to it.
    pub next: u64,
    /// The number of the last message from it that was taken up.
    pub taken: u64,
    /// Since when the session in which it runs machines for this site cannot be held any more;
    /// none while it may be.
    pub ended: Option<Timestamp>,
    /// The lowest serial of its nodes' certificates that it still honours: the highest number that
    /// one of them has ever said.
    pub honoured: u64,
    /// What the two have refused each other.
    pub refusals: Refusals,
}

/// What two sites have refused each other.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refusals {
    /// What this site has refused the peer.
    pub given: Tallies,
    /// What the peer has refused this site, by its word or by saying nothing.
    pub met: Tallies,
}

/// How often each reason for a refusal was given, and when last. There are no more of them than
/// there are reasons.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tallies(BTreeMap<Refusal, Tally>);

/// How often, and when last.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

impl Tallies {
    /// Counts one more.
    pub fn note(&mut self, reason: Refusal, now: Timestamp) {
        let tally = self.0.entry(reason).or_insert(Tally { count: 0, last: now });
        tally.count = tally.count.saturating_add(1);
        tally.last = now;
    }

    /// Each reason that was given.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, Tally)> {
        self.0.iter().map(|(reason, tally)| (*reason, *tally))
    }
}

impl Peer {
    /// What it may buy here.
    #[must_use]
    pub const fn selling(&self) -> Selling {
        let open = matches!(self.standing, peering::Standing::Open | peering::Standing::Drained);
        let selling = self.policy.selling;
        Selling { open: open && selling.open, ..selling }
    }

    /// Whether a word was ever exchanged with it.
    #[must_use]
    pub const fn has_spoken(&self) -> bool {
        self.next > 1 || self.taken > 0
    }

    /// What this site may buy there: nothing while the session with it has ended.
    #[must_use]
    pub const fn buying(&self) -> Buying {
        let open = matches!(self.standing, peering::Standing::Open) && self.ended.is_none();
        let buying = self.policy.buying;
        Buying { open: open && buying.open, ..buying }
    }
}

/// Two things that a peer has said under one number, each with its signature.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// What was taken up.
    pub first: Verified<Message>,
    /// What came later, and was not.
    pub second: Verified<Message>,
    /// When it came.
    pub at: Timestamp,
}

/// A message owed to a peer until the peer has acknowledged it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// What is said.
    pub message: Message,
    /// When it was decided.
    pub at: Timestamp,
}
