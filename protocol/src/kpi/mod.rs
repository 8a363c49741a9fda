//! KPIs: what a guest says of itself, measure by measure (the deck's monitoring information).
//!
//! A guest pushes a measure by name to the host that runs it. Its last value stays there and enters
//! no log: samples are many, and worth little a minute later. Who wants to know asks the host, and is
//! told how long ago each value was pushed. So no two clocks are ever compared, and nothing can have
//! been said in the future.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// The most measures that are kept of one machine: a few of each program on it. No guest can make
/// its host keep more than some three kilobytes.
pub const NAMES_MAX: usize = 32;

/// The longest name: what fits a column, and a rule that names several.
const NAME_MAX: usize = 64;

/// The longest text of a value: a sign, 13 digits, a point and six digits are 21.
const VALUE_MAX: usize = 21;

/// Decimals of a value.
const DECIMALS: usize = 6;

/// Parts of one.
const ONE: i64 = 1_000_000;

/// A name and what it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kpi {
    /// Which measure.
    pub name: Name,
    /// How much of it.
    pub value: Value,
}

/// What a measure was last, as the host has it that runs the machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// How much it was.
    pub value: Value,
    /// How long ago that was said.
    pub age: Span,
}

/// The name of a measure, as rules write it: a letter, then letters, digits, `_`, `-` and `.`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a KPI's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a KPI's name: write a letter, then up to 63 letters, digits, '_', '-' and '.'")]
pub struct MalformedName;

impl TryFrom<String> for Name {
    type Error = MalformedName;

    fn try_from(text: String) -> Result<Self, MalformedName> {
        let known = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if begins && text.len() <= NAME_MAX && text.chars().all(known) {
            Ok(Self(text))
        } else {
            Err(MalformedName)
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl FromStr for Name {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        Self::try_from(text.to_owned())
    }
}

/// A decimal number in millionths. No float is made of it: two nodes that read the same text have
/// the same number.
///
/// **Invariant.** Its negative is one, too: the text of each number is read back.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Value(i64);

impl Value {
    /// The number in millionths.
    #[must_use]
    pub const fn as_millionths(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Value {
    type Error = MalformedValue;

    fn try_from(millionths: i64) -> Result<Self, MalformedValue> {
        if millionths == i64::MIN { Err(MalformedValue::Range) } else { Ok(Self(millionths)) }
    }
}

impl From<Value> for i64 {
    fn from(value: Value) -> Self {
        value.0
    }
}

/// The shortest text of the number.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, parts) = (size / ONE.unsigned_abs(), size % ONE.unsigned_abs());
        if parts == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{parts:0DECIMALS$}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// The text is not a KPI's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedValue {
    /// A sign that is not a minus, an exponent, a blank, or no digits.
    #[error("not a decimal number: write digits, and a point with digits behind it if need be")]
    Form,
    /// More decimals than are kept. It is not rounded: the guest knows better what it means.
    #[error("more than {DECIMALS} decimals: round it before it is sent")]
    Decimals,
    /// Beyond what is kept.
    #[error("out of range: write a number between -9223372036854 and 9223372036854")]
    Range,
}

impl FromStr for Value {
    type Err = MalformedValue;

    fn from_str(text: &str) -> Result<Self, MalformedValue> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) {
            return Err(MalformedValue::Form);
        }
        if decimals.len() > DECIMALS {
            return Err(MalformedValue::Decimals);
        }
        if text.len() > VALUE_MAX {
            return Err(MalformedValue::Range);
        }
        let number = |digits: &str| digits.parse::<i64>().map_err(|_| MalformedValue::Range);
        let parts = number(&format!("{decimals:0<DECIMALS$}"))?;
        let size = number(whole)?.checked_mul(ONE).and_then(|size| size.checked_add(parts));
        let size = size.ok_or(MalformedValue::Range)?;
        Ok(Self(if negative { -size } else { size }))
    }
}
