//! What goes wrong: nodes are killed, leaders lost, networks cut, hypervisors out of reach, hosts
//! restarted.

use crate::replica::Replica;
use crate::world::{Event, World};

impl World {
    /// Something goes wrong somewhere.
    pub(crate) fn strike(&mut self) {
        if self.calm {
            return;
        }
        let member = self.chance.index(self.members.len());
        match self.chance.below(13) {
            _ if self.is_quiet(member) => {}
            0 | 1 => {
                self.network.cut(self.members.len(), &mut self.chance, &mut self.census);
                let at = self.now + self.chance.between(1_000, 25_000);
                self.schedule(at, Event::Heal);
            }
            2 | 3 => {
                if let Some(leader) = self.members[member].leader {
                    self.crash(member, leader);
                }
            }
            4 => {
                let replica = self.chance.index(self.members[member].replicas.len());
                self.crash(member, replica);
            }
            5 => {
                let host = self.chance.index(self.members[member].hosts.len());
                self.census.hypervisors_lost += 1;
                let until = self.now + self.chance.between(2_000, 30_000);
                let row = &mut self.members[member].hosts[host];
                row.unreachable_until = Some(until);
                row.doing = None;
                self.wake_host(member, host, 10);
            }
            6 => {
                let host = self.chance.index(self.members[member].hosts.len());
                self.census.hosts_rebooted += 1;
                self.members[member].hosts[host].reboot();
                let node = self.members[member].hosts[host].node;
                self.crash(member, node);
            }
            7..=9 => {
                let replica = self.chance.index(self.members[member].replicas.len());
                self.cut_off(member, replica);
            }
            10 => self.isolate(member),
            _ => self.end_a_guest(member),
        }
        let sites = u64::try_from(self.members.len()).expect("a world has few sites");
        let at = self.now + self.chance.between(50, self.shape.pace / sites.min(30));
        self.schedule(at, Event::Strike);
    }

    fn end_a_guest(&mut self, member: usize) {
        let hosts = &self.members[member].hosts;
        let living: Vec<_> = (0..hosts.len())
            .flat_map(|host| {
                hosts[host].locals.iter().map(move |(name, local)| (host, name, local))
            })
            .filter(|(_, _, local)| local.guest.is_some())
            .map(|(host, name, _)| (host, *name))
            .collect();
        if let Some((host, name)) = self.chance.pick(&living) {
            if let Some(local) = self.members[member].hosts[host].locals.get_mut(&name) {
                local.guest = None;
            }
            self.census.guests_ended += 1;
            self.wake_host(member, host, 100);
        }
    }

    /// Kills the node of a replica, unless its site would lose the majority for longer than it
    /// takes to restart it: one node of three at a time.
    pub(crate) fn crash(&mut self, member: usize, replica: usize) {
        let site = &mut self.members[member];
        if site.replicas[replica].gone || !site.is_whole() {
            return;
        }
        site.replicas[replica].up = false;
        for host in site.hosts.iter_mut().filter(|host| host.node == replica) {
            host.interrupt();
        }
        // Longer than any lease, at times.
        let longest = if self.chance.once_in(4) { 40_000 } else { 12_000 };
        let back = self.now + self.chance.between(500, longest);
        self.schedule(back, Event::Restart { member, replica });
        self.lose_leader(member, replica, back);
    }

