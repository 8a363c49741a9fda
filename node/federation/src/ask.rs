//! Ask: a request to a site or to one of our own nodes, and its answer.

use std::fmt;

use protocol::identity::PublicKey;
use protocol::ids::SiteId;

/// The most bytes of a reason that crosses the bus.
pub const REASON_LIMIT: usize = 512;

/// The most bytes of one message of Raft's: a chunk of a snapshot, or a batch of entries.
const RAFT_MESSAGE: usize = 4 << 20;

/// What a request is about. Each channel is a protocol of its own, with its own limits of size and
/// number, so that a flood on one leaves the others alone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Channel {
    /// Committed rows of the conversations between two sites.
    Outbox,
    /// Queries about one machine, by its home.
    Machine,
    /// Leases that two sites hold of each other.
    Session,
    /// What nodes of one site ask of each other.
    Site,
    /// Raft among the nodes of one site.
    Raft,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Outbox, Self::Machine, Self::Session, Self::Site, Self::Raft];

    /// The name under which the two ends negotiate it.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Outbox => "/reservoir/outbox/1",
            Self::Machine => "/reservoir/machine/1",
            Self::Session => "/reservoir/session/1",
            Self::Site => "/reservoir/site/1",
            Self::Raft => "/reservoir/raft/1",
        }
    }

    /// The most bytes of one request, and of one answer.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            // A batch of rows; a manifest of 256 KiB with its machines is the largest of them.
            Self::Outbox => 1 << 20,
            // One machine's description or its latest measures; the leases of some thousand machines.
            Self::Machine | Self::Session => 64 << 10,
            // A command on its way to the leader, as long as the log takes one, and what is around it.
            Self::Site => (1 << 20) + (64 << 10),
            // The message, and what says whose it is and where it belongs.
            Self::Raft => RAFT_MESSAGE + (64 << 10),
        }
    }

    /// The most bytes of requests and answers of one connection that are read or worked on at once:
    /// a few of the longest, and all that are allowed at once if they are as short as most are.
    pub(crate) const fn room(self) -> usize {
        match self {
            Self::Outbox => 4 << 20,
            Self::Machine | Self::Session => 512 << 10,
            Self::Site => 8 << 20,
            Self::Raft => 16 << 20,
        }
    }

    /// Whether it is among the nodes of one site only. The bus itself holds the line: what happens
    /// on such a channel would be believed.
    #[must_use]
    pub const fn is_inner(self) -> bool {
        match self {
            Self::Site | Self::Raft => true,
            Self::Outbox | Self::Machine | Self::Session => false,
        }
    }
}

/// Whom a request or a stream is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Addressee {
    /// Any node of a site.
    Site(SiteId),
    /// One node of our own site.
    Node(PublicKey),
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => write!(f, "site {site}"),
            Self::Node(key) => {
                f.write_str("node ")?;
                // As much of the key as tells a site's nodes apart.
                key.as_bytes()[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A node's reason for not answering a request.
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
    /// No connection to it is up; the request was not sent.
    #[error("{whom} is not connected at the moment")]
    Unreachable {
        /// Who was asked.
        whom: Addressee,
    },
    /// The channel is for nodes of one site, and the other is of another; nothing was sent.
    #[error("{} is for nodes of one site, and {whom} is another", channel.protocol())]
    Inner {
        /// Who was asked.
        whom: Addressee,
        /// The channel.
        channel: Channel,
    },
    /// The request is longer than its channel allows; it was not sent.
    #[error("a request of {length} bytes to {whom} is longer than the {limit} allowed")]
    TooLong {
        /// Who was asked.
        whom: Addressee,
        /// Bytes of the request.
        length: usize,
        /// Bytes allowed on the channel.
        limit: usize,
    },
    /// As many requests as we allow are under way to it; this one was not sent.
    #[error("too many requests to {whom} are under way: try again shortly")]
    Crowded {
        /// Who was asked.
        whom: Addressee,
    },
    /// It has too many requests of ours at hand, and did not act on this one.
    #[error("{whom} is busy: try again shortly")]
    Busy {
        /// Who was asked.
        whom: Addressee,
    },
    /// It refuses.
    #[error("{whom} refuses the request")]
    Refused {
        /// Who was asked.
        whom: Addressee,
        /// Its reason.
        #[source]
        source: Refused,
    },
    /// It does not speak the channel.
    #[error("{whom} does not speak {}", channel.protocol())]
    NotSpoken {
        /// Who was asked.
        whom: Addressee,
        /// The channel.
        channel: Channel,
    },
    /// The answer breaks the rules of the channel; the connection has been closed.
    #[error("{whom} gave an answer that cannot be read")]
    Unreadable {
        /// Who was asked.
        whom: Addressee,
    },
    /// The connection went away before the answer; it may have acted.
    #[error("the connection to {whom} was lost before its answer")]
    Lost {
        /// Who was asked.
        whom: Addressee,
    },
    /// No answer came in time; it may have acted.
    #[error("{whom} did not answer in time")]
    TimedOut {
        /// Who was asked.
        whom: Addressee,
    },
    /// The bus has been closed.
    #[error("the bus is closed")]
    Closed,
}
