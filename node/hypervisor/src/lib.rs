//! Machines on one host: libvirt, and a fake with seeded faults.
//!
//! A guest exists here only while it runs or stands still: libvirt's domains are transient, so a
//! host that reboots starts nothing by itself. Each guest carries a [`Tag`] that says which
//! machine it is, in which epoch, under which hull; every call looks at the tag first, and one
//! that comes with another epoch is refused. All calls are idempotent: whoever is unsure whether
//! a call was heard makes it again.
//!
//! **Invariant.** [`Hypervisor::prepare`] and [`Hypervisor::restore`] never start a processor;
//! only [`Hypervisor::resume`] does. There is at most one guest for each machine on one host.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use protocol::epoch::Epoch;
use protocol::hull::Hull;
use protocol::ids::{HullId, MachineName};
use protocol::units::Mebibytes;
use tokio::net::UnixStream;

pub mod backend;
pub mod cookie;
pub mod disks;
pub mod error;
pub mod fake;
pub mod libvirt;
pub mod metadata;
pub mod remote;
pub mod render;

pub use backend::Backend;
pub use error::Error;

/// What each guest carries: whose it is, which start of it, and what it sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tag {
    /// The machine.
    pub name: MachineName,
    /// Which start of the machine this is.
    pub epoch: Epoch,
    /// What the guest sees.
    pub hull: HullId,
}

/// What a guest is doing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Power {
    /// Processors stopped at our word: prepared, restored or paused. [`Hypervisor::resume`] starts
    /// them.
    Paused,
    /// Processors run.
    Running,
    /// In the hypervisor's own hands for a moment: starting up, being saved, being dumped.
    Busy,
    /// Stopped by the hypervisor, which met a fault such as a full disk; it can be resumed once
    /// the cause is gone.
    Faulted,
    /// The guest has switched itself off, and its process is about to go.
    ShuttingDown,
    /// The guest is dead, and its process still there.
    Crashed,
    /// A state this program does not know. Leave the guest alone, and look.
    Unknown,
}

/// A guest of ours on this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Guest {
    /// What it carries.
    pub tag: Tag,
    /// What it does.
    pub power: Power,
}

/// What a host has, and what runs it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// Processors.
    pub vcpus: u32,
    /// Memory in all.
    pub memory: Mebibytes,
    /// Free space where guests' disks live.
    pub disk_free: Mebibytes,
    /// Hypervisor and version, for people.
    pub version: String,
}

/// A call that acts on a guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Read what the host has.
    Probe,
    /// List guests.
    List,
    /// Find the process that runs a guest.
    Locate,
    /// Make a guest with its processors stopped.
    Prepare,
    /// Start its processors.
    Resume,
    /// Stop its processors.
    Pause,
    /// Ask the guest to switch itself off.
    Shutdown,
    /// End the guest.
    Destroy,
    /// Put its memory into a file and end it.
    Save,
    /// Make a guest from such a file, with its processors stopped.
    Restore,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Probe => "probe",
            Self::List => "list",
            Self::Locate => "locate",
            Self::Prepare => "prepare",
            Self::Resume => "resume",
            Self::Pause => "pause",
            Self::Shutdown => "shut down",
            Self::Destroy => "destroy",
            Self::Save => "save",
            Self::Restore => "restore",
        })
    }
}

/// The machines of one host.
///
/// Every call ends within a deadline of its own. A call that ends with
/// [`Error::Unreachable`] or [`Error::Late`] may have acted or not: look at
/// [`Hypervisor::guests`], or make it again.
#[async_trait]
pub trait Hypervisor: fmt::Debug + Send + Sync {
    /// What the host has.
    ///
    /// # Errors
    ///
    /// The hypervisor cannot be reached; the next call tries anew.
    async fn probe(&self) -> Result<Capacity, Error>;

    /// All guests of ours. What others run on the same host is not listed and never touched.
    ///
    /// # Errors
    ///
    /// The hypervisor cannot be reached, or gives up on a guest.
    async fn guests(&self) -> Result<Vec<Guest>, Error>;

    /// The id of the process that runs the guest, which outlives whoever made it; none if the
    /// guest has none and ends with this program. The id may have changed hands by the time it is
    /// used: whoever takes hold of the process asks again afterwards.
    ///
    /// # Errors
    ///
    /// The guest is absent or of another epoch, or its process is not known.
    async fn process(&self, name: MachineName, epoch: Epoch) -> Result<Option<i32>, Error>;

    /// Makes the guest with its processors stopped. A guest with the same tag is success,
    /// whatever it does.
    ///
    /// # Errors
    ///
    /// The hull does not fit the backend, a guest of another epoch or hull is there, or the
    /// hypervisor refuses.
    async fn prepare(&self, hull: &Hull, backend: &Backend, tag: &Tag) -> Result<(), Error>;

    /// Starts the guest's processors.
    ///
    /// # Errors
    ///
    /// The guest is absent, is of another epoch, or cannot run.
    async fn resume(&self, name: MachineName, epoch: Epoch) -> Result<(), Error>;

    /// Stops the guest's processors.
    ///
    /// # Errors
    ///
    /// The guest is absent, is of another epoch, or cannot be stopped.
    async fn pause(&self, name: MachineName, epoch: Epoch) -> Result<(), Error>;

    /// Presses the guest's power button (ACPI). A guest that does not listen runs on.
    ///
    /// # Errors
    ///
    /// The guest is absent, is of another epoch, or cannot be told.
    async fn shutdown(&self, name: MachineName, epoch: Epoch) -> Result<(), Error>;

    /// Ends the guest at once; its disks stay. An absent guest is success.
    ///
    /// # Errors
    ///
    /// The guest is of another epoch, or does not die.
    async fn destroy(&self, name: MachineName, epoch: Epoch) -> Result<(), Error>;

    /// Puts the guest's memory into `file` and ends the guest. The file appears under its name
    /// only when it is whole; a guest that is gone is success if the file is its own.
    ///
    /// # Errors
    ///
    /// The guest is absent and not in the file, is of another epoch, or cannot be saved.
    async fn save(&self, name: MachineName, epoch: Epoch, file: &Path) -> Result<(), Error>;

    /// Makes the guest from a file that [`Hypervisor::save`] wrote on this host, with its
    /// processors stopped and `tag` as its new tag. A guest with that tag is success.
    ///
    /// The file stays. Once the guest has run its disks have moved on, and the file must never
    /// be used again: the caller removes it before it resumes the guest.
    ///
    /// # Errors
    ///
    /// The file holds another machine, or the errors of [`Hypervisor::prepare`].
    async fn restore(
        &self,
        hull: &Hull,
        backend: &Backend,
        tag: &Tag,
        file: &Path,
    ) -> Result<(), Error>;

    /// Makes the machine's directory and those of its disks that are not there yet. A disk that
    /// is there is never touched.
    ///
    /// # Errors
    ///
    /// A disk cannot be made.
    async fn disk_create(&self, hull: &Hull, backend: &Backend) -> Result<(), Error>;

    /// Removes a machine's directory and everything in it. An absent one is success.
    ///
    /// # Errors
    ///
    /// Something in it cannot be removed.
    async fn wipe(&self, directory: &Path) -> Result<(), Error>;

    /// Opens the guest's serial console. It has one listener at a time: a second one hears
    /// nothing until the first has gone.
    ///
    /// # Errors
    ///
    /// The guest is absent.
    async fn console(&self, backend: &Backend) -> Result<UnixStream, Error>;
}
