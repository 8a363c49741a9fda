//! What a tunnel says about itself.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::PublicKey;

/// What is there, and what has gone through it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct State {
    /// Who provides the device.
    pub provider: Provider,
    /// The gateway's own public key.
    pub public_key: PublicKey,
    /// The UDP port that peers send to.
    pub listen_port: u16,
    /// The peers, in the order of their keys.
    pub peers: Vec<PeerState>,
    /// What was dropped without being a peer's. The kernel's device does not say.
    pub drops: Option<Drops>,
}

/// Who provides the device.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Provider {
    /// The kernel.
    Kernel,
    /// A process, and what the kernel hands over to it in one piece.
    Embedded(Offloads),
}

/// Which packets the kernel gives and takes in one piece, instead of by segments.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Offloads {
    /// None: this kernel's TAP devices know no offload.
    Nothing,
    /// Those of TCP, but not inside VXLAN.
    Tcp,
    /// Those of TCP and UDP, but not inside VXLAN. Linux can do this from 6.2 on.
    TcpAndUdp,
    /// Also those inside VXLAN. Linux can do this from 6.17 on.
    Tunnels,
}

/// A peer, as the tunnel knows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerState {
    /// Who it is.
    pub public_key: PublicKey,
    /// Where it was last heard from, or is thought to be.
    pub endpoint: Option<SocketAddr>,
    /// How long ago the last handshake was, if its key can still be used.
    pub last_handshake: Option<Duration>,
    /// What came from it and was let in.
    pub received: Traffic,
    /// What was sent to it.
    pub sent: Traffic,
    /// What of its packets was dropped. The kernel's device does not say.
    pub drops: Option<PeerDrops>,
}

/// Inner packets, and their bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Traffic {
    /// Packets. The kernel's device does not count them.
    pub packets: Option<u64>,
    /// Their bytes. The kernel's device counts with them what the tunnel adds.
    pub bytes: u64,
}

/// Packets dropped without being a peer's, by cause.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Drops {
    /// To an inner address that no peer has.
    pub no_peer: u64,
    /// From inside, and not what it says it is.
    pub malformed: u64,
    /// From outside, and nothing that WireGuard would send to us.
    pub unknown: u64,
    /// Handshakes of nobody we know, or of too many.
    pub handshakes: u64,
    /// Let in, and not taken by the kernel.
    pub refused: u64,
}

/// Packets from and to one peer that were dropped, by cause.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerDrops {
    /// From an inner address that is not its own.
    pub wrong_source: u64,
    /// Seen before, or too old to say.
    pub replayed: u64,
    /// Not under its key, or under one that has ended.
    pub unauthentic: u64,
    /// Authentic, and no packet of IP.
    pub malformed: u64,
    /// To it, while nobody knows where it is or the network did not take it.
    pub unsent: u64,
}
