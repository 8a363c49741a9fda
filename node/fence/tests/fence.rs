//! The fence, as a process, over processes.
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fence::{Deadlines, Listener, Moment, Target};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take beside a busy machine before a test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is ended with the test.
struct Guard(Child);

impl Guard {
    fn target(&self) -> Target {
        Target::of(i32::try_from(self.0.id()).unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn end(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that does something all the time.
fn guest() -> Guard {
    let child = Command::new("sh").args(["-c", "while :; do sleep 0.01; done"]).spawn();
    Guard(child.unwrap())
}

/// A fence over `data`, once it beats.
fn fence(data: &Path) -> Guard {
    let child = Command::new(env!("CARGO_BIN_EXE_reservoir-fence"))
        .arg("--data")
        .arg(data)
        .stderr(Stdio::null())
        .spawn();
    let fence = Guard(child.unwrap());
    let mut listener = Listener::new(data);
    eventually("a fence beats", || listener.fence().is_some());
    fence
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came to be that {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn soon() -> Moment {
    Moment::now() + Duration::from_millis(300)
}

/// Waits until the fence has looked at everything `looks` times more.
fn looks(data: &Path, looks: usize) {
    // Each look that changes something is seen in a process made for it.
    let mut deadlines = None;
    eventually("the deadlines can be written", || {
        deadlines = Deadlines::open(data).ok();
        deadlines.is_some()
    });
    let mut deadlines = deadlines.unwrap();
    for _ in 0..looks {
        let probe = guest();
        deadlines.set(99, probe.target(), Some(Moment::from_nanos(1)));
        eventually("the fence looks", || probe.target().is_stopped());
        deadlines.clear(99);
    }
}

#[test]
fn a_guest_stands_still_from_its_deadline_on() {
    let data = tempfile::tempdir().unwrap();
    let fence = fence(data.path());
    let guest = guest();
    let mut deadlines = Deadlines::open(data.path()).unwrap();
    let deadline = soon();
    deadlines.set(7, guest.target(), Some(deadline));
    eventually("the guest stands still", || guest.target().is_stopped());
    assert!(Moment::now() >= deadline, "not before its deadline");
    // Somebody else lets it go on; it does not get far.
    for _ in 0..5 {
        guest.signal(Signal::CONT);
        eventually("the guest stands still again", || guest.target().is_stopped());
    }
    let mut listener = Listener::new(data.path());
    eventually("it is counted", || listener.fence().is_some_and(|life| life.stopped >= 1));
    fence.end();
}

#[test]
fn a_guest_goes_on_once_its_deadline_is_in_the_future_again() {
    let data = tempfile::tempdir().unwrap();
    let _fence = fence(data.path());
    let guest = guest();
    let mut deadlines = Deadlines::open(data.path()).unwrap();
    for later in [Some(Duration::from_secs(3_600)), None] {
        deadlines.set(0, guest.target(), Some(Moment::now()));
        eventually("the guest stands still", || guest.target().is_stopped());
        deadlines.set(0, guest.target(), later.map(|span| Moment::now() + span));
        eventually("the guest goes on", || !guest.target().is_stopped());
    }
    let mut listener = Listener::new(data.path());
    eventually("both are counted", || listener.fence().is_some_and(|life| life.resumed >= 2));
}

#[test]
fn a_guest_without_a_deadline_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let _fence = fence(data.path());
    let guest = guest();
    {
        let mut deadlines = Deadlines::open(data.path()).unwrap();
        deadlines.set(0, guest.target(), None);
    }
    looks(data.path(), 3);
    assert!(guest.target().is_alive() && !guest.target().is_stopped());
}

/// Where the child of the next test finds the deadlines, and its guest.
const CHILD: &str = "FENCE_TEST_CHILD";

#[test]
fn a_guest_is_stopped_though_the_node_was_killed_or_stands_still() {
    if let Some(child) = std::env::var_os(CHILD) {
        let child = child.into_string().unwrap();
        let (pid, data) = child.split_once(':').unwrap();
        let mut deadlines = Deadlines::open(Path::new(data)).unwrap();
        let target = Target::of(pid.parse().unwrap()).unwrap();
        deadlines.set(0, target, Some(soon()));
        writeln!(std::io::stdout().lock(), "written").unwrap();
        loop {
            std::thread::park();
        }
    }
    for signal in [Signal::KILL, Signal::STOP] {
        let data = tempfile::tempdir().unwrap();
        let _fence = fence(data.path());
        let guest = guest();
        let node = Command::new(std::env::current_exe().unwrap())
            .args(["a_guest_is_stopped_though_the_node_was_killed_or_stands_still", "--exact"])
            .arg("--nocapture")
            .env(CHILD, format!("{}:{}", guest.target().pid(), data.path().display()))
            .stdout(Stdio::piped())
            .spawn();
        let mut node = Guard(node.unwrap());
        let said = BufReader::new(node.0.stdout.take().unwrap());
        let mut lines = said.lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("written")), "the node writes its deadline");
        node.signal(signal);
        eventually("the guest stands still", || guest.target().is_stopped());
    }
}

#[test]
fn a_process_that_took_over_an_id_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let _fence = fence(data.path());
    let stranger = guest();
    let target = stranger.target();
    let before = Target::new(target.pid(), target.start() - 1).unwrap();
    {
        let mut deadlines = Deadlines::open(data.path()).unwrap();
        deadlines.set(0, before, Some(Moment::from_nanos(1)));
    }
    looks(data.path(), 3);
    assert!(!stranger.target().is_stopped());
    assert!(!before.is_alive());
}

#[test]
fn a_fence_that_is_started_again_knows_what_is_due_and_what_is_not() {
    let data = tempfile::tempdir().unwrap();
    let (due, free) = (guest(), guest());
    let mut deadlines = Deadlines::open(data.path()).unwrap();
    deadlines.set(0, due.target(), Some(soon()));
    deadlines.set(1, free.target(), None);
    free.signal(Signal::STOP);
    let first = fence(data.path());
    let mut listener = Listener::new(data.path());
    let life = listener.fence().unwrap();
    first.end();
    eventually("the fence is known to be dead", || listener.fence().is_none());
    let _second = fence(data.path());
    eventually("what is due stands still", || due.target().is_stopped());
    eventually("what is not goes on", || !free.target().is_stopped());
    assert_ne!(listener.fence().unwrap().instance, life.instance);
}

#[test]
fn a_second_fence_over_the_same_directory_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let first = fence(data.path());
    let second = Command::new(env!("CARGO_BIN_EXE_reservoir-fence"))
        .arg("--data")
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(3));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another fence watches"), "{said}");
    // Nothing was changed for the first one.
    let life = Listener::new(data.path()).fence();
    assert!(life.is_some() && first.target().is_alive());
}

