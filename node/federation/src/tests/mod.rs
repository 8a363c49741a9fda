//! Several nodes in one process, on loopback, and what strangers may try.

mod address;
mod directory;
mod fake;
mod flood;
mod gate;
mod greeting;
mod link;
mod nat;
mod nearby;
mod nodes;
mod revocation;
mod space;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use protocol::identity::{Certificate, NodeCertificate, PublicKey, Scopes, SecretKey};
use protocol::ids::SiteId;
use protocol::time::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::{
    Admission, Caller, Channel, Duplex, Federation, Handler, Limits, Options, PeerAddress, Peers,
    Refusal, Verdict, ask,
};

/// Long enough for a machine whose two cores have other work.
const DEADLINE: Duration = Duration::from_secs(60);

/// The moment at which all certificates hold.
const NOON: u64 = 1_000_000;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A node of a site, with keys that are the same for the same numbers.
struct Party {
    node: u8,
    site: SiteId,
    certificate: NodeCertificate,
}

impl Party {
    /// The only node of a site.
    fn new(number: u8) -> Self {
        Self::node(number, number)
    }

    /// The node with the key of `node`, of the site `number`.
    fn node(number: u8, node: u8) -> Self {
        Self { node, ..Self::with(number, Scopes::NODE, node) }
    }

    /// The node with the key of `number`, whose certificate names the key of `node`.
    fn with(number: u8, scopes: Scopes, node: u8) -> Self {
        Self::issued(number, scopes, node, 1)
    }

    /// A node of a site, with a certificate of this serial.
    fn serial(number: u8, node: u8, serial: u64) -> Self {
        Self { node, ..Self::issued(number, Scopes::NODE, node, serial) }
    }

    fn issued(number: u8, scopes: Scopes, node: u8, serial: u64) -> Self {
        let root = SecretKey::from_bytes(&[number; 32]);
        let certificate = Certificate {
            root: root.public(),
            node: node_key(node).public(),
            scopes,
            serial,
            not_before: Timestamp::from_millis(NOON - 1000),
            not_after: Timestamp::from_millis(NOON + 1000),
        };
        let certificate = NodeCertificate::issue(certificate, &root);
        Self { node: number, site: root.public().site(), certificate }
    }

    fn caller(&self) -> Caller {
        Caller { site: self.site, node: node_key(self.node).public() }
    }

    fn options(&self, listen: &str) -> Options {
        Options {
            key: node_key(self.node),
            certificate: self.certificate.clone(),
            incarnation: 7,
            listen: vec![listen.to_owned()],
            external: Vec::new(),
            mdns: false,
            relay: false,
            limits: Limits::STANDARD,
        }
    }
}

fn node_key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number + 100; 32])
}

/// Admits the sites it was told, by a clock that stands until it is set.
struct Policy {
    admitted: Mutex<BTreeSet<SiteId>>,
    honours: AtomicU64,
    heard: Mutex<BTreeMap<SiteId, u64>>,
    now: AtomicU64,
}

impl Policy {
    fn admitting(parties: &[&Party]) -> Arc<Self> {
        let admitted = Mutex::new(parties.iter().map(|party| party.site).collect());
        let (honours, heard) = (AtomicU64::new(0), Mutex::default());
        Arc::new(Self { admitted, honours, heard, now: AtomicU64::new(NOON) })
    }

    fn admit(&self, party: &Party) {
        self.admitted.lock().unwrap().insert(party.site);
    }

    fn remove(&self, party: &Party) {
        self.admitted.lock().unwrap().remove(&party.site);
    }
}

impl Admission for Policy {
    fn admit(&self, site: SiteId, _: &NodeCertificate) -> Result<(), Refusal> {
        let admitted = self.admitted.lock().unwrap().contains(&site);
        if admitted { Ok(()) } else { Err(Refusal::Stranger) }
    }

    fn honours(&self) -> u64 {
        self.honours.load(Ordering::SeqCst)
    }

    fn honoured(&self, site: SiteId) -> u64 {
        self.heard.lock().unwrap().get(&site).copied().unwrap_or_default()
    }

