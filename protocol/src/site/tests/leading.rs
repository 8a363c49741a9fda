//! Claims about leading machines from state to state, at home and at a peer.

use super::*;
use crate::machine::Goal;

/// A running machine of alpha: at home, or at beta.
fn running(at_home: bool) -> (World, MachineId) {
    let mut world = World::new(if at_home { &[1, 0] } else { &[0, 1] });
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active);
    assert_eq!(matches!(world.machine(ALPHA, machine).place, Place::Here(_)), at_home);
    (world, machine)
}

#[test]
fn every_verb_works_at_home_and_at_a_peer_and_twice_is_as_once() {
    let path = [
        (Verb::Pause, State::Paused),
        (Verb::Activate, State::Active),
        (Verb::Suspend, State::Suspended),
        (Verb::Activate, State::Active),
        (Verb::Pause, State::Paused),
        (Verb::Suspend, State::Suspended),
        (Verb::Activate, State::Active),
        (Verb::Shutdown, State::Defined),
        (Verb::Activate, State::Active),
        (Verb::Destroy, State::Destroyed),
    ];
    for at_home in [true, false] {
        let (mut world, machine) = running(at_home);
        for (verb, state) in path {
            for _ in 0..2 {
                assert_eq!(world.update(ALPHA, machine, verb), Outcome::Done);
                world.settle();
                assert_eq!(world.machine(ALPHA, machine).state(), state, "after {verb}");
            }
        }
        let boots: usize = world.parties.iter().map(|party| party.boots.len()).sum();
        assert_eq!(boots, 2, "one boot at first, and one after it was shut down");
        assert!(world.parties.iter().all(|party| party.processes.is_empty()));
    }
}

#[test]
fn a_step_that_does_not_lead_from_where_a_machine_is_is_refused() {
    let (mut world, machine) = running(true);
    for verb in [Verb::Suspend, Verb::Pause, Verb::Shutdown] {
        let from = world.machine(ALPHA, machine).goal;
        let illegal = Outcome::Refused(Refusal::IllegalStep { machine, from, verb });
        let outcome = world.update(ALPHA, machine, verb);
        assert_eq!(outcome == illegal, !verb.leads_from(from), "{verb} from {from}");
    }
    assert_eq!(world.machine(ALPHA, machine).goal, Goal::Suspended);
    world.update(ALPHA, machine, Verb::Destroy);
    world.settle();
    let verb = Verb::Activate;
    assert_eq!(
        world.update(ALPHA, machine, verb),
        Outcome::Refused(Refusal::IllegalStep { machine, from: Goal::Destroyed, verb })
    );
}

#[test]
fn verbs_said_in_quick_succession_lead_to_the_last() {
    let after = |verbs: &[Verb]| {
        let (mut world, machine) = running(false);
        for verb in verbs {
            assert_eq!(world.update(ALPHA, machine, *verb), Outcome::Done);
            world.work(BETA);
            world.deliver(ALPHA, BETA);
            world.work(BETA);
        }
        world.settle();
        world.machine(ALPHA, machine).state()
    };
    assert_eq!(after(&[Verb::Suspend, Verb::Activate, Verb::Pause]), State::Paused);
    assert_eq!(after(&[Verb::Suspend, Verb::Activate, Verb::Shutdown]), State::Defined);
    assert_eq!(after(&[Verb::Shutdown, Verb::Activate, Verb::Suspend]), State::Suspended);
    assert_eq!(after(&[Verb::Suspend, Verb::Activate]), State::Active);
}

