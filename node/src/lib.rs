//! What a site does: one node of it, as a library that the binary, the testnet and the tests use.
//!
//! Everything the node does follows from what `protocol` has decided and `storage` remembers. The
//! [`driver`] owes the site's own next steps: what is owed to peers, deadlines, adverts. What
//! peers ask is answered by [`perform`]. [`reconcile`] makes this node's host and its network what
//! the state says, as long as it has a [`lease`]. What only the leader can do is passed on to it by
//! [`membership`]. [`api`] and [`cli`] are for people and their programs; [`console`] connects
//! them to a machine, wherever it runs, and [`kpi`] tells them what it says of itself.
//!
//! **Invariant.** No decision here outlives the call it is made in: a node that is killed at any
//! moment and started again finds all it needs in the state, on the host, and nowhere else.

pub mod api;
pub mod blobs;
pub mod chance;
pub mod cli;
pub mod config;
pub mod console;
pub mod daemon;
pub mod desk;
pub mod driver;
pub mod keys;
pub mod kpi;
pub mod lease;
pub mod membership;
pub mod networks;
pub mod observe;
pub mod perform;
pub mod reconcile;
