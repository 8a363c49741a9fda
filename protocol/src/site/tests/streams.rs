//! Claims about the numbered streams between sites: each message counts once, in order, or not.

use super::*;
use crate::agreement::{self, Call};
use crate::hull::{Boot, Hull};
use crate::ids::{CallId, NetworkId};
use crate::manifest::OnPartition;
use crate::sla::Class;

/// A world in which alpha owes beta two calls.
fn calling() -> World {
    let mut world = World::new(&[0, 2, 2]);
    world.submit(ALPHA, manifest("shop", &[("web", 1, 2, &[])]), Mode::AllOrNothing);
    world.seek(ALPHA);
    assert_eq!(world.owed(ALPHA, BETA).len(), 2);
    world
}

fn holds(world: &World) -> usize {
    world.parties[BETA].site.holds.len()
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

#[test]
fn a_delivery_that_comes_again_changes_nothing() {
    let mut world = calling();
    let messages = world.owed(ALPHA, BETA);
    let receive = Command::Receive { messages };
    assert_eq!(world.apply(BETA, receive.clone()), Outcome::Taken(2));
    assert_eq!(holds(&world), 2);
    let (outcome, tables) = world.write(BETA, receive);
    assert_eq!((outcome, tables), (Outcome::Taken(2), vec![1]));
}

#[test]
fn of_a_delivery_that_overlaps_only_the_new_is_taken_up() {
    let mut world = calling();
    let messages = world.owed(ALPHA, BETA);
    let first = Command::Receive { messages: messages[..1].to_vec() };
    assert_eq!(world.apply(BETA, first), Outcome::Taken(1));
    assert_eq!(world.apply(BETA, Command::Receive { messages }), Outcome::Taken(2));
    assert_eq!(holds(&world), 2);
}

#[test]
fn nothing_of_a_delivery_with_a_gap_is_taken_up() {
    let mut world = calling();
    let (site, call) = (world.parties[ALPHA].id, world.owed(ALPHA, BETA).remove(0));
    let far = world.says(ALPHA, BETA, 3, call.body().clone(), world.now);
    let gap = Outcome::Refused(Refusal::Gap { site, first: 3, taken: 0 });
    for messages in [vec![far.clone()], vec![call, far]] {
        assert_eq!(world.apply(BETA, Command::Receive { messages }), gap.clone());
        assert_eq!(holds(&world), 0);
    }
}

/// A call of alpha's to beta for another machine than any other.
fn other_call(world: &World, number: u128) -> Message {
    let machine = MachineId::from_uuid(uuid::Uuid::from_u128(number));
    let hull = Hull::new(world.parties[ALPHA].id, machine, size(1), image().boot(), &[network()]);
    let call = CallId::from_uuid(uuid::Uuid::from_u128(number));
    let (image, on_partition) = (image().id(), OnPartition::Fence);
    Message::Call(Box::new(Call {
        call,
        tenant: tenant(),
        hull,
        image,
        on_partition,
        class: Class::BestEffort,
        callable: true,
    }))
}

#[test]
fn two_bodies_under_one_number_are_proof_and_neither_counts_twice() {
    let mut world = calling();
    let site = world.parties[ALPHA].id;
    let messages = world.owed(ALPHA, BETA);
    world.apply(BETA, Command::Receive { messages: messages.clone() });
    let before = world.parties[BETA].site.peer(site).cloned();
    let other = world.says(ALPHA, BETA, 2, other_call(&world, 8), world.now);
    let next = world.says(ALPHA, BETA, 3, other_call(&world, 9), world.now);
    let outcome = world.apply(BETA, Command::Receive { messages: vec![other.clone(), next] });
    assert_eq!(outcome, Outcome::Contradicted { site, number: 2 });
    assert_eq!(world.parties[BETA].site.peer(site).cloned(), before, "nothing was taken up");
    let proof = world.parties[BETA].site.contradiction_of(site).unwrap().clone();
    assert_eq!((&proof.first, &proof.second), (&messages[1], &other));
    let third = world.says(ALPHA, BETA, 2, other_call(&world, 10), world.now);
    world.apply(BETA, Command::Receive { messages: vec![third] });
    assert_eq!(world.parties[BETA].site.contradiction_of(site), Some(&proof), "the first is kept");
    assert_eq!(world.apply(BETA, Command::Receive { messages }), Outcome::Taken(2));
}

#[test]
fn two_bodies_under_one_number_in_one_delivery_are_proof() {
    let mut world = calling();
    let site = world.parties[ALPHA].id;
    let [one, other] =
        [7, 8].map(|it| world.says(ALPHA, BETA, 1, other_call(&world, it), world.now));
    let outcome = world.apply(BETA, Command::Receive { messages: vec![one, other] });
    assert_eq!(outcome, Outcome::Contradicted { site, number: 1 });
    assert_eq!(holds(&world), 0);
}

#[test]
fn what_is_kept_of_a_peers_words_is_bounded() {
    let mut world = World::new(&[0, 0]);
    for number in 1..=u64::from(u8::MAX) {
        let hold = HoldId::from_uuid(uuid::Uuid::from_u128(7));
        let body = Message::Decline { hold, reason: agreement::Refusal::NotChosen };
        let messages = vec![world.says(ALPHA, BETA, number, body, world.now)];
        world.apply(BETA, Command::Receive { messages });
        assert!(world.parties[BETA].site.heard.len() as u64 <= HEARD_KEPT);
    }
}

#[test]
fn a_stranger_is_refused_and_so_is_the_delivery_it_is_in() {
    let mut world = calling();
    let stranger = party(9);
    let known = world.owed(ALPHA, BETA).remove(0);
    world.parties.push(stranger);
    let strange = world.says(3, BETA, 1, known.body().clone(), world.now);
    let refused = Outcome::Refused(Refusal::UnknownPeer { site: world.parties[3].id });
    for messages in [vec![strange.clone()], vec![known, strange]] {
        assert_eq!(world.apply(BETA, Command::Receive { messages }), refused);
    }
    assert_eq!(holds(&world), 0);
}

#[test]
fn a_call_is_refused_for_a_reason() {
    let mut world = World::new(&[0, 1, 1]);
    let alpha = world.parties[ALPHA].id;
    let machine = MachineId::from_uuid(uuid::Uuid::from_u128(5));
    let boot = image().boot();
    let hull = |home, vcpus, boot| Hull::new(home, machine, size(vcpus), boot, &[network()]);
    let call = |hull, image| {
        let call = CallId::from_uuid(uuid::Uuid::from_u128(6));
        Message::Call(Box::new(Call {
            call,
            tenant: tenant(),
            hull,
            image,
            on_partition: OnPartition::Fence,
            class: Class::BestEffort,
            callable: true,
        }))
    };
    let known = image().id();
    let unknown = ImageId::from_bytes([9; 32]);
    let mut crooked = hull(alpha, 1, boot.clone());
    crooked.cards[0].port = crooked.disks[0].port;
    let asked = [
        (call(hull(alpha, 2, boot.clone()), known), agreement::Refusal::NoCapacity),
        (call(hull(alpha, 1, boot.clone()), unknown), agreement::Refusal::UnknownImage),
        (call(hull(alpha, 1, Boot::Disk), known), agreement::Refusal::Malformed),
        (call(hull(alpha, 0, boot.clone()), known), agreement::Refusal::Malformed),
        (call(hull(world.parties[GAMMA].id, 1, boot), known), agreement::Refusal::Malformed),
        (call(crooked, known), agreement::Refusal::Malformed),
    ];
    for (number, (body, expected)) in (1..).zip(asked) {
        let messages = vec![world.says(ALPHA, BETA, number, body, world.now)];
        world.apply(BETA, Command::Receive { messages });
        let answer = world.owed(BETA, ALPHA).pop().unwrap();
        assert!(
            matches!(answer.body(), Message::Refuse { reason, .. } if *reason == expected),
            "{expected:?}: {answer:?}"
        );
    }
    assert_eq!(holds(&world), 0);
}

#[test]
fn a_machine_that_is_here_already_is_not_taken_twice() {
    let mut world = World::new(&[0, 2]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    let alpha = world.parties[ALPHA].id;
    let hull = world.machine(ALPHA, machine).hull.clone();
    let call = CallId::from_uuid(uuid::Uuid::from_u128(6));
    let body = Message::Call(Box::new(Call {
        call,
        tenant: tenant(),
        hull,
        image: image().id(),
        on_partition: OnPartition::Fence,
        class: Class::BestEffort,
        callable: true,
    }));
    let number = world.parties[BETA].site.peer(alpha).unwrap().taken + 1;
    let messages = vec![world.says(ALPHA, BETA, number, body, world.now)];
    world.apply(BETA, Command::Receive { messages });
    let answer = world.owed(BETA, ALPHA).pop().unwrap();
    let duplicate = agreement::Refusal::Duplicate;
    assert!(matches!(answer.body(), Message::Refuse { reason, .. } if *reason == duplicate));
}

#[test]
fn an_acceptance_of_other_terms_is_answered_with_lapsed() {
    let mut world = World::new(&[0, 1]);
    world.submit(ALPHA, manifest("shop", &[("web", 1, 1, &[])]), Mode::AllOrNothing);
    world.seek(ALPHA);
    world.deliver(ALPHA, BETA);
    world.deliver(BETA, ALPHA);
    let accept = world.owed(ALPHA, BETA).pop().unwrap();
    let Message::Accept(mut acceptance) = accept.body().clone() else { panic!("{accept:?}") };
    acceptance.terms.price.hourly = Micros(0);
    let number = accept.statement().sequence;
    let body = Message::Accept(acceptance);
    let messages = vec![world.says(ALPHA, BETA, number, body, world.now)];
    world.apply(BETA, Command::Receive { messages });
    let answer = world.owed(BETA, ALPHA).pop().unwrap();
    assert!(matches!(answer.body(), Message::Lapsed { .. }), "{answer:?}");
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
}

#[test]
fn a_buyer_that_takes_up_no_answers_is_answered_no_more() {
    let mut world = World::new(&[0, 0]);
    let call = |world: &World, number: u64| {
        let machine = MachineId::from_uuid(uuid::Uuid::from_u128(number.into()));
        let hull =
            Hull::new(world.parties[ALPHA].id, machine, size(1), image().boot(), &[network()]);
        let call = CallId::from_uuid(uuid::Uuid::from_u128(number.into()));
        Message::Call(Box::new(Call {
            call,
            tenant: tenant(),
            hull,
            image: image().id(),
            on_partition: OnPartition::Fence,
            class: Class::BestEffort,
            callable: true,
        }))
    };
    let alpha = world.parties[ALPHA].id;
    let most = u64::try_from(OUTBOX_MAX).unwrap();
    for number in 1..most + 10 {
        let body = call(&world, number);
        let messages = vec![world.says(ALPHA, BETA, number, body, world.now)];
        assert_eq!(world.apply(BETA, Command::Receive { messages }), Outcome::Taken(number));
    }
    assert_eq!(world.parties[BETA].site.owed(alpha), OUTBOX_MAX);
}
