//! Claims about the tunnel in a process of its own: it outlives whoever started it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tunnel::{Change, Detached, Error, Provider, Tunnel, Wanted};

use crate::scene::{
    FAR, INTERFACE, PROGRAM, Scene, block_on, is_inside, run, wait_for, wanted, within,
};

/// Says to a process of this program that it is a node, and where its directory is.
const NODE: &str = "A_NODES_DIRECTORY";
/// What a node says before what its first call had to do.
const CONVERGED: &str = "the node has converged: ";

/// A node's directory, and the tunnel that has its place there. Its process ends with this.
struct Place {
    data: TempDir,
    tunnel: Detached,
}

impl Place {
    fn new() -> Result<Self> {
        Self::running(Path::new(PROGRAM))
    }

    fn running(program: &Path) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let tunnel = Detached::new(data.path(), program);
        Ok(Self { data, tunnel })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.path().join("tunnel").join(name)
    }

    fn converge(&self) -> Result<Change> {
        Ok(block_on(self.tunnel.converge(&near()?))??)
    }

    /// The process that is the tunnel.
    fn pid(&self) -> Result<Pid> {
        let number = fs::read_to_string(self.file("lock"))?.trim().parse()?;
        Pid::from_raw(number).context("a process has an id")
    }

    fn kill(&self) -> Result<()> {
        Ok(kill_process(self.pid()?, Signal::KILL)?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A process that speaks to the tunnel as a node does.
struct Node {
    process: Child,
    first: Change,
}

impl Node {
    fn start(data: &Path) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--exact", "--nocapture", "detached::the_node"])
            .env(NODE, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("a node says something")?;
        let said: Vec<String> = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.ends_with("once more"))
            .collect();
        let first = said.iter().find_map(|line| Some(line.split_once(CONVERGED)?.1));
        let first = match first.with_context(|| format!("it converges: {said:?}"))? {
            "Made" => Change::Made,
            _ => Change::Nothing,
        };
        Ok(Self { process, first })
    }

    /// Kills it, and whatever else is in its group, as a terminal or a service manager might.
    fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

/// The node's own part of the tests below. Elsewhere it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "this is how a node of these tests speaks")]
fn the_node() -> Result<()> {
    let Some(data) = std::env::var_os(NODE) else { return Ok(()) };
    let tunnel = Detached::new(Path::new(&data), Path::new(PROGRAM));
    let wanted = near()?;
    println!("\n{CONVERGED}{:?}", block_on(tunnel.converge(&wanted))??);
    let again = block_on(tunnel.converge(&wanted))??;
    ensure!(again == Change::Nothing, "all is as wanted: {again:?}");
    println!("and once more");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Calls and answers through the tunnel, one after the other, until they are to end.
struct Flow {
    answered: AtomicU64,
    /// Nothing more is to be called.
    is_over: AtomicBool,
    /// The last call has its answer, or never will.
    is_done: AtomicBool,
}

impl Flow {
    /// Has a flow run while `work` does. One lost packet ends it as a failure.
    fn during(work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let [is_over, is_done] = [false; 2].map(AtomicBool::new);
        let flow = Self { answered: AtomicU64::new(0), is_over, is_done };
        let near = UdpSocket::bind("[fd00::1]:0")?;
        let far = within(FAR, || Ok(UdpSocket::bind("[fd00::2]:0")?))?;
        near.connect(far.local_addr()?)?;
        near.set_read_timeout(Some(Duration::from_secs(20)))?;
        far.set_read_timeout(Some(Duration::from_millis(100)))?;
        thread::scope(|scope| {
            let calls = scope.spawn(|| flow.call(&near));
            let answers = scope.spawn(|| flow.answer(&far));
            let outcome = work(&flow);
            flow.is_over.store(true, Ordering::Relaxed);
            let called = calls.join().expect("a caller does not panic");
            flow.is_done.store(true, Ordering::Relaxed);
            called.context("a packet was lost")?;
            answers.join().expect("who answers does not panic")?;
            outcome
        })
    }

    fn call(&self, near: &UdpSocket) -> Result<()> {
        let mut number = 0_u64;
        while !self.is_over.load(Ordering::Relaxed) {
            near.send(&number.to_be_bytes())?;
            let mut answer = [0; 8];
            near.recv(&mut answer)?;
            ensure!(answer == number.to_be_bytes(), "it is the answer to this call");
            number += 1;
            self.answered.store(number, Ordering::Relaxed);
        }
        Ok(())
    }

    fn answer(&self, far: &UdpSocket) -> Result<()> {
        let mut call = [0; 8];
        while !self.is_done.load(Ordering::Relaxed) {
            let Ok((length, from)) = far.recv_from(&mut call) else { continue };
            far.send_to(&call[..length], from)?;
        }
        Ok(())
    }

    /// Returns once more has gone through.
    fn goes_on(&self, what: &str) -> Result<()> {
        let before = self.answered.load(Ordering::Relaxed);
        let is_more = || self.answered.load(Ordering::Relaxed) > before + 200;
        wait_for(what, || Ok(Some(()).filter(|()| is_more())))
    }
}

/// What the near gateway wants, which knows where the far one is.
fn near() -> Result<Wanted> {
    Ok(wanted(1, 2, Some("192.0.2.2:51820".parse()?)))
}

/// Two gateways, of which the near one is a process's.
fn far_gateway() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.converge_far(&wanted(2, 1, Some("192.0.2.1:51820".parse()?)))?;
    Ok(scene)
}

fn is_connected(scene: &Scene) -> Result<()> {
    wait_for("they talk", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))
}

#[test]
fn traffic_goes_on_when_a_node_is_killed_and_comes_back() -> Result<()> {
    if !is_inside("detached::traffic_goes_on_when_a_node_is_killed_and_comes_back")? {
        return Ok(());
    }
    let (scene, place) = (far_gateway()?, Place::new()?);
    let node = Node::start(place.data.path())?;
    ensure!(node.first == Change::Made, "the first call makes the tunnel");
    is_connected(&scene)?;
    let pid = place.pid()?;
    Flow::during(|flow| {
        flow.goes_on("the node lives")?;
        node.kill()?;
        flow.goes_on("the node is dead")?;
        let node = Node::start(place.data.path())?;
        ensure!(node.first == Change::Nothing, "it finds all as it wants it");
        flow.goes_on("the node is back")?;
        kill_process(pid, Signal::HUP)?;
        flow.goes_on("a terminal has hung up")?;
        node.kill()
    })?;
    ensure!(place.pid()? == pid, "it has been the same process all the time");
    let state = block_on(place.tunnel.state())??.context("anybody sees its state")?;
    ensure!(matches!(state.provider, Provider::Embedded(_)), "{state:?}");
    ensure!(state.peers[0].received.packets > Some(800), "{state:?}");
    Ok(())
}

#[test]
fn a_tunnel_that_has_died_is_started_again_by_the_next_call() -> Result<()> {
    if !is_inside("detached::a_tunnel_that_has_died_is_started_again_by_the_next_call")? {
        return Ok(());
    }
    let (scene, place) = (far_gateway()?, Place::new()?);
    ensure!(block_on(place.tunnel.state())??.is_none(), "to look does not start it");
    ensure!(place.converge()? == Change::Made, "it is started");
    is_connected(&scene)?;
    let first = place.pid()?;
    place.kill()?;
    ensure!(fs::exists(place.file("socket"))?, "what it left behind is in nobody's way");
    wait_for("it is gone", || Ok(block_on(place.tunnel.state())??.is_none().then_some(())))?;
    ensure!(place.converge()? == Change::Made, "it is made again");
    ensure!(place.pid()? != first, "it is another process");
    is_connected(&scene)?;
    block_on(place.tunnel.close())??;
    ensure!(run(&format!("ip link show {INTERFACE}")).is_err(), "it is gone once it is closed");
    ensure!(block_on(place.tunnel.state())??.is_none(), "and so is its process");
    block_on(place.tunnel.close())??;
    Ok(())
}

#[test]
fn a_directory_has_one_tunnel_whoever_starts_it() -> Result<()> {
    if !is_inside("detached::a_directory_has_one_tunnel_whoever_starts_it")? {
        return Ok(());
    }
    let (_scene, place) = (Scene::new()?, Place::new()?);
    let made: Vec<Change> = thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let tunnel = Detached::new(place.data.path(), Path::new(PROGRAM));
                    Ok(block_on(tunnel.converge(&near()?))??)
                })
            })
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().expect("no start panics"))
            .collect::<Result<_>>()
    })?;
    let makers = made.iter().filter(|change| **change == Change::Made).count();
    ensure!(makers == 1, "one of them has made it: {made:?}");
    let by_hand = Command::new(PROGRAM).arg("--data").arg(place.data.path()).output()?;
    ensure!(by_hand.status.code() == Some(3), "one more is refused: {by_hand:?}");
    let said = String::from_utf8(by_hand.stderr)?;
    ensure!(said.contains("another process is the tunnel of"), "{said}");
    Ok(())
}

