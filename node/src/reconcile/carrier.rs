//! How this host carries a machine: which directory, which owner, which files, which interfaces.

use std::path::{Path, PathBuf};

use hypervisor::Backend;
use hypervisor::backend::{Owner, Start};
use protocol::hull::libvirt_uuid;
use protocol::ids::{BlobId, ImageId, MachineName};
use protocol::images::{Blob, Image};
use protocol::site::Assignment;

use crate::blobs::Blobs;
use crate::networks::plugs;

/// A machine cannot be carried here.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Missing {
    /// Its image has been struck from the catalogue.
    #[error("image {image} is not registered here any more")]
    Image {
        /// The image.
        image: ImageId,
    },
    /// A file of its image is not on this host.
    #[error("a file of image {image} is not on this host: register the image here again")]
    File {
        /// The image.
        image: ImageId,
        /// The file.
        blob: BlobId,
    },
}

/// What all machines on this host have in common.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// Where machines' directories are.
    pub machines: PathBuf,
    /// The files of images.
    pub blobs: Blobs,
    /// The user id of the guest in slot 0.
    pub guest_uids: u32,
}

impl Carrier {
    /// A machine's own directory.
    #[must_use]
    pub fn directory(&self, name: MachineName) -> PathBuf {
        self.machines.join(libvirt_uuid(name.home, name.machine).to_string())
    }

    /// Where a machine's saved memory is, if it is saved.
    #[must_use]
    pub fn memory(&self, name: MachineName) -> PathBuf {
        self.directory(name).join("memory.save")
    }

    /// How this host carries a machine.
    ///
    /// # Errors
    ///
    /// If what it starts from is not here.
    pub fn backend(&self, assignment: &Assignment) -> Result<Backend, Missing> {
        let image = assignment.image;
        let files = assignment.files.as_ref().ok_or(Missing::Image { image })?;
        let file = |blob: Blob| {
            if self.blobs.holds(blob) {
                Ok(self.blobs.path(blob.id))
            } else {
                Err(Missing::File { image, blob: blob.id })
            }
        };
        let start = match files {
            Image::Disk { blob, format, .. } => Start::Disk { base: file(*blob)?, format: *format },
            Image::Kernel { kernel, initrd, .. } => {
                Start::Kernel { kernel: file(*kernel)?, initrd: file(*initrd)? }
            }
        };
        let id = self.guest_uids.saturating_add(assignment.slot);
        Ok(Backend {
            directory: self.directory(assignment.name),
            owner: Owner { uid: id, gid: id },
            start,
            plugs: plugs(&assignment.hull),
        })
    }

    /// Whether a directory is below the one for machines, as everything that is wiped must be.
    #[must_use]
    pub fn owns(&self, directory: &Path) -> bool {
        directory.parent() == Some(&self.machines)
    }
}
