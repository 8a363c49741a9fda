//! What tenants ask: services and machines.

use std::collections::{BTreeMap, BTreeSet};

use super::super::command::{Outcome, Refusal, TenantAsk};
use super::super::state::{
    Displacement, Machine, Membership, Mode, Place, Service, Sight, Stage, guest_name,
};
use super::super::{MACHINES_MAX, SERVICES_MAX, Site, Turn};
use super::networks::Wish;
use crate::epoch::Epoch;
use crate::hull::Hull;
use crate::ids::{ImageId, MachineId, NetworkId, ServiceId, TenantId};
use crate::machine::{Goal, State, Verb};
use crate::manifest::{Component, ComponentName, ImageName, Manifest, OnPartition, SiteReference};
use crate::sla::Class;
use crate::units::Size;

/// What is asked of one machine.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    image: ImageId,
    size: Size,
    sites: &'a Option<BTreeSet<SiteReference>>,
    on_partition: OnPartition,
    class: Class,
    cards: &'a [Wish],
}

/// What the machines of one component have in common.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    /// The service's name.
    pub(super) service: &'a str,
    pub(super) wanted: &'a Component,
    pub(super) image: ImageId,
    pub(super) cards: &'a [Wish],
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
            TenantAsk::Scale { service, component, replicas } => {
                self.scale(tenant, *service, component, *replicas, turn)
            }
            TenantAsk::Secure { service, group, rules } => {
                self.secure(tenant, *service, group, rules.as_ref(), turn)
            }
            TenantAsk::Regroup { service, component, groups } => {
                self.regroup(tenant, *service, component, groups)
            }
            TenantAsk::AllocateAddress => self.allocate_address(tenant),
            TenantAsk::AssociateAddress { address, machine, network } => {
                self.associate_address(tenant, *address, *machine, network.as_ref())
            }
            TenantAsk::DisassociateAddress { address } => {
                self.disassociate_address(tenant, *address)
            }
            TenantAsk::ReleaseAddress { address } => self.release_public(tenant, *address),
            TenantAsk::End { service } => self.end(tenant, *service, turn),
            TenantAsk::Define { name, image, size, sites, on_partition, class, user_data } => {
                let taken = self.machines.iter().any(|(_, row)| {
                    row.tenant == tenant && row.name == name.as_str() && row.ended.is_none()
                });
                if taken {
                    return Err(Refusal::NameTaken { name: name.to_string() });
                }
                self.room_for_machines(1)?;
                let image = self.fitting_image(image, None, *size)?;
                let (size, on_partition, class) = (*size, *on_partition, *class);
                self.fitting_size(image, size, 1)?;
                let cards = &[(self.own_network(tenant, turn)?, None)];
                self.room_on_networks(cards, 1)?;
                let wanted = Wanted { image, size, sites, on_partition, class, cards };
                let machine = self.define(tenant, name.as_str(), None, wanted, turn);
                if let Some(user_data) = user_data {
                    self.user_data.insert(guest_name(self.me(), machine), user_data.clone());
                }
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
        self.room_for_networks(manifest.networks().len())?;
        self.room_for_public(manifest.components().values().map(Component::public_cards).sum())?;
        let mut chosen = Vec::new();
        for (component, wanted) in manifest.components() {
            chosen.push((component, wanted, self.image_for(component, wanted)?));
        }
        let id = ServiceId::from_uuid(turn.mint.uuid());
        let service = Service {
            tenant,
            manifest: manifest.clone(),
            mode,
            stage: Stage::Reserving,
            since: turn.now,
            created: turn.now,
            machines: BTreeSet::new(),
        };
        self.services.insert(id, service);
        let named = self.found_networks((tenant, id), manifest, turn);
        let mut machines = BTreeSet::new();
        for (component, wanted, image) in chosen {
            let cards = &Self::wishes(wanted, &named);
            let member = Member { service: name, wanted, image, cards };
            for replica in 1..=member.wanted.replicas {
                let component = component.clone();
                let membership = Membership { service: id, component, replica, started: false };
                machines.insert(self.define_member(tenant, membership, member, turn));
            }
        }
        let sought: Vec<MachineId> = machines.iter().copied().collect();
        if let Some(service) = self.services.get_mut(&id) {
            service.machines = machines;
        }
        self.place_here(&sought, turn);
        Ok(Outcome::Service(id))
    }

    /// The image that a component's machines start from, if they could be made.
    pub(super) fn image_for(
        &self,
        component: &ComponentName,
        wanted: &Component,
    ) -> Result<ImageId, Refusal> {
        let image = self.fitting_image(&wanted.image, Some(component), wanted.size)?;
        self.fitting_size(image, wanted.size, wanted.networks.len())?;
        Ok(image)
    }

    /// Whether a machine of this size with so many cards could be made.
    fn fitting_size(&self, image: ImageId, size: Size, cards: usize) -> Result<(), Refusal> {
        let nobody = MachineId::from_uuid(uuid::Uuid::nil());
        let networks = vec![NetworkId::from_uuid(uuid::Uuid::nil()); cards];
        if self.draft_hull(nobody, image, size, &networks).is_sound() {
            Ok(())
        } else {
            Err(Refusal::BadSize { size })
        }
    }

    /// Defines a machine of a service, for which a place is sought.
    pub(super) fn define_member(
        &mut self,
        tenant: TenantId,
        membership: Membership,
        member: Member<'_>,
        turn: &mut Turn,
    ) -> MachineId {
        let Member { service, wanted: asked, image, cards } = member;
        let wanted = asked;
        let label = format!("{service}/{}-{}", membership.component, membership.replica);
        let wanted = Wanted {
            image,
            size: wanted.size,
            sites: &wanted.sites,
            on_partition: wanted.on_partition,
            class: wanted.class,
            cards,
        };
        let machine = self.define(tenant, &label, Some(membership), wanted, turn);
        if let Some(row) = self.machines.get_mut(&machine) {
            row.place = Place::Sought { call: None, refused: BTreeMap::new() };
        }
        self.publish(tenant, machine, asked);
        machine
    }

    pub(super) fn room_for_machines(&self, more: usize) -> Result<(), Refusal> {
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

    fn draft_hull(
        &self,
        machine: MachineId,
        image: ImageId,
        size: Size,
        networks: &[NetworkId],
    ) -> Hull {
        let boot = self.images.get(&image).expect("the image was just found").image.boot();
        Hull::new(self.me(), machine, size, boot, networks)
    }

    fn define(
        &mut self,
        tenant: TenantId,
        name: &str,
        membership: Option<Membership>,
        wanted: Wanted<'_>,
        turn: &mut Turn,
    ) -> MachineId {
        let Wanted { image, size, sites, on_partition, class, cards } = wanted;
        let id = MachineId::from_uuid(turn.mint.uuid());
        let networks: Vec<NetworkId> = cards.iter().map(|(network, _)| *network).collect();
        let hull = self.draft_hull(id, image, size, &networks);
        let addresses = self.allot(id, cards);
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
            addresses,
            image,
            sites: sites.clone(),
            on_partition,
            class,
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
        id
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
        if let Some(Stage::Reserving | Stage::Committing) = self.stage_of(id) {
            return Err(Refusal::Deploying { machine: id });
        }
        let has_place = row.place != Place::Nowhere;
        self.start_by_hand(id);
        match (verb, has_place) {
            (Verb::Destroy, _) => self.withdraw(id, turn),
            (Verb::Activate, false) => self.seek_place(id, turn),
            (Verb::Activate | Verb::Pause | Verb::Suspend | Verb::Shutdown, _) => {
                self.lead(id, verb.goal(), turn);
                if let Some((service, _)) = self.service_of(id) {
                    self.advance(service, turn);
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Activates a machine that has no place yet.
    fn seek_place(&mut self, id: MachineId, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&id) else { return };
        row.goal = Goal::Active;
        row.seek(turn.now);
        self.place_here(&[id], turn);
    }

    /// What a machine's tenant says of it goes before the order in which its service starts.
    fn start_by_hand(&mut self, id: MachineId) {
        let row = self.machines.get_mut(&id);
        if let Some(membership) = row.and_then(|row| row.membership.as_mut()) {
            membership.started = true;
        }
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
