//! What is said of images.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use protocol::images;
use protocol::units::Mebibytes;

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Send an image's files and enter it into the site's catalogue.
    Register(Register),
    /// List the catalogue.
    #[command(alias = "list")]
    Ls,
    /// Strike an image from the catalogue.
    Unregister {
        /// Which.
        image: String,
    },
}

/// An image that is to be registered.
#[derive(Args, Debug)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// A kernel.
    #[arg(long, value_name = "FILE", requires = "initrd", required_unless_present = "disk")]
    pub kernel: Option<PathBuf>,
    /// The kernel's initial RAM disk.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// What the kernel is told.
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "")]
    pub command_line: String,
    /// A disk.
    #[arg(long, value_name = "FILE", requires = "format", requires = "size")]
    #[arg(conflicts_with = "kernel")]
    pub disk: Option<PathBuf>,
    /// How the disk is laid out in its file.
    #[arg(long, value_enum, requires = "disk")]
    pub format: Option<Layout>,
    /// The size of the disk in the file, such as 2GiB.
    #[arg(long, value_name = "SIZE", requires = "disk")]
    pub size: Option<Mebibytes>,
}

/// How a disk is laid out in its file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Layout {
    /// The disk's bytes, one after the other.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl From<Layout> for images::Format {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Raw => Self::Raw,
            Layout::Qcow2 => Self::Qcow2,
        }
    }
}
