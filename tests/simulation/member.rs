//! One site of the simulated federation: its log, the replicas that follow it, its hosts, and
//! what only its leader keeps in mind.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use protocol::agreement::Message;
use protocol::identity::{
    Certificate, Claim, NodeCertificate, Scopes, SecretKey, Signed, Statement,
};
use protocol::ids::{HoldId, MachineId, SiteId, TenantId};
use protocol::market::{Advert, Book};
use protocol::membership::Members;
use protocol::site::{Outcome, Site, Stamped};
use protocol::time::{Span, Timestamp};

use crate::chance::Chance;
use crate::founding::number;
use crate::host::Host;
use crate::leases::Leading;
use crate::replica::Replica;

/// The moment at which every world begins: far from zero, as clocks are.
pub(crate) const BEGINNING: u64 = 1_800_000_000_000;

/// Who waits for the outcome of a proposal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// Nobody: it is looked at again anyway.
    Nobody,
    /// A peer, by its index.
    Peer(usize),
    /// A tenant's request, by its index.
    Client(usize),
}

/// A command that has been proposed and is not committed yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) stamped: Stamped,
    pub(crate) reply: Reply,
}

/// A batch of messages on its way to a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) sent: u64,
    pub(crate) tries: u32,
}

/// What a leader keeps in mind and loses with its office.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Since when it leads.
    pub(crate) since: u64,
    /// The adverts it has heard.
    pub(crate) book: Book,
    /// The advert it has sent last.
    pub(crate) said: Option<(Advert, Timestamp)>,
    /// What is on its way to each peer.
    pub(crate) flights: BTreeMap<usize, Flight>,
    /// What it has signed, so that a repetition is the same bytes.
    pub(crate) signed: BTreeMap<(usize, u64), Signed<Message>>,
    /// When it last proposed to seek each machine.
    pub(crate) sought: BTreeMap<MachineId, u64>,
    /// Whether a step about the members is under way.
    pub(crate) is_changing: bool,
    /// What it grants and holds; there from its election on.
    pub(crate) leading: Option<Leading>,
}

/// The key of a site's node, and the certificate that lets it speak for the site.
pub(crate) struct Signer {
    certificate: NodeCertificate,
    key: SecretKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signer of {:?}", self.certificate.site())
    }
}

impl Signer {
    fn new(chance: &mut Chance) -> Self {
        let root = SecretKey::from_bytes(&chance.bytes());
        let key = SecretKey::from_bytes(&chance.bytes());
        let certificate = Certificate {
            root: root.public(),
            node: key.public(),
            scopes: Scopes::NODE,
            serial: 1,
            not_before: Timestamp::from_millis(BEGINNING) - Span::from_secs(86_400),
            not_after: Timestamp::from_millis(BEGINNING) + Span::from_secs(86_400),
        };
        Self { certificate: NodeCertificate::issue(certificate, &root), key }
    }

    /// Signs a statement in the site's name.
    pub(crate) fn sign<T: Claim>(
        &self,
        audience: Option<SiteId>,
        sequence: u64,
        (issued_at, lifetime): (Timestamp, Span),
        body: T,
    ) -> Signed<T> {
        let statement = Statement {
            issuer: self.certificate.site(),
            audience,
            incarnation: 0,
            sequence,
            issued_at,
            expires_at: issued_at + lifetime,
            body,
        };
        Signed::sign(&statement, &self.certificate, &self.key)
    }
}

/// A site.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: SiteId,
    pub(crate) name: String,
    pub(crate) signer: Signer,
    /// The tenant whose services are submitted here.
    pub(crate) tenant: TenantId,
    /// Everything that was ever committed.
    pub(crate) log: Vec<Stamped>,
    /// The services and machines that its tenant was told of, and how long the log was then.
    pub(crate) acknowledged: Vec<(Outcome, usize)>,
    /// By their nodes' numbers, the first at zero; those that are gone stay.
    pub(crate) replicas: Vec<Replica>,
    /// Raft's members.
    pub(crate) voters: Members,
    /// The replica that leads, if any does.
    pub(crate) leader: Option<usize>,
    pub(crate) term: u64,
    pub(crate) pending: VecDeque<Pending>,
    /// When the last proposal is committed: they are in the order in which they were made.
    pub(crate) committing: u64,
    pub(crate) desk: Desk,
    pub(crate) hosts: Vec<Host>,
    /// The offers that it had made when it was judged last.
    pub(crate) offered: BTreeSet<HoldId>,
    /// When the leader looks again; earlier plans are void.
    pub(crate) look_at: u64,
}

impl Member {
    /// A site that has committed nothing yet.
    pub(crate) fn new(
        index: usize,
        replicas: Vec<Replica>,
        hosts: Vec<Host>,
        chance: &mut Chance,
    ) -> Self {
        let signer = Signer::new(chance);
        let voters = (0..replicas.len()).map(number).collect();
        Self {
            id: signer.certificate.site(),
            name: format!("site-{index:02}"),
            signer,
            tenant: TenantId::from_uuid(chance.mint().uuid()),
            log: Vec::new(),
            acknowledged: Vec::new(),
            replicas,
            voters: Members { voters, ..Members::default() },
            leader: Some(0),
            term: 1,
            pending: VecDeque::new(),
            committing: 0,
            desk: Desk::default(),
            hosts,
            offered: BTreeSet::new(),
            look_at: u64::MAX,
        }
    }

    /// What the leader knows, if there is one.
    pub(crate) fn state(&self) -> Option<&Site> {
        self.leader.map(|leader| &self.replicas[leader].site)
    }

    /// The wall clock of a replica's node.
    pub(crate) fn clock(&self, replica: usize, now: u64) -> Timestamp {
        Timestamp::from_millis(BEGINNING + now + self.replicas[replica].skew)
    }
}
