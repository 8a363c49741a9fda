//! The nodes of a site: taken on, given a vote, moved out of the lead, taken out, lost with their
//! disks and replaced, while hosts run guests and leases are granted.
//!
//! What is to be done next about Raft's members is decided by [`protocol::membership`], and done by
//! the leader, a moment later. What operators do is modelled here.

use std::collections::BTreeSet;

use protocol::ids::{HostId, NodeId};
use protocol::machine::{Goal, Verb};
use protocol::membership::{Members, Standing, Step};
use protocol::site::command::{OperatorAsk, TenantAsk};
use protocol::site::state::{Host, Node};
use protocol::site::{Command, Outcome};

use crate::founding::number;
use crate::member::{Member, Reply};
use crate::replica::Replica;
use crate::rule::Rule;
use crate::world::{Event, World};

/// The most nodes that operators here give a site.
const NODES: usize = 5;

/// How many entries of the log a learner may lack that has caught up.
const LAG: usize = 3;

/// How often an operator tries to take a node out before it gives up: guests may stand in the way.
const TRIES: u32 = 8;

/// How long it waits between two tries, in milliseconds.
const PATIENCE: u64 = 3_000;

/// The place of a node's replica in its member's row.
pub(crate) fn place(node: NodeId) -> usize {
    usize::try_from(node.0).expect("a site has few nodes") - 1
}

impl Member {
    /// Whether a replica has a vote.
    pub(crate) fn votes(&self, replica: usize) -> bool {
        self.voters.voters.contains(&number(replica))
    }

    /// Whether a replica is sent the log.
    pub(crate) fn follows(&self, replica: usize) -> bool {
        self.votes(replica) || self.voters.learners.contains(&number(replica))
    }

    /// Whether no other node could lead.
    pub(crate) fn is_only_voter(&self, replica: usize) -> bool {
        self.voters.voters.len() == 1 && self.votes(replica)
    }

    /// Whether those of the voters that are `able` are a majority.
    fn is_majority(&self, able: impl Fn(usize) -> bool) -> bool {
        let voters = &self.voters.voters;
        voters.iter().filter(|node| able(place(**node))).count() * 2 > voters.len()
    }

    /// Whether its leader hears a majority: without one it decides nothing, and confirms no read.
    pub(crate) fn has_quorum(&self) -> bool {
        let Some(leader) = self.leader else { return false };
        let hears = self.replicas[leader].is_reached();
        self.is_majority(|it| it == leader || (hears && self.replicas[it].is_reached()))
    }

    /// Whether a majority could elect a leader now.
    pub(crate) fn can_elect(&self) -> bool {
        self.is_majority(|it| self.replicas[it].is_reached())
    }

    /// Whether every node that was not lost or taken out is reached.
    pub(crate) fn is_whole(&self) -> bool {
        self.replicas.iter().filter(|it| !it.gone).all(Replica::is_reached)
    }

    /// What is to be done next about the members, if anything is.
    pub(crate) fn next_change(&self) -> Option<Step> {
        let (leader, state) = (self.leader?, self.state()?);
        let replica = |node: &NodeId| &self.replicas[place(*node)];
        let has_caught_up = |node: &NodeId| replica(node).applied + LAG >= self.log.len();
        let mut members = Members { reached: self.reached(), ..self.voters.clone() };
        let ready = members.learners.intersection(&members.reached).copied();
        members.ready = ready.filter(has_caught_up).collect();
        state.membership_step(&members, number(leader))
    }

    /// The node that is to be the gateway, if another than the present one.
    pub(crate) fn next_gateway(&self) -> Option<NodeId> {
        self.leader?;
        self.state()?.gateway_step(&self.reached())
    }

    /// Raft's members that the leader hears.
    fn reached(&self) -> BTreeSet<NodeId> {
        let all = self.voters.voters.union(&self.voters.learners).copied();
        all.filter(|node| self.replicas[place(*node)].is_reached()).collect()
    }
}

impl World {
    /// An operator somewhere does something about the nodes of its site.
    pub(crate) fn tend(&mut self) {
        if self.calm {
            return;
        }
        let sites = u64::try_from(self.members.len()).expect("a world has few sites");
        // Some three at each site.
        let pace = self.shape.trouble / (sites * 3);
        let at = self.now + self.chance.between(1, 2 * pace.max(1));
        self.schedule(at, Event::Tend);
        let member = self.chance.index(self.members.len());
        let replica = self.chance.index(self.members[member].replicas.len());
        match self.chance.below(10) {
            _ if self.is_quiet(member) => {}
            0..=3 => {
                // The first of two has a vote only with the second.
                let alone = self.members[member].replicas.len() == 1;
                for _ in 0..if alone { 2 } else { self.chance.between(1, 2) } {
                    self.take_on(member);
                }
            }
            4 => self.hand_over(member),
            5 | 6 => self.retire(member, replica, 0),
            _ => self.lose_disk(member, replica),
        }
    }

