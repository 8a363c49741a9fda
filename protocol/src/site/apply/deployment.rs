//! Deployment: from places that are sought, over places that are held, to machines that run.
//!
//! ```text
//!   Reserving --all have a place--> Committing --all agreed--> Starting --all ACTIVE--> Running
//!       |                               |
//!       +------- one has none ----------+--> Refused: all that was held is given back
//! ```
//!
//! Where each machine is for itself (best effort, or no service at all), its place is taken as
//! soon as it is found.

use std::collections::{BTreeMap, BTreeSet};

use super::super::state::{
    Displacement, Guest, Machine, Membership, Mode, Place, Stage, guest_name,
};
use super::super::{Site, Turn};
use crate::agreement::{Message, Refusal, Report};
use crate::ids::{MachineId, ServiceId, SiteId};
use crate::machine::guest::Progress;
use crate::machine::{Goal, State};
use crate::manifest::{ComponentName, SiteReference};
use crate::placement::{self, Need};
use crate::sla::Class;

impl Site {
    /// Places machines that are sought on own hosts, as far as they fit. Says whether any was.
    pub(super) fn place_here(&mut self, machines: &[MachineId], turn: &mut Turn) -> bool {
        let needs: Vec<Need> = machines
            .iter()
            .filter_map(|id| {
                let row = self.machines.get(id)?;
                let sought = matches!(row.place, Place::Sought { call: None, .. });
                (sought && self.may_run_here(row))
                    .then(|| Need { machine: *id, size: row.hull.size() })
            })
            .collect();
        let rooms = self.rooms();
        let plan = placement::plan(&needs, &rooms);
        debug_assert_eq!(placement::check::violations(&plan, &needs, &rooms), []);
        for (machine, host) in &plan.here {
            let lodging = self.lodging(*host);
            let Some(row) = self.machines.get_mut(machine) else { continue };
            row.epoch += 1;
            row.place = Place::Here(*host);
            row.displacement = Displacement::None;
            let guest = Guest {
                tenant: row.tenant,
                agreement: None,
                hull: row.hull.clone(),
                image: row.image,
                on_partition: row.on_partition,
                lodging,
                progress: Progress::new(row.epoch, turn.now),
                told: None,
                leaving: None,
            };
            let name = self.own_guest(*machine);
            self.insert_guest(name, guest);
        }
        let placed: Vec<MachineId> = plan.here.iter().map(|(machine, _)| *machine).collect();
        self.placed(&placed, turn);
        !placed.is_empty()
    }

    /// Whether the machine's directive names this site, or none.
    pub(in crate::site) fn may_run_here(&self, row: &Machine) -> bool {
        self.promises(row.class)
            && self.profile.get(&()).is_some_and(|it| allows(row, it.site, &it.name))
    }

    /// Whether this site promises as much of its machines as a class does.
    pub(in crate::site) fn promises(&self, class: Class) -> bool {
        let profile = self.profile.get(&());
        profile.is_some_and(|it| it.tariff.classes.cheapest(class).is_some())
    }

    /// A peer holds room for a machine. Machines hang together only until each has had a place.
    pub(super) fn reserved(&mut self, machine: MachineId, turn: &mut Turn) {
        let waits = matches!(self.stage_of(machine), Some(Stage::Reserving | Stage::Committing));
        match self.service_of(machine) {
            Some((service, Mode::AllOrNothing)) if waits => self.advance(service, turn),
            Some(_) | None => self.accept(machine, turn),
        }
    }

    pub(super) fn stage(&self, service: ServiceId) -> Option<&Stage> {
        self.services.get(&service).map(|service| &service.stage)
    }

    pub(super) fn stage_of(&self, machine: MachineId) -> Option<&Stage> {
        self.stage(self.service_of(machine)?.0)
    }

