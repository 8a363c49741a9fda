//! Machines, as the interface says them.

use protocol::machine::{Goal, State};
use protocol::manifest::OnPartition;
use protocol::sla::Class;
use serde::{Deserialize, Serialize};

use super::{Moment, Size};

/// Where a machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The site's name, as this site calls it.
    pub site: String,
    /// The site's id.
    pub site_id: String,
    /// The host's name, if it is one of this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A machine of a tenant, wherever it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The service that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// That service's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// The component of that service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Which of the component's machines, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<u32>,
    /// Its state.
    pub state: State,
    /// The state in which it should be.
    pub goal: Goal,
    /// What is wrong, or what it waits for; empty if nothing is.
    pub reason: String,
    /// Since when it is in its state.
    pub since: Moment,
    /// Where it is, if it is anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What one hour of it costs where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// The currency of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Its image's name, or the id of one that has been struck from the catalogue.
    pub image: String,
    /// Its image's id.
    pub image_id: String,
    /// What it takes.
    pub size: Size,
    /// What becomes of it if it cannot be reached.
    pub on_partition: OnPartition,
    /// What is to be promised of it at the least.
    pub sla: Class,
    /// Which start this is: the home's count, a dot, the provider's.
    pub epoch: String,
    /// Its IPv4 address on its host's bridge, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many bytes of user data it is handed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data_bytes: Option<u64>,
    /// When it was defined.
    pub created: Moment,
    /// When nothing was left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
}

/// A machine, and the state it was read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The index of the last log entry that it accounts for.
    pub index: u64,
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
}

/// A measure of what a machine says of itself, as it was last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kpi {
    /// Which measure.
    pub name: String,
    /// How much it was: a decimal number.
    pub value: String,
    /// When the machine said so, by how long ago that was for the site that runs it.
    pub at: Moment,
}

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The measures, by name.
    pub kpis: Vec<Kpi>,
}

/// A machine with what it says of itself, as the command line shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
    /// What it says of itself.
    #[serde(flatten)]
    pub observed: Observed,
    /// Why that is not known, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kpis_unknown: Option<String>,
}

/// A machine that is to be defined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name.
    pub name: String,
    /// The name of its image in the catalogue.
    pub image: String,
    /// What it takes.
    pub size: Size,
    /// The sites it may run at, by name or id; none given, any may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// What becomes of it if it cannot be reached; none given, it is fenced.
    #[serde(default)]
    pub on_partition: OnPartition,
    /// What is to be promised of it at the least; none given, nothing is.
    #[serde(default)]
    pub sla: Class,
    /// What is handed to it, in base64: at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
}
