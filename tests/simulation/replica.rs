//! One replica of a site: a state that follows the site's log, and its tables on disk.

use std::collections::BTreeMap;

use protocol::codec;
use protocol::rows::{ROW_BYTES_MAX, Replicated, Row};
use protocol::site::state::Peer;
use protocol::site::{Command, Outcome, Site, Stamped};

use protocol::agreement::Message;

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
    /// Whether its node runs.
    pub(crate) up: bool,
    /// How far its node's clock is ahead, in milliseconds.
    pub(crate) skew: u64,
    /// Its tables on disk, written with the applied index in one batch.
    pub(crate) rows: Rows,
    left_out: Option<Rule>,
}

impl Replica {
    /// A replica that has applied nothing yet.
    pub(crate) fn new(skew: u64, left_out: Option<Rule>) -> Self {
        let (site, rows) = (Site::default(), Rows::new());
        Self { site, applied: 0, up: true, skew, rows, left_out }
    }

    /// Comes back after a crash, with its tables.
    pub(crate) fn reload(&mut self) {
        self.site = load(&self.rows);
    }

    /// Comes back after a crash with an empty disk: the log makes it again.
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
        let outcome = self.site.apply(stamped);
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
        if !hidden.is_empty() {
            self.rows.extend(hidden);
            self.site = load(&self.rows);
        }
        let refused = matches!(outcome, Outcome::Refused(_));
        let wrong = (refused && !touched.is_empty() && !deadline_passes)
            .then(|| format!("{outcome:?} has changed rows of tables {touched:?}"));
        (outcome, wrong)
    }

    /// Leaves a rule of the state out, by changing rows before a command is applied. What it
    /// hands back was hidden from the command.
    fn leave_out(&mut self, command: &Command) -> Rows {
        let Command::Receive { messages } = command else { return Rows::new() };
        match self.left_out {
            Some(Rule::Numbered) => {
                if let Some(first) = messages.first() {
                    let key = (PEERS, codec::encode(&first.statement().issuer));
                    if let Some(row) = self.rows.get_mut(&key) {
                        let mut peer: Peer =
                            codec::decode(row, ROW_BYTES_MAX).expect("a row that was just written");
                        peer.taken = first.statement().sequence - 1;
                        *row = codec::encode(&peer);
                        self.site = load(&self.rows);
                    }
                }
                Rows::new()
            }
            Some(Rule::HoldsCounted)
                if messages.iter().any(|message| matches!(message.body(), Message::Call(_))) =>
            {
                let holds = |key: &(u8, Vec<u8>)| key.0 == HOLDS;
                let hidden = self.rows.extract_if(.., |key, _| holds(key)).collect();
                self.site = load(&self.rows);
                hidden
            }
            Some(
                Rule::PreparedFirst
                | Rule::SavedOnce
                | Rule::CaughtUp
                | Rule::CommittedFirst
                | Rule::HoldsCounted,
            )
            | None => Rows::new(),
        }
    }
}

fn load(rows: &Rows) -> Site {
    let rows = rows.iter().map(|((table, key), value)| Row {
        table: *table,
        key: key.clone(),
        value: value.clone(),
    });
    Site::load(rows).expect("a site reads the rows that it has written")
}
