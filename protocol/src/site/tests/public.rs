//! Claims about public addresses: who has which, and for how long.

use std::net::Ipv4Addr;

use super::*;
use crate::networks::public::Pool;

/// A service with a component that asks for public addresses, and one that does not.
const SHOP: &str = "
service: shop
networks:
  front: { outbound: true }
  back: {}
components:
  web:
    image: guest
    vcpus: 1
    memory: 1GiB
    disk: 1GiB
    replicas: 2
    networks: { back: {}, front: { public: true } }
  db: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [back] }
  app: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, networks: [front] }
";

fn pool(text: &str) -> Pool {
    text.parse().unwrap()
}

impl World {
    fn pool(&mut self, text: &str) -> Outcome {
        self.operator(ALPHA, OperatorAsk::AddPool { pool: pool(text) })
    }

    fn allocate(&mut self) -> Ipv4Addr {
        match self.ask(ALPHA, TenantAsk::AllocateAddress) {
            Outcome::Address(address) => address,
            other => panic!("{other:?}"),
        }
    }

    fn associate(&mut self, address: Ipv4Addr, machine: MachineId) -> Outcome {
        self.ask(ALPHA, TenantAsk::AssociateAddress { address, machine, network: None })
    }

    /// The names of machines by the public addresses that reach them.
    fn reached(&self) -> BTreeMap<String, String> {
        let site = &self.parties[ALPHA].site;
        let held = site.publics().filter_map(|(address, row)| {
            let machine = site.machine(row.holder?.machine)?;
            Some((address.to_string(), machine.name.clone()))
        });
        held.collect()
    }

    fn named(&self, name: &str) -> MachineId {
        let mut machines = self.parties[ALPHA].site.machines();
        *machines.find(|(_, row)| row.name == name && row.ended.is_none()).unwrap().0
    }
}

fn shop(pool: &str) -> (World, ServiceId) {
    let mut world = World::new(&[1, 8]);
    assert_eq!(world.pool(pool), Outcome::Done);
    let manifest = Box::new(manifest::parse(SHOP.as_bytes()).unwrap());
    let service = world.submit(ALPHA, manifest, Mode::AllOrNothing);
    world.settle();
    (world, service)
}

#[test]
fn machines_of_a_component_that_asks_have_an_address_each_until_they_end_wherever_they_run() {
    let (mut world, service) = shop("198.51.100.0/29");
    let expected = BTreeMap::from([
        ("198.51.100.0".to_owned(), "shop/web-1".to_owned()),
        ("198.51.100.1".to_owned(), "shop/web-2".to_owned()),
    ]);
    assert_eq!(world.reached(), expected);
    assert!(world.parties[ALPHA].site.placed_at(world.parties[BETA].id) > 0);
    let site = &world.parties[ALPHA].site;
    for (_, network, _) in site.published() {
        assert_eq!(site.network(network).unwrap().name.as_str(), "front");
    }
    assert_eq!(site.published().count(), 2);
    world.scale(ALPHA, service, "web", 1);
    world.settle();
    assert_eq!(world.reached().len(), 1);
    world.ask(ALPHA, TenantAsk::End { service });
    world.settle();
    assert_eq!(world.parties[ALPHA].site.publics().count(), 0);
    assert_eq!(world.parties[ALPHA].site.violations(), []);
}

#[test]
fn an_address_that_was_allocated_by_hand_outlives_its_machine() {
    let (mut world, service) = shop("198.51.100.0/29");
    let address = world.allocate();
    let app = world.named("shop/app-1");
    assert_eq!(world.associate(address, app), Outcome::Done);
    assert_eq!(world.associate(address, app), Outcome::Done);
    assert_eq!(world.reached()[&address.to_string()], "shop/app-1");
    let release = || TenantAsk::ReleaseAddress { address };
    let held = Outcome::Refused(Refusal::AddressHeld { address, machine: app });
    assert_eq!(world.ask(ALPHA, release()), held);
    world.ask(ALPHA, TenantAsk::End { service });
    world.settle();
    let kept: Vec<_> =
        world.parties[ALPHA].site.publics().map(|(it, row)| (it, row.holder)).collect();
    assert_eq!(kept, [(address, None)]);
    assert_eq!(world.ask(ALPHA, release()), Outcome::Done);
    let gone = Outcome::Refused(Refusal::UnknownAddress { address });
    assert_eq!(world.ask(ALPHA, release()), gone);
}

