//! The state of a site: in memory to be read, its rows on disk to be found again.
//!
//! Applying an entry changes the state in memory; the rows it touched and the applied index are
//! then one batch on disk, which is not synced: see [`crate::schema`] for why that is enough.

use std::sync::{Arc, RwLock};

use openraft::storage::RaftStateMachine;
use openraft::{
    EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, Snapshot,
};
use protocol::rows::{Change, Replicated, Row};
use rocksdb::{IteratorMode, WriteBatch};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::entry::{Entry, LogId, Membership, SnapshotMeta, StorageError, TypeConfig};
use crate::log::failed;
use crate::replica::Progress;
use crate::schema::{self, Database, Durability, Key, blocking};
use crate::snapshot::{self, Reader, Snapshots};

/// How far the rows have come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// The last entry applied.
    pub(crate) last: Option<LogId>,
    /// Who took part then.
    pub(crate) members: Membership,
}

/// The state machine of one replica.
#[derive(Debug)]
pub(crate) struct Machine<S> {
    database: Arc<Database>,
    snapshots: Arc<Snapshots>,
    state: Arc<RwLock<S>>,
    applied: Applied,
    progress: watch::Sender<Progress>,
}

impl<S: Replicated> Machine<S> {
    /// Loads the state from its rows.
    pub(crate) fn load(
        database: Arc<Database>,
        snapshots: Arc<Snapshots>,
        progress: watch::Sender<Progress>,
    ) -> Result<Self, schema::Error> {
        let applied: Applied = database.get(Key::Applied)?.unwrap_or_default();
        let rows = database
            .rocks()
            .iterator_cf(database.rows(), IteratorMode::Start)
            .map(|item| {
                let (key, value) = item.map_err(schema::Error::database("read the rows"))?;
                snapshot::row(&key, value.into_vec()).ok_or(schema::Error::NoTable)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let state = load(rows)?;
        let machine =
            Self { database, snapshots, state: Arc::new(RwLock::new(state)), applied, progress };
        machine.report();
        Ok(machine)
    }

    /// The state, to be shared with its readers.
    pub(crate) fn state(&self) -> Arc<RwLock<S>> {
        Arc::clone(&self.state)
    }

    fn report(&self) {
        if let Some(last) = self.applied.last {
            self.progress.send_modify(|progress| progress.applied = last.index);
        }
    }
}

fn load<S: Replicated>(rows: Vec<Row>) -> Result<S, schema::Error> {
    S::load(rows.into_iter()).map_err(|source| schema::Error::Rows { source })
}

/// The outcomes of one entry's commands; none for one that was decided in another term.
type Outcomes<S> = Vec<Option<<S as Replicated>::Outcome>>;

/// Applies entries to the state, then writes the rows they touched.
fn apply<S: Replicated>(
    database: &Database,
    state: &RwLock<S>,
    mut applied: Applied,
    entries: Vec<Entry<S>>,
) -> Result<(Applied, Vec<Outcomes<S>>), schema::Error> {
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        applied.last = Some(entry.log_id);
        outcomes.push(match entry.payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Membership(members) => {
                applied.members = Membership::new(Some(entry.log_id), members);
                Vec::new()
            }
            EntryPayload::Normal(batch) => {
                let term = entry.log_id.leader_id.term;
                let commands = batch
                    .0
                    .iter()
                    .map(|it| it.counts_in(term).then(|| it.command.decode::<S>()).transpose())
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|source| schema::Error::Unreadable { what: "command", source })?;
                let mut state = state.write().expect(POISONED);
                let apply = |it: Option<S::Command>| it.map(|command| state.apply(&command));
                commands.into_iter().map(apply).collect()
            }
        });
    }
    let changes = state.write().expect(POISONED).take_changes();
    let mut batch = WriteBatch::default();
    for Change { table, key, value } in changes {
        let key = row_key(table, &key);
        match value {
            Some(value) => batch.put_cf(database.rows(), key, value),
            None => batch.delete_cf(database.rows(), key),
        }
    }
    database.put(&mut batch, Key::Applied, &applied);
    database.write(batch, Durability::Ordered, "write the applied rows")?;
    Ok((applied, outcomes))
}

/// A command that panics while it is applied is a fault of the state, on every replica; what it
/// left half done must not be read.
pub(crate) const POISONED: &str = "applying a command is total: it never panics";

fn row_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(1 + key.len());
    whole.push(table);
    whole.extend_from_slice(key);
    whole
}

