//! One change to a policy, and how people write it: `credit=5.00`.
//!
//! A change names what it changes, so that two operators who change different things do not undo
//! each other's work, and saying the same again changes nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::time::Span;
use crate::units::{Mebibytes, Micros, Permille, Size};

/// What stands for a bound that is not there.
const NONE: &str = "none";

/// One change to a policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Setting {
    /// `sells-to`: whether the peer may buy here.
    SellsTo(bool),
    /// `price-factor`: what it pays, as a factor on the tariff.
    PriceFactor(Permille),
    /// `credit`: what its machines here may cost in all, for one hour.
    Credit(Option<Micros>),
    /// `largest`: the largest machine that is sold to it.
    Largest(Option<Size>),
    /// `machines-max`: how many machines it may have here.
    MachinesMax(Option<u32>),
    /// `term`: for how long an agreement is made.
    Term(Span),
    /// `notice`: how long before it ends an agreement this site says so.
    Notice(Span),
    /// `retention`: how long disks are kept that the home has not said a word about.
    Retention(Span),
    /// `sells-hold`: whether machines are sold that run on while their home is silent.
    SellsHold(bool),
    /// `buys-from`: whether this site may buy there.
    BuysFrom(bool),
    /// `price-max`: what one machine may cost there, for one hour.
    PriceMax(Option<Micros>),
    /// `preference`: how much rather this peer than another.
    Preference(Permille),
}

/// The text is not a setting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// No sign between name and value.
    #[error("'{0}' is no setting: write a name, '=' and a value, such as credit=5.00")]
    Shape(String),
    /// No setting has the name.
    #[error("there is no setting '{name}'; there are {}", Setting::NAMES.join(", "))]
    Name {
        /// The name.
        name: String,
    },
    /// The value does not fit the name.
    #[error("'{value}' cannot be the {name} of a peer: {expected}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was written.
        value: String,
        /// What can be.
        expected: &'static str,
    },
}

impl Setting {
    /// The names that people write.
    pub const NAMES: [&str; 12] = [
        "sells-to",
        "price-factor",
        "credit",
        "largest",
        "machines-max",
        "term",
        "notice",
        "retention",
        "sells-hold",
        "buys-from",
        "price-max",
        "preference",
    ];

    /// The policy with this setting.
    #[must_use]
    pub const fn put(self, mut policy: Policy) -> Policy {
        match self {
            Self::SellsTo(open) => policy.selling.open = open,
            Self::PriceFactor(factor) => policy.selling.factor = factor,
            Self::Credit(credit) => policy.selling.credit = credit,
            Self::Largest(largest) => policy.selling.largest = largest,
            Self::MachinesMax(most) => policy.selling.machines_max = most,
            Self::Term(term) => policy.selling.term = term,
            Self::Notice(notice) => policy.selling.notice = notice,
            Self::Retention(retention) => policy.selling.retention = retention,
            Self::SellsHold(holds) => policy.selling.holds = holds,
            Self::BuysFrom(open) => policy.buying.open = open,
            Self::PriceMax(most) => policy.buying.price_max = most,
            Self::Preference(preference) => policy.buying.preference = preference,
        }
        policy
    }

    /// Reads the value that people write for a name.
    ///
    /// # Errors
    ///
    /// If there is no such name, or the value does not fit it.
    pub fn read(name: &str, value: &str) -> Result<Self, Malformed> {
        const AMOUNT: &str = "write an amount for one hour, such as 5.00, or none";
        const FACTOR: &str = "write a factor with at most three decimals, such as 1.2";
        const ANSWER: &str = "write yes or no";
        const TIME: &str = "write a time of a second or more, such as 30d, 12h, 10m or 90s";
        const SIZE: &str = "write processors, memory and disk, such as 4,8GiB,100GiB, or none";
        let Some(name) = Self::NAMES.into_iter().find(|known| *known == name) else {
            return Err(Malformed::Name { name: name.to_owned() });
        };
        let (read, expected) = match name {
            "sells-to" => (answer(value).map(Self::SellsTo), ANSWER),
            "price-factor" => (factor(value).map(Self::PriceFactor), FACTOR),
            "credit" => (bound(value).map(Self::Credit), AMOUNT),
            "largest" => (largest(value).map(Self::Largest), SIZE),
            "machines-max" => {
                (bound(value).map(Self::MachinesMax), "write a whole number, or none")
            }
            "term" => (span(value).map(Self::Term), TIME),
            "notice" => (span(value).map(Self::Notice), TIME),
            "retention" => (span(value).map(Self::Retention), TIME),
            "sells-hold" => (answer(value).map(Self::SellsHold), ANSWER),
            "buys-from" => (answer(value).map(Self::BuysFrom), ANSWER),
            "price-max" => (bound(value).map(Self::PriceMax), AMOUNT),
            _ => (factor(value).map(Self::Preference), FACTOR),
        };
        read.ok_or_else(|| Malformed::Value { name, value: value.to_owned(), expected })
    }