    /// A node no longer hears the others of its site, or is no longer heard by them, or both.
    fn cut_off(&mut self, member: usize, replica: usize) {
        let what = match self.chance.below(4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let span = self.chance.between(500, 40_000);
        self.sever(member, replica, what, span);
    }

    /// A node is mute, or deaf, or both, for a while: what runs on its hosts runs on.
    pub(crate) fn sever(
        &mut self,
        member: usize,
        replica: usize,
        (mute, deaf): (bool, bool),
        span: u64,
    ) {
        let site = &mut self.members[member];
        let living = site.replicas.iter().filter(|it| !it.gone).count();
        if living == 1 || site.replicas[replica].gone || !site.is_whole() {
            return;
        }
        self.census.nodes_mute += u64::from(mute && !deaf);
        self.census.nodes_deaf += u64::from(deaf && !mute);
        self.census.nodes_cut_off += u64::from(mute && deaf);
        (site.replicas[replica].mute, site.replicas[replica].deaf) = (mute, deaf);
        let (leader, leads) = (site.leader, site.leader == Some(replica));
        let (votes, is_only_voter) = (site.votes(replica), site.is_only_voter(replica));
        let back = self.now + span;
        self.schedule(back, Event::Reconnect { member, replica });
        match leader {
            // Nobody else can be elected.
            Some(_) if is_only_voter => {}
            // Its followers hear it, and so elect nobody; it hears no answer, and decides nothing.
            Some(_) if leads && !mute => self.census.leaders_deaf += 1,
            // Who hears no leader asks for votes; whoever hears that may give up the one there is.
            Some(leader) if votes && !leads && !mute && self.chance.once_in(2) => {
                self.lose_leader(member, leader, back);
            }
            Some(_) | None => self.lose_leader(member, replica, back),
        }
    }

    /// A node hears the others of its site again, and is heard.
    pub(crate) fn reconnect(&mut self, member: usize, replica: usize) {
        let returning = &mut self.members[member].replicas[replica];
        (returning.mute, returning.deaf) = (false, false);
        self.schedule(self.now + 5, Event::Follow { member, replica });
        self.wake_hosts(member, None);
        self.wake_renewals(member, replica);
    }

    /// A node that is gone from its site leads no more: the others elect another, and a site of one
    /// node waits until it is back.
    pub(crate) fn lose_leader(&mut self, member: usize, replica: usize, back: u64) {
        let site = &mut self.members[member];
        if site.leader != Some(replica) {
            return;
        }
        self.census.leaders_lost += 1;
        site.leader = None;
        site.term += 1;
        let (alone, term) = (site.is_only_voter(replica), site.term);
        let at = if alone { back } else { self.now + self.chance.between(800, 4_000) };
        self.schedule(at, Event::Elect { member, term });
    }

    /// A killed node comes back: with its tables, or with nothing but the log, which it then goes
    /// through from the beginning. Until it is through, what it sees is the past.
    pub(crate) fn restart(&mut self, member: usize, replica: usize) {
        if self.members[member].replicas[replica].gone {
            return;
        }
        let tables_are_there = self.chance.once_in(2);
        let site = &mut self.members[member];
        let returning = &mut site.replicas[replica];
        returning.up = true;
        if tables_are_there {
            self.census.replicas_reloaded += 1;
            returning.reload();
        } else {
            self.census.replicas_replayed += 1;
            returning.forget();
            for _ in 0..self.chance.index(site.log.len()) {
                returning.apply_next(&site.log);
            }
        }
        let at = self.now + self.chance.between(1, 2_000);
        self.schedule(at, Event::Follow { member, replica });
        self.wake_hosts(member, Some(replica));
        self.wake_renewals(member, replica);
    }

    /// A site chooses its next leader.
    pub(crate) fn elect(&mut self, member: usize, term: u64) {
        if self.members[member].term != term {
            return;
        }
        let site = &self.members[member];
        if !site.can_elect() {
            self.schedule(self.now + 500, Event::Elect { member, term });
            return;
        }
        // Nobody votes for a node that has less of the log than itself.
        let knows = |it: &Replica| it.is_reached() && it.stored == site.log.len();
        let able: Vec<usize> = (0..site.replicas.len())
            .filter(|it| site.votes(*it) && knows(&site.replicas[*it]))
            .collect();
        match self.chance.pick(&able) {
            Some(next) => self.succeed(member, next),
            None => {
                let detail = "no majority has all that was committed on its disks".to_owned();
                self.breach("durability", member, detail);
            }
        }
    }

    /// A replica takes over. Of what the leader before had proposed, a beginning may have reached a
    /// majority, and counts; the rest never happened. Nobody learns which.
    pub(crate) fn succeed(&mut self, member: usize, next: usize) {
        self.lead(member, next);
        let proposed = std::mem::take(&mut self.members[member].pending);
        let kept = self.chance.index(proposed.len() + 1);
        let lost = u64::try_from(proposed.len() - kept).expect("a queue is short");
        self.census.proposals_lost += lost;
        for pending in proposed.into_iter().take(kept) {
            self.census.proposals_orphaned += 1;
            self.append(member, &pending.stamped);
        }
        for replica in 0..self.members[member].replicas.len() {
            let at = self.now + self.chance.between(1, 500);
            self.schedule(at, Event::Follow { member, replica });
        }
    }

    /// Nothing goes wrong from now on: everything is mended, and time runs on until all has
    /// settled.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        self.network.calm_down();
        for member in 0..self.members.len() {
            for host in 0..self.members[member].hosts.len() {
                self.members[member].hosts[host].unreachable_until = None;
                self.wake_host(member, host, 10);
            }
        }
        self.schedule(self.now + 1_000, Event::Settle);
    }
}
