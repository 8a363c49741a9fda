//! Services and plans, as the interface says them.

use protocol::site::state;
use serde::{Deserialize, Serialize};

use super::Moment;
use super::machine::{Machine, Place};

/// How far a service's deployment is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stage {
    /// Places are sought.
    Reserving,
    /// Offers are being accepted.
    Committing,
    /// The machines are started, tier after tier.
    Starting,
    /// Every machine has been started.
    Running,
    /// There was no room for it.
    Refused,
    /// It is being taken down.
    Ending,
    /// Nothing is left of it.
    Ended,
}

impl Stage {
    /// Whether nothing more happens to the service by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Running | Self::Refused | Self::Ended => true,
            Self::Reserving | Self::Committing | Self::Starting | Self::Ending => false,
        }
    }
}

impl From<&state::Stage> for Stage {
    fn from(stage: &state::Stage) -> Self {
        match stage {
            state::Stage::Reserving => Self::Reserving,
            state::Stage::Committing => Self::Committing,
            state::Stage::Starting => Self::Starting,
            state::Stage::Running => Self::Running,
            state::Stage::Refused => Self::Refused,
            state::Stage::Ending => Self::Ending,
            state::Stage::Ended => Self::Ended,
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Reserving => "RESERVING",
            Self::Committing => "COMMITTING",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Refused => "REFUSED",
            Self::Ending => "ENDING",
            Self::Ended => "ENDED",
        })
    }
}

/// A service, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub stage: Stage,
    /// How its machines hang together.
    pub mode: state::Mode,
    /// Since when it is at its stage.
    pub since: Moment,
    /// When it was submitted.
    pub created: Moment,
    /// How many machines it should have.
    pub machine_count: usize,
    /// How many of them are ACTIVE.
    pub active_count: usize,
}

/// A service with its machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The index of the last log entry that it accounts for.
    pub index: u64,
    /// The service.
    #[serde(flatten)]
    pub summary: Summary,
    /// Its machines, in the order of its components and their replicas.
    pub machines: Vec<Machine>,
    /// What was asked for, as YAML.
    pub manifest: String,
}

/// How many machines a component is to have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// So many.
    pub replicas: u32,
}

/// Where the machines of a manifest would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The service's name.
    pub service: String,
    /// Its machines, in the order of its components and their replicas.
    pub machines: Vec<Planned>,
}

/// Where one machine would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The name that it would have.
    pub name: String,
    /// Its component.
    pub component: String,
    /// Which of the component's machines, from 1.
    pub replica: u32,
    /// Where; nowhere, if no room is known of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What one hour of it would cost there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// The currency of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Why there, or why nowhere.
    pub why: String,
}
