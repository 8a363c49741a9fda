//! What becomes of a machine that runs somewhere its home cannot reach.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a provider does with a machine once the lease on it has ended, and what its home may do
/// then.
///
/// The home cannot know whether a machine runs that it cannot reach. Either the provider promises
/// to stop it in time, and the home may start it elsewhere; or it runs on, and the home must not.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum OnPartition {
    /// It is stopped, and placed anew once it cannot run any more where it was.
    #[default]
    Fence,
    /// It runs on, and is never placed anew without being asked for.
    Hold,
}

impl OnPartition {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Fence, Self::Hold];

    /// How it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Hold => "hold",
        }
    }
}

impl fmt::Display for OnPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no such policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is neither fence nor hold")]
pub struct Unknown(String);

impl std::str::FromStr for OnPartition {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let known = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        known.ok_or_else(|| Unknown(text.to_owned()))
    }
}
