//! When nothing goes wrong any more, everything comes to an end: every service runs, was refused
//! with a reason for each machine, or is gone; nothing is held, asked or owed; every machine is
//! where its tenant wants it, once, and both sides of an agreement know the same.

use protocol::ids::{MachineId, MachineName, NodeId, SiteId};
use protocol::machine::guest::Phase;
use protocol::machine::{Goal, State};
use protocol::site::Site;
use protocol::site::state::{Guest, Machine, Peer, Place, Service, Stage};

use crate::host::Local;
use crate::nodes::place;
use crate::world::World;

impl World {
    /// What has not settled yet, if anything.
    pub(crate) fn unsettled(&self) -> Option<(usize, String)> {
        if let Some(client) = self.clients.iter().find(|client| client.answer.is_none()) {
            return Some((client.member, "a tenant's request has no answer".to_owned()));
        }
        (0..self.members.len()).find_map(|member| Some((member, self.unsettled_at(member)?)))
    }

    fn unsettled_at(&self, member: usize) -> Option<String> {
        let site = &self.members[member];
        if !site.pending.is_empty() || !site.is_whole() {
            return Some("the site is at work".to_owned());
        }
        if let Some(step) = site.next_change() {
            return Some(format!("{step:?} is to be done about {:?}", site.voters));
        }
        if let Some(node) = site.next_gateway() {
            return Some(format!("{node} is to be the gateway"));
        }
        let Some(state) = site.state() else { return Some("no leader".to_owned()) };
        if state.is_negotiating() {
            return Some("a hold or a call is open".to_owned());
        }
        let is_lost = |(node, _): &(NodeId, _)| site.replicas[place(*node)].gone;
        if let Some((node, _)) = state.nodes().find(is_lost) {
            return Some(format!("{node} is lost and in the table"));
        }
        if let Some((id, _)) = state.hosts().find(|(_, row)| row.ended.is_some()) {
            return Some(format!("host {id} is lost"));
        }
        if let Some((id, _)) = state.hosts().find(|(id, _)| state.remains_on(**id) > 0) {
            return Some(format!("something is left on host {id}"));
        }
        // To whom this site is a stranger, nothing can be delivered.
        let hears = |peer: SiteId| {
            let other = self.members[self.index(peer)].state();
            other.is_some_and(|other| !other.is_stranger(site.id))
        };
        let owed = |(peer, _): &(&SiteId, &Peer)| state.owed(**peer) > 0 && hears(**peer);
        if let Some((peer, _)) = state.peers().find(owed) {
            let first = state.dispatch(*peer);
            return Some(format!("messages are owed: {first:?}"));
        }
        state
            .services()
            .find_map(|(id, service)| {
                Some(format!("{id:?} {}", service_is_under_way(state, service)?))
            })
            .or_else(|| {
                state.machines().find_map(|(id, row)| {
                    let why = self.machine_is_under_way(member, *id, row)?;
                    Some(format!("{id:?}: {why}: {}", in_short(row)))
                })
            })
            .or_else(|| {
                state.guests().find_map(|(name, guest)| {
                    let why = self.guest_is_lost(member, *name, guest)?;
                    Some(format!("{name:?}: {why}: {:?}", guest.progress))
                })
            })
            .or_else(|| self.networks_disagree(member))
    }

