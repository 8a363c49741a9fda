//! Statements that a site is held to, as the exact bytes that were signed.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::certificate::{CertificateError, NodeCertificate, Scope};
use super::keys::{SecretKey, Signature};
use crate::codec;
use crate::ids::SiteId;
use crate::time::Timestamp;

/// A body that can be signed: its domain-separation tag keeps a signature over one kind of body
/// from passing for another's.
pub trait Claim: Serialize + DeserializeOwned {
    /// The tag: a constant that no other claim has (a BLAKE3 key-derivation context).
    const DOMAIN: &'static str;
    /// The most bytes of one encoded statement.
    const LIMIT: usize;
}

/// Who says what to whom.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Statement<T> {
    /// The site that is held to it.
    pub issuer: SiteId,
    /// The site it is said to; none for what is said to all.
    pub audience: Option<SiteId>,
    /// How often the issuer has been restored from a backup.
    pub incarnation: u64,
    /// The issuer's number for it in its stream (to this audience, of this kind).
    pub sequence: u64,
    /// When it was said, by the issuer's clock.
    pub issued_at: Timestamp,
    /// The last moment at which it may be taken up.
    pub expires_at: Timestamp,
    /// What is said.
    pub body: T,
}

/// Why a signed statement is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The certificate does not count.
    #[error("the statement's certificate does not count")]
    Certificate(#[source] CertificateError),
    /// The node's key did not sign these bytes as this kind of statement.
    #[error("the statement of site {issuer} is altered or forged")]
    Forged {
        /// The site it claims.
        issuer: SiteId,
    },
    /// The signed bytes are not such a statement.
    #[error("the statement of site {issuer} cannot be read")]
    Unreadable {
        /// The site it claims.
        issuer: SiteId,
        /// Why.
        #[source]
        source: codec::Error,
    },
    /// Signed by a node of another site than the one it speaks for.
    #[error("a node of site {signer} has signed in the name of site {issuer}")]
    OtherIssuer {
        /// The site in the statement.
        issuer: SiteId,
        /// The site of the certificate.
        signer: SiteId,
    },
    /// Said to somebody else: a replay between sites.
    #[error("the statement of site {issuer} is not addressed to this site")]
    OtherAudience {
        /// The site in the statement.
        issuer: SiteId,
    },
    /// The signer's certificate is one that its site honours no more.
    #[error(
        "the statement of site {issuer} is signed under certificate {serial}, and that site honours \
         none below {lowest}: let its node renew its certificate"
    )]
    Revoked {
        /// The site in the statement.
        issuer: SiteId,
        /// The certificate's serial.
        serial: u64,
        /// The lowest that counts.
        lowest: u64,
    },
    /// Too old to be taken up.
    #[error("the statement of site {issuer} has expired")]
    Expired {
        /// The site in the statement.
        issuer: SiteId,
    },
}

/// A statement as it crosses the network: exact bytes, signature, certificate. Nobody has checked
/// it yet.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Signed<T> {
    certificate: NodeCertificate,
    bytes: Vec<u8>,
    signature: Signature,
    #[serde(skip)]
    claims: PhantomData<fn() -> T>,
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            bytes: self.bytes.clone(),
            signature: self.signature,
            claims: PhantomData,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate
            && self.bytes == other.bytes
            && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes by {:?})", self.bytes.len(), self.certificate.site())
    }
}

impl<T: Claim> Signed<T> {
    /// Signs a statement with a node's key, under the certificate that binds it to the site.
    #[must_use]
    pub fn sign(statement: &Statement<T>, certificate: &NodeCertificate, key: &SecretKey) -> Self {
        let bytes = codec::encode(statement);
        let signature = key.sign(&blake3::derive_key(T::DOMAIN, &bytes));
        Self { certificate: certificate.clone(), bytes, signature, claims: PhantomData }
    }

    /// The statement's hash: its name wherever another statement refers to it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key(T::DOMAIN, &self.bytes)
    }

    /// Checks everything but what the statement says: certificate, signature, canonical encoding,
    /// issuer, audience, expiry. `honoured` says the lowest serial of a site's certificates that is
    /// still honoured there, as far as this site has heard.
    ///
    /// # Errors
    ///
    /// The first of them that does not hold.
    pub fn verify(
        self,
        me: SiteId,
        now: Timestamp,
        honoured: impl FnOnce(SiteId) -> u64,
    ) -> Result<Verified<T>, Rejection> {
        let signer = self.certificate.check(Scope::Sign, now).map_err(Rejection::Certificate)?;
        let digest = self.digest();
        if !self.certificate.certificate().node.verifies(&digest, &self.signature) {
            return Err(Rejection::Forged { issuer: signer });
        }
        let statement: Statement<T> = codec::decode_canonical(&self.bytes, T::LIMIT)
            .map_err(|source| Rejection::Unreadable { issuer: signer, source })?;
        let issuer = statement.issuer;
        if issuer != signer {
            return Err(Rejection::OtherIssuer { issuer, signer });
        }
        let (serial, lowest) = (self.certificate.certificate().serial, honoured(issuer));
        if serial < lowest {
            return Err(Rejection::Revoked { issuer, serial, lowest });
        }
        if statement.audience.is_some_and(|audience| audience != me) {
            return Err(Rejection::OtherAudience { issuer });
        }
        if now > statement.expires_at {
            return Err(Rejection::Expired { issuer });
        }
        Ok(Verified { signed: self, statement })
    }
}

/// A statement that has been checked, with the evidence.
///
/// It is kept as its evidence and decoded again from it. Reading one back from our own log or
/// disk does not check the signature again: it was checked before it got there, and no type that
/// crosses the network contains a `Verified`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified<T> {
    signed: Signed<T>,
    statement: Statement<T>,
}

impl<T> Verified<T> {
    /// What is said, by whom, to whom.
    #[must_use]
    pub const fn statement(&self) -> &Statement<T> {
        &self.statement
    }

    /// What is said.
    #[must_use]
    pub const fn body(&self) -> &T {
        &self.statement.body
    }

    /// The proof that it was said.
    #[must_use]
    pub const fn evidence(&self) -> &Signed<T> {
        &self.signed
    }
}

impl<T> Serialize for Verified<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.signed.serialize(serializer)
    }
}

impl<'de, T: Claim> Deserialize<'de> for Verified<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let signed = Signed::<T>::deserialize(deserializer)?;
        let statement = codec::decode(&signed.bytes, T::LIMIT).map_err(serde::de::Error::custom)?;
        Ok(Self { signed, statement })
    }
}
