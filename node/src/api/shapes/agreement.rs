//! Agreements, as the interface says them.

use protocol::sla::Class;
use serde::{Deserialize, Serialize};

use super::{Moment, Size};

/// On which side of an agreement this site is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// It owns the machine and pays.
    Home,
    /// It runs the machine and is paid.
    Provider,
}

/// An agreement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Its id, the same at both sites.
    pub id: String,
    /// On which side this site is.
    pub side: Side,
    /// What this site calls the other.
    pub peer: String,
    /// The other's id.
    pub peer_id: String,
    /// The machine, by its id at home.
    pub machine: String,
    /// What its tenant calls it; none at the provider, who is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it takes.
    pub size: Size,
    /// What it costs for one hour.
    pub price: String,
    /// In which currency.
    pub currency: String,
    /// Since when.
    pub since: Moment,
    /// Until when, unless it is renewed.
    pub until: Moment,
    /// What the provider promises of the machine.
    pub class: Class,
    /// How long before it ends it the provider says so, in seconds.
    pub notice_s: u64,
    /// How long the provider keeps the disks if it ends without the home's word, in seconds.
    pub retention_s: u64,
    /// What the provider has proposed and does not count yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Proposed>,
    /// Its end, if somebody has said that it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination: Option<Termination>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Moment>,
    /// What the other side has signed, the oldest first.
    pub evidence: Vec<Evidence>,
}

/// New terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposed {
    /// What the machine is to cost for one hour.
    pub price: String,
    /// Until when.
    pub until: Moment,
}

/// The word that an agreement ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Termination {
    /// Whether this site has said it; otherwise the other has.
    pub by_us: bool,
    /// When it ends.
    pub at: Moment,
    /// Why.
    pub reason: String,
}

/// A signed statement of the other side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is: offer, acceptance, agreement, proposal, consent, renewal or termination.
    pub kind: String,
    /// Its number in the other's stream.
    pub number: u64,
    /// When it was said, by the other's clock.
    pub issued: Moment,
    /// The hash that was signed.
    pub digest: String,
}
