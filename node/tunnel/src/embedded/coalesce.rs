//! Segments put together again: what arrived in one batch, as few super-packets for the kernel.
//!
//! Only successive segments of one TCP connection are put together, and only such that taking the
//! result apart gives back what arrived. Whatever else goes through by itself, in its order. A
//! segment whose checksum is wrong goes by itself too and unchanged, so that whoever it is for sees
//! that it is: a super-packet gets its checksums anew, which must never repair anything.

use std::ops::Range;

use super::layout::{
    Encapsulation, HEADERS_MAX, Layout, TCP, Transport, UDP, UDP_HEADER, network_end,
    network_length, set_ipv4_checksum, word,
};
use super::offload::Offload;
use crate::Offloads;

/// The UDP port of VXLAN (RFC 7348, section 5).
pub(crate) const VXLAN_PORT: u16 = 4789;
/// Bytes of the VXLAN header.
const VXLAN_HEADER: usize = 8;
/// Bytes of an Ethernet header without tags. Frames with tags are not put together.
const ETHERNET_HEADER: usize = 14;

/// How many connections can be open at once. One batch seldom has more, and each arriving segment
/// is compared with all of them.
const OPEN_MAX: usize = 8;
/// The longest super-packet: what the length field of IPv4 can say.
const LENGTH_MAX: usize = 0xffff;
/// The segments of one super-packet, each a piece of a gathered write: far below the 1024 that the
/// kernel takes in one.
const PIECES_MAX: usize = 128;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// One packet for the kernel: the bytes of `pieces`, one after the other.
#[derive(Debug)]
struct Item {
    /// Places in the buffer of the batch. The first has all headers.
    pieces: Vec<Range<usize>>,
    length: usize,
    /// How it may go on, if it may.
    tcp: Option<Open>,
}

#[derive(Debug)]
struct Open {
    layout: Layout,
    /// The headers without what differs between the segments of a connection.
    mask: [u8; HEADERS_MAX],
    next: u32,
    identification: u16,
    size: usize,
    pushes: bool,
    /// Nothing more goes behind a short segment, or one that is to be delivered at once.
    is_closed: bool,
}

/// The packets of one batch, being put together.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whether the kernel takes super-packets inside VXLAN.
    takes_vxlan: bool,
    items: Vec<Item>,
    /// Which of them may go on, by their places in `items`.
    open: Vec<usize>,
}

/// What a packet is to the ones before it.
struct Segment {
    layout: Layout,
    mask: [u8; HEADERS_MAX],
    sequence: u32,
    identification: u16,
    flags: u8,
    payload: usize,
}

impl Batch {
    /// An empty one, for a kernel that takes so much in one piece. (Every one takes plain TCP.)
    pub(super) fn new(offloads: Offloads) -> Self {
        let takes_vxlan = match offloads {
            Offloads::Tunnels => true,
            Offloads::Nothing | Offloads::Tcp | Offloads::TcpAndUdp => false,
        };
        Self { takes_vxlan, items: Vec::new(), open: Vec::new() }
    }

    /// Adds the packet at `place` of `buffer`.
    pub(super) fn push(&mut self, buffer: &[u8], place: Range<usize>) {
        let packet = &buffer[place.clone()];
        let takes = |layout: &Layout| self.takes_vxlan || layout.encapsulation.is_none();
        let Some(segment) = Segment::parse(packet).filter(|segment| takes(&segment.layout)) else {
            return self.push_whole(place, None);
        };
        let same = |index: &usize| {
            self.items[*index].tcp.as_ref().is_some_and(|open| open.is_of_the_connection(&segment))
        };
        if let Some(at) = self.open.iter().position(same) {
            let item = &mut self.items[self.open[at]];
            if segment.follows(item) && segment.is_right(packet) {
                return segment.append_to(item, &place);
            }
            // What comes from now on must not overtake this packet.
            self.open.swap_remove(at);
        }
        if !segment.can_begin() || !segment.is_right(packet) {
            return self.push_whole(place, None);
        }
        if self.open.len() == OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(self.items.len());
        self.push_whole(place, Some(segment.open()));
    }

    fn push_whole(&mut self, place: Range<usize>, tcp: Option<Open>) {
        let length = place.len();
        self.items.push(Item { pieces: vec![place], length, tcp });
    }

    /// Takes all packets out, in order, and makes their headers in `buffer` those of super-packets.
    /// Each is the bytes of its places in `buffer`, the first of which has all headers.
    pub(super) fn finish(
        &mut self,
        buffer: &mut [u8],
        mut write: impl FnMut(&[u8], Offload, &[Range<usize>]),
    ) {
        self.open.clear();
        for item in self.items.drain(..) {
            let offload = item.finish(buffer);
            write(buffer, offload, &item.pieces);
        }
    }
}

impl Item {
    fn finish(&self, buffer: &mut [u8]) -> Offload {
        let Some(open) = self.tcp.as_ref().filter(|_| self.pieces.len() > 1) else {
            return Offload::Whole;
        };
        let layout = open.layout;
        let payload = self.length - layout.payload;
        let headers = &mut buffer[self.pieces[0].clone()][..layout.payload];
        layout.set_lengths(headers, payload).expect("the length of a super-packet is bounded");
        if open.pushes {
            headers[layout.transport + 13] |= PSH;
        }
        // Left to be completed, as the kernel's own super-packets are.
        let sum = layout.pseudo(headers, payload).fold();
        headers[layout.checksum()..layout.checksum() + 2].copy_from_slice(&sum);
        layout.set_outer_pseudo(headers, payload);
        Offload::Segments { layout, size: open.size }
    }
}

