//! Taking a testnet away: by what can be seen on the machine, not by what somebody remembers,
//! so that one that came up only by half, or whose supervisor was killed, goes away all the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::command::run;
use crate::lock::Lock;
use crate::namespace;
use crate::process::Process;
use crate::site::MOUNTS;
use crate::wait::wait_for;

/// How long a supervisor may take to end all that it supervises.
const SUPERVISOR: Duration = Duration::from_secs(60);

/// The process that supervises the testnet in `directory`, if one does.
///
/// # Errors
///
/// The lock could not be read.
pub fn supervisor(directory: &Path) -> Result<Option<i32>> {
    Lock::holder(directory)
}

/// Takes the testnet in `directory` away, whatever state it is in. Nothing there is success.
///
/// # Errors
///
/// What could not be taken away.
pub fn clean(directory: &Path) -> Result<()> {
    if let Some(id) = supervisor(directory)?
        && let Some(mut process) = Process::of_id(id)?
        // While it holds the lock the id is its own, and from here on the hold is.
        && supervisor(directory)? == Some(id)
    {
        process.signal(Signal::TERM)?;
        wait_for("the end of the supervisor", SUPERVISOR, || {
            Ok((!process.is_alive()).then_some(()))
        })?;
    }
    remove_all(directory)
}

/// Ends every process in the testnet's namespaces, and removes these and the directory.
pub(crate) fn remove_all(directory: &Path) -> Result<()> {
    let sites = match fs::read_dir(directory.join("sites")) {
        Ok(sites) => sites.collect::<io::Result<Vec<_>>>().context("list the sites")?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("list the sites"),
    };
    for site in sites {
        namespace::remove(&site.path().join("net"))?;
        namespace::remove(&site.path().join(MOUNTS))?;
    }
    namespace::remove(&directory.join("internet"))?;
    for mount in mounts_below(directory)? {
        run("umount", [mount])?;
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", directory.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is mounted below a directory, the innermost first.
fn mounts_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("list mounts")?;
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    let mut below: Vec<PathBuf> = places
        .map(|place| PathBuf::from(place.replace("\\040", " ")))
        .filter(|place| place != directory && place.starts_with(directory))
        .collect();
    below.reverse();
    Ok(below)
}
