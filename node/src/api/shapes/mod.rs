//! What the REST interface says, as types: one file for each noun.
//!
//! They are counterparts of the protocol's types, written by hand, so that the state of a site can
//! change without breaking anybody's program. The server writes them and the command line reads
//! them. The words of the deck's interface (states, verbs, roles) are the protocol's own.
//!
//! Moments are RFC 3339 in UTC; sizes are whole MiB; money is a decimal text, never a float.

pub mod address;
pub mod agreement;
pub mod host;
pub mod image;
pub mod key;
pub mod machine;
pub mod network;
pub mod node;
pub mod peer;
pub mod problem;
pub mod security;
pub mod service;
pub mod site;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use protocol::sla::Class;
use protocol::time::Timestamp;
use protocol::units;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Things of one kind, and the state they were read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// The index of the last log entry that they account for.
    pub index: u64,
    /// The things.
    pub items: Vec<T>,
}

/// What was asked has been taken on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// The id of what it was asked of, or of what was made.
    pub id: String,
    /// The index of a log entry that accounts for it: whoever waits for more waits from here.
    pub index: u64,
}

/// What a machine takes, or a host has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB.
    pub disk_mib: u64,
}

impl From<units::Size> for Size {
    fn from(size: units::Size) -> Self {
        Self { vcpus: size.vcpus, memory_mib: size.memory.0, disk_mib: size.disk.0 }
    }
}

impl From<Size> for units::Size {
    fn from(size: Size) -> Self {
        Self {
            vcpus: size.vcpus,
            memory: units::Mebibytes(size.memory_mib),
            disk: units::Mebibytes(size.disk_mib),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        units::Size::from(*self).fmt(f)
    }
}

/// What a site asks for one hour of each thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tariff {
    /// The currency's ISO 4217 code.
    pub currency: String,
    /// One virtual processor.
    pub vcpu_hour: String,
    /// One GiB of memory.
    pub memory_gib_hour: String,
    /// One GiB of disk.
    pub disk_gib_hour: String,
    /// The classes of service that are sold, each with its factor on these amounts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<Class, String>,
}

impl From<units::Tariff> for Tariff {
    fn from(tariff: units::Tariff) -> Self {
        Self {
            currency: tariff.currency.to_string(),
            vcpu_hour: tariff.vcpu_hour.to_string(),
            memory_gib_hour: tariff.memory_gib_hour.to_string(),
            disk_gib_hour: tariff.disk_gib_hour.to_string(),
            classes: tariff
                .classes
                .sold()
                .filter(|(class, _)| *class != Class::BestEffort)
                .map(|(class, factor)| (class, factor.to_string()))
                .collect(),
        }
    }
}

/// A moment, to the millisecond.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(Timestamp);

impl Moment {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0.as_millis()
    }

    fn civil(self) -> jiff::Timestamp {
        let millis = i64::try_from(self.as_millis()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// For people: to the second, with a space.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.civil().strftime("%Y-%m-%d %H:%M:%SZ"))
    }
}

/// The text is no moment.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a moment: write it as 2026-11-22T07:30:12.000Z")]
pub struct MalformedMoment(String);

impl FromStr for Moment {
    type Err = MalformedMoment;

    fn from_str(text: &str) -> Result<Self, MalformedMoment> {
        let malformed = || MalformedMoment(text.to_owned());
        let civil: jiff::Timestamp = text.parse().map_err(|_| malformed())?;
        let millis = u64::try_from(civil.as_millisecond()).map_err(|_| malformed())?;
        Ok(Self(Timestamp::from_millis(millis)))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.civil().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
