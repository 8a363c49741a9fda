//! Leases: what hosts and providers hold, what leaders grant, and the fence that stops what is due.
//!
//! The arithmetic is [`protocol::lease`]'s. Modelled here is what a node does around it: clocks that
//! run too fast or too slow, questions and answers that take their time or get lost, a read that a
//! majority has to confirm before anything is granted, and a fence that is a moment late.

use std::collections::BTreeMap;
use std::rc::Rc;

use protocol::epoch::Epoch;
use protocol::ids::{HostId, MachineId, MachineName, SiteId};
use protocol::lease::grantor::Question;
use protocol::lease::{Grantor, Holder, Moment, Pending, Session, Timing};
use protocol::manifest::OnPartition;
use protocol::site::Command;
use protocol::time::Span;
use protocol::wire::v1::lease::{Leased, SessionRenewal, Term};

use crate::founding::number;
use crate::host::{Host, Local};
use crate::member::Reply;
use crate::network::Payload;
use crate::rule::Rule;
use crate::world::{Event, World};

/// How long leases last in every world: short, so that many end.
const DURATION: Span = Span::from_secs(10);

/// How late the fence may be, in milliseconds: well within the margin.
const FENCE_LATE: u64 = 400;

/// How soon a provider asks again about guests that have no lease, in milliseconds.
const HUNGRY: u64 = 500;

pub(crate) fn timing() -> Timing {
    Timing::lasting(DURATION)
}

/// A node's clock: off by some parts in a million, and begun at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    begun: u64,
    /// Millionths by which it is too fast; a million is as fast as true time.
    rate: u64,
}

impl Clock {
    /// A clock within the drift that leases are made for.
    pub(crate) const fn new(begun: u64, rate: u64) -> Self {
        Self { begun, rate }
    }

    /// What it shows.
    pub(crate) const fn shows(self, now: u64) -> Moment {
        Moment::from_millis(self.begun + now * self.rate / 1_000_000)
    }

    /// When it shows a moment.
    const fn when(self, moment: Moment) -> u64 {
        let passed = moment.as_millis().saturating_sub(self.begun);
        (passed * 1_000_000).div_ceil(self.rate)
    }
}

/// The machines that a home is asked about, each with the home's part of its epoch.
pub(crate) type Asked = Rc<Vec<(MachineId, u64)>>;

/// What a leader grants and holds in one term.
#[derive(Debug)]
pub(crate) struct Leading {
    hosts: Grantor<HostId>,
    providers: Grantor<SiteId>,
    sessions: Session,
    /// Questions that are under way to homes.
    asks: BTreeMap<u64, (Pending, Asked)>,
    /// When each home was asked last.
    asked: BTreeMap<usize, u64>,
}

impl Leading {
    pub(crate) fn new(term: u64, elected: Moment) -> Self {
        Self {
            hosts: Grantor::new(timing(), term, elected),
            providers: Grantor::new(timing(), term, elected),
            sessions: Session::default(),
            asks: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }
}

/// What a host's node holds; it is lost with the node.
#[derive(Debug, Default)]
pub(crate) struct Held {
    host: Holder,
    applied: usize,
    /// What was asked for no later than this is not taken any more.
    bounded_at: Option<Moment>,
    /// By machine: its start, and until when it may run; none if without end.
    grants: BTreeMap<MachineName, (Epoch, Option<Holder>)>,
}

impl Held {
    fn granted(&mut self, pending: Pending, (applied, span): (usize, Span), guests: &[Leased]) {
        let sent = pending.until(Span::default());
        if self.bounded_at.is_some_and(|at| sent <= at) {
            return;
        }
        self.applied = self.applied.max(applied);
        self.host.granted(pending, span);
        for Leased { name, epoch, term } in guests {
            let fresh = (*epoch, Some(Holder::default()));
            let grant = self.grants.entry(*name).or_insert(fresh);
            if grant.0 < *epoch {
                *grant = fresh;
            }
            if grant.0 == *epoch {
                match term {
                    Term::Endless => grant.1 = None,
                    Term::For(span) => {
                        grant.1.get_or_insert_default().granted(pending, *span);
                    }
                }
            }
        }
    }

