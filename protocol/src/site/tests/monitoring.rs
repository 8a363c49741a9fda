//! Claims about what a peer may see: its own machines, what is for sale, its prices, nothing else.

use super::*;
use crate::peering::Setting;
use crate::peering::monitor::SiteView;
use crate::units::Permille;

/// Alpha and gamma have a machine each at beta, which has one of its own.
fn crowded() -> (World, [MachineId; 3]) {
    let mut world = World::new(&[0, 4, 0]);
    let machines = [ALPHA, BETA, GAMMA].map(|at| {
        let machine = world.define(at, "one", size(1));
        world.update(at, machine, Verb::Activate);
        world.settle();
        assert_eq!(world.view_machine(at, machine), "one ACTIVE beta");
        machine
    });
    (world, machines)
}

fn seen(world: &World, by: usize) -> Option<SiteView> {
    world.parties[BETA].site.seen_by(world.parties[by].id, None)
}

#[test]
fn a_peer_sees_its_own_machines_and_no_others() {
    let (mut world, machines) = crowded();
    let factor = Permille::new(1_250).unwrap();
    let site = world.parties[ALPHA].id;
    let settings = vec![Setting::PriceFactor(factor)];
    world.operator(BETA, OperatorAsk::SetPolicy { site, settings });
    for (by, machine) in [(ALPHA, machines[0]), (GAMMA, machines[2])] {
        let view = seen(&world, by).unwrap();
        let own: Vec<MachineId> = view.machines.iter().map(|it| it.machine).collect();
        assert_eq!(own, [machine]);
        let one = view.machines[0];
        assert_eq!((one.state, one.size), (State::Active, size(1)));
        assert_eq!(one.epoch, world.machine(by, machine).sight.epoch);
        assert_eq!((view.free, view.more), (size(1), false));
    }
    assert_eq!(seen(&world, ALPHA).unwrap().factor, factor);
    assert_eq!(seen(&world, GAMMA).unwrap().factor, Permille::ONE, "each sees its own price");
}

#[test]
fn the_channel_opens_with_the_first_machine_and_closes_with_the_last() {
    let mut world = World::new(&[0, 4, 0]);
    assert_eq!(seen(&world, ALPHA), None);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert!(seen(&world, ALPHA).is_some());
    assert_eq!(seen(&world, GAMMA), None, "who has no machine there");
    assert_eq!(seen(&world, BETA), None, "nor does the site watch itself so");
    world.update(ALPHA, machine, Verb::Destroy);
    world.settle();
    assert_eq!(seen(&world, ALPHA), None);
}

#[test]
fn a_peer_with_many_machines_sees_them_page_by_page_each_once() {
    const MANY: u32 = 600;
    let mut world = World::new(&[0, MANY]);
    for part in 0..3 {
        let name = format!("part-{part}");
        let parts = manifest(&name, &[("web", 1, MANY / 3, &[])]);
        world.submit(ALPHA, parts, Mode::BestEffort);
        world.settle();
    }
    let home = world.parties[ALPHA].id;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let view = world.parties[BETA].site.seen_by(home, after).unwrap();
        assert!(view.machines.len() <= crate::peering::monitor::MACHINES_SEEN_MAX);
        found.extend(view.machines.iter().map(|it| it.machine));
        after = found.last().copied();
        if !view.more {
            break;
        }
    }
    let own: Vec<MachineId> = world.parties[ALPHA].site.machines().map(|(id, _)| *id).collect();
    assert_eq!(found, own);
}
