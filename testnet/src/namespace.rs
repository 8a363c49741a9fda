//! Namespaces, each kept alive by a mount over a file of the testnet's own directory.
//!
//! They are not in the place where ip(8) keeps its own, so they have no names that could collide
//! with another testnet's or the machine's, and taking away the directory's mounts takes away
//! all of them.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{finish, run};
use crate::process::kill_all_in;

/// A network namespace, named by its file.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: PathBuf,
}

impl Namespace {
    /// Makes a namespace, or finds the one that is there.
    pub(crate) fn open(file: PathBuf) -> Result<Self> {
        if !is_bound(&file) {
            File::create(&file).with_context(|| format!("create {}", file.display()))?;
            run("unshare", [&format!("--net={}", file.display()), "true"])?;
        }
        let namespace = Self { file };
        namespace.ip(["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// A command that runs in this network, and elsewhere nothing changes for it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.file.display())).arg(program);
        command
    }

    /// Does some work on a thread of its own that has moved here, and elsewhere nothing changes for
    /// it.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(&self.file).context("open a namespace")?;
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("move into a namespace")?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Runs ip(8) in it.
    pub(crate) fn ip<const N: usize>(&self, arguments: [&str; N]) -> Result<String> {
        finish(self.command("ip").args(arguments))
    }

    /// Whether it has an interface of this name.
    pub(crate) fn has(&self, interface: &str) -> Result<bool> {
        let links = self.ip(["-brief", "link", "show"])?;
        let names = links.lines().filter_map(|line| line.split([' ', '@']).next());
        Ok(names.into_iter().any(|name| name == interface))
    }
}

/// Makes a mount namespace that is bound to `file`, with what `command` mounts in it, or finds the one
/// that is there. What a site's processes mount they see all of them, and nobody else does.
pub(crate) fn open_mounts(file: &Path, command: &[&str]) -> Result<()> {
    if is_bound(file) {
        return Ok(());
    }
    // The kernel binds a mount namespace only where mounts are not passed on.
    let place = file.parent().context("a namespace has a directory of its own")?;
    fs::create_dir_all(place).with_context(|| format!("create {}", place.display()))?;
    if !is_mounted(place)? {
        run("mount", [Path::new("--bind"), place, place])?;
        run("mount", [Path::new("--make-private"), place])?;
    }
    File::create(file).with_context(|| format!("create {}", file.display()))?;
    let binding = format!("--mount={}", file.display());
    run("unshare", [&[binding.as_str()], command].concat())?;
    Ok(())
}

/// Whether something is mounted at a place.
fn is_mounted(place: &Path) -> Result<bool> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("list mounts")?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).any(|at| Path::new(at) == place))
}

/// Kills all processes in the namespace bound to `file`, if one is, and takes the mount away.
pub(crate) fn remove(file: &Path) -> Result<()> {
    if is_bound(file) {
        kill_all_in(file)?;
        run("umount", [file])?;
    }
    Ok(())
}

/// Whether a namespace is bound to the file: then it lies in the kernel's own file system.
fn is_bound(file: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let ours = device(Path::new("/proc/self/ns/net"));
    ours.is_some() && device(file) == ours
}
