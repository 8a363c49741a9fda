//! Claims about what a host keeps of what its guests say.

use protocol::ids::{MachineId, SiteId};
use protocol::time::Span;
use uuid::Uuid;

use super::*;

fn machine(number: u8) -> MachineName {
    let machine = MachineId::from_uuid(Uuid::from_bytes([number; 16]));
    MachineName { home: SiteId::from_bytes([7; 32]), machine }
}

fn kpi(name: &str, value: &str) -> Kpi {
    Kpi { name: name.parse().unwrap(), value: value.parse().unwrap() }
}

const fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

/// What a machine has said, as text, with its ages.
fn said(kpis: &Kpis, of: MachineName, now: Moment) -> Vec<(String, String, Span)> {
    let said = kpis.of(of, now).into_iter();
    said.map(|(name, it)| (name.to_string(), it.value.to_string(), it.age)).collect()
}

#[test]
fn the_last_word_on_each_measure_counts_and_has_an_age() {
    let kpis = Kpis::default();
    assert_eq!(kpis.keep(machine(1), kpi("Load", "0.5"), at(100)), Ok(()));
    assert_eq!(kpis.keep(machine(1), kpi("Users", "3"), at(200)), Ok(()));
    assert_eq!(kpis.keep(machine(1), kpi("Load", "-0.75"), at(300)), Ok(()));
    let line =
        |name: &str, value: &str, age| (name.to_owned(), value.to_owned(), Span::from_millis(age));
    let now = said(&kpis, machine(1), at(1_000));
    assert_eq!(now, [line("Load", "-0.75", 700), line("Users", "3", 800)]);
    // A clock that went back makes nothing younger than it can be.
    assert_eq!(said(&kpis, machine(1), at(0))[0], line("Load", "-0.75", 0));
}

#[test]
fn a_machine_says_nothing_for_another() {
    let kpis = Kpis::default();
    let same = MachineName { home: SiteId::from_bytes([8; 32]), ..machine(1) };
    assert_eq!(kpis.keep(machine(1), kpi("Load", "1"), at(1)), Ok(()));
    assert_eq!(kpis.keep(same, kpi("Load", "2"), at(1)), Ok(()));
    assert_eq!(said(&kpis, machine(1), at(1))[0].1, "1");
    assert_eq!(said(&kpis, same, at(1))[0].1, "2");
    assert!(kpis.of(machine(2), at(1)).is_empty());
}

#[test]
fn so_many_measures_are_kept_of_a_machine_and_those_can_still_change() {
    let kpis = Kpis::default();
    let full = Err(NotTaken::Names { max: NAMES_MAX });
    for number in 0..NAMES_MAX {
        assert_eq!(kpis.keep(machine(1), kpi(&format!("n{number}"), "1"), at(1)), Ok(()));
    }
    assert_eq!(kpis.keep(machine(1), kpi("more", "1"), at(2)), full);
    assert_eq!(kpis.keep(machine(1), kpi("n7", "2"), at(3)), Ok(()));
    assert_eq!(kpis.keep(machine(2), kpi("more", "1"), at(3)), Ok(()), "another has room");
    assert_eq!(kpis.of(machine(1), at(3)).len(), NAMES_MAX);
}

#[test]
fn who_is_gone_is_forgotten() {
    let kpis = Kpis::default();
    for number in 1..4 {
        assert_eq!(kpis.keep(machine(number), kpi("Load", "1"), at(1)), Ok(()));
    }
    kpis.retain(|name| name == machine(2));
    let left: Vec<usize> = [1, 2, 3].map(|it| kpis.of(machine(it), at(1)).len()).to_vec();
    assert_eq!(left, [0, 1, 0]);
    assert_eq!(kpis.said().len(), 1);
}