    /// Whether a machine's service has yet to start it.
    pub(super) fn awaits_its_start(&self, machine: MachineId) -> bool {
        let membership = self.machines.get(&machine).and_then(|row| row.membership.as_ref());
        let stage = self.stage_of(machine);
        membership.is_some_and(|it| !it.started)
            && matches!(stage, Some(Stage::Reserving | Stage::Committing | Stage::Starting))
    }

    /// Machines have their places: each is led where it should be. One whose goal is DEFINED is
    /// there, or waits for its service to start it.
    pub(super) fn placed(&mut self, machines: &[MachineId], turn: &mut Turn) {
        let mut services = BTreeSet::new();
        for machine in machines {
            if self.goal_of(*machine) != Some(Goal::Defined) {
                self.order(*machine, turn);
            }
            services.extend(self.service_of(*machine).map(|(service, _)| service));
        }
        for service in services {
            self.advance(service, turn);
        }
    }

    /// A machine has lost the place it had accepted: it is sought anew, unless it is not wanted
    /// any more.
    pub(super) fn unplaced(&mut self, machine: MachineId, turn: &mut Turn) {
        if self.goal_of(machine) == Some(Goal::Destroyed) {
            self.vanish(machine, turn);
        } else {
            self.place_here(&[machine], turn);
        }
    }

    /// No place was found.
    pub(super) fn cannot_place(
        &mut self,
        machine: MachineId,
        refused: &BTreeMap<SiteId, Refusal>,
        turn: &mut Turn,
    ) {
        let reason = self.why_no_place(machine, refused);
        let Some(row) = self.machines.get_mut(&machine) else { return };
        if row.goal == Goal::Destroyed {
            self.vanish(machine, turn);
            return;
        }
        if row.displacement == Displacement::Lost {
            self.postpone(machine, reason, turn);
            return;
        }
        row.place = Place::Nowhere;
        fail(row, reason, turn);
        if let Some((service, _)) = self.service_of(machine) {
            self.advance(service, turn);
        }
    }