impl Open {
    /// Whether the segment is of this connection, whatever else it says: all up to and with the
    /// ports is the same.
    fn is_of_the_connection(&self, segment: &Segment) -> bool {
        let end = self.layout.transport + 4;
        self.layout.transport == segment.layout.transport && self.mask[..end] == segment.mask[..end]
    }
}

impl Segment {
    /// `None` if the packet is no whole segment of TCP, plain or in VXLAN.
    fn parse(packet: &[u8]) -> Option<Self> {
        let layout = layout(packet)?;
        let headers = &packet[..layout.payload];
        let mut mask = [0; HEADERS_MAX];
        mask[..headers.len()].copy_from_slice(headers);
        for at in layout.ipv4_headers(headers) {
            mask[at + 4..at + 6].fill(0);
            mask[at + 10..at + 12].fill(0);
        }
        let ips = layout.encapsulation.map(|_| 0).into_iter().chain([layout.network]);
        for at in ips {
            let length = if headers[at] >> 4 == 4 { at + 2 } else { at + 4 };
            mask[length..length + 2].fill(0);
        }
        if let Some(Encapsulation { udp, .. }) = layout.encapsulation {
            mask[udp + 4..udp + UDP_HEADER].fill(0);
        }
        let tcp = layout.transport;
        mask[tcp + 4..tcp + 8].fill(0);
        mask[tcp + 13] &= !PSH;
        mask[tcp + 16..tcp + 18].fill(0);
        let sequence = &headers[tcp + 4..tcp + 8];
        // "Don't fragment" says that the identification means nothing (RFC 6864).
        let ip = &headers[layout.network..];
        let counts = ip[0] >> 4 == 4 && ip[6] & 0x40 == 0;
        Some(Self {
            sequence: u32::from_be_bytes(sequence.try_into().expect("four bytes")),
            identification: if counts { word(ip, 4) } else { 0 },
            flags: headers[tcp + 13],
            payload: packet.len() - layout.payload,
            layout,
            mask,
        })
    }

    /// Whether others may be put behind it, or it behind another: it carries bytes, and says
    /// nothing but that it acknowledges and perhaps pushes.
    const fn can_begin(&self) -> bool {
        self.payload > 0 && self.flags & !PSH == ACK
    }

    fn follows(&self, item: &Item) -> bool {
        let Some(open) = &item.tcp else { return false };
        let counts = self.counts();
        self.can_begin()
            && !open.is_closed
            && self.layout == open.layout
            && self.mask == open.mask
            && self.sequence == open.next
            && (!counts || self.identification == open.identification.wrapping_add(1))
            && self.payload <= open.size
            && item.length + self.payload <= LENGTH_MAX
            && item.pieces.len() < PIECES_MAX
    }

    /// Whether the identification of the innermost IP header has to count up.
    fn counts(&self) -> bool {
        let ip = &self.mask[self.layout.network..];
        ip[0] >> 4 == 4 && ip[6] & 0x40 == 0
    }

    /// Whether all checksums are right.
    fn is_right(&self, packet: &[u8]) -> bool {
        let layout = self.layout;
        let (headers, payload) = packet.split_at(layout.payload);
        let inner = layout
            .pseudo(headers, payload.len())
            .add(&headers[layout.transport..])
            .add(payload)
            .finish();
        if inner != [0, 0] {
            return false;
        }
        let mut copy = [0; HEADERS_MAX];
        let copy = &mut copy[..headers.len()];
        copy.copy_from_slice(headers);
        for at in layout.ipv4_headers(headers) {
            set_ipv4_checksum(copy, at);
        }
        layout.set_outer_checksum(copy, payload.len());
        copy == headers
    }

    fn append_to(&self, item: &mut Item, place: &Range<usize>) {
        let Some(open) = &mut item.tcp else { return };
        open.next = open.next.wrapping_add(self.length());
        open.identification = self.identification;
        open.pushes |= self.flags & PSH != 0;
        open.is_closed = self.payload < open.size || open.pushes;
        item.length += self.payload;
        item.pieces.push(place.start + self.layout.payload..place.end);
    }

    fn open(self) -> Open {
        let pushes = self.flags & PSH != 0;
        Open {
            next: self.sequence.wrapping_add(self.length()),
            identification: self.identification,
            size: self.payload,
            pushes,
            is_closed: pushes,
            layout: self.layout,
            mask: self.mask,
        }
    }

    fn length(&self) -> u32 {
        u32::try_from(self.payload).expect("a packet is shorter than 64 KiB")
    }
}

/// Where the headers stand, if the packet is a segment of TCP whose lengths all agree.
fn layout(packet: &[u8]) -> Option<Layout> {
    if network_length(packet, 0)? != packet.len() {
        return None;
    }
    if let Some(tcp) = network_end(packet, 0, TCP) {
        return Layout::check(packet, None, 0, tcp, Transport::Tcp);
    }
    let udp = network_end(packet, 0, UDP)?;
    let header = packet.get(udp..udp + UDP_HEADER)?;
    if word(header, 2) != VXLAN_PORT || usize::from(word(header, 4)) != packet.len() - udp {
        return None;
    }
    let ethernet = udp + UDP_HEADER + VXLAN_HEADER;
    let network = ethernet + ETHERNET_HEADER;
    let kind = packet.get(ethernet + 12..network)?;
    let is_ip = match packet.get(network)? >> 4 {
        4 => kind == [0x08, 0x00],
        6 => kind == [0x86, 0xdd],
        _ => false,
    };
    if !is_ip || network_length(packet, network)? != packet.len() - network {
        return None;
    }
    let tcp = network_end(packet, network, TCP)?;
    let is_summed = header[6..8] != [0, 0];
    let encapsulation = Some(Encapsulation { udp, is_summed });
    Layout::check(packet, encapsulation, network, tcp, Transport::Tcp)
}
