//! Judges a plan. It shares no code with what makes plans.

use std::collections::BTreeMap;

use super::{Need, Plan, Room};
use crate::ids::{HostId, MachineId};

/// What is wrong with a plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Violation {
    /// A machine that was asked for is missing, or is there twice.
    NotOnce(MachineId),
    /// A machine that was not asked for.
    Unasked(MachineId),
    /// A host that does not exist.
    UnknownHost(HostId),
    /// More on a host than it has room for.
    Oversold(HostId),
}

/// Everything that is wrong with a plan for `needs` on `rooms`.
#[must_use]
pub fn violations(plan: &Plan, needs: &[Need], rooms: &[Room]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut times: BTreeMap<MachineId, u32> = BTreeMap::new();
    for machine in plan.here.iter().map(|(machine, _)| machine).chain(&plan.elsewhere) {
        *times.entry(*machine).or_default() += 1;
    }
    for need in needs {
        if times.remove(&need.machine) != Some(1) {
            found.push(Violation::NotOnce(need.machine));
        }
    }
    found.extend(times.into_keys().map(Violation::Unasked));
    let mut loads: BTreeMap<HostId, (u64, u64, u64)> = BTreeMap::new();
    for (machine, host) in &plan.here {
        if let Some(need) = needs.iter().find(|need| need.machine == *machine) {
            let load = loads.entry(*host).or_default();
            load.0 += u64::from(need.size.vcpus);
            load.1 += need.size.memory.0;
            load.2 += need.size.disk.0;
        }
    }
    for (host, (vcpus, memory, disk)) in loads {
        match rooms.iter().find(|room| room.host == host) {
            None => found.push(Violation::UnknownHost(host)),
            Some(room)
                if vcpus > u64::from(room.free.vcpus)
                    || memory > room.free.memory.0
                    || disk > room.free.disk.0 =>
            {
                found.push(Violation::Oversold(host));
            }
            Some(_) => {}
        }
    }
    found
}
