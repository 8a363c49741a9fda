//! What tenants ask: services and machines.

use std::collections::{BTreeMap, BTreeSet};

use super::super::command::{Outcome, Refusal, TenantAsk};
use super::super::state::{Displacement, Machine, Membership, Mode, Place, Service, Sight, Stage};
use super::super::{MACHINES_MAX, MTU, SERVICES_MAX, Site, Turn};
use crate::epoch::Epoch;
use crate::hull::Hull;
use crate::ids::{ImageId, MachineId, ServiceId, TenantId};
use crate::machine::{Goal, State, Verb};
use crate::manifest::{ComponentName, ImageName, Manifest, OnPartition, SiteReference};
use crate::units::Size;

/// What is asked of one machine.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    image: ImageId,
    size: Size,
    sites: &'a Option<BTreeSet<SiteReference>>,
    on_partition: OnPartition,
}

impl Site {
    pub(super) fn tenant(
        &mut self,
        tenant: TenantId,
        ask: &TenantAsk,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        match ask {
            TenantAsk::Submit { manifest, mode } => self.submit(tenant, manifest, *mode, turn),
            TenantAsk::End { service } => self.end(tenant, *service, turn),
            TenantAsk::Define { name, image, size, sites, on_partition } => {
                let taken = self.machines.iter().any(|(_, row)| {
                    row.tenant == tenant && row.name == name.as_str() && row.ended.is_none()
                });
                if taken {
                    return Err(Refusal::NameTaken { name: name.to_string() });
                }
                self.room_for_machines(1)?;
                let image = self.fitting_image(image, None, *size)?;
                let wanted = Wanted { image, size: *size, sites, on_partition: *on_partition };
                let machine = self.define(tenant, name.as_str(), None, wanted, turn)?;
                Ok(Outcome::Machine(machine))
            }
            TenantAsk::Update { machine, verb } => self.update(tenant, *machine, *verb, turn),
        }
    }

    fn submit(
        &mut self,
        tenant: TenantId,
        manifest: &Manifest,
        mode: Mode,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        let name = manifest.service().as_str();
        let taken = self.services.iter().any(|(_, service)| {
            service.tenant == tenant
                && service.manifest.service().as_str() == name
                && !matches!(service.stage, Stage::Ended | Stage::Ending)
        });
        if taken {
            return Err(Refusal::NameTaken { name: name.to_owned() });
        }
        if self.services.len() >= SERVICES_MAX {
            return Err(Refusal::Full { what: "services".to_owned(), limit: SERVICES_MAX });
        }
        self.room_for_machines(usize::try_from(manifest.machines()).unwrap_or(usize::MAX))?;
        let mut chosen = Vec::new();
        for (component, wanted) in manifest.components() {
            let image = self.fitting_image(&wanted.image, Some(component), wanted.size)?;
            if !self
                .draft_hull(MachineId::from_uuid(uuid::Uuid::nil()), image, wanted.size)
                .is_sound()
            {
                return Err(Refusal::BadSize { size: wanted.size });
            }
            chosen.push((component, wanted, image));
        }
        let id = ServiceId::from_uuid(turn.mint.uuid());
        let mut machines = BTreeSet::new();
        for (component, wanted, image) in chosen {
            for replica in 1..=wanted.replicas {
                let membership = Membership { service: id, component: component.clone(), replica };
                let label = format!("{name}/{component}-{replica}");
                let wanted = Wanted {
                    image,
                    size: wanted.size,
                    sites: &wanted.sites,
                    on_partition: wanted.on_partition,
                };
                machines.insert(self.define(tenant, &label, Some(membership), wanted, turn)?);
            }
        }
        for machine in &machines {
            if let Some(row) = self.machines.get_mut(machine) {
                row.place = Place::Sought { call: None, refused: BTreeMap::new() };
            }
        }
        let sought: Vec<MachineId> = machines.iter().copied().collect();
        let service = Service {
            tenant,
            manifest: manifest.clone(),
            mode,
            stage: Stage::Reserving,
            since: turn.now,
            created: turn.now,
            machines,
        };
        self.services.insert(id, service);
        self.place_here(&sought, turn);
        Ok(Outcome::Service(id))
    }

    fn room_for_machines(&self, more: usize) -> Result<(), Refusal> {
        if self.machines.len() + more > MACHINES_MAX {
            return Err(Refusal::Full { what: "machines".to_owned(), limit: MACHINES_MAX });
        }
        Ok(())
    }

    pub(in crate::site) fn fitting_image(
        &self,
        name: &ImageName,
        component: Option<&ComponentName>,
        size: Size,
    ) -> Result<ImageId, Refusal> {
        let Some((id, row)) = self.images.iter().find(|(_, row)| row.name == *name) else {
            let component = component.cloned();
            return Err(Refusal::UnknownImage { name: name.clone(), component });
        };
        let needed = row.image.disk_min();
        if size.disk < needed {
            return Err(Refusal::DiskTooSmall { image: name.clone(), needed });
        }
        Ok(*id)
    }

