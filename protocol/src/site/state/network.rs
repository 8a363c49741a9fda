//! What its tenants' networks are, and who has which address in them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::ids::{MachineId, NetworkId, ServiceId, SiteId, TenantId};
use crate::manifest::{GroupName, NetworkName, SecurityGroups};
use crate::networks::lan::{End, Terms};
use crate::networks::{Offset, Prefix4, Prefix6, Speed};
use crate::sla::Class;

/// A network of a tenant of this site.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Whose it is.
    pub tenant: TenantId,
    /// The service it is part of; none if it is for the tenant's single machines.
    pub service: Option<ServiceId>,
    /// Its name in the service.
    pub name: NetworkName,
    /// Its IPv4 addresses.
    pub prefix: Prefix4,
    /// Its IPv6 addresses.
    pub prefix6: Prefix6,
    /// How fast each card on it is at the most, in each direction.
    pub speed: Option<Speed>,
    /// What is to be promised of it.
    pub class: Class,
    /// Whether machines on it that have no public address reach the public network.
    pub outbound: bool,
    /// Networks of one group of a service are routed to each other.
    pub group: Option<GroupName>,
    /// Where the search for a free address begins: behind the last one that was given out, so
    /// that an address that has come free is not another machine's at once.
    pub next: Offset,
}

impl Network {
    /// The addresses with a number, in both families.
    #[must_use]
    pub fn addresses(&self, offset: Offset) -> (Ipv4Addr, Ipv6Addr) {
        (self.prefix.at(offset.0), self.prefix6.address(offset))
    }
}

/// Who has an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine.
    pub machine: MachineId,
    /// Which of its cards, from 0.
    pub card: u8,
}

/// A machine's place in a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    /// The network.
    pub network: NetworkId,
    /// Its number there.
    pub offset: Offset,
}

/// A public address that a tenant has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Public {
    /// Whose it is.
    pub tenant: TenantId,
    /// The card that is reached by it; none if it is kept for later.
    pub holder: Option<Holder>,
    /// Whether it goes with its machine, since a manifest asked for it and nobody by hand.
    pub goes_with_machine: bool,
}

/// A network that reaches here, of this site's tenants or of a peer's.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Lan {
    /// What it is.
    pub terms: Terms,
    /// How this site is reached on it, as it has told the others.
    pub own: End,
    /// The sites on it, and how they are reached; nothing until they have said so. Its home is on
    /// it always, since it goes out to the public network from there, and is among them; any other
    /// site is not among its own.
    pub ends: BTreeMap<SiteId, Option<End>>,
    /// Its security groups. A machine in none that is here is closed to everybody.
    pub groups: SecurityGroups,
}
