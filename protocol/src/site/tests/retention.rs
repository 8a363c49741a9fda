//! Claims about disks at a provider: time alone does not delete what a home has not given up.

use super::agreements::running;
use super::*;
use crate::agreement;
use crate::peering::{NOTICE, RETENTION, Setting};
use crate::sla::Class;

/// The agreement of alpha's machine at beta is over, and alpha is silent.
fn over() -> (World, MachineId) {
    let (mut world, machine) = running();
    world.cut.insert((ALPHA, BETA));
    let until = world.agreement(BETA).1.terms.until;
    world.pass(until.since(world.now));
    while world.work(BETA) {}
    (world, machine)
}

/// How many guests beta has, whether anything of theirs runs, and whether their disks are there.
fn left(world: &World) -> (usize, bool, usize) {
    let site = &world.parties[BETA].site;
    let runs = world.parties[BETA].processes.keys().next().is_some();
    (site.guests().count(), runs, site.assignments(host(1)).len())
}

#[test]
fn a_guest_whose_home_is_silent_is_stopped_at_the_end_and_its_disks_are_kept() {
    let (mut world, _) = over();
    assert_eq!(left(&world), (0, false, 1), "its room is free, its disks are there");
    let promised = world.parties[BETA].site.promised(host(1));
    assert_eq!((promised.vcpus, promised.memory), (0, Mebibytes(0)));
    assert_eq!(promised.disk, size(1).disk);
    world.pass(Span::from_millis(RETENTION.as_millis() - 1));
    while world.work(BETA) {}
    assert_eq!(left(&world), (0, false, 1), "a moment before the retention is over");
    world.pass(Span::from_millis(1));
    while world.work(BETA) {}
    assert_eq!(left(&world), (0, false, 0), "after it they go");
    assert_eq!(world.parties[BETA].site.promised(host(1)), Size::default());
}

#[test]
fn a_home_that_comes_back_has_its_machine_elsewhere_and_says_that_the_disks_may_go() {
    let (mut world, machine) = over();
    world.cut.clear();
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert_eq!(left(&world), (0, false, 0));
    assert!(world.agreement(ALPHA).1.ended.is_some() && world.agreement(BETA).1.ended.is_some());
}

#[test]
fn what_is_held_keeps_its_disks_also_when_its_home_is_back() {
    let mut world = World::new(&[0, 1, 1]);
    let machine = world.define_as(ALPHA, "one", size(1), OnPartition::Hold);
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    let until = world.agreement(BETA).1.terms.until;
    world.terminate(BETA);
    world.pass(NOTICE);
    world.settle();
    assert!(world.now < until);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert_eq!(left(&world), (0, false, 1));
    world.pass(RETENTION);
    world.settle();
    assert_eq!(left(&world), (0, false, 0));
}

#[test]
fn a_host_with_kept_disks_takes_other_machines_but_not_the_same_one() {
    let (mut world, machine) = over();
    world.describe(BETA, host(1), Size { disk: size(2).disk, ..size(1) }, "");
    let own = world.define(BETA, "own", size(1));
    world.update(BETA, own, Verb::Activate);
    world.settle();
    assert_eq!(world.view_machine(BETA, own), "own ACTIVE beta");
    world.update(BETA, own, Verb::Destroy);
    world.settle();
    // Beta's word has not reached alpha. It asks for the same machine once more.
    let hull = world.machine(ALPHA, machine).hull.clone();
    let call = CallId::from_uuid(uuid::Uuid::from_u128(6));
    let (image, on_partition) = (image().id(), OnPartition::Fence);
    let body = agreement::Call {
        call,
        tenant: tenant(),
        hull,
        image,
        on_partition,
        class: Class::BestEffort,
        callable: true,
    };
    world.smuggle(ALPHA, BETA, Message::Call(Box::new(body)));
    let answer = world.owed(BETA, ALPHA).pop().unwrap();
    let reason = agreement::Refusal::Duplicate;
    assert_eq!(*answer.body(), Message::Refuse { call, reason });
}

#[test]
fn a_machine_that_its_home_destroys_leaves_no_disks() {
    let (mut world, machine) = running();
    world.update(ALPHA, machine, Verb::Destroy);
    world.settle();
    assert_eq!(left(&world), (0, false, 0));
}

