//! User data: what a tenant hands to a machine, which the machine asks for when it starts.
//!
//! Nobody but the machine looks into them. They are no part of the hull and of what is agreed about
//! it: they travel once, to the site whose offer is taken, right before the word that takes it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes of them: as many as EC2's limit, so that what fits there fits here, and the
/// reverse.
pub const LENGTH_MAX: usize = 16 << 10;

/// User data: at most [`LENGTH_MAX`] bytes.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct UserData(Vec<u8>);

/// They are too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("user data of {length} bytes are more than the {LENGTH_MAX} that are handed to a machine")]
pub struct TooLong {
    /// How long they are.
    pub length: usize,
}

impl UserData {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for UserData {
    type Error = TooLong;

    fn try_from(bytes: Vec<u8>) -> Result<Self, TooLong> {
        let length = bytes.len();
        if length > LENGTH_MAX { Err(TooLong { length }) } else { Ok(Self(bytes)) }
    }
}

impl From<UserData> for Vec<u8> {
    fn from(user_data: UserData) -> Self {
        user_data.0
    }
}

/// Their length: what they say is for nobody's log.
impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of user data", self.0.len())
    }
}
