//! Claims about security groups of a service that runs at several sites.

use super::*;
use crate::manifest::{SecurityGroupName, SecurityGroups};
use crate::networks::Offset;
use crate::networks::lan::{Member, Word};
use crate::security::{Direction, GROUPS_MAX, Rule, Rules};

/// A service whose two components are at a site each, in a group each, on one network.
const SHOP: &str = "
service: shop
security:
  web: { ingress: [tcp 80 from 0.0.0.0/0] }
  database: { ingress: [tcp 5432 from web], egress: [] }
components:
  a: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, place: { sites: [alpha] }, security: [web] }
  b:
    image: guest
    vcpus: 1
    memory: 1GiB
    disk: 1GiB
    place: { sites: [beta] }
    security: [database]
";

fn running() -> (World, ServiceId, NetworkId) {
    let mut world = World::new(&[8, 8]);
    let manifest = Box::new(manifest::parse(SHOP.as_bytes()).unwrap());
    let service = world.submit(ALPHA, manifest, Mode::AllOrNothing);
    world.settle();
    let network = *world.parties[ALPHA].site.networks().next().unwrap().0;
    (world, service, network)
}

fn name(text: &str) -> SecurityGroupName {
    text.parse().unwrap()
}

fn rules(ingress: &[&str]) -> Rules {
    let read = |rule: &&str| Rule::parse(rule, Direction::Ingress).unwrap();
    Rules::new(ingress.iter().map(read).collect(), Rules::anything()).unwrap()
}

/// The groups of alpha's network, as a site knows them.
fn known(world: &World, at: usize, network: NetworkId) -> SecurityGroups {
    let key = (world.parties[ALPHA].id, network);
    let (_, lan) = world.parties[at].site.lans().find(|(it, _)| **it == key).unwrap();
    lan.groups.clone()
}

fn members(world: &World, at: usize, network: NetworkId) -> BTreeMap<Offset, Member> {
    let home = world.parties[ALPHA].id;
    let members = world.parties[at].site.members_on(home, network);
    members.map(|(offset, member)| (offset, member.clone())).collect()
}

#[test]
fn every_site_on_a_network_knows_the_groups_and_who_is_in_them() {
    let (world, service, network) = running();
    let groups = known(&world, BETA, network);
    assert_eq!(
        groups.keys().map(SecurityGroupName::as_str).collect::<Vec<_>>(),
        ["database", "default", "web"]
    );
    assert_eq!(groups, known(&world, ALPHA, network));
    assert_eq!(groups, *world.service(ALPHA, service).manifest.security());
    let there = members(&world, BETA, network);
    let named: Vec<_> = there.values().map(|it| (it.name.as_str(), it.groups.clone())).collect();
    let only = |group| BTreeSet::from([name(group)]);
    assert_eq!(named, [("a-1", only("web")), ("b-1", only("database"))]);
}

#[test]
fn rules_that_a_tenant_changes_are_known_everywhere_and_to_say_them_twice_says_nothing_new() {
    let (mut world, service, network) = running();
    let ask = TenantAsk::Secure {
        service,
        group: name("web"),
        rules: Some(rules(&["tcp 443 from 0.0.0.0/0"])),
    };
    assert_eq!(world.ask(ALPHA, ask.clone()), Outcome::Done);
    world.settle();
    assert_eq!(known(&world, BETA, network)[&name("web")], rules(&["tcp 443 from 0.0.0.0/0"]));
    assert_eq!(known(&world, BETA, network), known(&world, ALPHA, network));
    assert_eq!(world.ask(ALPHA, ask), Outcome::Done);
    assert!(world.owed(ALPHA, BETA).is_empty());
}

#[test]
fn a_component_put_into_other_groups_is_known_there_everywhere_and_its_machines_run_on() {
    let (mut world, service, network) = running();
    let before = members(&world, BETA, network);
    let group = TenantAsk::Secure { service, group: name("admin"), rules: Some(rules(&[])) };
    assert_eq!(world.ask(ALPHA, group), Outcome::Done);
    let groups = BTreeSet::from([name("admin"), name("web")]);
    let component = "a".parse().unwrap();
    let ask = TenantAsk::Regroup { service, component, groups: groups.clone() };
    assert_eq!(world.ask(ALPHA, ask), Outcome::Done);
    world.settle();
    let after = members(&world, BETA, network);
    let (offset, first) = before.first_key_value().unwrap();
    assert_eq!(after[offset], Member { groups, ..first.clone() });
    assert!(known(&world, BETA, network).contains_key(&name("admin")));
}

#[test]
fn groups_that_could_not_be_are_refused_and_change_nothing() {
    let (mut world, service, network) = running();
    let before = known(&world, ALPHA, network);
    let unknown = Some(rules(&["icmp from nobody"]));
    let groups = BTreeSet::from([name("nobody")]);
    let component: manifest::ComponentName = "a".parse().unwrap();
    let asks = [
        TenantAsk::Secure { service, group: name("web"), rules: None },
        TenantAsk::Secure { service, group: name("web"), rules: unknown },
        TenantAsk::Regroup { service, component: component.clone(), groups },
        TenantAsk::Regroup { service, component, groups: BTreeSet::new() },
    ];
    for ask in asks {
        let refused = world.ask(ALPHA, ask);
        assert!(matches!(refused, Outcome::Refused(Refusal::NotSecured { .. })), "{refused:?}");
    }
    world.ask(ALPHA, TenantAsk::End { service });
    let late = TenantAsk::Secure { service, group: name("web"), rules: Some(rules(&[])) };
    assert_eq!(world.ask(ALPHA, late), Outcome::Refused(Refusal::ServiceOver { service }));
    let stranger = ServiceId::from_uuid(uuid::Uuid::nil());
    let other = TenantAsk::Secure { service: stranger, group: name("web"), rules: None };
    let refused = Outcome::Refused(Refusal::UnknownService { service: stranger });
    assert_eq!(world.ask(ALPHA, other), refused);
    assert_eq!(known(&world, ALPHA, network), before);
}

#[test]
fn the_default_group_without_rules_of_its_own_is_as_it_was() {
    let (mut world, service, network) = running();
    let default = || name(crate::security::DEFAULT);
    for given in [Some(rules(&["icmp from web"])), None] {
        let ask = TenantAsk::Secure { service, group: default(), rules: given.clone() };
        assert_eq!(world.ask(ALPHA, ask), Outcome::Done);
        world.settle();
        assert_eq!(known(&world, BETA, network)[&default()], given.unwrap_or_default());
    }
}

#[test]
fn a_peer_cannot_fill_a_site_with_groups_and_only_the_home_says_any() {
    let (mut world, _, network) = running();
    let before = known(&world, ALPHA, network);
    let said = |name, rules| Message::Network { network, word: Word::Group { name, rules } };
    world.tell(BETA, ALPHA, said(name("web"), None));
    assert_eq!(known(&world, ALPHA, network), before);
    for number in 0..2 * GROUPS_MAX {
        world.tell(ALPHA, BETA, said(name(&format!("g{number}")), Some(rules(&[]))));
    }
    assert_eq!(known(&world, BETA, network).len(), GROUPS_MAX);
}
