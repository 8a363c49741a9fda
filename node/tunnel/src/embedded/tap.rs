//! The TAP device: packets of the tunnel's interface, as a file of this process.
//!
//! A TUN device, without Ethernet headers, would do as well, but the kernel takes super-packets
//! inside UDP only if they have one (`virtio_net_hdr_tnl_to_skb` of Linux 6.17 wants the outer header
//! behind one). So it is an Ethernet without address resolution: all frames have the same header.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{read, writev};

use super::offload::{FRONT, HEADER};
use super::sys;
use crate::{InterfaceName, Offloads};

const IFF_TAP: u16 = 0x0002;
/// No packet information before each packet, but the virtio header.
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// The interface must be new: another process's packets are not taken over.
const IFF_TUN_EXCL: u16 = 0x8000;

const TUN_F_CSUM: usize = 0x01;
const TUN_F_TSO4: usize = 0x02;
const TUN_F_TSO6: usize = 0x04;
const TUN_F_TSO_ECN: usize = 0x08;
const TUN_F_USO4: usize = 0x20;
const TUN_F_USO6: usize = 0x40;
const TUN_F_UDP_TUNNEL_GSO: usize = 0x080;
const TUN_F_UDP_TUNNEL_GSO_CSUM: usize = 0x100;

const TCP: usize = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
const UDP: usize = TUN_F_USO4 | TUN_F_USO6;
const TUNNELS: usize = TUN_F_UDP_TUNNEL_GSO | TUN_F_UDP_TUNNEL_GSO_CSUM;

/// What the kernel may take and give whole, the most first.
const OFFERS: [(usize, Offloads); 4] = [
    (TCP | UDP | TUNNELS, Offloads::Tunnels),
    (TCP | UDP, Offloads::TcpAndUdp),
    (TCP, Offloads::Tcp),
    (0, Offloads::Nothing),
];

/// The longest packet with what stands before it.
pub(super) const BUFFER: usize = FRONT + 0xffff;

/// An open TAP device. The interface goes when it is dropped.
#[derive(Debug)]
pub(super) struct Tap {
    file: OwnedFd,
    pub(super) offloads: Offloads,
}

impl Tap {
    /// Makes the interface, in the network namespace of the calling thread.
    pub(super) fn open(name: &InterfaceName) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open("/dev/net/tun", flags, Mode::empty())?;
        let mut bytes = [0; sys::NAME];
        bytes[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
        sys::set_interface(&file, bytes, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL)?;
        let size = i32::try_from(HEADER).expect("the header is short");
        sys::set_header_size(&file, size)?;
        sys::set_little_endian(&file)?;
        let accepted = OFFERS.iter().find(|(flags, _)| sys::set_offload(&file, *flags).is_ok());
        let offloads = accepted.map_or(Offloads::Nothing, |(_, offloads)| *offloads);
        Ok(Self { file, offloads })
    }

    /// Reads one packet with what stands before it. [`io::ErrorKind::WouldBlock`] if there is none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(read(&self.file, buffer)?)
    }

    /// Writes one packet with what stands before it.
    pub(super) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        writev(&self.file, pieces)?;
        Ok(())
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
