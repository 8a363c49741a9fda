//! A simulated federation: all sites, the network between them, and one queue of what happens
//! next.
//!
//! One thread takes one event after the other. Time is the time of the event, and chance comes
//! from one stream, so that a seed is a whole history and every history can be had again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use protocol::codec;
use protocol::epoch::Epoch;
use protocol::ids::{MachineName, SiteId};
use protocol::lease::Moment;
use protocol::lease::grantor::Question;
use protocol::membership::Step;
use protocol::site::{Command, Outcome, Stamped};
use protocol::time::Span;
use protocol::wire::v1::lease::Leased;

use crate::census::Census;
use crate::chance::Chance;
use crate::invariants::Breach;
use crate::invariants::one_instance::Ledger;
use crate::invariants::scaling::Granted;
use crate::leases::{Asked, Asking, Leading};
use crate::member::{Desk, Member, Pending, Reply};
use crate::network::{Network, Payload};
use crate::rule::Rule;
use crate::tenants::Client;

/// How long everything may take to settle once nothing goes wrong any more, in milliseconds: the
/// longest chains are five starts of a guest that keeps ending, and calls that time out.
const SETTLING: u64 = 900_000;

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many sites.
    pub(crate) sites: u64,
    /// How many services are submitted.
    pub(crate) services: u64,
    /// For how long things go wrong, in milliseconds.
    pub(crate) trouble: u64,
    /// The longest time between two faults at one site, in milliseconds.
    pub(crate) pace: u64,
}

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The oldest proposal of a term is committed.
    Commit { member: usize, term: u64 },
    /// A replica applies what is committed.
    Follow { member: usize, replica: usize },
    /// A leader looks at its state.
    Look { member: usize },
    /// A node looks at its host.
    Work { member: usize, host: usize },
    /// A host's node asks for its lease.
    Renew { member: usize, host: usize },
    /// The question arrives at the site's leader.
    HostAsks { asking: Asking },
    /// The leader's leadership is confirmed.
    HostRead { asking: Asking, question: Question, term: u64 },
    /// The answer arrives at the host.
    HostGranted { asking: Asking, grant: (usize, Span), guests: Rc<[Leased]> },
    /// The leadership of a home's leader, whom a provider has asked, is confirmed.
    SessionRead {
        from: usize,
        to: usize,
        number: u64,
        machines: Asked,
        question: Question,
        term: u64,
    },
    /// What a host saw arrives at the site's leader.
    Observed { member: usize, told: Rc<Command> },
    /// A fence looks at its deadlines.
    Fence { member: usize, host: usize },
    /// Something arrives.
    Arrive { from: usize, to: usize, number: u64, payload: Payload },
    /// A tenant asks something new.
    Ask,
    /// An operator asks something.
    Operate,
    /// An operator does something about the nodes of a site.
    Tend,
    /// A leader takes a step about the members of its site.
    Change { member: usize, term: u64, step: Step },
    /// An operator tries to have a node taken out.
    Retire { member: usize, replica: usize, tries: u32 },
    /// An operator tries to have a lost node taken out.
    Replace { member: usize, replica: usize },
    /// An operator takes a node on for one that was lost.
    TakeOn { member: usize },
    /// A tenant's client asks, or asks again.
    Client { client: usize },
    /// Something goes wrong.
    Strike,
    /// A cut between sites ends.
    Heal,
    /// A site that was cut off from all others is connected again.
    Rejoin,
    /// What was submitted at such a site has to run by now.
    Served { client: usize },
    /// A node reaches the others of its site again.
    Reconnect { member: usize, replica: usize },
    /// A killed node comes back.
    Restart { member: usize, replica: usize },
    /// A site chooses its next leader.
    Elect { member: usize, term: u64 },
    /// Nothing goes wrong from now on.
    CalmDown,
    /// Whether everything has settled is looked at.
    Settle,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Summary {
    /// What it has met.
    pub(crate) census: Census,
    /// The hash of everything that happened, in order.
    pub(crate) transcript: u64,
}

