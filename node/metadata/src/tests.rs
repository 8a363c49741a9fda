//! Claims about shares and counts. What the service answers is claimed in `tests/metadata`.

use std::time::{Duration, Instant};

use protocol::ids::{MachineId, MachineName, SiteId};
use uuid::Uuid;

use crate::guests::{Bucket, Guests};
use crate::limits::{Limits, Rate};

fn machine(number: u8) -> MachineName {
    let machine = MachineId::from_uuid(Uuid::from_bytes([number; 16]));
    MachineName { home: SiteId::from_bytes([7; 32]), machine }
}

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let start = Instant::now();
    let mut bucket = Bucket::new(Rate { burst: 3, per_second: 2 }, start);
    assert_eq!([(); 4].map(|()| bucket.take(start)), [true, true, true, false]);
    let later = start + Duration::from_millis(499);
    assert!(!bucket.take(later));
    let later = start + Duration::from_millis(1_000);
    assert_eq!([(); 3].map(|()| bucket.take(later)), [true, true, false]);
    // However long the rest, there is never more than a burst.
    let later = start + Duration::from_hours(1_000_000);
    assert_eq!([(); 4].map(|()| bucket.take(later)), [true, true, true, false]);
    // A clock that went back gives nothing and takes nothing.
    assert!(!bucket.take(start));
}

#[test]
fn a_bucket_that_is_asked_too_often_fills_all_the_same() {
    let start = Instant::now();
    let mut bucket = Bucket::new(Rate { burst: 1, per_second: 1 }, start);
    assert!(bucket.take(start));
    let taken = (1..=3_000).filter(|ms| bucket.take(start + Duration::from_millis(*ms))).count();
    assert_eq!(taken, 3);
}

#[test]
fn whoever_rests_is_forgotten_and_whoever_is_there_is_not() {
    let limits = Limits { connections_each: 1, ..Limits::default() };
    let (guests, start) = (Guests::new(limits), Instant::now());
    let stays = guests.enter(machine(1), start).expect("there is room");
    assert!(guests.enter(machine(1), start).is_none());
    for number in 2..100 {
        let visit = guests.enter(machine(number), start).expect("each has a share of its own");
        assert!(visit.request(start) && visit.push(start));
    }
    assert_eq!(guests.count(), 99);
    let later = start + Duration::from_secs(60);
    let visit = guests.enter(machine(200), later).expect("there is room");
    assert_eq!(guests.count(), 2);
    drop(stays);
    assert!(guests.enter(machine(1), later).is_some());
    drop(visit);
}
