//! Tokens that nobody has to remember.
//!
//! ```text
//! byte 0       1 ... 8                      9 ... 40
//! version = 1  end, ms since the epoch, BE  keyed BLAKE3 of (home, machine, end)
//! ```
//!
//! in base64: 56 characters, as many as EC2's have. The end is in the token and under the hash, so
//! a token can be checked by whoever has the key, also after a restart and on another node.

use std::fmt;

use data_encoding::BASE64;
use protocol::ids::MachineName;
use protocol::time::{Span, Timestamp};

/// The version of the layout.
const VERSION: u8 = 1;

/// The bytes of a token.
const LENGTH: usize = 1 + 8 + 32;

/// The key under which tokens are made and known.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// The key that follows from a secret of at least 32 random bytes. Nodes that share the secret
    /// know each other's tokens, so that those of a machine outlive its move between them.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("reservoir 2026 metadata tokens", secret))
    }

    /// A token for a machine until a moment.
    pub(crate) fn issue(&self, machine: MachineName, end: Timestamp) -> String {
        let end = end.as_millis().to_be_bytes();
        let mut token = Vec::with_capacity(LENGTH);
        token.push(VERSION);
        token.extend(end);
        token.extend(self.seal(machine, end).as_bytes());
        BASE64.encode(&token)
    }

    /// How long a token is still valid for a machine; nothing if it is not.
    pub(crate) fn remaining(
        &self,
        machine: MachineName,
        token: &[u8],
        now: Timestamp,
    ) -> Option<Span> {
        if token.len() != BASE64.encode_len(LENGTH) {
            return None;
        }
        let token: [u8; LENGTH] = BASE64.decode(token).ok()?.try_into().ok()?;
        let ([version], rest) = token.split_first_chunk::<1>()?;
        let (end, seal) = rest.split_first_chunk::<8>()?;
        // Hashes are compared in constant time.
        let is_ours = self.seal(machine, *end) == *seal;
        let end = Timestamp::from_millis(u64::from_be_bytes(*end));
        (is_ours && *version == VERSION && now < end).then(|| end.since(now))
    }

    fn seal(&self, machine: MachineName, end: [u8; 8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(machine.home.as_bytes());
        hasher.update(machine.machine.as_uuid().as_bytes());
        hasher.update(&end);
        hasher.finalize()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
