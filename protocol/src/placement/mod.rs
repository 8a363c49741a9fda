//! Which of a site's own hosts takes a machine.
//!
//! A plan is complete: whoever carries it out has nothing left to decide. [`check`] judges a plan
//! without any code that made it.

pub mod check;
#[cfg(test)]
mod tests;

use crate::ids::{HostId, MachineId};
use crate::units::Size;

/// A machine that needs a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Need {
    /// The machine.
    pub machine: MachineId,
    /// What it takes.
    pub size: Size,
}

/// A host that may take machines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// The host.
    pub host: HostId,
    /// What is left on it.
    pub free: Size,
}

/// Where each machine goes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Machines that fit here, with their hosts.
    pub here: Vec<(MachineId, HostId)>,
    /// Machines that do not.
    pub elsewhere: Vec<MachineId>,
}

/// Places machines on hosts: the largest first, each on the host where it leaves least behind
/// (best-fit decreasing), so that large room stays whole for large machines.
#[must_use]
pub fn plan(needs: &[Need], rooms: &[Room]) -> Plan {
    let mut order: Vec<&Need> = needs.iter().collect();
    order.sort_by_key(|need| {
        (std::cmp::Reverse((need.size.memory, need.size.vcpus, need.size.disk)), need.machine)
    });
    let mut rooms = rooms.to_vec();
    let mut plan = Plan::default();
    for need in order {
        let best = rooms.iter_mut().filter(|room| room.free.holds(need.size)).min_by_key(|room| {
            let left = room.free.minus(need.size);
            (left.memory, left.vcpus, left.disk, room.host)
        });
        match best {
            Some(room) => {
                room.free = room.free.minus(need.size);
                plan.here.push((need.machine, room.host));
            }
            None => plan.elsewhere.push(need.machine),
        }
    }
    plan
}
