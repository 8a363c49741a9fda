//! The buyer's side of a call: whom it asked, what they said, and when it has heard enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::choice::{Asked, Regard, best, objection};
use super::{Message, PATIENCE, Refusal, Terms};
use crate::identity::Verified;
use crate::ids::{HoldId, MachineId, SiteId};
use crate::time::{Span, Timestamp};
use crate::units::Currency;

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
    answers: BTreeMap<SiteId, (Option<Span>, Answer)>,
}

/// What a round of asking came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// The offer that is taken, if there was any.
    pub taken: Option<Offer>,
    /// The offers that are not, and why.
    pub declined: Vec<(Offer, Refusal)>,
    /// Who made none, and why.
    pub refused: BTreeMap<SiteId, Refusal>,
}

impl Asking {
    /// A round in which `sites` are asked at `now`.
    #[must_use]
    pub fn new(machine: MachineId, sites: &[Asked], last: bool, now: Timestamp) -> Self {
        let waiting = |asked: &Asked| (asked.site, (asked.round_trip, Answer::Waiting));
        let answers = sites.iter().map(waiting).collect();
        Self { machine, deadline: now + PATIENCE, last, answers }
    }

    /// Takes note of an offer. Handed back if it was not asked for: the caller declines it.
    ///
    /// # Errors
    ///
    /// The offer, if nobody waits for it.
    pub fn offered(&mut self, offer: Box<Offer>) -> Result<(), Box<Offer>> {
        match self.answers.get_mut(&offer.site) {
            Some((_, answer @ Answer::Waiting)) => {
                *answer = Answer::Offered(offer);
                Ok(())
            }
            Some((_, Answer::Offered(_) | Answer::Refused(_))) | None => Err(offer),
        }
    }

    /// Takes note of a refusal.
    pub fn refused(&mut self, site: SiteId, reason: Refusal) {
        if let Some((_, answer @ Answer::Waiting)) = self.answers.get_mut(&site) {
            *answer = Answer::Refused(reason);
        }
    }

    /// The offers at hand.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.answers.values().filter_map(|(_, answer)| match answer {
            Answer::Offered(offer) => Some(&**offer),
            Answer::Waiting | Answer::Refused(_) => None,
        })
    }

    /// Takes back whatever a site has said: it makes no offers to this one any more.
    pub fn withdrawn(&mut self, site: SiteId) {
        if let Some((_, answer)) = self.answers.get_mut(&site) {
            *answer = Answer::Refused(Refusal::NotServed);
        }
    }

    /// Whether everyone has answered, or the time is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        let waits = |(_, answer): &(Option<Span>, Answer)| *answer == Answer::Waiting;
        now >= self.deadline || !self.answers.values().any(waits)
    }

    /// The sites that were asked, with the round trip to each as it was then.
    pub fn asked(&self) -> impl Iterator<Item = Asked> {
        self.answers
            .iter()
            .map(|(site, (round_trip, _))| Asked { site: *site, round_trip: *round_trip })
    }

    /// Chooses one of the offers, as [`super::choice`] says.
    #[must_use]
    pub fn verdict(self, regards: &BTreeMap<SiteId, Regard>, currency: Currency) -> Verdict {
        let mut verdict = Verdict { taken: None, declined: Vec::new(), refused: BTreeMap::new() };
        let mut offers = Vec::new();
        for (site, (_, answer)) in self.answers {
            match answer {
                Answer::Offered(offer) => match objection(&offer, regards.get(&site), currency) {
                    None => offers.push(*offer),
                    Some(reason) => {
                        verdict.refused.insert(site, reason);
                        verdict.declined.push((*offer, reason));
                    }
                },
                Answer::Refused(reason) => drop(verdict.refused.insert(site, reason)),
                Answer::Waiting => drop(verdict.refused.insert(site, Refusal::Silent)),
            }
        }
        verdict.taken = best(&offers, regards).map(|place| offers.remove(place));
        verdict.declined.extend(offers.into_iter().map(|offer| (offer, Refusal::NotChosen)));
        verdict
    }
}
