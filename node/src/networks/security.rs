//! Security groups as the packet filter of a host has them.
//!
//! A group's number there is its place among the groups of its network, by name. A name that is no
//! group's is nobody: whoever is in it is in nothing by that, and a rule about it lets nobody in.

use std::collections::BTreeSet;

use fabric::networks::{Group, GroupId, Peer, Ports, Rule, Traffic};
use protocol::manifest::SecurityGroups;
use protocol::security::{self, GroupName};

/// The groups of a network.
pub(super) fn groups(of: &SecurityGroups) -> Vec<Group> {
    let rules = |rules: &[security::Rule]| rules.iter().filter_map(|it| rule(of, it)).collect();
    let groups = (0..).zip(of.values()).map(|(number, group)| Group {
        id: GroupId(number),
        ingress: rules(group.ingress()),
        egress: rules(group.egress()),
    });
    groups.collect()
}

/// The groups that a card is in.
pub(super) fn memberships(of: &SecurityGroups, names: &BTreeSet<GroupName>) -> Vec<GroupId> {
    names.iter().filter_map(|name| number(of, name)).collect()
}

fn rule(of: &SecurityGroups, rule: &security::Rule) -> Option<Rule> {
    let ports = |ports: security::Ports| Ports { first: ports.first(), last: ports.last() };
    let traffic = match rule.traffic {
        security::Traffic::Any => Traffic::Any,
        security::Traffic::Tcp(these) => Traffic::Tcp(ports(these)),
        security::Traffic::Udp(these) => Traffic::Udp(ports(these)),
        security::Traffic::Icmp => Traffic::Icmp,
    };
    let peer = match &rule.peer {
        security::Peer::Block(block) => Peer::Prefix(block.net()),
        security::Peer::Group(name) => Peer::Group(number(of, name)?),
    };
    Some(Rule { traffic, peer })
}

fn number(of: &SecurityGroups, name: &GroupName) -> Option<GroupId> {
    let place = of.keys().position(|known| known == name)?;
    u32::try_from(place).ok().map(GroupId)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        let groups = groups(&of);
        let ports = Ports { first: 80, last: 90 };
        let all = "::/0".parse().unwrap();
        let expected = [
            Rule { traffic: Traffic::Tcp(ports), peer: Peer::Group(GroupId(1)) },
            Rule { traffic: Traffic::Icmp, peer: Peer::Prefix(all) },
        ];
        assert_eq!((groups[0].id, &groups[0].ingress[..]), (GroupId(0), &expected[..]));
        assert_eq!((groups[1].id, groups[1].egress.len()), (GroupId(1), 2));
        let names = BTreeSet::from([name("web"), name("gone")]);
        assert_eq!(memberships(&of, &names), [GroupId(1)]);
    }
}
