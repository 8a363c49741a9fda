//! How nodes work on their hosts: look, take one step, look again.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use protocol::ids::MachineName;
use protocol::machine::guest::{Progress, Seen};
use protocol::machine::host::{Action, next};
use protocol::site::Assignment;
use protocol::site::command::{Described, Observation};
use protocol::site::{Command, Site};

use crate::host::{Asked, Guest, Host, Local, Memory, Step, steps};
use crate::member::Reply;
use crate::rule::Rule;
use crate::world::{Event, World};

/// How long a node waits to hear that its site has taken note of what it saw, in milliseconds.
const PATIENCE: u64 = 1_000;

impl World {
    /// A node looks at one of its hosts, or takes the next step there.
    pub(crate) fn work(&mut self, member: usize, host: usize) {
        self.members[member].hosts[host].work_at = u64::MAX;
        let node = self.members[member].hosts[host].node;
        let replica = &self.members[member].replicas[node];
        if !self.members[member].has_quorum() || !replica.is_reached() {
            // Its return, or the election, wakes it.
            return;
        }
        if !self.describe(member, host) {
            return;
        }
        let now = self.now;
        self.members[member].hosts[host].let_guests_end(now);
        if self.members[member].hosts[host].doing.is_none() && !self.choose(member, host) {
            return;
        }
        if let Some((name, mut left)) = self.members[member].hosts[host].doing.take()
            && let Some(step) = left.pop_front()
        {
            let went_well = self.take_step((member, host), name, step);
            if went_well && !left.is_empty() {
                self.members[member].hosts[host].doing = Some((name, left));
            }
            self.disturb(member, host, name);
        }
        let answered_at = self.members[member].hosts[host].answered_at;
        let pause = self.chance.between(25, 60).max(answered_at.saturating_sub(now));
        self.wake_host(member, host, pause);
    }

    /// Tells the site how the host is, if that is news. Says whether it can be worked on.
    fn describe(&mut self, member: usize, host: usize) -> bool {
        let now = self.now;
        let row = &mut self.members[member].hosts[host];
        if row.unreachable_until.is_some_and(|until| until <= now) {
            row.unreachable_until = None;
        }
        let reachable = row.unreachable_until.is_none();
        let trouble = if reachable { "" } else { "the hypervisor cannot be reached" };
        let id = row.id;
        let node = crate::founding::number(row.node);
        let described = Described {
            node,
            name: format!("host-{host}"),
            capacity: row.capacity,
            hypervisor: "simulated".to_owned(),
            trouble: trouble.to_owned(),
        };
        let wake = row.unreachable_until.map(|until| until - now);
        if row.told.as_deref() != Some(trouble) {
            row.told = Some(trouble.to_owned());
            self.propose(member, Command::Host { host: id, described }, Reply::Nobody);
        }
        if let Some(pause) = wake {
            self.wake_host(member, host, pause);
        }
        reachable
    }

    /// Chooses what to do next. Says whether there is anything.
    fn choose(&mut self, member: usize, host: usize) -> bool {
        let node = self.members[member].hosts[host].node;
        let behind = self.members[member].replicas[node].applied < self.members[member].log.len();
        if behind {
            self.census.hosts_behind += 1;
            if self.left_out != Some(Rule::CaughtUp) {
                // The entry that is missing wakes the host when it is applied.
                return false;
            }
        } else {
            self.seek_orphans(member, host);
        }
        if !self.may_act(member, host) {
            self.renew_soon(member, host, 500);
            return false;
        }
        let looked = self.look_at(member, host);
        for (_, action, progress, local) in looked.iter().filter(|_| !behind) {
            self.judge_action((member, host), action, progress, *local);
        }
        let mut ready = Vec::new();
        let mut waiting = false;
        for (name, action, progress, local) in looked {
            if action == Action::Shutdown && local.asked.is_some() {
                waiting = true;
            } else if action != Action::Nothing {
                ready.push((name, action, progress.epoch));
            }
        }
        let mut leased = Vec::new();
        for (name, action, epoch) in ready {
            if action != Action::Resume || self.may_run(member, host, (name, epoch)) {
                leased.push((name, action, epoch));
            }
        }
        let Some((name, action, epoch)) = self.chance.pick(&leased) else {
            if waiting {
                self.wake_host(member, host, 500);
            }
            return false;
        };
        let steps: VecDeque<Step> = steps(&action, epoch, self.left_out);
        self.members[member].hosts[host].doing = Some((name, steps));
        true
    }

    /// What is to be done on a host, guest by guest: why, and with what.
    fn look_at(&self, member: usize, host: usize) -> Vec<(MachineName, Action, Progress, Local)> {
        let row = &self.members[member].hosts[host];
        let site: &Site = &self.members[member].replicas[row.node].site;
        let guests =
            site.assignments(row.id).into_iter().map(|Assignment { name, progress, .. }| {
                let local = row.locals.get(&name).copied().unwrap_or_default();
                (name, next(&progress, local.found(self.now)), progress, local)
            });
        guests.collect()
    }

    /// A process that no row of the site stands for is nobody's.
    fn seek_orphans(&mut self, member: usize, host: usize) {
        let row = &self.members[member].hosts[host];
        let site = &self.members[member].replicas[row.node].site;
        let known: BTreeSet<MachineName> =
            site.assignments(row.id).into_iter().map(|assignment| assignment.name).collect();
        let orphan =
            row.locals.iter().find(|(name, local)| local.guest.is_some() && !known.contains(*name));
        if let Some((name, _)) = orphan {
            let detail = format!("host {host} runs {name}, which its site does not know");
            self.breach("orphans", member, detail);
        }
    }

