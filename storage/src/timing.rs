//! How long a replica waits, and how much log it keeps.
//!
//! The nodes of one site must use the same timing.

use std::time::Duration;

/// The times and sizes of one site's Raft.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// How often a leader says that it is there; also how long it waits for one answer to it.
    pub heartbeat: Duration,
    /// The least silence of a leader after which a follower stands for election.
    pub election_min: Duration,
    /// The most: each follower draws its own between the two, so that they seldom stand at once.
    /// A leader's lease is this long: until it has ended, nobody else is elected. So a lost leader
    /// is replaced within twice this time.
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
    /// For the nodes of a site, however many they are: a site of one grows without a restart.
    ///
    /// A lost leader is replaced after its lease and the shortest draw of those who are left, and
    /// an exchange of votes: within 1.2 to 1.6 seconds of its last word, so that writes go on
    /// within two. It is not made shorter: beside guests under emulation a node may be kept from a
    /// processor for hundreds of milliseconds, and an election that nobody needed costs as much as
    /// one that somebody did. A node alone is elected at once and waits for nobody.
    #[must_use]
    pub const fn peers() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(800),
            snapshot: Duration::from_secs(30),
            snapshot_every: 5_000,
            keep: 1_000,
        }
    }
}
