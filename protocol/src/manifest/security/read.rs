//! From a tree of values to security groups, and to which of them components are in.

use std::collections::{BTreeMap, BTreeSet};

use super::super::fault::Place;
use super::super::name::SecurityGroupName;
use super::super::network::with;
use super::super::problem::{Problem, Shape};
use super::super::read::{Entry, Reader};
use super::super::tree::{Node, Value};
use super::{SecurityGroups, with_default};
use crate::security::{Direction, GROUPS_MAX, MEMBERSHIPS_MAX, RULES_MAX, Rule, Rules};
use crate::text::excerpt;

impl Reader {
    pub(in crate::manifest) fn security(&mut self, node: &Node) -> Option<SecurityGroups> {
        let entries = self.entries(node, "security")?;
        let mut groups = Some(BTreeMap::new());
        // One more than there may be, so that it is told that they are too many.
        for Entry { key, place, value } in entries.into_iter().take(GROUPS_MAX + 1) {
            let path = format!("security.{}", excerpt(key));
            let name = self.told(place, &path, key.parse::<SecurityGroupName>());
            let rules = self.group(value, place, &path);
            groups = with(groups, name.zip(rules));
        }
        groups.map(with_default)
    }

    fn group(&mut self, node: &Node, place: Place, path: &str) -> Option<Rules> {
        let fields = self.fields(node, place, path, &["ingress", "egress"])?;
        let ingress = match fields.values.get("ingress") {
            Some(node) => self.rules(node, &format!("{path}.ingress"), Direction::Ingress),
            None => Some(Vec::new()),
        };
        let egress = match fields.values.get("egress") {
            Some(node) => self.rules(node, &format!("{path}.egress"), Direction::Egress),
            None => Some(Rules::anything()),
        };
        let (ingress, egress) = (ingress?, egress?);
        self.told(node.place, path, Rules::new(ingress, egress))
    }

    fn rules(&mut self, node: &Node, path: &str, direction: Direction) -> Option<Vec<Rule>> {
        let Value::List(items) = &node.value else {
            self.wrong_type(node, path, Shape::Rules);
            return None;
        };
        if let Some(first) = items.get(RULES_MAX) {
            let (what, count, limit) = ("rules", items.len(), RULES_MAX);
            self.faults.add(first.place, path, Problem::TooMany { what, count, limit });
        }
        let mut rules = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().take(RULES_MAX).enumerate() {
            let path = format!("{path}[{index}]");
            let Value::Text(text) = &item.value else {
                self.wrong_type(item, &path, Shape::Rule);
                continue;
            };
            let rule = self.told(item.place, &path, Rule::parse(text, direction));
            let Some(rule) = rule else { continue };
            if seen.insert(rule.clone()) {
                rules.push(rule);
            } else {
                let name = rule.written(direction);
                self.faults.add(item.place, &path, Problem::Repeated { name });
            }
        }
        Some(rules)
    }

    /// The groups of a component.
    pub(in crate::manifest) fn memberships(
        &mut self,
        node: &Node,
        path: &str,
    ) -> BTreeSet<SecurityGroupName> {
        self.names(node, path, MEMBERSHIPS_MAX, "security groups").into_keys().collect()
    }
}
