//! The libvirt of a site: its settings, and what can be seen of it from outside.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::run;
use crate::daemon::Daemon;

/// How long the daemons may take to answer. They probe QEMU first, on two busy cores.
const START: Duration = Duration::from_secs(60);

/// The settings of the QEMU driver. Each guest has a user of its own, by the label in its
/// definition and not by this default, and the node owns the files it hands to them. Namespaces
/// and control groups are off because several hosts share this machine's.
const QEMU: &str = r#"user = "nobody"
group = "nogroup"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "logd"
"#;

/// A guest as the site's libvirt sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Domain {
    /// Its name there.
    pub name: String,
    /// Its UUID there.
    pub uuid: String,
    /// Its state in virsh's words.
    pub state: String,
}

/// The directory that a site's processes see as `/`'s directories of libvirt.
#[derive(Debug)]
pub(crate) struct Libvirt {
    host: PathBuf,
}

impl Libvirt {
    /// Makes the directories and the settings, and leaves those that are there.
    pub(crate) fn prepare(host: PathBuf) -> Result<Self> {
        for place in ["run/libvirt", "var/lib/libvirt", "var/log/libvirt", "etc/libvirt"] {
            fs::create_dir_all(host.join(place)).context("create libvirt's directories")?;
        }
        let nothing = host.join("no-kvm");
        fs::write(&nothing, "").context("write a file for no KVM")?;
        fs::set_permissions(nothing, Permissions::from_mode(0o600)).context("close that file")?;
        let settings = host.join("etc/libvirt");
        fs::write(settings.join("qemu.conf"), QEMU).context("write qemu.conf")?;
        let daemon = settings.join("libvirtd.conf");
        if !daemon.exists() {
            // Two hosts of one UUID refuse to migrate to each other.
            let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("draw a UUID")?;
            let text = format!("auth_unix_rw = \"none\"\nhost_uuid = \"{}\"\n", uuid.trim());
            fs::write(daemon, text).context("write libvirtd.conf")?;
        }
        Ok(Self { host })
    }

    /// Waits until virtlogd takes connections.
    pub(crate) fn await_log_daemon(&self, daemon: &mut Daemon) -> Result<()> {
        let socket = self.host.join("run/libvirt/virtlogd-sock");
        daemon.wait_for(START, || Ok(UnixStream::connect(&socket).is_ok()))
    }

    /// Waits until libvirtd answers.
    pub(crate) fn await_daemon(&self, daemon: &mut Daemon) -> Result<()> {
        daemon.wait_for(START, || Ok(self.virsh(&["version"]).is_ok()))
    }

    /// Runs virsh on this libvirt; answers what it wrote.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.host.join("run/libvirt/libvirt-sock");
        let uri = format!("qemu:///system?socket={}", socket.display());
        run("virsh", [&["--quiet", "--connect", uri.as_str()], arguments].concat())
    }

    /// All guests there are.
    pub(crate) fn domains(&self) -> Result<Vec<Domain>> {
        let list = self.virsh(&["list", "--all", "--name"])?;
        let mut domains = Vec::new();
        for name in list.lines().filter(|name| !name.is_empty()) {
            // It may end while we look at it; then it is not there.
            if let (Ok(uuid), Ok(state)) =
                (self.virsh(&["domuuid", name]), self.virsh(&["domstate", name]))
            {
                let (uuid, state) = (uuid.trim().to_owned(), state.trim().to_owned());
                domains.push(Domain { name: name.to_owned(), uuid, state });
            }
        }
        Ok(domains)
    }

    /// The file to which a guest's serial console is written.
    pub(crate) fn console(&self, domain: &str) -> Result<PathBuf> {
        let description = self.virsh(&["dumpxml", domain])?;
        let (_, after) = description.split_once("<log file='").context("no log of the console")?;
        let (path, _) = after.split_once('\'').context("no end of the log's name")?;
        Ok(Path::new(path).to_path_buf())
    }
}
