//! What openraft is told about our types, and what one log entry carries.
//!
//! An entry carries *many* commands. openraft 0.9 waits for each entry's flush before it takes the
//! next, so the only way to share a flush among those who wait is to share an entry; its answer is
//! one outcome for each of its commands; none for a command that counts in another term only.
//!
//! The commands travel encoded, each by itself. They are encoded once, by whoever proposes them,
//! and decoded once on each replica, when they are applied; the log and the wire move bytes, and
//! each command has the codec's whole allowance to itself.
//!
//! A node is a number: where it can be reached is the transport's business, not the log's.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use openraft::impls::OneshotResponder;
use openraft::{EmptyNode, RaftTypeConfig, StoredMembership, TokioRuntime};
use protocol::codec;
use protocol::rows::Replicated;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most bytes of one encoded command: a manifest of 256 KiB and what it comes with fit well.
pub(crate) const COMMAND_BYTES_MAX: usize = 1 << 20;

/// The most bytes of commands in one entry: a full entry is written and sent in a few tens of
/// milliseconds, so that it delays neither the next one nor a heartbeat for long. A single command
/// always fits.
pub(crate) const BATCH_BYTES_MAX: usize = COMMAND_BYTES_MAX;

/// The most commands in one entry: it bounds how long one is applied while readers wait.
pub(crate) const BATCH_COMMANDS_MAX: usize = 1_024;

/// The most bytes of one encoded entry: its commands and a few numbers.
pub(crate) const ENTRY_BYTES_MAX: usize = BATCH_BYTES_MAX + (64 << 10);

/// A command above this size is decoded once before it is proposed. The codec counts a small
/// number at its full width, so bytes may claim up to sixteen times their length of its allowance
/// of 4 MiB; what is smaller cannot exceed it, and what exceeds it must never enter the log.
const COMMAND_BYTES_CERTAIN: usize = 256 << 10;

/// A command is too large for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLarge {
    pub(crate) bytes: usize,
}

/// One command, encoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Encoded(Vec<u8>);

impl Encoded {
    /// Encodes a command that every replica will be able to decode.
    pub(crate) fn new<S: Replicated>(command: &S::Command) -> Result<Self, TooLarge> {
        let encoded = Self(codec::encode(command));
        let bytes = encoded.0.len();
        let certain = bytes <= COMMAND_BYTES_CERTAIN;
        if certain || (bytes <= COMMAND_BYTES_MAX && encoded.decode::<S>().is_ok()) {
            Ok(encoded)
        } else {
            Err(TooLarge { bytes })
        }
    }

    pub(crate) fn decode<S: Replicated>(&self) -> Result<S::Command, codec::Error> {
        codec::decode(&self.0, COMMAND_BYTES_MAX)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }
}

/// As one run of bytes, not as a sequence of numbers that are bytes.
impl Serialize for Encoded {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Encoded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a command")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Encoded, E> {
                Ok(Encoded(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Encoded, E> {
                Ok(Encoded(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// A command as it is proposed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proposal {
    pub(crate) command: Encoded,
    /// The only term in whose entries it counts; none, and it counts in any.
    pub(crate) term: Option<u64>,
}

impl Proposal {
    /// Whether it counts in an entry of this term. Each replica finds the same, since the term is
    /// the entry's own.
    pub(crate) fn counts_in(&self, term: u64) -> bool {
        self.term.is_none_or(|only| only == term)
    }
}

/// The commands of one entry, in the order in which they are applied.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Batch(pub(crate) Vec<Proposal>);

/// Our types, by openraft's names.
pub(crate) struct TypeConfig<S>(PhantomData<fn() -> S>);

/// A place in the log.
pub(crate) type LogId = openraft::LogId<u64>;
/// Who took part, since which place in the log.
pub(crate) type Membership = StoredMembership<u64, EmptyNode>;
/// An entry of the log.
pub(crate) type Entry<S> = openraft::Entry<TypeConfig<S>>;
/// What a snapshot says about itself.
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, EmptyNode>;
/// A failure of the disk, as openraft wants it told: it stops the replica.
pub(crate) type StorageError = openraft::StorageError<u64>;

impl<S: Replicated> RaftTypeConfig for TypeConfig<S> {
    type D = Batch;
    type R = Vec<Option<S::Outcome>>;
    type NodeId = u64;
    type Node = EmptyNode;
    type Entry = Entry<S>;
    type SnapshotData = tokio::fs::File;
    type AsyncRuntime = TokioRuntime;
    type Responder = OneshotResponder<Self>;
}

// A type without values: these traits are asked of it and say nothing. They are written out since
// a derive would ask them of `S`.
impl<S> Clone for TypeConfig<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for TypeConfig<S> {}
impl<S> Default for TypeConfig<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<S> fmt::Debug for TypeConfig<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypeConfig")
    }
}
impl<S> PartialEq for TypeConfig<S> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<S> Eq for TypeConfig<S> {}
impl<S> PartialOrd for TypeConfig<S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<S> Ord for TypeConfig<S> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}
