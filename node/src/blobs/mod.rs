//! The files of images, each named by the hash of its content.
//!
//! A file is written under a temporary name while it is hashed, brought to disk, and then takes
//! its name; so whatever stands under a name is whole and is what the name says.

#[cfg(test)]
mod tests;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use protocol::ids::BlobId;
use protocol::images::Blob;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// The most bytes of one file: the largest disk image that fits on a host's disk with room to
/// spare.
pub const BYTES_MAX: u64 = 64 << 30;

/// A file cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or a file in it cannot be used.
    #[error("cannot keep a file of an image in {}", directory.display())]
    Store {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The sender stopped, or its stream is broken.
    #[error("the file did not arrive whole: send it again")]
    Broken(#[source] std::io::Error),
    /// It is too long.
    #[error("the file is longer than {BYTES_MAX} bytes, which is all a site takes")]
    TooLong,
    /// It is not the file that was wanted.
    #[error("another file arrived than the one that was wanted")]
    Other,
    /// It is empty.
    #[error("the file is empty")]
    Empty,
}

/// A node's files of images.
#[derive(Clone, Debug)]
pub struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    /// The files in a directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or what is left of broken transfers cannot be removed.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let store = |source| Error::Store { directory: directory.to_owned(), source };
        std::fs::create_dir_all(directory).map_err(store)?;
        // Guests' QEMUs read images under their own user ids.
        let mode = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(directory, mode).map_err(store)?;
        for entry in std::fs::read_dir(directory).map_err(store)? {
            let path = entry.map_err(store)?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(path).map_err(store)?;
            }
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where the file with this content is, if it is here.
    #[must_use]
    pub fn path(&self, id: BlobId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    /// Whether it is here, with the length that is said of it: who knows an id need not know the
    /// file.
    #[must_use]
    pub fn holds(&self, blob: Blob) -> bool {
        std::fs::metadata(self.path(blob.id)).is_ok_and(|file| file.len() == blob.length)
    }

    /// Takes in a file.
    ///
    /// # Errors
    ///
    /// If it does not arrive whole, is empty or too long, or cannot be kept.
    pub async fn receive(&self, stream: impl AsyncRead + Unpin) -> Result<Blob, Error> {
        let part = self.directory.join(format!("{}.part", crate::chance::uuid()));
        let received = self.receive_into(&part, stream).await;
        if received.is_err() {
            // What cannot be removed now is removed at the next start.
            let _ = tokio::fs::remove_file(&part).await;
        }
        received
    }

    /// Takes in a file that is known by its name.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive), and if it is another file.
    pub async fn receive_named(
        &self,
        blob: Blob,
        stream: impl AsyncRead + Unpin,
    ) -> Result<(), Error> {
        let part = self.directory.join(format!("{}.part", crate::chance::uuid()));
        // One byte more than it has shows that it is too long.
        let stream = stream.take(blob.length.saturating_add(1));
        let received = self.write_part(&part, stream).await;
        let kept = match received {
            Ok(found) if found == blob => self.keep(&part, blob.id).await,
            Ok(_) => Err(Error::Other),
            Err(fault) => Err(fault),
        };
        if kept.is_err() {
            // What cannot be removed now is removed at the next start.
            let _ = tokio::fs::remove_file(&part).await;
        }
        kept
    }

    async fn receive_into(
        &self,
        part: &Path,
        stream: impl AsyncRead + Unpin,
    ) -> Result<Blob, Error> {
        let blob = self.write_part(part, stream).await?;
        self.keep(part, blob.id).await?;
        Ok(blob)
    }

    /// Writes what arrives, and hashes it.
    async fn write_part(
        &self,
        part: &Path,
        mut stream: impl AsyncRead + Unpin,
    ) -> Result<Blob, Error> {
        let store = |source| Error::Store { directory: self.directory.clone(), source };
        let mut file = tokio::fs::File::create(part).await.map_err(store)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 256 << 10];
        let mut length: u64 = 0;
        loop {
            let read = stream.read(&mut buffer).await.map_err(Error::Broken)?;
            if read == 0 {
                break;
            }
            length += u64::try_from(read).expect("a buffer's length fits 64 bits");
            if length > BYTES_MAX {
                return Err(Error::TooLong);
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read]).await.map_err(store)?;
        }
        if length == 0 {
            return Err(Error::Empty);
        }
        file.flush().await.map_err(store)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o444)).await.map_err(store)?;
        file.sync_all().await.map_err(store)?;
        Ok(Blob { id: BlobId::from_bytes(*hasher.finalize().as_bytes()), length })
    }

    /// Gives a file its name.
    async fn keep(&self, part: &Path, id: BlobId) -> Result<(), Error> {
        let store = |source| Error::Store { directory: self.directory.clone(), source };
        tokio::fs::rename(part, self.path(id)).await.map_err(store)?;
        let directory = tokio::fs::File::open(&self.directory).await.map_err(store)?;
        directory.sync_all().await.map_err(store)
    }
}
