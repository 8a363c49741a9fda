//! Which of the site's nodes is its gateway.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Site;
use super::super::command::{Outcome, Refusal};
use crate::ids::NodeId;
use crate::networks::gateway::{Gateway, successor};

impl Site {
    /// The site's gateway, as others reach it; none if it has none, or that is not known yet.
    #[must_use]
    pub fn gateway(&self) -> Option<Gateway> {
        let (_, row) = self.nodes.iter().find(|(_, row)| row.is_gateway)?;
        Some(row.uplink?.gateway)
    }

    /// The node that the leader is to name as the gateway, if another than the present one.
    #[must_use]
    pub fn gateway_step(&self, reached: &BTreeSet<NodeId>) -> Option<NodeId> {
        let able: BTreeMap<NodeId, bool> = self
            .nodes
            .iter()
            .filter(|(id, _)| self.stays(**id))
            .filter_map(|(id, row)| Some((*id, row.uplink?.gateway.endpoint.is_some())))
            .collect();
        let present = self.nodes.iter().find(|(_, row)| row.is_gateway).map(|(id, _)| *id);
        successor(&able, reached, present)
    }

    /// Makes a node the gateway in the place of any other.
    pub(super) fn name_gateway(&mut self, node: NodeId) -> Result<Outcome, Refusal> {
        if !self.stays(node) {
            return Err(Refusal::UnknownNode { node });
        }
        let others: Vec<NodeId> = self.nodes.iter().map(|(id, _)| *id).collect();
        for id in others {
            let is_it = id == node;
            if self.nodes.get(&id).is_some_and(|row| row.is_gateway != is_it)
                && let Some(row) = self.nodes.get_mut(&id)
            {
                row.is_gateway = is_it;
            }
        }
        Ok(Outcome::Done)
    }
}
