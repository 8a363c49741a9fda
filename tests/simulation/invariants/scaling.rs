//! A component of a service has as many machines as its tenant has said last: at once, as far as
//! they are wanted, and in its manifest from then on.

use std::collections::BTreeSet;

use protocol::ids::{RequestId, ServiceId};
use protocol::machine::Goal;
use protocol::manifest::ComponentName;
use protocol::site::command::TenantAsk;
use protocol::site::{Command, Outcome, Site};

use crate::world::World;

/// What has been granted, so that a repetition is not taken for a new word.
pub(crate) type Granted = BTreeSet<RequestId>;

impl World {
    /// Judges a request for another number of machines that a site has just granted.
    pub(crate) fn judge_scaling(&mut self, member: usize, command: &Command, outcome: &Outcome) {
        let Command::Tenant { request, ask, .. } = command else { return };
        let TenantAsk::Scale { service, component, replicas } = ask else { return };
        if *outcome != Outcome::Done || !self.scaled.insert(*request) {
            return;
        }
        self.census.services_scaled += 1;
        let Some(state) = self.members[member].state() else { return };
        let has = standing(state, *service, component);
        let row = state.service(*service);
        let said = row.and_then(|row| row.manifest.components().get(component));
        let said = said.map(|component| component.replicas);
        if (has, said) != (*replicas, Some(*replicas)) {
            let detail =
                format!("{replicas} of {component} were granted: {has}, and {said:?} said");
            self.breach("scaling", member, detail);
        }
    }
}

/// How many machines of a component are wanted.
fn standing(state: &Site, service: ServiceId, component: &ComponentName) -> u32 {
    let machines = state.service(service).map(|row| row.machines.iter());
    let rows = machines.into_iter().flatten().filter_map(|id| state.machine(*id));
    let its = rows.filter(|row| {
        row.membership.as_ref().is_some_and(|it| it.component == *component)
            && row.goal != Goal::Destroyed
            && row.ended.is_none()
    });
    u32::try_from(its.count()).expect("a component has few machines")
}
