//! What must hold of every site at every moment, judged without the code that makes it so.
//!
//! Simulation and tests call this after every step. What concerns several sites at once (a
//! machine that runs twice) is judged where all of them can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Site;
use super::state::{Attached, Holder, Lodging, Node, Place, Stage};
use crate::hull::Card;
use crate::ids::{HoldId, HostId, MachineId, MachineName, NetworkId, SiteId};
use crate::machine::Goal;
use crate::membership::Standing;
use crate::networks::Offset;
use crate::networks::lan::Vni;

/// Something that must never be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Violation {
    /// More is promised on a host than it has (DESIGN, invariant 4).
    Oversold(HostId),
    /// Two guests or holds share a slot, and so a uid and an address.
    SharedSlot(HostId, u32),
    /// What is counted as promised on a host is not what is promised there.
    Miscounted(HostId),
    /// A guest on a host and, on the same one, remains of it.
    LeftWhereItRuns(MachineName),
    /// A guest or hold on a host that does not exist.
    NoSuchHost(HostId),
    /// A machine is said to be here and there is no guest, or the other way round.
    LostGuest(MachineName),
    /// A foreign guest without a standing agreement.
    NoAgreement(MachineName),
    /// A machine at a peer without an agreement.
    NoAgreementFor(MachineId),
    /// An agreement whose terms are not those of its guest's hull.
    OtherTerms(HoldId),
    /// An agreement of this site as provider whose end nobody will notice.
    Unwatched(HoldId),
    /// A machine that waits for a call that does not exist.
    LostCall(MachineId),
    /// An address that somebody holds whose row does not say so, or who has ended.
    StrayAddress(NetworkId, Offset),
    /// A machine without an address of its own, within the prefix, on each of its cards' networks.
    WithoutAddress(MachineId),
    /// Two networks that are received by one number.
    SharedVni(Vni),
    /// A member of a network that does not reach here.
    StrayMember(SiteId, NetworkId),
    /// What was measured of a network that does not reach here.
    StrayMeasure(SiteId, NetworkId),
    /// A network of this site's of which another site hears that has no machine on it, nor on one
    /// that is routed with it; or of which one does not hear that has.
    WrongSites(NetworkId),
    /// A public address of no pool, or of a card that is not there.
    StrayPublic(Ipv4Addr),
    /// A network that nothing needs any more.
    DesertedNetwork(NetworkId),
    /// No node is meant to have a vote, so nothing could ever be decided again.
    NoVoter,
    /// A host of a node that the site does not have.
    NoSuchNode(HostId),
}

