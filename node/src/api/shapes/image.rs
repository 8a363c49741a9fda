//! Images and their files, as the interface says them.

use protocol::hull::COMMAND_LINE_MAX;
use protocol::ids::BlobId;
use protocol::images::{self, Format};
use protocol::units::Mebibytes;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A file that has been sent: what it is called in an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// BLAKE3 of its content.
    pub id: BlobId,
    /// Its bytes.
    pub length: u64,
}

impl From<images::Blob> for Blob {
    fn from(blob: images::Blob) -> Self {
        Self { id: blob.id, length: blob.length }
    }
}

impl From<Blob> for images::Blob {
    fn from(blob: Blob) -> Self {
        Self { id: blob.id, length: blob.length }
    }
}

/// What an image consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Content {
    /// A disk that the machine's root disk starts as a copy of.
    Disk {
        /// The file.
        blob: Blob,
        /// Its layout, which is never guessed.
        format: Format,
        /// The size of the disk in it, in MiB.
        size_mib: u64,
    },
    /// A kernel with an initial RAM disk.
    Kernel {
        /// The kernel.
        kernel: Blob,
        /// The initial RAM disk.
        initrd: Blob,
        /// What the kernel is told.
        command_line: String,
    },
}

/// What no image can consist of.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unsound {
    /// The disk's size is no size.
    #[error("a disk of {0} MiB is none: give a size from 1 MiB to 64 TiB")]
    Size(u64),
    /// The command line cannot be handed to a kernel.
    #[error("a kernel's command line has at most {COMMAND_LINE_MAX} printable ASCII characters")]
    CommandLine,
}

/// The largest disk of an image in MiB, which is the largest of any machine.
const SIZE_MIB_MAX: u64 = 64 << 20;

impl TryFrom<Content> for images::Image {
    type Error = Unsound;

    fn try_from(content: Content) -> Result<Self, Unsound> {
        match content {
            Content::Disk { size_mib, .. } if size_mib == 0 || size_mib > SIZE_MIB_MAX => {
                Err(Unsound::Size(size_mib))
            }
            Content::Disk { blob, format, size_mib } => {
                Ok(Self::Disk { blob: blob.into(), format, size: Mebibytes(size_mib) })
            }
            Content::Kernel { kernel, initrd, command_line } => {
                let printable = command_line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                if !printable || command_line.len() > COMMAND_LINE_MAX {
                    return Err(Unsound::CommandLine);
                }
                Ok(Self::Kernel { kernel: kernel.into(), initrd: initrd.into(), command_line })
            }
        }
    }
}

impl From<images::Image> for Content {
    fn from(image: images::Image) -> Self {
        match image {
            images::Image::Disk { blob, format, size } => {
                Self::Disk { blob: blob.into(), format, size_mib: size.0 }
            }
            images::Image::Kernel { kernel, initrd, command_line } => {
                Self::Kernel { kernel: kernel.into(), initrd: initrd.into(), command_line }
            }
        }
    }
}

/// An image in a site's catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its id, which follows from its content and is the same at every site.
    pub id: String,
    /// Its name in this catalogue.
    pub name: String,
    /// What it consists of.
    pub content: Content,
    /// When it was registered.
    pub created: Moment,
}

/// An image that is to be registered. Its files have been sent before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name in the catalogue.
    pub name: String,
    /// What it consists of.
    pub content: Content,
}
