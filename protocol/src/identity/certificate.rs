//! A node's certificate: the root key's word that a node's key speaks for the site, for a while
//! and for some purposes.

use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SecretKey, Signature};
use crate::codec;
use crate::ids::SiteId;
use crate::time::Timestamp;

const DOMAIN: &str = "reservoir 2026 node certificate v1";

/// What a certificate lets its node do in the site's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Speak on the bus between sites.
    Speak,
    /// Sign what the site is held to: adverts, offers, agreements, reports.
    Sign,
}

/// A set of [`Scope`]s, as bits; bits that nobody knows yet are kept and grant nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(u16);

impl Scopes {
    /// All that a full node of a site does.
    pub const NODE: Self = Self(0b11);

    /// A set of one.
    #[must_use]
    pub const fn only(scope: Scope) -> Self {
        Self(Self::bit(scope))
    }

    /// Whether the set has `scope`.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    const fn bit(scope: Scope) -> u16 {
        match scope {
            Scope::Speak => 1,
            Scope::Sign => 2,
        }
    }
}

/// What the root key says of a node's key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The site's root key; its hash is the site's id.
    pub root: PublicKey,
    /// The node's own key, which is also its identity on the bus.
    pub node: PublicKey,
    /// What the node may do.
    pub scopes: Scopes,
    /// Revocation number: a site's peers refuse certificates below the lowest it still honours.
    pub serial: u64,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

/// Why a certificate does not count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// The root key did not sign it.
    #[error("the certificate of a node of site {site} is not signed by its root key")]
    Forged {
        /// The site it claims.
        site: SiteId,
    },
    /// It is not valid yet, or no longer.
    #[error(
        "the certificate of a node of site {site} does not hold at the moment: compare the clocks, \
         or let that site renew it"
    )]
    Expired {
        /// The site it is of.
        site: SiteId,
    },
    /// It does not cover the purpose.
    #[error("the certificate of a node of site {site} does not allow {scope:?}")]
    OutOfScope {
        /// The site it is of.
        site: SiteId,
        /// The purpose.
        scope: Scope,
    },
    /// It was made for another node's key.
    #[error("the certificate of site {site} was issued to another node's key")]
    OtherKey {
        /// The site it is of.
        site: SiteId,
    },
}

/// A certificate with the root key's signature: what a node presents.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct NodeCertificate {
    certificate: Certificate,
    signature: Signature,
}

impl NodeCertificate {
    /// Signs a certificate. The key must be the one that the certificate names as root.
    ///
    /// # Panics
    ///
    /// If it is another: the caller has mixed up two sites.
    #[must_use]
    pub fn issue(certificate: Certificate, root: &SecretKey) -> Self {
        assert!(certificate.root == root.public(), "a certificate is signed by the root it names");
        let signature = root.sign(&digest(&certificate));
        Self { certificate, signature }
    }

    /// What it says, unchecked.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The site it is of, unchecked.
    #[must_use]
    pub fn site(&self) -> SiteId {
        self.certificate.root.site()
    }

    /// Checks it, for a purpose at a moment.
    ///
    /// # Errors
    ///
    /// If it is forged, does not hold at `now`, or does not cover `scope`.
    pub fn check(&self, scope: Scope, now: Timestamp) -> Result<SiteId, CertificateError> {
        let site = self.site();
        let held = &self.certificate;
        if !held.root.verifies(&digest(held), &self.signature) {
            return Err(CertificateError::Forged { site });
        }
        if now < held.not_before || now > held.not_after {
            return Err(CertificateError::Expired { site });
        }
        if !held.scopes.has(scope) {
            return Err(CertificateError::OutOfScope { site, scope });
        }
        Ok(site)
    }

    /// Checks it as [`check`](Self::check) does, when presented on a connection whose other end
    /// has proven to hold `key`.
    ///
    /// # Errors
    ///
    /// As `check`, and if it was issued to another key.
    pub fn check_presented(
        &self,
        key: PublicKey,
        scope: Scope,
        now: Timestamp,
    ) -> Result<SiteId, CertificateError> {
        let site = self.check(scope, now)?;
        if self.certificate.node != key {
            return Err(CertificateError::OtherKey { site });
        }
        Ok(site)
    }
}

fn digest(certificate: &Certificate) -> [u8; 32] {
    blake3::derive_key(DOMAIN, &codec::encode(certificate))
}
