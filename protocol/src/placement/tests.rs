//! Claims about plans: what makes them never oversells, and what judges them sees every fault.

use proptest::prelude::*;
use uuid::Uuid;

use super::check::{Violation, violations};
use super::*;
use crate::units::Mebibytes;

const fn machine(number: u128) -> MachineId {
    MachineId::from_uuid(Uuid::from_u128(number))
}

const fn host(number: u128) -> HostId {
    HostId::from_uuid(Uuid::from_u128(number))
}

const fn size(vcpus: u32, memory: u64, disk: u64) -> Size {
    Size { vcpus, memory: Mebibytes(memory), disk: Mebibytes(disk) }
}

fn any_size(most: u32) -> impl Strategy<Value = Size> {
    (0..most, 0..u64::from(most), 0..u64::from(most))
        .prop_map(|(vcpus, memory, disk)| size(vcpus, memory, disk))
}

fn needs(most: usize) -> impl Strategy<Value = Vec<Need>> {
    prop::collection::vec(any_size(9), 0..most).prop_map(|sizes| {
        (1..).zip(sizes).map(|(number, size)| Need { machine: machine(number), size }).collect()
    })
}

fn rooms(most: usize) -> impl Strategy<Value = Vec<Room>> {
    prop::collection::vec(any_size(17), 0..most).prop_map(|sizes| {
        (1..).zip(sizes).map(|(number, free)| Room { host: host(number), free }).collect()
    })
}

proptest! {
    #[test]
    fn no_plan_has_a_fault(needs in needs(40), rooms in rooms(12)) {
        let plan = plan(&needs, &rooms);
        prop_assert_eq!(violations(&plan, &needs, &rooms), []);
    }

    #[test]
    fn what_fits_alone_on_an_empty_host_is_placed(need in needs(2), rooms in rooms(12)) {
        let fits = need.iter().filter(|need| rooms.iter().any(|room| room.free.holds(need.size)));
        prop_assert_eq!(plan(&need, &rooms).here.len(), fits.count());
    }

    #[test]
    fn what_is_left_out_fits_nowhere_in_what_is_left(needs in needs(40), rooms in rooms(12)) {
        let plan = plan(&needs, &rooms);
        let size_of = |machine| needs.iter().find(|need| need.machine == machine).unwrap().size;
        for room in &rooms {
            let taken = plan.here.iter().filter(|(_, host)| *host == room.host);
            let left = taken.fold(room.free, |left, (machine, _)| left.minus(size_of(*machine)));
            for machine in &plan.elsewhere {
                prop_assert!(!left.holds(size_of(*machine)));
            }
        }
    }

    #[test]
    fn the_order_of_the_question_does_not_matter(needs in needs(20), rooms in rooms(8)) {
        let backwards = |plan: Plan| {
            let (mut here, mut elsewhere) = (plan.here, plan.elsewhere);
            here.sort();
            elsewhere.sort();
            (here, elsewhere)
        };
        let (mut other_needs, mut other_rooms) = (needs.clone(), rooms.clone());
        other_needs.reverse();
        other_rooms.reverse();
        prop_assert_eq!(
            backwards(plan(&needs, &rooms)),
            backwards(plan(&other_needs, &other_rooms))
        );
    }
}

#[test]
fn large_room_stays_whole_for_large_machines() {
    let needs = [
        Need { machine: machine(1), size: size(1, 1, 1) },
        Need { machine: machine(2), size: size(8, 8, 8) },
        Need { machine: machine(3), size: size(1, 1, 1) },
    ];
    let rooms =
        [Room { host: host(1), free: size(8, 8, 8) }, Room { host: host(2), free: size(2, 2, 2) }];
    let plan = plan(&needs, &rooms);
    assert_eq!(plan.here, [(machine(2), host(1)), (machine(1), host(2)), (machine(3), host(2))]);
}

#[test]
fn the_judge_sees_every_fault() {
    let needs = [
        Need { machine: machine(1), size: size(1, 1, 1) },
        Need { machine: machine(2), size: size(1, 1, 1) },
    ];
    let rooms = [Room { host: host(1), free: size(2, 2, 2) }];
    let judge = |here: &[(u128, u128)], elsewhere: &[u128], rooms: &[Room]| {
        let here = here.iter().map(|(it, at)| (machine(*it), host(*at))).collect();
        let elsewhere = elsewhere.iter().map(|it| machine(*it)).collect();
        violations(&Plan { here, elsewhere }, &needs, rooms)
    };
    assert_eq!(judge(&[(1, 1), (2, 1)], &[], &rooms), []);
    assert_eq!(judge(&[(1, 1)], &[2], &rooms), []);
    assert_eq!(judge(&[(1, 1)], &[], &rooms), [Violation::NotOnce(machine(2))]);
    assert_eq!(judge(&[(1, 1), (2, 1)], &[2], &rooms), [Violation::NotOnce(machine(2))]);
    assert_eq!(judge(&[(1, 1), (2, 1)], &[3], &rooms), [Violation::Unasked(machine(3))]);
    assert_eq!(judge(&[(1, 1), (2, 7)], &[], &rooms), [Violation::UnknownHost(host(7))]);
    for tight in [size(1, 9, 9), size(9, 1, 9), size(9, 9, 1)] {
        let rooms = [Room { host: host(1), free: tight }];
        assert_eq!(judge(&[(1, 1), (2, 1)], &[], &rooms), [Violation::Oversold(host(1))]);
    }
}