/// A simulated federation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) left_out: Option<Rule>,
    /// Milliseconds since the beginning.
    pub(crate) now: u64,
    pub(crate) chance: Chance,
    pub(crate) members: Vec<Member>,
    pub(crate) network: Network,
    pub(crate) census: Census,
    pub(crate) clients: Vec<Client>,
    /// Whether nothing goes wrong any more.
    pub(crate) calm: bool,
    /// What was acknowledged to each peer, by receiver and sender.
    pub(crate) receipts: BTreeMap<(usize, usize), u64>,
    pub(crate) ledger: Ledger,
    pub(crate) scaled: Granted,
    /// The number of the next saved memory.
    pub(crate) next_image: u64,
    /// The sites whose state the present event has changed.
    pub(crate) touched: BTreeSet<usize>,
    breach: Option<Breach>,
    queue: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    indices: BTreeMap<SiteId, usize>,
    transcript: DefaultHasher,
}

impl World {
    /// A world at its beginning: every site configured, nothing submitted.
    pub(crate) fn new(shape: Shape, seed: u64, left_out: Option<Rule>) -> Self {
        let mut world = Self {
            shape,
            left_out,
            now: 0,
            chance: Chance::new(seed),
            members: Vec::new(),
            network: Network::default(),
            census: Census::default(),
            clients: Vec::new(),
            calm: false,
            receipts: BTreeMap::new(),
            ledger: Ledger::default(),
            scaled: Granted::new(),
            next_image: 0,
            touched: BTreeSet::new(),
            breach: None,
            queue: BTreeMap::new(),
            scheduled: 0,
            indices: BTreeMap::new(),
            transcript: DefaultHasher::new(),
        };
        world.found();
        world.indices =
            world.members.iter().enumerate().map(|(index, it)| (it.id, index)).collect();
        for member in 0..world.members.len() {
            for node in 0..world.members[member].replicas.len() {
                world.wake_renewals(member, node);
            }
        }
        world.schedule(1_000, Event::Ask);
        world.schedule(1_000, Event::Operate);
        world.schedule(1_000, Event::Tend);
        world.schedule(1_000, Event::Strike);
        world.schedule(shape.trouble, Event::CalmDown);
        world
    }

