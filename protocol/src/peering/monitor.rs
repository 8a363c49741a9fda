//! What a site lets a peer see of it (the deck's VEEM Site Monitoring interface).
//!
//! A home sees its own machines here, what is for sale, and what that costs it; no other tenant's
//! or peer's machine, no host, no tenant, nothing of what is kept. It may look while it has a
//! machine here: the channel opens with its first and closes with its last.

use serde::{Deserialize, Serialize};

use crate::epoch::Epoch;
use crate::ids::MachineId;
use crate::machine::State;
use crate::time::Timestamp;
use crate::units::{Permille, Size, Tariff};

/// The most machines of one answer; who has more asks for the next ones.
pub const MACHINES_SEEN_MAX: usize = 256;

/// A machine, as its home sees it at its provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct MachineView {
    /// The machine.
    pub machine: MachineId,
    /// Which start of it.
    pub epoch: Epoch,
    /// Where it is in its life.
    pub state: State,
    /// Since when, by the provider's clock.
    pub since: Timestamp,
    /// What it takes.
    pub size: Size,
}

/// A site, as a peer may see it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SiteView {
    /// The peer's own machines, in the order of their ids.
    pub machines: Vec<MachineView>,
    /// Whether there are more of them.
    pub more: bool,
    /// What is for sale in all.
    pub free: Size,
    /// The largest machine that fits on one host.
    pub largest: Size,
    /// What the site charges.
    pub tariff: Tariff,
    /// What of it the peer pays.
    pub factor: Permille,
}
