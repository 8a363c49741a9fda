//! YAML with the place of every value, before it means anything.
//!
//! Reading into our own types would stop at the first mistake; a tree lets all of them be told.
//! What makes YAML dangerous or surprising is refused here: anchors and aliases, tags, several
//! documents, keys that `<<` merges, `yes` and `no` as truth values.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Options};
use serde_saphyr::{DefaultMessageFormatter, Location, MessageFormatter as _, Spanned};

use super::LENGTH_MAX;
use super::fault::{Faults, Place};
use super::problem::Problem;
use crate::text::{excerpt, shortened};

/// The deepest nesting: a manifest has six levels, the rest is room for mistakes whose place is
/// then told.
const DEPTH_MAX: usize = 12;

/// The most values and keys: 64 components that each wait for all others, on 64 sites each.
const NODES_MAX: usize = 12_000;

/// The most characters of what the parser says; it may repeat the text.
const REASON_MAX: usize = 160;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value of YAML.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i128),
    /// A number that is not whole. Which one does not matter: nothing here is such a number.
    Fraction,
    /// A number that no integer type of YAML's reader holds.
    Huge,
    Text(String),
    List(Vec<Node>),
    /// Every pair in the order of the text, with repeated keys.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The place of the value under these keys, or of the last of them that is there. The key of
    /// an item of a list is its number, from 0.
    pub(super) fn place_of(&self, keys: &[&str]) -> Place {
        let mut node = self;
        for key in keys {
            let Some(value) = node.under(key) else { break };
            node = value;
        }
        node.place
    }

    fn under(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Mapping(pairs) => {
                let is_it =
                    |(name, _): &&(Self, Self)| matches!(&name.value, Value::Text(t) if t == key);
                pairs.iter().find(is_it).map(|(_, value)| value)
            }
            Value::List(items) => items.get(key.parse::<usize>().ok()?),
            Value::Null
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Fraction
            | Value::Huge
            | Value::Text(_) => None,
        }
    }

    /// What it is, for a message that expected something else.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Boolean(value) => format!("the truth value {value}"),
            Value::Integer(number) => format!("the number {number}"),
            Value::Fraction => "a number that is not whole".to_owned(),
            Value::Huge => "a number far too large".to_owned(),
            Value::Text(text) => format!("the text '{}'", excerpt(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping(_) => "keys with values".to_owned(),
        }
    }
}

/// Reads the one document in `text`.
///
/// # Errors
///
/// If it is too long, no text, no YAML, or uses what a manifest may not.
pub(super) fn read(text: &[u8]) -> Result<Node, Faults> {
    if text.len() > LENGTH_MAX {
        return Err(Faults::one(Place::START, Problem::TooLong { length: text.len() }));
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| Faults::one(behind(&text[..error.valid_up_to()]), Problem::NotUtf8))?;
    refuse_tabs(text)?;
    let node: Node = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let place = error.location().map_or(Place::START, Place::from);
        Faults::one(place, problem(&error, text))
    })?;
    if matches!(node.value, Value::Null) {
        return Err(Faults::one(Place::START, Problem::Empty));
    }
    Ok(node)
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_depth: DEPTH_MAX,
            max_documents: 1,
            max_events: 2 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_total_scalar_bytes: LENGTH_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        emit_comments: false,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The place right behind `text`.
fn behind(text: &[u8]) -> Place {
    let line = text.split(|byte| *byte == b'\n').count();
    let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let column = String::from_utf8_lossy(last).chars().count() + 1;
    place(line, column, 1)
}

fn place(line: usize, column: usize, length: usize) -> Place {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: number(line), column: number(column), length: number(length) }
}

/// YAML forbids tabs in indentation, but parsers tell of it in riddles.
fn refuse_tabs(text: &str) -> Result<(), Faults> {
    let mut faults = Faults::default();
    for (index, line) in text.lines().enumerate() {
        let rest = line.trim_start();
        let indentation = &line[..line.len() - rest.len()];
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        if let Some(before) = indentation.split_once('\t').map(|(before, _)| before) {
            faults.add(place(index + 1, before.chars().count() + 1, 1), "", Problem::Tab);
        }
    }
    faults.none_or_err()
}

/// What the parser's error means to the person who wrote the file.
fn problem(error: &serde_saphyr::Error, text: &str) -> Problem {
    use serde_saphyr::Error as Yaml;
    let silent = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
    match error.without_snippet() {
        Yaml::Eof { .. } if text.lines().all(silent) => Problem::Empty,
        Yaml::MultipleDocuments { .. } => Problem::Documents,
        Yaml::UnknownAnchor { .. } | Yaml::AliasError { .. } => Problem::Alias,
        Yaml::UnsupportedTag { .. } => Problem::Tag,
        Yaml::Budget { breach, .. } => match breach {
            BudgetBreach::Aliases { .. }
            | BudgetBreach::Anchors { .. }
            | BudgetBreach::RecordedAnchorEvents { .. }
            | BudgetBreach::RecordedAnchorBytes { .. }
            | BudgetBreach::AliasAnchorRatio { .. } => Problem::Alias,
            BudgetBreach::Depth { .. } => Problem::TooDeep,
            BudgetBreach::Documents { .. } => Problem::Documents,
            _ => Problem::TooComplex,
        },
        other => {
            let reason = DefaultMessageFormatter.format_message(other);
            Problem::Syntax { reason: shortened(&reason, REASON_MAX) }
        }
    }
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            length: number(location.span().len()),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// Takes whatever is there.
struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Value, E> {
        Ok(Value::Integer(i128::try_from(number).unwrap_or(i128::MAX)))
    }

    /// Integers beyond 64 bits come as floats.
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(if number.abs() > 9e18 { Value::Huge } else { Value::Fraction })
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut mapping = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            mapping.push(pair);
        }
        Ok(Value::Mapping(mapping))
    }
}
