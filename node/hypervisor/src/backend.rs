//! How this host carries a machine: paths, bridges and owners, made here and never by a peer.
//!
//! All of a machine's files are in one directory of its own. The directory belongs to the node
//! and only lets the guest's group pass through: a guest that has taken over its QEMU can write
//! its own disks and nothing else, and cannot put a link in the place of a file that a daemon
//! with more rights will open (the console's log, the saved memory).

use std::path::PathBuf;

use protocol::hull::Disk;
use protocol::images::Format;

/// The user and the group that a guest's QEMU runs as: no other guest's, nobody else's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Where what the guest starts from lies on this host. QEMU opens it as the guest's owner: it
/// must be readable for everybody, and every directory above it passable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Start {
    /// A kernel and its initial RAM disk; the root disk starts empty.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initial RAM disk.
        initrd: PathBuf,
    },
    /// An image that the root disk is an overlay on.
    Disk {
        /// The image.
        base: PathBuf,
        /// Its layout.
        format: Format,
    },
}

/// How this host carries one machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backend {
    /// The machine's own directory, absolute.
    pub directory: PathBuf,
    /// Who its QEMU runs as.
    pub owner: Owner,
    /// What it starts from.
    pub start: Start,
    /// Where each of the hull's cards is plugged in, in the hull's order.
    pub plugs: Vec<Plug>,
}

/// Where a card is plugged in. Both names are known before the machine is made, so that filters can
/// stand before the interface appears.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plug {
    /// The bridge.
    pub bridge: String,
    /// The host's interface behind the card, which libvirt makes.
    pub interface: String,
}

impl Backend {
    /// The file of a disk. It is named by the serial number, which stays when disks come and go.
    #[must_use]
    pub fn disk(&self, disk: &Disk) -> PathBuf {
        self.directory.join(format!("{}.qcow2", disk.serial))
    }

    /// The socket of the serial console.
    #[must_use]
    pub fn console_socket(&self) -> PathBuf {
        self.directory.join("console.sock")
    }

    /// What the serial console has said; virtlogd rotates it.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.directory.join("console.log")
    }
}
