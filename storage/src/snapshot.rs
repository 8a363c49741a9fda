//! The state in one file, for a replica whose log no longer reaches back far enough.
//!
//! ```text
//! magic, format | meta: last entry, membership, name | row ... row | end, number of rows | BLAKE3
//! ```
//!
//! The rows come from a RocksDB snapshot: one moment's view, while commands go on. The file is
//! written beside the old one and takes its place by renaming. Nothing depends on it: the state it
//! was made from is in the database, so it is not synced, and one that is damaged, or that the
//! purged log has left behind, is made again.
//!
//! Who receives one checks all of it, hash included, before a single row is used.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use openraft::SnapshotMeta as Meta;
use protocol::codec;
use protocol::ids::NodeId;
use protocol::rows::{ROW_BYTES_MAX, Row};
use rocksdb::IteratorMode;
use tempfile::NamedTempFile;

use crate::entry::{LogId, SnapshotMeta};
use crate::machine::Applied;
use crate::schema::{self, Database, FORMAT, Key};

const MAGIC: [u8; 8] = *b"rsvsnap\n";
const ROW: u8 = 1;
const END: u8 = 0;

/// The most bytes of what a snapshot says of itself: a membership of hundreds of nodes fits well.
const META_BYTES_MAX: usize = 64 << 10;
/// The largest snapshot that is installed. Its rows are held in memory and replace the old ones in
/// one write, which RocksDB carries up to 4 GiB.
const BYTES_MAX: u64 = 1 << 30;

/// A snapshot cannot be made, kept or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is not what was written.
    #[error("the snapshot is damaged: {what}")]
    Damaged {
        /// How that shows.
        what: &'static str,
    },
    /// A newer version of the software made it.
    #[error(
        "the snapshot is in format {found}, and this version knows {FORMAT}: bring this node to its leader's version"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
    },
    /// Its file could not be read or written.
    #[error("cannot {operation} the snapshot")]
    File {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database behind it failed.
    #[error(transparent)]
    Database(#[from] schema::Error),
}

impl Error {
    const fn file(operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { operation, source }
    }

    /// Whether the file is at fault, not the disk: then another one helps.
    pub(crate) const fn is_of_the_content(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::NewerFormat { .. })
    }
}

/// The place of a replica's snapshots.
#[derive(Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    node: NodeId,
    /// The last entry in the newest file. Building and installing may end in any order; the lock
    /// and this keep an older file from taking a newer one's place.
    newest: Mutex<Option<LogId>>,
}

impl Snapshots {
    /// Opens the place in a replica's directory, and clears away what a crash left unfinished.
    pub(crate) fn open(dir: &Path, node: NodeId) -> Result<Self, schema::Error> {
        let dir = dir.join("snapshots");
        let failed = |source| schema::Error::Directory { dir: dir.clone(), source };
        std::fs::create_dir_all(&dir).map_err(failed)?;
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != "current" {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self { dir, node, newest: Mutex::new(None) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("current")
    }

    /// A file to receive into; it is gone when it is closed.
    pub(crate) fn receiving(&self) -> Result<File, Error> {
        tempfile::tempfile_in(&self.dir).map_err(Error::file("receive"))
    }

    /// A file to write into, until [`Self::publish`] puts it into its place.
    pub(crate) fn unfinished(&self) -> Result<NamedTempFile, Error> {
        NamedTempFile::new_in(&self.dir).map_err(Error::file("write"))
    }

    /// Puts a finished file into its place, unless a newer one is there.
    pub(crate) fn publish(&self, file: NamedTempFile, meta: &SnapshotMeta) -> Result<File, Error> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if *newest > meta.last_log_id {
            return Ok(file.into_file());
        }
        let file = file
            .persist(self.path())
            .map_err(|failure| Error::File { operation: "rename", source: failure.error })?;
        *newest = meta.last_log_id;
        Ok(file)
    }

    /// A copy of a file that was received, to be published.
    pub(crate) fn copy(&self, mut file: &File) -> Result<NamedTempFile, Error> {
        let copy = self.unfinished()?;
        file.seek(SeekFrom::Start(0)).map_err(Error::file("copy"))?;
        std::io::copy(&mut file, &mut copy.as_file()).map_err(Error::file("copy"))?;
        Ok(copy)
    }

    /// The present snapshot, read through and found whole; none if none was made.
    pub(crate) fn current(&self) -> Result<Option<(SnapshotMeta, File)>, Error> {
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { operation: "open", source }),
        };
        let mut reader = Reader::new(&file)?;
        while reader.row()?.is_some() {}
        Ok(Some((reader.meta, file)))
    }

    /// Makes a snapshot of what the database holds now, and puts it into its place.
    pub(crate) fn build(&self, database: &Database) -> Result<(SnapshotMeta, File), Error> {
        let view = database.rocks().snapshot();
        let applied: Applied = database.get_in(&view, Key::Applied)?.unwrap_or_default();
        let meta = Meta {
            snapshot_id: self.name(&applied),
            last_log_id: applied.last,
            last_membership: applied.members,
        };
        let file = self.unfinished()?;
        let mut writer = Writer::new(file.as_file(), &meta)?;
        for item in view.iterator_cf(database.rows(), IteratorMode::Start) {
            let (key, value) = item.map_err(schema::Error::database("read the rows"))?;
            writer.row(&key, &value)?;
        }
        writer.finish()?;
        let file = self.publish(file, &meta)?;
        Ok((meta, file))
    }

    /// The same node at the same entry has the same rows, so this names the very bytes.
    fn name(&self, applied: &Applied) -> String {
        let at = applied.last.map(|last| last.to_string()).unwrap_or_default();
        format!("{FORMAT}-{}-{at}", self.node)
    }
}

