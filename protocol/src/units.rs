//! Quantities, each with its unit in its type: cores, memory, disk, money.
//!
//! All arithmetic is on integers and checked. Rounding happens once, at the line of a bill, half
//! to even.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sla::{Catalogue, Class};

/// An amount of memory or disk in mebibytes (2^20 bytes).
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Mebibytes(pub u64);

impl Mebibytes {
    /// An amount of gibibytes (2^30 bytes).
    #[must_use]
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1024))
    }

    /// This amount in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0.saturating_mul(1 << 20)
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1024 && self.0.is_multiple_of(1024) {
            write!(f, "{} GiB", self.0 / 1024)
        } else {
            write!(f, "{} MiB", self.0)
        }
    }
}

/// The text is not an amount of memory or disk.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedSize {
    /// No number in front, or a sign, a fraction, an exponent.
    #[error("'{0}' is not a whole number followed by MiB, GiB or TiB")]
    Number(String),
    /// A unit that is not known, or none.
    #[error("'{0}' has no unit that is known here: write MiB, GiB or TiB")]
    Unit(String),
    /// More than fits a machine's address space.
    #[error("'{0}' is more than any machine has")]
    Huge(String),
}

impl FromStr for Mebibytes {
    type Err = MalformedSize;

    fn from_str(text: &str) -> Result<Self, MalformedSize> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        if digits.is_empty() {
            return Err(MalformedSize::Number(text.to_owned()));
        }
        let scale: u64 = match unit.trim() {
            "MiB" => 1,
            "GiB" => 1 << 10,
            "TiB" => 1 << 20,
            _ => return Err(MalformedSize::Unit(text.to_owned())),
        };
        let huge = || MalformedSize::Huge(text.to_owned());
        let number: u64 = digits.parse().map_err(|_| huge())?;
        let amount = number.checked_mul(scale).ok_or_else(huge)?;
        if amount > 1 << 40 {
            return Err(huge());
        }
        Ok(Self(amount))
    }
}

/// What a machine takes of a host, or a host has to give.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory.
    pub memory: Mebibytes,
    /// Disk, at its full virtual size: what has been promised, not what is written yet.
    pub disk: Mebibytes,
}

impl Size {
    /// Whether `self` has room for `other`, in every dimension.
    #[must_use]
    pub const fn holds(self, other: Self) -> bool {
        self.vcpus >= other.vcpus && self.memory.0 >= other.memory.0 && self.disk.0 >= other.disk.0
    }

    /// Both together; each dimension stops at its type's end.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory: Mebibytes(self.memory.0.saturating_add(other.memory.0)),
            disk: Mebibytes(self.disk.0.saturating_add(other.disk.0)),
        }
    }

    /// What both have, in each dimension.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.min(other.vcpus),
            memory: self.memory.min(other.memory),
            disk: self.disk.min(other.disk),
        }
    }

    /// What is left of `self` without `other`; each dimension stops at zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            vcpus: self.vcpus.saturating_sub(other.vcpus),
            memory: Mebibytes(self.memory.0.saturating_sub(other.memory.0)),
            disk: Mebibytes(self.disk.0.saturating_sub(other.disk.0)),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vCPU, {}, {} disk", self.vcpus, self.memory, self.disk)
    }
}

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro, which a new site charges in unless told otherwise.
    pub const EUR: Self = Self(*b"EUR");
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("a currency is three capital letters"))
    }
}

/// The text is not three capital letters.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a currency: write three capital letters, such as EUR")]
pub struct MalformedCurrency(String);

impl FromStr for Currency {
    type Err = MalformedCurrency;

    fn from_str(text: &str) -> Result<Self, MalformedCurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            _ => Err(MalformedCurrency(text.to_owned())),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount of money in millionths of its currency's unit.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The text is not an amount of money.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is no amount: write one with at most six decimals, such as 0.010000")]
pub struct MalformedAmount(String);

impl FromStr for Micros {
    type Err = MalformedAmount;