    /// Takes one step. Says whether the next one may follow.
    fn take_step(&mut self, (member, host): (usize, usize), name: MachineName, step: Step) -> bool {
        let now = self.now;
        let fails = !self.is_quiet(member) && self.chance.once_in(25);
        if fails && matches!(step, Step::MakeFresh(_) | Step::MakeFromSaved(_)) {
            self.census.steps_failed += 1;
            let (Step::MakeFresh(epoch) | Step::MakeFromSaved(epoch)) = step else { return false };
            let reason = "the hypervisor said no".to_owned();
            self.report(member, host, name, (epoch, Seen::Failed { reason }));
            return false;
        }
        let image = self.next_image;
        let local = self.members[member].hosts[host].locals.entry(name).or_default();
        match step {
            Step::MakeDisks => local.disks = true,
            Step::MakeFresh(epoch) => {
                let memory = Memory { booted: false, from: None };
                local.guest = Some(Guest { epoch, running: false, frozen: false, memory });
                self.members[member].hosts[host].deadlines.remove(&name);
            }
            Step::MakeFromSaved(epoch) => {
                let Some(memory) = local.saved else { return false };
                local.guest = Some(Guest { epoch, running: false, frozen: false, memory });
                self.members[member].hosts[host].deadlines.remove(&name);
            }
            Step::DeleteSaved => local.saved = None,
            Step::Run => self.run_guest(member, host, name),
            Step::Stop => {
                if let Some(guest) = &mut local.guest {
                    guest.running = false;
                }
            }
            Step::WriteMemory => {
                self.next_image += 1;
                local.saved = local.guest.map(|it| Memory { from: Some(image), ..it.memory });
            }
            Step::End(epoch) => {
                if local.guest.is_some_and(|guest| guest.epoch == epoch) {
                    local.guest = None;
                }
                local.asked = None;
            }
            Step::Ask => {
                let heeds = self.chance.below(4) > 0;
                self.census.shutdowns_ignored += u64::from(!heeds);
                let ends_at = heeds.then(|| now + self.chance.between(200, 4_000));
                local.asked = Some(Asked { at: now, ends_at });
            }
            Step::DeleteDisks => local.disks = false,
            Step::Report(epoch, seen) => self.report(member, host, name, (epoch, seen)),
        }
        true
    }

    fn run_guest(&mut self, member: usize, host: usize, name: MachineName) {
        let local = self.members[member].hosts[host].locals.entry(name).or_default();
        let Some(guest) = &mut local.guest else { return };
        guest.running = true;
        let first = !guest.memory.booted;
        let from = guest.memory.from.take();
        guest.memory.booted = true;
        let epoch = guest.epoch;
        self.census.boots += u64::from(first);
        self.census.guests_restarted += u64::from(first && epoch.provider > 1);
        self.census.resumptions += u64::from(!first && from.is_some());
        self.started(member, name, epoch, (first, from));
        let at = self.now + self.chance.below(100);
        self.schedule(at, Event::Fence { member, host });
    }

    fn report(
        &mut self,
        member: usize,
        host: usize,
        guest: MachineName,
        (epoch, seen): (protocol::epoch::Epoch, Seen),
    ) {
        let Host { id, node, .. } = self.members[member].hosts[host];
        let observations = vec![Observation { guest, epoch, seen }];
        let told = Rc::new(Command::Observe { host: id, observations });
        let Some(leader) = self.members[member].leader else { return };
        let once = self.inner_delay(member, (node, leader));
        self.census.observations_lost += u64::from(once.is_none());
        // Who hears nothing says it again, also when the first was only late.
        let again = !self.is_quiet(member) && self.chance.once_in(20);
        let again = if again { self.inner_delay(member, (node, leader)) } else { None };
        for delay in [once, again].into_iter().flatten() {
            self.census.observations_late += u64::from(delay > PATIENCE);
            let told = Rc::clone(&told);
            self.schedule(self.now + delay, Event::Observed { member, told });
        }
        // The node waits for its leader's answer, though not for ever.
        let wait = once.map_or(PATIENCE, |delay| delay.min(PATIENCE));
        self.members[member].hosts[host].answered_at = self.now + wait;
    }

    /// What may happen right after a step: the guest ends, or the node is killed.
    fn disturb(&mut self, member: usize, host: usize, name: MachineName) {
        if self.is_quiet(member) {
            return;
        }
        if self.chance.once_in(60)
            && let Some(local) = self.members[member].hosts[host].locals.get_mut(&name)
            && local.guest.take().is_some()
        {
            self.census.guests_ended += 1;
        }
        if self.chance.once_in(80) {
            self.census.hosts_interrupted += 1;
            let node = self.members[member].hosts[host].node;
            self.crash(member, node);
        }
    }

    /// Lets a node look at its host after a pause, unless it does so earlier anyway.
    pub(crate) fn wake_host(&mut self, member: usize, host: usize, pause: u64) {
        let at = self.now + pause;
        let row = &mut self.members[member].hosts[host];
        if at < row.work_at {
            row.work_at = at;
            self.schedule(at, Event::Work { member, host });
        }
    }

    /// Lets the nodes of a site look at their hosts.
    pub(crate) fn wake_hosts(&mut self, member: usize, node: Option<usize>) {
        for host in 0..self.members[member].hosts.len() {
            if node.is_none_or(|node| self.members[member].hosts[host].node == node) {
                let pause = self.chance.between(2, 15);
                self.wake_host(member, host, pause);
            }
        }
    }
}