/// Writes one snapshot and hashes it on the way.
struct Writer<'f> {
    file: BufWriter<&'f File>,
    hash: blake3::Hasher,
    rows: u64,
}

impl<'f> Writer<'f> {
    fn new(file: &'f File, meta: &SnapshotMeta) -> Result<Self, Error> {
        let mut writer = Self { file: BufWriter::new(file), hash: blake3::Hasher::new(), rows: 0 };
        let meta = codec::encode(meta);
        writer.put(&MAGIC)?;
        writer.put(&FORMAT.to_le_bytes())?;
        writer.put(&length(&meta).to_le_bytes())?;
        writer.put(&meta)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        self.file.write_all(bytes).map_err(Error::file("write"))
    }

    fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.rows += 1;
        self.put(&[ROW])?;
        self.put(&length(key).to_le_bytes())?;
        self.put(&length(value).to_le_bytes())?;
        self.put(key)?;
        self.put(value)
    }

    fn finish(mut self) -> Result<(), Error> {
        self.put(&[END])?;
        self.put(&self.rows.to_le_bytes())?;
        let hash = self.hash.finalize();
        self.file.write_all(hash.as_bytes()).map_err(Error::file("write"))?;
        self.file.flush().map_err(Error::file("write"))
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("keys, rows and memberships are far below 4 GiB")
}

/// Reads one snapshot and hashes it on the way. What it has given counts only when it has come to
/// the end: there the hash is checked.
pub(crate) struct Reader<R> {
    file: R,
    hash: blake3::Hasher,
    /// What the snapshot says of itself.
    pub(crate) meta: SnapshotMeta,
    rows: u64,
}

impl<'f> Reader<BufReader<&'f File>> {
    /// Starts at the beginning of a file.
    pub(crate) fn new(mut file: &'f File) -> Result<Self, Error> {
        let bytes = file.metadata().map_err(Error::file("read"))?.len();
        if bytes > BYTES_MAX {
            return Err(Error::Damaged { what: "it is larger than any state may be" });
        }
        file.seek(SeekFrom::Start(0)).map_err(Error::file("read"))?;
        let mut reader = Self {
            file: BufReader::new(file),
            hash: blake3::Hasher::new(),
            meta: SnapshotMeta::default(),
            rows: 0,
        };
        if reader.take()? != MAGIC {
            return Err(Error::Damaged { what: "it does not begin like one" });
        }
        let format = u32::from_le_bytes(reader.take()?);
        if format != FORMAT {
            return Err(Error::NewerFormat { found: format });
        }
        let meta = reader.bytes(META_BYTES_MAX)?;
        reader.meta = codec::decode(&meta, META_BYTES_MAX)
            .map_err(|_| Error::Damaged { what: "what it says of itself cannot be read" })?;
        Ok(reader)
    }
}

impl<R: Read> Reader<R> {
    /// The next row; none at the end, when all that came before has proved to be whole.
    pub(crate) fn row(&mut self) -> Result<Option<Row>, Error> {
        match self.take()? {
            [ROW] => {
                let [key, value] = [self.length(ROW_BYTES_MAX)?, self.length(ROW_BYTES_MAX)?];
                let key = self.exactly(key)?;
                let value = self.exactly(value)?;
                self.rows += 1;
                let row = row(&key, value).ok_or(Error::Damaged { what: "a row has no table" })?;
                Ok(Some(row))
            }
            [END] => self.end(),
            [_] => Err(Error::Damaged { what: "there is something between its rows" }),
        }
    }

    fn end(&mut self) -> Result<Option<Row>, Error> {
        if u64::from_le_bytes(self.take()?) != self.rows {
            return Err(Error::Damaged { what: "rows are missing" });
        }
        let hash = self.hash.finalize();
        if self.take::<{ blake3::OUT_LEN }>()? != *hash.as_bytes() {
            return Err(Error::Damaged { what: "its hash is another" });
        }
        match self.file.read(&mut [0]).map_err(Error::file("read"))? {
            0 => Ok(None),
            _ => Err(Error::Damaged { what: "something follows its end" }),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&mut self, limit: usize) -> Result<usize, Error> {
        usize::try_from(u32::from_le_bytes(self.take()?))
            .ok()
            .filter(|length| *length <= limit)
            .ok_or(Error::Damaged { what: "a part is longer than it may be" })
    }

    fn bytes(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let length = self.length(limit)?;
        self.exactly(length)
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact(bytes).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::Damaged { what: "it ends too early" },
            _ => Error::File { operation: "read", source },
        })?;
        self.hash.update(bytes);
        Ok(())
    }
}

/// A row from its key and value as the database has them: the table's number is the key's first
/// byte. None if there is no such byte.
pub(crate) fn row(key: &[u8], value: Vec<u8>) -> Option<Row> {
    let (table, key) = key.split_first()?;
    Some(Row { table: *table, key: key.to_vec(), value })
}
