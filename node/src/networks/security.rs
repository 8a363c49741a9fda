//! Security groups as the packet filter of a host has them.
//!
//! A group's number there is its place among the groups of its network, and of those that are routed
//! with that, by name. A name that is no group's is nobody: whoever is in it is in nothing by that, and
//! a rule about it lets nobody in.

use std::collections::{BTreeMap, BTreeSet};

use fabric::networks::{Group, GroupId, Peer, Ports, Rule, Traffic};
use protocol::manifest::SecurityGroups;
use protocol::security::{self, GroupName};

/// The numbers of the groups of networks that are routed to each other.
#[derive(Debug)]
pub(super) struct Named(BTreeMap<GroupName, GroupId>);

impl Named {
    /// The groups of these networks.
    pub(super) fn on<'a>(networks: impl Iterator<Item = &'a SecurityGroups>) -> Self {
        let names: BTreeSet<&GroupName> = networks.flat_map(BTreeMap::keys).collect();
        let numbered = names.into_iter().cloned().zip((0..).map(GroupId));
        Self(numbered.collect())
    }

    /// The groups of one of the networks.
    pub(super) fn groups(&self, of: &SecurityGroups) -> Vec<Group> {
        let rules = |rules: &[security::Rule]| {
            rules.iter().filter_map(|rule| self.rule(of, rule)).collect()
        };
        let groups = of.iter().filter_map(|(name, group)| {
            let (ingress, egress) = (rules(group.ingress()), rules(group.egress()));
            Some(Group { id: self.number(of, name)?, ingress, egress })
        });
        groups.collect()
    }

    /// The groups that a card on one of the networks is in.
    pub(super) fn memberships(
        &self,
        of: &SecurityGroups,
        names: &BTreeSet<GroupName>,
    ) -> Vec<GroupId> {
        names.iter().filter_map(|name| self.number(of, name)).collect()
    }

    fn rule(&self, of: &SecurityGroups, rule: &security::Rule) -> Option<Rule> {
        let ports = |ports: security::Ports| Ports { first: ports.first(), last: ports.last() };
        let traffic = match rule.traffic {
            security::Traffic::Any => Traffic::Any,
            security::Traffic::Tcp(these) => Traffic::Tcp(ports(these)),
            security::Traffic::Udp(these) => Traffic::Udp(ports(these)),
            security::Traffic::Icmp => Traffic::Icmp,
        };
        let peer = match &rule.peer {
            security::Peer::Block(block) => Peer::Prefix(block.net()),
            security::Peer::Group(name) => Peer::Group(self.number(of, name)?),
        };
        Some(Rule { traffic, peer })
    }

    /// The number of a group that is there on one of the networks.
    fn number(&self, of: &SecurityGroups, name: &GroupName) -> Option<GroupId> {
        self.0.get(name).copied().filter(|_| of.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use protocol::security::{Direction, Rules};

    use super::*;

    #[test]
    fn a_rule_about_a_group_that_is_not_there_lets_nobody_in() {
        let read = |text| security::Rule::parse(text, Direction::Ingress).unwrap();
        let ingress =
            vec![read("tcp 80-90 from web"), read("any from gone"), read("icmp from ::/0")];
        let rules = Rules::new(ingress, Vec::new()).unwrap();
        let name = |text: &str| text.parse::<GroupName>().unwrap();
        let of = BTreeMap::from([(name("app"), rules), (name("web"), Rules::default())]);
        let named = Named::on([&of].into_iter());
        let groups = named.groups(&of);
        let ports = Ports { first: 80, last: 90 };
        let all = "::/0".parse().unwrap();
        let expected = [
            Rule { traffic: Traffic::Tcp(ports), peer: Peer::Group(GroupId(1)) },
            Rule { traffic: Traffic::Icmp, peer: Peer::Prefix(all) },
        ];
        assert_eq!((groups[0].id, &groups[0].ingress[..]), (GroupId(0), &expected[..]));
        assert_eq!((groups[1].id, groups[1].egress.len()), (GroupId(1), 2));
        let names = BTreeSet::from([name("web"), name("gone")]);
        assert_eq!(named.memberships(&of, &names), [GroupId(1)]);
    }

    #[test]
    fn a_group_has_one_number_on_networks_that_are_routed_to_each_other() {
        let name = |text: &str| text.parse::<GroupName>().unwrap();
        let all = |names: &[&str]| -> SecurityGroups {
            names.iter().map(|text| (name(text), Rules::default())).collect()
        };
        // The word that one of them has another group may come later than on the other.
        let (early, late) = (all(&["app", "default", "web"]), all(&["default", "web"]));
        let named = Named::on([&early, &late].into_iter());
        let names = BTreeSet::from([name("app"), name("web")]);
        assert_eq!(named.memberships(&early, &names), [GroupId(0), GroupId(2)]);
        assert_eq!(named.memberships(&late, &names), [GroupId(2)]);
        let numbers: Vec<_> = named.groups(&late).iter().map(|group| group.id).collect();
        assert_eq!(numbers, [GroupId(1), GroupId(2)]);
    }
}
