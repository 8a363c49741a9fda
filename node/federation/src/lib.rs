//! The bus between sites, and between the nodes of one: three verbs over libp2p, and a fake of them
//! in memory.
//!
//! * **ask**: a request and its answer, on a [`Channel`].
//! * **tell**: an advert to everybody, by gossip, judged before it is passed on.
//! * **stream**: bytes both ways, for a machine's console.
//!
//! This is the only crate of the product that names libp2p. It carries bytes; what they mean is
//! decided in `protocol`. The one thing it understands is the hello: libp2p proves which node's key
//! is at the other end of a connection, and the hello proves for which site that key speaks.
//!
//! A site has one node or several, each with a key of its own and a certificate by the same root. A
//! peer is a site: any of its nodes will do. Our own nodes are told apart by key.
//!
//! A node behind NAT is reached through a peer that serves as a relay, until the two find a direct
//! way. The hello and the encryption are between the two ends; to a relay they are bytes.
//!
//! **Invariants.** A connection on which the hello has not succeeded speaks no other protocol: the
//! verbs do not know that it exists (`gate`). An inner channel ([`Channel::is_inner`]) carries
//! nothing to or from another site, whoever asks.
//!
//! The modules are in reading order: the words of the three verbs, what the caller says and sees,
//! the hello and its gate, the swarm that acts, and the fake.

pub mod ask;
pub mod stream;
pub mod tell;

mod observe;
mod options;

mod codec;
mod dial;
mod gate;
mod hello;
mod meter;
mod swarm;

pub mod fake;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use protocol::identity::{NodeCertificate, PublicKey};
use protocol::ids::SiteId;
use protocol::time::Timestamp;

pub use ask::{Addressee, Channel};
pub use hello::Refusal;
pub use observe::{Counters, NodeState, PeerState, RefusalRecord, Refuser};
pub use options::{Error, Limits, Options, PeerAddress, Rate};
pub use stream::Duplex;
pub use swarm::Federation;
pub use tell::Verdict;

/// Who is at the other end of a connection, as the hello has proven.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Caller {
    /// The site that it speaks for.
    pub site: SiteId,
    /// Its own key, which tells it from the site's other nodes.
    pub node: PublicKey,
}

/// Whom a node lets speak to it. Called from the swarm's task: it answers at once.
pub trait Admission: Send + Sync + 'static {
    /// Whether the node admits a site, whose certificate has been checked already. The
    /// certificate names the node: of one's own site only those that belong to it are admitted.
    ///
    /// It is asked again every few seconds while a connection lasts, so that a peer that was
    /// removed is let go.
    ///
    /// # Errors
    ///
    /// The reason, which reaches the other side.
    fn admit(&self, site: SiteId, certificate: &NodeCertificate) -> Result<(), Refusal>;

    /// The lowest serial of our own site's certificates that it still honours. Peers are told at
    /// every hello; when it rises, connections to them are made anew, so that they hear of it.
    fn honours(&self) -> u64;

    /// The lowest serial of another site's certificates that it still honours, as far as has been
    /// heard: zero if nothing has.
    fn honoured(&self, site: SiteId) -> u64;

    /// A node of a site, which is admitted, says that its site honours none below `lowest`. Its own
    /// certificate is not below, so the site's root key stands behind it; the highest number that
    /// was ever heard is to be remembered.
    fn heard_honours(&self, site: SiteId, lowest: u64);

    /// The moment by which certificates are checked.
    fn now(&self) -> Timestamp;
}

/// What a node does with what its peers send. Each call has a task of its own; how many there are
/// at once for a peer is bounded by [`Limits`].
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers a request.
    ///
    /// # Errors
    ///
    /// The reason, which reaches the other side.
    async fn ask(
        &self,
        from: Caller,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Refused>;

    /// Judges an advert. `from` passed it on, and need not be its author.
    async fn gossip(&self, from: Caller, body: Vec<u8>) -> Verdict;

    /// Serves a console until the stream ends; the header says which.
    async fn console(&self, from: Caller, header: Vec<u8>, stream: Duplex);
}

/// Whether a text is an address that a peer may be looked for at; one with a name is for the caller to
/// make one with a number.
///
/// # Errors
///
/// What is wrong with it.
pub fn check_address(text: &str) -> Result<(), Error> {
    dial::check(text)
}

/// The bus, as a node uses it.
#[async_trait]
pub trait Peers: Send + Sync {
    /// Asks a site, and waits for its answer. Which of its nodes that are connected is asked is
    /// the bus's affair: one that has answered lately, and not always the same.
    ///
    /// # Errors
    ///
    /// If the site cannot be reached now or refuses. Whether it has acted on the request is
    /// unknown after [`ask::Error::Lost`] and [`ask::Error::TimedOut`].
    async fn ask(
        &self,
        site: SiteId,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Error>;

    /// Asks one node of our own site, and waits for its answer.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    async fn ask_node(
        &self,
        node: PublicKey,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Error>;

    /// Tells all peers. That it arrives is not promised: what matters is told again.
    ///
    /// # Errors
    ///
    /// If it is too long, or nobody is there to hear it.
    async fn publish(&self, body: Vec<u8>) -> Result<(), tell::Error>;

    /// Opens a console stream to a site; the header says what is wanted.
    ///
    /// # Errors
    ///
    /// If the header is too long, or the site cannot be reached or does not take the stream.
    async fn open(&self, site: SiteId, header: Vec<u8>) -> Result<Duplex, stream::Error>;

    /// Opens a stream to one node of our own site.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    async fn open_node(&self, node: PublicKey, header: Vec<u8>) -> Result<Duplex, stream::Error>;

    /// Says which nodes the node keeps connections to; those that are gone from the list are no
    /// longer dialled. The node itself may be in it: it does not dial itself.
    ///
    /// # Errors
    ///
    /// If an address cannot be read, or there are too many; then the former list stands.
    async fn set_peers(&self, peers: Vec<PeerAddress>) -> Result<(), Error>;

    /// Presents a renewed certificate on connections made from now on.
    ///
    /// # Errors
    ///
    /// If the bus is closed.
    async fn present(&self, certificate: NodeCertificate) -> Result<(), Error>;

    /// The sites that are configured or have been met, our own among them if its nodes are, and how
    /// each is.
    async fn peers(&self) -> Vec<PeerState>;

    /// The latest refusals at the gate, oldest first.
    async fn refusals(&self) -> Vec<RefusalRecord>;
}
