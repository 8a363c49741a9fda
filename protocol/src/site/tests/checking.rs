//! Claims about what is found broken of networks.

use super::lans::spread;
use super::*;
use crate::networks::MTU;
use crate::networks::check::{Answers, Fault, Flaw, Lack, LanSight, Party, Sight, TunnelSight};
use crate::networks::lan::{End, Vni, Word};

const NODE: NodeId = NodeId(1);

const WELL: Answers =
    Answers { sent: 10, answered: 10, round_trip: Some(900), largest: Some(1_420), needed: 1_420 };

/// Three sites on one network of alpha's, each with a gateway.
fn reached() -> (World, (SiteId, NetworkId)) {
    let (mut world, _, network) = spread();
    for at in [ALPHA, BETA, GAMMA] {
        let mut contact = contact(NODE);
        contact.uplink = Some(uplink(10 + u8::try_from(at).unwrap()));
        world.apply(at, Command::Node { node: NODE, contact });
        world.apply(at, Command::Gateway { node: NODE });
    }
    world.settle();
    let home = world.parties[ALPHA].id;
    (world, (home, network))
}

/// What alpha's only node sees when all is well.
fn well((home, network): (SiteId, NetworkId)) -> Sight {
    let room = Some(MTU.into());
    let lan = LanSight { home, network, devices: 4, down: Vec::new(), room, exit: None };
    let tunnel = TunnelSight { answers: WELL, handshake: Some(9) };
    let tunnels = [11, 12].map(|number| (uplink(number).gateway.key, tunnel));
    Sight { tunnels: tunnels.to_vec(), lans: vec![lan], ..Sight::default() }
}

/// What is found at alpha when its node sees this.
fn found(world: &World, sight: Sight) -> Vec<Fault> {
    world.parties[ALPHA].site.faults(None, &BTreeMap::from([(NODE, Some(sight))]))
}

#[test]
fn nothing_is_broken_where_all_is_well() {
    let (world, network) = reached();
    assert_eq!(found(&world, well(network)), []);
    let elsewhere = (network.0, NetworkId::from_uuid(uuid::Uuid::nil()));
    let sights = BTreeMap::from([(NODE, Some(well(network)))]);
    assert_eq!(world.parties[ALPHA].site.faults(Some(elsewhere), &sights), []);
}

#[test]
fn a_way_that_swallows_large_packets_is_told_from_a_dead_one_and_from_a_lossy_one() {
    let (world, network) = reached();
    let [beta, gamma] = [BETA, GAMMA].map(|at| Party::Site(world.parties[at].id));
    let with = |answers, handshake| {
        let mut sight = well(network);
        sight.tunnels[0].1 = TunnelSight { answers, handshake };
        found(&world, sight)
    };
    let dead = Answers { answered: 0, round_trip: None, largest: None, ..WELL };
    for heard in [false, true] {
        let faults = with(dead, heard.then_some(9));
        assert_eq!(faults, [Fault::Way { node: NODE, to: beta, flaw: Flaw::Dead { heard } }]);
    }
    let narrow = Answers { largest: Some(1_280), ..WELL };
    let fault =
        Fault::Way { node: NODE, to: beta, flaw: Flaw::Narrow { largest: 1_280, needed: 1_420 } };
    assert_eq!(with(narrow, Some(9)), [fault]);
    assert_eq!(with(Answers { answered: 9, ..WELL }, Some(9)), [], "one is lost at times");
    let fault = Fault::Way { node: NODE, to: beta, flaw: Flaw::Lossy { sent: 10, answered: 8 } };
    assert_eq!(with(Answers { answered: 8, ..WELL }, Some(9)), [fault]);
    assert_ne!(beta, gamma);
}

#[test]
fn a_site_that_is_not_known_to_be_reached_is_named() {
    let (mut world, network) = reached();
    let beta = world.parties[BETA].id;
    let joined = |world: &mut World, gateway| {
        let word = Word::Joined(End { vni: Vni::MIN, gateway });
        world.tell(BETA, ALPHA, Message::Network { network: network.1, word });
        world.settle();
    };
    joined(&mut world, None);
    let fault = Fault::EndWithoutGateway { network, site: beta };
    assert_eq!(found(&world, well(network)), [fault]);
    let mut moved = uplink(77).gateway;
    joined(&mut world, Some(moved));
    let fault = Fault::Unmade { node: NODE, site: beta };
    assert_eq!(found(&world, well(network)), [fault]);
    moved.endpoint = None;
    joined(&mut world, Some(moved));
    let mut behind = contact(NODE);
    behind.uplink = Some(uplink(10));
    if let Some(uplink) = &mut behind.uplink {
        uplink.gateway.endpoint = None;
    }
    world.apply(ALPHA, Command::Node { node: NODE, contact: behind });
    world.settle();
    assert_eq!(found(&world, well(network)), [Fault::Uncallable { site: beta }]);
}

#[test]
fn what_a_peer_has_not_taken_up_yet_is_said() {
    let (mut world, network) = reached();
    let gamma = world.parties[GAMMA].id;
    world.cut.extend([(ALPHA, GAMMA)]);
    let mut moved = contact(NODE);
    moved.uplink = Some(uplink(88));
    world.apply(ALPHA, Command::Node { node: NODE, contact: moved });
    world.settle();
    assert_eq!(found(&world, well(network)), [Fault::Untold { site: gamma }]);
}

#[test]
fn what_is_missing_on_a_host_is_said_and_what_it_says_itself() {
    let (world, network) = reached();
    let with = |change: fn(&mut Sight)| {
        let mut sight = well(network);
        change(&mut sight);
        found(&world, sight)
    };
    let absent = [Fault::Host { network, node: NODE, lack: Lack::Absent }];
    assert_eq!(with(|sight| sight.lans.clear()), absent);
    assert_eq!(with(|sight| sight.lans[0].devices = 0), absent);
    let down = with(|sight| sight.lans[0].down.push("rt1".to_owned()));
    let lack = Lack::Down { device: "rt1".to_owned() };
    assert_eq!(down, [Fault::Host { network, node: NODE, lack }]);
    let room = with(|sight| sight.lans[0].room = Some(1_349));
    let lack = Lack::Room { room: 1_349 };
    assert_eq!(room, [Fault::Host { network, node: NODE, lack }]);
    let trouble = with(|sight| sight.trouble.push("nft is not there".to_owned()));
    assert_eq!(trouble, [Fault::Trouble { node: NODE, said: "nft is not there".to_owned() }]);
    let silent = world.parties[ALPHA].site.faults(None, &BTreeMap::from([(NODE, None)]));
    assert_eq!(silent, [Fault::Silent { node: NODE }]);
}
