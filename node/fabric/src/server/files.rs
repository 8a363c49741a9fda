//! The DHCP server's files, each replaced whole: a reader sees the old text or the new.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use crate::Change;

/// Makes the directory, open to a server without privileges.
pub(super) fn prepare(directory: &Path) -> Result<(), Error> {
    let refused = |step| move |source| Error::File { step, path: directory.to_path_buf(), source };
    fs::create_dir_all(directory).map_err(refused("create"))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .map_err(refused("open to others"))?;
    for above in directory.ancestors() {
        let mode = fs::metadata(above).map_err(refused("look above"))?.mode();
        if mode & 0o001 == 0 {
            return Err(Error::Closed(above.to_path_buf()));
        }
    }
    Ok(())
}

/// Whether the file has exactly this text.
pub(super) fn has(path: &Path, text: &str) -> Result<bool, Error> {
    match fs::read(path) {
        Ok(present) => Ok(present == text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::File { step: "read", path: path.to_path_buf(), source }),
    }
}

/// Makes the file be absent.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { step: "remove", path: path.to_path_buf(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the file have this text.
///
/// Nothing is forced to the disk: after a crash of the host the server is gone as well, and the
/// file is written anew before the next one starts.
pub(super) fn converge(path: &Path, text: &str) -> Result<Change, Error> {
    if has(path, text)? {
        return Ok(Change::Nothing);
    }
    let refused = |source| Error::File { step: "write", path: path.to_path_buf(), source };
    let new: PathBuf = path.with_extension("new");
    fs::write(&new, text).map_err(refused)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).map_err(refused)?;
    fs::rename(&new, path).map_err(refused)?;
    Ok(Change::Made)
}
