//! What a site says, decides and owes: pure data and pure functions.
//!
//! Nothing here does I/O, spawns a thread, reads a clock, draws a random number or computes with
//! floats, so the behaviour of a whole federation runs in one thread from one seed. Time and
//! chance are arguments: the leader stamps them on a command before it proposes it.
//!
//! The modules are in reading order, and depend only upwards in this list: words, descriptions,
//! choices, conversations between two sites, the replicated state of one site, and the wire.
#![cfg_attr(not(test), deny(clippy::float_arithmetic, clippy::disallowed_types))]

// Words.
pub mod codec;
pub mod epoch;
pub mod identity;
pub mod ids;
pub mod names;
pub mod rows;
pub mod sla;
mod text;
pub mod time;
pub mod units;

// Descriptions.
pub mod hull;
pub mod images;
pub mod kpi;
pub mod manifest;
pub mod networks;
pub mod security;
pub mod user_data;

// Choices.
pub mod market;
pub mod membership;
pub mod migration;
pub mod placement;

// Conversations.
pub mod agreement;
pub mod lease;
pub mod machine;
pub mod peering;

// The replicated state of one site.
pub mod site;

// What crosses the network.
pub mod wire;
