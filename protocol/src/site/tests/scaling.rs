//! Claims about scaling: missing machines are placed and started by the rules of the submission,
//! those that are too many go from the highest number down, and what was asked is what counts.

use expect_test::expect;

use super::*;
use crate::machine::Goal;

fn component(name: &str) -> manifest::ComponentName {
    name.parse().unwrap()
}

impl World {
    pub(super) fn scale(
        &mut self,
        at: usize,
        service: ServiceId,
        name: &str,
        replicas: u32,
    ) -> Outcome {
        let component = component(name);
        self.ask(at, TenantAsk::Scale { service, component, replicas })
    }

    /// How many machines a component should have, and how many are wanted.
    fn count(&self, at: usize, service: ServiceId, name: &str) -> (u32, usize) {
        let service = self.service(at, service);
        let declared = service.manifest.components()[&component(name)].replicas;
        let wanted = service.machines.iter().filter(|id| {
            let row = self.machine(at, **id);
            let is_of_it = row.membership.as_ref().unwrap().component == component(name);
            is_of_it && row.goal != Goal::Destroyed && row.ended.is_none()
        });
        (declared, wanted.count())
    }
}

fn shop(world: &mut World, replicas: u32) -> ServiceId {
    let shop = manifest("shop", &[("web", 1, replicas, &[])]);
    let service = world.submit(ALPHA, shop, Mode::AllOrNothing);
    world.settle();
    service
}

#[test]
fn missing_machines_are_placed_here_and_then_at_peers() {
    let mut world = World::new(&[2, 2]);
    let service = shop(&mut world, 1);
    assert_eq!(world.scale(ALPHA, service, "web", 4), Outcome::Done);
    assert_eq!(world.service(ALPHA, service).stage, Stage::Starting);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE alpha
        shop/web-2 ACTIVE beta
        shop/web-3 ACTIVE alpha
        shop/web-4 ACTIVE beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    assert_eq!(world.count(ALPHA, service, "web"), (4, 4));
}

#[test]
fn of_too_many_the_highest_numbers_go_and_come_back_as_new_machines() {
    let mut world = World::new(&[2, 2]);
    let service = shop(&mut world, 4);
    let before = world.service(ALPHA, service).machines.clone();
    world.scale(ALPHA, service, "web", 2);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE beta
        shop/web-2 ACTIVE alpha
        shop/web-3 DESTROYED nowhere
        shop/web-4 DESTROYED nowhere
    "#]]
    .assert_eq(&world.view(ALPHA, service));

    world.scale(ALPHA, service, "web", 3);
    world.settle();
    let after = &world.service(ALPHA, service).machines;
    let new: Vec<&str> =
        after.difference(&before).map(|id| world.machine(ALPHA, *id).name.as_str()).collect();
    assert_eq!(new, ["shop/web-3"]);
    world.pass(ENDED_KEPT);
    assert_eq!(world.service(ALPHA, service).machines.len(), 3, "what is gone is forgotten");
}

#[test]
fn who_finds_no_place_says_why_and_asking_again_has_it_sought_once_more() {
    let mut world = World::new(&[1, 1]);
    let service = shop(&mut world, 1);
    world.scale(ALPHA, service, "web", 3);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE alpha
        shop/web-2 FAILED nowhere (no host here has room for it; beta: no host has room for it)
        shop/web-3 ACTIVE beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    world.describe(ALPHA, host(2), size(1), "");
    world.scale(ALPHA, service, "web", 3);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE alpha
        shop/web-2 ACTIVE alpha
        shop/web-3 ACTIVE beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
}