    /// The name and the value, as people write them.
    #[must_use]
    pub fn written(self) -> (&'static str, String) {
        let answer = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        match self {
            Self::SellsTo(open) => ("sells-to", answer(open)),
            Self::PriceFactor(factor) => ("price-factor", factor.to_string()),
            Self::Credit(credit) => ("credit", bound_written(credit)),
            Self::Largest(None) => ("largest", NONE.to_owned()),
            Self::Largest(Some(Size { vcpus, memory, disk })) => {
                ("largest", format!("{vcpus},{}MiB,{}MiB", memory.0, disk.0))
            }
            Self::MachinesMax(most) => ("machines-max", bound_written(most)),
            Self::Term(term) => ("term", span_written(term)),
            Self::Notice(notice) => ("notice", span_written(notice)),
            Self::Retention(retention) => ("retention", span_written(retention)),
            Self::SellsHold(holds) => ("sells-hold", answer(holds)),
            Self::BuysFrom(open) => ("buys-from", answer(open)),
            Self::PriceMax(most) => ("price-max", bound_written(most)),
            Self::Preference(preference) => ("preference", preference.to_string()),
        }
    }
}

impl Policy {
    /// Every setting of this policy, in the order of [`Setting::NAMES`].
    #[must_use]
    pub const fn settings(&self) -> [Setting; 12] {
        let (selling, buying) = (self.selling, self.buying);
        [
            Setting::SellsTo(selling.open),
            Setting::PriceFactor(selling.factor),
            Setting::Credit(selling.credit),
            Setting::Largest(selling.largest),
            Setting::MachinesMax(selling.machines_max),
            Setting::Term(selling.term),
            Setting::Notice(selling.notice),
            Setting::Retention(selling.retention),
            Setting::SellsHold(selling.holds),
            Setting::BuysFrom(buying.open),
            Setting::PriceMax(buying.price_max),
            Setting::Preference(buying.preference),
        ]
    }
}

impl FromStr for Setting {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (name, value) =
            text.split_once('=').ok_or_else(|| Malformed::Shape(text.to_owned()))?;
        Self::read(name, value)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = self.written();
        write!(f, "{name}={value}")
    }
}

fn answer(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// A factor of nothing is no factor: it would sell for nothing, or divide by nothing.
fn factor(value: &str) -> Option<Permille> {
    value.parse().ok().filter(|factor: &Permille| factor.thousandths() > 0)
}

fn bound<T: FromStr>(value: &str) -> Option<Option<T>> {
    if value == NONE { Some(None) } else { value.parse().ok().map(Some) }
}

fn bound_written<T: fmt::Display>(bound: Option<T>) -> String {
    bound.map_or_else(|| NONE.to_owned(), |bound| bound.to_string())
}

/// The units of time, the largest first, in seconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A span of at least a second: with none, agreements would end as they begin.
fn span(value: &str) -> Option<Span> {
    let (digits, scale) =
        UNITS.iter().find_map(|(unit, scale)| Some((value.strip_suffix(unit)?, scale)))?;
    let seconds: u64 =
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?.parse().ok()?;
    let seconds = seconds.checked_mul(*scale).filter(|seconds| (1..=YEAR).contains(seconds))?;
    Some(Span::from_secs(seconds))
}

/// The longest span that is taken, in seconds: what is agreed for longer than a year nobody means.
const YEAR: u64 = 366 * 86_400;

fn span_written(span: Span) -> String {
    let seconds = span.as_millis() / 1_000;
    let whole = UNITS.iter().find(|(_, scale)| seconds.is_multiple_of(*scale));
    whole
        .map_or_else(|| format!("{seconds}s"), |(unit, scale)| format!("{}{unit}", seconds / scale))
}

fn largest(value: &str) -> Option<Option<Size>> {
    if value == NONE {
        return Some(None);
    }
    let mut parts = value.split(',');
    let vcpus = parts.next()?.trim().parse().ok()?;
    let memory: Mebibytes = parts.next()?.parse().ok()?;
    let disk: Mebibytes = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(Some(Size { vcpus, memory, disk }))
}
