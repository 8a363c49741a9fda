//! The node's side: until when each guest may run.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Error;
use crate::clock::{self, Moment};
use crate::map::Map;
use crate::process::Target;
use crate::record::{self, AT_BOOT, AT_MAGIC, AT_USED, MAGIC, Record, SLOTS, WORDS};

/// The fence's directory in a node's.
pub(crate) fn directory(data: &Path) -> PathBuf {
    data.join("fence")
}

/// Opens the file of the deadlines, made as long as it is to be.
pub(crate) fn file(data: &Path) -> Result<(File, PathBuf), Error> {
    let directory = directory(data);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|source| Error::File { what: "create", path: directory.clone(), source })?;
    let path = directory.join("deadlines");
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let fault = |what| {
        let path = path.clone();
        move |source| Error::File { what, path, source }
    };
    let file = opened.map_err(fault("open"))?;
    let length = u64::try_from(WORDS * size_of::<u64>()).expect("two mebibytes");
    let present = file.metadata().map_err(fault("look at"))?.len();
    if present < length {
        file.set_len(length).map_err(fault("lengthen"))?;
    }
    Ok((file, path))
}

/// Until when each guest on this host may run. One process at a time writes it.
#[derive(Debug)]
pub struct Deadlines {
    map: Map,
    /// Locked for as long as it is open.
    _file: File,
}

impl Deadlines {
    /// Opens the deadlines in a node's directory. What an earlier node has written in this boot is
    /// kept: its guests run on under it.
    ///
    /// # Errors
    ///
    /// If the file cannot be used, or another node has it.
    pub fn open(data: &Path) -> Result<Self, Error> {
        let (file, path) = file(data)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::Written { path: directory(data) }),
            Err(errno) => {
                return Err(Error::File { what: "lock", path, source: errno.into() });
            }
        }
        let map = Map::new(&file, WORDS, true).map_err(|source| Error::File {
            what: "map",
            path,
            source,
        })?;
        let deadlines = Self { map, _file: file };
        deadlines.begin(clock::boot()?);
        Ok(deadlines)
    }

    /// Makes the file one of this boot: what an earlier one has left is of processes that are gone.
    fn begin(&self, boot: u64) {
        let words = self.map.words();
        if record::is_of(words, boot) {
            return;
        }
        // A fence that looks at it meanwhile finds nothing.
        words[AT_MAGIC].store(0, Ordering::Release);
        for word in &words[AT_BOOT..] {
            word.store(0, Ordering::Relaxed);
        }
        words[AT_BOOT].store(boot, Ordering::Relaxed);
        words[AT_MAGIC].store(MAGIC, Ordering::Release);
    }

    /// Says until when a process may run; with no deadline, for ever. It holds when this returns,
    /// whatever becomes of this process.
    ///
    /// # Panics
    ///
    /// If the slot is not below [`SLOTS`].
    pub fn set(&mut self, slot: usize, target: Target, deadline: Option<Moment>) {
        self.put(slot, Some(Record { target, deadline }));
    }

    /// Forgets what was said of a slot.
    ///
    /// # Panics
    ///
    /// If the slot is not below [`SLOTS`].
    pub fn clear(&mut self, slot: usize) {
        if self.get(slot).is_some() {
            self.put(slot, None);
        }
    }

    /// What was said of a slot last.
    ///
    /// # Panics
    ///
    /// If the slot is not below [`SLOTS`].
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<Record> {
        record::read(record::slot(self.map.words(), slot)).record
    }

    /// The slots of which something is said.
    pub fn slots(&self) -> impl Iterator<Item = (usize, Record)> {
        let used = record::used(self.map.words());
        (0..used).filter_map(|slot| Some((slot, self.get(slot)?)))
    }

    fn put(&mut self, slot: usize, record: Option<Record>) {
        assert!(slot < SLOTS, "a host has fewer guests than the fence has slots");
        let words = self.map.words();
        record::write(record::slot(words, slot), record);
        let used = u64::try_from(slot + 1).expect("slots are few");
        words[AT_USED].fetch_max(used, Ordering::Release);
    }
}
