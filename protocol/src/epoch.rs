//! Which start of a machine counts: the fence against whatever is late.
//!
//! The home raises the first number for every new placement and every hand-over to another site;
//! the provider raises the second for every start on its own hosts. They are compared in that
//! order. A host obeys no order below the epoch it knows, and a machine starts at most once in
//! each epoch: one epoch, one boot.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An epoch of a machine: the home's number, then the provider's.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct Epoch {
    /// Raised by the home.
    pub home: u64,
    /// Raised by the provider.
    pub provider: u64,
}

impl Epoch {
    /// The epoch of a new placement: above every epoch of the placements before it.
    #[must_use]
    pub const fn placed_anew(self) -> Self {
        Self { home: self.home + 1, provider: 0 }
    }

    /// The epoch of the next start by the same provider.
    #[must_use]
    pub const fn started_anew(self) -> Self {
        Self { home: self.home, provider: self.provider + 1 }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.home, self.provider)
    }
}

/// The text is not an epoch.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not an epoch: two numbers with a dot between them")]
pub struct Malformed(String);

impl std::str::FromStr for Epoch {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(text.to_owned());
        let (home, provider) = text.split_once('.').ok_or_else(malformed)?;
        Ok(Self {
            home: home.parse().map_err(|_| malformed())?,
            provider: provider.parse().map_err(|_| malformed())?,
        })
    }
}
