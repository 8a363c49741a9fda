//! A scene: hosts and guests as network namespaces, in namespaces of the test's own.
//!
//! Each test starts itself again under `unshare`, which ends with the last process in it. A host
//! is a network namespace in which [`Linux`] acts; a guest is one behind a pair whose outer end
//! has the name of its tap. This needs root, and fails without it.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fabric::networks::{
    At, Cause, Group, GroupId, Identity, Lan, Linux, Member, Networks, State, Tap, Vni, Wanted,
    bridge,
};
use fabric::{Change, HostName};
use protocol::hull::Mac;
use protocol::ids::{MachineId, MachineName, NetworkId, SiteId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Says that the process is already in its own namespaces.
const INSIDE: &str = "inside";

/// How long anything is waited for before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` in namespaces of its own: the test of this name is started again in them.
pub(crate) fn inside(test: &str, work: impl FnOnce(Scene) -> Result<()>) -> Result<()> {
    // The runner's own arguments are kept out: only ours end in this word.
    if !std::env::args().any(|argument| argument == INSIDE) {
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
        return Ok(());
    }
    run("mount", &["-t", "sysfs", "sysfs", "/sys"])?;
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    let directory = tempfile::tempdir()?;
    run("chmod", &["755", &directory.path().to_string_lossy()])?;
    work(Scene { directory })
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    let text = said(&output);
    ensure!(output.status.success(), "{program} {arguments:?}: {text}");
    Ok(text)
}

pub(crate) fn ip(arguments: &str) -> Result<String> {
    run("ip", &arguments.split(' ').collect::<Vec<_>>())
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Calls `look` until it answers, or the deadline has passed.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("waited in vain for {what}")
}

/// Does something in a namespace, in a thread of its own.
fn within<T: Send>(namespace: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = File::open(Path::new("/run/netns").join(namespace))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        });
        thread.join().expect("the thread ends by itself")
    })
}

pub(crate) struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn host(&self, name: &str) -> Result<Host> {
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        // What the host's other bridges do is not decided here: ours say for themselves.
        for key in ["iptables", "ip6tables", "arptables"] {
            let key = format!("net.bridge.bridge-nf-call-{key}=0");
            run("ip", &["netns", "exec", name, "busybox", "sysctl", "-w", &key])?;
        }
        let directory = self.directory.path().join(name);
        Ok(Host { name: name.to_owned(), fabric: fresh(&directory, name), directory })
    }

    /// Joins two hosts by a wire.
    pub(crate) fn wire(one: (&Host, &str, &str), other: (&Host, &str, &str)) -> Result<()> {
        let ((a, a_device, a_address), (b, b_device, b_address)) = (one, other);
        let (a_name, b_name) = (&a.name, &b.name);
        ip(&format!(
            "-n {a_name} link add {a_device} mtu 2000 type veth peer name {b_device} mtu 2000 \
             netns {b_name}"
        ))?;
        for (name, device, address) in
            [(a_name, a_device, a_address), (b_name, b_device, b_address)]
        {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            ip(&format!("-n {name} addr add {address} dev {device}{nodad}"))?;
            ip(&format!("-n {name} link set {device} up"))?;
        }
        Ok(())
    }
}

fn fresh(directory: &Path, name: &str) -> Linux {
    Linux::new(directory.to_path_buf(), Path::new("/run/reservoir").join(name))
}

/// A host: a network namespace with networks in it.
pub(crate) struct Host {
    pub(crate) name: String,
    directory: PathBuf,
    fabric: Linux,
}

