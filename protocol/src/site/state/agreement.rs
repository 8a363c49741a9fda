//! What it has agreed with peers.

use serde::{Deserialize, Serialize};

use crate::agreement::{EVIDENCE_MAX, Message, Refusal, Terms};
use crate::identity::Verified;
use crate::ids::SiteId;
use crate::time::Timestamp;

/// An agreement, with the other side's signatures under it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What is agreed.
    pub terms: Terms,
    /// Since when.
    pub since: Timestamp,
    /// When the provider proposes new terms; none at the home, or once it has.
    pub renew_at: Option<Timestamp>,
    /// New terms that the provider has proposed and that do not count yet.
    pub proposed: Option<Terms>,
    /// When it ends before its time, or will not be renewed.
    pub termination: Option<Termination>,
    /// Until when, if it has ended.
    pub ended: Option<Timestamp>,
    /// What the other side has signed: at the buyer the offer, then the seller's word that it
    /// stands; at the seller the acceptance; then what was said of its renewal and its end.
    pub evidence: Vec<Verified<Message>>,
}

/// The word that an agreement ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Termination {
    /// Who has said it.
    pub by: SiteId,
    /// When it ends.
    pub at: Timestamp,
    /// Why.
    pub reason: Refusal,
}

impl Agreement {
    /// When it ends, if nothing more is said.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.termination.map_or(self.terms.until, |it| it.at.min(self.terms.until))
    }

    /// Takes note of a termination. Of two the earlier counts; new terms are void.
    pub fn terminate(&mut self, termination: Termination) {
        self.proposed = None;
        self.renew_at = None;
        if self.termination.is_none_or(|known| termination.at < known.at) {
            self.termination = Some(termination);
        }
    }

    /// Keeps what the other side has signed: the first word for ever, and the latest of the rest.
    pub fn keep(&mut self, word: &Verified<Message>) {
        if self.evidence.len() >= EVIDENCE_MAX {
            self.evidence.remove(1);
        }
        self.evidence.push(word.clone());
    }
}
