//! The security groups of a service, and which of its components are in them.
//!
//! A service always has the group `default`, in which its machines are if it is not said
//! otherwise. It can be given other rules like any other group.

mod misfit;
mod problem;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::name::SecurityGroupName;
use super::quoted;
use crate::security::{Direction, Rule, Rules, default_group, default_memberships};

pub(super) use misfit::misfits;
pub use problem::Problem;

/// The security groups of a service, by name.
pub type SecurityGroups = BTreeMap<SecurityGroupName, Rules>;

/// The groups of a service that names none.
#[must_use]
pub fn default_security() -> SecurityGroups {
    with_default(SecurityGroups::new())
}

/// The groups with the one that every service has.
pub(super) fn with_default(mut groups: SecurityGroups) -> SecurityGroups {
    groups.entry(default_group()).or_default();
    groups
}

/// The groups, unless they are only what every service has.
pub(super) fn write_groups(groups: &SecurityGroups, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_said = |(name, rules): &(&SecurityGroupName, &Rules)| {
        **name != default_group() || **rules != Rules::default()
    };
    let mut said = groups.iter().filter(is_said).peekable();
    if said.peek().is_some() {
        writeln!(f, "security:")?;
    }
    for (name, rules) in said {
        if *rules == Rules::default() {
            writeln!(f, "  \"{name}\": {{}}")?;
            continue;
        }
        writeln!(f, "  \"{name}\":")?;
        if !rules.ingress().is_empty() {
            write_rules(Direction::Ingress, rules.ingress(), f)?;
        }
        if rules.egress() != Rules::anything() {
            write_rules(Direction::Egress, rules.egress(), f)?;
        }
    }
    Ok(())
}

fn write_rules(direction: Direction, rules: &[Rule], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if rules.is_empty() {
        return writeln!(f, "    {}: []", direction.as_str());
    }
    writeln!(f, "    {}:", direction.as_str())?;
    rules.iter().try_for_each(|rule| writeln!(f, "      - \"{}\"", rule.written(direction)))
}

/// The groups of a component, unless they are those of one that names none.
pub(super) fn write_memberships(
    groups: &BTreeSet<SecurityGroupName>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if *groups == default_memberships() {
        return Ok(());
    }
    writeln!(f, "    security: [{}]", quoted(groups.iter()))
}