    fn may_act(&self, applied: usize, now: Moment) -> bool {
        self.host.holds(now) && self.applied <= applied
    }

    fn may_run(&self, name: MachineName, epoch: Epoch, now: Moment) -> bool {
        self.grants.get(&name).is_some_and(|(of, holder)| {
            *of == epoch && holder.as_ref().is_none_or(|holder| holder.holds(now))
        })
    }
}

/// A host's question, and which life of its node has asked it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    member: usize,
    host: usize,
    life: u64,
    pending: Pending,
}

impl World {
    fn moment(&self, member: usize, replica: usize) -> Moment {
        self.members[member].replicas[replica].clock.shows(self.now)
    }

    /// A host's node asks for its lease, and will again.
    pub(crate) fn renew(&mut self, member: usize, host: usize) {
        let row = &mut self.members[member].hosts[host];
        row.renew_at = u64::MAX;
        let (node, life) = (row.node, row.life);
        if !self.members[member].replicas[node].up {
            // Its return asks.
            return;
        }
        let pending = Pending::sent(self.moment(member, node));
        let asking = Asking { member, host, life, pending };
        if let Some(leader) = self.members[member].leader
            && let Some(delay) = self.inner_delay(member, (node, leader))
        {
            self.schedule(self.now + delay, Event::HostAsks { asking });
        }
        self.renew_soon(member, host, timing().again().as_millis());
    }

    /// Lets a host ask after a pause, unless it does so earlier anyway.
    pub(crate) fn renew_soon(&mut self, member: usize, host: usize, pause: u64) {
        let at = self.now + pause;
        let row = &mut self.members[member].hosts[host];
        if at < row.renew_at {
            row.renew_at = at;
            self.schedule(at, Event::Renew { member, host });
        }
    }

    /// Lets the hosts of a node that has come back ask.
    pub(crate) fn wake_renewals(&mut self, member: usize, node: usize) {
        for host in 0..self.members[member].hosts.len() {
            if self.members[member].hosts[host].node == node {
                self.renew_soon(member, host, 10);
            }
        }
    }

    /// How long a message between nodes of a site is on its way; none if it is lost.
    pub(crate) fn inner_delay(&mut self, member: usize, (from, to): (usize, usize)) -> Option<u64> {
        if from == to {
            return Some(1);
        }
        let replicas = &self.members[member].replicas;
        if replicas[from].mute || replicas[to].deaf {
            return None;
        }
        if !self.is_quiet(member) && self.chance.once_in(12) {
            return None;
        }
        let most = if !self.is_quiet(member) && self.chance.once_in(3) { 12_000 } else { 60 };
        Some(self.chance.between(1, most))
    }

    /// The question arrives at the leader, which has its leadership confirmed before it answers.
    pub(crate) fn host_asks(&mut self, asking: Asking) {
        let member = &self.members[asking.member];
        let (Some(_), Some(leading)) = (member.leader, &member.desk.leading) else { return };
        let (question, term) = (leading.hosts.question(), member.term);
        let at = self.now + self.chance.between(1, 30);
        self.schedule(at, Event::HostRead { asking, question, term });
    }

