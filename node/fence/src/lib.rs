//! Stops guests whose deadline has passed, whatever else on the host is dead.
//!
//! ```text
//!   node --- writes --->  DIR/fence/deadlines  --- is read by --->  reservoir-fence --- SIGSTOP ---> guests
//!     ^                                                                |
//!     +---- is read by ----  a pulse in memory  <------ beats ---------+
//! ```
//!
//! A guest's process outlives a killed node. That is safe because a fence, a process of its own
//! that does nothing else, knows until when each guest may run, and stops it then: the site that
//! granted the lease may start the machine elsewhere. The fence knows nothing of machines, sites or
//! libvirt, only of processes and moments of `CLOCK_BOOTTIME`.
//!
//! **What the fence needs while it watches** is a processor now and then and nothing else. Its
//! memory is locked, the deadlines' file is mapped and locked with it, its pulse is in memory that
//! has no disk behind it, and it says nothing, since whoever reads what it says may be dead as
//! well. A disk or a node that hangs does not hold it up.
//!
//! **The file** has one record for each of [`SLOTS`] guests, in two copies: the writer fills the copy
//! that is not in force, then puts it in force by one store. A writer that is killed in between has
//! changed nothing. Records of an earlier boot are none. A process is named by its id and the
//! moment at which it started, so an id that has changed hands is left alone.
//!
//! **Levels, not edges.** A guest whose deadline has passed is stopped again and again, in case that
//! somebody else continues it; one whose deadline was moved into the future is continued if it
//! stands still. A fence that was killed and started again needs to know nothing.

mod clock;
mod deadlines;
mod map;
mod process;
mod pulse;
mod record;
mod watch;

use std::path::PathBuf;

pub use clock::Moment;
pub use deadlines::Deadlines;
pub use process::Target;
pub use pulse::{Life, Listener};
pub use record::{Record, SLOTS};
pub use watch::watch;

/// The fence or its file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another fence watches over the same directory.
    #[error("another fence watches over {} already; one is enough", path.display())]
    Watched {
        /// The directory.
        path: PathBuf,
    },
    /// Another node writes the deadlines.
    #[error("another node writes the deadlines in {}: end it first", path.display())]
    Written {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel does not say which boot this is.
    #[error("cannot tell which boot this is")]
    Boot(#[source] std::io::Error),
    /// The kernel refuses what a fence cannot do without.
    #[error("cannot {what}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
