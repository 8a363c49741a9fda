//! Public addresses, as the interface says them.

use serde::{Deserialize, Serialize};

/// A public address of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: String,
    /// The machine that is reached by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Reached>,
    /// Whether it goes with that machine, since a manifest asked for it.
    pub goes_with_machine: bool,
}

/// A machine that is reached by a public address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The network on which it is.
    pub network: String,
    /// Its own address there.
    pub address: String,
}

/// What an address is to reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Association {
    /// The machine's id.
    pub machine: String,
    /// On which of its networks, by its name; the first that reaches the public network, if none
    /// is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

/// A pool of public addresses that is to be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPool {
    /// Its addresses, as an address and a length.
    pub prefix: String,
}

/// A pool of public addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its addresses, as an address and a length.
    pub prefix: String,
    /// How many of them are tenants'.
    pub allocated: usize,
    /// How many there are.
    pub size: usize,
}
