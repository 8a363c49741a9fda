//! Claims about what machines are handed.

use super::*;
use crate::agreement::{DELIVERY_BODIES_MAX, DELIVERY_MESSAGES_MAX};
use crate::user_data::UserData;

fn script() -> UserData {
    b"#!/bin/sh\necho \xff".to_vec().try_into().unwrap()
}

/// A machine of alpha's that runs at beta, where gamma has room, too; and it has user data.
fn running() -> (World, MachineName) {
    let mut world = World::new(&[0, 1, 1]);
    let ask = TenantAsk::Define {
        name: "one".parse().unwrap(),
        image: "guest".parse().unwrap(),
        size: size(1),
        sites: None,
        on_partition: OnPartition::Fence,
        class: Class::BestEffort,
        user_data: Some(script()),
    };
    let Outcome::Machine(machine) = world.ask(ALPHA, ask) else { panic!("it is not defined") };
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    let name = MachineName { home: world.parties[ALPHA].id, machine };
    (world, name)
}

#[test]
fn a_machine_is_handed_its_user_data_wherever_it_is_placed_and_nobody_keeps_them_longer() {
    let (mut world, name) = running();
    let has = |world: &World, at: usize| world.parties[at].site.user_data(name) == Some(&script());
    assert!(has(&world, ALPHA) && has(&world, BETA) && !has(&world, GAMMA));
    assert!(
        matches!(world.agreement(BETA).1.evidence[..], [ref one] if matches!(one.body(), Message::Accept(_)))
    );

    world.terminate(ALPHA);
    world.pass(Span::from_secs(28 * 86_400));
    world.settle();
    assert_eq!(world.view_machine(ALPHA, name.machine), "one ACTIVE gamma");
    assert!(has(&world, ALPHA) && !has(&world, BETA) && has(&world, GAMMA));

    world.update(ALPHA, name.machine, Verb::Destroy);
    world.settle();
    for at in [ALPHA, BETA, GAMMA] {
        assert!(!has(&world, at), "{at} keeps them");
    }
}

#[test]
fn nobody_else_hands_a_machine_anything_and_nothing_is_handed_late() {
    let (mut world, name) = running();
    let (hold, _) = world.agreement(BETA);
    let user_data = UserData::try_from(b"other".to_vec()).unwrap();
    for from in [GAMMA, ALPHA] {
        let user_data = user_data.clone();
        world.smuggle(from, BETA, Message::Hand { hold, user_data });
        assert_eq!(world.parties[BETA].site.user_data(name), Some(&script()));
    }
}

#[test]
fn what_many_machines_are_handed_is_delivered_in_parts_that_a_log_takes() {
    let mut world = World::new(&[0, 4]);
    let longest = UserData::try_from(vec![7; crate::user_data::LENGTH_MAX]).unwrap();
    let to = world.parties[BETA].id;
    for number in 0..2 * u128::try_from(DELIVERY_MESSAGES_MAX).unwrap() {
        let hold = HoldId::from_uuid(uuid::Uuid::from_u128(number));
        let message = Message::Hand { hold, user_data: longest.clone() };
        let turn = Turn { now: world.now, mint: Mint::new(world.now, Default::default()) };
        world.parties[ALPHA].site.owe(to, message, &turn);
    }
    let mut deliveries = 0;
    while let Some(dispatch) = world.parties[ALPHA].site.dispatch(to) {
        let bytes: usize =
            dispatch.messages.iter().map(|(_, body, _)| crate::codec::encode(body).len()).sum();
        assert!(bytes <= DELIVERY_BODIES_MAX, "{bytes} bytes at once");
        let messages = world.owed(ALPHA, BETA);
        let last = messages.last().unwrap().statement().sequence;
        assert_eq!(world.apply(BETA, Command::Receive { messages }), Outcome::Taken(last));
        world.apply(ALPHA, Command::Acknowledged { peer: to, through: last });
        deliveries += 1;
    }
    assert!(deliveries > 2, "it was delivered in {deliveries} parts");
}
