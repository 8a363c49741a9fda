//! Networks as the sites on them know them: what a home tells, and what the others take up.
//!
//! What a home tells follows from its rows, and is told as soon as they change: whatever command
//! has moved a machine, its networks are looked at when the command is done. So no place where
//! machines are moved has to think of networks, and none can forget to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::super::state::{Attached, Lan, Machine, Network, Place};
use super::super::{LANS_MAX, Site, Turn};
use crate::agreement::Message;
use crate::hull::Hull;
use crate::ids::{MachineId, NetworkId, SiteId};
use crate::manifest::SecurityGroups;
use crate::networks::lan::{End, Member, Terms, Vni, Word};
use crate::networks::{MEMBERS_MAX, Offset};

/// What has changed of the members of one network.
type Changed = BTreeMap<Offset, Option<Member>>;

impl Site {
    /// Makes the row that this site itself has of a network of its own; `group` is the first one of
    /// its group.
    pub(super) fn found_lan(&mut self, id: NetworkId, group: Option<NetworkId>) {
        let Some(network) = self.networks.get(&id) else { return };
        let terms = self.terms_of(network, group);
        let Some(vni) = self.free_vni() else { return };
        let own = End { vni, gateway: self.gateway() };
        let ends = BTreeMap::from([(self.me(), Some(own))]);
        let groups = self.groups_on(network);
        self.lans.insert((self.me(), id), Lan { terms, own, ends, groups });
    }

    fn terms_of(&self, network: &Network, group: Option<NetworkId>) -> Terms {
        let service = network.service.and_then(|service| self.services.get(&service));
        let name = network.group.as_ref();
        let said = service.and_then(|service| service.manifest.groups().get(name?));
        let (prefixes, outbound) = ((network.prefix, network.prefix6), network.outbound);
        Terms {
            prefix: network.prefix,
            prefix6: network.prefix6,
            speed: network.speed,
            class: network.class,
            outbound: network.outbound,
            domain: service.map(|service| service.manifest.service().to_string()),
            group,
            routes: said.map(|group| group.routes.on(prefixes, outbound)).unwrap_or_default(),
        }
    }

    /// A number by which no network is received here yet.
    fn free_vni(&self) -> Option<Vni> {
        let taken: BTreeSet<Vni> = self.lans.iter().map(|(_, lan)| lan.own.vni).collect();
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
        let gone = self.networks.touched().filter(|id| self.networks.get(id).is_none());
        let gone: Vec<NetworkId> = gone.copied().collect();
        // Who is on a network concerns those on the others of its group.
        for network in changed.keys().chain(&gone).copied().collect::<Vec<_>>() {
            for routed in self.routed_with(network) {
                changed.entry(routed).or_default();
            }
        }
        for (network, members) in changed {
            self.tell(network, &members, turn);
        }
        for network in gone {
            self.forget_lan(self.me(), network);
        }
        if self.nodes.touched().next().is_some() {
            self.follow_gateway(turn);
        }
    }

