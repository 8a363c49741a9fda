//! The secrets of API keys: `rsv_` and 32 random bytes in hexadecimal digits.
//!
//! A site keeps only the hash of a secret. The secret has 256 bits of chance, so one fast hash is
//! enough, and comparing hashes gives nothing away. The prefix lets scanners of repositories find
//! a secret that was committed by mistake.

use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "rsv_";

/// The text is no secret. It is not repeated, since it may be one with a slip in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is not the secret of a key: that is 'rsv_' and 64 hexadecimal digits")]
pub struct Malformed;

/// The secret of an API key. It is shown by [`expose`](Self::expose) alone.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A new one.
    #[must_use]
    pub fn draw() -> Self {
        Self(rand::random())
    }

    /// The secret with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of this secret.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a site keeps of it: the hash of its text.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(self.expose().as_bytes()).as_bytes()
    }

    /// Its text.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl FromStr for Secret {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let digits = text.strip_prefix(PREFIX).ok_or(Malformed)?;
        let lower = digits.bytes().all(|byte| !byte.is_ascii_uppercase());
        let hash = blake3::Hash::from_hex(digits).map_err(|_| Malformed)?;
        lower.then(|| Self(*hash.as_bytes())).ok_or(Malformed)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
