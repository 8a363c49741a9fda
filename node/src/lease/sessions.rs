//! The sessions that this site holds: asks the homes of foreign guests whether they may go on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use federation::Channel;
use protocol::codec;
use protocol::ids::{MachineId, MachineName, SiteId};
use protocol::lease::Pending;
use protocol::wire::v1::lease::{
    RenewSession, SESSION_MACHINES_MAX, SessionRenewal, session_renewal,
};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use super::{Leases, now};
use crate::desk::Desk;
use crate::observe::chain;

/// The pause before a home is asked again about guests that it has not renewed: at first, since its
/// word may be on its way, and longer each time.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// How it stands with one home.
struct Line {
    under_way: bool,
    /// When it was asked last.
    asked: Instant,
    /// Its guests that had no lease then.
    waiting: BTreeSet<(MachineId, u64)>,
    pause: Duration,
}

pub(super) struct Sessions {
    desk: Desk,
    leases: Leases,
    lines: BTreeMap<SiteId, Line>,
    tasks: JoinSet<SiteId>,
}

impl Sessions {
    pub(super) fn new(desk: Desk, leases: Leases) -> Self {
        Self { desk, leases, lines: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Asks each home that it is time to ask.
    pub(super) fn look(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended);
        }
        let homes = self.desk.read(protocol::site::Site::foreign);
        self.lines.retain(|home, line| line.under_way || homes.contains_key(home));
        let Some(term) = self.begin(&homes) else { return };
        for (home, machines) in homes {
            let waiting = self.waiting(home, &machines);
            if self.is_due(home, waiting) {
                let (desk, leases) = (self.desk.clone(), self.leases.clone());
                self.tasks.spawn(async move {
                    renew(&desk, &leases, (home, term), machines).await;
                    home
                });
            }
        }
    }

    /// Forgets guests that are gone; says which term this is, if this node leads.
    fn begin(&self, homes: &BTreeMap<SiteId, Vec<(MachineId, u64)>>) -> Option<u64> {
        let mut leading = self.leases.leading();
        let leading = leading.as_mut()?;
        let known: BTreeSet<MachineName> = homes
            .iter()
            .flat_map(|(home, machines)| {
                machines.iter().map(|(machine, _)| MachineName { home: *home, machine: *machine })
            })
            .collect();
        leading.sessions.retain(|name| known.contains(&name));
        Some(leading.term)
    }

    /// The guests of a home that have no lease.
    fn waiting(&self, home: SiteId, machines: &[(MachineId, u64)]) -> BTreeSet<(MachineId, u64)> {
        let leading = self.leases.leading();
        let now = now();
        let has = |(machine, epoch): &&(MachineId, u64)| {
            let name = MachineName { home, machine: *machine };
            let sessions = leading.as_ref().map(|leading| &leading.sessions);
            sessions.is_some_and(|it| it.remaining(name, *epoch, now).is_some())
        };
        machines.iter().filter(|machine| !has(machine)).copied().collect()
    }

    /// Whether a home is to be asked now; if so, notes that it is.
    fn is_due(&mut self, home: SiteId, waiting: BTreeSet<(MachineId, u64)>) -> bool {
        let again = Duration::from_millis(self.leases.timing().again().as_millis());
        let now = Instant::now();
        let Some(line) = self.lines.get_mut(&home) else {
            let line = Line { under_way: true, asked: now, waiting, pause: PAUSE_MIN };
            self.lines.insert(home, line);
            return true;
        };
        if waiting.is_empty() || !waiting.is_subset(&line.waiting) {
            line.pause = PAUSE_MIN;
        }
        let pause = if waiting.is_empty() { again } else { line.pause.min(again) };
        if line.under_way || now < line.asked + pause {
            return false;
        }
        line.pause = (line.pause * 2).min(again);
        (line.under_way, line.asked, line.waiting) = (true, now, waiting);
        true
    }

    /// Waits until an exchange has ended; for ever if none is under way.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => self.ended(ended),
            None => std::future::pending().await,
        }
    }

    fn ended(&mut self, ended: Result<SiteId, tokio::task::JoinError>) {
        let home = ended.expect("an exchange does not panic and is not cancelled");
        if let Some(line) = self.lines.get_mut(&home) {
            line.under_way = false;
        }
    }

    pub(super) async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Asks one home about its guests here, as often as they need.
async fn renew(
    desk: &Desk,
    leases: &Leases,
    (home, term): (SiteId, u64),
    machines: Vec<(MachineId, u64)>,
) {
    for machines in machines.chunks(SESSION_MACHINES_MAX) {
        let pending = Pending::sent(now());
        let question = codec::encode(&RenewSession { machines: machines.to_vec() });
        let answer = match desk.peers().ask(home, Channel::Session, question).await {
            Ok(answer) => answer,
            Err(fault) => {
                debug!(%home, fault = chain(&fault), "a home cannot be asked about its guests");
                return;
            }
        };
        let (duration, renewed) = match session_renewal(&answer) {
            Ok(SessionRenewal::Renewed { duration, machines }) => (duration, machines),
            Ok(SessionRenewal::Later) => return,
            Err(fault) => {
                debug!(%home, fault = chain(&fault), "a home's word on its guests is not read");
                return;
            }
        };
        // The home cannot renew what it was not asked about.
        let renewed: BTreeSet<MachineId> = renewed.into_iter().collect();
        let granted = machines.iter().filter(|(machine, _)| renewed.contains(machine));
        let granted =
            granted.map(|(machine, epoch)| (MachineName { home, machine: *machine }, *epoch));
        let mut leading = leases.leading();
        if let Some(leading) = leading.as_mut().filter(|leading| leading.term == term) {
            leading.sessions.granted(pending, duration, granted);
        }
    }
}
