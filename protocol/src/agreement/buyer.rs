//! The buyer's side of a call: whom it asked, what they said, and when it has heard enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Message, PATIENCE, Refusal, Terms};
use crate::identity::Verified;
use crate::ids::{HoldId, MachineId, SiteId};
use crate::time::Timestamp;

/// An offer at hand.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Who made it.
    pub site: SiteId,
    /// The room that is held there.
    pub hold: HoldId,
    /// On which terms.
    pub terms: Terms,
    /// The seller's signature under it.
    pub evidence: Verified<Message>,
}

/// What one of those asked has said.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
enum Answer {
    Waiting,
    Offered(Box<Offer>),
    Refused(Refusal),
}

/// One round of asking for one machine.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Asking {
    /// The machine.
    pub machine: MachineId,
    /// When it stops waiting.
    pub deadline: Timestamp,
    /// Whether nobody is left to be asked after this round.
    pub last: bool,
    answers: BTreeMap<SiteId, Answer>,
}

/// What a round of asking came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The offer that is taken, if there was any.
    pub taken: Option<Offer>,
    /// The offers that are not.
    pub declined: Vec<Offer>,
    /// Who made none, and why.
    pub refused: BTreeMap<SiteId, Refusal>,
}

impl Asking {
    /// A round in which `sites` are asked at `now`.
    #[must_use]
    pub fn new(machine: MachineId, sites: &[SiteId], last: bool, now: Timestamp) -> Self {
        let answers = sites.iter().map(|site| (*site, Answer::Waiting)).collect();
        Self { machine, deadline: now + PATIENCE, last, answers }
    }

    /// Takes note of an offer. Handed back if it was not asked for: the caller declines it.
    ///
    /// # Errors
    ///
    /// The offer, if nobody waits for it.
    pub fn offered(&mut self, offer: Box<Offer>) -> Result<(), Box<Offer>> {
        match self.answers.get_mut(&offer.site) {
            Some(answer @ Answer::Waiting) => {
                *answer = Answer::Offered(offer);
                Ok(())
            }
            Some(Answer::Offered(_) | Answer::Refused(_)) | None => Err(offer),
        }
    }

    /// Takes note of a refusal.
    pub fn refused(&mut self, site: SiteId, reason: Refusal) {
        if let Some(answer @ Answer::Waiting) = self.answers.get_mut(&site) {
            *answer = Answer::Refused(reason);
        }
    }

    /// Whether everyone has answered, or the time is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.deadline || !self.answers.values().any(|answer| *answer == Answer::Waiting)
    }

    /// Chooses the cheapest offer; among equals, the first site in the order of ids.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        let mut offers = Vec::new();
        let mut refused = BTreeMap::new();
        for (site, answer) in self.answers {
            match answer {
                Answer::Offered(offer) => offers.push(*offer),
                Answer::Refused(reason) => drop(refused.insert(site, reason)),
                Answer::Waiting => drop(refused.insert(site, Refusal::Silent)),
            }
        }
        offers.sort_by_key(|offer| (offer.terms.price.hourly, offer.site));
        let mut offers = offers.into_iter();
        Verdict { taken: offers.next(), declined: offers.collect(), refused }
    }
}
