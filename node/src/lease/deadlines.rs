//! The fence as a node sees it: whether one is alive, how it is started, and its deadlines.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fence::{Deadlines, Listener, SLOTS, Target};
use protocol::lease::{Moment, Timing};
use tokio::time::Instant;
use tracing::{info, warn};

/// How long a fence that was started is given before another one is.
const START_AGAIN: Duration = Duration::from_secs(2);

/// Who sees to it that guests are stopped in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fencing {
    /// The fence, a process of its own, which the node starts if none is alive.
    Started,
    /// The fence, which a service manager starts.
    Awaited,
    /// Nobody needs to: guests end with the node.
    Unneeded,
}

pub(super) struct Fence {
    data: PathBuf,
    fencing: Fencing,
    deadlines: Option<(Deadlines, Listener)>,
    started: Option<(Child, Instant)>,
    stopped: u64,
}

impl Fence {
    pub(super) fn open(data: &Path, fencing: Fencing) -> Result<Self, fence::Error> {
        let deadlines = match fencing {
            Fencing::Started | Fencing::Awaited => {
                Some((Deadlines::open(data)?, Listener::new(data)))
            }
            Fencing::Unneeded => None,
        };
        Ok(Self { data: data.to_path_buf(), fencing, deadlines, started: None, stopped: 0 })
    }

    /// Which life of the fence watches over this host; none if no fence is alive.
    pub(super) fn life(&mut self) -> Option<u64> {
        let Some((_, listener)) = &mut self.deadlines else { return Some(0) };
        let life = listener.fence()?;
        if life.stopped > self.stopped {
            warn!(in_all = life.stopped, "the fence has stopped guests whose leases had ended");
        }
        self.stopped = life.stopped;
        Some(life.instance)
    }

    /// Starts a fence if none is alive and this node is the one to do so.
    pub(super) fn keep(&mut self) {
        if self.fencing != Fencing::Started || self.life().is_some() {
            return;
        }
        if let Some((child, since)) = &mut self.started {
            // One that has ended is reaped; one that has just begun is waited for.
            let _ = child.try_wait();
            if since.elapsed() < START_AGAIN {
                return;
            }
        }
        match start(&self.data) {
            Ok(child) => {
                info!(pid = child.id(), "a fence is started for this host");
                self.started = Some((child, Instant::now()));
            }
            Err(fault) => warn!(%fault, "no fence can be started, so nothing can be run here"),
        }
    }

    pub(super) fn set(&mut self, slot: u32, target: Target, until: Option<Moment>) {
        let Some((deadlines, _)) = &mut self.deadlines else { return };
        let Some(slot) = place(slot) else { return };
        let deadline = until.map(nanos);
        let same =
            deadlines.get(slot).is_some_and(|it| it.target == target && it.deadline == deadline);
        if !same {
            deadlines.set(slot, target, deadline);
        }
    }

    /// Whether every deadline of a living process, but for those in `held` slots, is one that whoever
    /// is elected from now on outlasts. It may be an earlier life of this node that has set it.
    pub(super) fn is_bounded(
        &self,
        timing: Timing,
        now: Moment,
        held: impl Fn(usize) -> bool,
    ) -> bool {
        let Some((deadlines, _)) = &self.deadlines else { return true };
        let mut others = deadlines.slots().filter(|(slot, _)| !held(*slot));
        others.all(|(_, record)| {
            let deadline = record.deadline.map(moment);
            timing.outlasts(deadline, now) || !record.target.is_alive()
        })
    }

    /// Sets a deadline for a process of which nothing is said yet.
    pub(super) fn set_if_none(&mut self, slot: u32, target: Target, until: Moment) {
        let Some((deadlines, _)) = &self.deadlines else { return };
        let known = place(slot).and_then(|slot| deadlines.get(slot));
        if known.is_none_or(|it| it.target != target) {
            self.set(slot, target, Some(until));
        }
    }

    /// Forgets what was said of a process.
    pub(super) fn forget(&mut self, slot: u32, target: Target) {
        let Some((deadlines, _)) = &mut self.deadlines else { return };
        let Some(slot) = place(slot) else { return };
        if deadlines.get(slot).is_some_and(|it| it.target == target) && !target.is_alive() {
            deadlines.clear(slot);
        }
    }
}

fn place(slot: u32) -> Option<usize> {
    usize::try_from(slot).ok().filter(|slot| *slot < SLOTS)
}

fn nanos(moment: Moment) -> fence::Moment {
    fence::Moment::from_nanos(moment.as_millis().saturating_mul(1_000_000))
}

fn moment(at: fence::Moment) -> Moment {
    Moment::from_millis(at.as_nanos().div_ceil(1_000_000))
}

/// The program of the fence, which lies beside this one.
pub(crate) fn program() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().ok_or(std::io::ErrorKind::NotFound)?;
    Ok(beside.join("reservoir-fence"))
}

fn start(data: &Path) -> std::io::Result<Child> {
    Command::new(program()?)
        .arg("--data")
        .arg(data)
        // What the terminal sends to the node is not meant for the fence.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
}

#[cfg(test)]
mod tests {
    use protocol::time::Span;

    use super::*;

    #[test]
    fn a_deadline_that_an_earlier_life_has_set_counts() {
        let data = tempfile::tempdir().unwrap();
        let (timing, now) = (Timing::default(), Moment::from_millis(1_000));
        let own = Target::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let gone = Target::new(own.pid(), own.start() + 1).unwrap();
        let mut earlier = Fence::open(data.path(), Fencing::Awaited).unwrap();
        earlier.set(1, own, None);
        earlier.set(2, gone, None);
        drop(earlier);
        let mut fence = Fence::open(data.path(), Fencing::Awaited).unwrap();
        assert!(!fence.is_bounded(timing, now, |_| false), "a process may run for ever");
        assert!(fence.is_bounded(timing, now, |slot| slot == 1), "it is to run on in a cut");
        fence.set(1, own, Some(now + timing.duration + Span::from_millis(1)));
        assert!(!fence.is_bounded(timing, now, |_| false), "it may run for too long");
        fence.set(1, own, Some(now + timing.duration));
        assert!(fence.is_bounded(timing, now, |_| false));
    }
}
