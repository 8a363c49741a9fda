//! What has ended is forgotten after its time, and nothing else is: otherwise a site would fill
//! up, or lose what its tenants still have.

use protocol::ids::{MachineId, ServiceId};
use protocol::site::state::Stage;
use protocol::site::{Command, ENDED_KEPT, Site, Stamped};

use crate::world::World;

/// The services and machines that have not ended.
fn standing(site: &Site) -> (Vec<ServiceId>, Vec<MachineId>) {
    let services = site
        .services()
        .filter(|(_, service)| !matches!(service.stage, Stage::Ended | Stage::Refused))
        .map(|(id, _)| *id);
    let machines = site.machines().filter(|(_, row)| row.ended.is_none()).map(|(id, _)| *id);
    (services.collect(), machines.collect())
}

impl World {
    /// Lets the time pass after which a site forgets, and judges what is left.
    pub(crate) fn judge_forgetting(&mut self, member: usize) {
        let Some(state) = self.members[member].state() else { return };
        let before = standing(state);
        let untidy = state.now() + ENDED_KEPT;
        let was_untidy = state.is_untidy(untidy);
        let stamped = Stamped { at: untidy, seed: self.chance.bytes(), command: Command::Tick };
        self.append(member, &stamped);
        let Some(state) = self.members[member].state() else { return };
        self.census.sites_tidied += u64::from(was_untidy);
        let services: Vec<ServiceId> = state.services().map(|(id, _)| *id).collect();
        let machines: Vec<MachineId> = state.machines().map(|(id, _)| *id).collect();
        if (services, machines) != before || state.is_untidy(untidy) {
            let detail = format!("what stood was {before:?}, what is left is other");
            self.breach("forgetting", member, detail);
        }
    }
}