    /// The leader is confirmed, and answers.
    pub(crate) fn host_read(&mut self, asking: Asking, question: Question, term: u64) {
        let Asking { member, host, .. } = asking;
        let Some(leader) = self.members[member].leader else { return };
        if self.members[member].term != term || !self.members[member].has_quorum() {
            return;
        }
        let now = self.moment(member, leader);
        let id = self.members[member].hosts[host].id;
        let site = &self.members[member].replicas[leader].site;
        let Some(row) = site.hosts().find(|(known, _)| **known == id).map(|(_, row)| row) else {
            return;
        };
        if row.ended.is_some() {
            self.propose(member, Command::HostBack { host: id }, Reply::Nobody);
            return;
        }
        let (me, guests) = (self.members[member].id, site.leased_on(id));
        let alone = site.nodes().count() <= 1;
        let applied = self.members[member].log.len();
        let Some(leading) = &mut self.members[member].desk.leading else { return };
        let Ok(duration) = leading.hosts.answer(question, id, now) else { return };
        let sessions = &leading.sessions;
        let term_of = |name: MachineName, epoch: Epoch, on_partition| {
            Some(match (on_partition, name.home == me) {
                (OnPartition::Hold, _) => Term::Endless,
                (OnPartition::Fence, true) if alone => Term::Endless,
                (OnPartition::Fence, true) => Term::For(duration),
                (OnPartition::Fence, false) => {
                    let left = sessions.remaining(name, epoch.home, now)?;
                    Term::For(if alone { left } else { left.min(duration) })
                }
            })
        };
        let guests = guests.into_iter().filter_map(|(name, epoch, on_partition)| {
            Some(Leased { name, epoch, term: term_of(name, epoch, on_partition)? })
        });
        let guests: Rc<[Leased]> = guests.collect();
        self.census.leases_granted += 1;
        let node = self.members[member].hosts[host].node;
        if let Some(delay) = self.inner_delay(member, (leader, node)) {
            let grant = (applied, duration);
            self.schedule(self.now + delay, Event::HostGranted { asking, grant, guests });
        }
    }

    /// The answer arrives; the node that asked may be gone.
    pub(crate) fn host_granted(&mut self, asking: Asking, grant: (usize, Span), guests: &[Leased]) {
        let Asking { member, host, life, mut pending } = asking;
        let row = &self.members[member].hosts[host];
        if row.life != life || !self.members[member].replicas[row.node].up {
            return;
        }
        if self.left_out == Some(Rule::CountedFromSending) {
            pending = Pending::sent(self.moment(member, row.node));
        }
        let row = &mut self.members[member].hosts[host];
        row.held.granted(pending, grant, guests);
        self.move_deadlines(member, host);
        self.wake_host(member, host, 5);
    }

    /// Whether all that may run on the hosts of a site's only voter ends in time for whoever is
    /// elected from now on, but for what is held. If so, it stays so.
    pub(crate) fn is_bounded(&mut self, member: usize) -> bool {
        let Some(leader) = self.members[member].leader else { return false };
        let now = self.moment(member, leader);
        let row = &mut self.members[member];
        let site = &row.replicas[leader].site;
        let ends = |until: &Moment| *until <= now + DURATION;
        let own = |host: &&mut Host| host.node == leader;
        for host in row.hosts.iter_mut().filter(own) {
            let leased = site.leased_on(host.id);
            let is_held = |name: &MachineName| {
                leased.iter().any(|(it, _, what)| it == name && *what == OnPartition::Hold)
            };
            let is_bounded = |(name, local): (&MachineName, &Local)| {
                let granted = host.held.grants.get(name).is_none_or(|(_, holder)| {
                    holder.as_ref().is_some_and(|it| it.until().as_ref().is_none_or(ends))
                });
                local.guest.is_none()
                    || is_held(name)
                    || (granted && host.deadlines.get(name).is_some_and(ends))
            };
            if !host.locals.iter().all(is_bounded) {
                return false;
            }
            host.held.bounded_at = Some(now);
        }
        true
    }

    /// Whether a host may act on the state that its node has.
    pub(crate) fn may_act(&self, member: usize, host: usize) -> bool {
        let row = &self.members[member].hosts[host];
        let past_counts = self.left_out == Some(Rule::CaughtUp);
        let applied = self.members[member].replicas[row.node].applied;
        let applied = if past_counts { usize::MAX } else { applied };
        row.held.may_act(applied, self.moment(member, row.node))
    }

    /// Whether a guest may run, which its host's node asks before it lets it.
    pub(crate) fn may_run(
        &mut self,
        member: usize,
        host: usize,
        (name, epoch): (MachineName, Epoch),
    ) -> bool {
        let row = &self.members[member].hosts[host];
        // Who looks at the past looks at leases of the past.
        let past_counts = self.left_out == Some(Rule::CaughtUp);
        let may = past_counts || row.held.may_run(name, epoch, self.moment(member, row.node));
        if may {
            self.move_deadlines(member, host);
        } else {
            self.renew_soon(member, host, HUNGRY);
        }
        may
    }

