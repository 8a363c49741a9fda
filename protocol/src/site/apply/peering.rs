//! Whom the site trades with: peers are added, changed and removed while it runs.
//!
//! The configuration's peers are seeds. Each is entered if it is not known, and left as it has
//! become if it is: what operators have said since, they have said here.

use super::super::command::{Configure, Outcome, PeerEntry, Refusal};
use super::super::state::{Peer, Place, Profile, Refusals};
use super::super::{PEERS_MAX, Site, Turn};
use crate::agreement::Message;
use crate::ids::{MachineId, MachineName, SiteId};
use crate::membership::serials::Serials;
use crate::peering::{
    ADDRESS_LENGTH_MAX, ADDRESSES_MAX, Account, Policy, Reserve, Setting, Standing,
};

impl Site {
    /// Takes over what the configuration says.
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
        let (me, unknown) = (configure.site, |site| self.peers.get(&site).is_none());
        let seeds: Vec<&PeerEntry> = configure
            .peers
            .iter()
            .filter(|entry| entry.site != me && unknown(entry.site))
            .collect();
        if self.standing_peers() + seeds.len() > PEERS_MAX {
            return Err(Refusal::Full { what: "peers".to_owned(), limit: PEERS_MAX });
        }
        for seed in &seeds {
            check_addresses(&seed.addresses)?;
        }
        let profile = Profile {
            site: configure.site,
            name: configure.name.clone(),
            incarnation: known.map_or(0, |profile| profile.incarnation),
            tariff: configure.tariff,
            nodes: known.map_or(0, |profile| profile.nodes),
            serials: known.map_or_else(Serials::default, |profile| profile.serials),
            reserve: known.map_or_else(Reserve::default, |profile| profile.reserve),
            founded: known.map_or(turn.now, |profile| profile.founded),
            now: turn.now,
        };
        self.profile.insert((), profile);
        for seed in seeds {
            self.peers.insert(seed.site, Peer { seeded: true, ..new_peer(seed, turn) });
        }
        Ok(Outcome::Done)
    }

    fn standing_peers(&self) -> usize {
        self.peers.iter().filter(|(_, peer)| peer.standing != Standing::Gone).count()
    }

    /// Adds a peer, or says anew what it is called and where it is.
    pub(super) fn add_peer(&mut self, entry: &PeerEntry, turn: &Turn) -> Result<Outcome, Refusal> {
        let site = entry.site;
        if site == self.me() {
            return Err(Refusal::OwnSite { site });
        }
        check_addresses(&entry.addresses)?;
        let stands = |peer: &Peer| peer.standing != Standing::Gone;
        let taken = self
            .peers
            .iter()
            .any(|(other, peer)| *other != site && stands(peer) && peer.name == entry.name);
        if taken {
            return Err(Refusal::NameTaken { name: entry.name.to_string() });
        }
        let known = self.peers.get(&site);
        if !known.is_some_and(stands) && self.standing_peers() >= PEERS_MAX {
            return Err(Refusal::Full { what: "peers".to_owned(), limit: PEERS_MAX });
        }
        let row = match known {
            None => new_peer(entry, turn),
            Some(peer) if stands(peer) => Peer {
                name: entry.name.clone(),
                addresses: entry.addresses.clone(),
                policy: peer.policy.with(&entry.settings),
                standing: Standing::Open,
                ..peer.clone()
            },
            // It begins anew, but for the numbers of the two streams, and for what it revoked.
            Some(peer) => Peer {
                next: peer.next,
                taken: peer.taken,
                seeded: peer.seeded,
                ended: peer.ended,
                honoured: peer.honoured,
                ..new_peer(entry, turn)
            },
        };
        if known != Some(&row) {
            self.peers.insert(site, row);
        }
        Ok(Outcome::Done)
    }

    /// Takes note of which certificates a peer still honours. Nothing takes back what was revoked.
    pub(super) fn honours(&mut self, site: SiteId, lowest: u64) -> Result<Outcome, Refusal> {
        let known = self.peers.get(&site).ok_or(Refusal::UnknownPeer { site })?;
        if lowest > known.honoured
            && let Some(peer) = self.peers.get_mut(&site)
        {
            peer.honoured = lowest;
        }
        Ok(Outcome::Done)
    }

    /// Changes the policy towards a peer.
    pub(super) fn set_policy(
        &mut self,
        site: SiteId,
        settings: &[Setting],
    ) -> Result<Outcome, Refusal> {
        let peer = self.standing_peer(site)?;
        let policy = peer.policy.with(settings);
        if policy != peer.policy
            && let Some(peer) = self.peers.get_mut(&site)
        {
            peer.policy = policy;
        }
        Ok(Outcome::Done)
    }

    pub(super) fn standing_peer(&self, site: SiteId) -> Result<&Peer, Refusal> {
        let peer = self.peers.get(&site).filter(|peer| peer.standing != Standing::Gone);
        peer.ok_or(Refusal::UnknownPeer { site })
    }

    /// Trades with a drained or leaving peer again.
    pub(super) fn enable_peer(&mut self, site: SiteId) -> Result<Outcome, Refusal> {
        let peer = self.standing_peer(site)?;
        if peer.standing != Standing::Open
            && let Some(peer) = self.peers.get_mut(&site)
        {
            peer.standing = Standing::Open;
        }
        Ok(Outcome::Done)
    }

    /// Removes a peer with which there is nothing left to be done; or has what there is placed
    /// elsewhere or ended, and removes it then.
    pub(super) fn remove_peer(
        &mut self,
        site: SiteId,
        drain: bool,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        let Some(peer) = self.peers.get(&site) else { return Err(Refusal::UnknownPeer { site }) };
        if peer.standing == Standing::Gone {
            return Ok(Outcome::Done);
        }
        let (there, here) = self.machines_with(site);
        if drain {
            self.drain_peer(site, turn)?;
            self.end_all_of(site, turn);
        } else if there + here > 0 {
            return Err(Refusal::PeerInUse { name: peer.name.clone(), there, here });
        }
        self.leave_peer(site, turn);
        Ok(Outcome::Done)
    }

    /// How many machines of this site are at a peer, or are promised a place there, and how many
    /// of the peer's are here.
    fn machines_with(&self, site: SiteId) -> (usize, usize) {
        let there = self.machines.iter().filter(|(_, row)| match &row.place {
            Place::There { site: at, .. } => *at == site,
            Place::Held(offer) | Place::Accepted(offer) => offer.site == site,
            Place::Nowhere | Place::Sought { .. } | Place::Postponed | Place::Here(_) => false,
        });
        (there.count(), self.guests_from(site).count())
    }

    /// The machines of a home that are here.
    pub(in crate::site) fn guests_from(&self, home: SiteId) -> impl Iterator<Item = MachineName> {
        let name = |id| MachineName { home, machine: MachineId::from_uuid(id) };
        let range = name(uuid::Uuid::nil())..=name(uuid::Uuid::max());
        self.guests.range(range).map(|(name, _)| *name)
    }

    /// Turns to a peer no more.
    fn leave_peer(&mut self, site: SiteId, turn: &Turn) {
        if let Some(peer) = self.peers.get_mut(&site) {
            peer.standing = Standing::Leaving;
        }
        self.part(site, turn);
    }

    /// Parts with the peers that are to go and with which nothing is left to be done.
    pub(super) fn part_with_leaving(&mut self, turn: &Turn) {
        for site in self.leaving_done() {
            self.part(site, turn);
        }
    }

    /// The peers that are to go and with which nothing is left to be done.
    pub(super) fn leaving_done(&self) -> Vec<SiteId> {
        let leaving = self.peers.iter().filter(|(_, peer)| peer.standing == Standing::Leaving);
        leaving.map(|(site, _)| *site).filter(|site| self.is_done_with(*site)).collect()
    }

    fn is_done_with(&self, site: SiteId) -> bool {
        let calls = self.calls.iter().any(|(_, asking)| asking.asked().any(|it| it.site == site));
        let holds = self.holds.iter().any(|(_, hold)| hold.buyer == site);
        !calls && !holds && self.machines_with(site) == (0, 0)
    }

    /// The last word to a peer: whatever it still waits for will not come. It is a stranger once
    /// it has taken that up. One with whom not a word was ever exchanged waits for nothing, nor does
    /// one that has said its own last word.
    fn part(&mut self, site: SiteId, turn: &Turn) {
        if !self.is_done_with(site) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&site) else { return };
        peer.standing = Standing::Gone;
        peer.addresses.clear();
        if peer.has_spoken() && !self.has_parted(site) {
            self.owe(site, Message::Farewell, turn);
        }
        // Nothing of its networks is here any more, and its word on that is not waited for.
        self.forget_lans_of(site);
    }

    /// A peer has parted with this site: it keeps no room for it and answers nothing more. What
    /// was offered, accepted or asked there comes to nothing.
    pub(super) fn parted(&mut self, from: SiteId, turn: &mut Turn) {
        let calls: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, asking)| asking.asked().any(|it| it.site == from))
            .map(|(call, _)| *call)
            .collect();
        for call in calls {
            if let Some(asking) = self.calls.get_mut(&call) {
                asking.withdrawn(from);
            }
            self.close_call_if_over(call, turn);
        }
        let waiting: Vec<MachineId> = self
            .machines
            .iter()
            .filter(|(_, row)| match &row.place {
                Place::Held(offer) | Place::Accepted(offer) => offer.site == from,
                Place::Nowhere
                | Place::Sought { .. }
                | Place::Postponed
                | Place::Here(_)
                | Place::There { .. } => false,
            })
            .map(|(machine, _)| *machine)
            .collect();
        for machine in waiting {
            self.offer_gone(machine, from, turn);
        }
    }

    /// Whether the last that a peer has said was its last word: it takes up nothing more, until it
    /// adds this site again.
    fn has_parted(&self, site: SiteId) -> bool {
        let last = self.peers.get(&site).and_then(|peer| self.heard.get(&(site, peer.taken)));
        last.is_some_and(|message| matches!(message.body(), Message::Farewell))
    }

    /// Whether a site is none that this one speaks with: not a peer, or one that was removed and
    /// has taken up all that was owed to it, or takes up nothing more.
    #[must_use]
    pub fn is_stranger(&self, site: SiteId) -> bool {
        match self.peers.get(&site) {
            None => true,
            Some(peer) => {
                let heard_all = self.owed_to(site) == 0 || self.has_parted(site);
                peer.standing == Standing::Gone && heard_all
            }
        }
    }

    /// What a buyer has here already.
    #[must_use]
    pub fn account(&self, buyer: SiteId) -> Account {
        let agreed = self.guests_from(buyer).filter_map(|name| {
            let agreement = self.guests.get(&name)?.agreement?;
            Some(self.agreements.get(&agreement)?.terms.price.hourly)
        });
        let held = self.holds.iter().filter(|(_, hold)| hold.buyer == buyer);
        let held = held.map(|(_, hold)| hold.terms.price.hourly);
        agreed.chain(held).fold(Account::default(), Account::plus)
    }

    /// Keeps a share of the capacity for own tenants.
    pub(super) fn set_reserve(&mut self, reserve: Reserve) -> Outcome {
        if let Some(profile) = self.profile.get_mut(&()) {
            profile.reserve = reserve;
        }
        Outcome::Done
    }
}

fn check_addresses(addresses: &[String]) -> Result<(), Refusal> {
    let (count, length) = (ADDRESSES_MAX, ADDRESS_LENGTH_MAX);
    if addresses.len() > count || addresses.iter().any(|address| address.len() > length) {
        return Err(Refusal::Addresses { count, length });
    }
    Ok(())
}

fn new_peer(entry: &PeerEntry, turn: &Turn) -> Peer {
    Peer {
        name: entry.name.clone(),
        addresses: entry.addresses.clone(),
        policy: Policy::OPEN.with(&entry.settings),
        standing: Standing::Open,
        seeded: false,
        since: turn.now,
        next: 1,
        taken: 0,
        ended: None,
        honoured: 0,
        refusals: Refusals::default(),
    }
}
