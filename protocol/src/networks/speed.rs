//! How fast a card is.
//!
//! The deck writes `SPEED(RED) = 5MBS`: megabytes (of 10^6 bytes) a second, and so do we. Links
//! are sold in megabits, an eighth of that, so a bit's unit is refused with what it would be here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The slowest card: what a terminal needs; less could not carry the control of TCP.
const LEAST: u64 = 8_000;

/// The fastest: links of 100 Gb/s.
const MOST: u64 = 12_500_000_000;

/// The units, each with its bytes a second, the largest first.
const UNITS: [(&str, u64); 3] = [("GBS", 1_000_000_000), ("MBS", 1_000_000), ("KBS", 1_000)];

/// Bytes a second, of packets with the link's header.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Speed(u64);

/// The text is no speed, or none that a card can have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedSpeed {
    /// Not a whole number and a unit.
    #[error("'{0}' is no speed")]
    Malformed(String),
    /// In bits.
    #[error("'{text}' counts bits, and speeds here count bytes a second")]
    Bits {
        /// What is given.
        text: String,
        /// The same in bytes.
        instead: String,
    },
    /// Too slow or too fast.
    #[error("'{0}' is not from 8KBS to 12500MBS")]
    OutOfRange(String),
}

impl MalformedSpeed {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Malformed(_) => {
                "write a whole number and KBS, MBS or GBS (bytes a second), as in 5MBS".to_owned()
            }
            Self::Bits { instead, .. } => format!("write {instead}"),
            Self::OutOfRange(_) => "write a speed from 8KBS to 12500MBS".to_owned(),
        }
    }
}

impl Speed {
    /// As many bytes a second.
    #[must_use]
    pub const fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Speed {
    type Error = MalformedSpeed;

    fn try_from(bytes: u64) -> Result<Self, MalformedSpeed> {
        if (LEAST..=MOST).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(MalformedSpeed::OutOfRange(format!("{bytes} bytes a second")))
        }
    }
}

impl From<Speed> for u64 {
    fn from(speed: Speed) -> Self {
        speed.0
    }
}

impl FromStr for Speed {
    type Err = MalformedSpeed;

    fn from_str(text: &str) -> Result<Self, MalformedSpeed> {
        let excerpt = || crate::text::excerpt(text);
        let malformed = || MalformedSpeed::Malformed(excerpt());
        let written = text.trim();
        let end = written.find(|c: char| !c.is_ascii_digit()).unwrap_or(written.len());
        let (digits, unit) = written.split_at(end);
        let number: u64 = digits.parse().map_err(|_| malformed())?;
        let unit = unit.trim();
        if let Some(bits) = bits_per(unit) {
            let bytes = number.checked_mul(bits).map(|bits| bits / 8);
            let instead =
                bytes.and_then(|bytes| Self::try_from(bytes).ok()).ok_or_else(malformed)?;
            return Err(MalformedSpeed::Bits { text: excerpt(), instead: instead.to_string() });
        }
        let bare = unit.to_ascii_uppercase().replace('/', "");
        let known = UNITS.iter().find(|(name, _)| *name == bare);
        let (_, bytes) = known.ok_or_else(malformed)?;
        let speed = number.checked_mul(*bytes).and_then(|bytes| Self::try_from(bytes).ok());
        speed.ok_or_else(|| MalformedSpeed::OutOfRange(excerpt()))
    }
}

/// The bits of a unit that counts bits, by its spelling: a small b, or the word. What is written in
/// small letters only could be either, and is not guessed at.
fn bits_per(unit: &str) -> Option<u64> {
    let prefix = unit.chars().next()?;
    let rest = &unit[prefix.len_utf8()..];
    let counts_bits = rest.starts_with('b') || rest.to_ascii_lowercase().starts_with("bit");
    let scale = match prefix {
        'k' | 'K' => 1_000,
        'm' | 'M' => 1_000_000,
        'g' | 'G' => 1_000_000_000,
        _ => return None,
    };
    counts_bits.then_some(scale)
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes));
        match whole {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{} bytes a second", self.0),
        }
    }
}
