//! Where the headers of a packet stand: IP with TCP or UDP, plain or inside VXLAN.
//!
//! Segmentation and coalescing change the same few fields of the same headers, so both go by this
//! one description. It is checked once, when it is made; after that no access can miss.

use super::checksum::Sum;

/// The longest headers that are taken apart: IPv6, UDP, VXLAN, Ethernet with two tags, IPv6 and
/// TCP with all its options are 182 bytes.
pub(super) const HEADERS_MAX: usize = 192;

pub(super) const UDP: u8 = 17;
pub(super) const TCP: u8 = 6;
/// Bytes of a UDP header.
pub(super) const UDP_HEADER: usize = 8;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// What the innermost headers speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    const fn protocol(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
        }
    }

    /// Where its header has the checksum.
    pub(super) const fn checksum_offset(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// The UDP header of an encapsulation. The IP header before it is at the packet's first byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Encapsulation {
    /// Where it stands.
    pub(super) udp: usize,
    /// Whether it has a checksum. VXLAN over IPv4 usually has none.
    pub(super) is_summed: bool,
}

/// Where the headers of one packet stand, in bytes from its first.
///
/// **Invariant.** All headers lie within `payload` bytes, and `payload` is at most
/// [`HEADERS_MAX`] and at most the length of the packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    /// What the innermost headers are inside of, if they are.
    pub(super) encapsulation: Option<Encapsulation>,
    /// The innermost IP header.
    pub(super) network: usize,
    /// The innermost TCP or UDP header.
    pub(super) transport: usize,
    /// The first byte after all headers.
    pub(super) payload: usize,
    pub(super) kind: Transport,
}

impl Layout {
    /// Checks that `packet` has its headers where they are said to be.
    pub(super) fn check(
        packet: &[u8],
        encapsulation: Option<Encapsulation>,
        network: usize,
        transport: usize,
        kind: Transport,
    ) -> Option<Self> {
        let payload = match kind {
            Transport::Udp => transport + UDP_HEADER,
            Transport::Tcp => {
                let words = usize::from(*packet.get(transport + 12)? >> 4);
                transport + (words * 4).max(TCP_HEADER)
            }
        };
        if payload > HEADERS_MAX || payload > packet.len() {
            return None;
        }
        if network_end(packet, network, kind.protocol())? > transport {
            return None;
        }
        if let Some(Encapsulation { udp, .. }) = encapsulation {
            let between = network.checked_sub(udp + UDP_HEADER)?;
            // The checksums are summed by pairs of bytes, and every header here has an even length.
            if network_end(packet, 0, UDP)? > udp
                || between == 0
                || !(transport - udp).is_multiple_of(2)
            {
                return None;
            }
        } else if network != 0 {
            return None;
        }
        Some(Self { encapsulation, network, transport, payload, kind })
    }

    /// Makes the lengths in `headers` those of a packet with `payload` bytes behind them, and the
    /// checksums of IPv4 right. The others are left as they are.
    ///
    /// `None` if a packet cannot be as long.
    pub(super) fn set_lengths(&self, headers: &mut [u8], payload: usize) -> Option<()> {
        let end = self.payload + payload;
        set_network_length(headers, self.network, end - self.network)?;
        if self.kind == Transport::Udp {
            put(headers, self.transport + 4, u16::try_from(end - self.transport).ok()?);
        }
        if let Some(Encapsulation { udp, .. }) = self.encapsulation {
            set_network_length(headers, 0, end)?;
            put(headers, udp + 4, u16::try_from(end - udp).ok()?);
        }
        Some(())
    }

    /// The sum of the innermost pseudo-header of a packet with `payload` bytes behind the headers.
    pub(super) fn pseudo(&self, headers: &[u8], payload: usize) -> Sum {
        let length = self.payload - self.transport + payload;
        pseudo(headers, self.network, self.kind.protocol(), length)
    }

    /// Where the innermost checksum stands.
    pub(super) const fn checksum(&self) -> usize {
        self.transport + self.kind.checksum_offset()
    }

