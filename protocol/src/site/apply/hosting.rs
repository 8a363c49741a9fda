//! Hosts and guests: what runs here, and what its home is told of it.

use super::super::command::{Described, Observation, Outcome, Refusal};
use super::super::state::{Guest, Host, guest_name};
use super::super::{Site, Turn};
use crate::agreement::{Message, Report};
use crate::ids::{HostId, MachineId, MachineName};
use crate::machine::Goal;
use crate::machine::guest::{Phase, Seen};
use crate::placement::{self, Need, Room};
use crate::units::Size;

impl Site {
    /// A node describes its host.
    pub(super) fn describe_host(
        &mut self,
        host: HostId,
        described: &Described,
        turn: &Turn,
    ) -> Result<Outcome, Refusal> {
        let Described { node, name, capacity, hypervisor, trouble } = described.clone();
        if !self.stays(node) {
            return Err(Refusal::UnknownNode { node });
        }
        let known = self.hosts.get(&host);
        let since = match known {
            Some(known) if known.trouble == trouble => known.since,
            Some(_) | None => turn.now,
        };
        let (drained, ended) = known.map_or((false, None), |it| (it.drained, it.ended));
        let row = Host { node, name, capacity, hypervisor, trouble, since, drained, ended };
        self.hosts.insert(host, row);
        Ok(Outcome::Done)
    }

    /// What is left on each host that takes machines. One on which something is left of machines
    /// that were placed elsewhere takes none before that is gone: they could be the same ones.
    pub(in crate::site) fn rooms(&self) -> Vec<Room> {
        let room = |(id, host): (&HostId, &Host)| Room {
            host: *id,
            free: host.capacity.minus(self.promised_on(*id)),
        };
        self.taking_hosts().map(room).collect()
    }

    fn taking_hosts(&self) -> impl Iterator<Item = (&HostId, &Host)> {
        self.hosts.iter().filter(|(id, host)| {
            host.trouble.is_empty()
                && !host.drained
                && host.ended.is_none()
                && self.stays(host.node)
                && self.occupancy.on(**id).is_none_or(|occupied| occupied.going.is_empty())
        })
    }

    /// What the hosts have to give in all that take machines.
    pub(super) fn capacity(&self) -> Size {
        self.taking_hosts().fold(Size::default(), |sum, (_, host)| sum.plus(host.capacity))
    }

    /// The host that would take one more machine of this size now.
    pub(super) fn room_for(&self, machine: MachineId, size: Size) -> Option<HostId> {
        let plan = placement::plan(&[Need { machine, size }], &self.rooms());
        plan.here.first().map(|(_, host)| *host)
    }

    /// What has been promised on a host: to guests, and by holds.
    pub(in crate::site) fn promised_on(&self, host: HostId) -> Size {
        self.occupancy.on(host).map_or_else(Size::default, |occupied| occupied.promised)
    }

    /// A host has seen something new of its guests.
    pub(super) fn observe(
        &mut self,
        host: HostId,
        observations: &[Observation],
        turn: &mut Turn,
    ) -> Outcome {
        for observation in observations {
            let name = observation.guest;
            if let Some(remains) = self.remains.get(&(host, name)) {
                let is_of_it = observation.epoch == remains.epoch;
                if is_of_it && observation.seen == Seen::Released {
                    self.remove_remains(host, name);
                }
                continue;
            }
            let Some(guest) = self.guests.get_mut(&name) else { continue };
            if guest.lodging.host == host {
                guest.progress.observe(observation.epoch, &observation.seen, turn.now);
                self.guest_changed(name, turn);
            }
        }
        Outcome::Done
    }

    /// Turns a guest towards another goal.
    pub(super) fn order_guest(&mut self, name: MachineName, goal: Goal, turn: &mut Turn) {
        let Some(guest) = self.guests.get_mut(&name) else { return };
        match (&mut guest.leaving, goal) {
            (leaving @ Some(_), Goal::Destroyed) => *leaving = None,
            (Some(resumed), _) => *resumed = goal,
            (None, _) => guest.progress.order(goal, turn.now),
        }
        let host = guest.lodging.host;
        self.guest_changed(name, turn);
        if self.hosts.get(&host).is_some_and(|row| row.ended.is_some()) {
            self.rescue(name, turn);
        }
    }

    /// Tells a guest's home what has become of it, if that is news; if the home is this site,
    /// the machine's row learns it at once.
    pub(super) fn guest_changed(&mut self, name: MachineName, turn: &mut Turn) {
        let left =
            |guest: &Guest| guest.leaving.is_some() && guest.progress.phase == Phase::Released;
        if self.guests.get(&name).is_some_and(left) {
            if let Some(guest) = self.remove_guest(name) {
                self.resettle(name, guest, turn);
            }
            return;
        }
        if self.is_left_over(name, turn) {
            return self.keep_if_stopped(name, turn);
        }
        if let Some(report) = self.news_of(name) {
            if name.home == self.me() {
                self.sighted(&report, turn);
            } else {
                self.owe(name.home, Message::Report(report), turn);
            }
        }
        self.release(name, turn);
    }

    /// What the guest's home has not been told yet.
    fn news_of(&mut self, name: MachineName) -> Option<Report> {
        let guest = self.guests.get(&name)?;
        let report = report_of(name, guest);
        let told = guest.told.as_ref().is_some_and(|told| {
            (told.epoch, told.state, &told.reason) == (report.epoch, report.state, &report.reason)
        });
        if told {
            return None;
        }
        if let Some(guest) = self.guests.get_mut(&name) {
            guest.told = Some(report.clone());
        }
        Some(report)
    }

    /// Forgets a guest of which nothing is left, and ends its agreement.
    fn release(&mut self, name: MachineName, turn: &Turn) {
        let Some(guest) = self.guests.get(&name) else { return };
        if guest.progress.phase != Phase::Released {
            return;
        }
        let agreement = guest.agreement;
        self.remove_guest(name);
        self.end_agreement(agreement, turn);
    }

    /// The name of a guest that is at home here.
    pub(super) fn own_guest(&self, machine: MachineId) -> MachineName {
        guest_name(self.me(), machine)
    }
}

fn report_of(name: MachineName, guest: &Guest) -> Report {
    let progress = &guest.progress;
    Report {
        machine: name.machine,
        epoch: progress.epoch,
        state: progress.state(),
        since: progress.since,
        reason: progress.reason.clone(),
    }
}
