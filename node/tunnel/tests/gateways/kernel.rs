//! Claims about other kernels: a guest is the far gateway.
//!
//! The guest is Debian's cloud kernel under emulation: it has `WireGuard`, and its TAP devices take no
//! super-packets inside VXLAN. It has this program inside it, which is the
//! gateway there: it makes its tunnel, says on the console what came of it, and sends back whatever
//! a LAN over the tunnel brings.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use tunnel::{Change, Embedded, Kernel, Offloads, Provider, Tunnel};

use crate::scene::{
    INTERFACE, Scene, answer, block_on, bytes, echo_at, inner, is_inside, run, stretch_a_lan,
    wait_for, wanted,
};

/// What the guest's kernel loads, with all that they need.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_net", "wireguard", "vxlan", "tun"];
/// What the gateway in the guest says once all is as it should be.
const READY: &str = "the gateway in the guest is ready";
/// What it says if not.
const FAILED: &str = "the gateway in the guest has failed";
/// Says on the guest's command line that its gateway is to use the tunnel of this crate.
const EMBEDDED: &str = "embedded-tunnel";
/// Where it sends back what comes.
const ECHO: &str = "10.9.0.2:7000";

const INIT: &str = r#"#!/bin/busybox sh
busybox mkdir -p /proc /sys /dev /run /tmp
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
for module in $(busybox cat /modules); do busybox insmod "$module"; done
/bin/ip link set lo up
/bin/ip addr add 192.0.2.2/24 dev eth0
/bin/ip link set eth0 up
/gateway --exact kernel::the_gateway_in_the_guest --nocapture
echo "the gateway in the guest has failed: it ended"
busybox poweroff -f
"#;

/// The files of a guest, in the folder that its first file system is made of.
struct Files {
    root: PathBuf,
}

impl Files {
    /// Copies a file of this machine to the same place in the guest.
    fn copy(&self, path: &Path) -> Result<()> {
        self.copy_as(path, path)
    }

    fn copy_as(&self, from: &Path, to: &Path) -> Result<()> {
        let to = self.root.join(to.strip_prefix("/").unwrap_or(to));
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(from, &to).with_context(|| format!("copy {}", from.display()))?;
        Ok(())
    }

    /// Copies a program with the libraries that it is linked to.
    fn program(&self, from: &Path, to: &str) -> Result<()> {
        self.copy_as(from, Path::new(to))?;
        let libraries = run(&format!("ldd {}", from.display()))?;
        for path in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(path))?;
        }
        Ok(())
    }

    /// Copies the kernel's modules, and writes down in which order they are to be loaded.
    fn modules(&self, release: &str) -> Result<()> {
        let folder = PathBuf::from("/lib/modules").join(release);
        let table = fs::read_to_string(folder.join("modules.dep"))?;
        let line_of = |module: &str| {
            let file = format!("/{module}.ko");
            table.lines().find(|line| line.split(':').next().is_some_and(|it| it.ends_with(&file)))
        };
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        for module in MODULES {
            // What is built in has no line. The last one a module needs comes first.
            let Some((own, needed)) = line_of(module).and_then(|line| line.split_once(':')) else {
                continue;
            };
            for path in needed.split_whitespace().rev().chain([own]) {
                if seen.insert(path.to_owned()) {
                    let path = folder.join(path);
                    self.copy(&path)?;
                    order.push(path.display().to_string());
                }
            }
        }
        fs::write(self.root.join("modules"), order.join("\n"))?;
        Ok(())
    }
}

/// The newest kernel of Debian's cloud kind.
fn release() -> Result<String> {
    let names = fs::read_dir("/lib/modules")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let newest = names.filter(|name| name.ends_with("-cloud-amd64")).max();
    newest.context("linux-image-cloud-amd64 is not installed")
}

/// A running guest. It ends when this is dropped.
struct Guest {
    qemu: Child,
    console: Arc<Mutex<String>>,
}

