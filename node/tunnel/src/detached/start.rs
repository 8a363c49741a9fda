//! How the tunnel's process is started.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::PATIENCE;
use super::serve::TAKEN;
use crate::Error;

/// The most that is kept of what a process says while it starts: a line or two.
const SAID_MAX: u64 = 4096;

/// What came of a start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Started {
    /// It serves.
    Ready {
        /// Its id, if it has not ended yet.
        pid: Option<u32>,
    },
    /// Another process has the place.
    Taken,
}

/// The program of the tunnel's process, which lies beside this one.
///
/// # Errors
///
/// The kernel does not say where this one lies.
pub fn program() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().ok_or(io::ErrorKind::NotFound)?;
    Ok(beside.join("reservoir-tunnel"))
}

/// Starts the program in the network namespace of the calling thread, and returns once it serves.
///
/// What it says in the meantime is why it cannot; it lets go of its standard error when it serves.
pub(super) async fn start(program: &Path, data: &Path) -> Result<Started, Error> {
    let fault = |source| Error::Program { path: program.to_path_buf(), source };
    let mut child = Command::new(program)
        .arg("--data")
        .arg(data)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fault)?;
    let pid = child.id();
    let mut said = Vec::new();
    let ended = async {
        if let Some(words) = child.stderr.take() {
            words.take(SAID_MAX).read_to_end(&mut said).await?;
        }
        // One that has something to say does not serve.
        if said.is_empty() { Ok(None) } else { child.wait().await.map(Some) }
    };
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    match timeout(PATIENCE, ended).await.unwrap_or_else(late).map_err(fault)? {
        None => Ok(Started::Ready { pid }),
        Some(status) if status.code() == Some(TAKEN.into()) => Ok(Started::Taken),
        Some(_) => Err(Error::Start(String::from_utf8_lossy(&said).trim().to_owned())),
    }
}
