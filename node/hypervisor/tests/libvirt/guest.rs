//! A guest that says who it is: each second a line with the id of its boot and a count.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hypervisor::backend::{Owner, Plug, Start};
use hypervisor::{Backend, Guest, Hypervisor, Power, Tag};
use protocol::epoch::Epoch;
use protocol::hull::{Boot, Hull};
use protocol::ids::{MachineId, MachineName, NetworkId, SiteId};
use protocol::units::{Mebibytes, Size};

use crate::ground::{BRIDGE, Ground, kernel};

/// A user that nothing else on the machine runs as.
pub(crate) const OWNER: Owner = Owner { uid: 70_001, gid: 70_002 };

pub(crate) const FIRST: Epoch = Epoch { home: 1, provider: 1 };
pub(crate) const SECOND: Epoch = Epoch { home: 1, provider: 2 };

/// How long a guest may take for its next line: it boots in two seconds, and shares two cores
/// with the other tests' guests, all of them emulated.
const LIMIT: Duration = Duration::from_secs(60);

/// The power button reaches a process through two modules; acpid opens its device once, so it
/// comes after them.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc none /proc
busybox mount -t sysfs none /sys
busybox mount -t devtmpfs none /dev
busybox insmod /evdev.ko
busybox insmod /button.ko
busybox acpid -f -l /dev/null &
count=0
while true; do
    count=$((count + 1))
    echo "beat $(busybox cat /proc/sys/kernel/random/boot_id) $count"
    busybox sleep 1
done
"#;

const POWER_BUTTON: &str = "#!/bin/busybox sh\nexec /bin/busybox poweroff -f\n";

/// One line of the guest's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Beat {
    pub(crate) boot: String,
    pub(crate) count: u64,
}

/// A machine on a ground.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) hull: Hull,
    pub(crate) backend: Backend,
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

impl<'a> Machine<'a> {
    /// A machine with its disk, and no guest yet.
    pub(crate) async fn new(ground: &'a Ground, number: u8) -> Result<Self> {
        let (kernel, modules) = kernel()?;
        let initrd = initrd(ground.path(), &modules)?;
        let machine = MachineId::from_uuid(uuid::Uuid::from_bytes([number; 16]));
        let size = Size { vcpus: 1, memory: Mebibytes(128), disk: Mebibytes(16) };
        let boot = Boot::Kernel { command_line: "console=ttyS0 quiet".to_owned() };
        let hull = Hull::new(SiteId::from_bytes([7; 32]), machine, size, boot, &[network()]);
        let backend = Backend {
            directory: ground.path().join("machines").join(number.to_string()),
            owner: OWNER,
            start: Start::Kernel { kernel, initrd },
            plugs: vec![Plug { bridge: BRIDGE.to_owned(), interface: format!("tap{number}") }],
        };
        ground.libvirt.disk_create(&hull, &backend).await?;
        Ok(Self { ground, hull, backend })
    }

    pub(crate) fn name(&self) -> MachineName {
        MachineName { home: self.hull.home, machine: self.hull.machine }
    }

    pub(crate) fn tag(&self, epoch: Epoch) -> Tag {
        Tag { name: self.name(), epoch, hull: self.hull.id() }
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.backend.directory.join("memory")
    }

    pub(crate) async fn prepare(&self, epoch: Epoch) -> Result<()> {
        Ok(self.ground.libvirt.prepare(&self.hull, &self.backend, &self.tag(epoch)).await?)
    }

    /// A guest in its first epoch that has said at least two lines.
    pub(crate) async fn boot(&self) -> Result<Beat> {
        self.prepare(FIRST).await?;
        self.ground.libvirt.resume(self.name(), FIRST).await?;
        self.beat(2).await
    }

    /// All that the guest has said, over all its starts. The log is the hypervisor's, so the last
    /// line may be half.
    pub(crate) fn beats(&self) -> Vec<Beat> {
        let log = fs::read_to_string(self.backend.console_log()).unwrap_or_default();
        log.split_inclusive('\n').filter_map(beat).collect()
    }

    /// Waits until the guest has said so many lines.
    pub(crate) async fn beat(&self, lines: usize) -> Result<Beat> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let beats = self.beats();
            if beats.len() >= lines {
                return beats.last().cloned().context("no line was asked for");
            }
            ensure!(Instant::now() < deadline, "{lines} lines were awaited: {beats:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the guest says something new.
    pub(crate) async fn next_beat(&self) -> Result<Beat> {
        self.beat(self.beats().len() + 1).await
    }

    pub(crate) async fn power(&self) -> Result<Option<Power>> {
        let guests = self.ground.libvirt.guests().await?;
        let ours = |guest: &&Guest| guest.tag.name == self.name();
        Ok(guests.iter().find(ours).map(|guest| guest.power))
    }

    /// Waits until the guest is gone.
    pub(crate) async fn gone(&self) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while let Some(power) = self.power().await? {
            ensure!(Instant::now() < deadline, "the guest is still {power:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// A whole line of the guest's, if it is one.
pub(crate) fn beat(line: &str) -> Option<Beat> {
    let mut words = line.strip_suffix('\n')?.split_ascii_whitespace();
    let (word, boot, count) = (words.next()?, words.next()?, words.next()?);
    let count = count.parse().ok()?;
    (word == "beat").then(|| Beat { boot: boot.to_owned(), count })
}

/// Builds the initial RAM disk: busybox, two modules, and the script.
fn initrd(ground: &Path, modules: &Path) -> Result<PathBuf> {
    let archive = ground.join("initrd");
    if archive.exists() {
        return Ok(archive);
    }
    let root = ground.join("initrd.d");
    let button = root.join("etc/acpi/PWRF");
    for directory in ["bin", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::create_dir_all(&button)?;
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("install busybox-static")?;
    symlink("busybox", root.join("bin/sh"))?;
    fs::copy(modules.join("drivers/input/evdev.ko"), root.join("evdev.ko"))?;
    fs::copy(modules.join("drivers/acpi/button.ko"), root.join("button.ko"))?;
    for (path, script) in [(root.join("init"), INIT), (button.join("00000080"), POWER_BUTTON)] {
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    let status = Command::new("sh")
        .args(["-euc", "find . | cpio --quiet -o -H newc > ../initrd"])
        .current_dir(&root)
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "the initial RAM disk could not be packed: install cpio");
    Ok(archive)
}
