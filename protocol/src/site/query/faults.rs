//! What is broken of the networks that reach this site, by its rows and by what its nodes see.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Site;
use super::super::state::Lan;
use crate::agreement::Message;
use crate::ids::{MachineName, NetworkId, NodeId, SiteId};
use crate::networks::check::{Answers, Fault, Lack, Party, Sight};
use crate::networks::gateway::Gateway;
use crate::networks::{self};

/// A network, by its home.
type Key = (SiteId, NetworkId);

/// What each node sees; nothing, if it does not say.
type Sights = BTreeMap<NodeId, Option<Sight>>;

impl Site {
    /// What is broken of one network, or of all that reach here; in the order in which it is best
    /// put right, since one fault has others follow from it.
    #[must_use]
    pub fn faults(&self, only: Option<Key>, sights: &Sights) -> Vec<Fault> {
        let lans = || self.lans().filter(move |(key, _)| only.is_none_or(|only| only == **key));
        let mut faults = BTreeSet::new();
        let is_alone = self.nodes().count() < 2;
        // What one host has of networks that nobody else is on needs no way to anybody.
        if lans().any(|(key, _)| !is_alone || !self.others_on(*key).is_empty()) {
            self.faults_of_uplinks(&mut faults);
        }
        if lans().next().is_some() {
            self.faults_of_nodes(sights, &mut faults);
        }
        for (key, lan) in lans() {
            self.faults_of_ends(*key, lan, &mut faults);
            self.faults_on_hosts(*key, lan, sights, &mut faults);
        }
        self.faults_between_sites(lans().map(|(key, lan)| (*key, lan)), sights, &mut faults);
        faults.into_iter().collect()
    }

    fn faults_of_uplinks(&self, faults: &mut BTreeSet<Fault>) {
        let without = self.nodes().filter(|(_, row)| row.uplink.is_none());
        faults.extend(without.map(|(node, _)| Fault::NoUplink { node }));
        if self.gateway().is_none() {
            faults.insert(Fault::NoGateway);
        }
    }

    fn faults_of_nodes(&self, sights: &Sights, faults: &mut BTreeSet<Fault>) {
        for (node, _) in self.nodes() {
            let Some(sight) = sights.get(&node).and_then(Option::as_ref) else {
                faults.insert(Fault::Silent { node });
                continue;
            };
            let said = sight.trouble.iter().cloned();
            faults.extend(said.map(|said| Fault::Trouble { node, said }));
            let ways = sight.fellows.iter();
            faults.extend(
                ways.filter_map(|(other, answers)| {
                    flawed(node, Party::Node(*other), answers, false)
                }),
            );
        }
    }

    /// The sites besides this one that have to do with a network: its home, and who has a machine
    /// on it.
    fn others_on(&self, key: Key) -> BTreeSet<SiteId> {
        let members = self.members_on(key.0, key.1).filter_map(|(_, member)| member.site);
        members.chain([key.0]).filter(|site| *site != self.me()).collect()
    }

    fn faults_of_ends(&self, network: Key, lan: &Lan, faults: &mut BTreeSet<Fault>) {
        for site in self.others_on(network) {
            match lan.ends.get(&site).copied().flatten() {
                None => faults.insert(Fault::NoEnd { network, site }),
                Some(end) if end.gateway.is_none() => {
                    faults.insert(Fault::EndWithoutGateway { network, site })
                }
                Some(_) => false,
            };
            let untold = |message: &Message| matches!(message, Message::Network { .. });
            let mut owed = self.outbox.range((site, 0)..=(site, u64::MAX));
            if owed.any(|(_, owed)| untold(&owed.message)) {
                faults.insert(Fault::Untold { site });
            }
        }
    }

    fn faults_between_sites<'a>(
        &'a self,
        lans: impl Iterator<Item = (Key, &'a Lan)>,
        sights: &Sights,
        faults: &mut BTreeSet<Fault>,
    ) {
        let mut others: BTreeSet<(SiteId, Gateway)> = BTreeSet::new();
        for (key, lan) in lans {
            let gateways = self
                .others_on(key)
                .into_iter()
                .filter_map(|site| Some((site, lan.ends.get(&site).copied().flatten()?.gateway?)));
            others.extend(gateways);
        }
        let own = self.nodes().find(|(_, row)| row.is_gateway);
        let Some((node, uplink)) = own.and_then(|(node, row)| Some((node, row.uplink?))) else {
            return;
        };
        let sight = sights.get(&node).and_then(Option::as_ref);
        for (site, gateway) in others {
            if gateway.endpoint.is_none() && uplink.gateway.endpoint.is_none() {
                faults.insert(Fault::Uncallable { site });
                continue;
            }
            let Some(sight) = sight else { continue };
            match sight.tunnels.iter().find(|(key, _)| *key == gateway.key) {
                None => drop(faults.insert(Fault::Unmade { node, site })),
                Some((_, tunnel)) => {
                    let heard = tunnel.handshake.is_some();
                    faults.extend(flawed(node, Party::Site(site), &tunnel.answers, heard));
                }
            }
        }
    }

    fn faults_on_hosts(
        &self,
        network: Key,
        lan: &Lan,
        sights: &Sights,
        faults: &mut BTreeSet<Fault>,
    ) {
        let hosting = self.hosting(network);
        let own = self.nodes().find(|(_, row)| row.is_gateway).map(|(node, _)| node);
        let members = || self.members_on(network.0, network.1).map(|(_, member)| member);
        let is_away = |site: SiteId| site != self.me();
        let others = members().any(|member| member.site.is_some_and(is_away));
        let leaves = others || (lan.terms.outbound && is_away(network.0));
        let ends_here = lan.terms.outbound && !is_away(network.0) && members().next().is_some();
        let passes = own.filter(|_| ends_here || (leaves && !hosting.is_empty()));
        for node in hosting.iter().copied().chain(passes).collect::<BTreeSet<_>>() {
            let Some(sight) = sights.get(&node).and_then(Option::as_ref) else { continue };
            let seen = sight.lans.iter().find(|it| (it.home, it.network) == network);
            let Some(seen) = seen.filter(|seen| seen.devices > 0) else {
                faults.insert(Fault::Host { network, node, lack: Lack::Absent });
                continue;
            };
            let down = seen.down.iter().cloned().map(|device| Lack::Down { device });
            let room = seen.room.filter(|room| *room < networks::MTU.into());
            let room = room.map(|room| Lack::Room { room });
            let lacks = down.chain(room);
            faults.extend(lacks.map(|lack| Fault::Host { network, node, lack }));
            if ends_here && own == Some(node) && seen.exit != Some(true) {
                faults.insert(Fault::Host { network, node, lack: Lack::Exit });
            }
        }
    }

    /// The nodes on whose hosts a machine of a network is.
    fn hosting(&self, (home, network): Key) -> BTreeSet<NodeId> {
        let guests = self.members_on(home, network).filter_map(|(_, member)| {
            let is_here = member.site == Some(self.me());
            let name = MachineName { home, machine: member.machine };
            let guest = self.guests.get(&name).filter(|_| is_here)?;
            Some(self.hosts.get(&guest.lodging.host)?.node)
        });
        guests.collect()
    }
}

fn flawed(node: NodeId, to: Party, answers: &Answers, heard: bool) -> Option<Fault> {
    answers.flaw(heard).map(|flaw| Fault::Way { node, to, flaw })
}
