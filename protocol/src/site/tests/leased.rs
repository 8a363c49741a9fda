//! Claims about what leases are about.

use super::*;

const PROCESSORS: [u32; 3] = [0, 4, 4];

/// A machine of alpha's that runs at a peer, its epoch there, and where.
fn away(world: &mut World) -> (MachineId, u64, usize) {
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    let row = world.machine(ALPHA, machine);
    let Place::There { site, .. } = row.place else { panic!("{:?}", row.place) };
    let at = world.parties.iter().position(|party| party.id == site).unwrap();
    (machine, row.epoch, at)
}

#[test]
fn a_home_renews_what_a_provider_runs_in_its_epoch_and_nothing_else() {
    let mut world = World::new(&PROCESSORS);
    let (machine, epoch, at) = away(&mut world);
    let provider = world.parties[at].id;
    let stranger = world.parties[if at == BETA { GAMMA } else { BETA }].id;
    let home = &world.parties[ALPHA].site;
    let other = MachineId::from_uuid(uuid::Uuid::max());
    let asked = [(machine, epoch), (other, 1), (machine, epoch + 1)];
    assert_eq!(home.renewable(provider, &asked), [machine]);
    assert_eq!(home.renewable(stranger, &asked), []);
    assert_eq!(home.providers(), BTreeSet::from([provider]));
    world.apply(ALPHA, Command::PeerEnded { peer: provider });
    let home = &world.parties[ALPHA].site;
    assert_eq!(home.renewable(provider, &asked), []);
    assert!(!home.providers().contains(&provider));
}

#[test]
fn a_provider_asks_about_the_guests_of_each_home() {
    let mut world = World::new(&PROCESSORS);
    let (machine, epoch, at) = away(&mut world);
    let home = world.parties[ALPHA].id;
    let provider = &world.parties[at].site;
    assert_eq!(provider.foreign(), BTreeMap::from([(home, vec![(machine, epoch)])]));
    assert_eq!(world.parties[ALPHA].site.foreign(), BTreeMap::new());
    let (host, _) = provider.hosts().next().unwrap();
    let [(name, leased, on_partition)] = provider.leased_on(*host)[..] else { panic!("one") };
    assert_eq!((name.machine, name.home, leased.home), (machine, home, epoch));
    assert_eq!(on_partition, OnPartition::Fence);
}
