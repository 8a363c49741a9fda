//! What can go wrong with a tunnel.

use std::io;

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
}
