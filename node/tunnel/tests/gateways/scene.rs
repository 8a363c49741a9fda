//! Two gateways with a link between them, and what to do with them.
//!
//! Each test runs in network and mount namespaces of its own: it starts itself again under
//! `unshare`, which ends with the last process in it. The far gateway is in one more network
//! namespace, behind a veth. This needs root, and fails without it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tunnel::{
    Change, Drops, Embedded, Peer, PeerDrops, PeerState, PrivateKey, State, Tunnel, Wanted,
};

/// How long anything may take: a guest under emulation needs some seconds to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says that the process is already in its own namespaces.
pub(crate) const INSIDE: &str = "inside";
/// The interface of either gateway.
pub(crate) const INTERFACE: &str = "rsv-tunnel";
pub(crate) const PORT: u16 = 51820;
/// The program of the tunnel's process.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_reservoir-tunnel");
/// The namespace of the far gateway.
pub(crate) const FAR: &str = "far";

/// Runs the test of this name again, in namespaces of its own; answers whether we are in them.
pub(crate) fn is_inside(test: &str) -> Result<bool> {
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

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

pub(crate) fn run(line: &str) -> Result<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
    let text = said(&output);
    ensure!(output.status.success(), "{line}: {text}");
    Ok(text)
}

/// Calls `look` until it answers, or the deadline has passed.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("not within {PATIENCE:?}: {what}")
}

/// Runs `work` in the namespace of this name, on a thread of its own.
pub(crate) fn within<T: Send>(
    namespace: &str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
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

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

pub(crate) const fn inner(number: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number))
}

pub(crate) fn key(number: u8) -> PrivateKey {
    PrivateKey::from_bytes([number; 32])
}

/// What gateway `own` wants, that has the other one for its only peer.
pub(crate) fn wanted(own: u8, other: u8, endpoint: Option<SocketAddr>) -> Wanted {
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
pub(crate) struct Scene {
    pub(crate) near: Embedded,
    pub(crate) far: Embedded,
}

impl Scene {
    /// Two gateways with a link between them, and nothing else.
    pub(crate) fn new() -> Result<Self> {
        let scene = Self::alone()?;
        for line in [
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
        Ok(scene)
    }

    /// The near gateway, and no link to anywhere.
    pub(crate) fn alone() -> Result<Self> {
        for line in ["mount -t sysfs sysfs /sys", "mount -t tmpfs tmpfs /run", "ip link set lo up"]
        {
            run(line)?;
        }
        Ok(Self { near: Embedded::new(), far: Embedded::new() })
    }

    /// Both tunnels up, and known to each other.
    pub(crate) fn connected() -> Result<Self> {
        let scene = Self::new()?;
        scene.converge_near(&wanted(1, 2, None))?;
        scene.converge_far(&wanted(2, 1, Some("192.0.2.1:51820".parse()?)))?;
        wait_for("the far gateway is heard", || {
            Ok(scene.near_peer()?.endpoint.filter(|_| scene.ping().unwrap_or(false)))
        })?;
        Ok(scene)
    }

    pub(crate) fn converge_near(&self, wanted: &Wanted) -> Result<Change> {
        Ok(block_on(self.near.converge(wanted))??)
    }

    pub(crate) fn converge_far(&self, wanted: &Wanted) -> Result<Change> {
        within(FAR, || Ok(block_on(self.far.converge(wanted))??))
    }

    pub(crate) fn near_state(&self) -> Result<State> {
        block_on(self.near.state())??.context("the near tunnel runs")
    }

    pub(crate) fn near_peer(&self) -> Result<PeerState> {
        self.near_state()?.peers.first().cloned().context("the near tunnel has a peer")
    }

    pub(crate) fn near_drops(&self) -> Result<Drops> {
        self.near_state()?.drops.context("this process's own tunnel counts them")
    }

    pub(crate) fn near_peer_drops(&self) -> Result<PeerDrops> {
        self.near_peer()?.drops.context("this process's own tunnel counts them")
    }

    pub(crate) fn far_peer(&self) -> Result<PeerState> {
        let state = block_on(self.far.state())??.context("the far tunnel runs")?;
        state.peers.first().cloned().context("the far tunnel has a peer")
    }

    /// Whether the far gateway answers to its inner address.
    pub(crate) fn ping(&self) -> Result<bool> {
        let output = Command::new("busybox").args(["ping", "-c1", "-W1", "fd00::2"]).output()?;
        Ok(output.status.success())
    }

    /// A LAN over the tunnel: 10.9.0.1 here and 10.9.0.2 there.
    pub(crate) fn stretch_a_lan(&self) -> Result<()> {
        stretch_a_lan(1, 2, "")?;
        stretch_a_lan(2, 1, "-n far ")
    }
}

/// One end of a LAN over the tunnel, with the address 10.9.0.`own`. `at` tells `ip` where.
pub(crate) fn stretch_a_lan(own: u8, other: u8, at: &str) -> Result<()> {
    let port = tunnel::VXLAN_PORT;
    run(&format!(
        "ip {at}link add lan type vxlan id 7 local fd00::{own} remote fd00::{other} dstport {port} \
         dev {INTERFACE}"
    ))?;
    run(&format!("ip {at}addr add 10.9.0.{own}/24 dev lan"))?;
    run(&format!("ip {at}link set lan mtu 1350 up"))?;
    Ok(())
}

/// Sends `bytes` to an address at the far gateway, and has them sent back.
pub(crate) fn echo(address: &str, bytes: &[u8]) -> Result<()> {
    let listener = within(FAR, || Ok(TcpListener::bind((address, 0))?))?;
    let to = listener.local_addr()?;
    thread::scope(|scope| {
        let far = scope.spawn(move || answer(&listener));
        echo_at(to, bytes)?;
        far.join().expect("an echo does not panic")
    })
}

/// Sends back what one connection brings, once it has brought all.
pub(crate) fn answer(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    stream.write_all(&all)?;
    Ok(())
}

/// Sends `bytes` to where they are sent back.
pub(crate) fn echo_at(to: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    ensure!(all == bytes, "other bytes came back: {} of {}", all.len(), bytes.len());
    Ok(())
}

/// Bytes of which no two stretches are alike.
pub(crate) fn bytes(count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}
