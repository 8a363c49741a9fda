//! The numbered streams of messages to and from peers.

use std::collections::BTreeMap;

use super::super::command::{Outcome, Refusal};
use super::super::{Site, Turn};
use crate::agreement::Message;
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

    /// Strikes from the outbox what a peer has taken up.
    pub(super) fn acknowledged(&mut self, peer: SiteId, through: u64) -> Outcome {
        let done: Vec<(SiteId, u64)> =
            self.outbox.range((peer, 0)..=(peer, through)).map(|(key, _)| *key).collect();
        for key in done {
            self.outbox.remove(&key);
        }
        Outcome::Done
    }

    /// How many messages are owed to a peer.
    pub(in crate::site) fn owed_to(&self, peer: SiteId) -> usize {
        self.outbox.range((peer, 0)..=(peer, u64::MAX)).count()
    }
}
