//! Networks: LANs that reach over every host and site where their machines are.
//!
//! Each network is a LAN of its own, the deck's *red*: what is in it sees each other at its
//! link layer wherever it runs, and nobody else does. Two tenants may use the same prefix.
//!
//! Every machine on a network has one number in it, its *offset* from the beginning of the
//! prefix, which gives it its address in both families. It is allotted by the home site and kept
//! for the machine's life, wherever that is spent.

pub mod check;
pub mod gateway;
pub mod lan;
mod prefix;
pub mod public;
mod route;
mod speed;

#[cfg(test)]
mod tests;

pub(crate) use prefix::special;
pub use prefix::{BadPrefix, Offset, Prefix4, Prefix6};
pub use route::{BadRoute, Hop, ROUTES_MAX, Route, Routes};
pub use speed::{MalformedSpeed, Speed};

/// The most networks of one service: each is a bridge, a name server and two tunnels on every
/// host that has a machine of it.
pub const NETWORKS_MAX: usize = 16;

/// The most cards on one network: four times the machines of a service, since the single machines
/// of a tenant share one. What a peer can make a site remember of its networks is bounded by it.
pub const MEMBERS_MAX: usize = 4_096;

/// The most networks of one machine: a card each, and a machine has eight slots, one of which its
/// root disk takes and three of which are kept for volumes.
pub const CARDS_MAX: usize = 4;

/// The largest packet in bytes on a network that reaches over sites, without the link's own
/// header.
///
/// Of the 1,500 bytes that the Internet carries, `WireGuard` takes 80 if its own packets are IPv6
/// (40 IP, 8 UDP, 32 of its own), and VXLAN 70 within it (40 IPv6, 8 UDP, 8 of its own, 14 of the
/// frame that it carries). It is the same everywhere, or a machine could not move.
pub const MTU: u16 = 1_350;
