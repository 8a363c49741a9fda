//! What can be wrong with a manifest, in words for the person who wrote it, and what to do.

use std::fmt;

use super::name::{self, ComponentName, ImageName};
use super::{COMPONENTS_MAX, LENGTH_MAX, MACHINES_MAX, network, security};
use crate::user_data;

/// The most characters of a word that is compared with others: no name is longer, and the
/// comparison takes time with the square.
const COMPARED_MAX: usize = 64;

/// A kind of value in the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// A mapping from keys to values.
    Mapping,
    /// A single name.
    Name,
    /// A list of names.
    Names,
    /// A whole number.
    Number,
    /// An amount of memory or disk.
    Size,
    /// A prefix of addresses.
    Prefix,
    /// Bytes a second.
    Speed,
    /// An address.
    Address,
    /// True or false.
    Truth,
    /// A rule of a security group.
    Rule,
    /// A list of such rules.
    Rules,
    /// A text of any length.
    Text,
    /// A route out of networks.
    Route,
    /// A list of such routes.
    Routes,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mapping => "keys with values",
            Self::Name => "a name",
            Self::Names => "a list of names",
            Self::Number => "a whole number",
            Self::Size => "a size",
            Self::Prefix => "a prefix",
            Self::Speed => "a speed",
            Self::Address => "an address",
            Self::Truth => "true or false",
            Self::Rule => "a rule",
            Self::Rules => "a list of rules",
            Self::Text => "a text",
            Self::Route => "a route",
            Self::Routes => "a list of routes",
        })
    }
}

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The file is larger than any manifest.
    #[error("the file has {length} bytes, more than the {LENGTH_MAX} of a manifest")]
    TooLong {
        /// Its bytes.
        length: usize,
    },
    /// The file is not text.
    #[error("the file is not UTF-8 text")]
    NotUtf8,
    /// A tab where YAML wants spaces.
    #[error("a tab in the indentation")]
    Tab,
    /// The file is not YAML.
    #[error("the file is not YAML here: {reason}")]
    Syntax {
        /// What the parser says.
        reason: String,
    },
    /// More than one document.
    #[error("a second document begins here")]
    Documents,
    /// An anchor or an alias, with which a small file can stand for an endless one.
    #[error("anchors and aliases are not part of a manifest")]
    Alias,
    /// A tag.
    #[error("tags are not part of a manifest")]
    Tag,
    /// Deeper nesting than any manifest has.
    #[error("nested deeper than any manifest is")]
    TooDeep,
    /// More values than any manifest has.
    #[error("more values than any manifest has")]
    TooComplex,
    /// Nothing but white space and comments.
    #[error("the file says nothing")]
    Empty,
    /// A key that is not text.
    #[error("a key must be text, not {found}")]
    Key {
        /// What it is.
        found: String,
    },
    /// A key that stands twice in one mapping.
    #[error("'{key}' is already given on line {line}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stands first.
        line: u32,
    },
    /// A key that means nothing here.
    #[error("'{key}' is no key here")]
    UnknownKey {
        /// The key.
        key: String,
        /// The known one that it is close to.
        similar: Option<String>,
        /// All that are known.
        known: &'static [&'static str],
    },
    /// A key that must be there.
    #[error("'{key}' is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What belongs to it.
        shape: Shape,
    },
    /// A value of another kind than belongs there.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What belongs there.
        expected: Shape,
        /// What is there.
        found: String,
    },
    /// User data that are too long.
    #[error(transparent)]
    UserData(#[from] user_data::TooLong),
    /// A name that cannot be one.
    #[error(transparent)]
    Name(#[from] name::Error),
    /// A number or size that is too small or too large.
    #[error("{what} must be from {least} to {most}, not {value}")]
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// What is given.
        value: String,
        /// The least that can be given.
        least: String,
        /// The most that can be given.
        most: String,
    },
    /// A size without a unit.
    #[error("the size {value} has no unit")]
    UnitMissing {
        /// What is given.
        value: String,
    },
    /// A text that is not a whole number with a unit.
    #[error("'{text}' is not a size")]
    NotASize {
        /// What is given.
        text: String,
        /// What was probably meant.
        instead: Option<String>,
    },
    /// No component at all.
    #[error("the service has no components")]
    NoComponents,
    /// A longer list than is allowed.
    #[error("{count} {what} are more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// More machines than one service may have.
    #[error("{machines} machines in all are more than {MACHINES_MAX}")]
    TooManyMachines {
        /// How many.
        machines: u32,
    },
    /// A component is to be started after one that is not there.
    #[error("the service has no component '{component}'")]
    UnknownComponent {
        /// The one that is not there.
        component: ComponentName,
        /// One that is, with a similar name.
        similar: Option<String>,
    },
    /// Something about networks.
    #[error(transparent)]
    Network(#[from] network::Problem),
    /// Something about security groups.
    #[error(transparent)]
    Security(#[from] security::Problem),
    /// A component is to be started after itself.
    #[error("'{component}' cannot wait for itself")]
    AfterItself {
        /// Which.
        component: ComponentName,
    },
    /// Components wait for each other in a circle.
    #[error("these wait for each other, and none could start: {}", circle(components))]
    Cycle {
        /// Each waits for the next, the last for the first.
        components: Vec<ComponentName>,
    },
    /// A word where only a few are known.
    #[error("'{text}' is not one of {}", known.join(", "))]
    NoSuchChoice {
        /// The word.
        text: String,
        /// The known one that it is close to.
        similar: Option<String>,
        /// All that are known.
        known: &'static [&'static str],
    },
    /// A list says the same twice.
    #[error("'{name}' is listed twice")]
    Repeated {
        /// What it says.
        name: String,
    },
    /// A component that no site may run.
    #[error("an empty list of sites leaves no place for the component")]
    NoSites,
    /// The site has no image of that name.
    #[error("there is no image '{image}' in the catalogue of this site")]
    NoSuchImage {
        /// The name.
        image: ImageName,
        /// An image that is there, with a similar name.
        similar: Option<String>,
    },
}

impl Problem {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::TooLong { .. } => "split it into several services".to_owned(),
            Self::UserData(_) => {
                "shorten them, or have them fetch the rest when the machine starts".to_owned()
            }
            Self::NotUtf8 => "save the file as UTF-8".to_owned(),
            Self::Tab => "indent with spaces".to_owned(),
            Self::Syntax { .. } => {
                "check the indentation, and that every colon, bracket and quote has its partner"
                    .to_owned()
            }
            Self::Documents => "put each service into a file of its own".to_owned(),
            Self::Alias => "write the value out; quote a text that begins with & or *".to_owned(),
            Self::Tag => "leave the tag out; quote a text that begins with !".to_owned(),
            Self::TooDeep => "close the brackets; service and components are at the top".to_owned(),
            Self::TooComplex => {
                format!("a service has at most {COMPONENTS_MAX} components: split it into several")
            }
            Self::Empty => "begin with a line such as 'service: shop'".to_owned(),
            Self::Key { .. } => {
                "write the key as text; put it in quotes if it looks like a number".to_owned()
            }
            Self::DuplicateKey { .. } => "keep one of the two".to_owned(),
            Self::UnknownKey { similar: Some(similar), .. } => format!("did you mean {similar}?"),
            Self::UnknownKey { similar: None, known, .. } => {
                format!("the keys here are {}", known.join(", "))
            }
            Self::MissingKey { key, shape } => format!("add {}", example(key, *shape)),
            Self::WrongType { expected, found } => wrong_type_hint(*expected, found),
            Self::Name(error) => error.hint(),
            Self::OutOfRange { least, most, .. } => {
                format!("write a value from {least} to {most}")
            }
            Self::UnitMissing { value } => format!("write {value}MiB"),
            Self::NotASize { instead: Some(instead), .. } => format!("write {instead}"),
            Self::NotASize { instead: None, .. } => {
                "write a whole number followed by MiB, GiB or TiB, such as 128MiB".to_owned()
            }
            Self::NoComponents => "add a component with image, vcpus, memory and disk".to_owned(),
            Self::TooMany { limit, .. } => format!("keep at most {limit}"),
            Self::TooManyMachines { .. } => {
                "lower the replicas, or split it into several services".to_owned()
            }
            Self::Network(problem) => problem.hint(),
            Self::Security(problem) => problem.hint(),
            Self::UnknownComponent { similar: Some(similar), .. }
            | Self::NoSuchChoice { similar: Some(similar), .. }
            | Self::NoSuchImage { similar: Some(similar), .. } => {
                format!("did you mean {similar}?")
            }
            Self::UnknownComponent { similar: None, component } => {
                format!("add {component} under components, or leave it out here")
            }
            Self::NoSuchChoice { similar: None, known, .. } => {
                format!("write one of {}", known.join(", "))
            }
            Self::NoSuchImage { similar: None, .. } => {
                "see the catalogue with 'reservoir image ls'".to_owned()
            }
            Self::AfterItself { .. } => "leave it out here".to_owned(),
            Self::Cycle { .. } => {
                "break the circle: leave one of them out of an 'after'".to_owned()
            }
            Self::Repeated { .. } => "leave out the second".to_owned(),
            Self::NoSites => "name a site, or leave place out to allow any".to_owned(),
        }
    }
}

