//! ed25519 keys and signatures (RFC 8032), as bytes that serde can carry.

use std::fmt;

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};

use crate::ids::SiteId;

/// The public half of a key.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes. That they are a point of the curve is found when it is used.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of this key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The site whose root key this is.
    #[must_use]
    pub fn site(&self) -> SiteId {
        SiteId::from_bytes(blake3::derive_key("reservoir 2026 site id of a root key", &self.0))
    }

    /// Whether `signature` is this key's over `message`; weak keys and malleable signatures are
    /// not (ed25519-dalek's strict verification).
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else { return false };
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&signature.0);
        bytes[32..].copy_from_slice(&signature.1);
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&bytes)).is_ok()
    }
}

/// A signature, in its two halves R and S (serde carries arrays of up to 32).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Signature([u8; 32], [u8; 32]);

/// The secret half of a key; wiped from memory when dropped.
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// The key with this secret, which the caller drew from the system's source of chance.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// The secret, to be kept in a file that only its owner reads.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let bytes = self.0.sign(message).to_bytes();
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&bytes[..32]);
        s.copy_from_slice(&bytes[32..]);
        Signature(r, s)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {:?}", self.public())
    }
}
