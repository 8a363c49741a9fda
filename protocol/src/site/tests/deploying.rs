//! Claims about deployment: where machines go, in which order they start, and that what cannot be
//! had whole is given back whole.

use expect_test::expect;

use super::*;
use crate::agreement::HOLD;

#[test]
fn a_service_that_fits_runs_here() {
    let mut world = World::new(&[4, 4]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 3, &[])]), Mode::AllOrNothing);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE alpha
        shop/web-2 ACTIVE alpha
        shop/web-3 ACTIVE alpha
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    assert_eq!(world.parties[BETA].site.agreements().count(), 0);
}

#[test]
fn what_does_not_fit_here_runs_at_the_cheapest_peer() {
    let mut world = World::new(&[2, 4, 4]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 4, &[])]), Mode::AllOrNothing);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE beta
        shop/web-2 ACTIVE alpha
        shop/web-3 ACTIVE alpha
        shop/web-4 ACTIVE beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    for agreement in world.parties[ALPHA].site.agreements().map(|(id, _)| *id) {
        let (here, there) = (&world.parties[ALPHA].site, &world.parties[BETA].site);
        let terms = |site: &Site| site.agreement(agreement).unwrap().terms.clone();
        assert_eq!(terms(here), terms(there));
        assert_eq!(here.agreement(agreement).unwrap().evidence.len(), 2);
    }
    assert_eq!(world.parties[GAMMA].site.holds.len(), 0, "what was not taken was declined");
}

#[test]
fn all_or_nothing_gives_everything_back_and_says_why() {
    let mut world = World::new(&[1, 1, 1]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 4, &[])]), Mode::AllOrNothing);
    world.settle();
    expect![[r#"
        Refused
        shop/web-1 FAILED nowhere (no host here has room for it; gamma: no host has room for it; beta: no host has room for it)
        shop/web-2 FAILED nowhere (given back: another machine of the service found no place)
        shop/web-3 FAILED nowhere (given back: another machine of the service found no place)
        shop/web-4 FAILED nowhere (given back: another machine of the service found no place)
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    for party in &world.parties {
        assert_eq!((party.site.guests().count(), party.site.holds.len()), (0, 0));
        assert!(party.boots.is_empty(), "nothing was started");
    }
}

#[test]
fn best_effort_runs_what_it_can() {
    let mut world = World::new(&[1, 1, 1]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 4, &[])]), Mode::BestEffort);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 FAILED nowhere (no host here has room for it; gamma: no host has room for it; beta: no host has room for it)
        shop/web-2 ACTIVE beta
        shop/web-3 ACTIVE alpha
        shop/web-4 FAILED nowhere (no host here has room for it; gamma: no host has room for it; beta: no host has room for it)
    "#]]
    .assert_eq(&world.view(ALPHA, service));
}

#[test]
fn a_machine_of_a_best_effort_service_that_found_no_place_can_be_activated_later() {
    let mut world = World::new(&[1, 1]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 3, &[])]), Mode::BestEffort);
    world.settle();
    let failed = |world: &World| {
        let mut machines = world.service(ALPHA, service).machines.iter().copied();
        machines.find(|id| world.machine(ALPHA, *id).state() == State::Failed)
    };
    let machine = failed(&world).unwrap();
    world.describe(BETA, host(2), size(1), "");
    assert_eq!(world.update(ALPHA, machine, Verb::Activate), Outcome::Done);
    world.settle();
    assert_eq!(failed(&world), None);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active);
}