    fn heard_honours(&self, site: SiteId, lowest: u64) {
        self.heard.lock().unwrap().insert(site, lowest);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }
}

/// Answers with what was asked, judges adverts by their first letter, and echoes consoles.
struct Echo {
    heard: Mutex<Vec<(SiteId, Vec<u8>)>>,
    asked: AtomicU64,
    /// A request that begins with `wait` is answered once there is a permit here.
    released: Semaphore,
}

impl Echo {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            heard: Mutex::new(Vec::new()),
            asked: AtomicU64::new(0),
            released: Semaphore::new(0),
        })
    }

    fn has_heard(&self, body: &[u8]) -> bool {
        self.heard.lock().unwrap().iter().any(|(_, heard)| heard == body)
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Handler for Echo {
    async fn ask(
        &self,
        _: Caller,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Refused> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if body.starts_with(b"refuse") {
            return Err(ask::Refused::new("not today"));
        }
        if body.starts_with(b"foul") {
            return Err(ask::Refused::foul("a forgery, as the test wants it"));
        }
        if body.starts_with(b"fail") {
            panic!("a handler that fails, as the test wants it");
        }
        if body.starts_with(b"wait") {
            self.released.acquire().await.unwrap().forget();
        }
        Ok([channel.protocol().as_bytes(), &body].concat())
    }

    async fn gossip(&self, from: Caller, body: Vec<u8>) -> Verdict {
        let verdict = match body.first() {
            Some(b'a') => Verdict::Accept,
            Some(b'i') => Verdict::Ignore,
            _ => Verdict::Reject,
        };
        self.heard.lock().unwrap().push((from.site, body));
        verdict
    }

    async fn console(&self, _: Caller, header: Vec<u8>, mut stream: Duplex) {
        let mut buffer = [0; 1024];
        let greeting = [b"console of ".as_slice(), &header].concat();
        if stream.write_all(&greeting).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..count]).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }
}

/// A node that runs.
struct Node {
    site: SiteId,
    key: PublicKey,
    bus: Federation,
    policy: Arc<Policy>,
    echo: Arc<Echo>,
}

impl Node {
    async fn start(party: &Party, listen: &str, admitted: &[&Party]) -> Self {
        Self::with(party, party.options(listen), Policy::admitting(admitted)).await
    }

    async fn with(party: &Party, options: Options, policy: Arc<Policy>) -> Self {
        let echo = Echo::new();
        let bus = Federation::start(options, policy.clone(), echo.clone()).await.unwrap();
        let Caller { site, node: key } = party.caller();
        Self { site, key, bus, policy, echo }
    }

    fn address(&self, site: Option<SiteId>) -> PeerAddress {
        PeerAddress { site, node: None, addresses: self.bus.listening().to_vec() }
    }

    /// The address under which other nodes of its own site know it.
    fn own_address(&self) -> PeerAddress {
        PeerAddress { node: Some(self.key), ..self.address(Some(self.site)) }
    }

    async fn dial(&self, other: &Self) {
        self.bus.set_peers(vec![other.address(Some(other.site))]).await.unwrap();
    }

    async fn is_connected(&self, site: SiteId) -> bool {
        let peers = self.bus.peers().await;
        peers.iter().any(|peer| peer.site == Some(site) && peer.connected_since.is_some())
    }

    async fn until_connected(&self, other: &Self) {
        until("two sites are connected", async || {
            self.is_connected(other.site).await && other.is_connected(self.site).await
        })
        .await;
    }

    /// The nodes of a site that are connected.
    async fn nodes(&self, site: SiteId) -> Vec<PublicKey> {
        let peers = self.bus.peers().await;
        let found = peers.into_iter().find(|peer| peer.site == Some(site));
        found.into_iter().flat_map(|peer| peer.nodes).map(|node| node.node).collect()
    }

    async fn counters(&self, site: SiteId) -> crate::Counters {
        let peers = self.bus.peers().await;
        peers
            .iter()
            .find(|peer| peer.site == Some(site))
            .map(|peer| peer.counters)
            .unwrap_or_default()
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