#[test]
fn an_address_taken_from_a_machine_by_hand_is_the_tenants_own() {
    let (mut world, service) = shop("198.51.100.0/29");
    let address = "198.51.100.0".parse().unwrap();
    assert_eq!(world.ask(ALPHA, TenantAsk::DisassociateAddress { address }), Outcome::Done);
    let web = world.named("shop/web-2");
    let taken = Refusal::CardTaken { machine: web, address: "198.51.100.1".parse().unwrap() };
    assert_eq!(world.associate(address, web), Outcome::Refused(taken));
    world.ask(ALPHA, TenantAsk::End { service });
    world.settle();
    assert_eq!(
        world.parties[ALPHA].site.publics().map(|(it, _)| it).collect::<Vec<_>>(),
        [address]
    );
}

#[test]
fn what_cannot_be_given_is_refused_and_changes_nothing() {
    let (mut world, service) = shop("198.51.100.0/31");
    let asks = [
        TenantAsk::AllocateAddress,
        TenantAsk::Scale { service, component: "web".parse().unwrap(), replicas: 3 },
    ];
    for ask in asks {
        let refused = world.ask(ALPHA, ask);
        assert_eq!(refused, Outcome::Refused(Refusal::NoAddress { wanted: 1 }));
    }
    let more = pool("198.51.100.0/28");
    let overlaps = Refusal::PoolOverlaps { pool: more, other: pool("198.51.100.0/31") };
    assert_eq!(world.pool("198.51.100.0/28"), Outcome::Refused(overlaps));
    assert_eq!(world.pool("198.51.100.0/31"), Outcome::Done);
    let remove = |text| OperatorAsk::RemovePool { pool: pool(text) };
    let in_use = Refusal::PoolInUse { pool: pool("198.51.100.0/31"), addresses: 2 };
    assert_eq!(world.operator(ALPHA, remove("198.51.100.0/31")), Outcome::Refused(in_use));
    let unknown = Refusal::UnknownPool { pool: more };
    assert_eq!(world.operator(ALPHA, remove("198.51.100.0/28")), Outcome::Refused(unknown));
    assert_eq!(world.pool("203.0.113.0/30"), Outcome::Done);
    let address = world.allocate();
    let db = world.named("shop/db-1");
    assert_eq!(world.associate(address, db), Outcome::Refused(Refusal::NoWayOut { machine: db }));
    let other = TenantId::from_uuid(uuid::Uuid::from_u128(0xbad));
    let request = world.request();
    let ask = TenantAsk::ReleaseAddress { address };
    let stranger = Command::Tenant { tenant: other, request, ask };
    let unknown = Outcome::Refused(Refusal::UnknownAddress { address });
    assert_eq!(world.apply(ALPHA, stranger), unknown);
    assert_eq!(world.parties[ALPHA].site.violations(), []);
}

#[test]
fn a_service_that_asks_for_more_addresses_than_there_are_is_not_taken_on() {
    let mut world = World::new(&[8]);
    world.pool("198.51.100.7/32");
    let manifest = Box::new(manifest::parse(SHOP.as_bytes()).unwrap());
    let ask = TenantAsk::Submit { manifest, mode: Mode::AllOrNothing };
    let refused = Outcome::Refused(Refusal::NoAddress { wanted: 2 });
    assert_eq!(world.ask(ALPHA, ask), refused);
    assert_eq!(world.parties[ALPHA].site.networks().count(), 0);
}

#[test]
fn a_pool_that_no_machine_can_have_is_none() {
    let told = |text: &str| text.parse::<Pool>().unwrap_err().to_string();
    assert_eq!(
        told("198.51.100.1/28"),
        "198.51.100.1/28 is an address within the prefix 198.51.100.0/28"
    );
    assert_eq!(told("198.0.0.0/8"), "the length of 198.0.0.0/8 must be from 16 to 32");
    assert!(told("127.0.0.0/24").contains("loopback"));
    assert!(told("public").contains("no prefix"));
}
