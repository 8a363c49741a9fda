//! One replica of a site: a state that follows the site's log, and its tables on disk.

use std::collections::BTreeMap;

use protocol::agreement::Message;
use protocol::codec;
use protocol::ids::HostId;
use protocol::peering::Reserve;
use protocol::rows::{ROW_BYTES_MAX, Replicated, Row};
use protocol::site::command::Observation;
use protocol::site::state::{Peer, Profile};
use protocol::site::{Command, Outcome, Site, Stamped};
use protocol::units::Micros;
use serde::de::DeserializeOwned;

use crate::leases::Clock;
use crate::rule::Rule;

/// The tables of [`Site`] that rules are left out in, by their numbers on disk.
const PROFILE: u8 = 1;
const PEERS: u8 = 6;
const HOLDS: u8 = 11;

/// The rows of a state by table and key, as they are on disk.
pub(crate) type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// A replica.
#[derive(Debug)]
pub(crate) struct Replica {
    /// What it knows.
    pub(crate) site: Site,
    /// How many entries of the log it has applied.
    pub(crate) applied: usize,
    /// How many it has on disk.
    pub(crate) stored: usize,
    /// Whether its node runs.
    pub(crate) up: bool,
    /// Whether it never will again: its disk was lost, or it was taken out of the site.
    pub(crate) gone: bool,
    /// Whether its node is not heard by the others of its site.
    pub(crate) mute: bool,
    /// Whether it does not hear them.
    pub(crate) deaf: bool,
    /// How far its node's clock is ahead, in milliseconds.
    pub(crate) skew: u64,
    /// The clock by which its node counts leases.
    pub(crate) clock: Clock,
    /// Its tables on disk, written with the applied index in one batch.
    pub(crate) rows: Rows,
    left_out: Option<Rule>,
}

impl Replica {
    /// A replica that has applied nothing yet.
    pub(crate) fn new(skew: u64, clock: Clock, left_out: Option<Rule>) -> Self {
        let (site, rows) = (Site::default(), Rows::new());
        Self {
            site,
            applied: 0,
            stored: 0,
            up: true,
            gone: false,
            mute: false,
            deaf: false,
            skew,
            clock,
            rows,
            left_out,
        }
    }

    /// Whether its node runs, hears the others of its site and is heard.
    pub(crate) const fn is_reached(&self) -> bool {
        self.up && !self.mute && !self.deaf
    }

    /// Comes back after a crash, with its tables.
    pub(crate) fn reload(&mut self) {
        self.site = load(&self.rows);
    }

    /// Comes back after a crash without its tables: the log makes them again.
    pub(crate) fn forget(&mut self) {
        self.rows.clear();
        self.site = Site::default();
        self.applied = 0;
    }

