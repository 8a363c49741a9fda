//! What the node's own interfaces may do with it: read, look at the bus, open a console; and, by
//! [`crate::membership::leader`], propose and be sure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, RwLock};

use federation::stream::Duplex;
use federation::{Channel, PeerState, Peers, RefusalRecord};
use protocol::codec;
use protocol::identity::{Claim, NodeCertificate, SecretKey, Signed, Statement};
use protocol::ids::{MachineName, NodeId, SiteId};
use protocol::market::book::Candidate;
use protocol::market::{Advert, Book};
use protocol::membership::serials::Presented;
use protocol::peering::monitor::SiteView;
use protocol::site::{Command, MACHINES_MAX, Site, Stamped};
use protocol::time::Timestamp;
use protocol::wire::v1::machine::{self, Answer, Question};
use storage::Replica;
use storage::replica::Progress;
use tokio::sync::watch;

use crate::blobs::Blobs;
use crate::console::{self, Consoles};
use crate::kpi::Kpis;
use crate::lease::Leases;
use crate::membership::Directory;
use crate::membership::certificates::Heard;
use crate::membership::root::Root;
use crate::networks::Networks;
use crate::observe::now;

/// The site could not be asked.
pub type Error = storage::replica::Error;

/// A peer shows nothing of itself.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// It cannot be asked now, or refuses.
    #[error("site {peer} does not answer")]
    Unanswered {
        /// The peer.
        peer: SiteId,
        /// Why.
        #[source]
        source: federation::ask::Error,
    },
    /// This site has no machine there.
    #[error("site {peer} shows itself to those who have a machine there, and this site has none")]
    Closed {
        /// The peer.
        peer: SiteId,
    },
    /// The answer is none.
    #[error("site {peer} gives an answer that cannot be read")]
    Unreadable {
        /// The peer.
        peer: SiteId,
    },
}

/// What is known of the bus.
#[derive(Clone, Debug)]
pub struct Bus {
    /// The peers, and how each is.
    pub peers: Vec<PeerState>,
    /// Who was turned away lately.
    pub refusals: Vec<RefusalRecord>,
    /// What other sites say they have, and when it was heard.
    pub adverts: Vec<(SiteId, Advert, Timestamp)>,
    /// Which sites have said two things under one number in their adverts: the two hashes that
    /// they have signed.
    pub contradictions: BTreeMap<SiteId, [[u8; 32]; 2]>,
}

/// This node's name and voice on the bus.
#[derive(Debug)]
pub struct Signer {
    /// The site.
    pub site: SiteId,
    /// The node's key.
    pub key: SecretKey,
    /// The root key's word for it, as it was renewed last.
    certificate: RwLock<NodeCertificate>,
}

impl Signer {
    /// The voice of a node with this certificate.
    #[must_use]
    pub fn new(key: SecretKey, certificate: NodeCertificate) -> Self {
        Self { site: certificate.site(), key, certificate: RwLock::new(certificate) }
    }

    /// Signs a statement in the site's name.
    #[must_use]
    pub fn sign<T: Claim>(&self, statement: &Statement<T>) -> Signed<T> {
        Signed::sign(statement, &self.certificate.read().expect(CERTIFICATE), &self.key)
    }

    /// What is known of the certificate.
    #[must_use]
    pub fn presented(&self) -> Presented {
        self.certificate.read().expect(CERTIFICATE).certificate().into()
    }

    /// Signs under another certificate from now on.
    pub(crate) fn renew(&self, certificate: NodeCertificate) {
        *self.certificate.write().expect(CERTIFICATE) = certificate;
    }
}

/// Stamps time and chance on a command: whoever proposes it does, since applying it never asks.
pub(crate) fn stamped(command: Command) -> Stamped {
    Stamped { at: now(), seed: rand::random(), command }
}

/// What a desk is made of.
pub(crate) struct Inner {
    pub(crate) replica: Replica<Site>,
    pub(crate) bus: Arc<dyn Peers>,
    pub(crate) directory: Directory,
    pub(crate) root: Root,
    pub(crate) fetching: tokio::sync::Mutex<()>,
    pub(crate) book: Mutex<Book>,
    pub(crate) blobs: Blobs,
    pub(crate) consoles: Consoles,
    pub(crate) signer: Signer,
    pub(crate) leases: Leases,
    pub(crate) heard: Heard,
    pub(crate) networks: Networks,
    pub(crate) kpis: Kpis,
}

/// A handle on a running node. It is cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("site", &self.site()).finish_non_exhaustive()
    }
}

const CERTIFICATE: &str = "nothing that holds the certificate panics";

const BOOK: &str = "nothing that holds the book panics";