    /// Why there is no place here for a machine of a class that may run here, or may not.
    pub(in crate::site) fn why_not_here(&self, class: Class, may_run: bool) -> &'static str {
        if !self.promises(class) {
            "this site sells nothing of so good a class"
        } else if may_run {
            "no host here has room for it"
        } else {
            "its directives leave out this site"
        }
    }

    fn why_no_place(&self, machine: MachineId, refused: &BTreeMap<SiteId, Refusal>) -> String {
        let Some(row) = self.machines.get(&machine) else { return String::new() };
        let mut reason = self.why_not_here(row.class, self.may_run_here(row)).to_owned();
        if refused.is_empty() {
            reason.push_str("; no peer could be asked");
        }
        for (site, why) in refused {
            let name = self.peers.get(site).map_or_else(|| site.short(), |it| it.name.to_string());
            reason.push_str(&format!("; {name}: {why}"));
        }
        reason
    }

    /// What is known of a machine's guest has changed.
    pub(super) fn sighted(&mut self, report: &Report, turn: &mut Turn) {
        let machine = report.machine;
        let Some(row) = self.machines.get_mut(&machine) else { return };
        if report.epoch.home != row.epoch || report.epoch < row.sight.epoch {
            return;
        }
        if report.state == State::Destroyed {
            if row.goal == Goal::Destroyed {
                self.vanish(machine, turn);
            } else {
                self.place_anew(machine, turn);
            }
            return;
        }
        if row.goal == Goal::Destroyed {
            return;
        }
        row.sight.epoch = report.epoch;
        row.sight.state = report.state;
        row.sight.since = report.since;
        row.sight.reason.clone_from(&report.reason);
        if has_started(row)
            && let Some((service, _)) = self.service_of(machine)
        {
            self.advance(service, turn);
        }
    }

    /// Nothing is left of a machine. What a refused deployment said of it stays to be read.
    pub(super) fn vanish(&mut self, machine: MachineId, turn: &mut Turn) {
        self.user_data.remove(&guest_name(self.me(), machine));
        let Some(row) = self.machines.get_mut(&machine) else { return };
        let place = std::mem::replace(&mut row.place, Place::Nowhere);
        row.goal = Goal::Destroyed;
        row.ended = Some(turn.now);
        let service = row.membership.as_ref().map(|membership| membership.service);
        let refused = service
            .and_then(|id| self.services.get(&id))
            .is_some_and(|service| service.stage == Stage::Refused);
        if !refused {
            row.sight.state = State::Destroyed;
            row.sight.since = turn.now;
            row.sight.reason.clear();
        }
        if let Place::There { agreement, .. } = place
            && let Some(agreement) = self.agreements.get_mut(&agreement)
        {
            agreement.ended = Some(turn.now);
        }
        if let Some(service) = service {
            self.advance(service, turn);
        }
        self.release_addresses(machine);
    }

    /// Takes a service one stage further, as far as its machines allow.
    pub(super) fn advance(&mut self, id: ServiceId, turn: &mut Turn) {
        let Some(service) = self.services.get(&id) else { return };
        let mode = service.mode;
        match service.stage {
            Stage::Reserving | Stage::Committing => self.advance_places(id, mode, turn),
            Stage::Starting => self.start_tiers(id, turn),
            Stage::Ending => {
                if self.all(id, |row| row.state() == State::Destroyed) {
                    self.enter(id, Stage::Ended, turn);
                }
            }
            Stage::Running | Stage::Refused | Stage::Ended => {}
        }
    }

    fn advance_places(&mut self, id: ServiceId, mode: Mode, turn: &mut Turn) {
        let placed = |row: &Machine| matches!(row.place, Place::Here(_) | Place::There { .. });
        let held = |row: &Machine| matches!(row.place, Place::Held(_) | Place::Accepted(_));
        // What its provider has done away with has no place either.
        let failed = |row: &Machine| matches!(row.state(), State::Failed | State::Destroyed);
        let each_for_itself = mode == Mode::BestEffort;
        let refused = if each_for_itself { self.all(id, failed) } else { self.any(id, failed) };
        if refused {
            self.refuse(id, turn);
            return;
        }
        let reserving = self.services.get(&id).is_some_and(|it| it.stage == Stage::Reserving);
        if reserving && !each_for_itself && self.all(id, |row| placed(row) || held(row)) {
            self.enter(id, Stage::Committing, turn);
        }
        let committing = self.services.get(&id).is_some_and(|it| it.stage == Stage::Committing);
        if committing {
            for machine in self.members(id) {
                self.accept(machine, turn);
            }
        }
        if self.all(id, |row| placed(row) || (each_for_itself && failed(row))) {
            self.enter(id, Stage::Starting, turn);
            self.start_tiers(id, turn);
        }
    }

    /// Starts every machine whose predecessors run.
    fn start_tiers(&mut self, id: ServiceId, turn: &mut Turn) {
        let Some(service) = self.services.get(&id) else { return };
        let settled = |component: &ComponentName| {
            self.all(id, |row| {
                let other = row.membership.as_ref().is_none_or(|it| it.component != *component);
                other || is_through(row)
            })
        };
        let ready: Vec<ComponentName> = service
            .manifest
            .components()
            .iter()
            .filter(|(_, component)| component.after.iter().all(settled))
            .map(|(name, _)| name.clone())
            .collect();
        for machine in self.members(id) {
            let Some(row) = self.machines.get_mut(&machine) else { continue };
            let is_wanted = row.goal == Goal::Defined && row.place != Place::Nowhere;
            let waits = |it: &&mut Membership| !it.started && ready.contains(&it.component);
            if is_wanted && let Some(membership) = row.membership.as_mut().filter(waits) {
                membership.started = true;
                row.goal = Goal::Active;
                self.order(machine, turn);
            }
        }
        if self.all(id, is_through) {
            self.enter(id, Stage::Running, turn);
        }
    }

    /// Gives back all that was found for a service, because not everything was.
    fn refuse(&mut self, id: ServiceId, turn: &mut Turn) {
        self.enter(id, Stage::Refused, turn);
        for machine in self.members(id) {
            let Some(row) = self.machines.get_mut(&machine) else { continue };
            if row.state() != State::Failed {
                let reason = "given back: another machine of the service found no place";
                fail(row, reason.to_owned(), turn);
            }
            self.withdraw(machine, turn);
        }
    }

    /// Ends a machine wherever it is, or stops looking for a place for it.
    pub(super) fn withdraw(&mut self, machine: MachineId, turn: &mut Turn) {
        let Some(row) = self.machines.get_mut(&machine) else { return };
        row.goal = Goal::Destroyed;
        match &row.place {
            Place::Nowhere | Place::Sought { .. } | Place::Postponed => {
                self.vanish(machine, turn);
            }
            Place::Held(offer) => {
                let (site, hold) = (offer.site, offer.hold);
                self.owe(site, Message::Decline { hold, reason: Refusal::NotSought }, turn);
                self.vanish(machine, turn);
            }
            // The seller's word is awaited; it decides what there is to end.
            Place::Accepted(_) => {}
            Place::Here(_) | Place::There { .. } => self.order(machine, turn),
        }
    }

    pub(super) fn enter(&mut self, id: ServiceId, stage: Stage, turn: &Turn) {
        if let Some(service) = self.services.get_mut(&id) {
            service.stage = stage;
            service.since = turn.now;
        }
        self.dissolve_networks(id);
    }

    pub(super) fn members(&self, id: ServiceId) -> Vec<MachineId> {
        self.services.get(&id).map_or_else(Vec::new, |it| it.machines.iter().copied().collect())
    }

    fn all(&self, id: ServiceId, holds: impl Fn(&Machine) -> bool) -> bool {
        self.services.get(&id).is_some_and(|service| {
            service.machines.iter().filter_map(|machine| self.machines.get(machine)).all(holds)
        })
    }

    fn any(&self, id: ServiceId, holds: impl Fn(&Machine) -> bool) -> bool {
        !self.all(id, |row| !holds(row))
    }

    pub(super) fn service_of(&self, machine: MachineId) -> Option<(ServiceId, Mode)> {
        let id = self.machines.get(&machine)?.membership.as_ref()?.service;
        self.services.get(&id).map(|service| (id, service.mode))
    }

    fn goal_of(&self, machine: MachineId) -> Option<Goal> {
        self.machines.get(&machine).map(|row| row.goal)
    }
}

