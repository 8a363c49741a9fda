//! Claims about hosts and peers that are lost, drained and back.

use super::*;
use crate::manifest::OnPartition;
use crate::site::state::Displacement;

const ONE: HostId = host(1);
const TWO: HostId = host(2);

/// Alpha with two hosts of so many processors each, and peers with one.
fn two_hosts(each: u32, peers: &[u32]) -> World {
    let processors: Vec<u32> = [each].into_iter().chain(peers.iter().copied()).collect();
    let mut world = World::new(&processors);
    world.describe(ALPHA, TWO, size(each), "");
    world
}

/// A machine that runs at alpha.
fn running(world: &mut World, on_partition: OnPartition) -> MachineId {
    let machine = world.define_as(ALPHA, "one", size(1), on_partition);
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active);
    machine
}

fn host_of(world: &World, machine: MachineId) -> HostId {
    match world.machine(ALPHA, machine).place {
        Place::Here(host) => host,
        ref other => panic!("{other:?}"),
    }
}

/// How many processes of a machine run, wherever that is.
fn instances(world: &World, machine: MachineId) -> usize {
    let all = world.parties.iter().flat_map(|party| &party.processes);
    all.filter(|((_, name), process)| name.machine == machine && process.running).count()
}

/// The host is gone, with all that runs on it, and its lease has ended.
fn lose(world: &mut World, at: usize, host: HostId) {
    world.gone.insert((at, host));
    world.apply(at, Command::HostEnded { host });
}

fn come_back(world: &mut World, at: usize, host: HostId) {
    world.gone.remove(&(at, host));
    world.apply(at, Command::HostBack { host });
}

#[test]
fn a_guest_on_a_lost_host_is_started_on_another_in_a_later_epoch() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Fence);
    let (before, first) = (world.machine(ALPHA, machine).sight.epoch, host_of(&world, machine));
    lose(&mut world, ALPHA, first);
    world.settle();
    let row = world.machine(ALPHA, machine);
    assert_eq!(row.state(), State::Active);
    assert!(row.sight.epoch > before);
    assert_ne!(host_of(&world, machine), first);
}

#[test]
fn what_is_left_on_a_host_ends_when_it_is_back_and_nothing_is_placed_there_before() {
    let mut world = two_hosts(1, &[]);
    let machine = running(&mut world, OnPartition::Fence);
    let first = host_of(&world, machine);
    lose(&mut world, ALPHA, first);
    world.settle();
    assert_eq!(instances(&world, machine), 2, "in this world no fence stops the old process");
    world.apply(ALPHA, Command::HostBack { host: first });
    let other = world.define(ALPHA, "other", size(1));
    world.update(ALPHA, other, Verb::Activate);
    assert!(matches!(world.machine(ALPHA, other).place, Place::Sought { .. }));
    come_back(&mut world, ALPHA, first);
    world.work(ALPHA);
    world.work(ALPHA);
    world.work(ALPHA);
    assert_eq!(instances(&world, machine), 1);
    assert_eq!(world.parties[ALPHA].site.assignments(first), []);
    world.settle();
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active);
    assert!(world.parties[ALPHA].boots.values().all(|boots| *boots == 1));
}

#[test]
fn what_was_said_of_an_earlier_start_does_not_clear_what_is_left_on_a_host() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Fence);
    let first = host_of(&world, machine);
    let guest = MachineName { home: world.parties[ALPHA].site.me(), machine };
    lose(&mut world, ALPHA, first);
    world.settle();
    let left = |world: &World| world.parties[ALPHA].site.assignments(first);
    let [remains] = &left(&world)[..] else { panic!("one guest was there") };
    let now = remains.progress.epoch;
    let earlier = Epoch { home: now.home - 1, ..now };
    for (epoch, remain) in [(earlier, 1), (now, 0)] {
        let observations = vec![Observation { guest, epoch, seen: Seen::Released }];
        world.apply(ALPHA, Command::Observe { host: first, observations });
        assert_eq!(left(&world).len(), remain, "Released was said of {epoch}");
    }
}

