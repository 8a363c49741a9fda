//! All replicas of a site that have applied the same log have the same rows: those that lagged,
//! those that came back with their tables, those that were made again from the log, and one more
//! that is made now.

use crate::replica::Replica;
use crate::world::World;

impl World {
    /// Compares a site's replicas.
    pub(crate) fn judge_replicas(&mut self, member: usize) {
        for replica in 0..self.members[member].replicas.len() {
            self.follow(member, replica);
        }
        let site = &self.members[member];
        let mut fresh = Replica::new(0, site.replicas[0].clock, self.left_out);
        while fresh.applied < site.log.len() {
            fresh.apply_next(&site.log);
        }
        let mut followers = (0..site.replicas.len()).filter(|it| site.follows(*it));
        let differs = followers.find(|it| site.replicas[*it].rows != fresh.rows);
        if let Some(replica) = differs {
            let detail = format!("replica {replica} has other rows than its log says");
            self.breach("replicas", member, detail);
        }
    }
}
