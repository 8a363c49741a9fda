//! Super-packets taken apart: one packet of up to 64 KiB in, segments as they go over the wire out.
//!
//! The kernel hands over what a guest's TCP wrote in one piece, with its VXLAN headers if it goes
//! over a LAN between sites. Only so is the way through the guest's network, the bridge and the
//! VXLAN device paid once for forty packets.

use super::layout::{HEADERS_MAX, Layout, Transport, not_zero, put, set_ipv4_checksum, word};

/// What only the last segment says: FIN and PSH.
const LAST_ONLY: u8 = 0x01 | 0x08;
/// What only the first segment says: congestion window reduced.
const FIRST_ONLY: u8 = 0x80;

/// The segments of one super-packet, in order.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    headers: [u8; HEADERS_MAX],
    payload: &'a [u8],
    layout: Layout,
    size: usize,
    /// How much of the payload has gone.
    done: usize,
    number: u16,
}

impl<'a> Segments<'a> {
    /// `packet` must be the one that `layout` was made of, and `size` more than nothing.
    pub(super) fn new(packet: &'a [u8], layout: Layout, size: usize) -> Self {
        let (front, payload) = packet.split_at(layout.payload);
        let mut headers = [0; HEADERS_MAX];
        headers[..front.len()].copy_from_slice(front);
        Self { headers, payload, layout, size, done: 0, number: 0 }
    }

    /// Writes the next segment to the beginning of `out`, and answers its length.
    ///
    /// `None` after the last one, or if `out` is too short for it.
    pub(super) fn write_next(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.is_done() {
            return None;
        }
        let is_first = self.number == 0;
        let layout = self.layout;
        let rest = &self.payload[self.done..];
        let chunk = &rest[..rest.len().min(self.size)];
        let is_last = chunk.len() == rest.len();
        let length = layout.payload + chunk.len();
        let out = out.get_mut(..length)?;
        let (headers, payload) = out.split_at_mut(layout.payload);
        headers.copy_from_slice(&self.headers[..layout.payload]);
        payload.copy_from_slice(chunk);

        for at in layout.ipv4_headers(headers) {
            let identification = word(headers, at + 4).wrapping_add(self.number);
            put(headers, at + 4, identification);
            set_ipv4_checksum(headers, at);
        }
        layout.set_lengths(headers, chunk.len())?;
        if layout.kind == Transport::Tcp {
            self.set_tcp(headers, is_first, is_last);
        }
        self.set_checksums(headers, payload);

        self.done += chunk.len();
        self.number = self.number.wrapping_add(1);
        Some(length)
    }

    /// Whether all of them have been written.
    pub(super) const fn is_done(&self) -> bool {
        self.number > 0 && self.done >= self.payload.len()
    }

    fn set_tcp(&self, headers: &mut [u8], is_first: bool, is_last: bool) {
        let tcp = self.layout.transport;
        let place = tcp + 4..tcp + 8;
        let first = u32::from_be_bytes(
            headers[place.clone()].try_into().expect("a sequence number has four bytes"),
        );
        let done = u32::try_from(self.done).expect("a packet is shorter than 64 KiB");
        headers[place].copy_from_slice(&first.wrapping_add(done).to_be_bytes());
        if !is_last {
            headers[tcp + 13] &= !LAST_ONLY;
        }
        if !is_first {
            headers[tcp + 13] &= !FIRST_ONLY;
        }
    }

    fn set_checksums(&self, headers: &mut [u8], payload: &[u8]) {
        let layout = self.layout;
        let at = layout.checksum();
        headers[at..at + 2].fill(0);
        let sum = layout.pseudo(headers, payload.len()).add(&headers[layout.transport..]);
        // The transport header has an even length, so the payload begins at an even place.
        let checksum = not_zero(sum.add(payload).finish());
        headers[at..at + 2].copy_from_slice(&checksum);
        layout.set_outer_checksum(headers, payload.len());
    }
}
