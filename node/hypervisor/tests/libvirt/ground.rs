//! A libvirtd of the test's own, in namespaces of its own: the machine's own is not touched.
//!
//! The mount namespace gives it private directories in the places where libvirt's are compiled
//! in; the network namespace holds the guests' bridge. The process namespace has a first process
//! of its own: it takes in QEMU, which daemonizes, and reaps it at once (libvirtd waits for that,
//! and not every machine's init is quick); and with it everything in the namespace ends, when
//! the value is dropped, the test panics, or the test itself is killed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hypervisor::libvirt::Libvirt;
use hypervisor::{Error, Hypervisor};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Where the guests' cards are plugged in.
pub(crate) const BRIDGE: &str = "red";

/// How long libvirtd may take to answer after its start: on a cold cache it asks QEMU for all it
/// can do, on two cores that others use too.
const START_LIMIT: Duration = Duration::from_secs(60);

/// `$1` is the ground's directory, `$2` the bridge. The shell stays, and reaps.
const SCRIPT: &str = r#"
mount -t tmpfs none /run
mkdir -p /run/libvirt
mount --bind "$1/run" /run/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/cache" /var/cache/libvirt
mount --bind "$1/log" /var/log/libvirt
mount --bind "$1/etc" /etc/libvirt
ip link set lo up
ip link add "$2" type bridge
ip link set "$2" up
virtlogd &
wait
"#;

/// What a site's `qemu.conf` says. The DAC driver is there beside "none", and obeys each
/// domain's static label; files are given away by the node alone. The user and the group are for
/// asking QEMU what it can do: one that may not open `/dev/kvm` is asked again before every call.
const QEMU_CONF: &str = r#"
user = "libvirt-qemu"
group = "kvm"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "logd"
"#;

/// What libvirtd found out about QEMU, by file: the first ground's asks, the others' are told.
static CAPABILITIES: Mutex<BTreeMap<OsString, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// Where libvirtd keeps it, below the ground.
const CAPABILITIES_DIRECTORY: &str = "cache/qemu/capabilities";

/// libvirt takes guests from another host only, and tells hosts apart by this.
fn libvirtd_conf() -> String {
    static GROUNDS: AtomicU64 = AtomicU64::new(1);
    let number = GROUNDS.fetch_add(1, Ordering::Relaxed);
    let host = uuid::Uuid::from_u64_pair(u64::from(std::process::id()) << 32, number);
    format!("auth_unix_rw = \"none\"\nhost_uuid = \"{host}\"\n")
}

#[derive(Debug)]
pub(crate) struct Ground {
    directory: TempDir,
    /// Holds the namespaces, and ends them when it ends.
    holder: Child,
    /// The first process in the namespaces.
    first: u32,
    /// Waits for libvirtd, which is its child.
    libvirtd: Child,
    pub(crate) libvirt: Libvirt,
}

