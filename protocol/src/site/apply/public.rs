//! Public addresses: who has which, and the machines that are reached by them.
//!
//! An address that a tenant has asked for by hand is the tenant's until it is given back, also while
//! it reaches nothing. One that a manifest asked for comes and goes with its machine, unless its
//! tenant has taken it from it by hand.

use std::net::Ipv4Addr;

use super::super::command::{Outcome, Refusal};
use super::super::state::{Holder, Public};
use super::super::{POOLS_MAX, PUBLICS_MAX, Site};
use crate::ids::{MachineId, TenantId};
use crate::manifest::{Component, NetworkName};
use crate::networks::public::Pool;

impl Site {
    pub(super) fn add_pool(&mut self, pool: Pool) -> Result<Outcome, Refusal> {
        if self.pools.get(&pool).is_some() {
            return Ok(Outcome::Done);
        }
        if self.pools.len() >= POOLS_MAX {
            return Err(Refusal::Full { what: "address pools".to_owned(), limit: POOLS_MAX });
        }
        if let Some((other, ())) = self.pools.iter().find(|(other, ())| other.overlaps(pool)) {
            return Err(Refusal::PoolOverlaps { pool, other: *other });
        }
        self.pools.insert(pool, ());
        Ok(Outcome::Done)
    }

    pub(super) fn remove_pool(&mut self, pool: Pool) -> Result<Outcome, Refusal> {
        if self.pools.get(&pool).is_none() {
            return Err(Refusal::UnknownPool { pool });
        }
        let addresses = self.publics.iter().filter(|(address, _)| pool.contains(**address)).count();
        if addresses > 0 {
            return Err(Refusal::PoolInUse { pool, addresses });
        }
        self.pools.remove(&pool);
        Ok(Outcome::Done)
    }

    /// Whether so many more addresses can be given out.
    pub(super) fn room_for_public(&self, wanted: usize) -> Result<(), Refusal> {
        if self.free_publics().take(wanted).count() < wanted {
            return Err(Refusal::NoAddress { wanted });
        }
        if self.publics.len() + wanted > PUBLICS_MAX {
            let what = "public addresses of tenants".to_owned();
            return Err(Refusal::Full { what, limit: PUBLICS_MAX });
        }
        Ok(())
    }

    fn free_publics(&self) -> impl Iterator<Item = Ipv4Addr> {
        let all = self.pools.iter().flat_map(|(pool, ())| pool.addresses());
        all.filter(|address| self.publics.get(address).is_none())
    }

    pub(super) fn allocate_address(&mut self, tenant: TenantId) -> Result<Outcome, Refusal> {
        self.room_for_public(1)?;
        let free = self.free_publics().next();
        let address = free.ok_or(Refusal::NoAddress { wanted: 1 })?;
        self.publics.insert(address, Public { tenant, holder: None, goes_with_machine: false });
        Ok(Outcome::Address(address))
    }

    pub(super) fn associate_address(
        &mut self,
        tenant: TenantId,
        address: Ipv4Addr,
        machine: MachineId,
        network: Option<&NetworkName>,
    ) -> Result<Outcome, Refusal> {
        let row = self.own_public(tenant, address)?;
        let card = self.card_outside(tenant, machine, network)?;
        let holder = Holder { machine, card };
        match row.holder {
            Some(known) if known == holder => return Ok(Outcome::Done),
            Some(Holder { machine, .. }) => {
                return Err(Refusal::AddressHeld { address, machine });
            }
            None => {}
        }
        if let Some((address, _)) = self.publics.iter().find(|(_, it)| it.holder == Some(holder)) {
            return Err(Refusal::CardTaken { machine, address: *address });
        }
        self.publics.insert(address, Public { holder: Some(holder), ..row });
        Ok(Outcome::Done)
    }

    pub(super) fn disassociate_address(
        &mut self,
        tenant: TenantId,
        address: Ipv4Addr,
    ) -> Result<Outcome, Refusal> {
        let row = self.own_public(tenant, address)?;
        if row.holder.is_some() {
            self.publics.insert(address, Public { holder: None, goes_with_machine: false, ..row });
        }
        Ok(Outcome::Done)
    }

    pub(super) fn release_public(
        &mut self,
        tenant: TenantId,
        address: Ipv4Addr,
    ) -> Result<Outcome, Refusal> {
        if let Some(Holder { machine, .. }) = self.own_public(tenant, address)?.holder {
            return Err(Refusal::AddressHeld { address, machine });
        }
        self.publics.remove(&address);
        Ok(Outcome::Done)
    }

    fn own_public(&self, tenant: TenantId, address: Ipv4Addr) -> Result<Public, Refusal> {
        let owned = self.publics.get(&address).filter(|row| row.tenant == tenant);
        owned.copied().ok_or(Refusal::UnknownAddress { address })
    }

    /// The first card of a machine that is on a network which reaches the public one; on the network
    /// of that name, if one is given.
    fn card_outside(
        &self,
        tenant: TenantId,
        machine: MachineId,
        name: Option<&NetworkName>,
    ) -> Result<u8, Refusal> {
        let owned = self.machines.get(&machine).filter(|row| row.tenant == tenant);
        let row = owned.ok_or(Refusal::UnknownMachine { machine })?;
        let fits = |network| {
            let network = self.networks.get(network);
            network.is_some_and(|it| it.outbound && name.is_none_or(|name| *name == it.name))
        };
        let mut cards = (0..).zip(&row.addresses).filter(|(_, at)| fits(&at.network));
        cards.next().map(|(card, _)| card).ok_or(Refusal::NoWayOut { machine })
    }

    /// Gives a new machine the public addresses that its manifest asks for. There is room: it was
    /// looked for before.
    pub(super) fn publish(&mut self, tenant: TenantId, machine: MachineId, asked: &Component) {
        let cards = (0..).zip(asked.networks.values());
        for (card, _) in cards.filter(|(_, attachment)| attachment.public) {
            let Some(address) = self.free_publics().next() else { return };
            let holder = Some(Holder { machine, card });
            self.publics.insert(address, Public { tenant, holder, goes_with_machine: true });
        }
    }

    /// Takes the public addresses from a machine that has ended.
    pub(super) fn unpublish(&mut self, machine: MachineId) {
        let is_its = |row: &Public| row.holder.is_some_and(|holder| holder.machine == machine);
        let held: Vec<(Ipv4Addr, Public)> = self
            .publics
            .iter()
            .filter(|(_, row)| is_its(row))
            .map(|(address, row)| (*address, *row))
            .collect();
        for (address, row) in held {
            if row.goes_with_machine {
                self.publics.remove(&address);
            } else {
                self.publics.insert(address, Public { holder: None, ..row });
            }
        }
    }
}
