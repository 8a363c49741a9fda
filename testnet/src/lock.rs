//! The right to a testnet's directory: whoever supervises holds it, and the kernel takes it back
//! from one that died.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The file in the directory; it has the holder's process id.
const FILE: &str = "lock";

/// The right, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the right, unless another process has it.
    pub(crate) fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let mut file = opened.with_context(|| format!("open {}", path.display()))?;
        ensure!(try_lock(&file)?, "{} has a testnet that runs", directory.display());
        file.set_len(0).context("empty the lock")?;
        writeln!(file, "{}", std::process::id()).context("sign the lock")?;
        Ok(Self { _file: file })
    }

    /// The process that has the right. Nothing is created by asking.
    pub(crate) fn holder(directory: &Path) -> Result<Option<i32>> {
        let mut file = match File::open(directory.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("open the lock"),
        };
        if try_lock(&file)? {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text).context("read the lock")?;
        text.trim().parse().map(Some).context("read who has the lock")
    }
}

fn try_lock(file: &File) -> Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error).context("lock the testnet's directory"),
    }
}