#[test]
fn a_guest_that_is_held_stays_on_its_lost_host_and_says_so() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Hold);
    let (first, epoch) = (host_of(&world, machine), world.machine(ALPHA, machine).sight.epoch);
    lose(&mut world, ALPHA, first);
    world.settle();
    assert_eq!(host_of(&world, machine), first);
    assert_eq!(world.machine(ALPHA, machine).sight.reason, "its host is out of reach");
    come_back(&mut world, ALPHA, first);
    world.settle();
    let row = world.machine(ALPHA, machine);
    assert_eq!((row.sight.epoch, row.sight.reason.as_str()), (epoch, ""));
    assert_eq!(row.state(), State::Active);
}

#[test]
fn a_machine_for_which_no_other_host_has_room_goes_to_a_peer() {
    let mut world = World::new(&[4, 4]);
    let machine = running(&mut world, OnPartition::Fence);
    lose(&mut world, ALPHA, ONE);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}

#[test]
fn a_machine_that_finds_no_other_place_is_sought_until_it_has_one() {
    let mut world = World::new(&[4]);
    let machine = running(&mut world, OnPartition::Fence);
    lose(&mut world, ALPHA, ONE);
    world.settle();
    assert_eq!(
        world.view_machine(ALPHA, machine),
        "one PLACING postponed (no host here has room for it; no peer could be asked)"
    );
    world.describe(ALPHA, TWO, size(4), "");
    world.pass(Span::from_secs(31));
    world.settle();
    assert_eq!(host_of(&world, machine), TWO);
    assert_eq!(world.machine(ALPHA, machine).displacement, Displacement::None);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active);
}

#[test]
fn a_machine_that_is_sought_again_can_be_destroyed() {
    let mut world = World::new(&[4]);
    let machine = running(&mut world, OnPartition::Fence);
    lose(&mut world, ALPHA, ONE);
    world.settle();
    world.update(ALPHA, machine, Verb::Destroy);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Destroyed);
    world.pass(Span::from_secs(31));
    world.settle();
    assert_eq!(world.machine(ALPHA, machine).place, Place::Nowhere);
}

#[test]
fn a_machine_on_a_lost_host_can_be_destroyed_at_once() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Fence);
    let first = host_of(&world, machine);
    world.gone.insert((ALPHA, first));
    world.update(ALPHA, machine, Verb::Destroy);
    assert_ne!(world.machine(ALPHA, machine).state(), State::Destroyed, "it may still run");
    lose(&mut world, ALPHA, first);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Destroyed);
    come_back(&mut world, ALPHA, first);
    world.settle();
    assert_eq!(instances(&world, machine), 0);
    assert_eq!(world.parties[ALPHA].site.assignments(first), []);
}

#[test]
fn a_machine_at_a_lost_peer_is_placed_anew_and_ends_there_when_the_peer_is_back() {
    let mut world = World::new(&[1, 4, 4]);
    let filler = world.define(ALPHA, "filler", size(1));
    world.update(ALPHA, filler, Verb::Activate);
    let machine = running(&mut world, OnPartition::Fence);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    world.cut.insert((ALPHA, BETA));
    world.cut.insert((BETA, GAMMA));
    let beta = world.parties[BETA].id;
    world.apply(ALPHA, Command::PeerEnded { peer: beta });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert_eq!(world.parties[BETA].site.guests().count(), 1, "beta knows nothing of it yet");
    world.cut.clear();
    world.apply(ALPHA, Command::PeerBack { peer: beta });
    world.settle();
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
    assert_eq!(instances(&world, machine), 1);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    for at in [ALPHA, BETA] {
        let between = |terms: &crate::agreement::Terms| terms.provider == beta;
        let site = &world.parties[at].site;
        let open = site.agreements().filter(|(_, it)| between(&it.terms) && it.ended.is_none());
        assert_eq!(open.count(), 0);
    }
}

