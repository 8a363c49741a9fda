//! The hello: which site a node speaks for, said and checked before anything else.
//!
//! ```text
//! dialer                                  listener
//!   Hello {versions, certificate, ...} -->
//!                                      <-- Answer: Hello, or Refused with the reason
//!   Verdict: Welcome, or Refused       -->
//! ```
//!
//! Each side checks the other's certificate against the key that the connection's handshake has
//! proven, and asks the node's policy. A refusal names its reason, so that an operator at either
//! end can act on it; it tells nothing that the other side did not already know.
//!
//! A certificate is short-lived, and may be revoked before its end: its site names the lowest serial
//! that it still honours, and each of its nodes repeats the number. It counts only from a node whose
//! own certificate is not below it: only the root key issues a higher one, so a node can revoke
//! nobody whose certificate is as new as its own, and a revoked one cannot take anything back, since
//! the highest number ever heard stands.
//!
//! **Invariant.** Nothing here does I/O: bytes in, a decision out.

use libp2p::PeerId;
use protocol::codec;
use protocol::identity::{CertificateError, NodeCertificate, PublicKey, Scope};
use protocol::ids::SiteId;
use serde::{Deserialize, Serialize};

use crate::{Admission, Caller};

/// The protocol of the hello.
pub(crate) const PROTOCOL: &str = "/reservoir/hello/1";

/// The most bytes of one frame of the hello. A certificate takes some 170.
pub(crate) const FRAME_LIMIT: usize = 2 << 10;

/// The versions of the federation's protocol that this node speaks.
const VERSIONS: [u16; 1] = [1];

/// The most versions that a hello may list: a node that speaks more has forgotten to retire some.
const VERSIONS_LIMIT: usize = 16;

/// The most bytes of a policy's own words.
const WORDS_LIMIT: usize = 200;

/// Why a node is turned away. It reaches the other side.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The site is not among the peers.
    #[error("the site is not among the peers: let the operators of both sites add each other")]
    Stranger,
    /// No version of the protocol in common.
    #[error("the two nodes have no version of the protocol in common: update the older one")]
    Version,
    /// The root key has not signed the certificate.
    #[error("the certificate is not signed by its site's root key")]
    Forged,
    /// The certificate does not hold at the moment.
    #[error("the certificate does not hold at the moment: compare the clocks, or renew it")]
    Expired,
    /// The certificate does not allow to speak for the site.
    #[error("the certificate does not allow its node to speak for the site")]
    OutOfScope,
    /// Its site honours the certificate no longer.
    #[error("the site has revoked the certificate: let it issue a new one")]
    Revoked,
    /// The certificate is another node's.
    #[error("the certificate was issued to another node's key")]
    OtherKey,
    /// Another site than the one expected at this address.
    #[error("another site is expected at this address: correct the peer's address")]
    OtherSite,
    /// What was said is no hello.
    #[error("the hello cannot be read")]
    Unreadable,
    /// The node has as many connections as it takes.
    #[error("the node has no room for another connection: try again later")]
    Crowded,
    /// The site has sent too much.
    #[error("the site has sent more than it may: try again in some minutes")]
    Flooding,
    /// The node's policy, in its own words.
    #[error("{0}")]
    Policy(String),
}

impl Refusal {
    /// A refusal in a policy's own words, which are cut at 200 bytes.
    #[must_use]
    pub fn policy(words: impl Into<String>) -> Self {
        let mut words = words.into();
        words.truncate(words.floor_char_boundary(WORDS_LIMIT));
        Self::Policy(words)
    }

    /// The refusal with words short enough to keep and to send, whoever wrote them.
    fn bounded(self) -> Self {
        match self {
            Self::Policy(words) => Self::policy(words),
            plain => plain,
        }
    }
}

impl From<CertificateError> for Refusal {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Forged { .. } => Self::Forged,
            CertificateError::Expired { .. } => Self::Expired,
            CertificateError::OutOfScope { .. } => Self::OutOfScope,
            CertificateError::OtherKey { .. } => Self::OtherKey,
        }
    }
}

/// What each side says of itself.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hello {
    versions: Vec<u16>,
    pub(crate) certificate: NodeCertificate,
    pub(crate) incarnation: u64,
    /// The lowest serial of its site's certificates that counts.
    honours: u64,
}

impl Hello {
    pub(crate) fn new(certificate: NodeCertificate, incarnation: u64) -> Self {
        Self { versions: VERSIONS.to_vec(), certificate, incarnation, honours: 0 }
    }