    /// Tells the sites on this site's networks, and the homes of those that reach here, if its
    /// gateway is another than they were told.
    fn follow_gateway(&mut self, turn: &Turn) {
        let gateway = self.gateway();
        let news: Vec<(SiteId, NetworkId)> = self
            .lans
            .iter()
            .filter(|(_, lan)| lan.own.gateway != gateway)
            .map(|(key, _)| *key)
            .collect();
        for (home, network) in news {
            let Some(lan) = self.lans.get_mut(&(home, network)) else { continue };
            lan.own.gateway = gateway;
            let own = lan.own;
            if home == self.me() {
                self.end_is(network, self.me(), own, turn);
            } else {
                self.owe(home, Message::Network { network, word: Word::Joined(own) }, turn);
            }
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
        let groups = self.memberships_of(row);
        let members = attached.map(|(card, attached)| {
            let (name, component, groups) = (name.clone(), component.clone(), groups.clone());
            (attached, Member { machine, card, name, component, groups, site, epoch: row.epoch })
        });
        members.collect()
    }

    /// The networks of this site's tenants that are routed with one of them, and that one.
    fn routed_with(&self, network: NetworkId) -> Vec<NetworkId> {
        let me = self.me();
        let group = self.lans.get(&(me, network)).and_then(|lan| lan.terms.group);
        let Some(group) = group else { return vec![network] };
        let own = self.lans.range(Self::all_of(me));
        let routed = own.filter(|(_, lan)| lan.terms.group == Some(group));
        routed.map(|((_, network), _)| *network).collect()
    }

    /// Whether the gateways of all sites but one that are on a machine's networks, and on those that
    /// are routed with them, can be called: as far as is known, since a site that is new has not said
    /// yet.
    pub(super) fn has_callable_ends(&self, hull: &Hull, but: SiteId) -> bool {
        let networks = hull.cards.iter().flat_map(|card| self.routed_with(card.network));
        let lans = networks.filter_map(|network| self.lans.get(&(self.me(), network)));
        let ends = lans.flat_map(|lan| lan.ends.iter().filter(move |(site, _)| **site != but));
        ends.filter_map(|(_, end)| end.as_ref()?.gateway).all(|gateway| gateway.endpoint.is_some())
    }

    /// The sites that are on a network of this site's, for a machine on it or on one that is routed
    /// with it. On one that is over there is nobody but the home.
    fn sites_on(&self, network: NetworkId) -> BTreeSet<SiteId> {
        let me = self.me();
        let is_over = self.networks.get(&network).is_none();
        let routed = if is_over { Vec::new() } else { self.routed_with(network) };
        let members = routed.into_iter().flat_map(|network| self.members_on(me, network));
        members.filter_map(|(_, member)| member.site).chain([me]).collect()
    }

    /// Tells everybody on a network what is new to them.
    fn tell(&mut self, network: NetworkId, changed: &Changed, turn: &Turn) {
        let me = self.me();
        let now = self.sites_on(network);
        let Some(lan) = self.lans.get(&(me, network)) else { return };
        let before: BTreeSet<SiteId> = lan.ends.keys().copied().collect();
        for gone in before.difference(&now) {
            self.end_over(network, *gone, turn);
        }
        for stays in now.intersection(&before).filter(|site| **site != me) {
            for (offset, member) in changed {
                let word = Word::Member { offset: *offset, member: member.clone() };
                self.owe(*stays, Message::Network { network, word }, turn);
            }
        }
        for new in now.difference(&before) {
            self.welcome(network, *new, turn);
        }
    }

    /// Tells a site that is new on a network all that there is to know of it. How it is reached the
    /// others learn when it has said so.
    fn welcome(&mut self, network: NetworkId, site: SiteId, turn: &Turn) {
        let me = self.me();
        let Some(lan) = self.lans.get_mut(&(me, network)) else { return };
        let mut words = vec![Word::Terms(lan.terms.clone())];
        let known = lan.ends.iter().filter(|(_, end)| end.is_some());
        let ends: Vec<Word> =
            known.map(|(other, end)| Word::End { site: *other, end: *end }).collect();
        lan.ends.insert(site, None);
        words.extend(lan.groups.iter().map(|(name, rules)| {
            let (name, rules) = (name.clone(), Some(rules.clone()));
            Word::Group { name, rules }
        }));
        words.extend(self.members_on(me, network).map(|(offset, member)| {
            let member = Some(member.clone());
            Word::Member { offset, member }
        }));
        words.extend(ends);
        for word in words {
            self.owe(site, Message::Network { network, word }, turn);
        }
    }

    /// A site has nothing on a network any more: it and the others are told.
    fn end_over(&mut self, network: NetworkId, site: SiteId, turn: &Turn) {
        self.owe(site, Message::Network { network, word: Word::Over }, turn);
        let key = (self.me(), network);
        if let Some(lan) = self.lans.get_mut(&key) {
            lan.ends.remove(&site);
        }
        self.tell_others(network, site, &Word::End { site, end: None }, turn);
    }

    /// Notes how a site is reached on a network of this site's, and tells the others if that is new.
    fn end_is(&mut self, network: NetworkId, site: SiteId, end: End, turn: &Turn) {
        let key = (self.me(), network);
        let known = self.lans.get_mut(&key).and_then(|lan| lan.ends.get_mut(&site));
        // Who is not on it has nothing to say about it.
        let Some(known) = known.filter(|known| **known != Some(end)) else { return };
        *known = Some(end);
        self.tell_others(network, site, &Word::End { site, end: Some(end) }, turn);
    }

    /// Tells all sites on a network but this one and the one that it is about.
    pub(super) fn tell_others(
        &mut self,
        network: NetworkId,
        about: SiteId,
        word: &Word,
        turn: &Turn,
    ) {
        let me = self.me();
        let Some(lan) = self.lans.get(&(me, network)) else { return };
        let others = lan.ends.keys().filter(|site| **site != me && **site != about);
        for other in others.copied().collect::<Vec<_>>() {
            self.owe(other, Message::Network { network, word: word.clone() }, turn);
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
            Word::Group { name, rules } => self.group_said(from, network, name, rules.as_ref()),
            Word::End { site, end } => self.end_said(from, network, (*site, *end)),
            Word::Joined(end) => self.end_is(network, from, *end, turn),
            Word::Over => self.forget_lan(from, network),
        }
    }

    /// The keys of all networks of a home.
    fn all_of(home: SiteId) -> RangeInclusive<(SiteId, NetworkId)> {
        let [first, last] = [uuid::Uuid::nil(), uuid::Uuid::max()].map(NetworkId::from_uuid);
        (home, first)..=(home, last)
    }

    fn terms_said(&mut self, from: SiteId, network: NetworkId, terms: &Terms, turn: &Turn) {
        let known = self.lans.get(&(from, network)).map(|lan| lan.own.vni);
        if known.is_none() && self.lans.range(Self::all_of(from)).count() >= LANS_MAX {
            return;
        }
        // Whoever says its terms begins anew: what was known before is not.
        self.forget_lan(from, network);
        let Some(vni) = known.or_else(|| self.free_vni()) else { return };
        let own = End { vni, gateway: self.gateway() };
        let (terms, ends, groups) = (terms.clone(), BTreeMap::new(), SecurityGroups::new());
        self.lans.insert((from, network), Lan { terms, own, ends, groups });
        self.owe(from, Message::Network { network, word: Word::Joined(own) }, turn);
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

    /// Forgets a network and who is on it.
    pub(super) fn forget_lan(&mut self, home: SiteId, network: NetworkId) {
        self.lans.remove(&(home, network));
        self.measured.remove(&(home, network));
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