#[test]
fn a_lost_peer_that_is_heard_of_again_is_bought_from_again() {
    let mut world = World::new(&[0, 4]);
    let machine = running(&mut world, OnPartition::Fence);
    let beta = world.parties[BETA].id;
    world.cut.insert((ALPHA, BETA));
    world.apply(ALPHA, Command::PeerEnded { peer: beta });
    world.settle();
    assert_eq!(world.machine(ALPHA, machine).state(), State::Placing);
    world.cut.clear();
    world.settle();
    world.pass(Span::from_secs(31));
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    assert_eq!(instances(&world, machine), 1);
}

#[test]
fn a_machine_that_is_held_stays_with_a_lost_peer() {
    let mut world = World::new(&[0, 4, 4]);
    let machine = running(&mut world, OnPartition::Hold);
    world.cut.insert((ALPHA, BETA));
    let beta = world.parties[BETA].id;
    world.apply(ALPHA, Command::PeerEnded { peer: beta });
    world.settle();
    assert_eq!(
        world.view_machine(ALPHA, machine),
        "one ACTIVE beta (its provider is out of reach)"
    );
    world.cut.clear();
    world.apply(ALPHA, Command::PeerBack { peer: beta });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}

#[test]
fn a_provider_that_loses_a_host_moves_the_guest_and_tells_its_home() {
    let mut world = World::new(&[0, 4]);
    world.describe(BETA, TWO, size(4), "");
    let machine = running(&mut world, OnPartition::Fence);
    let home = world.machine(ALPHA, machine).sight.epoch;
    let name = MachineName { home: world.parties[ALPHA].id, machine };
    let first = world.parties[BETA].site.guest(name).unwrap().lodging.host;
    lose(&mut world, BETA, first);
    world.settle();
    assert_ne!(world.parties[BETA].site.guest(name).unwrap().lodging.host, first);
    let sight = &world.machine(ALPHA, machine).sight;
    assert_eq!((sight.epoch.home, sight.epoch.provider), (home.home, home.provider + 1));
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}

#[test]
fn a_provider_without_another_host_gives_the_machine_back_to_its_home() {
    let mut world = World::new(&[0, 4, 4]);
    let machine = running(&mut world, OnPartition::Fence);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    lose(&mut world, BETA, ONE);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    come_back(&mut world, BETA, ONE);
    world.settle();
    assert_eq!(instances(&world, machine), 1);
    let open = world.parties[BETA].site.agreements().filter(|(_, it)| it.ended.is_none());
    assert_eq!(open.count(), 0);
}

#[test]
fn a_drained_host_is_emptied_and_each_guest_ends_before_it_starts_elsewhere() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Fence);
    let first = host_of(&world, machine);
    world.operator(ALPHA, OperatorAsk::DrainHost { host: first });
    while world.work(ALPHA) {
        assert!(instances(&world, machine) <= 1);
    }
    assert_ne!(host_of(&world, machine), first);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active);
    world.operator(ALPHA, OperatorAsk::EnableHost { host: first });
    let other = host_of(&world, machine);
    world.operator(ALPHA, OperatorAsk::DrainHost { host: other });
    world.settle();
    assert_eq!(host_of(&world, machine), first);
}

#[test]
fn a_guest_that_has_nowhere_else_to_go_stays_on_a_drained_host() {
    let mut world = World::new(&[4]);
    let machine = running(&mut world, OnPartition::Fence);
    world.operator(ALPHA, OperatorAsk::DrainHost { host: ONE });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE alpha");
    let other = world.define(ALPHA, "other", size(1));
    world.update(ALPHA, other, Verb::Activate);
    assert!(!matches!(world.machine(ALPHA, other).place, Place::Here(_)), "nothing new comes");
}

