//! Names in a manifest. Each kind has a type of its own that only a well-formed text becomes.
//!
//! Names of services and components become names of hosts, so they are labels of the DNS
//! (RFC 1035, section 2.3.1): every resolver takes them, and none passes for a number in YAML.
//! Names of images and sites belong to somebody else, and are only kept from being unreadable.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::SiteId;
use crate::images;
use crate::text::excerpt;

/// The most characters of a label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// The most characters of a site's name: its id in full, which may stand in its place, has as
/// many.
const SITE_MAX: usize = 64;

/// The text cannot be a name of the kind given.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// No characters at all.
    #[error("the {kind} name is empty")]
    Empty {
        /// Of what.
        kind: &'static str,
    },
    /// More characters than such a name may have.
    #[error("the {kind} name '{excerpt}' has {length} characters, more than {limit}")]
    TooLong {
        /// Of what.
        kind: &'static str,
        /// Its beginning.
        excerpt: String,
        /// Its characters.
        length: usize,
        /// The most it may have.
        limit: usize,
    },
    /// A character that such a name may not have, at all or in its place.
    #[error("the {kind} name '{excerpt}' must consist of {allowed}")]
    Character {
        /// Of what.
        kind: &'static str,
        /// Its beginning.
        excerpt: String,
        /// What it may be made of.
        allowed: &'static str,
        /// The nearest name that would do, if there is one.
        instead: Option<String>,
    },
}

impl Error {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Empty { kind } => format!("give the {kind} a name"),
            Self::TooLong { limit, .. } => format!("shorten it to {limit} characters"),
            Self::Character { instead: Some(instead), .. } => format!("write {instead}"),
            Self::Character { allowed, instead: None, .. } => format!("use only {allowed}"),
        }
    }
}

/// What one kind of name may be.
struct Rule {
    kind: &'static str,
    limit: usize,
    allowed: &'static str,
    fits: fn(&str) -> bool,
    nearest: fn(&str) -> Option<String>,
}

impl Rule {
    fn check(&self, text: String) -> Result<String, Error> {
        let (kind, limit) = (self.kind, self.limit);
        let length = text.chars().count();
        if length == 0 {
            return Err(Error::Empty { kind });
        }
        if length > limit {
            return Err(Error::TooLong { kind, excerpt: excerpt(&text), length, limit });
        }
        if !(self.fits)(&text) {
            return Err(Error::Character {
                kind,
                excerpt: excerpt(&text),
                allowed: self.allowed,
                instead: (self.nearest)(&text),
            });
        }
        Ok(text)
    }
}

const LABEL: &str =
    "lower-case letters, digits and hyphens, with a letter first and no hyphen last";

const SERVICE: Rule = Rule {
    kind: "service",
    limit: LABEL_MAX,
    allowed: LABEL,
    fits: is_label,
    nearest: nearest_label,
};

/// With a hyphen and a number of three digits behind it, it is the name of a machine.
const COMPONENT: Rule = Rule { kind: "component", limit: LABEL_MAX - 4, ..SERVICE };

const NETWORK: Rule = Rule { kind: "network", ..SERVICE };

const GROUP: Rule = Rule { kind: "group", ..SERVICE };

const SECURITY_GROUP: Rule = Rule { kind: "security group", ..SERVICE };

const IMAGE: Rule = Rule {
    kind: "image",
    limit: images::NAME_MAX,
    allowed: "letters, digits and any of . _ - : / + @",
    fits: |text| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/+@".contains(c)),
    nearest: |_| None,
};

const SITE: Rule = Rule {
    kind: "site",
    limit: SITE_MAX,
    allowed: "letters, digits and any of . _ -",
    fits: |text| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
    nearest: |_| None,
};

fn is_label(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The label that a person most likely meant.
fn nearest_label(text: &str) -> Option<String> {
    if !text.is_ascii() {
        return None;
    }
    let mapped: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let trimmed = mapped.trim_matches('-');
    is_label(trimmed).then(|| trimmed.to_owned())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $rule:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                $rule.check(text).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::try_from(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

names! {
    /// The name of a service.
    ServiceName, SERVICE;
    /// The name of a component within its service.
    ComponentName, COMPONENT;
    /// The name of a network within its service.
    NetworkName, NETWORK;
    /// The name of a group of networks that are routed to each other, within its service.
    GroupName, GROUP;
    /// The name of a security group within its service.
    SecurityGroupName, SECURITY_GROUP;
    /// The name of an image in the catalogue of a site.
    ImageName, IMAGE;
    /// A site as a tenant refers to it: by its name, which is only a label, or by its id.
    SiteReference, SITE;
}

impl SiteReference {
    /// Whether it refers to the site with this id, which is called `name`.
    #[must_use]
    pub fn means(&self, id: SiteId, name: &str) -> bool {
        self.0 == name || self.0.parse() == Ok(id)
    }
}
