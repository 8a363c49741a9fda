//! A network namespace with a name: a thread makes it and leaves it, and a mount keeps it.
//!
//! A namespace belongs to a thread, so each step in one has a thread of its own, which ends with
//! the step: no other work ever runs in the wrong one. What such a thread opens or starts (a
//! socket, a child) stays in the namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::statfs;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Error;
use crate::Change;

/// What the file system of namespaces says it is (`NSFS_MAGIC` in linux/magic.h).
const NAMESPACES: i64 = 0x6e73_6673;

/// A network namespace that is there.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    path: PathBuf,
}

impl Namespace {
    /// Makes the namespace be there.
    pub(super) fn converge(path: &Path) -> Result<(Self, Change), Error> {
        let namespace = Self { path: path.to_path_buf() };
        if namespace.is_there() {
            return Ok((namespace, Change::Nothing));
        }
        let refused = |source| namespace.refused("make", source);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(refused)?;
        }
        File::create(path).map_err(refused)?;
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(mount_bind("/proc/thread-self/ns/net", path)?)
        };
        in_thread(make).map_err(refused)?;
        Ok((namespace, Change::Made))
    }

    /// The namespace, if it is there.
    pub(super) fn find(path: &Path) -> Option<Self> {
        let namespace = Self { path: path.to_path_buf() };
        namespace.is_there().then_some(namespace)
    }

    fn is_there(&self) -> bool {
        statfs(&self.path).is_ok_and(|it| it.f_type == NAMESPACES)
    }

    /// Does something inside.
    pub(super) fn enter<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<T, Error> {
        let inside = || {
            let file = File::open(&self.path)?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        in_thread(inside).map_err(|source| self.refused("act in", source))
    }

    /// The file that stands for it.
    pub(super) fn open(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(|source| self.refused("open", source))
    }

    /// By which a process in it is known.
    pub(super) fn identity(&self) -> Result<(u64, u64), Error> {
        let seen = fs::metadata(&self.path).map_err(|source| self.refused("look at", source))?;
        Ok((seen.dev(), seen.ino()))
    }

    /// Lets go of it: it ends with what runs in it.
    pub(super) fn remove(path: &Path) -> Result<(), Error> {
        let namespace = Self { path: path.to_path_buf() };
        let refused = |source| namespace.refused("remove", source);
        if namespace.is_there() {
            unmount(path, UnmountFlags::DETACH).map_err(|error| refused(error.into()))?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn refused(&self, step: &'static str, source: io::Error) -> Error {
        Error::Namespace { step, path: self.path.clone(), source }
    }
}

fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let ended = scope.spawn(work).join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}
