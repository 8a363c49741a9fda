//! One host of a site, with a network, a libvirt and a node of its own; most sites have one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command::{finish, output};
use crate::daemon::Daemon;
use crate::libvirt::Libvirt;
use crate::namespace::{self, Namespace};
use crate::node;

/// How long a node may take until it answers: it opens its tables and meets its libvirtd.
const START: Duration = Duration::from_secs(90);

/// Where a site's processes run, and the script that enters there.
const ENTER: &str = include_str!("enter");

/// The file that a site's mounts are bound to, below its directory.
pub(crate) const MOUNTS: &str = "mounts/namespace";

/// A site of the testnet.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    directory: PathBuf,
    pub(crate) namespace: Namespace,
    pub(crate) libvirt: Libvirt,
    log_daemon: Daemon,
    libvirtd: Daemon,
    reservoir: Option<PathBuf>,
    fence: Option<Daemon>,
    node: Option<Daemon>,
}

impl Site {
    /// Makes the site's directories and its network; nothing runs yet.
    pub(crate) fn prepare(
        directory: PathBuf,
        name: &str,
        reservoir: Option<&Path>,
    ) -> Result<Self> {
        let logs = directory.join("log");
        fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
        let enter = directory.join("enter");
        let here = directory.to_string_lossy();
        script(&enter, &ENTER.replace("@site@", name).replace("@here@", &here))?;
        let libvirt = Libvirt::prepare(directory.join("host"))?;
        let namespace = Namespace::open(directory.join("net"))?;
        namespace::open_mounts(&directory.join(MOUNTS), &[&enter.to_string_lossy(), "--mount"])?;
        let log_daemon = Daemon::new(&enter, &["/usr/sbin/virtlogd"], &logs);
        let libvirtd = Daemon::new(&enter, &["/usr/sbin/libvirtd"], &logs);
        let site = Self {
            name: name.to_owned(),
            directory,
            namespace,
            libvirt,
            log_daemon,
            libvirtd,
            reservoir: reservoir.map(Path::to_path_buf),
            fence: None,
            node: None,
        };
        if let Some(reservoir) = reservoir {
            // For people: the command line as it is used at this site.
            let context = site.context();
            let (enter, context) = (enter.display(), context.display());
            let text = format!(
                "#!/bin/sh\n# The command line of site {name}.\nexec '{enter}' env \
                 RESERVOIR_CONTEXT='{context}' '{}' \"$@\"\n",
                reservoir.display()
            );
            script(&site.directory.join("reservoir"), &text)?;
        }
        Ok(site)
    }

    /// Makes the site's keys; answers its id.
    pub(crate) fn init(&self) -> Result<String> {
        let reservoir = self.reservoir.as_ref().context("this testnet has no nodes")?;
        node::init(reservoir, &self.data(), &self.name)
    }

    /// Writes the node's configuration; from here on the node can be started.
    pub(crate) fn configure(&mut self, text: &str) -> Result<()> {
        let reservoir = self.reservoir.as_ref().context("this testnet has no nodes")?;
        let file = self.directory.join("node.toml");
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let data = self.data();
        let paths = [reservoir, &data, &file].map(|path| path.to_string_lossy());
        let words = node::words(&paths[0], &paths[1], &paths[2]);
        let logs = self.directory.join("log");
        let fence = reservoir.with_file_name("reservoir-fence");
        let fence = fence.to_string_lossy();
        let watch = node::fence_words(&fence, &paths[1]);
        self.fence = Some(Daemon::new(&self.directory.join("enter"), &watch, &logs));
        self.node = Some(Daemon::new(&self.directory.join("enter"), &words, &logs));
        Ok(())
    }

    /// Whether this host's node has joined its site.
    pub(crate) fn has_joined(&self) -> bool {
        node::has_joined(&self.data())
    }

    /// Makes this host's node one of the site whose first node is at `first`. Its operator is the
    /// same.
    pub(crate) fn join(&self, first: &Self) -> Result<()> {
        let data = self.data();
        let invite = ["-o", "json", "site", "invite", "--name", &self.name];
        let invited = said(first.reservoir(&invite)?)?;
        let (place, file) = (data.to_string_lossy(), self.directory.join("node.toml"));
        let (token, file) = (node::token(&invited)?, file.to_string_lossy());
        let join = ["site", "join", &token, "--data", &place, "--config", &file];
        said(self.reservoir(&join)?)?;
        fs::copy(first.context(), self.context()).context("take the operator's key over")?;
        Ok(())
    }

