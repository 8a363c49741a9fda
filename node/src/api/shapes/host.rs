//! Hosts, as the interface says them.

use serde::{Deserialize, Serialize};

use super::{Moment, Size};

/// A host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The node that speaks for it.
    pub node: u64,
    /// Whether it takes machines.
    pub standing: Standing,
    /// What its hypervisor calls itself.
    pub hypervisor: String,
    /// What it has to give.
    pub capacity: Size,
    /// What of it has been promised.
    pub promised: Size,
    /// How many machines of own tenants have a place on it.
    pub own_guests: usize,
    /// How many machines of other sites have.
    pub foreign_guests: usize,
    /// How many machines were placed elsewhere while it was lost, and are not gone from it yet.
    pub remains: usize,
    /// Of how many machines it keeps the disks, although their agreements have ended.
    #[serde(default)]
    pub kept: usize,
    /// Why nothing new can be placed on it; empty if it is well.
    pub trouble: String,
    /// Since when it is well, or in trouble.
    pub since: Moment,
}

/// Whether a host takes machines, and if not, why.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It takes machines.
    Well,
    /// It cannot take any at the moment.
    Trouble,
    /// It is to be empty.
    Drained,
    /// Its lease has ended: nobody knows what it does.
    Lost,
}

impl Standing {
    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Trouble => "trouble",
            Self::Drained => "drained",
            Self::Lost => "lost",
        }
    }
}
