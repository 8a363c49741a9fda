//! Version 1: the shapes of requests and answers, with their limits.
//!
//! All conversations between two sites ride on one numbered stream in each direction: what a site
//! owes is delivered from its outbox, in batches, and acknowledged with the number of the last
//! message that was taken up. Bodies are [`Message`]s, each signed by itself, so that what a site
//! is held to can be shown without the rest of the batch.

pub mod lease;
pub mod machine;
mod nodes;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::agreement::Message;
use crate::codec;
use crate::identity::Signed;
use crate::ids::{BlobId, MachineName};

pub use crate::agreement::DELIVERY_MESSAGES_MAX;
pub use nodes::{
    Member, NODES_BYTES_MAX, NodeAnswer, NodeFault, NodeRequest, node_answer, node_request,
};

/// The most bytes of one delivery: as many messages as one has, with signatures.
pub const DELIVERY_BYTES_MAX: usize = 1 << 20;

/// The most bytes of an answer to a delivery.
pub const RECEIPT_BYTES_MAX: usize = 64;

/// The most bytes of a gossiped advert.
pub const ADVERT_BYTES_MAX: usize = 512;

/// The most bytes of the header of a stream.
pub const STREAM_BYTES_MAX: usize = 64;

/// Messages from one site to another, in the order of their numbers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The messages.
    pub messages: Vec<Signed<Message>>,
}

/// The answer to a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Receipt {
    /// Everything up to this number has been taken up, and will survive.
    Through(u64),
    /// The messages begin behind a gap: the last number taken up is this one.
    Gap(u64),
    /// No node of the site can take them up at the moment.
    Later,
    /// Nothing was taken up: another message was taken up under this number. Both are kept, and
    /// are proof that this site has said two things at once.
    Contradicted(u64),
}

/// What a stream begins with: what it carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum StreamHeader {
    /// The serial console of a machine: for its home, or for another node of the site that runs it.
    Console {
        /// The machine.
        name: MachineName,
    },
    /// A file of an image, for another node of the same site.
    Blob {
        /// The file.
        id: BlobId,
    },
}

/// Reads a delivery.
///
/// # Errors
///
/// If the bytes are none, or hold more messages than one delivery may.
pub fn delivery(bytes: &[u8]) -> Result<Delivery, codec::Error> {
    let delivery: Delivery = codec::decode(bytes, DELIVERY_BYTES_MAX)?;
    let length = delivery.messages.len();
    if length > DELIVERY_MESSAGES_MAX {
        return Err(codec::Error::TooLong { length, limit: DELIVERY_MESSAGES_MAX });
    }
    Ok(delivery)
}
