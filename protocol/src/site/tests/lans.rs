//! Claims about what the sites on a network know of it.

use super::*;
use crate::networks::lan::{End, Member, Vni, Word};
use crate::networks::{MEMBERS_MAX, Offset};

/// A service with a component at each of three sites, all on one network. What is at beta may go to
/// gamma.
const SHOP: &str = "
service: shop
components:
  a: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, place: { sites: [alpha] } }
  b: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, place: { sites: [beta, gamma] } }
  c:
    image: guest
    vcpus: 1
    memory: 1GiB
    disk: 1GiB
    replicas: 2
    place: { sites: [gamma] }
";

/// A service on two networks of one group and on one that stands alone.
const ROUTED: &str = "
service: routed
networks: { red: { group: one }, blue: { group: one }, green: {} }
components:
  a: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [red], place: { sites: [alpha] } }
  b: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [red], place: { sites: [beta] } }
  c: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [blue], place: { sites: [gamma] } }
  d: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [green], place: { sites: [beta] } }
";

/// A world in which a service of alpha's runs.
fn running(text: &str) -> (World, ServiceId) {
    let mut world = World::new(&[8, 8, 8]);
    let manifest = Box::new(manifest::parse(text.as_bytes()).unwrap());
    let service = world.submit(ALPHA, manifest, Mode::AllOrNothing);
    world.settle();
    (world, service)
}

/// The service, where it runs.
pub(super) fn spread() -> (World, ServiceId, NetworkId) {
    let (world, service) = running(SHOP);
    let (network, _) = world.parties[ALPHA].site.networks().next().unwrap();
    let network = *network;
    (world, service, network)
}

/// Who is on a network of alpha's, as a site knows it.
fn known(world: &World, at: usize, network: NetworkId) -> BTreeMap<Offset, Member> {
    let home = world.parties[ALPHA].id;
    let members = world.parties[at].site.members_on(home, network);
    members.map(|(offset, member)| (offset, member.clone())).collect()
}

/// How each site is reached on it, as a site knows it: itself, and the others.
fn ends(world: &World, at: usize, network: NetworkId) -> BTreeMap<SiteId, Option<End>> {
    let party = &world.parties[at];
    let key = (world.parties[ALPHA].id, network);
    let (_, lan) = party.site.lans().find(|(it, _)| **it == key).unwrap();
    let mut ends = lan.ends.clone();
    ends.insert(party.id, Some(lan.own));
    ends
}

#[test]
fn every_site_with_a_machine_on_a_network_knows_who_is_on_it_and_how_the_others_are_reached() {
    let (world, _, network) = spread();
    let all = known(&world, ALPHA, network);
    assert_eq!(all.len(), 4);
    let sites: BTreeSet<_> = all.values().map(|member| member.site.unwrap()).collect();
    assert_eq!(sites.len(), 3);
    let names: Vec<_> = all.values().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a-1", "b-1", "c-1", "c-2"]);
    let reached = ends(&world, ALPHA, network);
    assert!(reached.values().all(Option::is_some), "{reached:?}");
    for other in [BETA, GAMMA] {
        assert_eq!(known(&world, other, network), all);
        assert_eq!(ends(&world, other, network), reached);
    }
}

#[test]
fn a_machine_that_comes_or_goes_is_known_everywhere_and_a_site_without_one_forgets_the_network() {
    let (mut world, service, network) = spread();
    let component = "c".parse().unwrap();
    world.ask(ALPHA, TenantAsk::Scale { service, component, replicas: 3 });
    world.settle();
    let more = known(&world, ALPHA, network);
    assert_eq!(more.len(), 5);
    assert_eq!(known(&world, BETA, network), more);
    let beta = world.parties[BETA].id;
    let (_, there) = more.iter().find(|(_, member)| member.site == Some(beta)).unwrap();
    world.update(ALPHA, there.machine, Verb::Destroy);
    world.settle();
    assert_eq!(world.parties[BETA].site.lans().count(), 0);
    assert!(known(&world, BETA, network).is_empty());
    assert_eq!(known(&world, GAMMA, network), known(&world, ALPHA, network));
    assert_eq!(ends(&world, GAMMA, network), ends(&world, ALPHA, network));
    world.ask(ALPHA, TenantAsk::End { service });
    world.settle();
    for party in &world.parties {
        assert_eq!(party.site.lans().count(), 0);
        assert_eq!(party.site.violations(), []);
    }
}

/// The network of alpha's with this name.
fn named(world: &World, name: &str) -> NetworkId {
    let mut all = world.parties[ALPHA].site.networks();
    *all.find(|(_, network)| network.name.as_str() == name).unwrap().0
}

/// Whether a site has heard of a network of alpha's.
fn has(world: &World, at: usize, network: NetworkId) -> bool {
    let key = (world.parties[ALPHA].id, network);
    world.parties[at].site.lans().any(|(it, _)| *it == key)
}

