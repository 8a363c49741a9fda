//! Claims about the site's nodes: who is taken on, who goes, and what stands in the way.

use super::*;
use crate::membership::serials::{Presented, Serials};
use crate::membership::{
    ADDRESSES_MAX, CERTIFICATE_LIFETIME, INVITATIONS_MAX, Standing, VOTERS_MAX,
};
use crate::time::Span;

const SECRET: [u8; 32] = [9; 32];

impl World {
    fn invite(&mut self, digest: [u8; 32], standing: Standing) -> Outcome {
        self.operator(ALPHA, OperatorAsk::Invite { digest, name: None, standing })
    }

    fn join(&mut self, digest: [u8; 32], node: u64) -> Outcome {
        self.apply(ALPHA, Command::Join { digest, contact: contact(NodeId(node)) })
    }

    fn remove(&mut self, node: u64) -> Outcome {
        self.operator(ALPHA, OperatorAsk::RemoveNode { node: NodeId(node) })
    }

    fn standing(&self, node: u64) -> Option<Standing> {
        self.parties[ALPHA].site.node(NodeId(node)).map(|row| row.standing)
    }

    /// A node gets a certificate, and presents it.
    fn renew(&mut self, node: u64) -> u64 {
        let node = NodeId(node);
        let issued = self.apply(ALPHA, Command::Certify { node });
        let Outcome::Serial(serial) = issued else { panic!("{issued:?}") };
        self.present(node, serial);
        serial
    }

    fn present(&mut self, node: NodeId, serial: u64) {
        let certificate = Presented { serial, not_after: self.now + CERTIFICATE_LIFETIME };
        assert_eq!(self.apply(ALPHA, Command::Presents { node, certificate }), Outcome::Done);
    }

    fn serials(&self) -> Serials {
        self.parties[ALPHA].site.serials()
    }

