//! Tell: adverts to everybody, by gossip.

/// The topic of adverts.
pub const TOPIC: &str = "reservoir/1/advert";

/// The most bytes of one advert: capacity, prices and a signature fit; a document does not.
pub const LIMIT: usize = 512;

/// What a node thinks of an advert that a peer has passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is true as far as we can tell, and is passed on.
    Accept,
    /// It is of no use, and not passed on; nobody is to blame.
    Ignore,
    /// It is forged or malformed, is not passed on, and counts against the peer that sent it.
    Reject,
}

/// Why something was not told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is longer than an advert may be.
    #[error("an advert of {length} bytes is longer than the {LIMIT} allowed")]
    TooLong {
        /// Bytes of the advert.
        length: usize,
    },
    /// No peer is connected that listens.
    #[error("no peer is connected to hear the advert")]
    Nobody,
    /// The queues to all peers are full.
    #[error("the queues to all peers are full: try again shortly")]
    Crowded,
    /// The bus has been closed.
    #[error("the bus is closed")]
    Closed,
}
