//! The UDP socket towards the other gateways, which sends and takes many datagrams in one call.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::io::Errno;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force,
};

/// What the kernel keeps for us while we do not run: 20 ms at 1.6 Gb/s, the longest that another
/// process is expected to keep the processor.
const KERNEL_BUFFER: usize = 4 << 20;

/// The most bytes that one call sends as datagrams of one size. UDP's length field holds 65535
/// with its own header, and the rest is left for that of IP.
pub(super) const SEND_MAX: usize = 65_000;

/// The socket of one tunnel.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
    is_ipv6: bool,
}

impl Udp {
    /// Binds `port` on all addresses, in the network namespace of the calling thread.
    pub(super) fn bind(port: u16) -> io::Result<Self> {
        // A kernel without IPv6 has only the other.
        let socket =
            UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse => Err(error),
                _ => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)),
            })?;
        let is_ipv6 = socket.local_addr()?.is_ipv6();
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // As the kernel's WireGuard does: what is too long for the path is cut by IP, and an answer
        // that says so, which anybody can forge, changes nothing.
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::OMIT)?;
        if is_ipv6 {
            set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::OMIT)?;
        }
        // Without the privilege for more the socket keeps what the system gives to everyone.
        if let Err(error) = set_socket_recv_buffer_size_force(&socket, KERNEL_BUFFER)
            .and_then(|()| set_socket_send_buffer_size_force(&socket, KERNEL_BUFFER))
        {
            tracing::debug!(%error, "the tunnel's socket keeps its small buffers");
        }
        Ok(Self { socket, state, is_ipv6 })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// How many datagrams one call may send.
    pub(super) fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends datagrams of `size` bytes each, the last one perhaps shorter.
    pub(super) fn send(
        &self,
        destination: SocketAddr,
        ecn: u8,
        contents: &[u8],
        size: usize,
    ) -> io::Result<()> {
        let destination = if self.is_ipv6 { mapped(destination) } else { destination };
        let ecn = EcnCodepoint::from_bits(ecn);
        if contents.len() > size && self.segments_max() > 1 {
            match self.send_at_once(destination, ecn, contents, Some(size)) {
                // What has to be cut on its way cannot go many at a time, and a device may refuse
                // that for reasons of its own.
                Err(error) if is_about_size(&error) => {}
                outcome => return outcome,
            }
        }
        contents
            .chunks(size.max(1))
            .try_for_each(|datagram| self.send_at_once(destination, ecn, datagram, None))
    }

    fn send_at_once(
        &self,
        destination: SocketAddr,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        let transmit = Transmit { destination, ecn, contents, segment_size, src_ip: None };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }

    /// Takes what has arrived. [`io::ErrorKind::WouldBlock`] if nothing has.
    pub(super) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv(UdpSockRef::from(&self.socket), buffers, meta)
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether datagrams were refused that may pass one by one.
fn is_about_size(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    [Errno::MSGSIZE, Errno::INVAL, Errno::IO].map(Some).contains(&errno)
}

/// An address as a socket of IPv6 takes it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        SocketAddr::V6(_) => address,
    }
}

/// An address as people know it: one of IPv4 that came in over IPv6 is one of IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}
