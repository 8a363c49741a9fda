//! Claims about leases, one by one; the grid goes through every case.

mod chain;
mod grid;
mod single;

use proptest::prelude::*;
use uuid::Uuid;

use super::grantor::Refusal;
use super::*;
use crate::ids::{MachineId, MachineName, SiteId};

const SECOND: Span = Span::from_secs(1);

const fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

const fn guest(number: u128) -> MachineName {
    MachineName {
        home: SiteId::from_bytes([7; 32]),
        machine: MachineId::from_uuid(Uuid::from_u128(number)),
    }
}

/// A request that is answered at once.
fn answer(grantor: &mut Grantor<u8>, subject: u8, secs: u64) -> Result<Span, Refusal> {
    let question = grantor.question();
    grantor.answer(question, subject, at(secs))
}

#[test]
fn a_lease_counts_from_its_request() {
    let mut holder = Holder::default();
    assert!(!holder.holds(at(0)));
    let pending = Pending::sent(at(10));
    // The answer comes at 40; that is nobody's business here.
    assert_eq!(holder.granted(pending, Span::from_secs(60)), at(70));
    assert!(holder.holds(Moment::from_millis(69_999)));
    assert!(!holder.holds(at(70)));
}

#[test]
fn an_answer_to_an_older_request_does_not_shorten_a_lease() {
    let mut holder = Holder::default();
    holder.granted(Pending::sent(at(20)), Span::from_secs(60));
    assert_eq!(holder.granted(Pending::sent(at(10)), Span::from_secs(60)), at(80));
    assert_eq!(holder.granted(Pending::sent(at(30)), SECOND), at(80));
}

#[test]
fn what_remains_is_what_may_be_passed_on() {
    let mut holder = Holder::default();
    assert_eq!(holder.remaining(at(0)), None);
    holder.granted(Pending::sent(at(0)), Span::from_secs(10));
    assert_eq!(holder.remaining(at(4)), Some(Span::from_secs(6)));
    assert_eq!(holder.remaining(at(10)), None);
}

#[test]
fn a_grantor_waits_longer_than_any_clock_may_differ() {
    let timing = Timing::default();
    assert_eq!(timing.wait(), Span::from_millis(61_061));
    assert_eq!(timing.again(), Span::from_secs(20));
    assert_eq!(Timing::lasting(Span::from_secs(10)).wait(), Span::from_millis(11_011));
}

#[test]
fn a_duration_is_brought_between_its_bounds() {
    assert_eq!(Timing::lasting(Span::default()).duration, Timing::DURATION_MIN);
    let endless = Timing::lasting(Span::from_millis(u64::MAX));
    assert_eq!(endless.duration, Timing::DURATION_MAX);
}

#[test]
fn a_lease_may_be_held_until_the_wait_after_the_last_answer_is_over() {
    let mut grantor = Grantor::new(Timing::default(), 1, at(0));
    assert_eq!(answer(&mut grantor, 1, 100), Ok(Timing::DURATION));
    assert!(!grantor.end(1, Moment::from_millis(161_060)));
    assert!(grantor.end(1, Moment::from_millis(161_061)));
}

#[test]
fn a_lease_that_has_come_to_be_is_waited_for() {
    let mut grantor = Grantor::new(Timing::default(), 1, at(0));
    grantor.expect(1, at(100));
    grantor.expect(1, at(150));
    assert!(!grantor.end(1, at(161)));
    assert!(grantor.end(1, at(162)), "it is waited for once");
}

#[test]
fn a_new_leader_waits_from_its_election_for_every_lease() {
    let mut grantor = Grantor::new(Timing::default(), 1, at(100));
    assert!(!grantor.end(1, at(161)));
    assert!(grantor.end(1, at(162)));
}

