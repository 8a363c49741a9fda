//! What can go wrong with a tunnel.

use std::io;
use std::path::PathBuf;

use crate::check::Fault;
use crate::name::InterfaceName;

/// A tunnel could not be made as wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be like this.
    #[error("the tunnel cannot be like this")]
    Wanted(#[from] Fault),
    /// The TAP device could not be made.
    #[error(
        "cannot make the TAP device {name}: it needs /dev/net/tun, the right to administer the \
         network, and no other interface of that name"
    )]
    Device {
        /// The interface.
        name: InterfaceName,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The UDP port could not be bound.
    #[error("cannot listen on UDP port {port}: choose another one in the configuration")]
    Port {
        /// The port.
        port: u16,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The thread, or the way to stop it, could not be made.
    #[error("cannot start the thread of tunnel {name}")]
    Thread {
        /// The interface.
        name: InterfaceName,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel's network interface could not be opened.
    #[error("cannot talk to the kernel about its network interfaces")]
    Netlink(#[source] io::Error),
    /// The kernel refused a step.
    #[error("cannot {step} interface {name}")]
    Link {
        /// The step, as a verb.
        step: &'static str,
        /// The interface.
        name: InterfaceName,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// Another kind of interface has the name.
    #[error(
        "interface {0} is not of WireGuard: remove it, or name another one in the configuration"
    )]
    NotWireGuard(InterfaceName),
    /// The kernel refused what it was told about the device.
    #[error("the kernel's WireGuard does not take what it is told about interface {name}")]
    WireGuard {
        /// The interface.
        name: InterfaceName,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The interface is not there, although it was just made.
    #[error("interface {0} is gone: something else takes interfaces away")]
    Gone(InterfaceName),
    /// The kernel did not answer in time.
    #[error("the kernel does not answer about interface {0}")]
    Silent(InterfaceName),
    /// The program of the tunnel's process cannot be used.
    #[error("cannot use the program {}: install it beside the node's", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tunnel's process ended before it served.
    #[error("the tunnel's process does not start: {0}")]
    Start(String),
    /// The tunnel's process could not be talked to.
    #[error("cannot talk to the tunnel's process through {}", path.display())]
    Process {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tunnel's process did not do as it was told.
    #[error("the tunnel's process says: {0}")]
    Refused(String),
    /// A file of the tunnel's process cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process is the tunnel of the same directory.
    #[error("another process is the tunnel of {} already; one is enough", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The process could not be made one that outlives the node.
    #[error("cannot {what}")]
    Own {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A fake was told to fail.
    #[error("the fake was told to fail")]
    Told,
}