impl Site {
    /// Everything that is wrong with this site.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.profile.is_empty() {
            return found;
        }
        self.judge_nodes(&mut found);
        self.judge_hosts(&mut found);
        self.judge_guests(&mut found);
        self.judge_machines(&mut found);
        self.judge_agreements(&mut found);
        self.judge_networks(&mut found);
        self.judge_sites(&mut found);
        self.judge_publics(&mut found);
        found
    }

    fn judge_networks(&self, found: &mut Vec<Violation>) {
        for (machine, row) in self.machines.iter().filter(|(_, row)| row.ended.is_none()) {
            let cards = row.hull.cards.iter().zip(0_u8..).zip(&row.addresses);
            let fits = |((card, number), at): ((&Card, u8), &Attached)| {
                let held = self.addresses.get(&(at.network, at.offset));
                let network = self.networks.get(&at.network);
                card.network == at.network
                    && held == Some(&Holder { machine: *machine, card: number })
                    && network.is_some_and(|it| it.prefix.address(at.offset).is_some())
            };
            if row.addresses.len() != row.hull.cards.len() || !cards.into_iter().all(fits) {
                found.push(Violation::WithoutAddress(*machine));
            }
        }
        let mut numbers = BTreeSet::new();
        for (_, lan) in self.lans.iter().filter(|(_, lan)| !numbers.insert(lan.own.vni)) {
            found.push(Violation::SharedVni(lan.own.vni));
        }
        let lost = |home, network| self.lans.get(&(home, network)).is_none();
        for ((home, network, _), _) in self.members.iter().filter(|((h, n, _), _)| lost(*h, *n)) {
            found.push(Violation::StrayMember(*home, *network));
        }
        for ((home, network), _) in self.measured.iter().filter(|((h, n), _)| lost(*h, *n)) {
            found.push(Violation::StrayMeasure(*home, *network));
        }
        let mut needed = BTreeSet::new();
        for ((network, offset), holder) in self.addresses.iter() {
            needed.insert(*network);
            let row = self.machines.get(&holder.machine).filter(|row| row.ended.is_none());
            let at = row.and_then(|row| row.addresses.get(usize::from(holder.card)));
            if at != Some(&Attached { network: *network, offset: *offset }) {
                found.push(Violation::StrayAddress(*network, *offset));
            }
        }
        for (id, network) in self.networks.iter().filter(|(id, _)| !needed.contains(id)) {
            let service = network.service.and_then(|service| self.services.get(&service));
            if service.is_none_or(|it| matches!(it.stage, Stage::Ended | Stage::Refused)) {
                found.push(Violation::DesertedNetwork(*id));
            }
        }
    }

    fn judge_sites(&self, found: &mut Vec<Violation>) {
        let me = self.me();
        // Networks of one group count as one: that of the first.
        let mut firsts = BTreeMap::new();
        let mut first: BTreeMap<NetworkId, NetworkId> = BTreeMap::new();
        for (id, network) in self.networks.iter() {
            let group = network.group.as_ref().map(|group| (network.service, group));
            first.insert(*id, group.map_or(*id, |group| *firsts.entry(group).or_insert(*id)));
        }
        let mut sites: BTreeMap<NetworkId, BTreeSet<SiteId>> = BTreeMap::new();
        for (_, row) in self.machines.iter() {
            let site = match &row.place {
                Place::Here(_) => me,
                Place::There { site, .. } => *site,
                Place::Nowhere
                | Place::Sought { .. }
                | Place::Postponed
                | Place::Held(_)
                | Place::Accepted(_) => continue,
            };
            let on = row.addresses.iter().filter_map(|at| first.get(&at.network));
            for group in on {
                sites.entry(*group).or_default().insert(site);
            }
        }
        for (id, group) in &first {
            let there = sites.get(group).into_iter().flatten().copied().chain([me]);
            let told = self.lans.get(&(me, *id)).map(|lan| lan.ends.keys().copied().collect());
            if told != Some(there.collect::<BTreeSet<_>>()) {
                found.push(Violation::WrongSites(*id));
            }
        }
    }

    fn judge_publics(&self, found: &mut Vec<Violation>) {
        let mut cards = BTreeSet::new();
        for (address, row) in self.publics.iter() {
            let pooled = self.pools.iter().any(|(pool, ())| pool.contains(*address));
            let fits = row.holder.is_none_or(|Holder { machine, card }| {
                let there = self.machines.get(&machine).filter(|it| it.tenant == row.tenant);
                let at = there.and_then(|it| it.addresses.get(usize::from(card)));
                at.is_some() && cards.insert((machine, card))
            });
            if !pooled || !fits {
                found.push(Violation::StrayPublic(*address));
            }
        }
    }

    fn judge_nodes(&self, found: &mut Vec<Violation>) {
        let votes = |(_, row): (_, &Node)| row.standing == Standing::Voter;
        if !self.nodes.is_empty() && !self.nodes.iter().any(votes) {
            found.push(Violation::NoVoter);
        }
        let stray = self.hosts.iter().filter(|(_, host)| self.nodes.get(&host.node).is_none());
        found.extend(stray.map(|(id, _)| Violation::NoSuchNode(*id)));
    }

    fn judge_hosts(&self, found: &mut Vec<Violation>) {
        let guests = self.guests.iter().map(|(_, guest)| (guest.lodging, &guest.hull));
        let holds = self.holds.iter().map(|(_, hold)| (hold.lodging, &hold.hull));
        let mut loads: BTreeMap<HostId, (u64, u64, u64)> = BTreeMap::new();
        let mut slots = BTreeSet::new();
        for (lodging, hull) in guests.chain(holds) {
            if !slots.insert(lodging) {
                found.push(Violation::SharedSlot(lodging.host, lodging.slot));
            }
            let load = loads.entry(lodging.host).or_default();
            load.0 += u64::from(hull.vcpus_max);
            load.1 += hull.memory_max.0;
            load.2 += hull.disks.iter().map(|disk| disk.size.0).sum::<u64>();
        }
        for ((host, _), remains) in self.remains.iter() {
            if !slots.insert(Lodging { host: *host, slot: remains.slot }) {
                found.push(Violation::SharedSlot(*host, remains.slot));
            }
            if remains.kept.is_some() {
                let disks: u64 = remains.hull.disks.iter().map(|disk| disk.size.0).sum();
                loads.entry(*host).or_default().2 += disks;
            }
        }
        for (id, load) in loads {
            match self.hosts.get(&id) {
                None => found.push(Violation::NoSuchHost(id)),
                Some(host) => {
                    let promised = self.promised_on(id);
                    if load != (u64::from(promised.vcpus), promised.memory.0, promised.disk.0) {
                        found.push(Violation::Miscounted(id));
                    }
                    let capacity = host.capacity;
                    if load.0 > u64::from(capacity.vcpus)
                        || load.1 > capacity.memory.0
                        || load.2 > capacity.disk.0
                    {
                        found.push(Violation::Oversold(id));
                    }
                }
            }
        }
    }

    fn judge_guests(&self, found: &mut Vec<Violation>) {
        let me = self.me();
        for (name, guest) in self.guests.iter() {
            if self.remains.get(&(guest.lodging.host, *name)).is_some() {
                found.push(Violation::LeftWhereItRuns(*name));
            }
            if name.home == me {
                let here = self.machines.get(&name.machine).is_some_and(
                    |row| matches!(row.place, Place::Here(host) if host == guest.lodging.host),
                );
                if !here {
                    found.push(Violation::LostGuest(*name));
                }
                continue;
            }
            match guest.agreement.and_then(|id| self.agreements.get(&id).map(|row| (id, row))) {
                Some((_, row)) if row.ended.is_some() => {
                    found.push(Violation::NoAgreement(*name));
                }
                Some((id, row)) if row.terms.hull != guest.hull.id() => {
                    found.push(Violation::OtherTerms(id));
                }
                Some(_) => {}
                None => found.push(Violation::NoAgreement(*name)),
            }
        }
    }

    fn judge_machines(&self, found: &mut Vec<Violation>) {
        for (id, row) in self.machines.iter() {
            match &row.place {
                Place::Here(_) if self.guests.get(&self.name_of(*id)).is_none() => {
                    found.push(Violation::LostGuest(self.name_of(*id)));
                }
                Place::There { agreement, .. } => {
                    let stands =
                        self.agreements.get(agreement).is_some_and(|it| it.ended.is_none());
                    if !stands {
                        found.push(Violation::NoAgreementFor(*id));
                    }
                }
                Place::Sought { call: Some(call), .. } if self.calls.get(call).is_none() => {
                    found.push(Violation::LostCall(*id));
                }
                Place::Here(_)
                | Place::Sought { .. }
                | Place::Nowhere
                | Place::Postponed
                | Place::Held(_)
                | Place::Accepted(_) => {}
            }
        }
    }

    fn judge_agreements(&self, found: &mut Vec<Violation>) {
        let me = self.me();
        let mut noted = BTreeMap::new();
        for ((at, id), ()) in self.dues.iter() {
            noted.entry(*id).or_insert(*at);
        }
        let live = self.agreements.iter().filter(|(_, row)| row.ended.is_none());
        for (id, row) in live.filter(|(_, row)| row.terms.provider == me) {
            let name = super::state::guest_name(row.terms.home, row.terms.machine);
            let over = row.end() <= self.now();
            let ending = self.guests.get(&name).is_some_and(|guest| match guest.wanted() {
                Goal::Destroyed => true,
                Goal::Defined => over,
                Goal::Active | Goal::Paused | Goal::Suspended => false,
            });
            if !ending && noted.get(id).is_none_or(|at| *at > row.end()) {
                found.push(Violation::Unwatched(*id));
            }
        }
    }

    fn name_of(&self, machine: MachineId) -> MachineName {
        super::state::guest_name(self.me(), machine)
    }
}