impl Desk {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// This node's copy of the state, for what only the leader decides.
    pub(crate) fn replica(&self) -> &Replica<Site> {
        &self.inner.replica
    }

    /// Which keys the site's nodes have.
    pub(crate) fn directory(&self) -> &Directory {
        &self.inner.directory
    }

    /// Held by whoever fetches files from other nodes.
    pub(crate) fn fetching(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.fetching
    }

    /// The site's root key, if it is here.
    pub(crate) fn root(&self) -> &Root {
        &self.inner.root
    }

    /// Looks at the site's state; shortly, since applying waits meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&Site) -> T) -> T {
        self.inner.replica.read(look)
    }

    /// How far the state is, whenever that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.inner.replica.watch()
    }

    /// What other sites say they have.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        self.with_book(|book| book.candidates().collect())
    }

    pub(crate) fn with_book<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.inner.book.lock().expect(BOOK))
    }

    /// What is known of the bus.
    pub async fn bus(&self) -> Bus {
        let (peers, refusals) = tokio::join!(self.inner.bus.peers(), self.inner.bus.refusals());
        let adverts = self.with_book(|book| {
            let heard =
                |site| book.of(site).map(|(advert, heard)| (site, advert.body().clone(), heard));
            book.candidates().filter_map(|candidate| heard(candidate.site)).collect()
        });
        let contradictions = self.with_book(|book| {
            let proofs = book.equivocations();
            proofs.map(|(site, (one, two))| (*site, [one.digest(), two.digest()])).collect()
        });
        Bus { peers, refusals, adverts, contradictions }
    }

    pub(crate) fn peers(&self) -> &Arc<dyn Peers> {
        &self.inner.bus
    }

    pub(crate) fn signer(&self) -> &Signer {
        &self.inner.signer
    }

    /// The files of images.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }

    /// The networks of this node's host.
    pub(crate) fn networks(&self) -> &Networks {
        &self.inner.networks
    }

    /// Until when guests may run, and whom this node lets run what.
    pub(crate) fn leases(&self) -> &Leases {
        &self.inner.leases
    }

    /// Which certificates peers have said that they still honour.
    pub(crate) fn heard(&self) -> &Heard {
        &self.inner.heard
    }

    /// What the guests of this node's host say of themselves.
    #[must_use]
    pub fn kpis(&self) -> &Kpis {
        &self.inner.kpis
    }

    pub(crate) fn consoles(&self) -> &Consoles {
        &self.inner.consoles
    }

    /// Attaches to the serial console of a machine, wherever it runs.
    ///
    /// # Errors
    ///
    /// If it runs nowhere, somebody else is attached, or the way to it is cut.
    pub async fn console(&self, machine: MachineName) -> Result<Duplex, console::Error> {
        console::attach(self, machine).await
    }

    /// The node on whose host a guest of this site has its place.
    #[must_use]
    pub fn node_of(&self, name: MachineName) -> Option<NodeId> {
        self.read(|site| {
            let host = site.guest(name)?.lodging.host;
            site.hosts().find(|(id, _)| **id == host).map(|(_, row)| row.node)
        })
    }

    /// What a peer shows of itself: its capacity and prices, and this site's machines there.
    ///
    /// # Errors
    ///
    /// If it cannot be asked now, or this site has no machine there.
    pub async fn monitor(&self, peer: SiteId) -> Result<SiteView, MonitorError> {
        let mut whole: Option<SiteView> = None;
        loop {
            let seen = whole.as_ref().map_or(&[][..], |view| &view.machines);
            let after = seen.last().map(|it| it.machine);
            let question = codec::encode(&Question::Site { after });
            let asked = self.inner.bus.ask(peer, Channel::Machine, question).await;
            let answer = asked.map_err(|source| MonitorError::Unanswered { peer, source })?;
            let view = match machine::answer(&answer) {
                Ok(Answer::Site(view)) => *view,
                Ok(Answer::Closed) => return Err(MonitorError::Closed { peer }),
                Ok(Answer::Kpis(_) | Answer::Away) | Err(_) => {
                    return Err(MonitorError::Unreadable { peer });
                }
            };
            // A peer that always has more, or tells of the same machines again, tells no more.
            let news = view.machines.first().map(|it| it.machine) > after;
            let known = whole.as_ref().map_or(0, |it| it.machines.len()) + view.machines.len();
            let more = view.more && news && known < MACHINES_MAX;
            match &mut whole {
                None => whole = Some(view),
                Some(whole) if news => whole.machines.extend(view.machines),
                Some(_) => {}
            }
            if !more && let Some(whole) = whole {
                return Ok(whole);
            }
        }
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.inner.replica.node()
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> SiteId {
        self.inner.signer.site
    }
}
