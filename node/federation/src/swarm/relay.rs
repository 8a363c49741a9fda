//! Being reached through relays, where there is no other way.
//!
//! A node without an address that others could dial holds a place at peers that serve as relays:
//! it learns which do when it is connected to them. What it is reached under then is published as
//! any address is, and a direct way is tried as soon as somebody comes (hole punching, `dcutr`).

use std::collections::BTreeMap;

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, identify, relay};

use super::task::Task;
use super::work::Owed;
use crate::dial::address;

/// Relays at which a place is held: one may fail.
const RELAYS: usize = 2;

/// The peers that serve as relays, and the places held there.
#[derive(Debug, Default)]
pub(super) struct Relays {
    /// Under which address each is reached.
    known: BTreeMap<PeerId, Multiaddr>,
    held: BTreeMap<PeerId, ListenerId>,
}

impl Relays {
    /// Whether a listener was a place at a relay, which has ended.
    pub(super) fn has_ended(&mut self, listener: ListenerId) -> bool {
        let before = self.held.len();
        self.held.retain(|_, held| *held != listener);
        self.held.len() < before
    }
}

impl Task {
    /// A peer has said what it speaks.
    pub(super) fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else { return };
        let serves = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        let mut addresses = info.listen_addrs.into_iter();
        let reached = addresses
            .find(|it| address::is_dialled(it, self.is_on_loopback) && !address::is_relayed(it));
        match reached.filter(|_| serves && self.lines.has_node(peer_id)) {
            Some(address) => {
                self.relays.known.insert(peer_id, address);
                self.reserve();
            }
            None => {
                self.relays.known.remove(&peer_id);
            }
        }
    }

    /// Closes connections through a relay beside which there is a direct one: they are detours, and
    /// have a limit. One on which a request may be under way is kept until that has been answered.
    pub(super) fn end_detours(&mut self) {
        for (connection, peer) in self.lines.detours() {
            let asks = self.asked.values().any(|asked| asked.peer == peer);
            let answers = self.at_hand(
                |owed| matches!(owed, Owed::Answer { connection: on, .. } if *on == connection),
            );
            if !asks && answers == 0 {
                self.expel(connection);
            }
        }
    }

    /// Holds places at relays, if the node cannot be reached otherwise.
    pub(super) fn reserve(&mut self) {
        self.relays.known.retain(|peer, _| self.lines.has_node(*peer));
        if self.swarm.external_addresses().any(|address| !address::is_relayed(address)) {
            return;
        }
        for (peer, address) in self.relays.known.clone() {
            if self.relays.held.len() >= RELAYS || self.relays.held.contains_key(&peer) {
                continue;
            }
            let Ok(relay) = address.with_p2p(peer) else { continue };
            match self.swarm.listen_on(relay.with(Protocol::P2pCircuit)) {
                Ok(listener) => {
                    self.relays.held.insert(peer, listener);
                }
                Err(error) => tracing::warn!(%peer, %error, "no place can be held at a relay"),
            }
        }
    }
}
