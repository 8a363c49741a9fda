//! Claims about tenants' networks, and who has which address in them.

use std::net::Ipv4Addr;

use super::*;
use crate::manifest::{ComponentName, NetworkName};
use crate::networks::Offset;

/// Two networks of one small prefix and one that is left to the site, and machines on them.
const SHOP: &str = "
service: shop
networks:
  red: { prefix: 10.7.0.0/28 }
  blue: {}
components:
  app: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, replicas: 3, networks: [red, blue] }
  front:
    image: guest
    vcpus: 1
    memory: 1GiB
    disk: 1GiB
    networks: { red: { address: 10.7.0.5 } }
";

fn parsed(text: &str) -> Box<Manifest> {
    Box::new(manifest::parse(text.as_bytes()).unwrap())
}

/// The IPv4 addresses of a machine by the names of its networks.
fn addresses(world: &World, machine: MachineId) -> BTreeMap<NetworkName, Ipv4Addr> {
    let site = &world.parties[ALPHA].site;
    let attached = site.machine(machine).unwrap().addresses.iter();
    let named = attached.map(|at| {
        let network = site.network(at.network).unwrap();
        (network.name.clone(), network.addresses(at.offset).0)
    });
    named.collect()
}

/// The addresses on one network of a service, by the names of its machines.
fn on(world: &World, service: ServiceId, network: &str) -> BTreeMap<String, String> {
    let site = &world.parties[ALPHA].site;
    let machines = site.service(service).unwrap().machines.iter().copied();
    let shown = machines.filter_map(|machine| {
        let address = addresses(world, machine).get(&network.parse().unwrap())?.to_string();
        Some((site.machine(machine)?.name.clone(), address))
    });
    shown.collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect()
}

#[test]
fn each_machine_has_an_address_on_each_of_its_networks_and_nobody_has_one_that_is_fixed() {
    let mut world = World::new(&[8]);
    let shop = world.submit(ALPHA, parsed(SHOP), Mode::AllOrNothing);
    let red = [
        ("shop/app-1", "10.7.0.4"),
        ("shop/app-2", "10.7.0.6"),
        ("shop/app-3", "10.7.0.7"),
        ("shop/front-1", "10.7.0.5"),
    ];
    assert_eq!(on(&world, shop, "red"), expected(&red));
    let blue = [("shop/app-1", "10.1.0.4"), ("shop/app-2", "10.1.0.5"), ("shop/app-3", "10.1.0.6")];
    assert_eq!(on(&world, shop, "blue"), expected(&blue));
}

#[test]
fn a_machine_keeps_its_addresses_wherever_it_runs_and_until_it_ends() {
    let mut world = World::new(&[1, 4]);
    let shop = world.submit(ALPHA, parsed(SHOP), Mode::AllOrNothing);
    let before = on(&world, shop, "red");
    world.settle();
    assert!(world.parties[ALPHA].site.placed_at(world.parties[BETA].id) > 0);
    assert_eq!(on(&world, shop, "red"), before);
    world.ask(ALPHA, TenantAsk::End { service: shop });
    world.settle();
    assert_eq!(world.parties[ALPHA].site.networks().count(), 0);
    assert_eq!(world.parties[ALPHA].site.violations(), []);
}

#[test]
fn two_services_may_have_the_same_addresses_in_networks_of_their_own() {
    let mut world = World::new(&[8]);
    let shop = world.submit(ALPHA, parsed(SHOP), Mode::AllOrNothing);
    let text = SHOP.replace("shop", "mall");
    let mall = world.submit(ALPHA, parsed(&text), Mode::AllOrNothing);
    let addresses = |service| on(&world, service, "red").into_values().collect::<Vec<_>>();
    assert_eq!(addresses(shop), addresses(mall));
    let networks = world.parties[ALPHA].site.networks();
    let prefixes: BTreeSet<_> = networks.map(|(_, row)| row.prefix6).collect();
    assert_eq!(prefixes.len(), 4, "unique local addresses are not shared");
}

