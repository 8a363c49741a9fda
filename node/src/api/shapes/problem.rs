//! Why a request was not done: the one shape of every error.

use protocol::manifest;
use serde::{Deserialize, Serialize};

/// Why a request was not done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The request's number, which the node's log has too.
    pub request_id: String,
    /// What is wrong, for programs; see [`crate::api::error::Code`].
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it, if the message does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is wrong with the manifest, if that is it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// How many more faults there are than are told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Something that is wrong in a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters belong to it.
    pub length: u32,
    /// Where in the manifest, such as `components.database.memory`; empty at the top.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl From<&manifest::Fault> for Fault {
    fn from(fault: &manifest::Fault) -> Self {
        Self {
            line: fault.place.line,
            column: fault.place.column,
            length: fault.place.length,
            path: fault.path.clone(),
            message: fault.problem.to_string(),
            hint: fault.hint(),
        }
    }
}
