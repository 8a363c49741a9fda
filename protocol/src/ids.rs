//! Names of things. Each kind of thing has a type of its own, so that none passes for another.
//!
//! Ids are global: a UUIDv7 drawn by the leader that proposed the thing, or a hash. Knowing one
//! is no right to what it names. Everything that belongs to another site is keyed by (site, id),
//! since a peer may choose its own ids as it likes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::time::Timestamp;

/// The text is not an id of the kind named.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{text}' is not a {kind} id")]
pub struct Malformed {
    kind: &'static str,
    text: String,
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID of this id.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, ":{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                text.parse().map(Self).map_err(|_| Malformed { kind: $kind, text: text.to_owned() })
            }
        }
    )*};
}

uuid_ids! {
    /// A buyer's call for offers for one machine.
    CallId, "call";
    /// A seller's short reservation behind an offer; its agreement keeps the id.
    HoldId, "hold";
    /// A machine with a hypervisor.
    HostId, "host";
    /// An API key.
    KeyId, "key";
    /// A virtual execution environment (the deck's VEE).
    MachineId, "machine";
    /// A network of a tenant.
    NetworkId, "network";
    /// A tenant's service: the machines of one manifest.
    ServiceId, "service";
    /// Who submits services.
    TenantId, "tenant";
    /// A client's own name for a request, so that a retry is the same request.
    RequestId, "request";
}

macro_rules! hash_ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes of this id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight characters, for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, ":{}"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                blake3::Hash::from_hex(text)
                    .map(|hash| Self(*hash.as_bytes()))
                    .map_err(|_| Malformed { kind: $kind, text: text.to_owned() })
            }
        }

        /// Text for people's formats, bytes for ours.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    )*};
}

hash_ids! {
    /// A file that belongs to an image: the BLAKE3 hash of its content.
    BlobId, "blob";
    /// An image: the hash of its description, the same at every site that has it.
    ImageId, "image";
    /// What a guest sees of its machine, in one hash.
    HullId, "hull";
    /// A site: the hash of its root public key. Its name is only a label.
    SiteId, "site";
}

/// A machine by its full name: every site keys what is not its own by (home, id).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct MachineName {
    /// The site that owns the machine.
    pub home: SiteId,
    /// Its id there.
    pub machine: MachineId,
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.home.short(), self.machine)
    }
}

impl fmt::Debug for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node among its site's nodes, as Raft counts them.
#[derive(
    Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Draws ids, and numbers for fair choices, from the chance that the leader stamped on a
/// command: every replica draws the same ones.
#[derive(Clone, Debug)]
pub struct Mint {
    at: Timestamp,
    seed: [u8; 32],
    drawn: u64,
}

impl Mint {
    /// A mint for one command, stamped at `at` with `seed`.
    #[must_use]
    pub const fn new(at: Timestamp, seed: [u8; 32]) -> Self {
        Self { at, seed, drawn: 0 }
    }

    fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        *blake3::keyed_hash(&self.seed, &self.drawn.to_le_bytes()).as_bytes()
    }

    /// A UUIDv7 (RFC 9562, section 5.7): the stamp's time, then drawn bits.
    pub fn uuid(&mut self) -> Uuid {
        let drawn = self.bytes();
        let mut tail = [0; 10];
        tail.copy_from_slice(&drawn[..10]);
        uuid::Builder::from_unix_timestamp_millis(self.at.as_millis(), &tail).into_uuid()
    }

    /// A number below `bound`, or zero if `bound` is.
    ///
    /// The bias of the remainder is below 2^-64 of `bound`: it drowns in what it is used for,
    /// spreading load.
    pub fn below(&mut self, bound: u64) -> u64 {
        let drawn = self.bytes();
        let mut low = [0; 16];
        low.copy_from_slice(&drawn[..16]);
        let wide = u128::from_le_bytes(low).checked_rem(u128::from(bound)).unwrap_or(0);
        u64::try_from(wide).expect("a remainder is below its divisor")
    }
}
