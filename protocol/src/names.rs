//! Labels that people give to what they keep at a site: keys, tenants, machines, images.
//!
//! They become parts of commands and paths of the interface, so they are what a DNS label is
//! (RFC 1123, section 2.1) in upper or lower case. A type that only a well-formed text becomes
//! carries the check to wherever the name goes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most characters of a label.
pub const MAX: usize = 63;

/// The text cannot be a label.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "'{excerpt}' cannot be a name: write 1 to 63 letters, digits and hyphens, beginning and \
     ending with a letter or digit"
)]
pub struct Malformed {
    excerpt: String,
}

/// A name for people.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let outer = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        let fits = text.len() <= MAX
            && text.bytes().all(inner)
            && outer(text.bytes().next())
            && outer(text.bytes().last());
        if fits {
            Ok(Self(text))
        } else {
            Err(Malformed { excerpt: text.chars().take(MAX + 1).collect() })
        }
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl FromStr for Label {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
