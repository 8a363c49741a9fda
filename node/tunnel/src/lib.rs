//! The encrypted tunnel between the gateways of sites: one WireGuard device on one host.
//!
//! A LAN between sites is a VXLAN device of the kernel, whose packets are routed into this device.
//! All that this crate gives is the network interface: with a name, an inner address and an MTU, and
//! with peers that are known by their keys. Packets leave for the peer that has their destination,
//! and arrive only from the peer that has their source.
//!
//! Where the kernel has WireGuard, the device is the kernel's ([`Kernel`]). Where it has none, it is a
//! process's own, with a TAP device for an interface ([`Embedded`]), and that process is one that does
//! nothing else ([`Detached`]). So either stays when the node ends. Each is level-triggered: its user
//! says what should be there, again and again.
//!
//! **Invariant.** Nothing comes out of the interface that a peer has not sent with its key, under an
//! inner address that is its own, once.

mod check;
mod detached;
mod embedded;
mod error;
mod fake;
mod kernel;
mod key;
mod link;
mod name;
mod state;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use crate::check::{ADDRESSES_MAX, Fault, MTU_MAX, MTU_MIN, PEERS_MAX};
pub use crate::detached::{Detached, program, serve};
pub use crate::embedded::Embedded;
pub use crate::error::Error;
pub use crate::fake::Fake;
pub use crate::kernel::Kernel;
pub use crate::key::{PrivateKey, PublicKey};
pub use crate::name::{InterfaceName, MalformedInterfaceName};
pub use crate::state::{Drops, Offloads, PeerDrops, PeerState, Provider, State, Traffic};

/// The UDP port to give to VXLAN devices over the tunnel (RFC 7348, section 5). Packets of VXLAN to
/// other ports go through as well, one by one.
pub const VXLAN_PORT: u16 = embedded::VXLAN_PORT;

/// What should be there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wanted {
    /// The interface.
    pub name: InterfaceName,
    /// The gateway's own key.
    #[serde(with = "crate::key::secret")]
    pub private_key: PrivateKey,
    /// The UDP port that the peers send to.
    pub listen_port: u16,
    /// The interface's inner address. The peers' are in the same prefix, so that the kernel routes
    /// them into the interface.
    pub address: IpAddr,
    /// The length of that prefix, in bits.
    pub prefix: u8,
    /// The longest inner packet, in bytes. On a path with an MTU of 1500 it is 1440 over IPv4 and
    /// 1420 over IPv6; a packet of VXLAN over IPv6 leaves 70 bytes less to the frame's payload.
    pub mtu: u16,
    /// Who may be talked to.
    pub peers: Vec<Peer>,
}

/// A gateway of another site.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// Who it is.
    pub public_key: PublicKey,
    /// Where it can be reached, if that is known. Once it has been heard from elsewhere, that is
    /// where it is, until nothing has been heard of it for as long as a key lasts
    /// ([`SESSION`]); then this counts again. Another endpoint than the last call
    /// wanted counts at once.
    pub endpoint: Option<SocketAddr>,
    /// The inner addresses that are its own. No two peers share one.
    pub addresses: Vec<IpAddr>,
    /// How often it is sent something even if there is nothing to say, in seconds. A site behind
    /// NAT needs it, so that the way back to it stays open.
    pub keepalive: Option<NonZeroU16>,
}

/// How long a key between two peers can be used (WireGuard, section 6.2: `Reject-After-Time`).
pub const SESSION: std::time::Duration = std::time::Duration::from_secs(180);

/// What a call to [`Tunnel::converge`] had to do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
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

/// The tunnel of one gateway.
#[async_trait]
pub trait Tunnel: Send + Sync {
    /// Makes it so, whatever was there before. Sessions with peers that stay are kept, unless the
    /// interface's own name, key or port changes.
    ///
    /// # Errors
    ///
    /// What contradicts itself is refused before anything is touched; whatever the host refuses
    /// leaves the rest to the next call.
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error>;

    /// What is there, and what has gone through it. `None` before the first [`Tunnel::converge`].
    ///
    /// # Errors
    ///
    /// The host did not answer.
    async fn state(&self) -> Result<Option<State>, Error>;

    /// Takes the interface away.
    ///
    /// # Errors
    ///
    /// The host refused.
    async fn close(&self) -> Result<(), Error>;
}

/// The best tunnel of this host: the kernel's, where it has one, else that of a process of its own. That
/// one runs `program` (see [`program()`]) and has its place in `data`, the node's directory.
pub async fn of_this_host(data: &Path, program: &Path) -> Box<dyn Tunnel> {
    let detached = Detached::new(data, program);
    if !Kernel::is_available().await {
        return Box::new(detached);
    }
    tracing::info!("the tunnel is WireGuard of the kernel");
    // A process that runs since the kernel had none would keep the port.
    if let Err(error) = detached.close().await {
        tracing::warn!(%error, "the tunnel's process, which is not needed any more, is still there");
    }
    Box::new(Kernel::new())
}