#[test]
fn a_new_machine_starts_in_its_order_and_one_that_was_shut_down_stays_so() {
    let mut world = World::new(&[4]);
    let tiers: [(&str, u32, u32, &[&str]); 2] = [("data", 1, 1, &[]), ("web", 1, 1, &["data"])];
    let service = world.submit(ALPHA, manifest("shop", &tiers), Mode::AllOrNothing);
    world.settle();
    let named = |world: &World, name: &str| {
        let mut machines = world.service(ALPHA, service).machines.iter().copied();
        machines.find(|id| world.machine(ALPHA, *id).name == name).unwrap()
    };
    let first = named(&world, "shop/web-1");
    world.update(ALPHA, first, Verb::Shutdown);
    world.settle();
    world.scale(ALPHA, service, "data", 2);
    world.scale(ALPHA, service, "web", 2);
    let second = named(&world, "shop/web-2");
    assert_eq!(world.machine(ALPHA, second).goal, Goal::Defined, "shop/data-2 does not run yet");
    world.settle();
    expect![[r#"
        Running
        shop/data-1 ACTIVE alpha
        shop/data-2 ACTIVE alpha
        shop/web-1 DEFINED alpha
        shop/web-2 ACTIVE alpha
    "#]]
    .assert_eq(&world.view(ALPHA, service));
}

#[test]
fn the_lowest_free_numbers_are_given() {
    let mut world = World::new(&[4]);
    let service = shop(&mut world, 3);
    let second = *world.service(ALPHA, service).machines.iter().nth(1).unwrap();
    let name = world.machine(ALPHA, second).name.clone();
    world.update(ALPHA, second, Verb::Destroy);
    world.settle();
    world.scale(ALPHA, service, "web", 4);
    world.settle();
    let mut names: Vec<String> = world
        .service(ALPHA, service)
        .machines
        .iter()
        .map(|id| world.machine(ALPHA, *id))
        .filter(|row| row.ended.is_none())
        .map(|row| row.name.clone())
        .collect();
    names.sort();
    assert_eq!(names, ["shop/web-1", "shop/web-2", "shop/web-3", "shop/web-4"], "{name} is back");
}

#[test]
fn what_is_lost_is_placed_anew_up_to_the_number_that_was_asked_last() {
    let mut world = World::new(&[0, 3, 3]);
    let service = shop(&mut world, 3);
    world.scale(ALPHA, service, "web", 2);
    world.settle();
    let lost = world.parties[BETA].id;
    world.cut.insert((ALPHA, BETA));
    world.apply(ALPHA, Command::PeerEnded { peer: lost });
    world.settle();
    let there = world.parties[GAMMA].site.guests().count();
    assert_eq!((world.count(ALPHA, service, "web"), there), ((2, 2), 2));
}

#[test]
fn a_repeated_request_scales_once_and_the_same_number_changes_nothing() {
    let mut world = World::new(&[4]);
    let service = shop(&mut world, 2);
    let (request, tenant) = (world.request(), tenant());
    let ask = TenantAsk::Scale { service, component: component("web"), replicas: 3 };
    let out = Command::Tenant { tenant, request, ask };
    world.apply(ALPHA, out.clone());
    world.settle();
    world.scale(ALPHA, service, "web", 2);
    world.settle();
    assert_eq!(world.apply(ALPHA, out), Outcome::Done);
    assert_eq!(world.count(ALPHA, service, "web"), (2, 2), "what was asked later counts");
    let since = world.service(ALPHA, service).since;
    world.pass(Span::from_secs(1));
    world.scale(ALPHA, service, "web", 2);
    assert_eq!(world.service(ALPHA, service).since, since);
}

#[test]
fn what_cannot_be_scaled_is_refused_with_the_reason() {
    let mut world = World::new(&[1]);
    let service = shop(&mut world, 1);
    let mut said = Vec::new();
    for (name, replicas) in [("web", 0), ("web", 257), ("wbe", 1)] {
        said.push(world.scale(ALPHA, service, name, replicas));
    }
    let nobody = ServiceId::from_uuid(uuid::Uuid::nil());
    said.push(world.scale(ALPHA, nobody, "web", 1));
    world.ask(ALPHA, TenantAsk::End { service });
    said.push(world.scale(ALPHA, service, "web", 2));
    world.settle();
    let wide = manifest("wide", &[("web", 1, 2, &[])]);
    let wide = world.submit(ALPHA, wide, Mode::AllOrNothing);
    said.push(world.scale(ALPHA, wide, "web", 1));
    world.settle();
    said.push(world.scale(ALPHA, wide, "web", 1));
    let said: Vec<String> = said
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Refused(refusal) => refusal.to_string(),
            other => panic!("{other:?}"),
        })
        .map(|text| text.replace(&service.to_string(), "S").replace(&wide.to_string(), "W"))
        .collect();
    expect![[r#"
        component 'web' cannot have 0 machines: replicas must be from 1 to 256, not 0
        component 'web' cannot have 257 machines: replicas must be from 1 to 256, not 257
        component 'wbe' cannot have 1 machines: the service has no component 'wbe'
        there is no service 00000000-0000-0000-0000-000000000000; 'reservoir service ls' lists those there are
        service S has ended, or was refused: submit it again
        service W is still being placed: wait until its machines are started
        service W has ended, or was refused: submit it again
    "#]].assert_eq(&format!("{}\n", said.join("\n")));
}

#[test]
fn a_site_that_is_full_adds_nothing() {
    let mut world = World::new(&[1]);
    let shop = manifest("shop", &[("web", 1, 1, &[])]);
    let service = world.submit(ALPHA, shop, Mode::BestEffort);
    world.settle();
    while world.parties[ALPHA].site.machines().count() + 256 <= MACHINES_MAX {
        let many = format!("many-{}", world.parties[ALPHA].site.services().count());
        world.submit(ALPHA, manifest(&many, &[("a", 1, 256, &[])]), Mode::BestEffort);
    }
    let before = world.service(ALPHA, service).clone();
    let full = world.scale(ALPHA, service, "web", 256);
    assert!(matches!(full, Outcome::Refused(Refusal::Full { .. })), "{full:?}");
    assert_eq!(*world.service(ALPHA, service), before);
}
