//! The system calls that make a TAP device. This is the only unsafe code of the crate.
#![expect(unsafe_code, reason = "no crate wraps these ioctls with the header of tunnels in them")]

use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, ioctl, opcode};

/// The group of the ioctls of `include/uapi/linux/if_tun.h`.
const GROUP: u8 = b'T';
const TUNSETIFF: Opcode = opcode::write::<i32>(GROUP, 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<u32>(GROUP, 208);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<i32>(GROUP, 216);
const TUNSETVNETLE: Opcode = opcode::write::<i32>(GROUP, 220);

/// Bytes of the name of an interface, with the zero that ends it.
pub(super) const NAME: usize = 16;

/// `struct ifreq`, of which the name and the flags count here.
#[repr(C)]
struct Request {
    name: [u8; NAME],
    flags: u16,
    rest: [u8; 22],
}

/// Makes `tun`, freshly opened, the packets of the interface of this name, which is made if there
/// is none.
pub(super) fn set_interface(tun: impl AsFd, name: [u8; NAME], flags: u16) -> Result<()> {
    let request = Request { name, flags, rest: [0; 22] };
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which `Request` is: as long, and with
    // the two fields that it uses at their places.
    unsafe { ioctl(tun, Setter::<TUNSETIFF, _>::new(request)) }
}

/// Sets how many bytes stand before each packet.
pub(super) fn set_header_size(tun: impl AsFd, bytes: i32) -> Result<()> {
    // SAFETY: TUNSETVNETHDRSZ reads one `int`.
    unsafe { ioctl(tun, Setter::<TUNSETVNETHDRSZ, _>::new(bytes)) }
}

/// Makes the numbers in them little endian on every machine.
pub(super) fn set_little_endian(tun: impl AsFd) -> Result<()> {
    // SAFETY: TUNSETVNETLE reads one `int`.
    unsafe { ioctl(tun, Setter::<TUNSETVNETLE, _>::new(1_i32)) }
}

/// Says what the kernel may leave to us.
pub(super) fn set_offload(tun: impl AsFd, flags: usize) -> Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument as a number and touches no memory of ours.
    unsafe { ioctl(tun, IntegerSetter::<TUNSETOFFLOAD>::new_usize(flags)) }
}
