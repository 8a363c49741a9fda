//! Who takes part in a site: what its nodes are, and what is done next so that Raft has the
//! members that the site's table of nodes names.
//!
//! ```text
//!   invited -> in the table -> learner -> caught up -> voter -> leaving -> removed -> struck
//!              (standing)      (Raft's members follow the table, one step at a time)
//! ```
//!
//! The table says how it should be; Raft's members say how it is; [`next_step`] compares the two.
//! The leader takes the step and looks again, so nothing is lost when a leader is.
//!
//! **An odd number of voters.** A fourth voter would not let the site lose more nodes than three
//! do, and one more would have to answer each time: so learners are promoted only as many at a
//! time as leave an odd number. A second node waits as a learner for the third. A removal is done
//! whatever number it leaves: two voters are better kept for the next one than brought down to one,
//! which would leave a single copy of what is acknowledged meanwhile.
//!
//! **From one voter to more.** The guests of a site's only node have no deadline. Before the only voter
//! gives another node a vote, they have to have one: see [`crate::lease`], where that is proven.

pub mod serials;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::time::Span;

/// The most nodes of a site. Each of them gets every entry of the log from the leader; a larger
/// site is better two sites.
pub const NODES_MAX: usize = 15;

/// The most voters: with seven a site loses any three at once, and each further pair would make
/// every write wait for one more disk.
pub const VOTERS_MAX: usize = 7;

/// The most invitations that can be open at once: as many as there can be nodes.
pub const INVITATIONS_MAX: usize = 16;

/// The most addresses of one node on the bus: two transports on four networks.
pub const ADDRESSES_MAX: usize = 8;

/// The most bytes of one of them: a multiaddress with the longest DNS name (253) fits.
pub const ADDRESS_BYTES_MAX: usize = 300;

/// How long the root key's word for a node's key holds. A node that was taken out is remembered as
/// long, since its certificate would let it in.
pub const CERTIFICATE_LIFETIME: Span = Span::from_secs(90 * 86_400);

/// What a node is meant to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It follows without a vote.
    Learner,
    /// It has a vote as soon as it has caught up.
    Voter,
    /// It is taken out.
    Leaving,
}

/// Raft's members, as the leader knows them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Members {
    /// Who has a vote.
    pub voters: BTreeSet<NodeId>,
    /// Who follows without one.
    pub learners: BTreeSet<NodeId>,
    /// The learners that have caught up.
    pub ready: BTreeSet<NodeId>,
    /// Those that the leader hears now, itself among them.
    pub reached: BTreeSet<NodeId>,
}

impl Members {
    /// Whether those who have a vote besides `node` can decide without it.
    fn can_do_without(&self, node: NodeId) -> bool {
        let others: Vec<&NodeId> = self.voters.iter().filter(|voter| **voter != node).collect();
        let reached = others.iter().filter(|voter| self.reached.contains(voter)).count();
        reached * 2 > others.len()
    }
}

/// The next thing to do about the members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Let a node follow.
    Add(NodeId),
    /// Give these learners a vote.
    Promote(BTreeSet<NodeId>),
    /// Take a node out of the members.
    Remove(NodeId),
    /// The node is no member any more: strike it from the table.
    Strike(NodeId),
}

/// What is to be done next, if anything is. `nodes` is the site's table, `leader` the node that
/// asks.
///
/// Who leaves goes first, so that a dead node stands in nobody's way: of several, one that is not
/// reached, and the leader itself last, since its successor has to find its feet. Nobody goes whom
/// the others could not do without: a majority of those who stay has to be reached, or the removal
/// itself could not be decided, nor anything after it.
#[must_use]
pub fn next_step(
    nodes: &BTreeMap<NodeId, Standing>,
    members: &Members,
    leader: NodeId,
) -> Option<Step> {
    let is_member =
        |node: &NodeId| members.voters.contains(node) || members.learners.contains(node);
    let leaves = |node: &NodeId| nodes.get(node).is_none_or(|it| *it == Standing::Leaving);
    if let Some(gone) = nodes.keys().find(|node| leaves(node) && !is_member(node)) {
        return Some(Step::Strike(*gone));
    }
    let mut leaving: Vec<NodeId> =
        members.learners.iter().chain(&members.voters).copied().filter(leaves).collect();
    leaving.sort_by_key(|node| (*node == leader, members.reached.contains(node), *node));
    if let Some(node) = leaving.iter().find(|node| members.can_do_without(**node)) {
        return Some(Step::Remove(*node));
    }
    if let Some(new) = nodes.keys().find(|node| !leaves(node) && !is_member(node)) {
        return Some(Step::Add(*new));
    }
    let wanted = |node: &&NodeId| nodes.get(node) == Some(&Standing::Voter);
    let ready: Vec<NodeId> =
        members.learners.intersection(&members.ready).filter(wanted).copied().collect();
    // The only voter leaves: whoever is ready takes its place, and it goes with the next step.
    let needed = if leaving.is_empty() { promotable(members.voters.len(), ready.len()) } else { 1 };
    let promoted: BTreeSet<NodeId> = ready.into_iter().take(needed).collect();
    (!promoted.is_empty()).then_some(Step::Promote(promoted))
}

/// How many of the learners that are ready get a vote: the most that leave an odd number.
fn promotable(voters: usize, ready: usize) -> usize {
    let most = (voters + ready).min(VOTERS_MAX);
    let odd = if most % 2 == 1 { most } else { most.saturating_sub(1) };
    odd.saturating_sub(voters)
}