/// Replaces the whole state by a snapshot's.
///
/// Everything is read and checked first. Then one synced batch takes the old rows away, puts the
/// new ones and the applied index: a crash leaves all of the old or all of the new. The file takes
/// its place last. If that does not come to pass, [`RaftStateMachine::get_current_snapshot`] finds
/// the file behind the purged log and makes it anew from the rows.
fn install<S: Replicated>(
    database: &Database,
    snapshots: &Snapshots,
    state: &RwLock<S>,
    meta: &SnapshotMeta,
    file: &std::fs::File,
) -> Result<Applied, snapshot::Error> {
    let mut reader = Reader::new(file)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.row()? {
        rows.push(row);
    }
    if reader.meta != *meta {
        return Err(snapshot::Error::Damaged { what: "it is not the one that was announced" });
    }
    let copy = snapshots.copy(file)?;
    let applied = Applied { last: meta.last_log_id, members: meta.last_membership.clone() };
    let mut batch = WriteBatch::default();
    for item in database.rocks().iterator_cf(database.rows(), IteratorMode::Start) {
        let (key, _) = item.map_err(schema::Error::database("read the rows"))?;
        batch.delete_cf(database.rows(), key);
    }
    for Row { table, key, value } in &rows {
        batch.put_cf(database.rows(), row_key(*table, key), value);
    }
    database.put(&mut batch, Key::Applied, &applied);
    let replacement = load(rows)?;
    database.write(batch, Durability::Synced, "install a snapshot")?;
    *state.write().expect(POISONED) = replacement;
    snapshots.publish(copy, meta)?;
    Ok(applied)
}

/// The present snapshot, or a new one if the present one is of no use any more.
fn current(
    database: &Database,
    snapshots: &Snapshots,
) -> Result<Option<(SnapshotMeta, std::fs::File)>, snapshot::Error> {
    let purged: Option<LogId> = database.get(Key::Purged)?;
    match snapshots.current() {
        Ok(None) => Ok(None),
        Ok(Some((meta, file))) if meta.last_log_id >= purged => Ok(Some((meta, file))),
        Ok(Some(_)) => snapshots.build(database).map(Some),
        Err(error) if error.is_of_the_content() => {
            tracing::warn!(%error, "the snapshot is made again");
            snapshots.build(database).map(Some)
        }
        Err(error) => Err(error),
    }
}

fn opened<S: Replicated>((meta, file): (SnapshotMeta, std::fs::File)) -> Snapshot<TypeConfig<S>> {
    Snapshot { meta, snapshot: Box::new(tokio::fs::File::from_std(file)) }
}

impl<S: Replicated> RaftStateMachine<TypeConfig<S>> for Machine<S> {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        Ok((self.applied.last, self.applied.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes<S>>, StorageError>
    where
        I: IntoIterator<Item = Entry<S>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let (database, state) = (Arc::clone(&self.database), Arc::clone(&self.state));
        let applied = self.applied.clone();
        let (applied, outcomes) = blocking(move || apply(&database, &state, applied, entries))
            .await
            .map_err(failed(ErrorSubject::StateMachine, ErrorVerb::Write))?;
        self.applied = applied;
        self.report();
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { database: Arc::clone(&self.database), snapshots: Arc::clone(&self.snapshots) }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<tokio::fs::File>, StorageError> {
        let snapshots = Arc::clone(&self.snapshots);
        let file = blocking(move || snapshots.receiving())
            .await
            .map_err(failed(ErrorSubject::Snapshot(None), ErrorVerb::Write))?;
        Ok(Box::new(tokio::fs::File::from_std(file)))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<tokio::fs::File>,
    ) -> Result<(), StorageError> {
        let (database, snapshots) = (Arc::clone(&self.database), Arc::clone(&self.snapshots));
        let (state, meta) = (Arc::clone(&self.state), meta.clone());
        let signature = meta.signature();
        let file = snapshot.into_std().await;
        self.applied = blocking(move || install(&database, &snapshots, &state, &meta, &file))
            .await
            .map_err(failed(ErrorSubject::Snapshot(Some(signature)), ErrorVerb::Write))?;
        self.report();
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<Snapshot<TypeConfig<S>>>, StorageError> {
        let (database, snapshots) = (Arc::clone(&self.database), Arc::clone(&self.snapshots));
        let current = blocking(move || current(&database, &snapshots))
            .await
            .map_err(failed(ErrorSubject::Snapshot(None), ErrorVerb::Read))?;
        Ok(current.map(opened))
    }
}

/// Makes snapshots while the machine goes on.
#[derive(Debug)]
pub(crate) struct Builder {
    database: Arc<Database>,
    snapshots: Arc<Snapshots>,
}

impl<S: Replicated> RaftSnapshotBuilder<TypeConfig<S>> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig<S>>, StorageError> {
        let (database, snapshots) = (Arc::clone(&self.database), Arc::clone(&self.snapshots));
        let built = blocking(move || snapshots.build(&database))
            .await
            .map_err(failed(ErrorSubject::Snapshot(None), ErrorVerb::Write))?;
        Ok(opened(built))
    }
}