#[test]
fn an_address_that_has_come_free_is_the_last_to_be_given_out_again() {
    let mut world = World::new(&[16]);
    let shop = world.submit(ALPHA, parsed(SHOP), Mode::AllOrNothing);
    world.settle();
    let component: ComponentName = "app".parse().unwrap();
    let mut scale = |replicas| {
        let component = component.clone();
        let outcome = world.ask(ALPHA, TenantAsk::Scale { service: shop, component, replicas });
        world.settle();
        (outcome, on(&world, shop, "red"))
    };
    scale(2);
    let (_, after) = scale(3);
    assert_eq!(after["shop/app-3"], "10.7.0.8", "10.7.0.7 was another machine's a moment ago");
    let (_, full) = scale(10);
    assert_eq!(full.values().collect::<BTreeSet<_>>().len(), 11);
    let (refused, _) = scale(11);
    assert!(matches!(refused, Outcome::Refused(Refusal::NotScaled { .. })), "{refused:?}");
}

#[test]
fn a_fixed_address_waits_for_the_machine_that_had_it() {
    let mut world = World::new(&[8]);
    let shop = world.submit(ALPHA, parsed(SHOP), Mode::AllOrNothing);
    world.settle();
    let site = &world.parties[ALPHA].site;
    let service = site.service(shop).unwrap();
    let front = |id: &&MachineId| site.machine(**id).unwrap().name == "shop/front-1";
    let front = *service.machines.iter().find(front).unwrap();
    world.update(ALPHA, front, Verb::Destroy);
    let component: ComponentName = "front".parse().unwrap();
    let ask = TenantAsk::Scale { service: shop, component, replicas: 1 };
    let refused = world.ask(ALPHA, ask.clone());
    assert!(matches!(refused, Outcome::Refused(Refusal::AddressTaken { .. })), "{refused:?}");
    world.settle();
    assert_eq!(world.ask(ALPHA, ask), Outcome::Done);
    assert_eq!(on(&world, shop, "red")["shop/front-1"], "10.7.0.5");
}

#[test]
fn single_machines_of_a_tenant_share_a_network_that_goes_with_the_last() {
    let mut world = World::new(&[8]);
    let [one, two] = ["one", "two"].map(|name| world.define(ALPHA, name, size(1)));
    let site = &world.parties[ALPHA].site;
    assert_eq!(site.networks().count(), 1);
    let offsets = [one, two].map(|machine| site.machine(machine).unwrap().addresses[0].offset);
    assert_eq!(offsets, [Offset(4), Offset(5)]);
    for machine in [one, two] {
        world.update(ALPHA, machine, Verb::Destroy);
    }
    world.settle();
    assert_eq!(world.parties[ALPHA].site.networks().count(), 0);
}

#[test]
fn networks_without_a_prefix_avoid_those_that_have_one() {
    let mut world = World::new(&[8]);
    let text = "
service: greedy
networks:
  all-of-ten: { prefix: 10.0.0.0/8 }
  more: { prefix: 172.16.0.0/12 }
  rest: {}
components:
  app: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [all-of-ten, more, rest] }
";
    let service = world.submit(ALPHA, parsed(text), Mode::AllOrNothing);
    assert_eq!(on(&world, service, "rest"), expected(&[("greedy/app-1", "1.1.0.4")]));
}

#[test]
fn networks_of_a_group_have_a_share_of_its_prefix_and_those_of_its_routes_that_lead_somewhere() {
    let text = "
service: shop
networks:
  red: { group: one, outbound: true }
  blue: { prefix: 10.5.0.0/24, group: one }
  green: {}
groups:
  one: { prefix: 10.5.0.0/16, routes: [10.9.0.0/16 via 10.5.0.7, 0.0.0.0/0 via exit] }
components:
  app: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [red, blue, green] }
";
    let mut world = World::new(&[8]);
    world.submit(ALPHA, parsed(text), Mode::AllOrNothing);
    let site = &world.parties[ALPHA].site;
    let told = site.lans().map(|((_, id), lan)| {
        let routes = lan.terms.routes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let network = site.network(*id).unwrap();
        (network.name.as_str(), (lan.terms.prefix.to_string(), routes.join(", ")))
    });
    let expected = [
        ("blue", "10.5.0.0/24", "10.9.0.0/16 via 10.5.0.7"),
        ("green", "10.1.0.0/16", ""),
        ("red", "10.5.16.0/20", "0.0.0.0/0 via exit"),
    ];
    let expected = expected.map(|(name, prefix, routes)| (name, (prefix.into(), routes.into())));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), BTreeMap::from(expected));
}