    /// Invites a node, which joins at once.
    pub(crate) fn take_on(&mut self, member: usize) {
        let nodes = self.members[member].state().map(|state| state.nodes().count());
        if nodes.is_none_or(|nodes| nodes >= NODES) {
            return;
        }
        let digest = self.chance.bytes();
        let standing = if self.chance.once_in(6) { Standing::Learner } else { Standing::Voter };
        self.order(member, OperatorAsk::Invite { digest, name: None, standing });
        let contact = self.contact();
        self.propose(member, Command::Join { digest, contact }, Reply::Nobody);
    }

    fn order(&mut self, member: usize, ask: OperatorAsk) {
        let request = self.chance.request();
        self.propose(member, Command::Operator { request, ask }, Reply::Nobody);
    }

    /// A node that was taken on begins, and one that was struck ends.
    pub(crate) fn come_and_go(&mut self, member: usize, command: &Command, outcome: &Outcome) {
        match (command, outcome) {
            (Command::Join { .. }, Outcome::Node(node))
                if place(*node) == self.members[member].replicas.len() =>
            {
                self.begin_node(member);
            }
            (Command::Left { node }, Outcome::Done) => {
                let is_struck =
                    self.members[member].state().is_some_and(|state| state.node(*node).is_none());
                let row = &mut self.members[member];
                if is_struck && !row.replicas[place(*node)].gone {
                    self.census.nodes_removed += 1;
                    row.end_node(place(*node));
                }
            }
            _ => {}
        }
    }

    fn begin_node(&mut self, member: usize) {
        self.census.nodes_joined += 1;
        let replica = self.new_replica();
        let node = self.members[member].replicas.len();
        self.members[member].replicas.push(replica);
        let host = self.new_host(node);
        self.members[member].hosts.push(host);
        self.wake_hosts(member, Some(node));
        self.wake_renewals(member, node);
    }

    /// Has Raft's members follow the table of nodes, one step at a time. Says whether there is one.
    pub(crate) fn follow_table(&mut self, member: usize) -> bool {
        if self.members[member].desk.is_changing {
            return true;
        }
        if let Some(node) = self.members[member].next_gateway() {
            self.census.gateways_named += 1;
            self.propose(member, Command::Gateway { node }, Reply::Nobody);
            return true;
        }
        let Some(step) = self.members[member].next_change() else { return false };
        if let Step::Strike(node) = step {
            self.propose(member, Command::Left { node }, Reply::Nobody);
            return true;
        }
        let shares =
            matches!(step, Step::Promote(_)) && self.members[member].voters.voters.len() == 1;
        let looks = self.left_out != Some(Rule::BoundedFirst);
        if shares && looks && !self.is_bounded(member) {
            self.census.votes_withheld += 1;
            return true;
        }
        self.members[member].desk.is_changing = true;
        let (at, term) = (self.now + self.chance.between(5, 300), self.members[member].term);
        self.schedule(at, Event::Change { member, term, step });
        true
    }

    /// The leader takes a step about the members, which a majority of those before and of those
    /// after has to agree to.
    pub(crate) fn change(&mut self, member: usize, term: u64, step: &Step) {
        let row = &mut self.members[member];
        if row.term != term || row.leader.is_none() {
            return;
        }
        row.desk.is_changing = false;
        let shared = row.voters.voters.len() == 1;
        let before = row.voters.clone();
        match step {
            Step::Remove(node) if row.leader == Some(place(*node)) => {
                self.hand_over(member);
                return;
            }
            Step::Remove(node) => {
                row.voters.voters.remove(node);
                row.voters.learners.remove(node);
            }
            Step::Add(node) => {
                row.voters.learners.insert(*node);
            }
            Step::Promote(nodes) => {
                row.voters.learners.retain(|node| !nodes.contains(node));
                row.voters.voters.extend(nodes);
            }
            Step::Strike(_) => {}
        }
        let is_agreed = row.has_quorum();
        let after = std::mem::replace(&mut row.voters, before);
        if !is_agreed || !row.has_quorum() {
            return;
        }
        row.voters = after;
        self.store(member);
        for replica in 0..self.members[member].replicas.len() {
            let at = self.now + self.chance.between(1, 500);
            self.schedule(at, Event::Follow { member, replica });
        }
        if let Step::Promote(nodes) = step {
            self.census.nodes_promoted += u64::try_from(nodes.len()).expect("a few");
            // The worst moment for the node that was the only one until now.
            if let Some(leader) = self.members[member].leader
                && shared
                && !self.is_quiet(member)
            {
                self.sever(member, leader, (true, true), 30_000);
            }
        }
        self.wake_leader(member, 20);
    }

    /// The leader moves the lead to another node.
    fn hand_over(&mut self, member: usize) {
        let row = &mut self.members[member];
        let Some(leader) = row.leader.filter(|_| row.has_quorum()) else { return };
        let heir = |it: &usize| {
            let replica = &row.replicas[*it];
            *it != leader
                && row.votes(*it)
                && replica.is_reached()
                && replica.stored == row.log.len()
        };
        let heirs: Vec<usize> = (0..row.replicas.len()).filter(heir).collect();
        if let Some(next) = self.chance.pick(&heirs) {
            self.census.leaders_moved += 1;
            self.members[member].term += 1;
            self.succeed(member, next);
        }
    }

