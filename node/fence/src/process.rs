//! Processes, named so that none is mistaken for another.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process by its id and the moment at which it started: no two have both in one boot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    pid: Pid,
    start: u64,
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// It runs, or could.
    Alive,
    /// A signal has stopped it.
    Stopped,
    /// It has ended, or is another one.
    Gone,
}

impl Target {
    /// A process by its id and its start, in ticks since the boot; none if there can be no such
    /// process.
    #[must_use]
    pub fn new(pid: i32, start: u64) -> Option<Self> {
        let pid = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw)?;
        Some(Self { pid, start })
    }

    /// The process that has this id now; none if no process has.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let named = Self::new(pid, 0)?;
        let (_, start) = named.stat()?;
        Some(Self { start, ..named })
    }

    /// Its id.
    #[must_use]
    pub const fn pid(self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// When it started, in ticks since the boot.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.state() != State::Gone
    }

    /// Whether a signal has stopped it.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        self.state() == State::Stopped
    }

    /// What it is doing.
    pub(crate) fn state(self) -> State {
        match self.stat() {
            Some((_, start)) if start != self.start => State::Gone,
            None | Some((b'Z' | b'X', _)) => State::Gone,
            Some((b'T', _)) => State::Stopped,
            Some(_) => State::Alive,
        }
    }

    /// Sends it a signal, and to no other process: its id cannot change hands while we have hold of
    /// it, and whether it has done so before is looked at in between. Says whether it was there.
    pub(crate) fn signal(self, signal: Signal) -> bool {
        let Some(handle) = self.hold() else { return false };
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => true,
            // Whatever else is wrong may be right at the next look.
            Err(errno) => errno != Errno::SRCH,
        }
    }

    fn hold(self) -> Option<OwnedFd> {
        let handle = pidfd_open(self.pid, PidfdFlags::empty()).ok()?;
        (self.state() != State::Gone).then_some(handle)
    }

    /// Its state and its start.
    fn stat(self) -> Option<(u8, u64)> {
        // The kernel's line has some 350 bytes; what is needed stands in the first of them.
        let mut line = [0; 1_024];
        let length = File::open(Path::of(self.pid).text()).ok()?.read(&mut line).ok()?;
        parse(&line[..length])
    }
}

/// `/proc/PID/stat`, without asking for memory.
struct Path {
    bytes: [u8; 24],
    length: usize,
}

impl Path {
    fn of(pid: Pid) -> Self {
        use std::io::Write as _;
        let mut bytes = [0; 24];
        let mut rest = bytes.as_mut_slice();
        let written = write!(rest, "/proc/{}/stat", pid.as_raw_nonzero());
        written.expect("an id has ten digits at most");
        let length = 24 - rest.len();
        Self { bytes, length }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("these are digits and letters")
    }
}

/// State and start from the line in `/proc/PID/stat` (see `proc(5)`): fields 3 and 22. The second
/// field is the program's name in parentheses, in which anything may stand.
fn parse(line: &[u8]) -> Option<(u8, u64)> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut fields = line[end + 1..].split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.trim_end().parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let line = b"42 (a) Z 1) (b) T 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3\n";
        assert_eq!(parse(line), Some((b'T', 98_765)));
    }

    #[test]
    fn one_is_oneself_and_not_one_of_another_start() {
        let own = i32::try_from(std::process::id()).unwrap();
        let target = Target::of(own).unwrap();
        assert!(target.is_alive() && !target.is_stopped());
        let other = Target::new(own, target.start() + 1).unwrap();
        assert!(!other.is_alive());
        assert!(!other.signal(Signal::STOP), "or this test would stand still");
        assert_eq!(Target::new(0, 1), None);
        assert_eq!(Target::new(-1, 1), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_not(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn any_line_with_a_name_is_read_or_not(tail in "[ )(A-Z0-9\n-]{0,120}") {
            let _ = parse(format!("1 (x) {tail}").as_bytes());
        }
    }
}
