//! Packets made slowly, byte by byte, by code that shares nothing with what it is to judge.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};

/// A stream of TCP inside whatever it is inside of.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// The version of IP of the outer headers and whether their UDP has a checksum, if there are
    /// any.
    pub(super) outer: Option<(u8, bool)>,
    /// The version of IP of the stream's own.
    pub(super) inner: u8,
    pub(super) may_fragment: bool,
    pub(super) identification: u16,
    pub(super) port: u16,
    pub(super) sequence: u32,
    /// Words of 32 bits.
    pub(super) options: Vec<u8>,
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
    pub(super) size: usize,
}

pub(super) const FIN: u8 = 0x01;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
const CWR: u8 = 0x80;

pub(super) fn streams() -> impl Strategy<Value = Stream> {
    let version = || prop_oneof![proptest::strategy::Just(4_u8), proptest::strategy::Just(6)];
    let outer = proptest::option::of((version(), any::<bool>()));
    let options = (0..=10_usize).prop_flat_map(|words| vec(any::<u8>(), words * 4));
    let numbers = (any::<bool>(), any::<u16>(), any::<u16>(), any::<u32>());
    let payload = vec(any::<u8>(), 1..6000);
    (outer, version(), numbers, options, any::<bool>(), payload, 6..1500_usize).prop_map(
        |(outer, inner, numbers, options, pushes, payload, size)| {
            let (may_fragment, identification, port, sequence) = numbers;
            let flags = ACK | if pushes { PSH } else { 0 };
            Stream {
                outer,
                inner,
                may_fragment,
                identification,
                port,
                sequence,
                options,
                flags,
                payload,
                size,
            }
        },
    )
}

impl Stream {
    /// The segments as they are on the wire, with all checksums right.
    pub(super) fn segments(&self) -> Vec<Vec<u8>> {
        let count = self.payload.len().div_ceil(self.size);
        let chunks = self.payload.chunks(self.size).enumerate();
        chunks
            .map(|(n, chunk)| {
                let mut flags = self.flags;
                if n + 1 != count {
                    flags &= !(FIN | PSH);
                }
                if n != 0 {
                    flags &= !CWR;
                }
                self.packet(n, n * self.size, flags, chunk)
            })
            .collect()
    }

    /// All of it in one packet, with all checksums right.
    pub(super) fn whole(&self) -> Vec<u8> {
        self.packet(0, 0, self.flags, &self.payload)
    }

    fn packet(&self, number: usize, offset: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
        let identification = self.identification.wrapping_add(u16::try_from(number).unwrap());
        let sequence = self.sequence.wrapping_add(u32::try_from(offset).unwrap());
        let mut tcp = Vec::new();
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(443_u16.to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(77_u32.to_be_bytes());
        tcp.push(u8::try_from((20 + self.options.len()) / 4).unwrap() << 4);
        tcp.push(flags);
        tcp.extend([1, 2, 0, 0, 0, 0]);
        tcp.extend(&self.options);
        tcp.extend(payload);
        let inner = ip(self.inner, 6, (self.may_fragment, identification), 1, tcp, Some(16));
        let Some((outer, is_summed)) = self.outer else { return inner };
        let mut frame = vec![8, 0, 0, 0, 0, 0, 7, 0];
        frame.extend([2; 6]);
        frame.extend([4; 6]);
        frame.extend(if self.inner == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(inner);
        let mut udp = Vec::new();
        udp.extend(5555_u16.to_be_bytes());
        udp.extend(4789_u16.to_be_bytes());
        udp.extend(u16::try_from(frame.len() + 8).unwrap().to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(frame);
        ip(outer, 17, (true, identification), 9, udp, is_summed.then_some(6))
    }
}

/// A packet of IP around `body`, whose checksum is at `checksum` if it has one.
fn ip(
    version: u8,
    protocol: u8,
    (may_fragment, identification): (bool, u16),
    host: u8,
    mut body: Vec<u8>,
    checksum: Option<usize>,
) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let width = if version == 4 { 4 } else { 16 };
    let addresses = [vec![host; width], vec![host + 1; width]].concat();
    let mut pseudo = addresses.clone();
    pseudo.extend([0, protocol]);
    pseudo.extend(length.to_be_bytes());
    if let Some(at) = checksum {
        let sum = slow_checksum(&[&pseudo, &body]);
        // Both mean zero; the one of all bits is what senders write.
        let sum = if sum == 0 { 0xffff } else { sum };
        body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = Vec::new();
    if version == 4 {
        packet.extend([0x45, 0]);
        packet.extend((length + 20).to_be_bytes());
        packet.extend(identification.to_be_bytes());
        packet.extend([if may_fragment { 0 } else { 0x40 }, 0, 64, protocol, 0, 0]);
        packet.extend(addresses);
        let sum = slow_checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet.extend([0x60, 0, 0, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([protocol, 64]);
        packet.extend(addresses);
    }
    packet.extend(body);
    packet
}

/// RFC 1071, by its words. All but the last part have an even length.
pub(super) fn slow_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !u16::try_from(sum).unwrap()
}
