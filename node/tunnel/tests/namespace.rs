//! Claims about real tunnels: two gateways, a link between them, and a VXLAN over it.
//!
//! Each test runs in network and mount namespaces of its own: it starts itself again under
//! `unshare`, which ends with the last process in it. The far gateway is in one more network
//! namespace, behind a veth. This needs root, and fails without it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tunnel::{
    Change, Embedded, Error, Offloads, Peer, PeerState, PrivateKey, Provider, State, Tunnel, Wanted,
};

/// Says that the process is already in its own namespaces.
const INSIDE: &str = "inside";
/// The interface of either gateway.
const INTERFACE: &str = "rsv-tunnel";
const PORT: u16 = 51820;
/// The namespace of the far gateway.
const FAR: &str = "far";

/// Runs the test of this name again, in namespaces of its own; answers whether we are in them.
fn is_inside(test: &str) -> Result<bool> {
    // The runner's own arguments are kept out: only ours end in this word.
    if std::env::args().any(|argument| argument == INSIDE) {
        return Ok(true);
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe()?)
        .args(["--exact", "--nocapture", test, "--skip", INSIDE])
        .stdin(Stdio::null())
        .output()
        .context("run unshare (this test needs root)")?;
    // A name that matches no test would be a success too.
    let passed = output.status.success() && said(&output).contains("1 passed");
    ensure!(passed, "inside its namespaces: {}", said(&output));
    Ok(false)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn run(line: &str) -> Result<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
    let text = said(&output);
    ensure!(output.status.success(), "{line}: {text}");
    Ok(text)
}

/// Calls `look` until it answers, or the deadline has passed.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("not within 20 seconds: {what}")
}

/// Runs `work` in the namespace of this name, on a thread of its own.
fn within<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
    thread::scope(|scope| {
        let entered = scope.spawn(move || {
            use std::os::fd::AsFd;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        entered.join().expect("the work in a namespace does not panic")
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

const fn inner(number: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number))
}

fn key(number: u8) -> PrivateKey {
    PrivateKey::from_bytes([number; 32])
}

/// What gateway `own` wants, that has the other one for its only peer.
fn wanted(own: u8, other: u8, endpoint: Option<SocketAddr>) -> Wanted {
    let peer = Peer {
        public_key: key(other).public(),
        endpoint,
        addresses: vec![inner(other.into())],
        keepalive: NonZeroU16::new(1).filter(|_| endpoint.is_some()),
    };
    Wanted {
        name: INTERFACE.parse().expect("a name"),
        private_key: key(own),
        listen_port: PORT,
        address: inner(own.into()),
        prefix: 64,
        mtu: 1420,
        peers: vec![peer],
    }
}

/// Two gateways. The far one dials, and the near one waits.
struct Scene {
    near: Embedded,
    far: Embedded,
}

impl Scene {
    /// Two gateways with a link between them, and nothing else.
    fn new() -> Result<Self> {
        for line in [
            "mount -t sysfs sysfs /sys",
            "mount -t tmpfs tmpfs /run",
            "ip link set lo up",
            "ip netns add far",
            "ip -n far link set lo up",
            "ip link add near0 type veth peer name far0 netns far",
            "ip addr add 192.0.2.1/24 dev near0",
            "ip -n far addr add 192.0.2.2/24 dev far0",
            "ip link set near0 up",
            "ip -n far link set far0 up",
        ] {
            run(line)?;
        }
        Ok(Self { near: Embedded::new(), far: Embedded::new() })
    }

    /// Both tunnels up, and known to each other.
    fn connected() -> Result<Self> {
        let scene = Self::new()?;
        scene.converge_near(&wanted(1, 2, None))?;
        scene.converge_far(&wanted(2, 1, Some("192.0.2.1:51820".parse()?)))?;
        wait_for("the far gateway is heard", || {
            Ok(scene.near_peer()?.endpoint.filter(|_| scene.ping().unwrap_or(false)))
        })?;
        Ok(scene)
    }

    fn converge_near(&self, wanted: &Wanted) -> Result<Change> {
        Ok(block_on(self.near.converge(wanted))??)
    }

    fn converge_far(&self, wanted: &Wanted) -> Result<Change> {
        within(FAR, || Ok(block_on(self.far.converge(wanted))??))
    }

    fn near_state(&self) -> Result<State> {
        block_on(self.near.state())??.context("the near tunnel runs")
    }

    fn near_peer(&self) -> Result<PeerState> {
        self.near_state()?.peers.first().cloned().context("the near tunnel has a peer")
    }

    fn far_peer(&self) -> Result<PeerState> {
        let state = block_on(self.far.state())??.context("the far tunnel runs")?;
        state.peers.first().cloned().context("the far tunnel has a peer")
    }

    /// Whether the far gateway answers to its inner address.
    fn ping(&self) -> Result<bool> {
        let output = Command::new("busybox").args(["ping", "-c1", "-W1", "fd00::2"]).output()?;
        Ok(output.status.success())
    }

    /// A LAN over the tunnel: 10.9.0.1 here and 10.9.0.2 there.
    fn stretch_a_lan(&self) -> Result<()> {
        for (own, other, at) in [(1, 2, ""), (2, 1, "-n far ")] {
            let port = tunnel::VXLAN_PORT;
            run(&format!(
                "ip {at}link add lan type vxlan id 7 local fd00::{own} remote fd00::{other} \
                 dstport {port} dev {INTERFACE}"
            ))?;
            run(&format!("ip {at}addr add 10.9.0.{own}/24 dev lan"))?;
            run(&format!("ip {at}link set lan mtu 1350 up"))?;
        }
        Ok(())
    }
}

/// Sends `bytes` to an address at the far gateway, and has them sent back.
fn echo(address: &str, bytes: &[u8]) -> Result<()> {
    let listener = within(FAR, || Ok(TcpListener::bind((address, 0))?))?;
    let to = listener.local_addr()?;
    thread::scope(|scope| {
        let far = scope.spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            stream.write_all(&all)?;
            Ok(())
        });
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
        stream.write_all(bytes)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        far.join().expect("an echo does not panic")?;
        ensure!(all == bytes, "other bytes came back: {} of {}", all.len(), bytes.len());
        Ok(())
    })
}

