//! What a home asks a provider outside the stream: nothing is changed by it, and a machine that is
//! not the asker's is as unknown as one that does not exist.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::MachineId;
use crate::peering::monitor::{MACHINES_SEEN_MAX, SiteView};

/// The most machines of one question about addresses.
pub const MACHINES_ASKED_MAX: usize = 1_024;

/// The most bytes of a question, and of an answer: ids of 17 bytes with addresses of 4, or 256
/// machines of 70 bytes.
pub const BYTES_MAX: usize = 32 << 10;

/// A question. It is answered while the asker has a machine at the site that it asks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// Under which addresses are these machines plugged in?
    Addresses {
        /// The machines, at home at the site that asks.
        machines: Vec<MachineId>,
    },
    /// What may the asker see of the site? (The deck's VEEM Site Monitoring.)
    Site {
        /// The last machine that it has been told of, if it was told that there are more.
        after: Option<MachineId>,
    },
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The addresses that are known.
    Addresses {
        /// Machine and IPv4 address.
        known: Vec<(MachineId, [u8; 4])>,
    },
    /// What may be seen.
    Site(Box<SiteView>),
    /// The asker has no machine here: the channel is closed.
    Closed,
}

/// Reads a question.
///
/// # Errors
///
/// If the bytes are none, or ask for more machines than one question may.
pub fn question(bytes: &[u8]) -> Result<Question, codec::Error> {
    let question: Question = codec::decode(bytes, BYTES_MAX)?;
    if let Question::Addresses { machines } = &question
        && machines.len() > MACHINES_ASKED_MAX
    {
        let (length, limit) = (machines.len(), MACHINES_ASKED_MAX);
        return Err(codec::Error::TooLong { length, limit });
    }
    Ok(question)
}

/// Reads an answer.
///
/// # Errors
///
/// If the bytes are none, or tell of more machines than one answer may.
pub fn answer(bytes: &[u8]) -> Result<Answer, codec::Error> {
    let answer: Answer = codec::decode(bytes, BYTES_MAX)?;
    let (length, limit) = match &answer {
        Answer::Addresses { known } => (known.len(), MACHINES_ASKED_MAX),
        Answer::Site(view) => (view.machines.len(), MACHINES_SEEN_MAX),
        Answer::Closed => (0, 0),
    };
    if length > limit {
        return Err(codec::Error::TooLong { length, limit });
    }
    Ok(answer)
}
