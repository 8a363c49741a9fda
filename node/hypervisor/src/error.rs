//! Why a call to the hypervisor failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use protocol::epoch::Epoch;
use protocol::ids::MachineName;

use crate::{Operation, disks, render};

/// Why a call to the hypervisor failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers, or the connection broke; the call may have acted.
    #[error("the hypervisor at {uri} cannot be reached: check that libvirtd runs there")]
    Unreachable {
        /// Where it should be.
        uri: String,
        /// What libvirt's client said.
        #[source]
        source: Option<virt::error::Error>,
    },
    /// No answer in time; the call may act later, but no later than its deadline.
    #[error("no answer to '{operation}' within {} s: look again before doing more", limit.as_secs())]
    Late {
        /// The call.
        operation: Operation,
        /// Its deadline.
        limit: Duration,
    },
    /// No such guest on this host.
    #[error("machine {name} is not on this host")]
    Absent {
        /// The machine.
        name: MachineName,
    },
    /// The guest belongs to another start of the machine than the caller speaks of.
    #[error("machine {name} is here in epoch {present}, not in {asked}")]
    OtherEpoch {
        /// The machine.
        name: MachineName,
        /// The epoch the caller named.
        asked: Epoch,
        /// The epoch of the guest that is here.
        present: Epoch,
    },
    /// The guest has the right epoch and another hull.
    #[error("machine {name} is here in epoch {epoch} with another hull")]
    OtherHull {
        /// The machine.
        name: MachineName,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A domain that is not ours has this machine's UUID.
    #[error("a domain that is not ours has the uuid of machine {name}: remove it with virsh")]
    Foreign {
        /// The machine.
        name: MachineName,
    },
    /// The file does not hold the saved memory of this machine.
    #[error("{} does not hold the saved memory of machine {name}", file.display())]
    NotSaved {
        /// The machine.
        name: MachineName,
        /// The file.
        file: PathBuf,
    },
    /// The hypervisor heard the call and did not do it.
    #[error("the hypervisor would not {operation} machine {name}")]
    Refused {
        /// The call.
        operation: Operation,
        /// The machine.
        name: MachineName,
        /// What libvirt said.
        #[source]
        source: virt::error::Error,
    },
    /// The hypervisor could not say what the host has or which guests it runs.
    #[error("the hypervisor did not answer '{operation}'")]
    Unanswered {
        /// The call.
        operation: Operation,
        /// What libvirt said.
        #[source]
        source: virt::error::Error,
    },
    /// The machine cannot be described to the hypervisor.
    #[error("machine {name} cannot be described to the hypervisor")]
    Description {
        /// The machine.
        name: MachineName,
        /// What is wrong with it.
        #[source]
        source: render::Error,
    },
    /// A disk or a directory could not be made or removed.
    #[error("disks in {}", directory.display())]
    Disks {
        /// The machine's directory.
        directory: PathBuf,
        /// What failed.
        #[source]
        source: disks::Error,
    },
    /// A file of the machine's could not be used.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The fake's own fault: it did nothing, or did it and does not say so.
    #[error("a fault was injected into '{operation}'")]
    Injected {
        /// The call.
        operation: Operation,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Late { .. }
            | Self::Unanswered { .. }
            | Self::Injected { .. } => true,
            Self::Absent { .. }
            | Self::OtherEpoch { .. }
            | Self::OtherHull { .. }
            | Self::Foreign { .. }
            | Self::NotSaved { .. }
            | Self::Refused { .. }
            | Self::Description { .. }
            | Self::Disks { .. }
            | Self::File { .. } => false,
        }
    }
}
