//! The nodes of a site, as its operators see them.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use testnet::wait_for;

use crate::sites::{PATIENCE, Sites};
use crate::world::until;

/// A node, as far as the tests look at it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: usize,
    role: String,
    lag: Option<u64>,
    pub(crate) reachable: bool,
}

impl Node {
    pub(crate) fn votes(&self) -> bool {
        matches!(self.role.as_str(), "leader" | "voter")
    }
}

/// The nodes, as the one at `at` has them.
pub(crate) fn nodes(sites: &Sites, at: &str) -> Result<Vec<Node>> {
    sites.read(at, &["site", "node", "ls"])
}

/// The name of the node that leads, once one of those in `names`, numbered from 1, does.
pub(crate) fn leader<'a>(sites: &Sites, at: &str, names: &[&'a str]) -> Result<&'a str> {
    let known: BTreeMap<usize, &str> = (1..).zip(names.iter().copied()).collect();
    wait_for("a leader", PATIENCE, || {
        let leads = nodes(sites, at)?.into_iter().find(|node| node.role == "leader");
        Ok(leads.and_then(|node| known.get(&node.id).copied()))
    })
}

/// Waits until so many nodes vote, and lack nothing.
pub(crate) fn until_voters(sites: &Sites, at: &str, count: usize) -> Result<()> {
    until("the votes", || {
        let all = nodes(sites, at)?;
        let voters: Vec<&Node> = all.iter().filter(|node| node.votes()).collect();
        Ok(voters.len() == count && voters.iter().all(|node| node.reachable && node.lag == Some(0)))
    })
}
