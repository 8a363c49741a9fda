//! To whom this node is connected: to the peers of the site's state, wherever they are. Where a
//! peer is whose addresses are not known, the bus asks the others.
//!
//! Level-triggered: the bus is told whenever what it was told last is not what the state says. So
//! a peer that an operator adds at one node is dialled by all of them.

use federation::PeerAddress;
use protocol::ids::SiteId;
use protocol::site::state::Peer;
use tracing::warn;

use crate::desk::Desk;
use crate::observe::chain;

/// What the bus was told last.
pub(super) struct Wish {
    desk: Desk,
    told: Option<Vec<PeerAddress>>,
}

impl Wish {
    pub(super) const fn new(desk: Desk) -> Self {
        Self { desk, told: None }
    }

    /// Tells the bus, if there is news. A wish that it cannot take is not told again: only another
    /// one could be better.
    pub(super) async fn look(&mut self) {
        let wanted = self.desk.read(|site| {
            let address = |(id, peer): (&SiteId, &Peer)| PeerAddress {
                site: Some(*id),
                node: None,
                addresses: peer.addresses.clone(),
            };
            site.peers().map(address).collect::<Vec<_>>()
        });
        if self.told.as_ref() == Some(&wanted) {
            return;
        }
        if let Err(fault) = self.desk.peers().set_peers(wanted.clone()).await {
            warn!(fault = chain(&fault), "the bus cannot be told whom to be connected to");
        }
        self.told = Some(wanted);
    }
}
