//! Images: what a machine starts from, named by what they contain.
//!
//! An image's id is the hash of its description, which holds the hashes of its bytes: the same
//! image has the same id at every site. The format is always named and never probed, because a
//! guest can write any header onto its own disk.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::hull::Boot;
use crate::ids::{BlobId, ImageId};
use crate::units::Mebibytes;

/// The most characters of an image's name in its site's catalogue.
pub const NAME_MAX: usize = 64;

/// A file that belongs to an image, named by its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Blob {
    /// Hash of the content.
    pub id: BlobId,
    /// Length in bytes.
    pub length: u64,
}

/// How a disk image is laid out in its file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// QEMU's copy-on-write format.
    Qcow2,
    /// The disk's bytes, one after the other.
    Raw,
}

/// What an image consists of.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Image {
    /// A disk that the machine's root disk starts as a copy of.
    Disk {
        /// The file.
        blob: Blob,
        /// Its layout.
        format: Format,
        /// The size of the disk in it.
        size: Mebibytes,
    },
    /// A kernel with an initial RAM disk; the root disk starts empty.
    Kernel {
        /// The kernel.
        kernel: Blob,
        /// The initial RAM disk.
        initrd: Blob,
        /// What the kernel is told.
        command_line: String,
    },
}

impl Image {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ImageId {
        ImageId::from_bytes(blake3::derive_key("reservoir 2026 image", &codec::encode(self)))
    }

    /// How a machine with this image starts.
    #[must_use]
    pub fn boot(&self) -> Boot {
        match self {
            Self::Disk { .. } => Boot::Disk,
            Self::Kernel { command_line, .. } => {
                Boot::Kernel { command_line: command_line.clone() }
            }
        }
    }

    /// The smallest root disk it fits on.
    #[must_use]
    pub const fn disk_min(&self) -> Mebibytes {
        match self {
            Self::Disk { size, .. } => *size,
            Self::Kernel { .. } => Mebibytes(1),
        }
    }

    /// Its files.
    #[must_use]
    pub fn blobs(&self) -> Vec<Blob> {
        match self {
            Self::Disk { blob, .. } => vec![*blob],
            Self::Kernel { kernel, initrd, .. } => vec![*kernel, *initrd],
        }
    }
}
