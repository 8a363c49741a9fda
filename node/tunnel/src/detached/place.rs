//! The directory of a tunnel's process: its socket and its lock.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};

use crate::Error;

/// Where a tunnel's process and its node meet.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

/// A file as it is told from one that has taken its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Inode {
    device: u64,
    number: u64,
}

/// The right to be the tunnel of a directory, for as long as this is held.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

/// Where the process is spoken to. The socket goes when this is dropped.
#[derive(Debug)]
pub(super) struct Post {
    path: PathBuf,
    inode: Inode,
    pub(super) listener: UnixListener,
}

impl Place {
    /// The place in a node's directory.
    pub(super) fn of(data: &Path) -> Self {
        Self { directory: data.join("tunnel") }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// Makes the directory, which is closed to all other users.
    pub(super) fn make(&self) -> Result<(), Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        let closed =
            made.and_then(|()| fs::set_permissions(&self.directory, Permissions::from_mode(0o700)));
        let path = &self.directory;
        closed.map_err(|source| Error::File { what: "create", path: path.clone(), source })
    }

    /// Takes the lock, and writes down in it which process has it.
    pub(super) fn lock(&self) -> Result<Lock, Error> {
        let path = self.lock_file();
        let fault = |what| {
            let path = path.clone();
            move |source| Error::File { what, path, source }
        };
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file.map_err(fault("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Taken { path: self.directory.clone() });
            }
            Err(errno) => return Err(fault("lock")(errno.into())),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(fault("write"))?;
        Ok(Lock { path, file })
    }

    /// Whether a process has the lock.
    pub(super) fn is_locked(&self) -> bool {
        File::open(self.lock_file()).is_ok_and(|file| {
            flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// Listens. What an earlier process left there is removed, so the lock is needed.
    pub(super) fn listen(&self, _: &Lock) -> io::Result<Post> {
        let path = self.socket();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let directory = self.open()?;
        let listener = UnixListener::bind(short_path(&directory))?;
        Ok(Post { inode: Inode::at(&path)?, path, listener })
    }

    /// Speaks to whoever listens, if it is of the same user.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        let directory = self.open()?;
        let stream = UnixStream::connect(short_path(&directory)).await?;
        if is_of_same_user(&stream) {
            Ok(stream)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn open(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(open(&self.directory, flags, Mode::empty())?)
    }
}

/// The socket in an open directory. The address of a socket has 108 bytes (`unix(7)`), and the
/// directory's own path may need more.
fn short_path(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}/socket", directory.as_raw_fd())
}

impl Inode {
    fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), number: metadata.ino() }
    }
}

impl Lock {
    /// Whether the lock is still that of the directory: somebody may have removed either.
    pub(super) fn holds(&self) -> bool {
        let own = self.file.metadata().map(|metadata| Inode::of(&metadata));
        matches!((Inode::at(&self.path), own), (Ok(there), Ok(own)) if there == own)
    }
}

impl Post {
    /// Whether the socket can still be found.
    pub(super) fn is_there(&self) -> bool {
        Inode::at(&self.path).is_ok_and(|there| there == self.inode)
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if self.is_there()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "the tunnel's socket stays behind");
        }
    }
}

/// Whether the other end was opened by a process of the user that this one is of.
pub(super) fn is_of_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|other| other.uid() == geteuid().as_raw())
}
