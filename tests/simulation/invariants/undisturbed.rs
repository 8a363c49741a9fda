//! What runs where it is to run is not ended by its own site.
//!
//! A tenant's guest may be lost with its host, and is ended when it was given up or goes
//! elsewhere. A site that ends it for any other reason has believed something that is not so: what
//! was seen of an earlier start, say.

use protocol::machine::Goal;
use protocol::machine::guest::{Phase, Progress};
use protocol::machine::host::Action;

use crate::host::Local;
use crate::world::World;

impl World {
    /// Judges what a host is about to do to a guest, by a state that has everything committed.
    pub(crate) fn judge_action(
        &mut self,
        (member, host): (usize, usize),
        action: &Action,
        progress: &Progress,
        local: Local,
    ) {
        let runs = local.guest.is_some_and(|guest| guest.running);
        let wanted = progress.goal == Goal::Active && progress.phase != Phase::Failed;
        if let Action::Destroy(epoch) = action
            && runs
            && wanted
        {
            let detail = format!("host {host} ends a guest of {epoch} that runs and is to run");
            self.breach("undisturbed", member, detail);
        }
    }
}
