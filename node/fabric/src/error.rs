//! What can go wrong with the networks of a host.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use protocol::hull::Mac;

use crate::address::{SLOTS_MAX, Subnet};
use crate::name::BridgeName;

/// A network could not be made as wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The table is longer than a subnet can be.
    #[error("{leases} leases are more than the {SLOTS_MAX} that a bridge serves")]
    TooMany {
        /// How many there were.
        leases: usize,
    },
    /// A guest's address is not one of the subnet, or is the bridge's own.
    #[error("{address} is no guest's address in {subnet}")]
    Outside {
        /// The address.
        address: Ipv4Addr,
        /// The subnet.
        subnet: Subnet,
    },
    /// Two leases name the same card or the same address.
    #[error("the lease of {address} to {mac} contradicts another one")]
    Twice {
        /// The card of the later lease.
        mac: Mac,
        /// The address of the later lease.
        address: Ipv4Addr,
    },
    /// The kernel's network interface could not be opened.
    #[error("cannot talk to the kernel about its network interfaces")]
    Netlink(#[source] io::Error),
    /// Another kind of interface has the bridge's name.
    #[error(
        "interface {0} is not a bridge: remove it, or name another bridge in the configuration"
    )]
    NotABridge(BridgeName),
    /// The kernel refused a step.
    #[error("cannot {step} bridge {bridge}")]
    Bridge {
        /// The step, as a verb.
        step: &'static str,
        /// The bridge.
        bridge: BridgeName,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel did not answer in time.
    #[error("the kernel does not answer about bridge {0}")]
    Silent(BridgeName),
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
        bridge: BridgeName,
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
    /// Told to fail, by a test.
    #[error("the fake was told to fail")]
    Told,
}
