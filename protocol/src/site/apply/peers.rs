//! The numbered streams of messages to and from peers.
//!
//! A number is used once. The same message may come again, since receipts get lost; another one
//! under a number that was taken up is a peer that says two things at once. Nothing of such a
//! delivery is taken up, and both bodies are kept: each is signed, so together they are a proof
//! that anybody can check.

use std::collections::BTreeMap;

use super::super::command::{Outcome, Refusal};
use super::super::state::Contradiction;
use super::super::{HEARD_KEPT, Site, Turn};
use crate::agreement::{Message, Refusal as Reason};
use crate::identity::Verified;
use crate::ids::SiteId;

impl Site {
    /// Takes up a peer's messages, each once and in order. Those taken up before are passed over;
    /// behind a gap nothing is taken up.
    pub(super) fn receive(
        &mut self,
        messages: &[Verified<Message>],
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        self.check_numbers(messages)?;
        if let Some((first, second)) = self.contradiction(messages) {
            return Ok(self.keep_proof(first, second, turn));
        }
        let mut through = 0;
        for message in messages {
            let statement = message.statement();
            let (from, number) = (statement.issuer, statement.sequence);
            through = self.peers.get(&from).map_or(0, |peer| peer.taken);
            if number <= through {
                continue;
            }
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.taken = number;
            }
            through = number;
            // It may have nothing left here about which to ask for a session.
            self.peer_back(from);
            self.heard.insert((from, number), message.clone());
            self.heard.remove(&(from, number.saturating_sub(HEARD_KEPT)));
            self.take_up(from, message, turn);
        }
        Ok(Outcome::Taken(through))
    }

    /// Looks through the numbers before anything is taken up, so that a refused delivery changes
    /// nothing. What is in front of the gap is not taken up either, and the refusal says so: the
    /// peer would strike it from its outbox.
    fn check_numbers(&self, messages: &[Verified<Message>]) -> Result<(), Refusal> {
        let mut reached: BTreeMap<SiteId, u64> = BTreeMap::new();
        for message in messages {
            let statement = message.statement();
            let (site, number) = (statement.issuer, statement.sequence);
            let Some(peer) = self.peers.get(&site) else {
                return Err(Refusal::UnknownPeer { site });
            };
            let taken = reached.entry(site).or_insert(peer.taken);
            if number > taken.saturating_add(1) {
                return Err(Refusal::Gap { site, first: number, taken: peer.taken });
            }
            *taken = number.max(*taken);
        }
        Ok(())
    }

    /// Two bodies under one number: one that is at hand, or that was taken up lately, and one of
    /// these.
    fn contradiction(
        &self,
        messages: &[Verified<Message>],
    ) -> Option<(Verified<Message>, Verified<Message>)> {
        let mut seen: BTreeMap<(SiteId, u64), &Verified<Message>> = BTreeMap::new();
        messages.iter().find_map(|message| {
            let statement = message.statement();
            let key = (statement.issuer, statement.sequence);
            let known = seen.get(&key).copied().or_else(|| self.heard.get(&key));
            seen.insert(key, message);
            let known = known.filter(|known| {
                // The numbers of a site that was restored from a backup begin anew.
                known.statement().incarnation == statement.incarnation
                    && known.evidence().digest() != message.evidence().digest()
            })?;
            Some((known.clone(), message.clone()))
        })
    }

    /// Keeps the first proof against a peer; more of them prove no more.
    fn keep_proof(
        &mut self,
        first: Verified<Message>,
        second: Verified<Message>,
        turn: &Turn,
    ) -> Outcome {
        let (site, number) = (second.statement().issuer, second.statement().sequence);
        if self.proofs.get(&site).is_none() {
            self.proofs.insert(site, Contradiction { first, second, at: turn.now });
        }
        Outcome::Contradicted { site, number }
    }

    /// Strikes from the outbox what a peer has taken up.
    pub(super) fn acknowledged(&mut self, peer: SiteId, through: u64) -> Outcome {
        let done: Vec<(SiteId, u64)> =
            self.outbox.range((peer, 0)..=(peer, through)).map(|(key, _)| *key).collect();
        for key in done {
            self.outbox.remove(&key);
        }
        Outcome::Done
    }

    /// Takes note of what a peer would not do for this site.
    pub(super) fn note_refusal(&mut self, by: SiteId, reason: Reason, turn: &Turn) {
        if let Some(peer) = self.peers.get_mut(&by) {
            peer.refusals.met.note(reason, turn.now);
        }
    }

    /// How many messages are owed to a peer.
    pub(in crate::site) fn owed_to(&self, peer: SiteId) -> usize {
        self.outbox.range((peer, 0)..=(peer, u64::MAX)).count()
    }
}