#[test]
fn nothing_is_granted_while_an_end_is_decided() {
    let mut grantor = Grantor::new(Timing::default(), 1, at(0));
    assert!(grantor.end(1, at(70)));
    assert_eq!(answer(&mut grantor, 1, 71), Err(Refusal::Ending));
    assert_eq!(answer(&mut grantor, 2, 71), Ok(Timing::DURATION), "another lease is not concerned");
    grantor.settled(1);
    assert_eq!(answer(&mut grantor, 1, 72), Ok(Timing::DURATION));
    assert!(grantor.may_be_held(1, at(72)));
}

#[test]
fn a_read_that_may_not_show_an_end_answers_nobody() {
    let mut grantor = Grantor::new(Timing::default(), 1, at(0));
    let early = grantor.question();
    assert!(grantor.end(1, at(70)));
    grantor.settled(1);
    assert_eq!(grantor.answer(early, 1, at(71)), Err(Refusal::Overtaken));
    let mut next = Grantor::new(Timing::default(), 2, at(72));
    let late = grantor.question();
    assert_eq!(next.answer(late, 1, at(73)), Err(Refusal::Overtaken), "it is of another term");
    assert_eq!(answer(&mut next, 1, 73), Ok(Timing::DURATION));
}

#[test]
fn what_the_state_does_not_know_is_forgotten() {
    let mut grantor = Grantor::new(Timing::default(), 1, at(0));
    answer(&mut grantor, 1, 1).unwrap();
    answer(&mut grantor, 2, 1).unwrap();
    assert!(grantor.end(3, at(100)));
    grantor.retain(|subject| subject == 2);
    assert_eq!(grantor.answered(1), None);
    assert_eq!(grantor.answered(2), Some(at(1)));
    assert_eq!(answer(&mut grantor, 3, 101), Ok(Timing::DURATION));
}

#[test]
fn a_guest_that_its_home_does_not_renew_comes_to_its_deadline() {
    let mut session = Session::default();
    let sent = Pending::sent(at(0));
    session.granted(sent, Span::from_secs(10), [(guest(1), 1), (guest(2), 1)]);
    session.granted(Pending::sent(at(5)), Span::from_secs(10), [(guest(2), 1)]);
    assert_eq!(session.remaining(guest(1), 1, at(6)), Some(Span::from_secs(4)));
    assert_eq!(session.remaining(guest(1), 1, at(10)), None);
    assert_eq!(session.remaining(guest(2), 1, at(10)), Some(Span::from_secs(5)));
}

#[test]
fn a_session_renews_one_epoch_of_a_guest_and_no_other() {
    let mut session = Session::default();
    session.granted(Pending::sent(at(0)), Span::from_secs(10), [(guest(1), 2)]);
    assert_eq!(session.remaining(guest(1), 1, at(1)), None);
    assert_eq!(session.remaining(guest(1), 3, at(1)), None);
    session.granted(Pending::sent(at(1)), Span::from_secs(60), [(guest(1), 1)]);
    assert_eq!(session.remaining(guest(1), 2, at(1)), Some(Span::from_secs(9)));
    session.granted(Pending::sent(at(2)), SECOND, [(guest(1), 3)]);
    assert_eq!(session.remaining(guest(1), 3, at(2)), Some(SECOND));
    session.retain(|_| false);
    assert_eq!(session.remaining(guest(1), 3, at(2)), None);
}

proptest! {
    /// The arithmetic at the ends of its numbers: nothing overflows, and the wait covers the
    /// duration as the slowest clock counts it.
    #[test]
    fn the_wait_covers_the_duration_by_any_two_clocks(
        millis in any::<u64>(),
        drift in 0_u32..1_000_000,
        margin in any::<u64>(),
    ) {
        let timing = Timing {
            duration: Span::from_millis(millis),
            drift: PartsPerMillion::new(drift),
            margin: Span::from_millis(margin),
        };
        let wait = timing.wait().as_millis();
        let (fast, slow) = (u128::from(1_000_000 + drift), u128::from(1_000_000 - drift));
        let covered = u128::from(wait) * slow >= u128::from(millis) * fast;
        prop_assert!(covered || wait == u64::MAX);
    }
}
