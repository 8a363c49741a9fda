//! How many machines of a component a service has, as its tenant says while it runs.
//!
//! What is asked is what the manifest says from then on. Missing machines get the lowest numbers
//! that are free, and are placed and started by the rules of the submission: directives, spread,
//! start order. Each is for itself, however the service was submitted: one that finds no place
//! says why, and the others run. Of machines that are too many, those with the highest numbers
//! go.
//!
//! To ask for what is there already is how a tenant has places looked for once more.

use std::collections::BTreeMap;

use super::super::command::{Outcome, Refusal};
use super::super::state::{Machine, Membership, Place, Stage};
use super::super::{Site, Turn};
use super::tenant::Member;
use crate::ids::{MachineId, ServiceId, TenantId};
use crate::machine::{Goal, State};
use crate::manifest::{ComponentName, Manifest};

impl Site {
    /// Gives a component of a service so many machines.
    pub(super) fn scale(
        &mut self,
        tenant: TenantId,
        id: ServiceId,
        component: &ComponentName,
        replicas: u32,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        let manifest = self.scaled(tenant, id, component, replicas)?;
        let standing = self.replicas(id, component);
        let asked = usize::try_from(replicas).unwrap_or(usize::MAX);
        let numbers = (1..).filter(|number| !standing.contains_key(number));
        let numbers: Vec<u32> = numbers.take(asked.saturating_sub(standing.len())).collect();
        let added = self.add_replicas((tenant, id), component, &manifest, &numbers, turn)?;
        if let Some(service) = self.services.get(&id)
            && service.manifest != manifest
            && let Some(service) = self.services.get_mut(&id)
        {
            service.manifest = manifest;
        }
        let surplus = standing.len().saturating_sub(asked);
        let going: Vec<MachineId> = standing.into_values().rev().take(surplus).collect();
        for machine in going {
            self.withdraw(machine, turn);
        }
        let mut sought = self.seek_replicas(id, component, turn);
        sought.extend(added);
        if !sought.is_empty() {
            if self.stage(id) != Some(&Stage::Starting) {
                self.enter(id, Stage::Starting, turn);
            }
            self.place_here(&sought, turn);
        }
        self.advance(id, turn);
        Ok(Outcome::Done)
    }

    /// What the service's manifest becomes.
    fn scaled(
        &self,
        tenant: TenantId,
        id: ServiceId,
        component: &ComponentName,
        replicas: u32,
    ) -> Result<Manifest, Refusal> {
        let owned = self.services.get(&id).filter(|service| service.tenant == tenant);
        let Some(service) = owned else { return Err(Refusal::UnknownService { service: id }) };
        match service.stage {
            Stage::Starting | Stage::Running => {}
            Stage::Reserving | Stage::Committing => {
                return Err(Refusal::StillPlaced { service: id });
            }
            Stage::Refused | Stage::Ending | Stage::Ended => {
                return Err(Refusal::ServiceOver { service: id });
            }
        }
        service.manifest.scaled(component, replicas).map_err(|problem| Refusal::NotScaled {
            component: component.clone(),
            replicas,
            reason: problem.to_string(),
        })
    }

    /// The machines of a component that are wanted, by their numbers.
    fn replicas(&self, id: ServiceId, component: &ComponentName) -> BTreeMap<u32, MachineId> {
        let members = self.members(id).into_iter().filter_map(|machine| {
            let row = self.machines.get(&machine)?;
            let membership = row.membership.as_ref().filter(|it| it.component == *component)?;
            let wanted = row.goal != Goal::Destroyed && row.ended.is_none();
            wanted.then_some((membership.replica, machine))
        });
        members.collect()
    }

    fn add_replicas(
        &mut self,
        (tenant, id): (TenantId, ServiceId),
        component: &ComponentName,
        manifest: &Manifest,
        numbers: &[u32],
        turn: &mut Turn,
    ) -> Result<Vec<MachineId>, Refusal> {
        let Some(wanted) = manifest.components().get(component).filter(|_| !numbers.is_empty())
        else {
            return Ok(Vec::new());
        };
        self.room_for_machines(numbers.len())?;
        let image = self.image_for(component, wanted)?;
        let cards = &Self::wishes(wanted, &self.networks_of(id));
        self.room_on_networks(cards, numbers.len())?;
        let each = wanted.networks.values().filter(|attachment| attachment.public).count();
        self.room_for_public(each * numbers.len())?;
        let member = Member { service: manifest.service().as_str(), wanted, image, cards };
        let mut added = Vec::new();
        for replica in numbers.iter().copied() {
            let component = component.clone();
            let membership = Membership { service: id, component, replica, started: false };
            added.push(self.define_member(tenant, membership, member, turn));
        }
        if let Some(service) = self.services.get_mut(&id) {
            service.machines.extend(added.iter().copied());
        }
        Ok(added)
    }

    /// Has places sought again for those machines of a component that found none and should run.
    fn seek_replicas(
        &mut self,
        id: ServiceId,
        component: &ComponentName,
        turn: &Turn,
    ) -> Vec<MachineId> {
        let found_none = |row: &Machine| {
            let waits = row.membership.as_ref().is_some_and(|it| !it.started);
            row.place == Place::Nowhere
                && row.state() == State::Failed
                && (row.goal == Goal::Active || (row.goal == Goal::Defined && waits))
        };
        let mut sought: Vec<MachineId> = self.replicas(id, component).into_values().collect();
        sought.retain(|machine| self.machines.get(machine).is_some_and(found_none));
        for machine in &sought {
            if let Some(row) = self.machines.get_mut(machine) {
                row.seek(turn.now);
            }
        }
        sought
    }
}
