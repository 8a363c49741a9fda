//! Networks on one host: a bridge that guests are plugged into, with DHCP and DNS on it; and, in
//! [`networks`], as many networks as there are, across hosts and sites.
//!
//! The fabric is level-triggered: its user says what should be there, again and again, and the
//! fabric makes it so. Nothing is remembered between two calls that could not be found out anew,
//! so a node that was killed carries on where it stood, and what it left running is taken over.
//!
//! **Invariant.** A bridge has at most one DHCP server, and that server answers only the cards in
//! the table. Nothing here gives out an address of its own choice: the table is the site's state.

mod address;
mod error;
mod fake;
mod linux;
mod name;
pub mod networks;

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use async_trait::async_trait;
use protocol::hull::Mac;

pub use crate::address::{MalformedSubnet, SLOTS_MAX, Subnet};
pub use crate::error::Error;
pub use crate::fake::Fake;
pub use crate::linux::Linux;
pub use crate::name::{BridgeName, HostName, MalformedBridgeName};

/// What should be there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// The bridge.
    pub bridge: BridgeName,
    /// The addresses on it. The bridge itself has the first one.
    pub subnet: Subnet,
    /// The cards that get an address, in any order.
    pub leases: Vec<Lease>,
}

/// One card and the address it gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The card.
    pub mac: Mac,
    /// Its address, within the subnet and not the bridge's own.
    pub address: Ipv4Addr,
    /// The name under which the other guests find it.
    pub name: HostName,
}

/// What a call to [`Fabric::converge`] had to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// All was as wanted.
    Nothing,
    /// Something was missing, or other than wanted, and has been put right.
    Made,
}

impl Change {
    /// `Made` if either is.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, Self::Nothing) => Self::Nothing,
            (Self::Made, _) | (_, Self::Made) => Self::Made,
        }
    }
}

/// The networks of one host.
#[async_trait]
pub trait Fabric: Send + Sync {
    /// Makes it so, whatever was there before.
    ///
    /// A bridge that is no longer wanted stays: guests may still be plugged into it.
    ///
    /// # Errors
    ///
    /// A table that contradicts itself is refused before anything is touched; whatever the host
    /// refuses leaves the rest to the next call.
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error>;

    /// Stops what serves the guests, and returns once it is gone. The bridge stays, so that the
    /// guests keep the connections between them.
    ///
    /// # Errors
    ///
    /// The server could not be stopped.
    async fn close(&self) -> Result<(), Error>;
}

/// Refuses a table that contradicts itself.
fn check(wanted: &Wanted) -> Result<(), Error> {
    if wanted.leases.len() > SLOTS_MAX {
        return Err(Error::TooMany { leases: wanted.leases.len() });
    }
    for (at, lease) in wanted.leases.iter().enumerate() {
        if !wanted.subnet.is_for_guests(lease.address) {
            return Err(Error::Outside { address: lease.address, subnet: wanted.subnet });
        }
        let earlier = &wanted.leases[..at];
        if earlier.iter().any(|other| other.mac == lease.mac || other.address == lease.address) {
            return Err(Error::Twice { mac: lease.mac, address: lease.address });
        }
    }
    Ok(())
}
