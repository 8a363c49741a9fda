//! What leases are about: whose machines run here, and where those of this site run.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Site;
use super::super::state::Place;
use crate::epoch::Epoch;
use crate::ids::{HostId, MachineId, MachineName, SiteId};
use crate::manifest::OnPartition;

impl Site {
    /// Those of the machines asked about that a provider may go on running: they are there by
    /// agreement, in the epoch that the provider names. None, once its session has ended and it
    /// has not been taken back.
    #[must_use]
    pub fn renewable(&self, provider: SiteId, asked: &[(MachineId, u64)]) -> Vec<MachineId> {
        if self.is_ended(provider) {
            return Vec::new();
        }
        let is_there = |(machine, epoch): &&(MachineId, u64)| {
            self.machines.get(machine).is_some_and(|row| {
                let there = matches!(row.place, Place::There { site, .. } if site == provider);
                there && row.epoch == *epoch
            })
        };
        asked.iter().filter(is_there).map(|(machine, _)| *machine).collect()
    }

    /// The peers that run machines of this site, but for those whose session has ended.
    #[must_use]
    pub fn providers(&self) -> BTreeSet<SiteId> {
        let there = self.machines.iter().filter_map(|(_, row)| match row.place {
            Place::There { site, .. } => Some(site),
            _ => None,
        });
        there.filter(|peer| !self.is_ended(*peer)).collect()
    }

    /// The machines of other sites that run here, by their homes, each with the home's part of
    /// its epoch.
    #[must_use]
    pub fn foreign(&self) -> BTreeMap<SiteId, Vec<(MachineId, u64)>> {
        let me = self.me();
        let mut homes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, guest) in self.guests.iter().filter(|(name, _)| name.home != me) {
            let of_home = homes.entry(name.home).or_default();
            of_home.push((name.machine, guest.progress.epoch.home));
        }
        homes
    }

    /// The machines on one host, each with its epoch and what becomes of it when its lease ends.
    /// What is left there of machines that were placed elsewhere is not among them.
    #[must_use]
    pub fn leased_on(&self, host: HostId) -> Vec<(MachineName, Epoch, OnPartition)> {
        let guests = self.guests_at(host);
        guests.map(|(name, guest)| (*name, guest.progress.epoch, guest.on_partition)).collect()
    }
}
