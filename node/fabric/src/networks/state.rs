//! What is there, for people and for whoever measures.

use std::net::IpAddr;

use super::names::Identity;
use super::plan::filters::Cause;

/// The networks of one host as they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    /// Each network that is wanted.
    pub lans: Vec<LanState>,
    /// What was dropped before it was known which network it was about.
    pub drops: Vec<Drops>,
}

/// One network as it is on this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LanState {
    /// Which.
    pub identity: Identity,
    /// How many cards are on it, wherever they are.
    pub members: usize,
    /// Its devices on this host: bridge, services, VXLAN, taps.
    pub devices: Vec<Device>,
    /// The largest packet that the way to other sites carries, in bytes; none if it has no
    /// members there, or there is no way. Less than the network's MTU is a fault.
    pub room_between_sites: Option<u32>,
    /// Its way to the public network, if that is on this host and there.
    pub exit: Option<ExitState>,
    /// What was dropped.
    pub drops: Vec<Drops>,
}

/// A network's exit as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExitState {
    /// How many connections it translates at this moment, or did until a while ago.
    pub connections: u64,
    /// The public addresses that cards have for themselves.
    pub public: Vec<IpAddr>,
    /// Whether the host keeps IPv6 from going out: its kernel cannot forward it for single
    /// interfaces (`force_forwarding`, Linux 6.17), and its administrator does not have it forwarded
    /// for all of them.
    pub keeps_ipv6: bool,
}

/// An interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Whether it carries frames.
    pub is_up: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// Bytes that came in, from the network's bridge's point of view.
    pub received: u64,
    /// Bytes that went out.
    pub sent: u64,
}

/// What was dropped for one cause, since the counter is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drops {
    /// Why.
    pub cause: Cause,
    /// How many packets.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
}
