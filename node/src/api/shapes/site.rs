//! The site and its hosts, as the interface says them.

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::{Moment, Tariff};

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How often it has been restored from a backup.
    pub incarnation: u64,
    /// When it was founded.
    pub founded: Moment,
    /// What it charges.
    pub tariff: Tariff,
    /// The share of its capacity that is kept for its own tenants.
    pub reserve: String,
    /// The node that answered.
    pub node: Node,
    /// What an operator sees besides; not told to tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
}

/// Where a node stands among its site's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Whether it leads.
    pub is_leader: bool,
    /// Who leads, if anybody is known to.
    pub leader: Option<u64>,
    /// The term of that leadership.
    pub term: u64,
    /// The index of the last log entry applied.
    pub index: u64,
}

/// What an operator sees of a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// The site's nodes.
    pub nodes: Vec<super::node::Node>,
    /// Which of their certificates count.
    #[serde(default)]
    pub certificates: super::node::Certificates,
    /// The site's hosts.
    pub hosts: Vec<Host>,
    /// How many services there are that have not ended.
    pub services: usize,
    /// How many machines of own tenants there are that have not ended, wherever they are.
    pub machines: usize,
    /// Who was turned away at the gate lately, the latest last.
    pub refused: Vec<Refused>,
}

/// Somebody who was turned away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Moment,
    /// From which address.
    pub address: String,
    /// The site that it claimed to speak for, not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// Whether this site refused; otherwise the other did.
    pub by_us: bool,
    /// Why.
    pub reason: String,
}

/// A share of the capacity that is to be kept for own tenants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// From 0 to 1, such as `0.25`.
    pub share: String,
}
