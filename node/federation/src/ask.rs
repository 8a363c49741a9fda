//! Ask: a request to one site, and its answer.

use protocol::ids::SiteId;

/// The most bytes of a reason that crosses the bus.
pub const REASON_LIMIT: usize = 512;

/// What a request is about. Each channel is a protocol of its own, with its own limit, so that a
/// flood on one leaves the others alone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Channel {
    /// Committed rows of the conversations between two sites.
    Outbox,
    /// Queries about one machine, by its home.
    Machine,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Outbox, Self::Machine];

    /// The name under which the two ends negotiate it.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Outbox => "/reservoir/outbox/1",
            Self::Machine => "/reservoir/machine/1",
        }
    }

    /// The most bytes of one request, and of one answer.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            // A batch of rows; a manifest of 256 KiB with its machines is the largest of them.
            Self::Outbox => 1 << 20,
            // One machine's description or its latest measures.
            Self::Machine => 64 << 10,
        }
    }
}

/// A site's reason for not answering a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    reason: String,
    is_foul: bool,
}

impl Refused {
    /// A refusal with a reason, which is cut at [`REASON_LIMIT`].
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(REASON_LIMIT));
        Self { reason, is_foul: false }
    }

    /// A refusal of what no honest peer sends: forged, altered, or said in another's name. It is
    /// counted, and instead of an answer the connection ends.
    #[must_use]
    pub fn foul(reason: impl Into<String>) -> Self {
        Self { is_foul: true, ..Self::new(reason) }
    }

    pub(crate) const fn is_foul(&self) -> bool {
        self.is_foul
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the site is up; the request was not sent.
    #[error("site {site} is not connected at the moment")]
    Unreachable {
        /// The site asked.
        site: SiteId,
    },
    /// The request is longer than its channel allows; it was not sent.
    #[error("a request of {length} bytes to site {site} is longer than the {limit} allowed")]
    TooLong {
        /// The site asked.
        site: SiteId,
        /// Bytes of the request.
        length: usize,
        /// Bytes allowed on the channel.
        limit: usize,
    },
    /// As many requests as we allow are under way to the site; this one was not sent.
    #[error("too many requests to site {site} are under way: try again shortly")]
    Crowded {
        /// The site asked.
        site: SiteId,
    },
    /// The site has too many requests of ours at hand, and did not act on this one.
    #[error("site {site} is busy: try again shortly")]
    Busy {
        /// The site asked.
        site: SiteId,
    },
    /// The site refuses.
    #[error("site {site} refuses the request")]
    Refused {
        /// The site asked.
        site: SiteId,
        /// Its reason.
        #[source]
        source: Refused,
    },
    /// The site does not speak the channel.
    #[error("site {site} does not speak {}", channel.protocol())]
    NotSpoken {
        /// The site asked.
        site: SiteId,
        /// The channel.
        channel: Channel,
    },
    /// The answer breaks the rules of the channel; the connection has been closed.
    #[error("site {site} gave an answer that cannot be read")]
    Unreadable {
        /// The site asked.
        site: SiteId,
    },
    /// The connection went away before the answer; the site may have acted.
    #[error("the connection to site {site} was lost before its answer")]
    Lost {
        /// The site asked.
        site: SiteId,
    },
    /// No answer came in time; the site may have acted.
    #[error("site {site} did not answer in time")]
    TimedOut {
        /// The site asked.
        site: SiteId,
    },
    /// The bus has been closed.
    #[error("the bus is closed")]
    Closed,
}
