//! Rules that the simulator can leave out, to show that it would notice.
//!
//! Each is left out in the simulator's own model of a host, a node or a disk. `protocol` has no
//! switches.

/// A rule that is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    /// The fence stops what is due.
    Fence,
    /// A new leader waits before it declares a lease ended.
    NewLeaderWaits,
    /// A holder counts from the moment at which it has asked.
    CountedFromSending,
    /// The only voter gives another node a vote once every guest on its host ends in time.
    BoundedFirst,
    /// An entry of the log is committed once a majority of the voters has it on disk.
    StoredByMajority,
    /// A host lets a guest run only once its `Prepared` is committed.
    PreparedFirst,
    /// A host deletes saved memory before the guest goes on from it.
    SavedOnce,
    /// What a host says of a guest counts only for the start of which it says it.
    EpochsTold,
    /// A host looks only at a state that has caught up with what is committed.
    CaughtUp,
    /// A node answers a peer only once its messages are committed.
    CommittedFirst,
    /// A site takes up each message of a peer once and in order.
    Numbered,
    /// A seller counts its holds when it makes an offer.
    HoldsCounted,
    /// A seller offers no more than its buyer has credit for.
    CreditBounded,
    /// A seller offers nothing of what is kept for its own tenants.
    ReserveKept,
}