#[test]
fn a_paused_guest_and_one_on_a_lost_host_are_stopped_without_their_homes_lease() {
    let (mut world, machine) = running();
    world.update(ALPHA, machine, Verb::Pause);
    world.settle();
    world.cut.insert((ALPHA, BETA));
    let until = world.agreement(BETA).1.terms.until;
    world.pass(until.since(world.now));
    while world.work(BETA) {}
    assert_eq!(left(&world), (0, false, 1), "paused");

    let (mut lost, _) = running();
    lost.gone.insert((BETA, host(1)));
    lost.cut.insert((ALPHA, BETA));
    let until = lost.agreement(BETA).1.terms.until;
    lost.pass(until.since(lost.now));
    while lost.work(BETA) {}
    assert_eq!(
        lost.parties[BETA].site.guests().count(),
        1,
        "its host has not said that it is gone"
    );
    lost.apply(BETA, Command::HostEnded { host: host(1) });
    assert_eq!(lost.parties[BETA].site.guests().count(), 0, "the fence has stopped it");
    lost.gone.clear();
    lost.apply(BETA, Command::HostBack { host: host(1) });
    while lost.work(BETA) {}
    assert_eq!(left(&lost), (0, false, 1), "its process ends, and its disks stay");
}

#[test]
fn a_guest_on_its_way_to_another_host_is_gone_if_its_time_is_over_before() {
    for lost in [false, true] {
        let (mut world, machine) = running();
        world.describe(BETA, host(2), size(1), "");
        world.operator(BETA, OperatorAsk::DrainHost { host: host(1) });
        world.cut.insert((ALPHA, BETA));
        let until = world.agreement(BETA).1.terms.until;
        world.pass(until.since(world.now));
        let epoch = world.machine(ALPHA, machine).epoch;
        let goal = crate::machine::Goal::Active;
        world.smuggle(ALPHA, BETA, Message::Order { machine, epoch, goal });
        if lost {
            world.gone.insert((BETA, host(1)));
            world.apply(BETA, Command::HostEnded { host: host(1) });
        }
        while world.work(BETA) {}
        assert_eq!(world.parties[BETA].site.guests().count(), 0, "lost: {lost}");
        assert!(world.agreement(BETA).1.ended.is_some(), "lost: {lost}");
    }
}

#[test]
fn a_dead_host_can_be_forgotten_with_a_held_guest_whose_agreement_is_over() {
    let mut world = World::new(&[0, 1]);
    let machine = world.define_as(ALPHA, "one", size(1), OnPartition::Hold);
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    world.apply(BETA, Command::HostEnded { host: host(1) });
    let forget = OperatorAsk::ForgetHost { host: host(1) };
    let refused = Outcome::Refused(Refusal::HostInUse { host: host(1), guests: 1 });
    assert_eq!(world.operator(BETA, forget.clone()), refused);
    let until = world.agreement(BETA).1.terms.until;
    world.pass(until.since(world.now));
    assert_eq!(world.operator(BETA, forget), Outcome::Done);
    assert!(world.agreement(BETA).1.ended.is_some());
}

#[test]
fn a_retention_is_what_was_agreed_on() {
    let mut world = World::new(&[0, 1, 1]);
    let day = Span::from_secs(86_400);
    world.policy(BETA, ALPHA, vec![Setting::Retention(day)]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    world.policy(BETA, ALPHA, vec![Setting::Retention(Span::from_secs(1))]);
    for at in [ALPHA, BETA] {
        assert_eq!(world.agreement(at).1.terms.retention, day);
    }
    world.cut.insert((ALPHA, BETA));
    let until = world.agreement(BETA).1.terms.until;
    world.pass(until.since(world.now));
    while world.work(BETA) {}
    world.pass(Span::from_secs(86_399));
    assert_eq!(left(&world).2, 1);
    world.pass(Span::from_secs(1));
    while world.work(BETA) {}
    assert_eq!(left(&world).2, 0);
}

#[test]
fn a_seller_may_refuse_what_nobody_may_stop() {
    let mut world = World::new(&[0, 1]);
    world.policy(BETA, ALPHA, vec![Setting::SellsHold(false)]);
    let held = world.define_as(ALPHA, "held", size(1), OnPartition::Hold);
    let fenced = world.define(ALPHA, "fenced", size(1));
    for machine in [held, fenced] {
        world.update(ALPHA, machine, Verb::Activate);
        world.settle();
    }
    let refused = "held FAILED nowhere (no host here has room for it; beta: that site sells no \
                   machines that nobody may stop)";
    assert_eq!(world.view_machine(ALPHA, held), refused);
    assert_eq!(world.view_machine(ALPHA, fenced), "fenced ACTIVE beta");
}
