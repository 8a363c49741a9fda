//! What can be wrong with security groups, in words for the person who wrote them.

use crate::manifest::{self, SecurityGroupName};
use crate::security::{BadRule, BadRules};

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A text that is no rule.
    #[error(transparent)]
    Rule(#[from] BadRule),
    /// Rules that no group can have.
    #[error(transparent)]
    Rules(#[from] BadRules),
    /// A component or a rule names a group that is not there.
    #[error("the service has no security group '{group}'")]
    UnknownGroup {
        /// The one that is not there.
        group: SecurityGroupName,
        /// One that is, with a similar name.
        similar: Option<String>,
    },
    /// A component that is in no group.
    #[error("an empty list of security groups closes the component's machines to everybody")]
    NoGroups,
}

impl Problem {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Rule(error) => error.hint(),
            Self::Rules(error) => error.hint(),
            Self::UnknownGroup { similar: Some(similar), .. } => format!("did you mean {similar}?"),
            Self::UnknownGroup { similar: None, group } => {
                format!("add {group} under security, or leave it out here")
            }
            Self::NoGroups => {
                "name a group, or leave security out for the group 'default'".to_owned()
            }
        }
    }
}

impl From<BadRule> for manifest::Problem {
    fn from(error: BadRule) -> Self {
        Problem::from(error).into()
    }
}

impl From<BadRules> for manifest::Problem {
    fn from(error: BadRules) -> Self {
        Problem::from(error).into()
    }
}
