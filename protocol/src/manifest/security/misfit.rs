//! In which security groups and the components in them do not fit together.

use std::collections::BTreeMap;

use super::super::name::{ComponentName, SecurityGroupName};
use super::super::network::Misfit;
use super::super::problem::similar;
use super::{Problem, SecurityGroups};
use crate::manifest::{self, Component};
use crate::security::{GROUPS_MAX, MEMBERSHIPS_MAX};

/// Everything in which security groups and the components in them do not fit together.
pub(in crate::manifest) fn misfits(
    groups: &SecurityGroups,
    components: &BTreeMap<ComponentName, Component>,
) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    if groups.len() > GROUPS_MAX {
        let (what, count, limit) = ("security groups", groups.len(), GROUPS_MAX);
        let problem = manifest::Problem::TooMany { what, count, limit };
        misfits.push(Misfit::at(["security"], problem));
    }
    for (name, rules) in groups {
        for (direction, at, group) in rules.named() {
            if let Some(problem) = unknown(groups, group) {
                let at = at.to_string();
                let keys = ["security", name.as_str(), direction.as_str(), &at];
                misfits.push(Misfit::at(keys, problem));
            }
        }
    }
    for (name, component) in components {
        let at = ["components", name.as_str(), "security"];
        let count = component.security.len();
        if count == 0 {
            misfits.push(Misfit::at(at, Problem::NoGroups));
        }
        if count > MEMBERSHIPS_MAX {
            let (what, limit) = ("security groups", MEMBERSHIPS_MAX);
            let problem = manifest::Problem::TooMany { what, count, limit };
            misfits.push(Misfit::at(at, problem));
        }
        let unknown = component.security.iter().filter_map(|group| unknown(groups, group));
        misfits.extend(unknown.map(|problem| Misfit::at(at, problem)));
    }
    misfits
}

fn unknown(groups: &SecurityGroups, group: &SecurityGroupName) -> Option<Problem> {
    if groups.contains_key(group) {
        return None;
    }
    let similar = similar(group.as_str(), groups.keys().map(SecurityGroupName::as_str));
    Some(Problem::UnknownGroup { group: group.clone(), similar })
}
