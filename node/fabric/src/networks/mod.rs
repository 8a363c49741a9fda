//! Networks on one host: as many as there are, each a network of its own.
//!
//! A network is a bridge that its guests' taps are plugged into, a namespace with what answers
//! them, VXLAN devices to wherever else its members are, filters, and in one place an exit to the
//! public network. Two networks may use equal
//! addresses, so nothing of a network has an address on the host itself.
//!
//! Level-triggered: the user says what should be there, whole, again and again, and it is made so.
//! [`plan`] says what that means, purely; [`linux`] makes it so.

mod check;
mod echo;
mod fake;
mod linux;
mod names;
mod plan;
mod state;
mod wanted;

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener};

use async_trait::async_trait;

pub use self::check::{Contradiction, check};
pub use self::echo::{Depth, Echoes, SMALL_COUNT, Target};
pub use self::fake::Fake;
pub use self::linux::{Error, Linux};
pub use self::names::{Identity, InterfaceName, MalformedInterfaceName, Tap, bridge};
pub use self::plan::filters::Cause;
pub use self::state::{Device, Drops, ExitState, LanState, State};
pub use self::wanted::{
    At, BytesPerSecond, Exit, Group, GroupId, Hop, Lan, Member, Outside, Peer, Ports, Public,
    Route, Routed, Rule, Traffic, Tunnel, Vni, Wanted,
};
use crate::Change;

/// The networks of one host.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Makes it so, whatever was there before, and takes away what was ours and is not wanted;
    /// but never a bridge that a guest is still plugged into.
    ///
    /// # Errors
    ///
    /// What contradicts itself is refused before anything is touched; whatever the host refuses
    /// leaves the rest to the next call.
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error>;

    /// Listens inside a network that has guests here, at one of its services' addresses: who
    /// connects is one of its guests, on this host. None if somebody listens there already, so
    /// asking again says whether a listener is still where guests find it.
    ///
    /// # Errors
    ///
    /// The network has no guests here.
    fn listen(&self, network: Identity, address: SocketAddr) -> Result<Option<TcpListener>, Error>;

    /// Says on this host, in the name of a card that began to run here this instant, who has its
    /// addresses. Twice is as good as once; and a card that is not here says nothing.
    ///
    /// Other hosts and sites need not hear it, and do not: there, too, the bridges answer who has
    /// which address, and know from [`Networks::converge`] where the card is.
    ///
    /// # Errors
    ///
    /// The card's network is not on this host yet.
    async fn announce(&self, wanted: &Wanted, tap: &Tap) -> Result<(), Error>;

    /// Stops what serves the guests, and returns once it is gone. All else stays, so that the
    /// guests keep their connections.
    ///
    /// # Errors
    ///
    /// A server could not be stopped.
    async fn close(&self) -> Result<(), Error>;

    /// What is there of what is wanted.
    ///
    /// # Errors
    ///
    /// The host cannot be looked at.
    async fn state(&self, wanted: &Wanted) -> Result<State, Error>;

    /// Asks others for an echo, and says what came back from each, in their order. It takes a
    /// second or two.
    ///
    /// # Errors
    ///
    /// The host lets nothing be asked.
    async fn probe(&self, targets: &[Target], depth: Depth) -> Result<Vec<Echoes>, Error>;
}
