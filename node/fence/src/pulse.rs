//! How a node knows that the fence is alive.
//!
//! The pulse is in memory that the fence makes for itself (`memfd_create(2)`), so that its beat waits
//! for no disk. Whoever is root finds it through the fence's process, which is named in the file that
//! the fence keeps locked.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use rustix::io::Errno;

use crate::Error;
use crate::clock::Moment;
use crate::deadlines::directory;
use crate::map::Map;
use crate::process::Target;

/// A fence that has not looked for so long is taken for dead. It looks ten times as often.
const SILENCE: Duration = Duration::from_secs(1);

const AT_INSTANCE: usize = 0;
const AT_MOMENT: usize = 1;
const AT_STOPPED: usize = 2;
const AT_RESUMED: usize = 3;
const WORDS: usize = 8;

/// The life of a fence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Life {
    /// Which life it is: no two in one boot have the same number.
    pub instance: u64,
    /// How many processes it has found running though they were due, and stopped.
    pub stopped: u64,
    /// How many it has found standing still though they were not, and continued.
    pub resumed: u64,
}

/// The fence's side.
#[derive(Debug)]
pub(crate) struct Pulse {
    map: Map,
    /// The memory, by whose descriptor it is found.
    _memory: File,
    /// Locked as long as the fence lives.
    _lock: File,
}

impl Pulse {
    /// Begins to beat, as the only fence that watches over this directory.
    pub(crate) fn begin(data: &Path) -> Result<Self, Error> {
        let path = lock_path(data);
        let fault = |what| {
            let path = path.clone();
            move |source| Error::File { what, path, source }
        };
        let opened =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut lock = opened.map_err(fault("open"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::Watched { path: directory(data) }),
            Err(errno) => return Err(fault("lock")(errno.into())),
        }
        let refused = |what| move |source| Error::Kernel { what, source };
        let memory = memfd_create("reservoir-fence", MemfdFlags::CLOEXEC)
            .map_err(|errno| refused("make memory for the pulse")(errno.into()))?;
        let memory = File::from(memory);
        let length = u64::try_from(WORDS * size_of::<u64>()).expect("a few words");
        memory.set_len(length).map_err(refused("size the pulse's memory"))?;
        let map = Map::new(&memory, WORDS, true).map_err(refused("map the pulse's memory"))?;
        let now = Moment::now();
        map.words()[AT_INSTANCE].store(now.as_nanos(), Ordering::Relaxed);
        map.words()[AT_MOMENT].store(now.as_nanos(), Ordering::Release);
        let own = i32::try_from(std::process::id()).ok().and_then(Target::of);
        let own = own.ok_or_else(|| std::io::ErrorKind::NotFound.into());
        let own = own.map_err(refused("find this process under /proc"))?;
        let line = format!("{} {} {}\n", own.pid(), own.start(), memory.as_raw_fd());
        lock.set_len(0).map_err(fault("empty"))?;
        lock.write_all(line.as_bytes()).map_err(fault("write"))?;
        Ok(Self { map, _memory: memory, _lock: lock })
    }

    /// A beat: at `now`, all deadlines have been looked at.
    pub(crate) fn beat(&self, now: Moment) {
        self.map.words()[AT_MOMENT].store(now.as_nanos(), Ordering::Release);
    }

    pub(crate) fn stopped(&self) {
        self.map.words()[AT_STOPPED].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn resumed(&self) {
        self.map.words()[AT_RESUMED].fetch_add(1, Ordering::Relaxed);
    }
}

fn lock_path(data: &Path) -> PathBuf {
    directory(data).join("lock")
}

/// The node's side.
#[derive(Debug)]
pub struct Listener {
    data: PathBuf,
    heard: Option<Map>,
}

impl Listener {
    /// Listens for the fence that watches over a node's directory, now and in the future.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_path_buf(), heard: None }
    }

    /// The fence's life, if one is alive.
    pub fn fence(&mut self) -> Option<Life> {
        if let Some(life) = self.heard.as_ref().and_then(life) {
            return Some(life);
        }
        self.heard = find(&self.data);
        self.heard.as_ref().and_then(life)
    }
}

/// The life that beats there.
fn life(map: &Map) -> Option<Life> {
    let load = |at: usize| AtomicU64::load(&map.words()[at], Ordering::Acquire);
    let beat = Moment::from_nanos(load(AT_MOMENT));
    let alive = Moment::now().since(beat) < SILENCE;
    alive.then(|| Life {
        instance: load(AT_INSTANCE),
        stopped: load(AT_STOPPED),
        resumed: load(AT_RESUMED),
    })
}

/// The memory of the fence that is named in the lock's file, if it is that process still.
fn find(data: &Path) -> Option<Map> {
    let text = fs::read_to_string(lock_path(data)).ok()?;
    let mut words = text.split_whitespace();
    let target = Target::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?)?;
    let descriptor: i32 = words.next()?.parse().ok()?;
    let memory = File::open(format!("/proc/{}/fd/{descriptor}", target.pid())).ok()?;
    // Only now: an id that had changed hands before the file was opened is noticed here.
    if !target.is_alive() {
        return None;
    }
    Map::new(&memory, WORDS, false).ok()
}
