//! A hold or an agreement never exceeds the capacity behind it, and the rows of a site agree with
//! each other: what [`Site::violations`](protocol::site::Site::violations) says.

use crate::world::World;

impl World {
    /// Judges a site's rows, as its leader has them.
    pub(crate) fn judge_capacity(&mut self, member: usize) {
        let found = self.members[member].state().map(protocol::site::Site::violations);
        if let Some(found) = found
            && !found.is_empty()
        {
            self.breach("capacity", member, format!("{found:?}"));
        }
    }
}