/// Bytes of which no two stretches are alike.
fn bytes(count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

#[test]
fn a_lan_goes_through_the_tunnel_in_both_directions() -> Result<()> {
    if !is_inside("a_lan_goes_through_the_tunnel_in_both_directions")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    scene.stretch_a_lan()?;
    echo("10.9.0.2", &bytes(2 << 20))?;
    let (near, far) = (scene.near_peer()?, scene.far_peer()?);
    ensure!(near.sent.bytes > 8 << 20 && near.received.bytes > 8 << 20, "counted: {near:?}");
    ensure!(near.last_handshake.is_some() && near.drops == Default::default(), "{near:?}");
    ensure!(far.received.packets > 5000, "segments were put through: {far:?}");
    // What goes through without a LAN is put together as well.
    echo("fd00::2", &bytes(1 << 20))?;
    let Provider::Embedded(offloads) = scene.near_state()?.provider;
    if offloads == Offloads::Tunnels {
        let refused = scene.near_state()?.drops.refused;
        ensure!(refused == 0, "the kernel took every super-packet: {refused}");
    }
    Ok(())
}

#[test]
fn a_packet_from_an_address_that_is_not_the_peers_is_dropped() -> Result<()> {
    if !is_inside("a_packet_from_an_address_that_is_not_the_peers_is_dropped")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    run(&format!("ip -n far addr add fd00::3/64 dev {INTERFACE} nodad"))?;
    let ping = "ip netns exec far busybox ping -c1 -W1 -I fd00::3 fd00::1";
    ensure!(run(ping).is_err(), "nobody answers to an address that is not the peer's");
    wait_for("the drop is counted", || {
        Ok(Some(()).filter(|()| scene.near_peer().is_ok_and(|peer| peer.drops.wrong_source > 0)))
    })?;
    ensure!(scene.ping()?, "what is the peer's own still comes through");
    Ok(())
}

#[test]
fn a_packet_to_an_address_that_no_peer_has_is_dropped() -> Result<()> {
    if !is_inside("a_packet_to_an_address_that_no_peer_has_is_dropped")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    let before = scene.near_state()?.drops.no_peer;
    ensure!(run("busybox ping -c1 -W1 fd00::77").is_err(), "nobody is there");
    let after = scene.near_state()?.drops.no_peer;
    ensure!(after > before, "the drop is counted: {before}, then {after}");
    Ok(())
}

#[test]
fn a_gateway_is_followed_to_another_address() -> Result<()> {
    if !is_inside("a_gateway_is_followed_to_another_address")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    run("ip -n far addr del 192.0.2.2/24 dev far0")?;
    run("ip -n far addr add 192.0.2.9/24 dev far0")?;
    let moved = "192.0.2.9:51820".parse()?;
    wait_for("it is heard from its new address", || {
        Ok(scene.near_peer()?.endpoint.filter(|endpoint| *endpoint == moved))
    })?;
    wait_for("it answers there", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))?;
    let change = scene.converge_near(&wanted(1, 2, None))?;
    ensure!(change == Change::Nothing, "where it has moved is not forgotten: {change:?}");
    Ok(())
}

