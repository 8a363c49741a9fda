//! Claims about peers that lie or err about offers and agreements: what they say has no effect, and
//! they are told why. That what is forged, expired or meant for others never gets so far is
//! claimed where signatures are checked; what contradicts itself, in `streams`.
//!
//! | who | says | is answered |
//! | --- | --- | --- |
//! | a seller | an offer for another machine, size or home than was asked for | `Decline`, malformed |
//! | a seller | an offer that nobody has asked for, or a second one | `Decline`, not sought |
//! | a seller | an offer under the number of another offer or agreement | `Decline`, sold twice |
//! | a seller | that there is an agreement, which nobody accepted | nothing: there is none |
//! | a buyer | an acceptance that is late, or of what was offered to somebody else | `Lapsed` |
//! | a buyer | an acceptance once more | `Lapsed`; the agreement stands |
//! | a home | a consent to new terms once the agreement is over | `Lapsed` |
//! | anybody | an end, a renewal or a decline of what others have agreed | nothing: it is not theirs |

use super::agreements::running;
use super::*;
use crate::agreement::{self, HOLD, PATIENCE, Terms};

/// A machine of alpha's for which beta and gamma have been asked.
fn asking() -> (World, MachineId) {
    let mut world = World::new(&[0, 1, 1]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.seek(ALPHA);
    (world, machine)
}

/// What beta has been asked, and has offered.
fn offered(world: &mut World) -> (CallId, HoldId, Terms) {
    world.deliver(ALPHA, BETA);
    let word = world.owed(BETA, ALPHA).remove(0);
    let Message::Offer { call, hold, terms } = word.body().clone() else { panic!("{word:?}") };
    (call, hold, terms)
}

/// What a site says last to another.
fn answer(world: &World, at: usize, to: usize) -> Message {
    world.owed(at, to).pop().unwrap().body().clone()
}

/// How often a site has refused another something for a reason, and the other has met that.
fn tallies(world: &World, at: usize, to: usize, reason: agreement::Refusal) -> (u64, u64) {
    let count = |tallies: &state::Tallies| {
        tallies.iter().find(|(it, _)| *it == reason).map_or(0, |(_, tally)| tally.count)
    };
    let peer = |at: usize, of: usize| world.parties[at].site.peer(world.parties[of].id).unwrap();
    (count(&peer(at, to).refusals.given), count(&peer(to, at).refusals.met))
}

#[test]
fn an_offer_of_what_was_not_asked_for_is_declined_as_malformed() {
    let (mut world, machine) = asking();
    let (call, _, terms) = offered(&mut world);
    let other = MachineId::from_uuid(uuid::Uuid::from_u128(9));
    let lies = [
        Terms { machine: other, ..terms.clone() },
        Terms { size: size(2), ..terms.clone() },
        Terms { home: world.parties[GAMMA].id, ..terms.clone() },
        Terms { provider: world.parties[GAMMA].id, ..terms.clone() },
        Terms { image: ImageId::from_bytes([9; 32]), ..terms.clone() },
        Terms { on_partition: OnPartition::Hold, ..terms },
    ];
    for (number, terms) in (1..).zip(lies) {
        let hold = HoldId::from_uuid(uuid::Uuid::from_u128(number));
        world.smuggle(BETA, ALPHA, Message::Offer { call, hold, terms });
        let reason = agreement::Refusal::Malformed;
        assert_eq!(answer(&world, ALPHA, BETA), Message::Decline { hold, reason });
    }
    assert!(matches!(world.machine(ALPHA, machine).place, Place::Sought { call: Some(_), .. }));
}

#[test]
fn an_offer_that_nobody_asked_for_is_declined_as_not_sought() {
    let (mut world, machine) = asking();
    let (call, first, terms) = offered(&mut world);
    world.deliver(BETA, ALPHA);
    let second = HoldId::from_uuid(uuid::Uuid::from_u128(9));
    let reason = agreement::Refusal::NotSought;
    // Once more to the same call; and to a call that never was.
    let nothing = CallId::from_uuid(uuid::Uuid::nil());
    for call in [call, nothing] {
        let body = Message::Offer { call, hold: second, terms: terms.clone() };
        world.smuggle(BETA, ALPHA, body);
        assert_eq!(answer(&world, ALPHA, BETA), Message::Decline { hold: second, reason });
    }
    world.pass(PATIENCE);
    let taken = &world.machine(ALPHA, machine).place;
    assert!(matches!(taken, Place::Accepted(offer) if offer.hold == first), "{taken:?}");
    world.deliver(ALPHA, BETA);
    assert_eq!(tallies(&world, ALPHA, BETA, reason), (2, 2), "both operators can read it");
}

#[test]
fn a_seller_who_sells_twice_is_declined_and_what_stands_is_not_overwritten() {
    let (mut world, _) = running();
    let (stands, before) = world.agreement(ALPHA);
    let two = world.define(ALPHA, "two", size(1));
    world.update(ALPHA, two, Verb::Activate);
    world.seek(ALPHA);
    world.deliver(ALPHA, GAMMA);
    let word = world.owed(GAMMA, ALPHA).pop().unwrap();
    let Message::Offer { call, terms, .. } = word.body().clone() else { panic!("{word:?}") };
    // Gamma gives its offer the number of alpha's agreement with beta.
    world.smuggle(GAMMA, ALPHA, Message::Offer { call, hold: stands, terms });
    let reason = agreement::Refusal::SoldTwice;
    assert_eq!(answer(&world, ALPHA, GAMMA), Message::Decline { hold: stands, reason });
    world.smuggle(GAMMA, ALPHA, Message::Agreed { hold: stands, machine: two });
    assert_eq!(world.agreement(ALPHA), (stands, before));
    assert_eq!(tallies(&world, ALPHA, GAMMA, reason).0, 1);
}

#[test]
fn one_room_is_not_sold_for_two_machines() {
    let mut world = World::new(&[0, 1]);
    let machines = ["one", "two"].map(|name| world.define(ALPHA, name, size(1)));
    for machine in machines {
        world.update(ALPHA, machine, Verb::Activate);
    }
    world.seek(ALPHA);
    let words = world.owed(ALPHA, BETA);
    let calls: Vec<_> = words.iter().map(|word| word.body().clone()).collect();
    let (_, hold, terms) = offered(&mut world);
    let offers = calls.into_iter().map(|word| {
        let Message::Call(call) = word else { panic!("{word:?}") };
        let (machine, hull) = (call.hull.machine, call.hull.id());
        Message::Offer { call: call.call, hold, terms: Terms { machine, hull, ..terms.clone() } }
    });
    for offer in offers.collect::<Vec<_>>() {
        world.smuggle(BETA, ALPHA, offer);
    }
    let reason = agreement::Refusal::SoldTwice;
    assert_eq!(tallies(&world, ALPHA, BETA, reason).0, 1, "the second of the two");
}

#[test]
fn an_agreement_that_nobody_accepted_is_none() {
    let (mut world, machine) = asking();
    let (_, hold, _) = offered(&mut world);
    let before = world.machine(ALPHA, machine).clone();
    for from in [BETA, GAMMA] {
        world.smuggle(from, ALPHA, Message::Agreed { hold, machine });
    }
    assert_eq!(*world.machine(ALPHA, machine), before);
    assert_eq!(world.parties[ALPHA].site.agreements().count(), 0);
}

#[test]
fn a_buyer_who_accepts_late_is_told_so_and_nothing_runs() {
    let (mut world, machine) = asking();
    let (_, hold, terms) = offered(&mut world);
    world.pass(HOLD);
    let acceptance = agreement::Acceptance { hold, terms, epoch: 1 };
    world.smuggle(ALPHA, BETA, Message::Accept(acceptance));
    let reason = agreement::Refusal::Lapsed;
    assert_eq!(answer(&world, BETA, ALPHA), Message::Lapsed { hold, machine, reason });
    let seller = &world.parties[BETA].site;
    assert_eq!((seller.guests().count(), seller.agreements().count()), (0, 0));
    assert_eq!(tallies(&world, BETA, ALPHA, reason).0, 1);
}

#[test]
fn a_hold_is_for_its_buyer_alone() {
    let (mut world, _) = asking();
    let (_, hold, terms) = offered(&mut world);
    let terms = Terms { home: world.parties[GAMMA].id, ..terms };
    let machine = terms.machine;
    world.smuggle(GAMMA, BETA, Message::Accept(agreement::Acceptance { hold, terms, epoch: 1 }));
    let reason = agreement::Refusal::Lapsed;
    assert_eq!(answer(&world, BETA, GAMMA), Message::Lapsed { hold, machine, reason });
    world.smuggle(GAMMA, BETA, Message::Decline { hold, reason: agreement::Refusal::NotChosen });
    assert_eq!(world.parties[BETA].site.holds().count(), 1, "it is still alpha's");
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
}

#[test]
fn an_acceptance_that_comes_again_lapses_and_the_agreement_stands() {
    let (mut world, machine) = running();
    let (hold, before) = world.agreement(BETA);
    let acceptance = agreement::Acceptance { hold, terms: before.terms.clone(), epoch: 7 };
    world.smuggle(ALPHA, BETA, Message::Accept(acceptance));
    let reason = agreement::Refusal::Lapsed;
    assert_eq!(answer(&world, BETA, ALPHA), Message::Lapsed { hold, machine, reason });
    world.settle();
    assert_eq!(world.agreement(BETA), (hold, before));
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}

#[test]
fn a_consent_that_comes_when_the_agreement_is_over_lapses() {
    let (mut world, machine) = running();
    let (hold, before) = world.agreement(BETA);
    world.pass(Span::from_secs(28 * 86_400));
    world.pass(before.terms.until.since(world.now));
    let proposed = world.agreement(BETA).1.proposed.unwrap();
    world.smuggle(ALPHA, BETA, Message::Consent { hold, terms: proposed });
    let reason = agreement::Refusal::Lapsed;
    assert_eq!(answer(&world, BETA, ALPHA), Message::Lapsed { hold, machine, reason });
    assert_eq!(world.agreement(BETA).1.terms, before.terms);
}

#[test]
fn what_others_have_agreed_is_not_ended_declined_or_ordered_by_a_third() {
    let (mut world, machine) = running();
    let (hold, at) = (world.agreement(BETA).0, world.now);
    let reason = agreement::Refusal::Terminated;
    let epoch = world.machine(ALPHA, machine).epoch;
    let (home, provider) = (world.agreement(ALPHA), world.agreement(BETA));
    for lie in [
        Message::Terminate { hold, at, reason },
        Message::Decline { hold, reason },
        Message::Order { machine, epoch, goal: crate::machine::Goal::Destroyed },
        Message::Lapsed { hold, machine, reason },
        Message::Lost { machine, epoch },
    ] {
        for to in [ALPHA, BETA] {
            world.smuggle(GAMMA, to, lie.clone());
        }
    }
    world.settle();
    assert_eq!((world.agreement(ALPHA), world.agreement(BETA)), (home, provider));
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}
