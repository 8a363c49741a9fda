//! Claims about what is refused by name or by count, and about requests that come twice.

use super::*;
use crate::names::Label;
use crate::site::state::Role;
use crate::sla::Class;

fn add_key(name: &str, digest: u8, role: Role) -> OperatorAsk {
    let (name, tenant): (Label, Label) = (name.parse().unwrap(), "house".parse().unwrap());
    OperatorAsk::AddKey { name, tenant, role, digest: [digest; 32] }
}

#[test]
fn an_image_that_nobody_registered_is_refused_with_the_component_that_names_it() {
    let mut world = World::new(&[4]);
    let text = "service: shop\ncomponents:\n  web: { image: other, vcpus: 1, memory: 1GiB, \
                disk: 1GiB }\n";
    let manifest = Box::new(manifest::parse(text.as_bytes()).unwrap());
    let outcome = world.ask(ALPHA, TenantAsk::Submit { manifest, mode: Mode::AllOrNothing });
    let refusal = Refusal::UnknownImage {
        name: "other".parse().unwrap(),
        component: Some("web".parse().unwrap()),
    };
    assert_eq!(outcome, Outcome::Refused(refusal));
}

#[test]
fn a_name_is_taken_until_its_service_ends() {
    let mut world = World::new(&[4]);
    let shop = manifest("shop", &[("web", 1, 1, &[])]);
    let service = world.submit(ALPHA, shop.clone(), Mode::AllOrNothing);
    let again = TenantAsk::Submit { manifest: shop.clone(), mode: Mode::BestEffort };
    let taken = Outcome::Refused(Refusal::NameTaken { name: "shop".to_owned() });
    assert_eq!(world.ask(ALPHA, again), taken);
    world.ask(ALPHA, TenantAsk::End { service });
    world.submit(ALPHA, shop, Mode::AllOrNothing);
}

#[test]
fn a_machine_s_name_is_taken_until_it_is_destroyed() {
    let mut world = World::new(&[4]);
    let machine = world.define(ALPHA, "one", size(1));
    let (name, image): (Label, _) = ("one".parse().unwrap(), "guest".parse().unwrap());
    let again = TenantAsk::Define {
        name,
        image,
        size: size(1),
        sites: None,
        on_partition: OnPartition::Fence,
        class: Class::BestEffort,
        user_data: None,
    };
    let taken = Outcome::Refused(Refusal::NameTaken { name: "one".to_owned() });
    assert_eq!(world.ask(ALPHA, again), taken);
    world.update(ALPHA, machine, Verb::Destroy);
    world.define(ALPHA, "one", size(1));
}

#[test]
fn a_request_that_comes_again_is_answered_as_the_first_and_not_done_again() {
    let mut world = World::new(&[4]);
    let (request, other) = (world.request(), world.request());
    let submit = |request| Command::Tenant {
        tenant: tenant(),
        request,
        ask: TenantAsk::Submit {
            manifest: manifest("shop", &[("web", 1, 1, &[])]),
            mode: Mode::AllOrNothing,
        },
    };
    let first = world.apply(ALPHA, submit(request));
    assert!(matches!(first, Outcome::Service(_)), "{first:?}");
    assert_eq!(world.apply(ALPHA, submit(request)), first);
    assert_eq!(world.parties[ALPHA].site.services().count(), 1);
    assert!(matches!(world.apply(ALPHA, submit(other)), Outcome::Refused(_)));
    world.pass(REQUESTS_KEPT);
    assert_eq!(world.parties[ALPHA].site.requests.len(), 0);
}

#[test]
fn a_size_that_no_machine_has_is_refused() {
    let mut world = World::new(&[4]);
    let define = |size| TenantAsk::Define {
        name: "one".parse().unwrap(),
        image: "guest".parse().unwrap(),
        size,
        sites: None,
        on_partition: OnPartition::Fence,
        class: Class::BestEffort,
        user_data: None,
    };
    for bad in [Size { vcpus: 0, ..size(1) }, Size { vcpus: 256, ..size(1) }] {
        let refused = Outcome::Refused(Refusal::BadSize { size: bad });
        assert_eq!(world.ask(ALPHA, define(bad)), refused);
    }
    let flat = Size { disk: Mebibytes(0), ..size(1) };
    assert!(matches!(
        world.ask(ALPHA, define(flat)),
        Outcome::Refused(Refusal::DiskTooSmall { .. })
    ));
}

