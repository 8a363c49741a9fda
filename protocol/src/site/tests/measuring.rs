//! Claims about what is measured of networks.

use super::lans::spread;
use super::*;
use crate::site::command::Counted;
use crate::sla::measure::Tally;

fn report(world: &mut World, network: NetworkId, after: u32, tally: Tally) {
    let home = world.parties[ALPHA].id;
    let counts = vec![Counted { home, network, after, tally }];
    world.apply(ALPHA, Command::Measured { counts });
}

#[test]
fn what_a_gateway_counts_is_kept_once_and_goes_with_its_network() {
    let (mut world, service, network) = spread();
    let home = world.parties[ALPHA].id;
    let tally =
        |world: &World| world.parties[ALPHA].site.measured(home, network).map(|row| row.tally);
    assert_eq!(tally(&world), None);
    let more = Tally { seen: 12, missed: 1 };
    for _ in 0..2 {
        report(&mut world, network, 0, more);
        assert_eq!(tally(&world), Some(more));
    }
    report(&mut world, network, 12, more);
    assert_eq!(tally(&world), Some(Tally { seen: 24, missed: 2 }));
    world.ask(ALPHA, TenantAsk::End { service });
    world.settle();
    assert_eq!(tally(&world), None);
    report(&mut world, network, 0, more);
    assert_eq!(tally(&world), None, "there is no such network any more");
}

#[test]
fn a_network_is_there_if_every_other_site_with_a_machine_on_it_is_reached() {
    let (mut world, _, network) = spread();
    let home = world.parties[ALPHA].id;
    let on = |world: &World, at: usize| world.parties[at].site.gateways_on(home, network);
    assert_eq!(on(&world, ALPHA), None, "nobody has a gateway yet");
    for at in [ALPHA, BETA, GAMMA] {
        let mut contact = contact(NodeId(1));
        contact.uplink = Some(uplink(10 + u8::try_from(at).unwrap()));
        world.apply(at, Command::Node { node: NodeId(1), contact });
        world.apply(at, Command::Gateway { node: NodeId(1) });
    }
    world.settle();
    let keys = |numbers: [u8; 2]| Some(numbers.map(|it| uplink(it).gateway.key).into());
    assert_eq!(on(&world, ALPHA), keys([11, 12]));
    assert_eq!(on(&world, BETA), keys([10, 12]));
}
