//! Security groups, as the interface says them.

use serde::{Deserialize, Serialize};

/// A security group of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What others may begin with its machines, such as `tcp 443 from 0.0.0.0/0`.
    pub ingress: Vec<String>,
    /// What its machines may begin with others, such as `any to ::/0`.
    pub egress: Vec<String>,
    /// The components that are in it.
    pub components: Vec<String>,
}

/// The rules that a group is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What others may begin with its machines: nothing, if it is not said.
    #[serde(default)]
    pub ingress: Vec<String>,
    /// What its machines may begin with others: anything, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<String>>,
}

/// The groups that a component is to be in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memberships {
    /// Their names.
    pub groups: Vec<String>,
}