    /// An operator has a node emptied and taken out; if that cannot be, it lets it be.
    pub(crate) fn retire(&mut self, member: usize, replica: usize, tries: u32) {
        let node = number(replica);
        let is_alone = self.network.isolated == Some(member);
        let Some(state) = self.members[member].state().filter(|_| !is_alone) else {
            self.schedule(self.now + PATIENCE, Event::Retire { member, replica, tries });
            return;
        };
        let Some(row) = state.node(node) else { return };
        if row.standing == Standing::Leaving || self.members[member].replicas[replica].gone {
            return;
        }
        let hosts: Vec<HostId> =
            state.hosts().filter(|(_, row)| row.node == node).map(|(id, _)| *id).collect();
        if tries == TRIES {
            self.census.removals_given_up += 1;
            for host in hosts {
                self.order(member, OperatorAsk::EnableHost { host });
            }
            return;
        }
        for host in hosts {
            self.order(member, OperatorAsk::DrainHost { host });
        }
        self.order(member, OperatorAsk::RemoveNode { node });
        let tries = tries + 1;
        self.schedule(self.now + PATIENCE, Event::Retire { member, replica, tries });
    }

    /// A node loses its disk for good, if its site has a majority of the others. Guests on its hosts
    /// end with it, or run on until somebody stops them.
    fn lose_disk(&mut self, member: usize, replica: usize) {
        let row = &mut self.members[member];
        let is_lost = |node: &NodeId| row.replicas[place(*node)].gone;
        let lost = row.voters.voters.iter().filter(|node| is_lost(node)).count();
        let voters = row.voters.voters.len();
        let is_minority = !row.votes(replica) || (lost + 1) * 2 < voters;
        if row.leader.is_none() || !row.is_whole() || row.replicas[replica].gone || !is_minority {
            return;
        }
        self.census.disks_lost += 1;
        row.end_node(replica);
        if self.chance.once_in(2) {
            self.members[member].switch_off(replica);
        }
        self.lose_leader(member, replica, self.now);
        let at = self.now + self.chance.between(1_000, 15_000);
        self.schedule(at, Event::Replace { member, replica });
        self.schedule(at, Event::TakeOn { member });
    }

    /// An operator has a lost node taken out: its hosts are switched off once their leases have ended,
    /// what was held there is given up, and they are forgotten.
    pub(crate) fn replace(&mut self, member: usize, replica: usize) {
        let node = number(replica);
        let again = Event::Replace { member, replica };
        let Some(state) = self.members[member].state() else {
            self.schedule(self.now + PATIENCE, again);
            return;
        };
        if state.node(node).is_none() {
            self.census.nodes_replaced += 1;
            return;
        }
        let of_node = |row: &Host| row.node == node;
        let all_lost = state.hosts().all(|(_, row)| !of_node(row) || row.ended.is_some());
        // They are one machine: it is switched off, and forgotten, once nothing of it is alive.
        let forgets = |row: &Host| all_lost && of_node(row);
        let hosts: Vec<HostId> =
            state.hosts().filter(|(_, row)| forgets(row)).map(|(id, _)| *id).collect();
        let stays = |row: &Node| row.standing == Standing::Voter;
        let is_last = state.nodes().all(|(it, row)| it == node || !stays(row));
        let (me, mut machines, mut agreements) = (self.members[member].id, vec![], vec![]);
        for (name, guest) in hosts.iter().flat_map(|host| state.guests_at(*host)) {
            match guest.agreement {
                _ if guest.wanted() == Goal::Destroyed => {}
                Some(agreement) if name.home != me => agreements.push(agreement),
                _ => machines.push(name.machine),
            }
        }
        if all_lost {
            self.members[member].switch_off(replica);
        }
        let tenant = self.members[member].tenant;
        for machine in machines {
            let (request, verb) = (self.chance.request(), Verb::Destroy);
            let ask = TenantAsk::Update { machine, verb };
            self.propose(member, Command::Tenant { tenant, request, ask }, Reply::Nobody);
        }
        for agreement in agreements {
            self.order(member, OperatorAsk::TerminateAgreement { agreement });
        }
        for host in hosts {
            self.order(member, OperatorAsk::ForgetHost { host });
        }
        if is_last {
            // Nobody else is to have a vote: another node has to come first.
            self.take_on(member);
        }
        self.order(member, OperatorAsk::RemoveNode { node });
        self.schedule(self.now + PATIENCE, again);
    }
}

impl Member {
    /// A node is gone for good, with its disk.
    fn end_node(&mut self, replica: usize) {
        let node = &mut self.replicas[replica];
        (node.up, node.gone, node.stored) = (false, true, 0);
        node.forget();
        for host in self.hosts.iter_mut().filter(|host| host.node == replica) {
            host.interrupt();
        }
    }

    /// The machine of a node is switched off.
    fn switch_off(&mut self, replica: usize) {
        for host in self.hosts.iter_mut().filter(|host| host.node == replica) {
            host.locals.clear();
            host.deadlines.clear();
        }
    }
}
