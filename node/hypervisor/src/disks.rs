//! Disks of machines: QEMU's copy-on-write files, made by `qemu-img`.
//!
//! A disk is made under a temporary name, given to its owner, flushed, and only then renamed: a
//! file under a disk's name is a whole disk, whatever was killed. A file that a guest has
//! written to is never opened here, since its header may be the guest's own words.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use protocol::hull::Hull;
use protocol::images::Format;
use tokio::process::Command;

use crate::backend::{Backend, Owner, Start};

/// How long `qemu-img create` may take. It writes a few hundred kilobytes.
const CREATE_LIMIT: Duration = Duration::from_secs(60);

/// How much of what `qemu-img` complains is kept.
const COMPLAINT_MAX: usize = 500;

/// Why a disk could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused to make, own, flush, rename or remove something.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `qemu-img` could not be run.
    #[error("cannot run qemu-img: install Debian's package qemu-utils")]
    Tool(#[source] io::Error),
    /// `qemu-img` ran and failed.
    #[error("qemu-img could not make {}: {complaint}", path.display())]
    Refused {
        /// The disk.
        path: PathBuf,
        /// What it said.
        complaint: String,
    },
    /// `qemu-img` did not end in time.
    #[error("qemu-img took longer than {} s for {}", CREATE_LIMIT.as_secs(), path.display())]
    Late {
        /// The disk.
        path: PathBuf,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}

/// What a disk is laid over.
#[derive(Clone, Copy, Debug)]
struct Base<'a> {
    path: &'a Path,
    format: Format,
}

/// Makes the machine's directory and those of its disks that are not there yet.
///
/// # Errors
///
/// A disk cannot be made.
pub async fn create(hull: &Hull, backend: &Backend) -> Result<(), Error> {
    let (directory, owner) = (backend.directory.clone(), backend.owner);
    off_thread(move || make_directory(&directory, owner)).await?;
    for (number, disk) in hull.disks.iter().enumerate() {
        let base = match &backend.start {
            Start::Disk { base, format } if number == 0 => {
                Some(Base { path: base, format: *format })
            }
            Start::Disk { .. } | Start::Kernel { .. } => None,
        };
        create_one(backend.disk(disk), disk.size.bytes(), base, backend.owner).await?;
    }
    Ok(())
}

/// Removes a machine's directory and everything in it. An absent one is success.
///
/// # Errors
///
/// Something in it cannot be removed.
pub fn wipe(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Ok(()) => directory.parent().map_or(Ok(()), flush_directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", directory)(error)),
    }
}

/// Runs what waits for the disk where it delays nobody.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.expect("work on files does not panic")
}

/// Ours to write, the guest's to pass through: see [`crate::backend`].
fn make_directory(directory: &Path, owner: Owner) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("make directory", directory)(error));
        }
        _ => {}
    }
    chown(directory, None, Some(owner.gid)).map_err(failed("give away", directory))?;
    fs::set_permissions(directory, Permissions::from_mode(0o710))
        .map_err(failed("set rights of", directory))?;
    directory.parent().map_or(Ok(()), flush_directory)
}

async fn create_one(
    path: PathBuf,
    bytes: u64,
    base: Option<Base<'_>>,
    owner: Owner,
) -> Result<(), Error> {
    if fs::exists(&path).map_err(failed("look at", &path))? {
        return Ok(());
    }
    let unfinished = path.with_extension("unfinished");
    run_tool(&unfinished, bytes, base).await?;
    off_thread(move || finish(&unfinished, &path, owner)).await
}

/// Gives the disk to its owner, flushes it, and lets it appear.
fn finish(unfinished: &Path, path: &Path, owner: Owner) -> Result<(), Error> {
    fs::set_permissions(unfinished, Permissions::from_mode(0o600))
        .map_err(failed("set rights of", unfinished))?;
    chown(unfinished, Some(owner.uid), Some(owner.gid)).map_err(failed("give away", unfinished))?;
    File::open(unfinished).and_then(|file| file.sync_all()).map_err(failed("flush", unfinished))?;
    fs::rename(unfinished, path).map_err(failed("rename", unfinished))?;
    path.parent().map_or(Ok(()), flush_directory)
}

/// Runs `qemu-img create`. The base is named with its format and not opened (`-u`): what stands
/// in an image's header is its maker's word.
async fn run_tool(path: &Path, bytes: u64, base: Option<Base<'_>>) -> Result<(), Error> {
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2"]);
    if let Some(base) = base {
        command.arg("-u").arg("-F").arg(format_name(base.format)).arg("-b").arg(base.path);
    }
    command.arg(path).arg(bytes.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(CREATE_LIMIT, command.output())
        .await
        .map_err(|_| Error::Late { path: path.to_owned() })?
        .map_err(Error::Tool)?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.trim().chars().take(COMPLAINT_MAX).collect();
    Err(Error::Refused { path: path.to_owned(), complaint })
}

/// QEMU's name for a layout.
pub(crate) const fn format_name(format: Format) -> &'static str {
    match format {
        Format::Qcow2 => "qcow2",
        Format::Raw => "raw",
    }
}

/// A rename is on disk only when its directory is.
fn flush_directory(directory: &Path) -> Result<(), Error> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(failed("flush directory", directory))
}
