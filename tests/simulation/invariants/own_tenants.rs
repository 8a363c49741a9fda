//! A site cut off from everyone goes on serving its own tenants: what they submit meanwhile runs
//! there, if there is room, within a bounded time.
//!
//! At times a site is cut off from all others, and left in peace inside. One of its tenants submits a
//! machine; near the end of the cut it is looked at.

use protocol::ids::HostId;
use protocol::machine::{Goal, State};
use protocol::membership::Standing;
use protocol::site::state::{Displacement, Host, Machine, Node, Place, Stage};
use protocol::site::{Outcome, Site};
use protocol::units::{Mebibytes, Size};

use crate::nodes::place;
use crate::world::{Event, World};

/// How long a site is alone, in milliseconds.
const ALONE: u64 = 40_000;

/// Within how long what its tenant has submitted has to run: some rounds of leases, and some
/// repetitions of the request.
const SERVED: u64 = 35_000;

/// What the tenant submits.
pub(crate) const SMALL: Size = Size { vcpus: 1, memory: Mebibytes(128), disk: Mebibytes(256) };

impl World {
    /// Whether nothing goes wrong inside a site.
    pub(crate) fn is_quiet(&self, member: usize) -> bool {
        self.calm || self.network.isolated == Some(member)
    }

    /// Cuts a site off from all others, if it is well, and has a tenant submit a machine there.
    pub(crate) fn isolate(&mut self, member: usize) {
        if self.network.isolated.is_some() || !self.is_ready_to_serve(member) {
            return;
        }
        self.census.sites_isolated += 1;
        self.network.isolated = Some(member);
        self.schedule(self.now + ALONE, Event::Rejoin);
        let client = self.submit_one(member);
        self.schedule(self.now + SERVED, Event::Served { client });
    }

    /// A site is connected to the others again.
    pub(crate) fn rejoin(&mut self) {
        self.network.isolated = None;
    }

    fn is_ready_to_serve(&self, member: usize) -> bool {
        let site = &self.members[member];
        let Some(state) = site.state() else { return false };
        let hosts_are_well = site
            .hosts
            .iter()
            .all(|host| host.unreachable_until.is_none() || site.replicas[host.node].gone);
        let is_sought = state.machines().any(|(_, row)| {
            !matches!(row.place, Place::Nowhere | Place::Here(_) | Place::There { .. })
        });
        let stays = |(id, node): (_, &Node)| {
            node.standing != Standing::Leaving && !site.replicas[place(id)].gone
        };
        site.is_whole()
            && state.nodes().all(stays)
            && site.pending.is_empty()
            && hosts_are_well
            && !is_sought
            && state.hosts().all(|(_, row)| row.ended.is_none() && !row.drained)
            && state.images().next().is_some()
            && has_room(state)
    }

    /// Judges whether what was submitted at a site that was alone runs there.
    pub(crate) fn judge_served(&mut self, client: usize) {
        let member = self.clients[client].member;
        let Some(state) = self.members[member].state() else { return };
        let rows: Vec<_> = match &self.clients[client].answer {
            Some(Outcome::Service(id)) => {
                let Some(service) = state.service(*id) else { return };
                if matches!(service.stage, Stage::Ending | Stage::Ended) {
                    return;
                }
                service.machines.iter().filter_map(|id| state.machine(*id)).collect()
            }
            _ => Vec::new(),
        };
        let is_served = rows
            .iter()
            .any(|row| matches!(row.place, Place::Here(_)) && row.state() == State::Active);
        // Its tenant may have said otherwise meanwhile, another may have taken the room, or its host
        // was about to lose its lease when the site was cut off: then it is sought again at its time.
        let is_moved = |row: &&Machine| row.epoch > 1 || row.displacement == Displacement::Lost;
        let is_wanted = |row: &&Machine| matches!(row.goal, Goal::Active | Goal::Defined);
        let is_excused =
            rows.iter().any(|row| is_moved(row) || !is_wanted(row)) || !has_room(state);
        if is_served {
            self.census.served_alone += 1;
        } else if !is_excused {
            let answer = &self.clients[client].answer;
            let detail = format!("what was submitted does not run: {answer:?} {rows:?}");
            self.breach("own_tenants", member, detail);
        }
    }
}

/// Whether a host that takes machines has room for one more.
fn has_room(state: &Site) -> bool {
    let takes = |(id, row): &(&HostId, &Host)| {
        row.trouble.is_empty()
            && !row.drained
            && row.ended.is_none()
            && state.node(row.node).is_some_and(|node| node.standing != Standing::Leaving)
            && state.remains_on(**id) == 0
    };
    state
        .hosts()
        .filter(takes)
        .any(|(id, row)| row.capacity.minus(state.promised(*id)).holds(SMALL))
}