#[test]
fn a_tier_starts_when_the_one_before_it_runs() {
    let mut world = World::new(&[2, 2]);
    let tiers: [(&str, u32, u32, &[&str]); 3] =
        [("data", 1, 1, &[]), ("logic", 1, 2, &["data"]), ("web", 1, 1, &["logic"])];
    let service = world.submit(ALPHA, manifest("shop", &tiers), Mode::AllOrNothing);
    let mut views = Vec::new();
    for _ in 0..ROUNDS_MAX {
        world.seek(ALPHA);
        for (at, to) in [(ALPHA, BETA), (BETA, ALPHA)] {
            world.work(at);
            world.deliver(at, to);
        }
        let rows = world.service(ALPHA, service).machines.iter();
        let mut begun: Vec<(&str, String)> = rows
            .map(|id| world.machine(ALPHA, *id))
            .filter(|row| row.goal == crate::machine::Goal::Active)
            .map(|row| (row.name.as_str(), row.state().to_string()))
            .collect();
        begun.sort();
        let view = format!("{begun:?}");
        if views.last() != Some(&view) {
            views.push(view);
        }
    }
    expect![[r#"
        []
        [("shop/data-1", "DEFINED")]
        [("shop/data-1", "STAGING")]
        [("shop/data-1", "ACTIVE"), ("shop/logic-1", "STAGING"), ("shop/logic-2", "DEFINED")]
        [("shop/data-1", "ACTIVE"), ("shop/logic-1", "STAGING"), ("shop/logic-2", "STAGING")]
        [("shop/data-1", "ACTIVE"), ("shop/logic-1", "ACTIVE"), ("shop/logic-2", "ACTIVE"), ("shop/web-1", "STAGING")]
        [("shop/data-1", "ACTIVE"), ("shop/logic-1", "ACTIVE"), ("shop/logic-2", "ACTIVE"), ("shop/web-1", "ACTIVE")]
    "#]]
    .assert_eq(&format!("{}\n", views.join("\n")));
    assert_eq!(world.service(ALPHA, service).stage, Stage::Running);
}

#[test]
fn a_hold_that_lapsed_before_it_was_accepted_is_sought_anew() {
    let mut world = World::new(&[0, 1]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 1, &[])]), Mode::AllOrNothing);
    world.seek(ALPHA);
    world.deliver(ALPHA, BETA);
    world.deliver(BETA, ALPHA);
    expect![[r#"
        Committing
        shop/web-1 PLACING accepted at beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    world.pass(HOLD);
    assert_eq!(world.parties[BETA].site.holds.len(), 0);
    world.deliver(ALPHA, BETA);
    world.deliver(BETA, ALPHA);
    expect![[r#"
        Committing
        shop/web-1 PLACING sought
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    let machine = *world.service(ALPHA, service).machines.first().unwrap();
    assert_eq!(world.machine(ALPHA, machine).epoch, 2, "each acceptance has its epoch");
}

#[test]
fn a_site_that_says_nothing_has_refused() {
    let mut world = World::new(&[0, 1]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 1, &[])]), Mode::AllOrNothing);
    world.seek(ALPHA);
    world.pass(crate::agreement::PATIENCE);
    expect![[r#"
        Refused
        shop/web-1 FAILED nowhere (no host here has room for it; beta: no answer in time)
    "#]]
    .assert_eq(&world.view(ALPHA, service));
    world.settle();
    assert_eq!(world.parties[BETA].site.holds.len(), 0, "the late offer was declined");
}

#[test]
fn a_service_that_is_ended_leaves_nothing_behind() {
    let mut world = World::new(&[1, 2]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 3, &[])]), Mode::AllOrNothing);
    world.settle();
    assert_eq!(world.service(ALPHA, service).stage, Stage::Running);
    assert_eq!(world.ask(ALPHA, TenantAsk::End { service }), Outcome::Done);
    assert_eq!(world.ask(ALPHA, TenantAsk::End { service }), Outcome::Done);
    world.settle();
    assert_eq!(world.service(ALPHA, service).stage, Stage::Ended);
    for party in &world.parties {
        assert!(party.processes.is_empty() && party.site.guests().next().is_none());
        assert!(party.site.agreements().all(|(_, agreement)| agreement.ended.is_some()));
    }
    world.pass(ENDED_KEPT);
    assert_eq!(world.parties[ALPHA].site.machines().count(), 0);
    assert_eq!(world.parties[ALPHA].site.services().count(), 0);
}

#[test]
fn a_service_ended_while_its_places_are_sought_gives_them_back() {
    for steps in 0..6 {
        let mut world = World::new(&[0, 2]);
        let shop = manifest("shop", &[("web", 1, 2, &[])]);
        let service = world.submit(ALPHA, shop, Mode::AllOrNothing);
        for step in 0..steps {
            match step {
                0 => drop(world.seek(ALPHA)),
                1 | 3 | 5 => drop(world.deliver(ALPHA, BETA)),
                _ => drop(world.deliver(BETA, ALPHA)),
            }
        }
        world.ask(ALPHA, TenantAsk::End { service });
        world.settle();
        assert_eq!(world.service(ALPHA, service).stage, Stage::Ended, "after {steps} steps");
        let there = &world.parties[BETA].site;
        assert_eq!((there.guests().count(), there.holds.len()), (0, 0), "after {steps} steps");
    }
}

#[test]
fn a_directive_keeps_a_machine_off_other_sites() {
    let mut world = World::new(&[4, 4, 4]);
    let text = "service: shop\ncomponents:\n  web: { image: guest, vcpus: 1, memory: 1GiB, \
                disk: 1GiB, place: { sites: [gamma] } }\n";
    let only_gamma = Box::new(manifest::parse(text.as_bytes()).unwrap());
    let service = world.submit(ALPHA, only_gamma, Mode::AllOrNothing);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE gamma
    "#]]
    .assert_eq(&world.view(ALPHA, service));
}

#[test]
fn a_host_in_trouble_takes_nothing_new() {
    let mut world = World::new(&[4, 4]);
    world.describe(ALPHA, host(1), size(4), "its hypervisor does not answer");
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 1, &[])]), Mode::AllOrNothing);
    world.settle();
    expect![[r#"
        Running
        shop/web-1 ACTIVE beta
    "#]]
    .assert_eq(&world.view(ALPHA, service));
}

#[test]
fn a_plan_says_where_each_machine_would_go_and_changes_nothing() {
    let world = World::new(&[1, 1, 1]);
    let candidates: Vec<_> = world.parties[1..]
        .iter()
        .map(|party| {
            let advert = party.site.advert().unwrap();
            crate::market::book::Candidate {
                site: party.id,
                free: advert.free,
                largest: advert.largest,
                tariff: advert.tariff,
            }
        })
        .collect();
    let shop = manifest("shop", &[("web", 1, 4, &[])]);
    let plan = world.parties[ALPHA].site.plan(&shop, &candidates).unwrap();
    let places: Vec<String> = plan
        .iter()
        .map(|planned| match &planned.place {
            Where::Here { price, .. } => format!("here at {price}"),
            Where::Peer { site, price, among } => {
                format!("{} at {price}, one of {among}", world.name_of(*site))
            }
            Where::Nowhere { reason } => format!("nowhere: {reason}"),
        })
        .collect();
    expect![[r#"
        beta at 0.006000 EUR/h, one of 2
        gamma at 0.009000 EUR/h, one of 1
        nowhere: no host here has room for it, and no peer it may go to advertises room for it
        here at 0.003000 EUR/h
    "#]]
    .assert_eq(&format!("{}\n", places.join("\n")));
}