impl Guest {
    fn start(folder: &Path, mode: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let files = Files { root: folder.join("root") };
        fs::create_dir_all(&files.root)?;
        let release = release()?;
        files.copy_as(Path::new("/bin/busybox"), Path::new("/bin/busybox"))?;
        files.program(Path::new("/bin/ip"), "/bin/ip")?;
        files.program(&std::env::current_exe()?, "/gateway")?;
        files.modules(&release)?;
        let init = files.root.join("init");
        fs::write(&init, INIT)?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let pack = "find . | cpio --quiet --create --format newc > ../initrd";
        let packed = Command::new("sh").args(["-c", pack]).current_dir(&files.root).status()?;
        ensure!(packed.success(), "cpio packs the guest's files");
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic"])
            .args(["-nodefaults", "-no-reboot", "-serial", "stdio", "-monitor", "none"])
            .args(["-netdev", "tap,id=net,ifname=guest,script=no,downscript=no"])
            .args(["-device", "virtio-net-pci,netdev=net,romfile="])
            .arg("-kernel")
            .arg(format!("/boot/vmlinuz-{release}"))
            .arg("-initrd")
            .arg(folder.join("initrd"))
            .arg("-append")
            .arg(format!("console=ttyS0 panic=-1 quiet {mode}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("run QEMU")?;
        let output = qemu.stdout.take().context("the guest has a console")?;
        let console = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&console);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut text = copy.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        });
        Ok(Self { qemu, console })
    }

    fn said(&self) -> String {
        self.console.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

#[test]
fn real_our_own_tunnel_and_the_kernels_understand_each_other() -> Result<()> {
    if !is_inside("kernel::real_our_own_tunnel_and_the_kernels_understand_each_other")? {
        return Ok(());
    }
    talk_to_a_guest("with-the-kernels-tunnel")
}

#[test]
fn real_a_kernel_that_knows_fewer_offloads_is_served_too() -> Result<()> {
    if !is_inside("kernel::real_a_kernel_that_knows_fewer_offloads_is_served_too")? {
        return Ok(());
    }
    talk_to_a_guest(EMBEDDED)
}

fn talk_to_a_guest(mode: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let near = Scene::alone()?;
    run("ip tuntap add guest mode tap")?;
    run("ip addr add 192.0.2.1/24 dev guest")?;
    run("ip link set guest up")?;
    near.converge_near(&wanted(1, 2, None))?;
    let guest = Guest::start(folder.path(), mode)?;
    wait_for("the guest's gateway is ready", || {
        let said = guest.said();
        ensure!(!said.contains(FAILED), "{said}");
        Ok(Some(()).filter(|()| said.contains(READY)))
    })
    .with_context(|| guest.said())?;
    stretch_a_lan(1, 2, "")?;
    wait_for("it answers", || Ok(Some(()).filter(|()| near.ping().unwrap_or(false))))
        .with_context(|| guest.said())?;
    echo_at(ECHO.parse()?, &bytes(1 << 18)).with_context(|| guest.said())?;
    let peer = near.near_peer()?;
    ensure!(peer.received.bytes > 1 << 20 && peer.sent.bytes > 1 << 20, "{peer:?}");
    ensure!(peer.endpoint == Some("192.0.2.2:51820".parse()?), "{peer:?}");
    let drops = near.near_peer_drops()?;
    ensure!(drops.unauthentic == 0 && drops.wrong_source == 0, "{drops:?}");
    Ok(())
}

/// The guest's own part of the tests above. Elsewhere it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the console is how the guest speaks")]
fn the_gateway_in_the_guest() -> Result<()> {
    if !fs::exists("/gateway")? {
        return Ok(());
    }
    let has_embedded = fs::read_to_string("/proc/cmdline")?.contains(EMBEDDED);
    let served = if has_embedded { serve_embedded() } else { serve() };
    if let Err(error) = &served {
        println!("{FAILED}: {error:?}");
    }
    served
}

/// Makes the tunnel, looks whether it is as it should be, and serves.
#[expect(clippy::print_stdout, reason = "the console is how the guest speaks")]
fn serve() -> Result<()> {
    ensure!(block_on(Kernel::is_available())?, "this kernel has WireGuard");
    let mut dials = wanted(2, 1, Some("192.0.2.1:51820".parse()?));
    let first = Kernel::new();
    ensure!(block_on(first.converge(&dials))?? == Change::Made, "it is made");
    ensure!(block_on(first.converge(&dials))?? == Change::Nothing, "all is as wanted");

    let second = Kernel::new();
    let taken = block_on(second.converge(&dials))??;
    ensure!(taken == Change::Nothing, "the next process takes it over: {taken:?}");
    dials.peers[0].addresses.push(inner(77));
    dials.mtu = 1400;
    ensure!(block_on(second.converge(&dials))?? == Change::Made, "an address and the MTU are new");
    dials.peers[0].addresses.pop();
    dials.mtu = 1420;
    ensure!(block_on(second.converge(&dials))?? == Change::Made, "they are gone");
    let crowd = |number: u8| {
        let mut peer = wanted(2, number, None).peers.remove(0);
        peer.addresses = vec![inner(u16::from(number) + 1000)];
        peer
    };
    let mut crowded = dials.clone();
    crowded.peers.extend((3..200).map(crowd));
    ensure!(block_on(second.converge(&crowded))?? == Change::Made, "many more peers");
    ensure!(block_on(second.converge(&crowded))?? == Change::Nothing, "all of them are there");
    let state = block_on(second.state())??.context("there is a device")?;
    ensure!(state.peers.len() == 198 && state.provider == Provider::Kernel, "{state:?}");
    ensure!(block_on(second.converge(&dials))?? == Change::Made, "they are gone");
    let state = block_on(second.state())??.context("there is a device")?;
    ensure!(state.peers.len() == 1 && state.public_key == dials.private_key.public(), "{state:?}");
    println!("{state:?}\n{}", run(&format!("ip addr show {INTERFACE}"))?);
    echo_for_ever()
}

/// Makes a tunnel of this crate in the guest, and serves.
fn serve_embedded() -> Result<()> {
    let tunnel = Embedded::new();
    block_on(tunnel.converge(&wanted(2, 1, Some("192.0.2.1:51820".parse()?))))??;
    let state = block_on(tunnel.state())??.context("there is a device")?;
    let offloads = Provider::Embedded(Offloads::Tcp);
    ensure!(state.provider == offloads, "Linux 6.1 knows TCP's: {:?}", state.provider);
    echo_for_ever()
}

#[expect(clippy::print_stdout, reason = "the console is how the guest speaks")]
fn echo_for_ever() -> Result<()> {
    stretch_a_lan(2, 1, "")?;
    let listener = TcpListener::bind(ECHO)?;
    println!("{READY}");
    loop {
        answer(&listener)?;
    }
}
