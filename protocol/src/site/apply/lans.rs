//! Networks as the sites on them know them: what a home tells, and what the others take up.
//!
//! What a home tells follows from its rows, and is told as soon as they change: whatever command
//! has moved a machine, its networks are looked at when the command is done. So no place where
//! machines are moved has to think of networks, and none can forget to.

use std::collections::{BTreeMap, BTreeSet};

use super::super::state::{Attached, Lan, Machine, Network, Place};
use super::super::{LANS_MAX, Site, Turn};
use crate::agreement::Message;
use crate::ids::{MachineId, NetworkId, SiteId};
use crate::networks::lan::{End, Member, Terms, Vni, Word};
use crate::networks::{MEMBERS_MAX, Offset};

/// What has changed of the members of one network.
type Changed = BTreeMap<Offset, Option<Member>>;

impl Site {
    /// Makes the row that this site itself has of a network of its own.
    pub(super) fn found_lan(&mut self, id: NetworkId) {
        let Some(network) = self.networks.get(&id) else { return };
        let terms = self.terms_of(network);
        let Some(vni) = self.free_vni() else { return };
        self.lans.insert((self.me(), id), Lan { terms, vni, ends: BTreeMap::new() });
    }

    fn terms_of(&self, network: &Network) -> Terms {
        let service = network.service.and_then(|service| self.services.get(&service));
        Terms {
            prefix: network.prefix,
            prefix6: network.prefix6,
            speed: network.speed,
            class: network.class,
            outbound: network.outbound,
            domain: service.map(|service| service.manifest.service().to_string()),
        }
    }

    /// A number by which no network is received here yet.
    fn free_vni(&self) -> Option<Vni> {
        let taken: BTreeSet<Vni> = self.lans.iter().map(|(_, lan)| lan.vni).collect();
        let after_last = taken.last().map_or(Some(Vni::MIN), |last| last.next());
        after_last.or_else(|| {
            std::iter::successors(Some(Vni::MIN), |vni| vni.next()).find(|vni| !taken.contains(vni))
        })
    }

    /// Tells the sites on this site's networks what the last command has changed of them.
    pub(in crate::site) fn follow_networks(&mut self, turn: &Turn) {
        let mut changed: BTreeMap<NetworkId, Changed> = BTreeMap::new();
        let left = self.addresses.touched().filter(|key| self.addresses.get(key).is_none());
        for (network, offset) in left.copied().collect::<Vec<_>>() {
            if self.members.remove(&(self.me(), network, offset)).is_some() {
                changed.entry(network).or_default().insert(offset, None);
            }
        }
        for machine in self.machines.touched().copied().collect::<Vec<_>>() {
            let Some(row) = self.machines.get(&machine) else { continue };
            let members: Vec<(Attached, Member)> = self.members_of(machine, row);
            for (Attached { network, offset }, member) in members {
                let key = (self.me(), network, offset);
                if self.members.get(&key) != Some(&member) {
                    self.members.insert(key, member.clone());
                    changed.entry(network).or_default().insert(offset, Some(member));
                }
            }
        }
        for (network, members) in changed {
            self.tell(network, &members, turn);
        }
        let gone = self.networks.touched().filter(|id| self.networks.get(id).is_none());
        for network in gone.copied().collect::<Vec<_>>() {
            self.forget_lan(self.me(), network);
        }
    }

    /// A machine as the sites on its networks know it.
    fn members_of(&self, machine: MachineId, row: &Machine) -> Vec<(Attached, Member)> {
        let site = match row.place {
            Place::Here(_) => Some(self.me()),
            Place::There { site, .. } => Some(site),
            Place::Nowhere
            | Place::Sought { .. }
            | Place::Postponed
            | Place::Held(_)
            | Place::Accepted(_) => None,
        };
        let (name, component) = match &row.membership {
            Some(it) => {
                (format!("{}-{}", it.component, it.replica), Some(it.component.to_string()))
            }
            None => (row.name.to_ascii_lowercase(), None),
        };
        let attached = (0..).zip(row.addresses.iter().copied());
        let members = attached.map(|(card, attached)| {
            let (name, component) = (name.clone(), component.clone());
            (attached, Member { machine, card, name, component, site, epoch: row.epoch })
        });
        members.collect()
    }

