//! What a home asks a provider outside the stream: nothing is changed by it, and a machine that is
//! not the asker's is as unknown as one that does not exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::MachineId;
use crate::kpi::{self, Observed};
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
    /// What does one of its machines say of itself?
    Kpis {
        /// Which; it is the asker's own, as nobody else's can be named.
        machine: MachineId,
    },
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// What may be seen.
    Site(Box<SiteView>),
    /// The asker has no machine here, or not that one: the channel is closed.
    Closed,
    /// What the machine has said last of each measure.
    Kpis(BTreeMap<kpi::Name, Observed>),
    /// The node that runs the machine does not tell the one that was asked.
    Away,
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
/// If the bytes are none, or tell of more machines or measures than one answer may.
pub fn answer(bytes: &[u8]) -> Result<Answer, codec::Error> {
    let answer: Answer = codec::decode(bytes, BYTES_MAX)?;
    let (length, limit) = match &answer {
        Answer::Site(view) => (view.machines.len(), MACHINES_SEEN_MAX),
        Answer::Kpis(latest) => (latest.len(), kpi::NAMES_MAX),
        Answer::Closed | Answer::Away => (0, 0),
    };
    if length > limit {
        return Err(codec::Error::TooLong { length, limit });
    }
    Ok(answer)
}
