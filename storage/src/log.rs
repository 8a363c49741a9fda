//! The log on disk: entries under their indexes, and the vote.
//!
//! An entry is acknowledged when it is synced, on a thread that may wait, and never before. Reads
//! are answered where they are asked: what is read is what was written a moment ago, and comes
//! from memory.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    AnyError, ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader, StorageIOError, Vote,
};
use protocol::codec;
use protocol::rows::Replicated;
use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch};

use crate::entry::{ENTRY_BYTES_MAX, Entry, LogId, StorageError, TypeConfig};
use crate::schema::{Database, Durability, Error, Key, blocking};

/// The most bytes of entries read for a follower at once: with room to spare below what the codec
/// decodes at once, so that one message carries them. One entry is always read.
const REPLICATE_BYTES_MAX: usize = 2 << 20;

/// The log of one replica.
#[derive(Debug)]
pub(crate) struct Log<S> {
    database: Arc<Database>,
    state: PhantomData<fn() -> S>,
}

impl<S> Clone for Log<S> {
    fn clone(&self) -> Self {
        Self { database: Arc::clone(&self.database), state: PhantomData }
    }
}

impl<S: Replicated> Log<S> {
    pub(crate) const fn new(database: Arc<Database>) -> Self {
        Self { database, state: PhantomData }
    }

    /// The entries in a range, in order, as many as fit into `bytes_max`, and at least one.
    fn entries(
        &self,
        range: &impl RangeBounds<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Entry<S>>, Error> {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let mut options = ReadOptions::default();
        match range.end_bound() {
            Bound::Included(last) => {
                options.set_iterate_upper_bound(last.saturating_add(1).to_be_bytes());
            }
            Bound::Excluded(end) => options.set_iterate_upper_bound(end.to_be_bytes()),
            Bound::Unbounded => {}
        }
        let key = first.to_be_bytes();
        let from = IteratorMode::From(&key, Direction::Forward);
        let mut entries = Vec::new();
        let mut bytes_sum = 0;
        for item in self.database.rocks().iterator_cf_opt(self.database.log(), options, from) {
            let (_, bytes) = item.map_err(Error::database("read the log"))?;
            bytes_sum += bytes.len();
            if bytes_sum > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(decode(&bytes)?);
        }
        Ok(entries)
    }

    fn last(&self) -> Result<Option<LogId>, Error> {
        let mut backwards =
            self.database.rocks().iterator_cf(self.database.log(), IteratorMode::End);
        let Some(item) = backwards.next() else { return Ok(None) };
        let (_, bytes) = item.map_err(Error::database("read the end of the log"))?;
        Ok(Some(decode::<S>(&bytes)?.log_id))
    }
}

fn decode<S: Replicated>(bytes: &[u8]) -> Result<Entry<S>, Error> {
    codec::decode(bytes, ENTRY_BYTES_MAX)
        .map_err(|source| Error::Unreadable { what: "log entry", source })
}

/// A failure of ours in openraft's words.
pub(crate) fn failed<E: std::error::Error + 'static>(
    subject: ErrorSubject<u64>,
    verb: ErrorVerb,
) -> impl FnOnce(E) -> StorageError {
    move |error| StorageIOError::new(subject, verb, AnyError::new(&error)).into()
}

impl<S: Replicated> RaftLogReader<TypeConfig<S>> for Log<S> {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry<S>>, StorageError> {
        self.entries(&range, usize::MAX).map_err(failed(ErrorSubject::Logs, ErrorVerb::Read))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<S>>, StorageError> {
        self.entries(&(start..end), REPLICATE_BYTES_MAX)
            .map_err(failed(ErrorSubject::Logs, ErrorVerb::Read))
    }
}

impl<S: Replicated> RaftLogStorage<TypeConfig<S>> for Log<S> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig<S>>, StorageError> {
        let read = || -> Result<_, Error> {
            let purged: Option<LogId> = self.database.get(Key::Purged)?;
            let last = self.last()?.or(purged);
            Ok(LogState { last_purged_log_id: purged, last_log_id: last })
        };
        read().map_err(failed(ErrorSubject::Logs, ErrorVerb::Read))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError> {
        let database = Arc::clone(&self.database);
        let mut batch = WriteBatch::default();
        database.put(&mut batch, Key::Vote, vote);
        blocking(move || database.write(batch, Durability::Synced, "save the vote"))
            .await
            .map_err(failed(ErrorSubject::Vote, ErrorVerb::Write))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError> {
        self.database.get(Key::Vote).map_err(failed(ErrorSubject::Vote, ErrorVerb::Read))
    }

    /// Only tells a restart how far it may apply before it has heard of a leader; what is lost of
    /// it is learnt again. It goes through the same queue of writes as a sync, so it waits on a
    /// thread of its own too.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let database = Arc::clone(&self.database);
        let mut batch = WriteBatch::default();
        database.put(&mut batch, Key::Committed, &committed);
        blocking(move || database.write(batch, Durability::Ordered, "save the committed index"))
            .await
            .map_err(failed(ErrorSubject::Store, ErrorVerb::Write))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed = self
            .database
            .get::<Option<LogId>>(Key::Committed)
            .map_err(failed(ErrorSubject::Store, ErrorVerb::Read))?;
        Ok(committed.flatten())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig<S>>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry<S>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let database = Arc::clone(&self.database);
        let mut batch = WriteBatch::default();
        for entry in entries {
            batch.put_cf(database.log(), entry.log_id.index.to_be_bytes(), codec::encode(&entry));
        }
        blocking(move || database.write(batch, Durability::Synced, "append to the log"))
            .await
            .map_err(failed(ErrorSubject::Logs, ErrorVerb::Write))?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        let database = Arc::clone(&self.database);
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(database.log(), from.index.to_be_bytes(), u64::MAX.to_be_bytes());
        blocking(move || database.write(batch, Durability::Synced, "truncate the log"))
            .await
            .map_err(failed(ErrorSubject::Log(from), ErrorVerb::Delete))
    }

    /// Forgets entries that are applied.
    ///
    /// An entry may go only when its effect is on disk. openraft purges nothing that is not
    /// applied, and the batch that applied it stands before this one in the write-ahead log;
    /// syncing that log first leaves no order of events, not even a write-ahead log cut short, in
    /// which an entry is gone and its effect is not there.
    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let database = Arc::clone(&self.database);
        let mut batch = WriteBatch::default();
        let end = upto.index.saturating_add(1).to_be_bytes();
        batch.delete_range_cf(database.log(), 0_u64.to_be_bytes(), end);
        database.put(&mut batch, Key::Purged, &upto);
        blocking(move || {
            database.rocks().flush_wal(true).map_err(Error::database("sync the applied index"))?;
            database.write(batch, Durability::Ordered, "purge the log")
        })
        .await
        .map_err(failed(ErrorSubject::Log(upto), ErrorVerb::Delete))
    }
}
