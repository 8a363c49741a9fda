//! What was acknowledged is never lost, to a tenant or to a peer, by any replica that has applied
//! it.
//!
//! A service or machine whose submission was answered is in the state from then on; the last
//! message of a peer that was acknowledged has been taken up. (That a repeated request is
//! recognised is judged where it is answered.)

use protocol::site::Outcome;

use crate::world::World;

impl World {
    /// Judges what a site has acknowledged.
    pub(crate) fn judge_durability(&mut self, member: usize) {
        let mut lost = None;
        for (outcome, length) in &self.members[member].acknowledged {
            let is_lost = self.members[member]
                .replicas
                .iter()
                .filter(|replica| replica.applied >= *length)
                .any(|replica| match outcome {
                    Outcome::Service(id) => replica.site.service(*id).is_none(),
                    Outcome::Machine(id) => replica.site.machine(*id).is_none(),
                    Outcome::Done
                    | Outcome::Image(_)
                    | Outcome::Key(_)
                    | Outcome::Address(_)
                    | Outcome::Serial(_)
                    | Outcome::Node(_)
                    | Outcome::Taken(_)
                    | Outcome::Contradicted { .. }
                    | Outcome::Refused(_) => false,
                });
            if is_lost {
                lost = Some(format!("{outcome:?} was acknowledged and is lost"));
            }
        }
        let Some(state) = self.members[member].state() else { return };
        for ((_, sender), through) in self.receipts.range((member, 0)..=(member, usize::MAX)) {
            let peer = self.members[*sender].id;
            let taken = state.peer(peer).map_or(0, |peer| peer.taken);
            if taken < *through {
                lost = Some(format!(
                    "messages of {} were acknowledged up to {through} and taken up to {taken}",
                    self.members[*sender].name
                ));
            }
        }
        if let Some(detail) = lost {
            self.breach("durability", member, detail);
        }
    }
}