#[test]
fn who_has_a_machine_on_one_network_of_a_group_knows_all_networks_of_it() {
    let (world, _) = running(ROUTED);
    let [red, blue, green] = ["red", "blue", "green"].map(|name| named(&world, name));
    for other in [BETA, GAMMA] {
        for (network, machines) in [(red, 2), (blue, 1)] {
            assert_eq!(known(&world, other, network), known(&world, ALPHA, network));
            assert_eq!(known(&world, other, network).len(), machines);
            assert_eq!(ends(&world, other, network), ends(&world, ALPHA, network));
            assert_eq!(ends(&world, other, network).len(), 3);
        }
    }
    assert!(has(&world, BETA, green) && !has(&world, GAMMA, green));
    let home = world.parties[ALPHA].id;
    let lans = world.parties[GAMMA].site.lans();
    let said: BTreeSet<_> = lans.map(|((of, _), lan)| (*of, lan.terms.group)).collect();
    assert_eq!(said, BTreeSet::from([(home, Some(blue))]), "the first by name");
}

#[test]
fn a_site_without_a_machine_on_any_network_of_a_group_forgets_them_all() {
    let (mut world, service) = running(ROUTED);
    let [red, blue] = ["red", "blue"].map(|name| named(&world, name));
    let (_, there) = known(&world, ALPHA, blue).pop_first().unwrap();
    world.update(ALPHA, there.machine, Verb::Destroy);
    world.settle();
    assert!(!has(&world, GAMMA, red) && !has(&world, GAMMA, blue));
    assert!(has(&world, BETA, red) && has(&world, BETA, blue), "red has a machine at beta");
    assert_eq!(ends(&world, BETA, blue), ends(&world, ALPHA, blue));
    world.ask(ALPHA, TenantAsk::End { service });
    world.settle();
    for party in &world.parties {
        assert_eq!(party.site.lans().count(), 0);
        assert_eq!(party.site.violations(), []);
    }
}

#[test]
fn a_machine_that_lost_its_provider_is_told_of_at_its_new_place_in_a_later_epoch() {
    let (mut world, _, network) = spread();
    let before = known(&world, ALPHA, network);
    let beta = world.parties[BETA].id;
    let there = |member: &Member| member.site == Some(beta);
    let (offset, lost) = before.iter().find(|(_, member)| there(member)).unwrap();
    world.cut.extend([(ALPHA, BETA), (BETA, GAMMA)]);
    world.apply(ALPHA, Command::PeerEnded { peer: beta });
    world.settle();
    let member = known(&world, GAMMA, network)[offset].clone();
    assert_ne!(member.site, Some(beta));
    assert!(member.epoch > lost.epoch);
    assert_eq!((member.machine, &member.name), (lost.machine, &lost.name));
}

#[test]
fn only_its_home_can_say_anything_of_a_network() {
    let (mut world, _, network) = spread();
    let before = known(&world, GAMMA, network);
    let said = |word| Message::Network { network, word };
    let stranger = Member {
        machine: MachineId::from_uuid(uuid::Uuid::nil()),
        card: 0,
        name: "stranger".to_owned(),
        component: None,
        groups: crate::security::default_memberships(),
        site: Some(world.parties[BETA].id),
        epoch: 9,
    };
    let words = [
        Word::Member { offset: Offset(4), member: Some(stranger) },
        Word::Member { offset: Offset(5), member: None },
        Word::End { site: world.parties[ALPHA].id, end: None },
        Word::Joined(End { vni: Vni::MAX, gateway: None }),
        Word::Over,
    ];
    for word in words {
        world.tell(BETA, GAMMA, said(word));
    }
    assert_eq!(known(&world, GAMMA, network), before);
    assert_eq!(ends(&world, GAMMA, network), ends(&world, ALPHA, network));
}

#[test]
fn what_cannot_be_on_a_network_is_not_taken_up() {
    let (mut world, _, network) = spread();
    let before = known(&world, BETA, network);
    let (_, good) = before.iter().next().unwrap();
    let named = |name: &str| Some(Member { name: name.to_owned(), ..good.clone() });
    let words = [
        (Offset(1), named("gateway")),
        (Offset(1 << 20), named("outside")),
        (Offset(9), named("two\nlines")),
        (Offset(9), named("")),
        (Offset(9), named(&"n".repeat(64))),
    ];
    for (offset, member) in words {
        let message = Message::Network { network, word: Word::Member { offset, member } };
        world.tell(ALPHA, BETA, message);
    }
    assert_eq!(known(&world, BETA, network), before);
}

