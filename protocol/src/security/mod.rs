//! Security groups: which machines may begin what with whom.
//!
//! A machine is in one or more *groups* of its service. The machines of a group are open to each
//! other, and closed to everybody else but for the group's rules. A rule lets something be begun;
//! what answers it is let through, and there is no rule that forbids: machines in several groups
//! may do what any of them allows. All of it is as in EC2, but that a group need not name itself
//! to be open to itself.
//!
//! Groups are of a service and not of a network: a rule that names a group is, on each network,
//! about the cards that machines of that group have there.

mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use crate::manifest::SecurityGroupName as GroupName;
pub use rule::{BadRule, Block, Direction, Peer, Ports, Rule, Traffic};

/// The group of a machine that is given none.
pub const DEFAULT: &str = "default";

/// The most groups of a service: each is told to every site on each of its networks, and is a
/// chain of the packet filter there.
pub const GROUPS_MAX: usize = 32;

/// The most groups of a machine, as in EC2: a packet is looked for in the rules of each.
pub const MEMBERSHIPS_MAX: usize = 5;

/// The most rules of a group in each direction: with the longest names in them, they fit into one
/// message between sites.
pub const RULES_MAX: usize = 50;

/// The rules of one group.
///
/// **Invariant.** No more than [`RULES_MAX`] in each direction, and none of them twice.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "(Vec<Rule>, Vec<Rule>)", into = "(Vec<Rule>, Vec<Rule>)")]
pub struct Rules {
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
}

/// Rules that no group can have.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRules {
    /// More than a group can have.
    #[error("{count} rules in one direction are more than {RULES_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A rule stands there twice.
    #[error("the rule '{rule}' is there twice")]
    Twice {
        /// The rule, as it is written.
        rule: String,
    },
}

impl BadRules {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::TooMany { .. } => {
                format!("keep at most {RULES_MAX}; one rule can name a range of ports or a group")
            }
            Self::Twice { .. } => "leave out the second".to_owned(),
        }
    }
}

impl Rules {
    /// The rules of a group.
    ///
    /// # Errors
    ///
    /// If there are too many, or the same twice.
    pub fn new(ingress: Vec<Rule>, egress: Vec<Rule>) -> Result<Self, BadRules> {
        for (direction, rules) in [(Direction::Ingress, &ingress), (Direction::Egress, &egress)] {
            if rules.len() > RULES_MAX {
                return Err(BadRules::TooMany { count: rules.len() });
            }
            let mut seen = BTreeSet::new();
            if let Some(rule) = rules.iter().find(|rule| !seen.insert(*rule)) {
                return Err(BadRules::Twice { rule: rule.written(direction) });
            }
        }
        Ok(Self { ingress, egress })
    }

    /// What others may begin with the group's machines.
    #[must_use]
    pub fn ingress(&self) -> &[Rule] {
        &self.ingress
    }

    /// What the group's machines may begin with others.
    #[must_use]
    pub fn egress(&self) -> &[Rule] {
        &self.egress
    }

    /// The groups that the rules name, each with its direction and the rule's place there.
    pub fn named(&self) -> impl Iterator<Item = (Direction, usize, &GroupName)> {
        let ingress = self.ingress.iter().enumerate().map(|it| (Direction::Ingress, it));
        let egress = self.egress.iter().enumerate().map(|it| (Direction::Egress, it));
        ingress.chain(egress).filter_map(|(direction, (at, rule))| match &rule.peer {
            Peer::Group(name) => Some((direction, at, name)),
            Peer::Block(_) => None,
        })
    }

    /// What a group's machines may begin if nothing is said of it: anything, with anybody.
    #[must_use]
    pub fn anything() -> Vec<Rule> {
        Block::EVERYBODY
            .map(|block| Rule { traffic: Traffic::Any, peer: Peer::Block(block) })
            .to_vec()
    }
}

/// Nobody else may begin anything, and the group's own machines anything.
impl Default for Rules {
    fn default() -> Self {
        Self { ingress: Vec::new(), egress: Self::anything() }
    }
}

impl TryFrom<(Vec<Rule>, Vec<Rule>)> for Rules {
    type Error = BadRules;

    fn try_from((ingress, egress): (Vec<Rule>, Vec<Rule>)) -> Result<Self, BadRules> {
        Self::new(ingress, egress)
    }
}

impl From<Rules> for (Vec<Rule>, Vec<Rule>) {
    fn from(rules: Rules) -> Self {
        (rules.ingress, rules.egress)
    }
}

/// The groups of a machine that is given none.
#[must_use]
pub fn default_memberships() -> BTreeSet<GroupName> {
    BTreeSet::from([default_group()])
}

/// The name of the group that a machine is in that is given none.
#[must_use]
pub fn default_group() -> GroupName {
    DEFAULT.parse().expect("a label")
}
