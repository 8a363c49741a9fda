//! One process, held by a pidfd: a signal never reaches another process that got the same id.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Child;
use tokio::time::Instant;

use super::Error;

/// How often a process that was told to end is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A process that was alive when it was taken hold of.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    handle: OwnedFd,
    /// If we are its parent: the runtime reaps it through this, and so frees its id.
    _child: Option<Child>,
}

impl Process {
    /// Takes hold of a child just started; none if it has been reaped already.
    pub(crate) fn of_child(child: Child) -> Result<Option<Self>, Error> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(None) };
        Ok(open(pid)?.map(|handle| Self { pid, handle, _child: Some(child) }))
    }

    /// Takes hold of every process in a network namespace that runs `program` with `argument`,
    /// whoever started it.
    pub(crate) fn find(program: &str, argument: &OsStr, place: Place) -> Result<Vec<Self>, Error> {
        let refused = |source| Error::File { step: "list", path: "/proc".into(), source };
        let mut found: Vec<Self> = Vec::new();
        for entry in fs::read_dir("/proc").map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            let Some(pid) = id.and_then(Pid::from_raw) else { continue };
            if !runs(pid, program, argument, place) {
                continue;
            }
            // Between the look and the hold the id may have changed hands, so look again.
            if let Some(handle) = open(pid)?
                && runs(pid, program, argument, place)
            {
                found.push(Self { pid, handle, _child: None });
            }
        }
        // A server's own children look like it; they go with it.
        let ids: Vec<Pid> = found.iter().map(|process| process.pid).collect();
        found.retain(|process| parent(process.pid).is_none_or(|parent| !ids.contains(&parent)));
        Ok(found)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it has not ended. A child that ended and was not reaped yet counts as ended.
    pub(crate) fn is_alive(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&now));
        matches!(ended, Ok(0))
    }

    /// Sends a signal; to a process that has ended this does nothing.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => {
                Err(Error::Process { step: "signal", pid: self.pid(), source: error.into() })
            }
        }
    }

    /// Asks it to end, kills it if it has not within `patience`, and returns once it has.
    pub(crate) async fn end(self, patience: Duration) -> Result<(), Error> {
        for signal in [Signal::TERM, Signal::KILL] {
            self.signal(signal)?;
            let deadline = Instant::now() + patience;
            while self.is_alive() && Instant::now() < deadline {
                tokio::time::sleep(GLANCE).await;
            }
            if !self.is_alive() {
                return Ok(());
            }
        }
        Err(Error::Unending { pid: self.pid() })
    }
}

fn open(pid: Pid) -> Result<Option<OwnedFd>, Error> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        Err(Errno::SRCH) => Ok(None),
        Err(error) => {
            let pid = pid.as_raw_nonzero().get();
            Err(Error::Process { step: "take hold of", pid, source: error.into() })
        }
    }
}

/// Whether the process runs `program` with `argument` in this network namespace. A process that
/// ended, or that we may not look at, does not.
fn runs(pid: Pid, program: &str, argument: &OsStr, place: Place) -> bool {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(line) = fs::read(format!("{directory}/cmdline")) else { return false };
    let mut words = line.split(|byte| *byte == 0);
    let first = words.next().map(|word| Path::new(OsStr::from_bytes(word)));
    let named = first.and_then(Path::file_name) == Some(OsStr::new(program));
    named
        && words.any(|word| word == argument.as_bytes())
        && place_of(&format!("{directory}/ns/net")).is_ok_and(|it| it == place)
}

/// A network namespace: the device and the number of the file that stands for it.
pub(crate) type Place = (u64, u64);

fn place_of(path: &str) -> io::Result<Place> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// The parent of a process that is alive.
fn parent(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(line.trim().parse().ok()?)
}
