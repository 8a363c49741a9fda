//! Names that reach the DHCP server's files: they cannot be wrong once made.

use std::fmt;

/// The limit of one label in DNS (RFC 1035, section 2.3.4).
const HOST_NAME_MAX: usize = 63;

/// A guest's name in DNS: one label.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostName(String);

impl HostName {
    /// The label nearest to `text`: what is neither letter nor digit becomes a hyphen, and what
    /// is too long is cut. A manifest may name machines as it likes, so this cannot fail.
    #[must_use]
    pub fn nearest(text: &str) -> Self {
        let mut label = String::new();
        for c in text.chars() {
            if label.len() == HOST_NAME_MAX {
                break;
            }
            if c.is_ascii_alphanumeric() {
                label.push(c.to_ascii_lowercase());
            } else if !label.is_empty() && !label.ends_with('-') {
                label.push('-');
            }
        }
        let label = label.trim_end_matches('-');
        Self(if label.is_empty() { "machine".to_owned() } else { label.to_owned() })
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