    /// Lets everything happen.
    ///
    /// # Errors
    ///
    /// The first property that did not hold.
    pub(crate) fn run(mut self) -> Result<Summary, Breach> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.note(&format!("{at} {event:?}"));
            let last = self.step(event);
            self.judge();
            if let Some(breach) = self.breach {
                return Err(breach);
            }
            if last {
                break;
            }
        }
        Ok(Summary { census: self.census, transcript: self.transcript.finish() })
    }

    fn step(&mut self, event: Event) -> bool {
        match event {
            Event::Commit { member, term } => self.commit(member, term),
            Event::Follow { member, replica } => self.follow(member, replica),
            Event::Look { member } if self.members[member].look_at == self.now => self.look(member),
            Event::Work { member, host }
                if self.members[member].hosts[host].work_at == self.now =>
            {
                self.work(member, host);
            }
            Event::Renew { member, host }
                if self.members[member].hosts[host].renew_at == self.now =>
            {
                self.renew(member, host);
            }
            // They are looked at earlier than was planned, and have been.
            Event::Look { .. } | Event::Work { .. } | Event::Renew { .. } => {}
            Event::Arrive { from, to, number, payload } => {
                self.network.arrived(from, to, number, &mut self.census);
                self.arrive((from, to), payload);
            }
            Event::HostAsks { asking } => self.host_asks(asking),
            Event::HostRead { asking, question, term } => self.host_read(asking, question, term),
            Event::HostGranted { asking, grant, guests } => {
                self.host_granted(asking, grant, &guests);
            }
            Event::SessionRead { from, to, number, machines, question, term } => {
                self.session_read((from, to), (number, &machines), (question, term));
            }
            Event::Observed { member, told } => {
                self.propose(member, Command::clone(&told), Reply::Nobody);
            }
            Event::Fence { member, host } => self.fence(member, host),
            Event::Ask => self.ask(),
            Event::Operate => self.operate(),
            Event::Tend => self.tend(),
            Event::Change { member, term, step } => self.change(member, term, &step),
            Event::Retire { member, replica, tries } => self.retire(member, replica, tries),
            Event::Replace { member, replica } => self.replace(member, replica),
            Event::TakeOn { member } => self.take_on(member),
            Event::Client { client } => self.call(client),
            Event::Strike => self.strike(),
            Event::Heal => self.network.heal(),
            Event::Rejoin => self.rejoin(),
            Event::Served { client } => self.judge_served(client),
            Event::Reconnect { member, replica } => self.reconnect(member, replica),
            Event::Restart { member, replica } => self.restart(member, replica),
            Event::Elect { member, term } => self.elect(member, term),
            Event::CalmDown => self.calm_down(),
            Event::Settle => return self.settle(),
        }
        false
    }

    /// Lets something happen at a moment.
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((at, self.scheduled), event);
    }

    /// Writes into the transcript.
    fn note(&mut self, line: &str) {
        self.transcript.write(line.as_bytes());
    }

    /// A property did not hold. The first one counts.
    pub(crate) fn breach(&mut self, property: &'static str, member: usize, detail: String) {
        let site = self.members[member].name.clone();
        let at = self.now;
        self.breach.get_or_insert(Breach { property, site, at, detail });
    }

    /// The index of a site.
    pub(crate) fn index(&self, site: SiteId) -> usize {
        self.indices[&site]
    }

    /// A site's leader proposes a command; without a leader it is lost.
    pub(crate) fn propose(&mut self, member: usize, command: Command, reply: Reply) {
        let Some(leader) = self.members[member].leader else { return };
        let early = self.left_out == Some(Rule::CommittedFirst);
        if early && let (Command::Receive { messages }, Reply::Peer(peer)) = (&command, reply) {
            let through = messages.last().map_or(0, |message| message.statement().sequence);
            self.give_receipt(member, peer, &Outcome::Taken(through));
        }
        let stamped = Stamped {
            at: self.members[member].clock(leader, self.now),
            seed: self.chance.bytes(),
            command,
        };
        let due = self.now + self.chance.between(1, 20);
        let proposer = &mut self.members[member];
        proposer.committing = proposer.committing.max(due);
        proposer.pending.push_back(Pending { stamped, reply });
        let (at, term) = (proposer.committing, proposer.term);
        self.schedule(at, Event::Commit { member, term });
    }

    fn commit(&mut self, member: usize, term: u64) {
        if self.members[member].term != term {
            return;
        }
        if !self.members[member].has_quorum() {
            self.schedule(self.now + 200, Event::Commit { member, term });
            return;
        }
        let Some(Pending { stamped, reply }) = self.members[member].pending.pop_front() else {
            return;
        };
        let outcome = self.append(member, &stamped);
        self.count_operation(&stamped.command, &outcome);
        match reply {
            Reply::Nobody => {}
            Reply::Peer(peer) => self.give_receipt(member, peer, &outcome),
            Reply::Client(client) => self.answer(client, outcome),
        }
        for replica in 0..self.members[member].replicas.len() {
            let lag = if self.calm { 20 } else { 2_000 };
            let at = self.now + self.chance.between(1, lag);
            self.schedule(at, Event::Follow { member, replica });
        }
        self.wake_leader(member, 5);
        self.wake_hosts(member, None);
    }

    /// What a majority has is in the log, and the leader applies it.
    pub(crate) fn append(&mut self, member: usize, stamped: &Stamped) -> Outcome {
        let bytes = codec::encode(stamped);
        self.transcript.write(&bytes);
        self.count_messages(&stamped.command);
        let site = &mut self.members[member];
        let leader = site.leader.expect("only a leader appends");
        // The log is on disk as bytes: what is applied is what they decode to.
        site.log.push(codec::decode(&bytes, 8 << 20).expect("a command that was just encoded"));
        let (outcome, wrong) = site.replicas[leader].apply_next(&site.log);
        if let Some(detail) = wrong {
            self.breach("refusals", member, detail);
        }
        self.touched.insert(member);
        self.store(member);
        self.come_and_go(member, &stamped.command, &outcome);
        self.judge_scaling(member, &stamped.command, &outcome);
        outcome
    }

    /// A majority has the log on disk; who is in it besides the leader is chance.
    pub(crate) fn store(&mut self, member: usize) {
        let site = &self.members[member];
        let leader = site.leader.expect("only a leader appends");
        let mut others: Vec<usize> = (0..site.replicas.len())
            .filter(|it| *it != leader && site.votes(*it) && site.replicas[*it].is_reached())
            .collect();
        let needed = site.voters.voters.len() / 2;
        let needed = if self.left_out == Some(Rule::StoredByMajority) { 0 } else { needed };
        while others.len() > needed {
            let index = self.chance.index(others.len());
            others.remove(index);
        }
        let site = &mut self.members[member];
        for replica in others.into_iter().chain([leader]) {
            site.replicas[replica].stored = site.log.len();
        }
    }

    /// A replica applies all that is committed, as far as somebody is there who has it.
    pub(crate) fn follow(&mut self, member: usize, replica: usize) {
        let site = &mut self.members[member];
        let follows = site.follows(replica);
        let most = site.replicas.iter().filter(|it| it.is_reached()).map(|it| it.stored).max();
        let most = if site.leader.is_some() { site.log.len() } else { most.unwrap_or(0) };
        let follower = &mut site.replicas[replica];
        if !follows || !follower.up || follower.deaf || follower.applied == site.log.len() {
            return;
        }
        while follower.applied < most {
            follower.apply_next(&site.log);
        }
        follower.stored = follower.stored.max(follower.applied);
        self.wake_hosts(member, Some(replica));
    }

    /// A replica becomes its site's leader: it has applied everything committed before.
    pub(crate) fn lead(&mut self, member: usize, replica: usize) {
        self.follow(member, replica);
        let (now, left_out) = (self.now, self.left_out);
        let site = &mut self.members[member];
        site.leader = Some(replica);
        site.committing = now;
        let waits = left_out != Some(Rule::NewLeaderWaits);
        let clock = site.replicas[replica].clock;
        let elected = if waits { clock.shows(now) } else { Moment::from_millis(0) };
        let leading = Some(Leading::new(site.term, elected));
        site.desk = Desk { since: now, leading, ..Desk::default() };
        self.touched.insert(member);
        self.wake_leader(member, 10);
        self.wake_hosts(member, None);
    }

    /// A guest's processors have begun to run.
    pub(crate) fn started(
        &mut self,
        member: usize,
        name: MachineName,
        epoch: Epoch,
        (first, from): (bool, Option<u64>),
    ) {
        let running = self.running(name);
        if let Err(detail) = self.ledger.started(name, epoch, (first, from), running) {
            self.breach("one_instance", member, detail);
        }
    }

    /// A guest that the fence had stopped goes on.
    pub(crate) fn goes_on(&mut self, member: usize, name: MachineName) {
        let running = self.running(name);
        if running > 1 {
            self.breach("one_instance", member, format!("{name} runs {running} times at once"));
        }
    }

    /// How many guests of a machine run, on all hosts of all sites.
    fn running(&self, name: MachineName) -> usize {
        let hosts = self.members.iter().flat_map(|it| &it.hosts);
        let guests = hosts.filter_map(|host| host.locals.get(&name)?.guest);
        guests.filter(|guest| guest.running && !guest.frozen).count()
    }

    fn settle(&mut self) -> bool {
        self.lengthen_terms();
        match self.unsettled() {
            None => {
                self.conclude();
                true
            }
            Some((member, detail)) if self.now > self.shape.trouble + SETTLING => {
                self.breach("settled", member, detail);
                true
            }
            Some(_) => {
                self.schedule(self.now + 5_000, Event::Settle);
                false
            }
        }
    }
}