/// How `key` with a value of this shape is written.
fn example(key: &str, shape: Shape) -> String {
    match shape {
        Shape::Mapping => format!("'{key}:' with keys of its own on indented lines below"),
        Shape::Name => format!("'{key}:' with a name"),
        Shape::Names => format!("a list such as '{key}: [alpha, beta]'"),
        Shape::Number => format!("a line such as '{key}: 1'"),
        Shape::Size => format!("a line such as '{key}: 128MiB'"),
        Shape::Prefix => format!("a line such as '{key}: 10.1.0.0/16'"),
        Shape::Speed => format!("a line such as '{key}: 5MBS'"),
        Shape::Address => format!("a line such as '{key}: 10.1.0.9'"),
        Shape::Truth => format!("a line such as '{key}: true'"),
        Shape::Text => format!("'{key}: |', and the text below it, indented"),
        Shape::Rule | Shape::Rules => format!("a list such as '{key}: [tcp 443 from 0.0.0.0/0]'"),
        Shape::Route | Shape::Routes => {
            format!("a list such as '{key}: [10.9.0.0/16 via 10.1.0.5]'")
        }
    }
}

fn wrong_type_hint(expected: Shape, found: &str) -> String {
    match expected {
        Shape::Mapping => "write 'key: value' pairs on indented lines of their own",
        Shape::Name if found == "a list" || found == "keys with values" || found == "nothing" => {
            "write one name"
        }
        Shape::Name => "put the name in quotes",
        Shape::Names => "write a list in brackets, such as [alpha, beta]",
        Shape::Number => "write digits only, without quotes, such as 2",
        Shape::Size => "write a whole number followed by MiB, GiB or TiB, such as 128MiB",
        Shape::Prefix => "write an address and a length, such as 10.1.0.0/16",
        Shape::Speed => "write megabytes a second, such as 5MBS",
        Shape::Address => "write four numbers, as in 10.1.0.9",
        Shape::Truth => "write true or false",
        Shape::Text => "write '|', and the text below it, indented",
        Shape::Rule => "write what, and from or to whom, such as tcp 443 from 0.0.0.0/0",
        Shape::Rules => "write a list, such as [tcp 443 from 0.0.0.0/0]",
        Shape::Route => "write a route, such as 10.9.0.0/16 via 10.1.0.5",
        Shape::Routes => "write a list, such as [10.9.0.0/16 via 10.1.0.5]",
    }
    .to_owned()
}

fn circle(components: &[ComponentName]) -> String {
    let mut text = String::new();
    for component in components.iter().chain(components.first()) {
        if !text.is_empty() {
            text.push_str(" -> ");
        }
        text.push_str(component.as_str());
    }
    text
}

/// The candidate that `word` was probably meant to be.
///
/// One slip of the pen (a letter left out, doubled, changed, or two swapped) is believed for
/// every three letters.
pub(super) fn similar<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let length = word.chars().take(COMPARED_MAX + 1).count();
    if length > COMPARED_MAX {
        return None;
    }
    candidates
        .map(|candidate| (strsim::osa_distance(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= length.div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
