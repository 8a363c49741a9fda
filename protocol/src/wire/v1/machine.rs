//! What a home asks a provider outside the stream: nothing is changed by it, and a machine that is
//! not the asker's is as unknown as one that does not exist.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::MachineId;
use crate::peering::monitor::{MACHINES_SEEN_MAX, SiteView};

/// The most bytes of a question, and of an answer: 256 machines of 70 bytes.
pub const BYTES_MAX: usize = 32 << 10;

/// A question. It is answered while the asker has a machine at the site that it asks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// What may the asker see of the site? (The deck's VEEM Site Monitoring.)
    Site {
        /// The last machine that it has been told of, if it was told that there are more.
        after: Option<MachineId>,
    },
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// What may be seen.
    Site(Box<SiteView>),
    /// The asker has no machine here: the channel is closed.
    Closed,
}

/// Reads a question.
///
/// # Errors
///
/// If the bytes are none.
pub fn question(bytes: &[u8]) -> Result<Question, codec::Error> {
    codec::decode(bytes, BYTES_MAX)
}

/// Reads an answer.
///
/// # Errors
///
/// If the bytes are none, or tell of more machines than one answer may.
pub fn answer(bytes: &[u8]) -> Result<Answer, codec::Error> {
    let answer: Answer = codec::decode(bytes, BYTES_MAX)?;
    let length = match &answer {
        Answer::Site(view) => view.machines.len(),
        Answer::Closed => 0,
    };
    if length > MACHINES_SEEN_MAX {
        return Err(codec::Error::TooLong { length, limit: MACHINES_SEEN_MAX });
    }
    Ok(answer)
}