    fn draft_hull(&self, machine: MachineId, image: ImageId, size: Size) -> Hull {
        let boot = self.images.get(&image).expect("the image was just found").image.boot();
        Hull::new(self.me(), machine, size, boot, MTU)
    }

    fn define(
        &mut self,
        tenant: TenantId,
        name: &str,
        membership: Option<Membership>,
        wanted: Wanted<'_>,
        turn: &mut Turn,
    ) -> Result<MachineId, Refusal> {
        let Wanted { image, size, sites, on_partition } = wanted;
        let id = MachineId::from_uuid(turn.mint.uuid());
        let hull = self.draft_hull(id, image, size);
        if !hull.is_sound() {
            return Err(Refusal::BadSize { size });
        }
        let sight = Sight {
            epoch: Epoch::default(),
            state: State::Defined,
            since: turn.now,
            reason: String::new(),
        };
        let row = Machine {
            tenant,
            name: name.to_owned(),
            membership,
            hull,
            image,
            sites: sites.clone(),
            on_partition,
            goal: Goal::Defined,
            epoch: 0,
            place: Place::Nowhere,
            sight,
            created: turn.now,
            ended: None,
            lapses: 0,
            displacement: Displacement::None,
        };
        self.machines.insert(id, row);
        Ok(id)
    }

    fn end(
        &mut self,
        tenant: TenantId,
        id: ServiceId,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        let owned = self.services.get(&id).filter(|service| service.tenant == tenant);
        let Some(service) = owned else { return Err(Refusal::UnknownService { service: id }) };
        if matches!(service.stage, Stage::Ending | Stage::Ended) {
            return Ok(Outcome::Done);
        }
        self.enter(id, Stage::Ending, turn);
        for machine in self.members(id) {
            self.withdraw(machine, turn);
        }
        self.advance(id, turn);
        Ok(Outcome::Done)
    }

    fn update(
        &mut self,
        tenant: TenantId,
        id: MachineId,
        verb: Verb,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        let owned = self.machines.get(&id).filter(|row| row.tenant == tenant);
        let Some(row) = owned else { return Err(Refusal::UnknownMachine { machine: id }) };
        if !verb.leads_from(row.goal) {
            return Err(Refusal::IllegalStep { machine: id, from: row.goal, verb });
        }
        if verb.goal() == row.goal && row.state() != State::Failed {
            return Ok(Outcome::Done);
        }
        let service = row.membership.as_ref().and_then(|it| self.services.get(&it.service));
        match service.map(|service| &service.stage) {
            Some(Stage::Reserving | Stage::Committing) => {
                return Err(Refusal::Deploying { machine: id });
            }
            // That a goal is DEFINED is how its service knows what it has not started yet.
            Some(Stage::Starting) if verb == Verb::Shutdown => {
                return Err(Refusal::Deploying { machine: id });
            }
            Some(_) | None => {}
        }
        match (verb, &row.place) {
            (Verb::Destroy, _) => self.withdraw(id, turn),
            (Verb::Activate, Place::Nowhere) => self.seek_place(id, turn),
            (Verb::Activate | Verb::Pause | Verb::Suspend | Verb::Shutdown, _) => {
                self.lead(id, verb.goal(), turn);
            }
        }
        Ok(Outcome::Done)
    }

    /// Activates a machine that has no place yet.
    fn seek_place(&mut self, id: MachineId, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&id) else { return };
        row.goal = Goal::Active;
        row.place = Place::Sought { call: None, refused: BTreeMap::new() };
        row.lapses = 0;
        row.sight.state = State::Defined;
        row.sight.since = turn.now;
        row.sight.reason.clear();
        self.place_here(&[id], turn);
    }

    /// Leads a machine that has a place, or is about to have one, to another goal. One that is
    /// still looked for and should not run any more is not looked for any longer; that there was
    /// no place for it is of no interest then.
    fn lead(&mut self, id: MachineId, goal: Goal, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&id) else { return };
        row.goal = goal;
        match row.place {
            Place::Nowhere | Place::Sought { .. } | Place::Postponed if goal == Goal::Defined => {
                row.place = Place::Nowhere;
                row.displacement = Displacement::None;
                row.sight.state = State::Defined;
                row.sight.since = turn.now;
                row.sight.reason.clear();
            }
            Place::Nowhere
            | Place::Sought { .. }
            | Place::Postponed
            | Place::Held(_)
            | Place::Accepted(_) => {}
            Place::Here(_) | Place::There { .. } => self.order(id, turn),
        }
    }
}
