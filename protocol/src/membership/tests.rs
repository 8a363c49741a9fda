//! Claims about who becomes a member, and in which order.

use proptest::prelude::*;

use super::*;
use Standing::{Learner, Leaving, Voter};

fn table<const N: usize>(rows: [(u64, Standing); N]) -> BTreeMap<NodeId, Standing> {
    rows.map(|(node, standing)| (NodeId(node), standing)).into()
}

fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

/// Members that are all reached.
fn members(voters: &[u64], learners: &[u64], ready: &[u64]) -> Members {
    let reached = set(&[voters, learners].concat());
    Members { voters: set(voters), learners: set(learners), ready: set(ready), reached }
}

fn step(nodes: &BTreeMap<NodeId, Standing>, members: &Members) -> Option<Step> {
    next_step(nodes, members, NodeId(1))
}

#[test]
fn a_new_node_follows_first() {
    let nodes = table([(1, Voter), (2, Voter)]);
    assert_eq!(step(&nodes, &members(&[1], &[], &[])), Some(Step::Add(NodeId(2))));
}

#[test]
fn a_second_node_waits_for_the_third_and_both_get_a_vote_at_once() {
    let nodes = table([(1, Voter), (2, Voter)]);
    assert_eq!(step(&nodes, &members(&[1], &[2], &[2])), None);
    let nodes = table([(1, Voter), (2, Voter), (3, Voter)]);
    assert_eq!(step(&nodes, &members(&[1], &[2, 3], &[2])), None);
    let both = Step::Promote([NodeId(2), NodeId(3)].into());
    assert_eq!(step(&nodes, &members(&[1], &[2, 3], &[2, 3])), Some(both));
}

#[test]
fn who_replaces_a_dead_node_gets_its_vote() {
    let nodes = table([(1, Voter), (2, Voter), (4, Voter)]);
    let one = Step::Promote([NodeId(4)].into());
    assert_eq!(step(&nodes, &members(&[1, 2], &[4], &[4])), Some(one));
}

#[test]
fn a_node_that_is_to_follow_never_gets_a_vote() {
    let nodes = table([(1, Voter), (2, Learner), (3, Learner)]);
    assert_eq!(step(&nodes, &members(&[1], &[2, 3], &[2, 3])), None);
}

#[test]
fn who_leaves_goes_before_anybody_comes_and_the_leader_goes_last() {
    let nodes = table([(1, Leaving), (2, Voter), (3, Leaving), (4, Voter)]);
    let of_three = members(&[1, 2, 3], &[], &[]);
    assert_eq!(step(&nodes, &of_three), Some(Step::Remove(NodeId(3))));
    assert_eq!(step(&nodes, &members(&[1, 2], &[], &[])), Some(Step::Strike(NodeId(3))));
    let nodes = table([(1, Leaving), (2, Voter), (4, Voter)]);
    assert_eq!(step(&nodes, &members(&[1, 2], &[], &[])), Some(Step::Remove(NodeId(1))));
}

#[test]
fn a_node_leaves_only_if_the_others_can_decide_without_it() {
    let cut = |reached: &[u64]| Members { reached: set(reached), ..members(&[1, 2, 3], &[], &[]) };
    let nodes = table([(1, Voter), (2, Leaving), (3, Voter)]);
    assert_eq!(step(&nodes, &cut(&[1, 2])), None, "1 and 3 would be a majority of nobody");
    assert_eq!(step(&nodes, &cut(&[1, 2, 3])), Some(Step::Remove(NodeId(2))));
    assert_eq!(step(&nodes, &cut(&[1, 3])), Some(Step::Remove(NodeId(2))));
    let nodes = table([(1, Voter), (2, Leaving), (3, Leaving)]);
    assert_eq!(step(&nodes, &cut(&[1, 2])), Some(Step::Remove(NodeId(3))), "the dead one first");
}

#[test]
fn the_only_voter_leaves_once_another_has_its_vote() {
    let nodes = table([(1, Leaving), (2, Voter)]);
    assert_eq!(step(&nodes, &members(&[1], &[2], &[])), None);
    let other = Step::Promote([NodeId(2)].into());
    assert_eq!(step(&nodes, &members(&[1], &[2], &[2])), Some(other));
    assert_eq!(step(&nodes, &members(&[1, 2], &[], &[])), Some(Step::Remove(NodeId(1))));
}

#[test]
fn a_member_that_the_table_does_not_know_is_taken_out() {
    let nodes = table([(1, Voter)]);
    assert_eq!(step(&nodes, &members(&[1], &[9], &[9])), Some(Step::Remove(NodeId(9))));
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Learner), Just(Voter), Just(Leaving)]
}

