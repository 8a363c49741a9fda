//! Networks of tenants: how they come about with a service, who gets which address, and how they
//! go.
//!
//! A network comes with the service that names it, or with a tenant's first single machine, and
//! goes when that is over and nothing is on it any more. A machine has its addresses from its
//! definition to its end, wherever it runs.
//!
//! **Invariant.** A machine that has not ended holds exactly the addresses that its row says, each
//! of them is in its network's prefix, and nobody else holds it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::super::command::Refusal;
use super::super::state::{Attached, Holder, Network, Stage};
use super::super::{NETWORKS_MAX, Site, Turn};
use crate::ids::{MachineId, NetworkId, ServiceId, SiteId, TenantId};
use crate::manifest::{self, Component, GroupName, LAN, Manifest, NetworkName};
use crate::networks::{MEMBERS_MAX, Offset, Prefix4, Prefix6};

/// What the networks of one service are called, and by what.
pub(super) type Named = BTreeMap<NetworkName, NetworkId>;

/// A card that is wanted: on which network, and with which address if that is fixed.
pub(super) type Wish = (NetworkId, Option<Ipv4Addr>);

impl Site {
    pub(super) fn room_for_networks(&self, more: usize) -> Result<(), Refusal> {
        if self.networks.len() + more > NETWORKS_MAX {
            return Err(Refusal::Full { what: "networks".to_owned(), limit: NETWORKS_MAX });
        }
        Ok(())
    }

    /// Makes the networks of a service.
    pub(super) fn found_networks(
        &mut self,
        (tenant, service): (TenantId, ServiceId),
        manifest: &Manifest,
        turn: &mut Turn,
    ) -> Named {
        let prefixes = manifest.prefixes();
        let mut named = Named::new();
        let mut groups: BTreeMap<GroupName, NetworkId> = BTreeMap::new();
        for (subnet, (name, asked)) in (1..).zip(manifest.networks()) {
            let Some(prefix) = prefixes.get(name).copied() else { continue };
            let local = || unique_local(self.me(), service.as_uuid().as_bytes(), subnet);
            let prefix6 = asked.prefix6.unwrap_or_else(local);
            let network = founded(tenant, Some(service), name, asked, (prefix, prefix6));
            let id = NetworkId::from_uuid(turn.mint.uuid());
            self.networks.insert(id, network);
            let group = asked.group.clone().map(|name| *groups.entry(name).or_insert(id));
            self.found_lan(id, group);
            named.insert(name.clone(), id);
        }
        named
    }

    /// The network of a tenant's single machines, made if there is none yet.
    pub(super) fn own_network(
        &mut self,
        tenant: TenantId,
        turn: &mut Turn,
    ) -> Result<NetworkId, Refusal> {
        let own = |row: &Network| row.tenant == tenant && row.service.is_none();
        if let Some((id, _)) = self.networks.iter().find(|(_, row)| own(row)) {
            return Ok(*id);
        }
        self.room_for_networks(1)?;
        let name = LAN.parse().expect("a label");
        let prefix6 = unique_local(self.me(), tenant.as_uuid().as_bytes(), 0);
        let asked = manifest::Network::default();
        let network = founded(tenant, None, &name, &asked, (Prefix4::spare(&[]), prefix6));
        let id = NetworkId::from_uuid(turn.mint.uuid());
        self.networks.insert(id, network);
        self.found_lan(id, None);
        Ok(id)
    }

    /// The networks of a service that exists, by their names.
    pub(super) fn networks_of(&self, service: ServiceId) -> Named {
        let of_it = self.networks.iter().filter(|(_, row)| row.service == Some(service));
        of_it.map(|(id, row)| (row.name.clone(), *id)).collect()
    }

    /// The cards of a component's machines.
    pub(super) fn wishes(component: &Component, named: &Named) -> Vec<Wish> {
        let wishes = component.networks.iter().filter_map(|(name, attachment)| {
            named.get(name).map(|network| (*network, attachment.address))
        });
        wishes.collect()
    }

    /// Whether so many more machines with these cards find an address each.
    pub(super) fn room_on_networks(&self, wishes: &[Wish], machines: usize) -> Result<(), Refusal> {
        for (id, fixed) in wishes {
            let Some(network) = self.networks.get(id) else { continue };
            if let Some(address) = fixed {
                let held =
                    network.prefix.offset(*address).and_then(|it| self.addresses.get(&(*id, it)));
                if held.is_some() {
                    let (address, network) = (*address, network.name.clone());
                    return Err(Refusal::AddressTaken { address, network });
                }
            }
            let limit = network.prefix.offsets().len().min(MEMBERS_MAX);
            if self.holders(*id).count() + machines > limit {
                let what = format!("machines on network '{}'", network.name);
                return Err(Refusal::Full { what, limit });
            }
        }
        Ok(())
    }