    /// Tells everybody on a network what is new to them.
    fn tell(&mut self, network: NetworkId, changed: &Changed, turn: &Turn) {
        let me = self.me();
        let all = (me, network, Offset(0))..=(me, network, Offset(u32::MAX));
        let members: Vec<(Offset, Member)> =
            self.members.range(all).map(|((_, _, at), member)| (*at, member.clone())).collect();
        let now: BTreeSet<SiteId> = members.iter().filter_map(|(_, member)| member.site).collect();
        let Some(lan) = self.lans.get_mut(&(me, network)) else { return };
        let before: BTreeSet<SiteId> = lan.ends.keys().copied().collect();
        let mine = End { vni: lan.vni };
        for site in now.difference(&before) {
            lan.ends.insert(*site, (*site == me).then_some(mine));
        }
        for site in before.difference(&now) {
            lan.ends.remove(site);
        }
        let (terms, ends) = (lan.terms.clone(), lan.ends.clone());
        let mut owed = Vec::new();
        for site in now.iter().filter(|site| **site != me) {
            if before.contains(site) {
                let member = |(offset, member): (&Offset, &Option<Member>)| Word::Member {
                    offset: *offset,
                    member: member.clone(),
                };
                owed.extend(changed.iter().map(member).map(|word| (*site, word)));
            } else {
                owed.push((*site, Word::Terms(terms.clone())));
                let member = |(offset, member): &(Offset, Member)| Word::Member {
                    offset: *offset,
                    member: Some(member.clone()),
                };
                owed.extend(members.iter().map(member).map(|word| (*site, word)));
                let known = ends.iter().filter(|(other, end)| *other != site && end.is_some());
                let end =
                    |(other, end): (&SiteId, &Option<End>)| Word::End { site: *other, end: *end };
                owed.extend(known.map(end).map(|word| (*site, word)));
            }
        }
        for site in before.difference(&now) {
            if *site != me {
                owed.push((*site, Word::Over));
            }
            let rest = now.iter().filter(|other| **other != me && before.contains(other));
            owed.extend(rest.map(|other| (*other, Word::End { site: *site, end: None })));
        }
        if now.contains(&me) && !before.contains(&me) {
            let rest = now.iter().filter(|other| **other != me && before.contains(other));
            owed.extend(rest.map(|other| (*other, Word::End { site: me, end: Some(mine) })));
        }
        for (site, word) in owed {
            self.owe(site, Message::Network { network, word }, turn);
        }
    }

    /// A peer says something about a network: its home, or a site that is on one of this site's.
    pub(super) fn network_said(
        &mut self,
        from: SiteId,
        network: NetworkId,
        word: &Word,
        turn: &Turn,
    ) {
        if !word.is_sound() || self.standing_peer(from).is_err() {
            return;
        }
        match word {
            Word::Terms(terms) => self.terms_said(from, network, terms, turn),
            Word::Member { offset, member } => {
                self.member_said((from, network, *offset), member.as_ref());
            }
            Word::End { site, end } => self.end_said(from, network, (*site, *end)),
            Word::Joined(end) => self.joined(from, network, *end, turn),
            Word::Over => self.forget_lan(from, network),
        }
    }

    fn terms_said(&mut self, from: SiteId, network: NetworkId, terms: &Terms, turn: &Turn) {
        let of_it = (from, NetworkId::from_uuid(uuid::Uuid::nil()))
            ..=(from, NetworkId::from_uuid(uuid::Uuid::max()));
        let known = self.lans.get(&(from, network)).map(|lan| lan.vni);
        if known.is_none() && self.lans.range(of_it).count() >= LANS_MAX {
            return;
        }
        // Whoever says its terms begins anew: what was known before is not.
        self.forget_lan(from, network);
        let Some(vni) = known.or_else(|| self.free_vni()) else { return };
        let lan = Lan { terms: terms.clone(), vni, ends: BTreeMap::new() };
        self.lans.insert((from, network), lan);
        self.owe(from, Message::Network { network, word: Word::Joined(End { vni }) }, turn);
    }

    fn member_said(&mut self, key: (SiteId, NetworkId, Offset), member: Option<&Member>) {
        let (from, network, offset) = key;
        let prefix = self.lans.get(&(from, network)).map(|lan| lan.terms.prefix);
        let fits = prefix.is_some_and(|prefix| prefix.address(offset).is_some());
        let has_room = || {
            let known = self.members.get(&key).is_some();
            known || self.members_on(from, network).count() < MEMBERS_MAX
        };
        match member {
            Some(member) if fits && has_room() => drop(self.members.insert(key, member.clone())),
            Some(_) => {}
            None => drop(self.members.remove(&key)),
        }
    }

    fn end_said(&mut self, from: SiteId, network: NetworkId, (site, end): (SiteId, Option<End>)) {
        if from == self.me() || site == self.me() {
            return;
        }
        let Some(lan) = self.lans.get_mut(&(from, network)) else { return };
        match end {
            Some(_) if lan.ends.len() < super::super::PEERS_MAX => {
                lan.ends.insert(site, end);
            }
            Some(_) => {}
            None => drop(lan.ends.remove(&site)),
        }
    }

    /// A site that has machines on one of this site's networks says how it is reached there.
    fn joined(&mut self, from: SiteId, network: NetworkId, end: End, turn: &Turn) {
        let key = (self.me(), network);
        let Some(lan) = self.lans.get_mut(&key) else { return };
        let Some(known) = lan.ends.get_mut(&from) else { return };
        if *known == Some(end) {
            return;
        }
        *known = Some(end);
        let others: Vec<SiteId> = lan.ends.keys().copied().collect();
        let me = self.me();
        for other in others.into_iter().filter(|other| *other != from && *other != me) {
            let word = Word::End { site: from, end: Some(end) };
            self.owe(other, Message::Network { network, word }, turn);
        }
    }

    /// Forgets a network and who is on it.
    pub(super) fn forget_lan(&mut self, home: SiteId, network: NetworkId) {
        self.lans.remove(&(home, network));
        let all = (home, network, Offset(0))..=(home, network, Offset(u32::MAX));
        let members: Vec<_> = self.members.range(all).map(|(key, _)| *key).collect();
        for key in members {
            self.members.remove(&key);
        }
    }

    /// Forgets all networks of a site that is no peer any more.
    pub(super) fn forget_lans_of(&mut self, home: SiteId) {
        let of_it = self.lans.iter().filter(|((of, _), _)| *of == home);
        for (_, network) in of_it.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.forget_lan(home, network);
        }
    }
}
