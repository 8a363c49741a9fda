//! Network namespaces of a test's own, for claims that one host's loopback cannot show.
//!
//! A test starts itself again under `unshare`, which ends with the last process in it, and makes
//! its networks there. A node lives on a thread of its own, which has moved into the node's
//! network. This needs root, and fails without it.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::{Echo, Node, Party, Policy};
use crate::{Federation, Options};

/// Says that the process is already in its own namespaces.
const INSIDE: &str = "inside";

/// Runs `work` in namespaces of its own, on a runtime of its own; `test` is the full name of the
/// test that calls it.
pub(super) fn inside(test: &str, work: impl AsyncFnOnce()) {
    // The runner's own arguments are kept out: only ours end in this word.
    if !std::env::args().any(|argument| argument == INSIDE) {
        return again(test);
    }
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"]);
    runtime().block_on(work());
}

fn again(test: &str) {
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test, "--skip", INSIDE])
        .stdin(Stdio::null())
        .output()
        .expect("unshare cannot be run: this test needs root");
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    // A name that matches no test would be a success too.
    assert!(output.status.success() && said.contains("1 passed"), "inside: {said}");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// Runs ip(8), as one would type it.
pub(super) fn ip(line: &str) {
    run("ip", &line.split_whitespace().collect::<Vec<_>>());
}

/// A switch in the namespace of the test itself.
pub(super) fn switch(name: &str) {
    ip(&format!("link add {name} type bridge"));
    ip(&format!("link set {name} up"));
}

/// A network namespace with one interface, `wan`, on a switch.
pub(super) fn host(name: &str, switch: &str, address: &str) {
    ip(&format!("netns add {name}"));
    plug(name, "wan", switch, address);
    ip(&format!("-n {name} link set lo up"));
}

/// Another interface of a namespace.
pub(super) fn plug(name: &str, interface: &str, switch: &str, address: &str) {
    let port = format!("{name}-{interface}");
    ip(&format!("link add {port} type veth peer name {interface} netns {name}"));
    ip(&format!("link set {port} master {switch} up"));
    ip(&format!("-n {name} addr add {address} dev {interface}"));
    ip(&format!("-n {name} link set {interface} up"));
}

/// A node in a namespace.
pub(super) struct Placed {
    pub(super) node: Node,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Placed {
    /// Starts a node in the namespace `name`.
    pub(super) async fn start(
        name: &str,
        party: &Party,
        options: Options,
        admitted: &[&Party],
    ) -> Self {
        let (policy, echo) = (Policy::admitting(admitted), Echo::new());
        let (admission, handler) = (Arc::clone(&policy), Arc::clone(&echo));
        let (end, ended) = oneshot::channel::<()>();
        let (ready, started) = oneshot::channel();
        let namespace = File::open(format!("/run/netns/{name}")).unwrap();
        let thread = std::thread::spawn(move || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network).unwrap();
            runtime().block_on(async {
                let bus = Federation::start(options, admission, handler).await.unwrap();
                ready.send(bus.clone()).unwrap();
                // The sender going away is an end as well.
                let _ = ended.await;
                bus.close().await;
            });
        });
        let bus = started.await.unwrap();
        let node = Node { site: party.site, key: party.caller().node, bus, policy, echo };
        Self { node, end: Some(end), thread: Some(thread) }
    }

    pub(super) fn end(mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}