impl Ground {
    pub(crate) async fn start() -> Result<Self> {
        let directory = TempDir::with_prefix("reservoir-")?;
        let root = directory.path();
        fs::set_permissions(root, Permissions::from_mode(0o711))?;
        for name in ["run", "lib", "cache", "log", "etc", "machines"] {
            fs::create_dir(root.join(name))?;
        }
        let known = root.join(CAPABILITIES_DIRECTORY);
        fs::create_dir_all(&known)?;
        for (name, content) in capabilities().iter() {
            fs::write(known.join(name), content)?;
        }
        fs::write(root.join("etc/qemu.conf"), QEMU_CONF)?;
        fs::write(root.join("etc/libvirtd.conf"), libvirtd_conf())?;
        let mut holder = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--kill-child", "--fork", "--pid"])
            .args(["--mount-proc", "--mount", "--uts", "--net", "sh", "-euc", SCRIPT, "ground"])
            .arg(root)
            .arg(BRIDGE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(root.join("virtlogd.err"))?)
            .spawn()
            .context("run setpriv and unshare")?;
        let socket = root.join("run/virtlogd-sock");
        let deadline = Instant::now() + START_LIMIT;
        while !socket.exists() {
            if holder.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("virtlogd did not start: {}", fs::read_to_string(root.join("virtlogd.err"))?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let first = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id()))?;
        let first = first.trim().parse().context("the namespaces have no first process")?;
        let libvirtd = start_libvirtd(root, first)?;
        let libvirt = Libvirt::new(&uri(root), &root.join("machines"))?;
        let ground = Self { directory, holder, first, libvirtd, libvirt };
        ground.answers().await?;
        Ok(ground)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn uri(&self) -> String {
        uri(self.path())
    }

    /// Waits until libvirtd answers.
    pub(crate) async fn answers(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match self.libvirt.probe().await {
                Ok(_) => return Ok(()),
                Err(Error::Unreachable { .. } | Error::Late { .. })
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error).context(self.complaints()),
            }
        }
    }

    pub(crate) fn kill_libvirtd(&mut self) -> Result<()> {
        self.signal_libvirtd(Signal::KILL)?;
        self.libvirtd.wait()?;
        Ok(())
    }

    pub(crate) fn restart_libvirtd(&mut self) -> Result<()> {
        self.libvirtd = start_libvirtd(self.path(), self.first)?;
        Ok(())
    }

    pub(crate) fn signal_libvirtd(&self, signal: Signal) -> Result<()> {
        let is_it = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "libvirtd\n")
        };
        let pid = self.pids()?.into_iter().find(is_it).context("no libvirtd runs")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// The processes of all guests of this ground.
    pub(crate) fn guest_pids(&self) -> Result<Vec<u32>> {
        let mut pids = self.pids()?;
        pids.retain(|pid| {
            // A process may end while it is looked at.
            let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command_line).contains("guest=reservoir-")
        });
        Ok(pids)
    }

    /// All processes in this ground's namespaces.
    fn pids(&self) -> Result<Vec<u32>> {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/mnt"));
        let ours = namespace(self.first)?;
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if namespace(pid).is_ok_and(|theirs| theirs == ours) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    pub(crate) fn virsh(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("virsh").arg("-c").arg(self.uri()).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "virsh {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn keep_capabilities(&self) -> Result<()> {
        for entry in fs::read_dir(self.path().join(CAPABILITIES_DIRECTORY))? {
            let entry = entry?;
            capabilities().insert(entry.file_name(), fs::read(entry.path())?);
        }
        Ok(())
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.path().join("libvirtd.err")).unwrap_or_default()
    }
}

impl Drop for Ground {
    /// What is gone already is what was wanted, so errors say nothing here.
    fn drop(&mut self) {
        drop(self.keep_capabilities());
        drop(self.holder.kill());
        drop(self.holder.wait());
        // Who waits for a libvirtd that was stopped has stopped as well.
        drop(self.libvirtd.kill());
        drop(self.libvirtd.wait());
    }
}

fn capabilities() -> MutexGuard<'static, BTreeMap<OsString, Vec<u8>>> {
    CAPABILITIES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn uri(root: &Path) -> String {
    format!("qemu+unix:///system?socket={}", root.join("run/libvirt-sock").display())
}

fn start_libvirtd(root: &Path, first: u32) -> Result<Child> {
    let complaints = File::options().create(true).append(true).open(root.join("libvirtd.err"))?;
    Command::new("nsenter")
        .arg(format!("--target={first}"))
        .args(["--mount", "--uts", "--net", "--pid", "libvirtd"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(complaints)
        .spawn()
        .context("run nsenter")
}

/// The cloud kernel of the machine, and its modules.
pub(crate) fn kernel() -> Result<(PathBuf, PathBuf)> {
    let mut versions = Vec::new();
    for entry in fs::read_dir("/boot")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix("vmlinuz-").filter(|v| v.ends_with("-cloud-amd64"))
        {
            versions.push(version.to_owned());
        }
    }
    let version = versions.into_iter().max().context("install linux-image-cloud-amd64")?;
    let modules = Path::new("/lib/modules").join(&version).join("kernel");
    Ok((Path::new("/boot").join(format!("vmlinuz-{version}")), modules))
}