#[test]
fn a_site_takes_only_so_many_machines() {
    let mut world = World::new(&[0]);
    for number in 0..MACHINES_MAX / 1_000 {
        let components: Vec<_> =
            ["a", "b", "c", "d"].into_iter().map(|name| (name, 1, 250, &[][..])).collect();
        let service = format!("s{number}");
        world.submit(ALPHA, manifest(&service, &components), Mode::AllOrNothing);
    }
    assert_eq!(world.parties[ALPHA].site.machines().count(), MACHINES_MAX);
    let one = TenantAsk::Submit {
        manifest: manifest("more", &[("web", 1, 1, &[])]),
        mode: Mode::AllOrNothing,
    };
    assert!(matches!(world.ask(ALPHA, one), Outcome::Refused(Refusal::Full { .. })));
}

#[test]
fn an_image_in_use_stays_in_the_catalogue() {
    let mut world = World::new(&[1]);
    let image = image().id();
    let machine = world.define(ALPHA, "one", size(1));
    let strike = OperatorAsk::UnregisterImage { image };
    for _ in 0..2 {
        let used = Refusal::ImageInUse { image, machines: 1 };
        assert_eq!(world.operator(ALPHA, strike.clone()), Outcome::Refused(used));
        world.update(ALPHA, machine, Verb::Activate);
        world.settle();
    }
    world.update(ALPHA, machine, Verb::Destroy);
    world.settle();
    assert_eq!(world.operator(ALPHA, strike.clone()), Outcome::Done);
    let unknown = Refusal::UnknownImageId { image };
    assert_eq!(world.operator(ALPHA, strike), Outcome::Refused(unknown));
}

#[test]
fn the_last_operator_keeps_its_key() {
    let mut world = World::new(&[1]);
    let key = |outcome| match outcome {
        Outcome::Key(key) => key,
        other => panic!("{other:?}"),
    };
    let first = key(world.operator(ALPHA, add_key("first", 1, Role::Operator)));
    assert_eq!(key(world.operator(ALPHA, add_key("first", 1, Role::Operator))), first);
    key(world.operator(ALPHA, add_key("guest", 2, Role::Tenant)));
    let taken = Refusal::NameTaken { name: "first".to_owned() };
    assert_eq!(world.operator(ALPHA, add_key("first", 3, Role::Operator)), Outcome::Refused(taken));
    let last = Outcome::Refused(Refusal::LastKey { key: first });
    assert_eq!(world.operator(ALPHA, OperatorAsk::RemoveKey { key: first }), last);
    key(world.operator(ALPHA, add_key("second", 3, Role::Operator)));
    assert_eq!(world.operator(ALPHA, OperatorAsk::RemoveKey { key: first }), Outcome::Done);
    let gone = Outcome::Refused(Refusal::UnknownKey { key: first });
    assert_eq!(world.operator(ALPHA, OperatorAsk::RemoveKey { key: first }), gone);
    assert_eq!(world.parties[ALPHA].site.tenants().count(), 1, "both keys are of one tenant");
}

#[test]
fn a_state_is_not_configured_for_another_site() {
    let mut world = World::new(&[1, 1]);
    let (alpha, beta) = (world.parties[ALPHA].id, world.parties[BETA].id);
    let configure =
        Configure { site: beta, name: "beta".to_owned(), tariff: tariff(1), peers: Vec::new() };
    assert_eq!(
        world.apply(ALPHA, Command::Configure(configure)),
        Outcome::Refused(Refusal::OtherSite { site: alpha })
    );
}

#[test]
fn the_site_s_clock_never_goes_back() {
    let mut world = World::new(&[1]);
    let before = world.now;
    world.now = before - Span::from_secs(10);
    world.apply(ALPHA, Command::Tick);
    assert_eq!(world.parties[ALPHA].site.now(), before);
}