proptest! {
    /// Whatever the table says and whichever minority is out of reach: no step leaves voters
    /// of whom no majority is reached, since nothing could be decided any more.
    #[test]
    fn no_step_leaves_a_site_that_cannot_decide(
        rows in prop::collection::btree_map(1_u64..10, standing(), 1..10),
        voters in prop::collection::btree_set(1_u64..10, 1..8),
        learners in prop::collection::btree_set(1_u64..10, 0..5),
        silent in prop::collection::btree_set(1_u64..10, 0..4),
    ) {
        let rows = rows.into_iter().map(|(node, standing)| (NodeId(node), standing));
        let mut nodes: BTreeMap<NodeId, Standing> = rows.collect();
        let set = |nodes: BTreeSet<u64>| -> BTreeSet<NodeId> {
            nodes.into_iter().map(NodeId).collect()
        };
        let (voters, learners, silent) = (set(voters), set(learners), set(silent));
        let learners = learners.difference(&voters).copied().collect();
        let mut now = Members { voters, learners, ..Members::default() };
        for _ in 0..100 {
            let all = now.voters.union(&now.learners);
            now.reached = all.filter(|node| !silent.contains(node)).copied().collect();
            now.ready = now.learners.intersection(&now.reached).copied().collect();
            let reached: Vec<_> = now.voters.intersection(&now.reached).copied().collect();
            prop_assume!(reached.len() * 2 > now.voters.len());
            let Some(step) = next_step(&nodes, &now, reached[0]) else { break };
            let mut then = now.clone();
            match step {
                Step::Add(node) => { then.learners.insert(node); }
                Step::Promote(nodes) => {
                    then.learners.retain(|node| !nodes.contains(node));
                    then.voters.extend(nodes.iter().copied());
                    then.reached.extend(nodes);
                }
                Step::Remove(node) => {
                    then.voters.remove(&node);
                    then.learners.remove(&node);
                }
                Step::Strike(node) => { nodes.remove(&node); }
            }
            let able = then.voters.intersection(&then.reached).count();
            prop_assert!(able * 2 > then.voters.len(), "{:?} -> {:?}", now, then);
            now = then;
        }
    }

    /// Whatever the table says and whoever is a member: the steps end, after each of them there
    /// is a voter, and at the end the members are those of the table.
    #[test]
    fn the_steps_lead_to_the_members_that_the_table_names(
        rows in prop::collection::btree_map(1_u64..16, standing(), 1..15),
        voters in prop::collection::btree_set(1_u64..16, 1..8),
        learners in prop::collection::btree_set(1_u64..16, 0..8),
    ) {
        let mut nodes: BTreeMap<NodeId, Standing> =
            rows.into_iter().map(|(node, standing)| (NodeId(node), standing)).collect();
        prop_assume!(nodes.values().any(|standing| *standing == Voter));
        let voters: BTreeSet<NodeId> = voters.into_iter().map(NodeId).collect();
        let learners: BTreeSet<NodeId> =
            learners.into_iter().map(NodeId).filter(|node| !voters.contains(node)).collect();
        let mut now = Members { voters, learners, ..Members::default() };
        for _ in 0..100 {
            now.ready.clone_from(&now.learners);
            now.reached = now.voters.union(&now.learners).copied().collect();
            let leader = *now.voters.first().expect("there is a voter after each step");
            match next_step(&nodes, &now, leader) {
                None => break,
                Some(Step::Add(node)) => { now.learners.insert(node); }
                Some(Step::Promote(nodes)) => for node in nodes {
                    prop_assert!(now.learners.remove(&node));
                    now.voters.insert(node);
                },
                Some(Step::Remove(node)) => {
                    prop_assert!(now.voters.remove(&node) || now.learners.remove(&node));
                }
                Some(Step::Strike(node)) => {
                    prop_assert_eq!(nodes.remove(&node), Some(Leaving));
                }
            }
        }
        prop_assert_eq!(next_step(&nodes, &now, *now.voters.first().unwrap()), None);
        let all: BTreeSet<NodeId> = now.voters.union(&now.learners).copied().collect();
        prop_assert_eq!(all, nodes.keys().copied().collect());
        let waiting = now.learners.iter().filter(|node| nodes.get(node) == Some(&Voter)).count();
        let full = now.voters.len() >= VOTERS_MAX;
        prop_assert!(full || waiting < 2, "{:?} {:?}", now, nodes);
    }
}
