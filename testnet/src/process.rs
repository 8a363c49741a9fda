//! One process, held by a pidfd: it is killed by what it is, never by a number that another
//! process may have got since.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::wait::wait_for;

/// How long a process may take to be gone after SIGKILL, beside busy guests.
const KILL: Duration = Duration::from_secs(20);

/// A process that was alive when it was taken hold of.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    handle: OwnedFd,
    /// If we are its parent, and so have to reap it.
    child: Option<Child>,
}

impl Process {
    /// Takes hold of a child just started.
    pub(crate) fn of_child(child: Child) -> Result<Self> {
        let pid = Pid::from_child(&child);
        let handle = pidfd_open(pid, PidfdFlags::empty()).context("take hold of a child")?;
        Ok(Self { pid, handle, child: Some(child) })
    }

    /// Takes hold of the process with this id; none if there is none.
    pub(crate) fn of_id(id: i32) -> Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(id) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(Some(Self { pid, handle, child: None })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("take hold of process {id}")),
        }
    }

    /// Takes hold of every process in the network namespace bound to `file`, except our own.
    pub(crate) fn all_in(file: &Path) -> Result<Vec<Self>> {
        let wanted = namespace(file).with_context(|| format!("look at {}", file.display()))?;
        let is_in = |pid: Pid, kind| namespace(&proc(pid, kind)).is_ok_and(|it| it == wanted);
        let is_there = |pid: Pid| is_in(pid, "ns/net") || is_in(pid, "ns/mnt");
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").context("list processes")? {
            let name = entry.context("list processes")?.file_name();
            let id = name.to_str().and_then(|name| name.parse().ok());
            let Some(pid) = id.and_then(Pid::from_raw) else { continue };
            if pid == rustix::process::getpid() || !is_there(pid) {
                continue;
            }
            // Between the look and the hold the id may have changed hands, so look again.
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(handle) if is_there(pid) => found.push(Self { pid, handle, child: None }),
                Ok(_) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error).context("take hold of a process"),
            }
        }
        Ok(found)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it was started with; nothing if it has ended.
    pub(crate) fn words(&self) -> Vec<String> {
        let line = fs::read(proc(self.pid, "cmdline")).unwrap_or_default();
        let words = line.strip_suffix(&[0]).unwrap_or_default().split(|byte| *byte == 0);
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// Its parent, while it is alive.
    pub(crate) fn parent(&self) -> Option<i32> {
        let status = fs::read_to_string(proc(self.pid, "status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    }

    /// Whether it has not ended.
    pub(crate) fn is_alive(&mut self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let alive =
            matches!(poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&now)), Ok(0));
        if !alive && let Some(mut child) = self.child.take() {
            // It has ended, so this cannot block; how it ended is nobody's question.
            drop(child.wait());
        }
        alive
    }

    /// Asks it to end.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("signal process {}", self.pid())),
        }
    }

    /// Kills it with SIGKILL, and returns once it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        let what = format!("the end of process {}", self.pid());
        wait_for(&what, KILL, || Ok((!self.is_alive()).then_some(())))
    }
}

/// Kills every process in the network namespace bound to `file`, and those they start meanwhile.
pub(crate) fn kill_all_in(file: &Path) -> Result<()> {
    wait_for(&format!("the end of all in {}", file.display()), KILL, || {
        let mut present = Process::all_in(file)?;
        present.iter().try_for_each(|process| process.signal(Signal::KILL))?;
        present.retain_mut(Process::is_alive);
        Ok(present.is_empty().then_some(()))
    })
}

fn proc(pid: Pid, file: &str) -> std::path::PathBuf {
    format!("/proc/{}/{file}", pid.as_raw_nonzero()).into()
}

/// What tells one namespace from all others.
fn namespace(file: &Path) -> std::io::Result<(u64, u64)> {
    fs::metadata(file).map(|found| (found.dev(), found.ino()))
}