    /// Whether a machine is where it should be, and why not.
    fn machine_is_under_way(
        &self,
        member: usize,
        id: MachineId,
        row: &Machine,
    ) -> Option<&'static str> {
        if row.ended.is_some() {
            return (row.place != Place::Nowhere).then_some("it has ended and has a place");
        }
        let home = self.members[member].id;
        let name = MachineName { home, machine: id };
        let provider = match &row.place {
            Place::Nowhere if row.sight.state == State::Failed => {
                return row.sight.reason.is_empty().then_some("it failed for no reason");
            }
            Place::Nowhere => {
                return (row.goal != Goal::Defined).then_some("it has no place");
            }
            // There is no room for it anywhere, and it says so; it is sought again for ever.
            Place::Postponed if !row.sight.reason.is_empty() => return None,
            Place::Sought { .. } | Place::Postponed | Place::Held(_) | Place::Accepted(_) => {
                return Some("a place is sought for it");
            }
            Place::Here(_) => member,
            Place::There { site, .. } => self.index(*site),
        };
        let Some(guest) = self.members[provider].state().and_then(|state| state.guest(name)) else {
            return Some("its provider has no such guest");
        };
        let progress = &guest.progress;
        if progress.wanted() != row.goal {
            return Some("its provider has another goal for it");
        }
        if (row.sight.epoch, row.sight.state) != (progress.epoch, progress.state())
            && row.goal != Goal::Destroyed
            && guest.told.is_some()
        {
            return Some("its home has an older view of it than its provider");
        }
        let nothing = Local::default();
        let provider = &self.members[provider];
        let hosts = provider.hosts.iter().filter(|host| !provider.replicas[host.node].gone);
        let local = hosts.filter_map(|host| host.locals.get(&name)).next();
        guest_is_under_way(guest, local.unwrap_or(&nothing))
    }

    /// Whether a guest is one that its home knows nothing of.
    fn guest_is_lost(
        &self,
        member: usize,
        name: MachineName,
        guest: &Guest,
    ) -> Option<&'static str> {
        let home = self.index(name.home);
        let row = self.members[home].state().and_then(|state| state.machine(name.machine));
        let known = match row.map(|row| &row.place) {
            Some(Place::Here(host)) => home == member && *host == guest.lodging.host,
            Some(Place::There { site, agreement }) => {
                *site == self.members[member].id && guest.agreement == Some(*agreement)
            }
            _ => false,
        };
        (!known).then_some("its home does not know that it is there")
    }

    /// Counts what became of a site's services and machines.
    pub(crate) fn count_ends(&mut self, member: usize) {
        let Some(state) = self.members[member].state() else { return };
        for (_, service) in state.services() {
            match service.stage {
                Stage::Running => self.census.services_placed += 1,
                Stage::Refused => self.census.services_refused += 1,
                Stage::Ended => self.census.services_ended += 1,
                Stage::Reserving | Stage::Committing | Stage::Starting | Stage::Ending => {}
            }
        }
        for (_, row) in state.machines() {
            match row.place {
                Place::Here(_) => self.census.machines_here += 1,
                Place::There { .. } => self.census.machines_there += 1,
                Place::Nowhere
                | Place::Sought { .. }
                | Place::Postponed
                | Place::Held(_)
                | Place::Accepted(_) => {}
            }
        }
    }
}

/// What matters of a machine, in one line.
fn in_short(row: &Machine) -> String {
    let Machine { name, goal, epoch, place, sight, .. } = row;
    let place = match place {
        Place::Nowhere => "nowhere",
        Place::Sought { .. } => "sought",
        Place::Postponed => "postponed",
        Place::Held(_) => "held",
        Place::Accepted(_) => "accepted",
        Place::Here(_) => "here",
        Place::There { .. } => "there",
    };
    let (seen, state, reason) = (sight.epoch, row.state(), &sight.reason);
    format!(
        "{name} goal {goal}, {place} since placement {epoch}, seen {state} in {seen} '{reason}'"
    )
}

/// Whether a service's deployment is through, and why not.
fn service_is_under_way(state: &Site, service: &Service) -> Option<String> {
    match service.stage {
        Stage::Running | Stage::Ended => None,
        Stage::Refused => {
            let unexplained =
                |id: &&MachineId| state.machine(**id).is_none_or(|row| row.sight.reason.is_empty());
            let silent = service.machines.iter().find(unexplained)?;
            Some(format!("was refused, and {silent:?} says no reason"))
        }
        // One of its machines has lost its place, and nobody has another for it.
        Stage::Starting
            if service
                .machines
                .iter()
                .any(|id| state.machine(*id).is_some_and(|row| row.place == Place::Postponed)) =>
        {
            None
        }
        Stage::Reserving | Stage::Committing | Stage::Starting | Stage::Ending => {
            let rows = service.machines.iter().filter_map(|id| Some(in_short(state.machine(*id)?)));
            Some(format!("is {:?}: {}", service.stage, rows.collect::<Vec<_>>().join("; ")))
        }
    }
}

/// Whether what runs is what should run, and why not.
fn guest_is_under_way(guest: &Guest, local: &Local) -> Option<&'static str> {
    let progress = &guest.progress;
    let runs = local.guest.is_some_and(|it| it.running && !it.frozen && it.epoch == progress.epoch);
    let explained = !progress.reason.is_empty();
    match progress.phase {
        Phase::Failed if local.guest.is_some() => Some("it has failed and has a process"),
        Phase::Failed => (!explained).then_some("it has failed for no reason"),
        // Saved memory that could not be restored stays, and says why.
        Phase::Saved if explained => None,
        phase => match progress.goal {
            Goal::Active if progress.state() != State::Active => Some("it is not ACTIVE yet"),
            Goal::Active => (!runs).then_some("it is ACTIVE and does not run"),
            Goal::Paused if progress.state() != State::Paused => Some("it is not PAUSED yet"),
            Goal::Paused => {
                (runs || local.guest.is_none()).then_some("it is PAUSED and does not stand still")
            }
            Goal::Suspended if phase != Phase::Saved => Some("it is not SUSPENDED yet"),
            Goal::Suspended => (local.guest.is_some() || local.saved.is_none())
                .then_some("it is SUSPENDED and its memory is not on disk"),
            Goal::Defined if phase != Phase::Idle => Some("it is not DEFINED yet"),
            Goal::Defined => local.guest.is_some().then_some("it is DEFINED and has a process"),
            Goal::Destroyed => Some("it is not gone yet"),
        },
    }
}