    /// Writes down for the fence until when each guest may run.
    fn move_deadlines(&mut self, member: usize, host: usize) {
        let row = &mut self.members[member].hosts[host];
        for (name, (epoch, holder)) in &row.held.grants {
            let guest = row.locals.get(name).and_then(|local| local.guest);
            if guest.is_none_or(|guest| guest.epoch != *epoch) {
                continue;
            }
            match holder.as_ref().map(Holder::until) {
                None => drop(row.deadlines.remove(name)),
                Some(Some(until)) => drop(row.deadlines.insert(*name, until)),
                Some(None) => {}
            }
        }
        let present = |name: &MachineName| row.locals.contains_key(name);
        let gone: Vec<MachineName> =
            row.deadlines.keys().copied().filter(|name| !present(name)).collect();
        for name in gone {
            self.members[member].hosts[host].deadlines.remove(&name);
        }
        let at = self.now + self.chance.below(FENCE_LATE);
        self.schedule(at, Event::Fence { member, host });
    }

    /// The fence looks at its deadlines: what is due is stopped, and what is not goes on.
    pub(crate) fn fence(&mut self, member: usize, host: usize) {
        let node = self.members[member].hosts[host].node;
        let clock = self.members[member].replicas[node].clock;
        let now = clock.shows(self.now);
        let row = &mut self.members[member].hosts[host];
        let (mut stopped, mut thawed, mut next) = (0, Vec::new(), None);
        for (name, local) in &mut row.locals {
            let Some(guest) = &mut local.guest else { continue };
            let due = row.deadlines.get(name).is_some_and(|until| *until <= now);
            if due && !guest.frozen && self.left_out != Some(Rule::Fence) {
                guest.frozen = true;
                stopped += u64::from(guest.running);
            } else if !due && guest.frozen {
                guest.frozen = false;
                thawed.push(*name);
            }
            if !due && let Some(until) = row.deadlines.get(name) {
                next = Some(next.map_or(*until, |next: Moment| next.min(*until)));
            }
        }
        self.census.guests_fenced += stopped;
        if let Some(next) = next {
            let at = clock.when(next).max(self.now) + self.chance.below(FENCE_LATE);
            self.schedule(at, Event::Fence { member, host });
        }
        for name in thawed {
            self.census.guests_thawed += 1;
            self.goes_on(member, name);
        }
    }

    /// A leader notices which leases have ended, and asks homes about their guests here. Says
    /// whether there is anything of the kind to look after.
    pub(crate) fn look_after_leases(&mut self, member: usize) -> bool {
        let Some(leader) = self.members[member].leader else { return false };
        let now = self.moment(member, leader);
        let me = number(leader);
        let site = &self.members[member].replicas[leader].site;
        let others = site.hosts().filter(|(_, row)| row.ended.is_none() && row.node != me);
        let hosts: Vec<HostId> = others.map(|(host, _)| *host).collect();
        let providers = site.providers();
        let foreign = site.foreign();
        let busy = !hosts.is_empty() || !providers.is_empty() || !foreign.is_empty();
        let waits = self.left_out != Some(Rule::NewLeaderWaits);
        let mut commands = Vec::new();
        let Some(leading) = &mut self.members[member].desk.leading else { return false };
        leading.hosts.retain(|host| hosts.contains(&host));
        for host in hosts {
            if waits {
                leading.hosts.expect(host, now);
            }
            if leading.hosts.end(host, now) {
                commands.push(Command::HostEnded { host });
            }
        }
        leading.providers.retain(|peer| providers.contains(&peer));
        for peer in providers {
            if waits {
                leading.providers.expect(peer, now);
            }
            if leading.providers.end(peer, now) {
                commands.push(Command::PeerEnded { peer });
            }
        }
        for command in commands {
            self.propose(member, command, Reply::Nobody);
        }
        for (home, machines) in foreign {
            self.ask_home(member, home, machines);
        }
        busy
    }