    /// Makes the checksum of the encapsulation right, if it has one, given that the innermost one
    /// is.
    ///
    /// All from the innermost transport header on then sums up to the complement of its
    /// pseudo-header, so that the payload need not be read again. (The kernel calls this local
    /// checksum offload.)
    pub(super) fn set_outer_checksum(&self, headers: &mut [u8], payload: usize) {
        let Some(Encapsulation { udp, is_summed: true }) = self.encapsulation else { return };
        let inner = self.pseudo(headers, payload).finish();
        let end = self.payload + payload;
        let checksum = pseudo(headers, 0, UDP, end - udp)
            .add(&headers[udp..udp + 6])
            .add(&headers[udp + UDP_HEADER..self.transport])
            .add_folded(inner)
            .finish();
        headers[udp + 6..udp + UDP_HEADER].copy_from_slice(&not_zero(checksum));
    }

    /// What stands in place of the encapsulation's checksum when it is left to be completed: the
    /// sum of its pseudo-header, or nothing if it has none.
    pub(super) fn set_outer_pseudo(&self, headers: &mut [u8], payload: usize) {
        let Some(Encapsulation { udp, is_summed: true }) = self.encapsulation else { return };
        let sum = pseudo(headers, 0, UDP, self.payload + payload - udp).fold();
        headers[udp + 6..udp + UDP_HEADER].copy_from_slice(&sum);
    }

    /// Where the IPv4 headers of `headers` stand, innermost last. Those of IPv6 have neither an
    /// identification nor a checksum.
    pub(super) fn ipv4_headers(&self, headers: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let outer = self.encapsulation.map(|_| 0).filter(|at| headers[*at] >> 4 == 4);
        let inner = Some(self.network).filter(|at| headers[*at] >> 4 == 4);
        outer.into_iter().chain(inner)
    }
}

/// The first byte after the IP header at `at`, if what follows is `protocol`. Extension headers of
/// IPv6 and fragments are not taken apart.
pub(super) fn network_end(packet: &[u8], at: usize, protocol: u8) -> Option<usize> {
    let header = packet.get(at..)?;
    match header.first()? >> 4 {
        4 => {
            let length = usize::from(header[0] & 0xf) * 4;
            let is_whole = header.len() >= length && length >= IPV4_HEADER;
            // Neither "more fragments" nor an offset.
            let is_first = is_whole && header[6] & 0x3f == 0 && header[7] == 0;
            (is_first && header[9] == protocol).then_some(at + length)
        }
        6 => (header.len() >= IPV6_HEADER && header[6] == protocol).then_some(at + IPV6_HEADER),
        _ => None,
    }
}

/// The length that the IP header at `at` says, with the header.
pub(super) fn network_length(packet: &[u8], at: usize) -> Option<usize> {
    let header = packet.get(at..)?;
    match header.first()? >> 4 {
        4 if header.len() >= IPV4_HEADER => Some(usize::from(word(header, 2))),
        6 if header.len() >= IPV6_HEADER => Some(usize::from(word(header, 4)) + IPV6_HEADER),
        _ => None,
    }
}

fn set_network_length(headers: &mut [u8], at: usize, length: usize) -> Option<()> {
    if headers[at] >> 4 == 4 {
        put(headers, at + 2, u16::try_from(length).ok()?);
        set_ipv4_checksum(headers, at);
    } else {
        put(headers, at + 4, u16::try_from(length - IPV6_HEADER).ok()?);
    }
    Some(())
}

/// Makes the checksum of the IPv4 header at `at` right.
pub(super) fn set_ipv4_checksum(headers: &mut [u8], at: usize) {
    let end = at + usize::from(headers[at] & 0xf) * 4;
    let sum = Sum::default().add(&headers[at..at + 10]).add(&headers[at + 12..end]);
    headers[at + 10..at + 12].copy_from_slice(&sum.finish());
}

/// Zero says that a UDP packet has no checksum (RFC 768); for TCP both mean the same.
pub(super) fn not_zero(checksum: [u8; 2]) -> [u8; 2] {
    if checksum == [0, 0] { [0xff, 0xff] } else { checksum }
}

fn pseudo(headers: &[u8], at: usize, protocol: u8, length: usize) -> Sum {
    let addresses =
        if headers[at] >> 4 == 4 { at + 12..at + IPV4_HEADER } else { at + 8..at + IPV6_HEADER };
    let length = u16::try_from(length).expect("the lengths of a packet have been checked");
    Sum::default().add(&headers[addresses]).add_word(u16::from(protocol)).add_word(length)
}

/// The number at `at`, as it stands on the wire.
pub(super) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Writes a number as it stands on the wire.
pub(super) fn put(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}
