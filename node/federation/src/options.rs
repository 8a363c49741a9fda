//! What a caller says when it starts the bus, and whom it wants to be connected to.

use std::time::Duration;

use protocol::identity::{NodeCertificate, PublicKey, SecretKey};
use protocol::ids::SiteId;

use crate::Channel;

/// How a node takes part in the bus.
#[derive(Debug)]
pub struct Options {
    /// The node's own key, which is its identity on the bus.
    pub key: SecretKey,
    /// The site's word for that key.
    pub certificate: NodeCertificate,
    /// How often the site has been restored from a backup.
    pub incarnation: u64,
    /// Where to listen, as multiaddresses (`/ip4/0.0.0.0/tcp/7400`,
    /// `/ip4/0.0.0.0/udp/7400/quic-v1`).
    pub listen: Vec<String>,
    /// Under which addresses others reach the node, if these are not the ones it listens on. They
    /// are told to peers, for sites that look for this one; if there are none, the addresses it
    /// listens on are, unless they are of this host, of all its networks or of a private one.
    pub external: Vec<String>,
    /// Whether to find peers on the local network by multicast DNS. It tells everybody there that
    /// the node exists.
    pub mdns: bool,
    /// Whether to join peers to each other that cannot reach one another directly, as nodes behind
    /// NAT. It costs bandwidth, and needs an address under which the peers reach this node. A node
    /// without such an address makes itself reached through the peers that serve so.
    pub relay: bool,
    /// Bounds.
    pub limits: Limits,
}

/// How often something may happen: steadily, and at once after a pause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// In each second, in the long run.
    pub per_second: u64,
    /// At once, after a pause that is long enough.
    pub burst: u64,
}

/// Bounds on what others may cost the node.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a connection may take for the hello.
    pub hello_time: Duration,
    /// How long the other end of a connection may be silent before the link counts as lost.
    pub silence_time: Duration,
    /// How long a request may take, from the first byte sent to the last received.
    pub ask_time: Duration,
    /// How long a request may take whose answer is worth nothing later: Raft's, and for leases.
    pub prompt_time: Duration,
    /// Requests of one site on one channel that are worked on at once; past it the site is told
    /// that we are busy. Each node of our own site has as many for itself.
    pub asks_in: usize,
    /// Requests to one node on one channel that are under way at once.
    pub asks_out: usize,
    /// Requests of one peer on one channel; past it the peer is told that we are busy.
    pub ask_rate: Rate,
    /// Bytes of requests of one peer on one channel; past it likewise.
    pub byte_rate: Rate,
    /// Adverts that one peer passes on; past it they are ignored, and lower its score.
    pub advert_rate: Rate,
    /// Adverts from one site that are judged at once; past it they are ignored.
    pub gossip_in: usize,
    /// Console streams that one site holds open at once.
    pub streams_in: usize,
    /// Connections that have not passed the hello yet, at once.
    pub strangers: usize,
    /// Connections to all nodes of one peer: a site certifies as many nodes as it likes.
    pub connections_per_site: usize,
    /// Connections to one node.
    pub connections_per_node: u32,
    /// Connections in all.
    pub connections: u32,
    /// Configured peers.
    pub peers: usize,
    /// The longest pause between two attempts to reach a peer.
    pub redial_time: Duration,
}

impl Limits {
    /// For a federation of some hundred sites, on a host that has other work.
    pub const STANDARD: Self = Self {
        // Three round trips, on a slow machine behind a slow link.
        hello_time: Duration::from_secs(10),
        // A machine under load answers one of three pings in it; a console waits that long.
        silence_time: Duration::from_secs(9),
        // Covers an fsync at a busy site and an answer of 1 MiB over 1 Mb/s.
        ask_time: Duration::from_secs(15),
        // By then the other nodes have elected somebody else, and a lease is better asked for of
        // another node.
        prompt_time: Duration::from_secs(5),
        // With 1 MiB each: at most 16 MiB for one site's outbox.
        asks_in: 16,
        asks_out: 16,
        // A delivery follows another as soon as that is synced: a hundred or two in a second.
        ask_rate: Rate { per_second: 200, burst: 1000 },
        // As much as a site's own disks take beside other work.
        byte_rate: Rate { per_second: 4 << 20, burst: 16 << 20 },
        // An advert a minute of each of a thousand sites, and all at once after a cut.
        advert_rate: Rate { per_second: 32, burst: 1024 },
        // An advert a minute is the rule.
        gossip_in: 32,
        streams_in: 16,
        // A flood of strangers costs as many sockets and hello buffers of 2 KiB.
        strangers: 64,
        // Seven nodes, each way, and two while old ones have not been missed. With 5 MiB of requests
        // and answers and 32 MiB of the multiplexer's buffers each, what a peer of many nodes that
        // does its worst makes this one hold is 600 MiB.
        connections_per_site: 16,
        // One each way, and one of each again while an old one has not yet been missed.
        connections_per_node: 4,
        connections: 1024,
        peers: 512,
        redial_time: Duration::from_secs(10),
    };
}

impl Limits {
    /// How long a request on a channel may take.
    pub(crate) const fn answer_time(&self, channel: Channel) -> Duration {
        match channel {
            Channel::Raft | Channel::Session => self.prompt_time,
            Channel::Outbox | Channel::Machine | Channel::Site => self.ask_time,
        }
    }
}

/// A node that the node keeps a connection to: of a peer, or of our own site. A site of several
/// nodes has several of these.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerAddress {
    /// The site expected there; another one is turned away. None if it is still to be learned.
    pub site: Option<SiteId>,
    /// The node expected there; another one is turned away. None if any node of the site will do.
    pub node: Option<PublicKey>,
    /// Where, as multiaddresses; TCP is tried before QUIC. If there are none, or the site is not
    /// there, other peers are asked where it is.
    pub addresses: Vec<String>,
}

/// What the bus cannot be started or told with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a multiaddress.
    #[error("'{text}' is not an address like /ip4/192.0.2.1/tcp/7400")]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        #[source]
        source: libp2p::multiaddr::Error,
    },
    /// The bus knows no way there.
    #[error(
        "'{text}' is no address that the bus can reach: give one like /ip4/192.0.2.1/tcp/7400 or \
         /dns4/site.example/tcp/7400, or with udp/7400/quic-v1"
    )]
    Form {
        /// The text.
        text: String,
    },
    /// A peer has neither an id nor an address.
    #[error("a peer has neither an id nor an address: nothing says whom to look for")]
    NoAddress,
    /// A peer's node has no key.
    #[error("the key that a node of a peer is expected to have is none")]
    NodeKey,
    /// More peers than the limit.
    #[error("{count} peers are more than the {limit} allowed")]
    TooManyPeers {
        /// Peers given.
        count: usize,
        /// Peers allowed.
        limit: usize,
    },
    /// The certificate is for another key than the node's.
    #[error("the certificate was issued to another key than this node's: issue a new one")]
    OtherKey,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A part of the swarm could not be set up.
    #[error("cannot set up {part}")]
    Setup {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The bus has been closed.
    #[error("the bus is closed")]
    Closed,
}