    /// Takes on the next node, which gets this number.
    fn take_on(&mut self, node: u64) {
        let digest = [u8::try_from(node).unwrap(); 32];
        assert_eq!(self.invite(digest, Standing::Voter), Outcome::Done);
        assert_eq!(self.join(digest, node), Outcome::Node(NodeId(node)));
    }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

#[test]
fn the_first_node_enters_itself_and_no_other_does() {
    let mut world = World::new(&[1]);
    assert_eq!(world.standing(1), Some(Standing::Voter));
    assert_eq!(world.enter(ALPHA, NodeId(1)), Outcome::Node(NodeId(1)));
    let unknown = refused(Refusal::UnknownNode { node: NodeId(2) });
    assert_eq!(world.enter(ALPHA, NodeId(2)), unknown);
    let other = Command::Node { node: NodeId(1), contact: contact(NodeId(7)) };
    assert_eq!(world.apply(ALPHA, other), refused(Refusal::OtherNode { node: NodeId(1) }));
}

#[test]
fn a_node_that_moves_is_found_at_its_new_addresses() {
    let mut world = World::new(&[1]);
    let mut moved = contact(NodeId(1));
    moved.addresses = vec!["/ip4/198.51.100.1/tcp/7401".to_owned()];
    moved.api = Some("https://198.51.100.1:7400".to_owned());
    let command = Command::Node { node: NodeId(1), contact: moved.clone() };
    assert_eq!(world.apply(ALPHA, command), Outcome::Node(NodeId(1)));
    let row = world.parties[ALPHA].site.node(NodeId(1)).unwrap();
    assert_eq!((&row.addresses, &row.api), (&moved.addresses, &moved.api));
}

#[test]
fn an_invitation_lets_one_node_in_and_answers_that_one_again() {
    let mut world = World::new(&[1]);
    assert_eq!(world.join(SECRET, 2), refused(Refusal::Uninvited));
    world.invite(SECRET, Standing::Voter);
    assert_eq!(world.join(SECRET, 2), Outcome::Node(NodeId(2)));
    assert_eq!(world.join(SECRET, 2), Outcome::Node(NodeId(2)));
    assert_eq!(world.join(SECRET, 3), refused(Refusal::InvitationUsed));
    world.invite([8; 32], Standing::Learner);
    assert_eq!(world.join([8; 32], 2), refused(Refusal::NodeTwice { node: NodeId(2) }));
}

#[test]
fn an_invitation_ends_and_is_forgotten() {
    let mut world = World::new(&[1]);
    world.invite(SECRET, Standing::Voter);
    world.now = world.now + INVITATION_LIFETIME;
    assert_eq!(world.join(SECRET, 2), refused(Refusal::InvitationOver));
    let now = world.now;
    assert!(world.parties[ALPHA].site.is_untidy(now));
    world.apply(ALPHA, Command::Tick);
    assert_eq!(world.join(SECRET, 2), refused(Refusal::Uninvited));
}

#[test]
fn there_are_only_so_many_invitations_and_voters() {
    let mut world = World::new(&[1]);
    for number in 0..INVITATIONS_MAX {
        let digest = [u8::try_from(number).unwrap(); 32];
        assert_eq!(world.invite(digest, Standing::Voter), Outcome::Done);
    }
    let what = "open invitations".to_owned();
    let full = refused(Refusal::Full { what, limit: INVITATIONS_MAX });
    assert_eq!(world.invite(SECRET, Standing::Learner), full);
    for node in 2..=u8::try_from(VOTERS_MAX).unwrap() {
        assert_eq!(world.join([node; 32], node.into()), Outcome::Node(NodeId(node.into())));
    }
    let full = refused(Refusal::Full { what: "voters".to_owned(), limit: VOTERS_MAX });
    assert_eq!(world.join([1; 32], 15), full);
}

#[test]
fn a_node_with_more_addresses_than_anybody_needs_is_refused() {
    let mut world = World::new(&[1]);
    let mut contact = contact(NodeId(1));
    contact.addresses = vec![String::new(); ADDRESSES_MAX + 1];
    let what = "addresses of one node".to_owned();
    let full = refused(Refusal::Full { what, limit: ADDRESSES_MAX });
    assert_eq!(world.apply(ALPHA, Command::Node { node: NodeId(1), contact }), full);
}

#[test]
fn a_removed_node_goes_with_its_host_once_it_is_no_member_and_its_number_never_returns() {
    let mut world = World::new(&[1]);
    world.take_on(2);
    let described = Described {
        node: NodeId(2),
        name: "second".to_owned(),
        capacity: size(4),
        hypervisor: "none".to_owned(),
        trouble: String::new(),
    };
    let describe = Command::Host { host: host(2), described };
    assert_eq!(world.apply(ALPHA, describe.clone()), Outcome::Done);
    assert_eq!(world.apply(ALPHA, Command::Left { node: NodeId(2) }), Outcome::Done);
    assert_eq!(world.standing(2), Some(Standing::Voter), "it was not to leave");

    assert_eq!(world.remove(2), Outcome::Done);
    assert_eq!(world.remove(2), Outcome::Done);
    assert_eq!(world.standing(2), Some(Standing::Leaving));
    let unknown = refused(Refusal::UnknownNode { node: NodeId(2) });
    assert_eq!(world.apply(ALPHA, describe.clone()), unknown);
    let machine = world.define(ALPHA, "large", size(3));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_ne!(world.machine(ALPHA, machine).place, Place::Here(host(2)), "it would have fitted");

    assert_eq!(world.apply(ALPHA, Command::Left { node: NodeId(2) }), Outcome::Done);
    assert_eq!(world.standing(2), None);
    assert!(world.parties[ALPHA].site.hosts().all(|(id, _)| *id == host(1)));
    assert_eq!(world.apply(ALPHA, describe), unknown);
    assert_eq!(world.remove(2), unknown);
    world.invite(SECRET, Standing::Voter);
    assert_eq!(world.join(SECRET, 2), refused(Refusal::StruckNode));
    assert_eq!(world.join(SECRET, 3), Outcome::Node(NodeId(3)));

    let struck = |world: &World| world.parties[ALPHA].site.is_struck(contact(NodeId(2)).key);
    assert!(struck(&world));
    world.now = world.now + CERTIFICATE_LIFETIME;
    world.apply(ALPHA, Command::Tick);
    assert!(!struck(&world), "its certificate has ended");
}

#[test]
fn the_last_voter_stays_and_so_does_a_node_with_guests() {
    let mut world = World::new(&[1]);
    assert_eq!(world.remove(1), refused(Refusal::LastVoter { node: NodeId(1) }));
    world.invite(SECRET, Standing::Learner);
    world.join(SECRET, 2);
    assert_eq!(world.remove(1), refused(Refusal::LastVoter { node: NodeId(1) }));
    world.take_on(3);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    let in_use = refused(Refusal::NodeInUse { node: NodeId(1), guests: 1 });
    assert_eq!(world.remove(1), in_use);
    world.update(ALPHA, machine, Verb::Destroy);
    world.settle();
    world.now = world.now + Span::from_secs(3_600);
    assert_eq!(world.remove(1), Outcome::Done);
    assert_eq!(world.remove(3), refused(Refusal::LastVoter { node: NodeId(3) }));
}

#[test]
fn what_a_removed_node_has_is_revoked_once_those_that_stay_have_renewed() {
    let mut world = World::new(&[1]);
    // The founder has its certificate from before there was a state.
    world.present(NodeId(1), 1_000);
    world.take_on(2);
    world.take_on(3);
    let taken_along = world.renew(2);
    let kept = world.renew(3);
    assert!(taken_along > 1_000 && kept > taken_along, "serials rise");
    assert_eq!(world.serials().revoked(), 0);

    world.remove(2);
    let unknown = refused(Refusal::UnknownNode { node: NodeId(2) });
    assert_eq!(world.apply(ALPHA, Command::Certify { node: NodeId(2) }), unknown, "it leaves");
    world.apply(ALPHA, Command::Left { node: NodeId(2) });
    assert!(world.serials().revoked() > kept);
    assert_eq!(world.serials().honoured(), 0, "nobody has renewed");
    world.renew(3);
    assert_eq!(world.serials().honoured(), 0, "the first has not");
    // What it had before is told once more, late.
    world.present(NodeId(1), 1_000);
    assert_eq!(world.serials().honoured(), 0);
    world.renew(1);
    assert_eq!(world.serials().honoured(), world.serials().revoked());
    assert!(world.serials().honoured() > taken_along);
    world.configure(ALPHA, &[]);
    assert!(world.serials().honoured() > taken_along, "no configuration takes it back");
}
