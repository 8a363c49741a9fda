//! The networks of a service, and which of its components are on them.
//!
//! A service that names no networks has one, [`LAN`], and every machine is on it.

mod group;
mod misfit;
mod problem;
mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::name::{GroupName, NetworkName};
use super::quoted;
use crate::networks::{Prefix4, Prefix6, Speed};
use crate::sla::Class;

pub(super) use group::prefixes;
pub use group::{Group, Groups};
pub(super) use misfit::{Misfit, misfits};
pub use problem::Problem;
pub(super) use read::with;

/// The network of a service that names none.
pub const LAN: &str = "lan";

/// A network as its tenant asked for it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its IPv4 addresses; if it is not said, a share of its group's, or some that no other network
    /// of the service has.
    pub prefix: Option<Prefix4>,
    /// Its IPv6 addresses; likewise.
    pub prefix6: Option<Prefix6>,
    /// How fast each card on it is at the most, in each direction.
    pub speed: Option<Speed>,
    /// What is to be promised of it.
    pub class: Class,
    /// Whether machines on it that have no public address reach the public network.
    pub outbound: bool,
    /// Networks of one group are routed to each other.
    pub group: Option<GroupName>,
}

/// How the machines of a component are on a network.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// The address of its only machine; allotted, if it is not said.
    pub address: Option<Ipv4Addr>,
    /// Whether each of its machines gets a public address by which it is reached there.
    pub public: bool,
}

/// The networks of a service that names none.
pub(super) fn default_networks() -> BTreeMap<NetworkName, Network> {
    let name = LAN.parse().expect("a label");
    BTreeMap::from([(name, Network::default())])
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return writeln!(f, " {{}}");
        }
        writeln!(f)?;
        if let Some(prefix) = self.prefix {
            writeln!(f, "    prefix: {prefix}")?;
        }
        if let Some(prefix) = self.prefix6 {
            writeln!(f, "    prefix6: {prefix}")?;
        }
        if let Some(speed) = self.speed {
            writeln!(f, "    speed: {speed}")?;
        }
        if self.class != Class::default() {
            writeln!(f, "    sla: {}", self.class)?;
        }
        if self.outbound {
            writeln!(f, "    outbound: true")?;
        }
        if let Some(group) = &self.group {
            writeln!(f, "    group: \"{group}\"")?;
        }
        Ok(())
    }
}

/// The networks of a component, as short as they can be written.
pub(super) fn write_attachments(
    networks: &BTreeMap<NetworkName, Attachment>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if networks.values().all(|attachment| *attachment == Attachment::default()) {
        return writeln!(f, "    networks: [{}]", quoted(networks.keys()));
    }
    writeln!(f, "    networks:")?;
    for (name, attachment) in networks {
        let address = attachment.address.map(|address| format!("address: {address}"));
        let public = attachment.public.then(|| "public: true".to_owned());
        let said: Vec<String> = address.into_iter().chain(public).collect();
        if said.is_empty() {
            writeln!(f, "      \"{name}\": {{}}")?;
        } else {
            writeln!(f, "      \"{name}\": {{ {} }}", said.join(", "))?;
        }
    }
    Ok(())
}