#[test]
fn a_peer_cannot_fill_a_site_with_members_of_its_networks() {
    let (mut world, _, network) = spread();
    let good = known(&world, BETA, network).into_values().next().unwrap();
    let said = |offset| {
        let word = Word::Member { offset: Offset(offset), member: Some(good.clone()) };
        Message::Network { network, word }
    };
    for offset in 0..=u32::try_from(MEMBERS_MAX).unwrap() {
        world.tell(ALPHA, BETA, said(1_000 + offset));
    }
    assert_eq!(known(&world, BETA, network).len(), MEMBERS_MAX);
}

#[test]
fn another_gateway_is_known_to_every_site_on_the_network() {
    let (mut world, _, network) = spread();
    for at in [ALPHA, BETA] {
        let reached = BTreeSet::from([NodeId(1)]);
        let step = world.parties[at].site.gateway_step(&reached);
        assert_eq!(step, Some(NodeId(1)), "the leader names the first one");
        world.apply(at, Command::Gateway { node: NodeId(1) });
        assert_eq!(world.parties[at].site.gateway_step(&reached), None);
    }
    world.settle();
    let own = |world: &World, at: usize| world.parties[at].site.gateway();
    for (at, of) in [(ALPHA, BETA), (BETA, ALPHA), (GAMMA, ALPHA), (GAMMA, BETA)] {
        let site = world.parties[of].id;
        assert_eq!(ends(&world, at, network)[&site].unwrap().gateway, own(&world, of));
        assert!(own(&world, of).is_some());
    }
    let mut moved = contact(NodeId(1));
    moved.uplink = Some(uplink(99));
    world.apply(BETA, Command::Node { node: NodeId(1), contact: moved });
    world.settle();
    let beta = world.parties[BETA].id;
    for at in [ALPHA, GAMMA] {
        let known = ends(&world, at, network)[&beta].unwrap().gateway;
        assert_eq!(known, Some(uplink(99).gateway));
    }
}

/// Sites of which these have a gateway that nobody can call, as behind NAT.
fn behind_nat(processors: &[u32], hidden: &[usize]) -> World {
    let mut world = World::new(processors);
    for at in 0..processors.len() {
        let mut node = contact(NodeId(1));
        if let Some(uplink) = node.uplink.as_mut().filter(|_| hidden.contains(&at)) {
            uplink.gateway.endpoint = None;
        }
        world.apply(at, Command::Node { node: NodeId(1), contact: node });
        world.apply(at, Command::Gateway { node: NodeId(1) });
    }
    world
}

#[test]
fn two_sites_behind_nat_share_no_network_and_the_tenant_reads_why() {
    let mut world = behind_nat(&[0, 4], &[ALPHA, BETA]);
    let machine = world.start(Class::BestEffort);
    world.settle();
    assert_eq!(
        world.view_machine(ALPHA, machine),
        "one FAILED nowhere (no host here has room for it; beta: its gateway and that of another site on \
         the machine's networks are both behind NAT: one of them needs an address that is reached \
         (network.external))"
    );
}

#[test]
fn of_two_sites_on_a_network_one_may_be_behind_nat() {
    for hidden in [ALPHA, BETA] {
        let mut world = behind_nat(&[0, 4], &[hidden]);
        let machine = world.start(Class::BestEffort);
        world.settle();
        assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    }
}

#[test]
fn what_one_site_behind_nat_has_no_room_for_does_not_go_to_another() {
    let mut world = behind_nat(&[0, 2, 2], &[BETA, GAMMA]);
    let machines = ["one", "two", "three"].map(|name| {
        let (name, image) = (name.parse().unwrap(), "guest".parse().unwrap());
        let (sites, on_partition) = (None, OnPartition::Fence);
        let (class, user_data) = (Class::BestEffort, None);
        let ask =
            TenantAsk::Define { name, image, size: size(1), sites, on_partition, class, user_data };
        let Outcome::Machine(machine) = world.ask(ALPHA, ask) else { panic!("it is defined") };
        world.update(ALPHA, machine, Verb::Activate);
        world.settle();
        world.view_machine(ALPHA, machine)
    });
    let place = machines[0].strip_prefix("one ACTIVE ").unwrap();
    assert_eq!(machines[1], format!("two ACTIVE {place}"));
    assert!(machines[2].starts_with("three FAILED nowhere"), "{}", machines[2]);
    assert!(machines[2].contains("both behind NAT"), "{}", machines[2]);
}

#[test]
fn a_peer_that_names_this_machine_as_its_gateway_is_not_heard() {
    let (mut world, _, network) = spread();
    let beta = world.parties[BETA].id;
    let before = ends(&world, ALPHA, network)[&beta];
    let gateway = Gateway {
        key: TunnelKey::from_bytes([9; 32]),
        endpoint: Some(SocketAddr::from(([127, 0, 0, 1], 22))),
    };
    let word = Word::Joined(End { vni: Vni::MAX, gateway: Some(gateway) });
    world.tell(BETA, ALPHA, Message::Network { network, word });
    assert_eq!(ends(&world, ALPHA, network)[&beta], before);
}
