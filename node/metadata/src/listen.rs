//! The service's address, in the network namespace of a LAN.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where guests find the service: EC2's address, link-local in every network.
pub const ADDRESS_V4: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// Where guests without IPv4 find it: EC2's address, unique-local.
pub const ADDRESS_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), 80);

/// The service's address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace cannot be entered.
    #[error("cannot enter the network namespace {}", path.display())]
    Namespace {
        /// The file that names it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address is not there, or somebody else listens on it.
    #[error("cannot listen on {address} in the network namespace {}", path.display())]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The file that names the namespace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread can be started.
    #[error("cannot start a thread for the network namespace {}", path.display())]
    Thread {
        /// The file that names the namespace.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listens on an address in the network namespace that `path` names (`/run/netns/…`). The address
/// has to be there.
///
/// A socket stays in the namespace that it was made in, whoever uses it. So a thread of its own
/// enters the namespace, makes the socket and ends; no other thread changes its network.
///
/// # Errors
///
/// If the namespace cannot be entered, or the address cannot be listened on there.
pub fn listen(path: &Path, address: SocketAddr) -> Result<TcpListener, Error> {
    let failed = |source| Error::Thread { path: path.to_owned(), source };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("metadata".to_owned())
            .spawn_scoped(scope, || make(path, address))
            .map_err(failed)?;
        thread.join().unwrap_or_else(|_| Err(failed(io::ErrorKind::Other.into())))
    })
}

fn make(path: &Path, address: SocketAddr) -> Result<TcpListener, Error> {
    File::open(path)
        .and_then(|namespace| {
            let network = Some(LinkNameSpaceType::Network);
            Ok(move_into_link_name_space(namespace.as_fd(), network)?)
        })
        .map_err(|source| Error::Namespace { path: path.to_owned(), source })?;
    TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|source| Error::Listen { address, path: path.to_owned(), source })
}
