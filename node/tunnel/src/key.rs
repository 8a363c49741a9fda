//! The keys of gateways: X25519, as WireGuard has them.

use std::fmt;

use boringtun::x25519;
use serde::{Deserialize, Serialize};

/// The private key of a gateway. It is wiped from memory when it is dropped, and never printed.
#[derive(Clone)]
pub struct PrivateKey(x25519::StaticSecret);

/// The public key of a gateway, by which the others know it.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct PublicKey([u8; 32]);

impl PrivateKey {
    /// The key of these 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(x25519::StaticSecret::from(bytes))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519::PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) fn secret(&self) -> x25519::StaticSecret {
        self.0.clone()
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public())
    }
}

impl PublicKey {
    /// The key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hexadecimal, as the other keys of a site are shown.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How a private key crosses to the tunnel's process, as a part of what is wanted and nowhere else:
/// by itself it has no encoding, so that none is written down by accident.
pub(crate) mod secret {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::PrivateKey;

    pub(crate) fn serialize<S: Serializer>(key: &PrivateKey, to: S) -> Result<S::Ok, S::Error> {
        key.secret().to_bytes().serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<PrivateKey, D::Error> {
        <[u8; 32]>::deserialize(from).map(PrivateKey::from_bytes)
    }
}