    /// Gives a machine an address on each network. There is room: it was looked for before.
    pub(super) fn allot(&mut self, machine: MachineId, wishes: &[Wish]) -> Vec<Attached> {
        let mut attached = Vec::new();
        for (card, (network, fixed)) in (0..).zip(wishes) {
            let Some(offset) = self.free_offset(*network, *fixed) else { continue };
            self.addresses.insert((*network, offset), Holder { machine, card });
            if fixed.is_none()
                && let Some(row) = self.networks.get_mut(network)
            {
                row.next = Offset(offset.0 + 1);
            }
            attached.push(Attached { network: *network, offset });
        }
        attached
    }

    fn free_offset(&self, id: NetworkId, fixed: Option<Ipv4Addr>) -> Option<Offset> {
        let network = self.networks.get(&id)?;
        let is_free = |offset: &Offset| self.addresses.get(&(id, *offset)).is_none();
        if let Some(address) = fixed {
            return network.prefix.offset(address).filter(is_free);
        }
        let reserved = self.fixed_on(network);
        let all = network.prefix.offsets();
        let next = network.next.0.clamp(all.start, all.end);
        let mut round = (next..all.end).chain(all.start..next).map(Offset);
        round.find(|offset| is_free(offset) && !reserved.contains(offset))
    }

    /// The addresses that the manifest of a network's service fixes: they are kept for whom they
    /// are fixed.
    fn fixed_on(&self, network: &Network) -> Vec<Offset> {
        let service = network.service.and_then(|service| self.services.get(&service));
        let components = service.into_iter().flat_map(|it| it.manifest.components().values());
        let attachments = components.filter_map(|it| it.networks.get(&network.name));
        let fixed = attachments.filter_map(|attachment| attachment.address);
        fixed.filter_map(|address| network.prefix.offset(address)).collect()
    }

    /// Who has an address on a network.
    pub(in crate::site) fn holders(
        &self,
        network: NetworkId,
    ) -> impl Iterator<Item = (Offset, &Holder)> {
        let all = (network, Offset(0))..=(network, Offset(u32::MAX));
        self.addresses.range(all).map(|((_, offset), holder)| (*offset, holder))
    }

    /// Takes the addresses of a machine that has ended, and its networks with them if nothing
    /// else needs them.
    pub(super) fn release_addresses(&mut self, machine: MachineId) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        for Attached { network, offset } in std::mem::take(&mut row.addresses) {
            self.addresses.remove(&(network, offset));
            self.dissolve(network);
        }
        self.unpublish(machine);
    }

    /// Forgets the networks of a service that is over, on which nothing is left.
    pub(super) fn dissolve_networks(&mut self, service: ServiceId) {
        for network in self.networks_of(service).into_values() {
            self.dissolve(network);
        }
    }

    fn dissolve(&mut self, network: NetworkId) {
        if self.is_deserted(network) {
            self.networks.remove(&network);
        }
    }

    fn is_deserted(&self, id: NetworkId) -> bool {
        let Some(network) = self.networks.get(&id) else { return false };
        let stage = network.service.and_then(|service| self.stage(service));
        let is_needed = !matches!(stage, None | Some(Stage::Ended | Stage::Refused));
        !is_needed && self.holders(id).next().is_none()
    }
}

/// A network as it is asked for, with the addresses that it gets.
fn founded(
    tenant: TenantId,
    service: Option<ServiceId>,
    name: &NetworkName,
    asked: &manifest::Network,
    (prefix, prefix6): (Prefix4, Prefix6),
) -> Network {
    Network {
        tenant,
        service,
        name: name.clone(),
        prefix,
        prefix6,
        speed: asked.speed,
        class: asked.class,
        outbound: asked.outbound,
        group: asked.group.clone(),
        next: Offset(prefix.offsets().start),
    }
}

/// A prefix of unique local addresses for the network of an owner with this number.
fn unique_local(home: SiteId, owner: &[u8; 16], subnet: u16) -> Prefix6 {
    let mut name = [0; 48];
    name[..32].copy_from_slice(home.as_bytes());
    name[32..].copy_from_slice(owner);
    let digest = blake3::derive_key("reservoir 2026 unique local addresses", &name);
    Prefix6::unique_local(&digest, subnet)
}
