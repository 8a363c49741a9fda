//! Peers: who they are, and the numbered streams of messages to and from them.

use std::collections::BTreeMap;

use super::super::command::{Configure, Outcome, Refusal};
use super::super::state::{Peer, Profile};
use super::super::{PEERS_MAX, Site, Turn};
use crate::agreement::Message;
use crate::identity::Verified;
use crate::ids::SiteId;

impl Site {
    /// Takes over what the configuration says. A peer that is not named any more is kept,
    /// unwanted, for what there still is between the two sites.
    pub(super) fn configure(
        &mut self,
        configure: &Configure,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        let known = self.profile.get(&());
        if let Some(profile) = known
            && profile.site != configure.site
        {
            return Err(Refusal::OtherSite { site: profile.site });
        }
        if configure.peers.len() > PEERS_MAX {
            return Err(Refusal::Full { what: "peers".to_owned(), limit: PEERS_MAX });
        }
        let profile = Profile {
            site: configure.site,
            name: configure.name.clone(),
            incarnation: known.map_or(0, |profile| profile.incarnation),
            tariff: configure.tariff,
            nodes: known.map_or(0, |profile| profile.nodes),
            founded: known.map_or(turn.now, |profile| profile.founded),
            now: turn.now,
        };
        self.profile.insert((), profile);
        let named = |site: &SiteId| configure.peers.iter().any(|peer| peer.site == *site);
        let unnamed: Vec<SiteId> =
            self.peers.iter().map(|(site, _)| *site).filter(|site| !named(site)).collect();
        for site in unnamed {
            if let Some(peer) = self.peers.get_mut(&site) {
                (peer.wanted, peer.sells_to, peer.buys_from) = (false, false, false);
            }
        }
        for entry in configure.peers.iter().filter(|entry| entry.site != configure.site) {
            let (next, taken) =
                self.peers.get(&entry.site).map_or((1, 0), |peer| (peer.next, peer.taken));
            let ended = self.peers.get(&entry.site).and_then(|peer| peer.ended);
            let peer = Peer {
                name: entry.name.clone(),
                sells_to: entry.sells_to,
                buys_from: entry.buys_from,
                wanted: true,
                next,
                taken,
                ended,
            };
            self.peers.insert(entry.site, peer);
        }
        Ok(Outcome::Done)
    }

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