    /// Starts virtlogd and libvirtd, and waits until they answer.
    pub(crate) fn start_libvirt(&mut self) -> Result<()> {
        self.log_daemon.start(self.namespace.file())?;
        self.libvirt.await_log_daemon(&mut self.log_daemon)?;
        self.libvirtd.start(self.namespace.file())?;
        self.libvirt.await_daemon(&mut self.libvirtd)
    }

    /// Kills libvirtd; the guests go on, and so does what writes their consoles down.
    pub(crate) fn kill_libvirtd(&mut self) -> Result<()> {
        self.libvirtd.kill()
    }

    /// Starts the node, and does not wait.
    pub(crate) fn launch_node(&mut self) -> Result<()> {
        self.start_fence()?;
        self.node.as_mut().context("this testnet has no nodes")?.start(self.namespace.file())
    }

    /// Starts the node, and waits until it answers. Its host's fence is started before it.
    pub(crate) fn start_node(&mut self) -> Result<()> {
        self.start_fence()?;
        let mut node = self.node.take().context("this testnet has no nodes")?;
        let started = node.start(self.namespace.file()).and_then(|()| {
            node.wait_for(START, || Ok(self.reservoir(&["site", "show"])?.status.success()))
        });
        self.node = Some(node);
        started
    }

    /// Starts the fence, unless it runs.
    pub(crate) fn start_fence(&mut self) -> Result<()> {
        let fence = self.fence.as_mut().context("this testnet has no nodes")?;
        fence.start(self.namespace.file())
    }

    /// Kills the fence with SIGKILL.
    pub(crate) fn kill_fence(&mut self) -> Result<()> {
        self.fence.as_mut().context("this testnet has no nodes")?.kill()
    }

    /// Kills the node with SIGKILL.
    pub(crate) fn kill_node(&mut self) -> Result<()> {
        self.node.as_mut().context("this testnet has no nodes")?.kill()
    }

    /// Forgets all that the node had.
    pub(crate) fn lose_node(&self) -> Result<()> {
        fs::remove_dir_all(self.data()).context("remove the node's directory")
    }

    /// Kills all of the site's daemons.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let ours = [self.node.as_mut(), self.fence.as_mut()];
        let daemons = ours.into_iter().chain([&mut self.libvirtd, &mut self.log_daemon].map(Some));
        daemons.flatten().try_for_each(Daemon::kill)
    }

    /// Starts again what should run and does not.
    pub(crate) fn tend(&mut self) -> Result<()> {
        let ours = [self.fence.as_mut(), self.node.as_mut()];
        let daemons = [&mut self.log_daemon, &mut self.libvirtd].map(Some).into_iter().chain(ours);
        daemons.flatten().try_for_each(|daemon| daemon.tend(self.namespace.file()))
    }

    /// The process ids of virtlogd, libvirtd and the node, as far as they run.
    pub(crate) fn pids(&mut self) -> [Option<i32>; 3] {
        [self.log_daemon.pid(), self.libvirtd.pid(), self.node.as_mut().and_then(Daemon::pid)]
    }

    /// Runs the command line as at this site.
    pub(crate) fn reservoir(&self, arguments: &[&str]) -> Result<Output> {
        let reservoir = self.reservoir.as_ref().context("this testnet has no nodes")?;
        let mut command = self.namespace.command(&reservoir.to_string_lossy());
        output(command.env("RESERVOIR_CONTEXT", self.context()).args(arguments))
    }

    /// Runs any command in the site's network and among its directories.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        finish(Command::new(self.directory.join("enter")).args(arguments))
    }

    /// The node's directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The node writes down there how its first key's owner reaches it.
    fn context(&self) -> PathBuf {
        self.data().join("context.toml")
    }
}

/// What a command has written, if it has done what it was asked.
fn said(output: Output) -> Result<String> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", complaint.trim());
    String::from_utf8(output.stdout).context("read what it wrote")
}

fn script(path: &Path, text: &str) -> Result<()> {
    let written = fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)));
    written.with_context(|| format!("write {}", path.display()))
}
