//! Claims about what a host holds.

use protocol::ids::{MachineId, SiteId};

use super::*;
use crate::lease::Fencing;

pub(super) const EPOCH: Epoch = Epoch { home: 1, provider: 1 };
pub(super) const DURATION: Span = Span::from_secs(10);

pub(super) const fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

pub(super) fn guest(number: u128) -> MachineName {
    let machine = MachineId::from_uuid(uuid::Uuid::from_u128(number));
    MachineName { home: SiteId::from_bytes([2; 32]), machine }
}

fn held(guests: &[MachineName]) -> Held {
    let data = tempfile::tempdir().unwrap();
    let mut fence = Fence::open(data.path(), Fencing::Unneeded).unwrap();
    let mut held = Held::default();
    for name in guests {
        let watched = Watched { slot: 0, epoch: EPOCH, running: false };
        held.watch(*name, watched, None, &mut fence);
    }
    held
}

pub(super) fn leased(name: MachineName, epoch: Epoch, term: Term) -> [Leased; 1] {
    [Leased { name, epoch, term }]
}

#[test]
fn a_host_acts_under_a_lease_and_on_a_state_that_has_reached_it() {
    let mut held = held(&[]);
    assert!(!held.may_act(7, at(0)));
    held.granted(Pending::sent(at(0)), 7, DURATION, &[]);
    assert!(!held.may_act(6, at(1)), "it replays the past");
    assert!(held.may_act(7, at(9)));
    assert!(!held.may_act(7, at(10)));
}

#[test]
fn a_guest_runs_as_long_as_was_said_of_its_start() {
    let (first, second) = (guest(1), guest(2));
    let mut held = held(&[first, second]);
    let term = Term::For(Span::from_secs(4));
    held.granted(Pending::sent(at(0)), 1, DURATION, &leased(first, EPOCH, term));
    assert!(held.may_run(first, at(3)) && !held.may_run(first, at(4)));
    assert!(!held.may_run(second, at(0)), "nothing was said of it");
    let next = EPOCH.started_anew();
    held.granted(Pending::sent(at(3)), 1, DURATION, &leased(first, next, term));
    assert!(!held.may_run(first, at(3)), "that was another start of it");
}

#[test]
fn a_guest_without_an_end_gets_one_when_it_is_told_so() {
    let name = guest(1);
    let mut held = held(&[name]);
    held.granted(Pending::sent(at(0)), 1, DURATION, &leased(name, EPOCH, Term::Endless));
    assert!(held.may_run(name, at(1_000)));
    let term = Term::For(DURATION);
    held.granted(Pending::sent(at(5)), 1, DURATION, &leased(name, EPOCH, term));
    assert!(held.may_run(name, at(14)) && !held.may_run(name, at(15)));
    // An answer that does not name it any more takes nothing back.
    held.granted(Pending::sent(at(10)), 1, DURATION, &[]);
    assert!(held.may_run(name, at(14)) && !held.may_run(name, at(15)));
}