#[test]
fn a_fence_that_stands_still_is_not_alive() {
    let data = tempfile::tempdir().unwrap();
    let fence = fence(data.path());
    let mut listener = Listener::new(data.path());
    fence.signal(Signal::STOP);
    eventually("the fence is known to stand still", || listener.fence().is_none());
    fence.signal(Signal::CONT);
    eventually("the fence beats again", || listener.fence().is_some());
}

#[test]
fn a_second_node_does_not_write_into_the_deadlines() {
    let data = tempfile::tempdir().unwrap();
    let first = Deadlines::open(data.path()).unwrap();
    let refused = Deadlines::open(data.path()).unwrap_err();
    assert!(matches!(refused, fence::Error::Written { .. }), "{refused}");
    drop(first);
    Deadlines::open(data.path()).unwrap();
}

#[test]
fn deadlines_outlive_a_node_and_not_a_boot() {
    let data = tempfile::tempdir().unwrap();
    let guest = guest();
    let mut deadlines = Deadlines::open(data.path()).unwrap();
    deadlines.set(3, guest.target(), Some(Moment::from_nanos(5)));
    deadlines.set(4, guest.target(), None);
    deadlines.clear(4);
    drop(deadlines);
    let deadlines = Deadlines::open(data.path()).unwrap();
    let found: Vec<_> = deadlines.slots().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].0, found[0].1.target), (3, guest.target()));
    drop(deadlines);
    // The second word says which boot it was.
    let path = data.path().join("fence").join("deadlines");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(Deadlines::open(data.path()).unwrap().slots().count(), 0);
}

#[test]
fn a_fence_that_finds_nonsense_watches_on() {
    let data = tempfile::tempdir().unwrap();
    drop(Deadlines::open(data.path()).unwrap());
    let path = data.path().join("fence").join("deadlines");
    let mut bytes = std::fs::read(&path).unwrap();
    for (at, byte) in bytes.iter_mut().enumerate().skip(16) {
        *byte = u8::try_from((at * 131 + at / 7) % 256).unwrap();
    }
    std::fs::write(&path, bytes).unwrap();
    let _fence = fence(data.path());
    looks(data.path(), 3);
}
