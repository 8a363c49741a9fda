//! API keys, as the interface says them.

use protocol::site::state::Role;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// A label.
    pub name: String,
    /// Whose services it acts on, by name.
    pub tenant: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created: Moment,
}

/// A key that is to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// A label.
    pub name: String,
    /// Whose services it is to act on, by name: a new tenant, if there is none of that name. The
    /// caller's own, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it is to allow.
    pub role: Role,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// Its id.
    pub id: String,
    /// Its secret, which is told this once and known to nobody else.
    pub secret: String,
}
