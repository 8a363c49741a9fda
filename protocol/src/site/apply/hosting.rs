//! Hosts and guests: what runs here, and what its home is told of it.

use std::collections::BTreeMap;

use super::super::command::{Described, Observation, Outcome, Refusal};
use super::super::state::{Guest, Host, guest_name};
use super::super::{Site, Turn};
use crate::agreement::{Message, Report};
use crate::ids::{HostId, MachineName};
use crate::machine::Goal;
use crate::machine::guest::Phase;
use crate::placement::Room;
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
        let since = match self.hosts.get(&host) {
            Some(known) if known.trouble == trouble => known.since,
            _ => turn.now,
        };
        self.hosts.insert(host, Host { node, name, capacity, hypervisor, trouble, since });
        Ok(Outcome::Done)
    }

    /// What is left on each host that takes machines.
    pub(in crate::site) fn rooms(&self) -> Vec<Room> {
        let mut promised: BTreeMap<HostId, Size> = BTreeMap::new();
        for (host, size) in self.promises() {
            let sum = promised.entry(host).or_default();
            *sum = sum.plus(size);
        }
        let takes = |host: &Host| host.trouble.is_empty() && self.stays(host.node);
        self.hosts
            .iter()
            .filter(|(_, host)| takes(host))
            .map(|(id, host)| {
                let promised = promised.get(id).copied().unwrap_or_default();
                Room { host: *id, free: host.capacity.minus(promised) }
            })
            .collect()
    }

    /// What has been promised on a host: to guests, and by holds.
    pub(in crate::site) fn promised_on(&self, host: HostId) -> Size {
        let here = self.promises().filter(|(there, _)| *there == host);
        here.fold(Size::default(), |sum, (_, size)| sum.plus(size))
    }

    fn promises(&self) -> impl Iterator<Item = (HostId, Size)> {
        let guests = self.guests.iter().map(|(_, guest)| (guest.lodging.host, guest.hull.size()));
        guests.chain(self.holds.iter().map(|(_, hold)| (hold.lodging.host, hold.hull.size())))
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
        guest.progress.order(goal, turn.now);
        self.guest_changed(name, turn);
    }

    /// Tells a guest's home what has become of it, if that is news; if the home is this site,
    /// the machine's row learns it at once.
    fn guest_changed(&mut self, name: MachineName, turn: &mut Turn) {
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
        self.guests.remove(&name);
        if let Some(agreement) = agreement.and_then(|id| self.agreements.get_mut(&id)) {
            agreement.ended = Some(turn.now);
        }
    }

    /// The name of a guest that is at home here.
    pub(super) fn own_guest(&self, machine: crate::ids::MachineId) -> MachineName {
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