    /// Applies the next entry of the log. Says besides what a refused command has changed
    /// although it may not.
    pub(crate) fn apply_next(&mut self, log: &[Stamped]) -> (Outcome, Option<String>) {
        let stamped = &log[self.applied];
        let hidden = self.leave_out(&stamped.command);
        let at = stamped.at.max(self.site.now());
        let deadline_passes = self.site.next_deadline().is_some_and(|deadline| deadline <= at);
        let outcome = match (&stamped.command, self.left_out) {
            (Command::Observe { host, observations }, Some(Rule::EpochsTold)) => {
                let observations =
                    observations.iter().map(|it| self.as_if_new(*host, it)).collect();
                let command = Command::Observe { host: *host, observations };
                self.site.apply(&Stamped { command, ..stamped.clone() })
            }
            _ => self.site.apply(stamped),
        };
        self.applied += 1;
        let mut touched = Vec::new();
        for change in self.site.take_changes() {
            let key = (change.table, change.key);
            if self.rows.get(&key) != change.value.as_ref() && change.table != PROFILE {
                touched.push(change.table);
            }
            match change.value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        self.put_back(hidden);
        let refused = matches!(outcome, Outcome::Refused(_));
        let wrong = (refused && !touched.is_empty() && !deadline_passes)
            .then(|| format!("{outcome:?} has changed rows of tables {touched:?}"));
        (outcome, wrong)
    }

    /// What was seen on a host, as if it had been seen of what is there by now.
    fn as_if_new(&self, host: HostId, seen: &Observation) -> Observation {
        let present = self.site.assignments(host).into_iter().find(|it| it.name == seen.guest);
        let epoch = present.map_or(seen.epoch, |it| it.progress.epoch);
        Observation { epoch, ..seen.clone() }
    }

    /// Leaves a rule of the state out, by changing rows before a command is applied. What it
    /// hands back was hidden from the command.
    fn leave_out(&mut self, command: &Command) -> Hidden {
        let Command::Receive { messages } = command else { return Hidden::default() };
        let calls = messages.iter().any(|message| matches!(message.body(), Message::Call(_)));
        match self.left_out {
            Some(Rule::CreditBounded) if calls => self.hide_credits(),
            Some(Rule::ReserveKept) if calls => self.hide_reserve(),
            Some(Rule::Numbered) => {
                if let Some(first) = messages.first() {
                    let key = (PEERS, codec::encode(&first.statement().issuer));
                    if let Some(row) = self.rows.get_mut(&key) {
                        let mut peer: Peer = read(row);
                        peer.taken = first.statement().sequence - 1;
                        *row = codec::encode(&peer);
                        self.site = load(&self.rows);
                    }
                }
                Hidden::default()
            }
            Some(Rule::HoldsCounted) if calls => {
                let holds = |key: &(u8, Vec<u8>)| key.0 == HOLDS;
                let rows = self.rows.extract_if(.., |key, _| holds(key)).collect();
                self.site = load(&self.rows);
                Hidden { rows, ..Hidden::default() }
            }
            Some(
                Rule::Fence
                | Rule::NewLeaderWaits
                | Rule::CountedFromSending
                | Rule::BoundedFirst
                | Rule::StoredByMajority
                | Rule::PreparedFirst
                | Rule::SavedOnce
                | Rule::CaughtUp
                | Rule::EpochsTold
                | Rule::CommittedFirst
                | Rule::HoldsCounted
                | Rule::CreditBounded
                | Rule::ReserveKept,
            )
            | None => Hidden::default(),
        }
    }

    fn hide_credits(&mut self) -> Hidden {
        let mut credits = BTreeMap::new();
        for (key, row) in self.rows.range_mut((PEERS, Vec::new())..(PEERS + 1, Vec::new())) {
            let mut peer: Peer = read(row);
            credits.insert(key.clone(), peer.policy.selling.credit.take());
            *row = codec::encode(&peer);
        }
        self.site = load(&self.rows);
        Hidden { credits, ..Hidden::default() }
    }

    fn hide_reserve(&mut self) -> Hidden {
        let mut reserve = None;
        for row in self.profile_row() {
            let mut profile: Profile = read(row);
            reserve = Some(std::mem::take(&mut profile.reserve));
            *row = codec::encode(&profile);
        }
        self.site = load(&self.rows);
        Hidden { reserve, ..Hidden::default() }
    }

    fn profile_row(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        self.rows.range_mut((PROFILE, Vec::new())..(PROFILE + 1, Vec::new())).map(|(_, row)| row)
    }

    /// Puts back what was hidden from a command.
    fn put_back(&mut self, hidden: Hidden) {
        if hidden == Hidden::default() {
            return;
        }
        self.rows.extend(hidden.rows);
        for (key, credit) in hidden.credits {
            if let Some(row) = self.rows.get_mut(&key) {
                let mut peer: Peer = read(row);
                peer.policy.selling.credit = credit;
                *row = codec::encode(&peer);
            }
        }
        if let Some(reserve) = hidden.reserve {
            for row in self.profile_row() {
                let profile = Profile { reserve, ..read(row) };
                *row = codec::encode(&profile);
            }
        }
        self.site = load(&self.rows);
    }
}

/// What was hidden from a command, to leave a rule out.
#[derive(Debug, Default, Eq, PartialEq)]
struct Hidden {
    rows: Rows,
    credits: BTreeMap<(u8, Vec<u8>), Option<Micros>>,
    reserve: Option<Reserve>,
}

fn read<T: DeserializeOwned>(row: &[u8]) -> T {
    codec::decode(row, ROW_BYTES_MAX).expect("a row that was just written")
}

fn load(rows: &Rows) -> Site {
    let rows = rows.iter().map(|((table, key), value)| Row {
        table: *table,
        key: key.clone(),
        value: value.clone(),
    });
    Site::load(rows).expect("a site reads the rows that it has written")
}
