//! What a testnet may leave behind on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What there is of a testnet, so that it can be looked for when it should be gone.
#[derive(Debug)]
pub(crate) struct Traces {
    directory: PathBuf,
    /// Its network namespaces, by their inodes: bridges and processes live in them.
    namespaces: BTreeSet<u64>,
}

impl Traces {
    /// Takes note of a testnet that runs.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let mut namespaces = BTreeSet::from([inode(&directory.join("internet"))?]);
        for site in fs::read_dir(directory.join("sites")).context("list the sites")? {
            namespaces.insert(inode(&site.context("list the sites")?.path().join("net"))?);
        }
        Ok(Self { directory: directory.to_owned(), namespaces })
    }

    /// How many namespaces it has.
    pub(crate) fn namespaces(&self) -> usize {
        self.namespaces.len()
    }

    /// All that is there of it: its directory, mounts, and processes in its namespaces or with
    /// its name.
    pub(crate) fn found(&self) -> Result<Vec<String>> {
        let text = self.directory.to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("list mounts")?;
        let mut found: Vec<String> =
            mounts.lines().filter(|line| line.contains(&text)).map(str::to_owned).collect();
        for entry in fs::read_dir("/proc").context("list processes")? {
            let path = entry.context("list processes")?.path();
            let own = format!("/proc/{}", std::process::id());
            let Ok(namespace) = inode(&path.join("ns/net")) else { continue };
            let line = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
            let is_its = self.namespaces.contains(&namespace)
                || line.contains(&text)
                || mounts.contains(&text);
            if is_its && path != Path::new(&own) {
                found.push(format!("{}: {}", path.display(), line.replace('\0', " ")));
            }
        }
        if self.directory.exists() {
            found.push(text);
        }
        Ok(found)
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    fs::metadata(path).map(|found| found.ino())
}