impl Host {
    fn asks<T: Send>(&self, ask: impl AsyncFnOnce(&Linux) -> Result<T> + Send) -> Result<T> {
        within(&self.name, || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask(&self.fabric))
        })
    }

    pub(crate) fn converge(&self, wanted: &Wanted) -> Result<Change> {
        self.asks(async |fabric| Ok(fabric.converge(wanted).await?))
    }

    pub(crate) fn announce(&self, wanted: &Wanted, tap: &Tap) -> Result<()> {
        self.asks(async |fabric| Ok(fabric.announce(wanted, tap).await?))
    }

    pub(crate) fn close(&self) -> Result<()> {
        self.asks(async |fabric| Ok(fabric.close().await?))
    }

    pub(crate) fn state(&self, wanted: &Wanted) -> Result<State> {
        self.asks(async |fabric| Ok(fabric.state(wanted).await?))
    }

    /// Forgets everything, as a node does that was killed.
    pub(crate) fn forgets(&mut self) {
        // The old one is kept: dropping it would reap its children, which a killed node cannot.
        let old = std::mem::replace(&mut self.fabric, fresh(&self.directory, &self.name));
        Box::leak(Box::new(old));
    }

    /// Takes the namespaces of its networks away, as a restart of the host does.
    pub(crate) fn loses_namespaces(&self) -> Result<()> {
        for entry in std::fs::read_dir(Path::new("/run/reservoir").join(&self.name))? {
            let path = entry?.path();
            run("umount", &[&path.to_string_lossy()])?;
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    /// How many networks have files on its disk.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(&self.directory)?.count())
    }

    pub(crate) fn listen(&self, network: Identity, address: &str) -> Result<TcpListener> {
        self.fabric.listen(network, address.parse()?)?.context("somebody listens there already")
    }

    /// Runs a program in the host.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        let words = ["netns", "exec", &self.name].into_iter().chain(line.split(' '));
        run("ip", &words.collect::<Vec<_>>())
    }

    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(&self.name, work)
    }

    /// How many packets were dropped for a cause, on the whole host.
    pub(crate) fn drops(&self, wanted: &Wanted, cause: Cause) -> Result<u64> {
        let state = self.state(wanted)?;
        let all = state.lans.iter().flat_map(|lan| &lan.drops).chain(&state.drops);
        Ok(all.filter(|drops| drops.cause == cause).map(|drops| drops.packets).sum())
    }

    /// Plugs a card into its network.
    pub(crate) fn plug(&self, lan: &Lan, card: &Card) -> Result<Guest> {
        let name = card.namespace(lan);
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        let guest = Guest { name };
        self.join(&guest, lan, card)?;
        Ok(guest)
    }

    /// Plugs a guest that is there already into its network on this host.
    pub(crate) fn join(&self, guest: &Guest, lan: &Lan, card: &Card) -> Result<()> {
        let (host, name, tap) = (&self.name, &guest.name, card.tap());
        let (mac, mtu, bridge) = (card.mac(), lan.mtu, bridge(lan.identity));
        ip(&format!(
            "-n {host} link add {tap} type veth peer name eth0 address {mac} netns {name}"
        ))?;
        ip(&format!("-n {host} link set {tap} mtu {mtu} master {bridge} up"))?;
        ip(&format!("-n {name} link set eth0 mtu {mtu}"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        if let Some(address) = card.v4() {
            guest.ip(&format!("addr add {address}/24 dev eth0"))?;
        }
        if let Some(address) = card.v6() {
            guest.ip(&format!("addr add {address}/64 dev eth0 nodad"))?;
        }
        Ok(())
    }
}

/// A card of a number, from which all else follows.
#[derive(Clone, Copy)]
pub(crate) struct Card(pub(crate) u8);

impl Card {
    pub(crate) fn machine(self) -> MachineName {
        let machine = MachineId::from_uuid(uuid::Uuid::from_bytes([self.0; 16]));
        MachineName { home: home(), machine }
    }

    pub(crate) fn mac(self) -> Mac {
        Mac::of(home(), self.machine().machine, 0)
    }

    pub(crate) fn tap(self) -> Tap {
        Tap::of(self.machine(), 0)
    }

    pub(crate) fn v4(self) -> Option<std::net::Ipv4Addr> {
        Some([10, 0, 0, self.host_number()].into())
    }

    pub(crate) fn v6(self) -> Option<std::net::Ipv6Addr> {
        format!("fd00:1::{}", self.host_number()).parse().ok()
    }

    /// Cards whose numbers differ by a hundred have equal addresses.
    const fn host_number(self) -> u8 {
        10 + self.0 % 100
    }

    fn namespace(self, lan: &Lan) -> String {
        format!("g{}-{}", lan.vni.get(), self.0)
    }

    pub(crate) fn here(self) -> Member {
        self.at(At::Here { tap: self.tap(), from_guest: None, to_guest: None })
    }

    pub(crate) fn at(self, at: At) -> Member {
        let names = vec![HostName::nearest(&format!("c{}", self.0))];
        let (mac, v4, v6) = (self.mac(), self.v4(), self.v6());
        Member { mac, v4, v6, names, groups: vec![GroupId(1)], at }
    }
}

fn home() -> SiteId {
    SiteId::from_bytes([7; 32])
}

/// A network with these members, all in one group that is open to nobody else.
pub(crate) fn lan(number: u8, members: Vec<Member>) -> Lan {
    Lan {
        identity: Identity {
            home: home(),
            network: NetworkId::from_uuid(uuid::Uuid::from_bytes([number; 16])),
        },
        v4: Some("10.0.0.0/24".parse().expect("a prefix")),
        v6: Some("fd00:1::/64".parse().expect("a prefix")),
        mtu: 1400,
        vni: Vni::new(u32::from(number)).expect("a number"),
        domain: ["service", "internal"].map(HostName::nearest).to_vec(),
        members,
        groups: vec![Group { id: GroupId(1), ingress: vec![], egress: vec![] }],
        speed: None,
        exit: None,
        routes: vec![],
        awaited: BTreeSet::new(),
    }
}

pub(crate) fn wanted(lans: &[&Lan]) -> Wanted {
    Wanted { lans: lans.iter().map(|lan| (*lan).clone()).collect(), ..Wanted::default() }
}

/// A guest: a network namespace with one card.
pub(crate) struct Guest {
    name: String,
}

impl Guest {
    pub(crate) fn ip(&self, arguments: &str) -> Result<String> {
        ip(&format!("-n {} {arguments}", self.name))
    }

    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        within(&self.name, work)
    }

    /// Runs a program in the guest; answers whether it ended well, and what it said.
    pub(crate) fn run(&self, line: &str) -> Result<(bool, String)> {
        let words = ["netns", "exec", &self.name].into_iter().chain(line.split(' '));
        let output = Command::new("ip").args(words).stdin(Stdio::null()).output()?;
        Ok((output.status.success(), said(&output)))
    }

    /// Whether an address answers an echo within some tries.
    pub(crate) fn reaches(&self, address: impl Into<IpAddr>) -> Result<bool> {
        let address = address.into();
        let line = format!("busybox ping -c 1 -W 1 {address}");
        for _ in 0..3 {
            if self.run(&line)?.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The address that DHCP gives, with router and MTU: three requests, a second apart.
    pub(crate) fn asks_dhcp(&self) -> Result<Option<String>> {
        let script = "/run/udhcpc";
        let text = "#!/bin/sh\n[ \"$1\" = bound ] && echo \"bound:$ip:$router:$mtu\"\nexit 0\n";
        std::fs::write(script, text)?;
        run("chmod", &["755", script])?;
        let (_, said) =
            self.run(&format!("busybox udhcpc -i eth0 -f -q -n -t 3 -T 1 -O mtu -s {script}"))?;
        ensure!(said.contains("broadcasting discover"), "the client did not ask: {said}");
        Ok(said.lines().find_map(|line| line.strip_prefix("bound:")).map(str::to_owned))
    }

    /// What DNS says of a name, as busybox's client tells it.
    pub(crate) fn resolves(&self, name: &str, kind: &str) -> Result<String> {
        Ok(self.run(&format!("busybox nslookup -type={kind} {name} 10.0.0.1"))?.1)
    }

    pub(crate) fn udp(&self, address: &str) -> Result<UdpSocket> {
        self.within(|| {
            let socket = UdpSocket::bind(address)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })
    }

    pub(crate) fn listens(&self, address: &str) -> Result<TcpListener> {
        self.within(|| Ok(TcpListener::bind(address)?))
    }

    /// Connects; none if nothing comes back within a while.
    pub(crate) fn connects(&self, address: &str) -> Result<Option<TcpStream>> {
        let address: SocketAddr = address.parse()?;
        self.within(|| {
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            let stream = connected.ok();
            if let Some(stream) = &stream {
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            }
            Ok(stream)
        })
    }
}
