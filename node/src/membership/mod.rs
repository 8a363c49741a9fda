//! The nodes of one site, to each other.
//!
//! ```text
//!   tenant -> any node -> propose --(bus)--> leader -> log -> every node -> hosts
//!                         current --(bus)--> leader: how far is the state?
//! ```
//!
//! A site is one state, and what any of its nodes is told is as good as told to all: what a node
//! cannot decide itself it passes on to the one that leads ([`leader`]), and answers what others
//! pass on to it ([`answer`]). Raft's own messages take the same bus ([`transport`]). Who belongs
//! together is in the state; [`links`] keeps the connections as it says, and the driver of the node
//! that leads has Raft's members follow. A new node comes with a token ([`token`]) and leaves with
//! the site's word for its key ([`join`]), which it has renewed as long as it takes part
//! ([`certificates`]).

pub mod join;
pub mod token;

pub(crate) mod answer;
pub(crate) mod certificates;
pub(crate) mod files;
pub(crate) mod leader;
pub(crate) mod links;
mod names;
pub(crate) mod root;
pub(crate) mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use protocol::identity::PublicKey;
use protocol::ids::NodeId;

/// The number of the node that founds a site.
pub const FOUNDER: NodeId = NodeId(1);

const DIRECTORY: &str = "nothing that holds the directory panics";

/// Which key each node of the site has: from the state, and before there is one, from whoever let
/// this node join.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Arc<RwLock<BTreeMap<NodeId, PublicKey>>>);

impl Directory {
    /// The key of a node.
    pub(crate) fn key(&self, node: NodeId) -> Option<PublicKey> {
        self.0.read().expect(DIRECTORY).get(&node).copied()
    }

    /// The nodes, with their keys.
    pub(crate) fn all(&self) -> BTreeMap<NodeId, PublicKey> {
        self.0.read().expect(DIRECTORY).clone()
    }

    /// Takes over what is known now.
    pub(crate) fn replace(&self, nodes: BTreeMap<NodeId, PublicKey>) {
        *self.0.write().expect(DIRECTORY) = nodes;
    }
}