#[test]
fn a_socket_that_is_taken_away_is_made_anew() -> Result<()> {
    if !is_inside("detached::a_socket_that_is_taken_away_is_made_anew")? {
        return Ok(());
    }
    let (_scene, place) = (Scene::new()?, Place::new()?);
    place.converge()?;
    let pid = place.pid()?;
    fs::remove_file(place.file("socket"))?;
    ensure!(place.converge()? == Change::Nothing, "the tunnel is still there");
    ensure!(place.pid()? == pid, "and has not been started twice");
    // Its directory goes, and so does it: nobody would find it any more.
    fs::remove_dir_all(place.data.path().join("tunnel"))?;
    let interface = format!("ip link show {INTERFACE}");
    wait_for("the tunnel is gone", || Ok(run(&interface).is_err().then_some(())))
}

#[test]
fn whoever_speaks_otherwise_is_hung_up_on() -> Result<()> {
    if !is_inside("detached::whoever_speaks_otherwise_is_hung_up_on")? {
        return Ok(());
    }
    let (_scene, place) = (Scene::new()?, Place::new()?);
    place.converge()?;
    let pid = place.pid()?;
    let words: [&[u8]; 4] = [
        &[0xff; 4],
        b"\x20\x00\x00\x00GET / HTTP/1.1\r\nHost: tunnel\r\n\r\n\r\n",
        &[5, 0, 0, 0, 0, 251, 255, 255, 255],
        &[1, 0, 0, 0, 77],
    ];
    for said in words {
        let mut stream = UnixStream::connect(place.file("socket"))?;
        stream.write_all(said)?;
        stream.read_exact(&mut [0; 40]).context("it is greeted")?;
        // If something of what it said was never read, the end is a reset.
        let answer = stream.read(&mut [0]);
        ensure!(!matches!(answer, Ok(1..)), "it gets no answer");
    }
    // Those who say nothing keep their places until their time is over, and others wait that long.
    let silent: Result<Vec<_>, _> =
        (0..20).map(|_| UnixStream::connect(place.file("socket"))).collect();
    let silent = silent?;
    ensure!(place.converge()? == Change::Nothing, "the node is served");
    drop(silent);
    ensure!(place.pid()? == pid, "by the process that it had started");
    Ok(())
}