    /// The hello with what the node's own site honours at the moment.
    pub(crate) fn honouring(&self, lowest: u64) -> Self {
        Self { honours: lowest, ..self.clone() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

/// What the listener says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It admits the dialer, and says who it is.
    Hello(Hello),
    /// It does not.
    Refused(Refusal),
}

/// What the dialer says last.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It admits the listener.
    Welcome,
    /// It does not.
    Refused(Refusal),
}

/// A node of a site that has passed the hello.
#[derive(Clone, Debug)]
pub(crate) struct Greeted {
    pub(crate) caller: Caller,
    pub(crate) certificate: NodeCertificate,
    pub(crate) incarnation: u64,
}

/// Who turned whom away, and why.
#[derive(Clone, Debug)]
pub(crate) enum Turned {
    /// We the other.
    Here {
        /// The site that the other claims, unless it could not be read.
        claimed: Option<SiteId>,
        refusal: Refusal,
    },
    /// The other us.
    There(Refusal),
}

/// The key whose possession the connection's handshake has proven.
///
/// A peer's id holds an ed25519 key itself, being short enough; an id that holds only a hash is of
/// a kind of key that certificates do not name.
pub(crate) fn proven_key(peer: &PeerId) -> Option<PublicKey> {
    // The multihash code of "identity": the digest is the thing itself.
    const IDENTITY: u64 = 0;
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = libp2p::identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(PublicKey::from_bytes(key.try_into_ed25519().ok()?.to_bytes()))
}

/// libp2p's name for a node's key; none if the bytes are no key.
pub(crate) fn peer_id(key: PublicKey) -> Option<PeerId> {
    let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(PeerId::from_public_key(&key.into()))
}

/// Checks what a dialer has said first.
pub(crate) fn check_hello(
    bytes: &[u8],
    peer: &PeerId,
    admission: &dyn Admission,
) -> Result<Greeted, Turned> {
    match codec::decode(bytes, FRAME_LIMIT) {
        Ok(hello) => check(hello, peer, admission),
        Err(_) => Err(unreadable()),
    }
}

/// Checks what a listener has answered.
pub(crate) fn check_answer(
    bytes: &[u8],
    peer: &PeerId,
    admission: &dyn Admission,
) -> Result<Greeted, Turned> {
    match codec::decode(bytes, FRAME_LIMIT) {
        Ok(Answer::Hello(hello)) => check(hello, peer, admission),
        Ok(Answer::Refused(refusal)) => Err(Turned::There(refusal.bounded())),
        Err(_) => Err(unreadable()),
    }
}

/// Checks what a dialer has said last.
pub(crate) fn check_verdict(bytes: &[u8]) -> Result<(), Turned> {
    match codec::decode(bytes, FRAME_LIMIT) {
        Ok(Verdict::Welcome) => Ok(()),
        Ok(Verdict::Refused(refusal)) => Err(Turned::There(refusal.bounded())),
        Err(_) => Err(unreadable()),
    }
}

/// Checks a certificate once more, as time passes and policies change.
pub(crate) fn check_again(greeted: &Greeted, admission: &dyn Admission) -> Result<(), Refusal> {
    let certificate = &greeted.certificate;
    let site = certificate.check_presented(greeted.caller.node, Scope::Speak, admission.now())?;
    if certificate.certificate().serial < admission.honoured(site) {
        return Err(Refusal::Revoked);
    }
    admission.admit(site, certificate).map_err(Refusal::bounded)
}

fn check(hello: Hello, peer: &PeerId, admission: &dyn Admission) -> Result<Greeted, Turned> {
    let claimed = Some(hello.certificate.site());
    let turned = |refusal: Refusal| Turned::Here { claimed, refusal };
    if hello.versions.len() > VERSIONS_LIMIT {
        return Err(turned(Refusal::Unreadable));
    }
    if !hello.versions.iter().any(|version| VERSIONS.contains(version)) {
        return Err(turned(Refusal::Version));
    }
    let node = proven_key(peer).ok_or_else(|| turned(Refusal::OtherKey))?;
    let greeted = Greeted {
        caller: Caller { site: hello.certificate.site(), node },
        certificate: hello.certificate,
        incarnation: hello.incarnation,
    };
    check_again(&greeted, admission).map_err(turned)?;
    let (site, serial) = (greeted.caller.site, greeted.certificate.certificate().serial);
    if hello.honours <= serial && hello.honours > admission.honoured(site) {
        admission.heard_honours(site, hello.honours);
    }
    Ok(greeted)
}

const fn unreadable() -> Turned {
    Turned::Here { claimed: None, refusal: Refusal::Unreadable }
}
