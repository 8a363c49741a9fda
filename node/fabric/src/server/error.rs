//! What can go wrong with what answers the guests.

use std::io;
use std::path::PathBuf;

/// What answers the guests of a network could not be made as wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of the DHCP server's files is closed to it, since it runs without privileges.
    #[error(
        "{} is closed to the DHCP server, which runs as nobody: let others pass through it (chmod o+x)",
        .0.display()
    )]
    Closed(PathBuf),
    /// A file could not be read or written.
    #[error("cannot {step} {}", .path.display())]
    File {
        /// The step, as a verb.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The DHCP server could not be started.
    #[error("cannot start dnsmasq: install it (Debian's package is dnsmasq-base)")]
    Start(#[source] io::Error),
    /// The DHCP server ended at once, or did not come up in time.
    #[error("dnsmasq does not serve {bridge}: {said}")]
    NotServing {
        /// The bridge.
        bridge: String,
        /// What it said, shortened.
        said: String,
    },
    /// A process could not be looked at or signalled.
    #[error("cannot {step} process {pid}")]
    Process {
        /// The step, as a verb.
        step: &'static str,
        /// The process.
        pid: i32,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A process goes on after it was told to end.
    #[error("process {pid} does not end")]
    Unending {
        /// The process.
        pid: i32,
    },
}
