//! The context: the site that the command line speaks to, its key, and its certificate's pin.
//!
//! It is kept in a file that only its owner reads, so that no flag is needed twice. A node leaves
//! one in its data directory for whoever runs it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The name of the file in a data directory.
pub const FILE: &str = "context.toml";

/// The context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("no site is in use: 'reservoir site use DIR' takes the one whose node runs in DIR")]
    None,
    /// The file cannot be read.
    #[error("cannot read the context {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not understood.
    #[error("the context {} is damaged: 'reservoir site use DIR' writes it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Others can read the file, and with it the key.
    #[error(
        "others may read the key in {path}: 'chmod 600 {path}', and replace the key if they did",
        path = path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the context {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no place to keep it.
    #[error("there is no home directory to keep the context in: set RESERVOIR_CONTEXT to a file")]
    Homeless,
}

/// How to reach a site.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The site's name.
    pub site: String,
    /// Where its REST interface is.
    pub url: String,
    /// The secret of a key.
    pub key: String,
    /// The SHA-256 of the interface's certificate.
    pub pin: String,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { site, url, pin, key: _ } = self;
        f.debug_struct("Context")
            .field("site", site)
            .field("url", url)
            .field("pin", pin)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// If there is none, others can read it, or it is not understood.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::None,
            _ => Error::Read { path: path.to_owned(), source },
        };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::Open { path: path.to_owned() });
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        toml::from_str(&text)
            .map_err(|error| Error::Damaged { path: path.to_owned(), source: Box::new(error) })
    }

    /// Writes it, whole or not at all, for its owner alone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write { path: path.to_owned(), source };
        let text = toml::to_string(self).expect("a context is four texts");
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(failed)?;
        // A temporary file is its owner's alone from the beginning.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|fault| failed(fault.error))?;
        Ok(())
    }
}

/// The file in which the context is kept: `RESERVOIR_CONTEXT`, or `reservoir/context.toml` in the
/// user's directory for configuration.
///
/// # Errors
///
/// If the user has no such directory.
#[expect(clippy::disallowed_methods, reason = "the one place where the command line asks")]
pub fn path() -> Result<PathBuf, Error> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    if let Some(path) = set("RESERVOIR_CONTEXT") {
        return Ok(path.into());
    }
    let directory = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".config")))
        .ok_or(Error::Homeless)?;
    Ok(directory.join("reservoir").join(FILE))
}