    /// Asks a home about its guests here, if it is time to.
    fn ask_home(&mut self, member: usize, home: SiteId, machines: Vec<(MachineId, u64)>) {
        let Some(leader) = self.members[member].leader else { return };
        let (now, home_index) = (self.moment(member, leader), self.index(home));
        let at = self.now;
        let Some(leading) = &mut self.members[member].desk.leading else { return };
        let waits = machines.iter().any(|(machine, epoch)| {
            let name = MachineName { home, machine: *machine };
            leading.sessions.remaining(name, *epoch, now).is_none()
        });
        let pause = if waits { HUNGRY } else { timing().again().as_millis() };
        if leading.asked.get(&home_index).is_some_and(|asked| at < asked + pause) {
            return;
        }
        leading.asked.insert(home_index, at);
        let (number, machines) = (self.chance.below(u64::MAX), Rc::new(machines));
        let ask = (Pending::sent(now), Rc::clone(&machines));
        if let Some(leading) = &mut self.members[member].desk.leading {
            leading.asks.insert(number, ask);
        }
        self.send(member, home_index, &Payload::RenewSession { number, machines });
    }

    /// A provider's question arrives at the leader of the home.
    pub(crate) fn provider_asks(
        &mut self,
        (from, to): (usize, usize),
        number: u64,
        machines: Asked,
    ) {
        let home = &self.members[to];
        let Some(leading) = &home.desk.leading else { return };
        let (question, term) = (leading.providers.question(), home.term);
        let at = self.now + self.chance.between(1, 30);
        let read = Event::SessionRead { from, to, number, machines, question, term };
        self.schedule(at, read);
    }

    /// The home's leader is confirmed, and answers.
    pub(crate) fn session_read(
        &mut self,
        (from, to): (usize, usize),
        (number, machines): (u64, &[(MachineId, u64)]),
        (question, term): (Question, u64),
    ) {
        let Some(leader) = self.members[to].leader else { return };
        if self.members[to].term != term || !self.members[to].has_quorum() {
            return;
        }
        let (now, provider) = (self.moment(to, leader), self.members[from].id);
        let site = &self.members[to].replicas[leader].site;
        if site.peer(provider).is_some_and(|peer| peer.ended.is_some()) {
            self.propose(to, Command::PeerBack { peer: provider }, Reply::Nobody);
            return;
        }
        let machines = site.renewable(provider, machines);
        if machines.is_empty() {
            return;
        }
        let Some(leading) = &mut self.members[to].desk.leading else { return };
        let Ok(duration) = leading.providers.answer(question, provider, now) else { return };
        self.census.sessions_granted += 1;
        let renewal = SessionRenewal::Renewed { duration, machines };
        self.send(to, from, &Payload::SessionRenewal { number, renewal: Rc::new(renewal) });
    }

    /// A home's answer arrives at the provider.
    pub(crate) fn session_granted(
        &mut self,
        (from, to): (usize, usize),
        number: u64,
        renewal: &SessionRenewal,
    ) {
        let home = self.members[from].id;
        let Some(leader) = self.members[to].leader else { return };
        let now = self.moment(to, leader);
        let Some(leading) = &mut self.members[to].desk.leading else { return };
        // A second copy of the answer says nothing new.
        let Some((mut pending, asked)) = leading.asks.remove(&number) else { return };
        if self.left_out == Some(Rule::CountedFromSending) {
            pending = Pending::sent(now);
        }
        let SessionRenewal::Renewed { duration, machines } = renewal else { return };
        let renewed = asked.iter().filter(|(machine, _)| machines.contains(machine));
        let renewed = renewed.map(|(machine, epoch)| {
            let name = MachineName { home, machine: *machine };
            (name, *epoch)
        });
        leading.sessions.granted(pending, *duration, renewed);
        for host in 0..self.members[to].hosts.len() {
            self.renew_soon(to, host, 20);
        }
    }
}
