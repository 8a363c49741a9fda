//! Security groups of a service that runs: what its tenant changes of them, and how every site on
//! its networks comes to know.
//!
//! What is asked is what the manifest says from then on. A group's rules are said whole, so that to
//! say them twice is to say them once. No machine is touched: each host takes the rules as they have
//! become, and what was begun before goes on as far as it is still allowed.

use std::collections::BTreeSet;

use super::super::command::{Outcome, Refusal};
use super::super::state::{Machine, Network, Stage};
use super::super::{Site, Turn};
use crate::ids::{MachineId, NetworkId, ServiceId, SiteId, TenantId};
use crate::manifest::{
    ComponentName, Manifest, Problem, SecurityGroupName, SecurityGroups, default_security,
};
use crate::networks::lan::Word;
use crate::security::{GROUPS_MAX, Rules, default_memberships};

impl Site {
    /// Gives a security group other rules, or takes it away.
    pub(super) fn secure(
        &mut self,
        tenant: TenantId,
        id: ServiceId,
        group: &SecurityGroupName,
        rules: Option<&Rules>,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        let secured = |manifest: &Manifest| manifest.secured(group, rules.cloned());
        let manifest = self.remade(tenant, id, secured)?;
        // The manifest may keep a group without being told its rules: that which is always there.
        let rules = manifest.security().get(group).cloned();
        if let Some(service) = self.services.get_mut(&id) {
            service.manifest = manifest;
        }
        for network in self.networks_of(id).into_values() {
            self.group_is(network, group, rules.as_ref(), turn);
        }
        Ok(Outcome::Done)
    }

    /// Puts the machines of a component into other security groups.
    pub(super) fn regroup(
        &mut self,
        tenant: TenantId,
        id: ServiceId,
        component: &ComponentName,
        groups: &BTreeSet<SecurityGroupName>,
    ) -> Result<Outcome, Refusal> {
        let manifest =
            self.remade(tenant, id, |manifest| manifest.regrouped(component, groups.clone()))?;
        if let Some(service) = self.services.get_mut(&id) {
            service.manifest = manifest;
        }
        let is_of_it = |row: &Machine| {
            let component_of = row.membership.as_ref().map(|it| &it.component);
            component_of == Some(component) && row.ended.is_none()
        };
        let members = self.members(id).into_iter();
        let members: Vec<MachineId> =
            members.filter(|machine| self.machines.get(machine).is_some_and(is_of_it)).collect();
        for machine in members {
            // Its row stays as it is; that it is touched has its networks told of it.
            let _touched = self.machines.get_mut(&machine);
        }
        Ok(Outcome::Done)
    }

    /// What a service's manifest becomes, if its tenant may change it and it can be so.
    fn remade(
        &self,
        tenant: TenantId,
        id: ServiceId,
        change: impl FnOnce(&Manifest) -> Result<Manifest, Problem>,
    ) -> Result<Manifest, Refusal> {
        let owned = self.services.get(&id).filter(|service| service.tenant == tenant);
        let Some(service) = owned else { return Err(Refusal::UnknownService { service: id }) };
        match service.stage {
            Stage::Reserving | Stage::Committing | Stage::Starting | Stage::Running => {}
            Stage::Refused | Stage::Ending | Stage::Ended => {
                return Err(Refusal::ServiceOver { service: id });
            }
        }
        change(&service.manifest).map_err(|problem| {
            let reason = format!("{problem}; {}", problem.hint());
            Refusal::NotSecured { service: id, reason }
        })
    }

    /// The security groups that a network of this site's has by its service.
    pub(super) fn groups_on(&self, network: &Network) -> SecurityGroups {
        let service = network.service.and_then(|service| self.services.get(&service));
        service.map_or_else(default_security, |service| service.manifest.security().clone())
    }

    /// The security groups that a machine is in.
    pub(super) fn memberships_of(&self, row: &Machine) -> BTreeSet<SecurityGroupName> {
        let component = row.membership.as_ref().and_then(|membership| {
            let service = self.services.get(&membership.service)?;
            service.manifest.components().get(&membership.component)
        });
        component.map_or_else(default_memberships, |component| component.security.clone())
    }

    /// Notes the rules of a group on a network of this site's, and tells the others.
    fn group_is(
        &mut self,
        network: NetworkId,
        name: &SecurityGroupName,
        rules: Option<&Rules>,
        turn: &Turn,
    ) {
        let me = self.me();
        let Some(lan) = self.lans.get_mut(&(me, network)) else { return };
        if lan.groups.get(name) == rules {
            return;
        }
        take_up(&mut lan.groups, name, rules);
        let word = Word::Group { name: name.clone(), rules: rules.cloned() };
        self.tell_others(network, me, &word, turn);
    }

    /// A home says the rules of a group on one of its networks.
    pub(super) fn group_said(
        &mut self,
        from: SiteId,
        network: NetworkId,
        name: &SecurityGroupName,
        rules: Option<&Rules>,
    ) {
        if from == self.me() {
            return;
        }
        let Some(lan) = self.lans.get_mut(&(from, network)) else { return };
        let has_room = lan.groups.len() < GROUPS_MAX || lan.groups.contains_key(name);
        if rules.is_none() || has_room {
            take_up(&mut lan.groups, name, rules);
        }
    }
}

fn take_up(groups: &mut SecurityGroups, name: &SecurityGroupName, rules: Option<&Rules>) {
    match rules {
        Some(rules) => drop(groups.insert(name.clone(), rules.clone())),
        None => drop(groups.remove(name)),
    }
}