    /// Reads an amount such as `0.010000`, without ever making a float of it.
    fn from_str(text: &str) -> Result<Self, MalformedAmount> {
        decimal(text, 6).map(Self).ok_or_else(|| MalformedAmount(text.to_owned()))
    }
}

/// A factor in thousandths.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permille(u32);

impl Permille {
    /// One: it changes nothing.
    pub const ONE: Self = Self(1_000);

    /// The largest factor, a thousand: far above any that is meant, and small enough that what it
    /// is multiplied with stays within 128 bits.
    pub const MAX: Self = Self(1_000_000);

    /// A factor of so many thousandths; none above [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(thousandths: u32) -> Option<Self> {
        if thousandths <= Self::MAX.0 { Some(Self(thousandths)) } else { None }
    }

    /// How many thousandths it has.
    #[must_use]
    pub const fn thousandths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Permille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// The text is not a factor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is no factor: write one from 0 to 1000 with at most three decimals, such as 1.2")]
pub struct MalformedFactor(String);

impl FromStr for Permille {
    type Err = MalformedFactor;

    fn from_str(text: &str) -> Result<Self, MalformedFactor> {
        decimal(text, 3)
            .and_then(|thousandths| u32::try_from(thousandths).ok())
            .and_then(Self::new)
            .ok_or_else(|| MalformedFactor(text.to_owned()))
    }
}

/// A number with at most so many decimals, in units of the last of them.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || decimals.len() > places || !digits(whole) || !digits(decimals) {
        return None;
    }
    format!("{whole}{decimals:0<places$}").parse().ok()
}

/// What a site asks for one hour of each thing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Tariff {
    /// The currency of the three amounts.
    pub currency: Currency,
    /// One virtual processor for one hour.
    pub vcpu_hour: Micros,
    /// One GiB of memory for one hour.
    pub memory_gib_hour: Micros,
    /// One GiB of disk for one hour.
    pub disk_gib_hour: Micros,
    /// By how much what is promised of a machine makes it dearer.
    pub classes: Catalogue,
}

impl Tariff {
    /// What `size` costs for one hour without a promise: exact, then rounded once, half to even.
    #[must_use]
    pub fn hourly(&self, size: Size) -> Micros {
        self.hourly_for(size, [Permille::ONE; 2])
    }

    /// What `size` costs for one hour in the cheapest class that promises no less than `least`, and
    /// which that is; none if nothing so good is sold.
    #[must_use]
    pub fn hourly_in(&self, size: Size, least: Class) -> Option<(Class, Micros)> {
        let (class, factor) = self.classes.cheapest(least)?;
        Some((class, self.hourly_for(size, [factor, Permille::ONE])))
    }

    /// What `size` costs for one hour, times these factors: exact, then rounded once, half to even.
    #[must_use]
    pub fn hourly_for(&self, size: Size, factors: [Permille; 2]) -> Micros {
        let of = |amount: u64, price: Micros| u128::from(amount) * u128::from(price.0);
        let exact = (of(size.vcpus.into(), self.vcpu_hour) * 1024)
            .saturating_add(of(size.memory.0, self.memory_gib_hour))
            .saturating_add(of(size.disk.0, self.disk_gib_hour))
            .saturating_mul(factors[0].0.into())
            .saturating_mul(factors[1].0.into());
        Micros(u64::try_from(half_even(exact, 1024 * 1_000_000)).unwrap_or(u64::MAX))
    }
}

/// `numerator / divisor`, rounded half to even.
const fn half_even(numerator: u128, divisor: u128) -> u128 {
    let (quotient, twice) = (numerator / divisor, (numerator % divisor) * 2);
    if twice > divisor || (twice == divisor && quotient % 2 == 1) { quotient + 1 } else { quotient }
}

/// What one machine costs: an amount per hour in a currency.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The currency of the amount.
    pub currency: Currency,
    /// The amount for each hour.
    pub hourly: Micros,
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/h", self.hourly, self.currency)
    }
}
