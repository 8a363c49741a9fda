//! What the tunnel's process says, in a file that does not grow without bound.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::Error;

/// How long a file gets before the next one is begun. The last two are kept: some thousand lines.
const FILE_MAX: u64 = 256 << 10;
/// What is said. What the library says, again and again, of each peer that does not answer stands in
/// the tunnel's state.
const SAID: &str = "info,boringtun=off";

/// Has everything that this process says, also what a panic says, written to `log` in `directory`.
pub(super) fn begin(directory: &Path) -> Result<(), Error> {
    let path = directory.join("log");
    let log = Log::open(path.clone());
    let log = log.map_err(|source| Error::File { what: "write", path, source })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(SAID))
        .with_ansi(false)
        .with_writer(Mutex::new(log))
        .finish();
    // A process that already speaks somewhere goes on there.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread has panicked")));
    }
    Ok(())
}

/// A file, and the one before it.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Log {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file, length })
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length >= FILE_MAX {
            fs::rename(&self.path, self.path.with_extension("1"))?;
            *self = Self::open(self.path.clone())?;
        }
        let written = self.file.write(bytes)?;
        self.length = self.length.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_what_was_said_last_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open(directory.path().join("log")).unwrap();
        for number in 0..40_000 {
            writeln!(log, "line {number} of a process that has much to say").unwrap();
        }
        let kept = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(kept("log").ends_with("line 39999 of a process that has much to say\n"));
        let (now, before) = (kept("log").len(), kept("log.1").len());
        let most = usize::try_from(FILE_MAX).unwrap() + 100;
        assert!(now < most && before < most, "{now} and {before}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
