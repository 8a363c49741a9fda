//! The one codec of the wire and the disk: bincode 2 in its standard configuration.
//!
//! Bytes from outside are decoded with a limit on their length and on what they may make us
//! allocate, and must be used up whole. What a site is held to must besides be *canonical*: the
//! value encodes to the very bytes it was decoded from, so that one statement has one hash.
//! bincode is complete and no longer maintained; a compatible successor is a change of this file.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes that one decoded value may make us allocate: the largest snapshot row, a
/// manifest of 256 KiB with its machines, stays well below it.
const ALLOCATION_LIMIT: usize = 4 << 20;

/// Why bytes could not be made a value, or a value bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than the place allows.
    #[error("{length} bytes are more than the {limit} allowed here")]
    TooLong {
        /// Bytes offered.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The bytes are not such a value.
    #[error("cannot decode {what}")]
    Decode {
        /// The type that was expected.
        what: &'static str,
        /// What bincode says.
        #[source]
        source: Box<bincode::error::DecodeError>,
    },
    /// Bytes were left over behind the value.
    #[error("{left} bytes are left over behind {what}")]
    Trailing {
        /// The type that was expected.
        what: &'static str,
        /// How many bytes.
        left: usize,
    },
    /// The value encodes to other bytes than it came in.
    #[error("{what} is not in its canonical encoding")]
    NotCanonical {
        /// The type that was expected.
        what: &'static str,
    },
}

/// Encodes a value.
///
/// # Panics
///
/// If the value has a shape that bincode cannot express (a sequence of unknown length, a
/// self-describing type). No type of ours has; the golden vectors meet each of them.
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("every type of ours has a bincode shape")
}

/// Decodes a value from the whole of `bytes`.
///
/// # Errors
///
/// If the bytes are longer than `limit`, are not such a value, or are not used up by it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, Error> {
    let what = std::any::type_name::<T>();
    if bytes.len() > limit {
        return Err(Error::TooLong { length: bytes.len(), limit });
    }
    let config = bincode::config::standard().with_limit::<ALLOCATION_LIMIT>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|source| Error::Decode { what, source: Box::new(source) })?;
    if used < bytes.len() {
        return Err(Error::Trailing { what, left: bytes.len() - used });
    }
    Ok(value)
}

/// Decodes a value and insists that it encodes to the same bytes again.
///
/// # Errors
///
/// As [`decode`], and if the encoding is not canonical.
pub fn decode_canonical<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    limit: usize,
) -> Result<T, Error> {
    let value: T = decode(bytes, limit)?;
    if encode(&value) != bytes {
        return Err(Error::NotCanonical { what: std::any::type_name::<T>() });
    }
    Ok(value)
}
