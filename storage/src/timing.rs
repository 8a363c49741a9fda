//! How long a replica waits, and how much log it keeps.
//!
//! There is no default: what suits a lone node keeps several from ever agreeing on a leader. The
//! nodes of one site must use the same timing.

use std::time::Duration;

/// The times and sizes of one site's Raft.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How often a leader says that it is there; also how long it waits for one answer to it.
    pub heartbeat: Duration,
    /// The least silence of a leader after which a follower stands for election.
    pub election_min: Duration,
    /// The most: each follower draws its own between the two, so that they seldom stand at once.
    /// A leader's lease is this long, so a lost leader is replaced within twice this time.
    pub election_max: Duration,
    /// How long one chunk of a snapshot may take to arrive, and the last one to be installed.
    pub snapshot: Duration,
    /// A snapshot is built after this many log entries.
    pub snapshot_every: u64,
    /// This many entries stay in the log below a snapshot: followers that are only a little
    /// behind are then served from the log.
    pub keep: u64,
}

impl Timing {
    /// For a site of one node: there is nobody to wait for, so the node leads a fraction of a
    /// second after its start, and the heartbeat only drives the clock.
    #[must_use]
    pub const fn alone() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            ..Self::peers()
        }
    }

    /// For a site of several nodes. Generous: beside guests under emulation a node may be kept
    /// from a processor for hundreds of milliseconds, and an election that nobody needed costs
    /// more than a second of waiting for one that somebody did.
    #[must_use]
    pub const fn peers() -> Self {
        Self {
            heartbeat: Duration::from_millis(500),
            election_min: Duration::from_millis(2_000),
            election_max: Duration::from_millis(4_000),
            snapshot: Duration::from_secs(30),
            snapshot_every: 5_000,
            keep: 1_000,
        }
    }
}