/// Whether a machine's directive names a site, by id or by the name it has here, or names none.
pub(in crate::site) fn allows(row: &Machine, site: SiteId, name: &str) -> bool {
    reference_allows(row.sites.as_ref(), site, name)
}

/// As [`allows`], for a directive that is no machine's yet.
pub(in crate::site) fn reference_allows(
    sites: Option<&BTreeSet<SiteReference>>,
    site: SiteId,
    name: &str,
) -> bool {
    sites.is_none_or(|sites| sites.iter().any(|wanted| wanted.means(site, name)))
}

/// Whether a machine keeps its service waiting no longer: it has been started, has no place to be
/// started at, or its tenant does not want it to run.
fn is_through(row: &Machine) -> bool {
    let started = row.membership.as_ref().is_none_or(|it| it.started);
    has_started(row)
        || row.place == Place::Nowhere
        || row.goal == Goal::Destroyed
        || (started && row.goal == Goal::Defined)
}

/// Whether a machine has been started and is through with it, well or not.
const fn has_started(row: &Machine) -> bool {
    match row.state() {
        State::Active | State::Paused | State::Suspended | State::Migrating | State::Failed => {
            !matches!(row.goal, Goal::Defined)
        }
        State::Defined | State::Placing | State::Staging | State::Destroyed => false,
    }
}

fn fail(row: &mut Machine, reason: String, turn: &Turn) {
    row.sight.state = State::Failed;
    row.sight.since = turn.now;
    row.sight.reason = reason;
}