#[test]
fn a_gateway_that_starts_again_is_back() -> Result<()> {
    if !is_inside("a_gateway_that_starts_again_is_back")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    block_on(scene.far.close())??;
    ensure!(!scene.ping()?, "its interface went with it");
    let dials = wanted(2, 1, Some("192.0.2.1:51820".parse()?));
    ensure!(scene.converge_far(&dials)? == Change::Made, "it is made again");
    wait_for("it answers", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))?;
    Ok(())
}

#[test]
fn what_is_wanted_is_made_once_and_made_again_when_it_is_gone() -> Result<()> {
    if !is_inside("what_is_wanted_is_made_once_and_made_again_when_it_is_gone")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    let mut near = wanted(1, 2, None);
    ensure!(scene.converge_near(&near)? == Change::Nothing, "all is as wanted");
    near.mtu = 1300;
    near.peers[0].addresses.push(inner(22));
    ensure!(scene.converge_near(&near)? == Change::Made, "the MTU and a peer are other");
    let shown = run(&format!("ip link show {INTERFACE}"))?;
    ensure!(shown.contains("mtu 1300") && shown.contains("NOARP"), "{shown}");
    ensure!(scene.ping()?, "the session was kept");
    ensure!(scene.converge_near(&near)? == Change::Nothing, "all is as wanted again");

    run(&format!("ip addr add fd00:1::1/64 dev {INTERFACE} nodad"))?;
    ensure!(scene.converge_near(&near)? == Change::Made, "a strange address is removed");
    run(&format!("ip link del {INTERFACE}"))?;
    wait_for("the loss is seen", || {
        Ok(Some(())
            .filter(|()| scene.converge_near(&near).is_ok_and(|change| change == Change::Made)))
    })?;
    near.peers.clear();
    ensure!(scene.converge_near(&near)? == Change::Made, "a peer is not wanted any more");
    ensure!(scene.near_state()?.peers.is_empty() && !scene.ping()?, "it is gone");
    Ok(())
}

#[test]
fn a_port_or_a_name_in_use_is_refused_with_its_reason() -> Result<()> {
    if !is_inside("a_port_or_a_name_in_use_is_refused_with_its_reason")? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let taken = UdpSocket::bind(("::", PORT))?;
    let error = block_on(scene.near.converge(&wanted(1, 2, None)))?;
    ensure!(matches!(error, Err(Error::Port { port: PORT, .. })), "{error:?}");
    drop(taken);
    run(&format!("ip link add {INTERFACE} type bridge"))?;
    let error = block_on(scene.near.converge(&wanted(1, 2, None)))?;
    ensure!(matches!(error, Err(Error::Device { .. })), "{error:?}");
    Ok(())
}

/// Passes datagrams between a client and the near gateway, each of them twice, and now and then
/// one that nobody sent.
fn meddle(socket: &UdpSocket, is_over: &AtomicBool) -> Result<()> {
    let near: SocketAddr = "192.0.2.1:51820".parse()?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut far = None;
    let mut buffer = [0; 2000];
    let mut count = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let to = if from == near {
            far
        } else {
            far = Some(from);
            Some(near)
        };
        let Some(to) = to else { continue };
        socket.send_to(&buffer[..length], to)?;
        socket.send_to(&buffer[..length], to)?;
        count += 1;
        if count.is_multiple_of(5) {
            let place = count % length;
            buffer[place] ^= 0x55;
            socket.send_to(&buffer[..length], to)?;
            socket.send_to(&buffer[..count % 200], to)?;
        }
    }
    Ok(())
}

#[test]
fn what_is_repeated_or_forged_on_the_way_never_arrives() -> Result<()> {
    if !is_inside("what_is_repeated_or_forged_on_the_way_never_arrives")? {
        return Ok(());
    }
    let scene = Scene::new()?;
    run("ip addr add 192.0.2.66/24 dev near0")?;
    let relay = UdpSocket::bind(("192.0.2.66", 7000))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let meddler = scope.spawn(|| meddle(&relay, &is_over));
        let outcome = (|| {
            scene.converge_near(&wanted(1, 2, None))?;
            scene.converge_far(&wanted(2, 1, Some("192.0.2.66:7000".parse()?)))?;
            wait_for("they talk", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))?;
            scene.stretch_a_lan()?;
            echo("10.9.0.2", &bytes(1 << 18))
        })();
        is_over.store(true, Ordering::Relaxed);
        meddler.join().expect("the meddler does not panic")?;
        outcome
    })?;
    let (peer, drops) = (scene.near_peer()?, scene.near_state()?.drops);
    ensure!(peer.drops.replayed > 100, "what came twice was dropped: {peer:?}");
    ensure!(peer.drops.unauthentic > 0, "what was changed was dropped: {peer:?}");
    ensure!(drops.unknown > 0, "what is nothing was dropped: {drops:?}");
    Ok(())
}
