//! Which tunnel this is: the build of its program, and the network that it is in.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use blake3::{Hash, Hasher};

/// What the digest is of (BLAKE3, section 2.3: a context is hardcoded, unique, and says its use).
const CONTEXT: &str = "reservoir 2026 identity of a tunnel's process";

/// What a process must be to be somebody's tunnel: two that are alike can take each other's place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity(pub(super) [u8; 32]);

impl Identity {
    /// That of this process.
    pub(super) fn own() -> io::Result<Self> {
        // What is run, also once another build lies in its place.
        let build = build(Path::new("/proc/self/exe"))?;
        Self::within(build, Path::new("/proc/self/ns/net"))
    }

    /// That of a process that the calling thread would start.
    pub(super) fn of_caller(build: Hash) -> io::Result<Self> {
        Self::within(build, Path::new("/proc/thread-self/ns/net"))
    }

    fn within(build: Hash, namespace: &Path) -> io::Result<Self> {
        let namespace = namespace.metadata()?;
        let mut hasher = Hasher::new_derive_key(CONTEXT);
        hasher.update(build.as_bytes());
        hasher.update(&namespace.dev().to_le_bytes());
        hasher.update(&namespace.ino().to_le_bytes());
        Ok(Self(*hasher.finalize().as_bytes()))
    }
}

/// The build that a program is.
pub(super) fn build(program: &Path) -> io::Result<Hash> {
    let mut hasher = Hasher::new();
    hasher.update_reader(File::open(program)?)?;
    Ok(hasher.finalize())
}