#[test]
fn a_tenant_s_word_counts_while_its_machine_leaves_a_host() {
    for (verb, state) in [(Verb::Destroy, State::Destroyed), (Verb::Shutdown, State::Defined)] {
        let mut world = two_hosts(4, &[]);
        let machine = running(&mut world, OnPartition::Fence);
        let first = host_of(&world, machine);
        world.operator(ALPHA, OperatorAsk::DrainHost { host: first });
        world.update(ALPHA, machine, verb);
        world.settle();
        assert_eq!(world.machine(ALPHA, machine).state(), state, "{verb}");
        assert_eq!(instances(&world, machine), 0);
    }
}

#[test]
fn a_drained_peer_runs_nothing_more_of_ours() {
    let mut world = World::new(&[0, 4, 4]);
    let machine = running(&mut world, OnPartition::Fence);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    let peer = world.parties[BETA].id;
    world.operator(ALPHA, OperatorAsk::DrainPeer { peer });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
    assert_eq!(instances(&world, machine), 1);
}

#[test]
fn only_a_host_that_is_lost_and_empty_is_forgotten() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Fence);
    let first = host_of(&world, machine);
    let forget = OperatorAsk::ForgetHost { host: first };
    let refused = world.operator(ALPHA, forget.clone());
    assert_eq!(refused, Outcome::Refused(Refusal::HostInUse { host: first, guests: 1 }));
    lose(&mut world, ALPHA, first);
    assert_eq!(world.operator(ALPHA, forget.clone()), Outcome::Done);
    assert_eq!(world.operator(ALPHA, forget), Outcome::Done, "it is gone already");
    assert_eq!(world.parties[ALPHA].site.hosts().count(), 1);
    assert_eq!(world.parties[ALPHA].site.assignments(first), []);
}

#[test]
fn what_is_held_on_a_host_that_will_not_come_back_can_be_destroyed() {
    let mut world = two_hosts(4, &[]);
    let machine = running(&mut world, OnPartition::Hold);
    let first = host_of(&world, machine);
    lose(&mut world, ALPHA, first);
    let forget = OperatorAsk::ForgetHost { host: first };
    let refused = world.operator(ALPHA, forget.clone());
    assert_eq!(refused, Outcome::Refused(Refusal::HostInUse { host: first, guests: 1 }));
    assert_eq!(world.update(ALPHA, machine, Verb::Destroy), Outcome::Done);
    assert_eq!(host_of(&world, machine), first, "it may run there for all the site knows");
    assert_eq!(world.operator(ALPHA, forget), Outcome::Done);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Destroyed);
    assert_eq!(world.parties[ALPHA].site.guests().count(), 0);
}

#[test]
fn an_offer_on_a_host_that_is_forgotten_has_lapsed() {
    let mut world = World::new(&[0, 4]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.seek(ALPHA);
    world.deliver(ALPHA, BETA);
    assert_eq!(world.parties[BETA].site.holds().count(), 1);
    lose(&mut world, BETA, ONE);
    assert_eq!(world.operator(BETA, OperatorAsk::ForgetHost { host: ONE }), Outcome::Done);
    world.deliver(BETA, ALPHA);
    world.deliver(ALPHA, BETA);
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
    assert_eq!(world.parties[BETA].site.violations(), []);
}

#[test]
fn an_accepted_offer_on_which_no_word_comes_is_given_up_and_its_room_given_back() {
    let mut world = World::new(&[0, 4, 4]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.seek(ALPHA);
    for peer in [BETA, GAMMA] {
        world.deliver(ALPHA, peer);
        world.deliver(peer, ALPHA);
    }
    assert_eq!(world.view_machine(ALPHA, machine), "one PLACING accepted at beta");
    world.cut.insert((ALPHA, BETA));
    world.pass(Span::from_secs(31));
    let beta = world.parties[BETA].id;
    world.apply(ALPHA, Command::PeerEnded { peer: beta });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    world.cut.clear();
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
    assert_eq!(instances(&world, machine), 1);
}