#[test]
fn a_machine_paused_while_it_is_being_placed_comes_to_stand_still() {
    let mut world = World::new(&[0, 1]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.seek(ALPHA);
    assert_eq!(world.update(ALPHA, machine, Verb::Pause), Outcome::Done);
    world.settle();
    assert_eq!(world.machine(ALPHA, machine).state(), State::Paused);
}

#[test]
fn a_machine_shut_down_while_it_is_sought_is_not_sought_any_longer() {
    let mut world = World::new(&[0, 1]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.seek(ALPHA);
    world.update(ALPHA, machine, Verb::Shutdown);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one DEFINED nowhere");
    assert_eq!(world.parties[BETA].site.holds.len(), 0, "its offer was declined");
}

#[test]
fn a_machine_without_a_place_says_so_until_it_is_shut_down_or_tried_again() {
    let mut world = World::new(&[0, 0]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(
        world.view_machine(ALPHA, machine),
        "one FAILED nowhere (no host here has room for it; beta: no host has room for it)"
    );
    world.update(ALPHA, machine, Verb::Shutdown);
    assert_eq!(world.view_machine(ALPHA, machine), "one DEFINED nowhere");
    world.describe(BETA, host(1), size(1), "");
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}

#[test]
fn a_guest_that_dies_is_started_again_in_the_next_epoch() {
    for at_home in [true, false] {
        let (mut world, machine) = running(at_home);
        let before = world.machine(ALPHA, machine).sight.epoch;
        world.parties.iter_mut().for_each(|party| party.processes.clear());
        world.settle();
        let row = world.machine(ALPHA, machine);
        assert_eq!((row.state(), row.sight.epoch), (State::Active, before.started_anew()));
    }
}

#[test]
fn an_order_of_an_earlier_epoch_is_late_and_changes_nothing() {
    let (mut world, machine) = running(false);
    let alpha = world.parties[ALPHA].id;
    let number = world.parties[BETA].site.peer(alpha).unwrap().taken + 1;
    let name = MachineName { home: alpha, machine };
    let before = world.parties[BETA].site.guest(name).cloned();
    for (number, epoch) in (number..).zip([0, 2]) {
        let order = Message::Order { machine, epoch, goal: Goal::Destroyed };
        let messages = vec![world.says(ALPHA, BETA, number, order, world.now)];
        assert_eq!(world.apply(BETA, Command::Receive { messages }), Outcome::Taken(number));
        assert_eq!(world.parties[BETA].site.guest(name).cloned(), before);
    }
}

#[test]
fn only_the_site_that_runs_a_machine_is_believed_about_it() {
    let mut world = World::new(&[0, 1, 1]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    let before = world.machine(ALPHA, machine).clone();
    let report = crate::agreement::Report {
        machine,
        epoch: Epoch { home: before.epoch, provider: 99 },
        state: State::Destroyed,
        since: world.now,
        reason: String::new(),
    };
    let gamma = world.parties[GAMMA].id;
    let number = world.parties[ALPHA].site.peer(gamma).unwrap().taken + 1;
    let messages = vec![world.says(GAMMA, ALPHA, number, Message::Report(report), world.now)];
    assert_eq!(world.apply(ALPHA, Command::Receive { messages }), Outcome::Taken(number));
    assert_eq!(*world.machine(ALPHA, machine), before);
}

#[test]
fn a_member_is_not_led_while_its_service_is_being_placed() {
    let mut world = World::new(&[1, 1]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 2, &[])]), Mode::AllOrNothing);
    for machine in world.service(ALPHA, service).machines.clone() {
        for verb in [Verb::Activate, Verb::Destroy] {
            let refused = Outcome::Refused(Refusal::Deploying { machine });
            assert_eq!(world.update(ALPHA, machine, verb), refused);
        }
    }
    world.settle();
    assert_eq!(world.service(ALPHA, service).stage, Stage::Running);
}

#[test]
fn a_member_shut_down_or_destroyed_while_the_others_start_does_not_hold_them_up() {
    for verb in [Verb::Shutdown, Verb::Destroy] {
        let mut world = World::new(&[2, 0]);
        let tiers: [(&str, u32, u32, &[&str]); 2] = [("data", 1, 1, &[]), ("web", 1, 1, &["data"])];
        let service = world.submit(ALPHA, manifest("shop", &tiers), Mode::AllOrNothing);
        assert_eq!(world.service(ALPHA, service).stage, Stage::Starting);
        let machines: Vec<_> = world.service(ALPHA, service).machines.iter().copied().collect();
        let data = machines.into_iter().find(|id| world.machine(ALPHA, *id).goal == Goal::Active);
        assert_eq!(world.update(ALPHA, data.unwrap(), verb), Outcome::Done);
        world.settle();
        assert_eq!(world.service(ALPHA, service).stage, Stage::Running, "{verb}");
        assert_eq!(world.machine(ALPHA, data.unwrap()).goal, verb.goal());
    }
}

#[test]
fn what_belongs_to_another_tenant_does_not_exist() {
    let (mut world, machine) = running(true);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 1, &[])]), Mode::BestEffort);
    let stranger = TenantId::from_uuid(uuid::Uuid::from_u128(0xbad));
    let asks = [
        (TenantAsk::Update { machine, verb: Verb::Destroy }, Refusal::UnknownMachine { machine }),
        (TenantAsk::End { service }, Refusal::UnknownService { service }),
    ];
    for (ask, refusal) in asks {
        let request = world.request();
        let command = Command::Tenant { tenant: stranger, request, ask };
        assert_eq!(world.apply(ALPHA, command), Outcome::Refused(refusal));
    }
}