#[test]
fn a_tunnel_of_another_build_is_replaced() -> Result<()> {
    if !is_inside("detached::a_tunnel_of_another_build_is_replaced")? {
        return Ok(());
    }
    let scene = far_gateway()?;
    let folder = tempfile::tempdir()?;
    let newer = folder.path().join("reservoir-tunnel");
    fs::copy(PROGRAM, &newer)?;
    // What stands behind a program does not change what it does.
    File::options().append(true).open(&newer)?.write_all(b"newer")?;
    let place = Place::running(&newer)?;
    let before = Detached::new(place.data.path(), Path::new(PROGRAM));
    block_on(before.converge(&near()?))??;
    let first = place.pid()?;
    ensure!(block_on(place.tunnel.state())??.is_none(), "it has no state of this build");
    ensure!(place.converge()? == Change::Made, "it is made by the newer build");
    ensure!(place.pid()? != first, "in another process");
    is_connected(&scene)?;
    let log = fs::read_to_string(place.file("log"))?;
    ensure!(log.contains("the tunnel's process leaves"), "the other one was asked to leave: {log}");
    Ok(())
}

#[test]
fn a_tunnel_has_nothing_of_its_node() -> Result<()> {
    if !is_inside("detached::a_tunnel_has_nothing_of_its_node")? {
        return Ok(());
    }
    let (_scene, place) = (Scene::new()?, Place::new()?);
    let (mut ours, theirs) = std::io::pipe()?;
    // As a library does that does not know better.
    fcntl_setfd(&theirs, FdFlags::empty())?;
    place.converge()?;
    drop(theirs);
    let end = ours.read(&mut [0])?;
    ensure!(end == 0, "it does not hold the pipe open");
    let pid = place.pid()?;
    let own = rustix::process::getsid(Some(pid))?;
    ensure!(own == pid, "it leads a session of its own: {own:?}");
    let root = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()))?;
    ensure!(root == Path::new("/"), "it keeps no directory busy: {}", root.display());
    Ok(())
}

#[test]
fn what_the_process_cannot_do_is_said_with_its_reason() -> Result<()> {
    if !is_inside("detached::what_the_process_cannot_do_is_said_with_its_reason")? {
        return Ok(());
    }
    let (_scene, place) = (Scene::new()?, Place::new()?);
    run(&format!("ip link add {INTERFACE} type bridge"))?;
    let refused = block_on(place.tunnel.converge(&near()?))?;
    let said = match refused {
        Err(Error::Refused(said)) => said,
        other => anyhow::bail!("it is refused: {other:?}"),
    };
    ensure!(said.starts_with(&format!("cannot make the TAP device {INTERFACE}")), "{said}");
    let nowhere = Detached::new(place.data.path(), Path::new("/nowhere/reservoir-tunnel"));
    block_on(place.tunnel.close())??;
    let missing = block_on(nowhere.converge(&near()?))?;
    ensure!(matches!(missing, Err(Error::Program { .. })), "{missing:?}");
    // A file is where its directory should be.
    let file = place.file("file");
    fs::write(&file, "")?;
    let misplaced = block_on(Detached::new(&file, Path::new(PROGRAM)).converge(&near()?))?;
    let error = misplaced.err().context("it cannot start")?;
    ensure!(error.to_string().contains("file"), "{error}");
    Ok(())
}
