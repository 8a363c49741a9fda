//! What is said to a guest on its serial console, and what it answers: its console does each line.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long a guest may take for what it is told, under emulation and beside others.
const ANSWER: Duration = Duration::from_secs(40);

/// How often anything was asked: what is answered has its number.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// A guest, by its directory at the site that runs it.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    directory: PathBuf,
}

impl Guest {
    /// The guest whose directory this is.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Has it do something; answers what it said meanwhile, and whether it was done.
    pub(crate) fn does(&self, command: &str) -> Result<(String, bool)> {
        let socket = self.directory.join("console.sock");
        let mut console = Self::open(&socket)?;
        let mark = format!("done{}", ASKED.fetch_add(1, Ordering::Relaxed));
        // The console shows what is typed, too: the mark is put together by the guest.
        let line = format!("{command}; echo {}\"\"{}=$?.\n", &mark[..4], &mark[4..]);
        console.write_all(line.as_bytes()).context("type on a console")?;
        let (mut said, begun) = (Vec::new(), Instant::now());
        loop {
            ensure!(begun.elapsed() < ANSWER, "'{command}' is not done after {ANSWER:?}");
            let mut piece = [0; 4_096];
            match console.read(&mut piece) {
                Ok(0) => anyhow::bail!("the guest's console has ended"),
                Ok(length) => said.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("listen to a console"),
            }
            let text = String::from_utf8_lossy(&said);
            let answer = text.split_once(&format!("{mark}=")).and_then(|(before, after)| {
                let (status, _) = after.split_once('.')?;
                Some((before.to_owned(), status == "0"))
            });
            if let Some((words, done)) = answer {
                return Ok((words, done));
            }
        }
    }

    /// Whether it does something with success.
    pub(crate) fn can(&self, command: &str) -> Result<bool> {
        Ok(self.does(command)?.1)
    }

    /// QEMU takes one at a time.
    fn open(socket: &Path) -> Result<UnixStream> {
        let console = UnixStream::connect(socket)
            .with_context(|| format!("attach to {}", socket.display()))?;
        let patience = Some(Duration::from_millis(200));
        console.set_read_timeout(patience).context("set a patience")?;
        Ok(console)
    }
}
