//! What stands before each packet of a TAP device: the virtio header, which says what is left for the
//! other side to do, and an Ethernet header.
//!
//! This is `virtio_net_hdr_v1_hash_tunnel` of `include/uapi/linux/virtio_net.h` (24 bytes, little
//! endian here): a super-packet names the size of its segments, and, if it is one of TCP inside
//! VXLAN, where the inner and the outer headers stand. A kernel that knows no tunnels in it (before
//! 6.17) takes the rest of the header for padding.

use super::checksum::Sum;
use super::layout::{Encapsulation, Layout, Transport, not_zero};

/// Bytes of the virtio header.
pub(super) const HEADER: usize = 24;
/// Bytes of the Ethernet header.
const ETHERNET: usize = 14;
/// Bytes of both.
pub(super) const FRONT: usize = HEADER + ETHERNET;

/// The hardware address of every tunnel's interface, locally administered. Without address
/// resolution all frames go from it to it, and nobody else is on this link.
pub(crate) const HARDWARE: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// The most segments of one super-packet. Each costs us as much as a packet of its own and its sender
/// next to nothing, and a guest says how small they are: of one byte each they would be 65,000. A host
/// has to take segments of 536 bytes (RFC 9293, section 3.7.1), of which there are 123; the kernel
/// itself makes no more than 128 of UDP.
const SEGMENTS_MAX: usize = 1024;

const FLAG_NEEDS_CHECKSUM: u8 = 1;
const FLAG_OUTER_CHECKSUM: u8 = 8;

const NO_SEGMENTS: u8 = 0;
const TCP_IPV4: u8 = 1;
const TCP_IPV6: u8 = 4;
const UDP_SEGMENTS: u8 = 5;
const INSIDE_UDP_IPV4: u8 = 0x20;
const INSIDE_UDP_IPV6: u8 = 0x40;
const INSIDE_UDP: u8 = INSIDE_UDP_IPV4 | INSIDE_UDP_IPV6;
/// Explicit congestion notification: its first segment alone carries the flag "window reduced".
const WITH_ECN: u8 = 0x80;

/// What has to be done to a packet before it can go out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Offload {
    /// Nothing.
    Whole,
    /// The checksum from `start` to the end belongs at `start + offset`.
    Checksum { start: usize, offset: usize },
    /// It is to become segments of `size` bytes of payload each, the last one perhaps shorter.
    Segments { layout: Layout, size: usize },
}

/// The header says what cannot be of its packet, or too much of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

impl Offload {
    /// Reads what stands before `packet`.
    pub(super) fn read(header: &[u8; FRONT], packet: &[u8]) -> Result<Self, Malformed> {
        let field = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        // Places count from the Ethernet header.
        let place = |at: usize| field(at).checked_sub(ETHERNET).ok_or(Malformed);
        let (flags, kind) = (header[0], header[1]);
        let (size, offset) = (field(4), field(8));
        let is_inside = kind & INSIDE_UDP != 0;
        let transport = match kind & !(INSIDE_UDP | WITH_ECN) {
            NO_SEGMENTS if flags & FLAG_NEEDS_CHECKSUM == 0 => return Ok(Self::Whole),
            NO_SEGMENTS => {
                let start = place(6)?;
                let fits = start + offset + 2 <= packet.len();
                return fits.then_some(Self::Checksum { start, offset }).ok_or(Malformed);
            }
            TCP_IPV4 | TCP_IPV6 => Transport::Tcp,
            UDP_SEGMENTS => Transport::Udp,
            _ => return Err(Malformed),
        };
        if size == 0 || flags & FLAG_NEEDS_CHECKSUM == 0 || offset != transport.checksum_offset() {
            return Err(Malformed);
        }
        let is_summed = flags & FLAG_OUTER_CHECKSUM != 0;
        let (encapsulation, network) = if is_inside {
            (Some(Encapsulation { udp: place(20)?, is_summed }), place(22)?)
        } else {
            (None, 0)
        };
        let layout = Layout::check(packet, encapsulation, network, place(6)?, transport);
        let is_few = |it: &Layout| (packet.len() - it.payload).div_ceil(size) <= SEGMENTS_MAX;
        let layout = layout.filter(is_few);
        layout.map(|layout| Self::Segments { layout, size }).ok_or(Malformed)
    }

    /// What says this before a packet that begins with `headers`.
    pub(super) fn write(self, headers: &[u8]) -> [u8; FRONT] {
        let mut header = [0; FRONT];
        header[HEADER..HEADER + 6].copy_from_slice(&HARDWARE);
        header[HEADER + 6..HEADER + 12].copy_from_slice(&HARDWARE);
        let is_ipv4 = |at: usize| headers.get(at).is_some_and(|first| first >> 4 == 4);
        let kind = if is_ipv4(0) { [0x08, 0x00] } else { [0x86, 0xdd] };
        header[HEADER + 12..].copy_from_slice(&kind);
        let mut put = |at: usize, value: usize| {
            let value = u16::try_from(value).expect("a place in a packet has 16 bits");
            header[at..at + 2].copy_from_slice(&value.to_le_bytes());
        };
        match self {
            Self::Whole => {}
            Self::Checksum { start, offset } => {
                put(6, ETHERNET + start);
                put(8, offset);
                header[0] = FLAG_NEEDS_CHECKSUM;
            }
            Self::Segments { layout, size } => {
                put(2, ETHERNET + layout.payload);
                put(4, size);
                put(6, ETHERNET + layout.transport);
                put(8, layout.kind.checksum_offset());
                if let Some(outer) = layout.encapsulation {
                    put(20, ETHERNET + outer.udp);
                    put(22, ETHERNET + layout.network);
                }
                let kind = match layout.kind {
                    Transport::Udp => UDP_SEGMENTS,
                    Transport::Tcp if is_ipv4(layout.network) => TCP_IPV4,
                    Transport::Tcp => TCP_IPV6,
                };
                let outside = match layout.encapsulation {
                    None => 0,
                    Some(_) if is_ipv4(0) => INSIDE_UDP_IPV4,
                    Some(_) => INSIDE_UDP_IPV6,
                };
                let is_summed = layout.encapsulation.is_some_and(|outer| outer.is_summed);
                header[0] = FLAG_NEEDS_CHECKSUM | if is_summed { FLAG_OUTER_CHECKSUM } else { 0 };
                header[1] = kind | outside;
            }
        }
        header
    }
}

/// Completes a checksum that was left to us. What stands in its place is the sum of the
/// pseudo-header.
pub(super) fn complete_checksum(packet: &mut [u8], start: usize, offset: usize) {
    let checksum = not_zero(Sum::default().add(&packet[start..]).finish());
    packet[start + offset..start + offset + 2].copy_from_slice(&checksum);
}
