//! Super-packets taken apart are what a sender without offload would have sent.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::reference::{ACK, FIN, Stream, slow_checksum, streams};
use crate::Offloads;
use crate::embedded::checksum::Sum;
use crate::embedded::coalesce::Batch;
use crate::embedded::inward::tell_congestion;
use crate::embedded::layout::{Encapsulation, Layout, Transport};
use crate::embedded::offload::{FRONT, Malformed, Offload, complete_checksum};
use crate::embedded::peer::{destination, ecn};
use crate::embedded::segment::Segments;

/// All segments of what `offload` says is to become some.
pub(super) fn taken_apart(packet: &[u8], offload: Offload) -> Vec<Vec<u8>> {
    let Offload::Segments { layout, size } = offload else { return vec![packet.to_vec()] };
    let mut segments = Segments::new(packet, layout, size);
    let mut all = Vec::new();
    let mut out = vec![0; 70_000];
    while let Some(length) = segments.write_next(&mut out) {
        all.push(out[..length].to_vec());
    }
    all
}

proptest! {
    #[test]
    fn the_sum_of_many_bytes_at_once_is_that_of_pairs(bytes in vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(Sum::default().add(&bytes).finish(), slow_checksum(&[&bytes]).to_be_bytes());
    }

    #[test]
    fn every_segment_is_as_a_slow_sender_makes_it(
        stream in streams(),
        ends in any::<bool>(),
        reduced in any::<bool>(),
    ) {
        let mut stream = stream;
        stream.flags |= if ends { FIN } else { 0 } | if reduced { 0x80 } else { 0 };
        let packet = stream.whole();
        let header_of = |version| if version == 4 { 20 } else { 40 };
        let (encapsulation, network) = match stream.outer {
            None => (None, 0),
            Some((version, is_summed)) => {
                let udp = header_of(version);
                (Some(Encapsulation { udp, is_summed }), udp + 8 + 8 + 14)
            }
        };
        let transport = network + header_of(stream.inner);
        let layout = Layout::check(&packet, encapsulation, network, transport, Transport::Tcp);
        let offload = Offload::Segments { layout: layout.unwrap(), size: stream.size };
        // Through the virtio header and back, as the kernel would have it.
        let offload = Offload::read(&offload.write(&packet), &packet).unwrap();
        prop_assert_eq!(taken_apart(&packet, offload), stream.segments());
    }

    #[test]
    fn a_checksum_left_to_us_is_completed(bytes in vec(any::<u8>(), 8..200), start in 0..3_usize) {
        let mut packet = bytes;
        let start = start * 2;
        let offset = (packet.len() - start - 2) / 2 * 2;
        let before = slow_checksum(&[&packet[start..]]);
        complete_checksum(&mut packet, start, offset);
        let sum = u16::from_be_bytes([packet[start + offset], packet[start + offset + 1]]);
        prop_assert_eq!(sum, if before == 0 { 0xffff } else { before });
    }

    #[test]
    fn no_bytes_before_or_in_a_packet_do_harm(
        header in any::<[u8; FRONT]>(),
        packet in vec(any::<u8>(), 0..400),
    ) {
        if let Ok(offload) = Offload::read(&header, &packet) {
            taken_apart(&packet, offload);
        }
    }

    #[test]
    fn no_change_of_a_packet_does_harm(
        stream in streams(),
        header in any::<[u8; FRONT]>(),
        changes in vec((any::<u16>(), any::<u8>()), 0..6),
        kept in any::<u16>(),
    ) {
        let mut packet = stream.whole();
        let mut batch = Batch::new(Offloads::Tunnels);
        batch.push(&packet, 0..packet.len());
        for (at, byte) in changes {
            let at = usize::from(at) % packet.len().min(160);
            packet[at] = byte;
        }
        packet.truncate(usize::from(kept) % (packet.len() + 1));
        let mut header = header;
        // One that asks for segments, mostly with places that could be.
        header[0] = 1;
        header[1] &= 0x65;
        for at in [5, 7, 9, 21, 23] {
            header[at] = 0;
        }
        if let Ok(offload) = Offload::read(&header, &packet) {
            taken_apart(&packet, offload);
        }
        let mut batch = Batch::new(Offloads::Tunnels);
        batch.push(&packet, 0..packet.len());
        batch.finish(&mut packet, |_, _, _| {});
    }

    #[test]
    fn no_bytes_that_were_decrypted_do_harm(packet in vec(any::<u8>(), 0..100), version in 4..=6_u8) {
        let mut packet = packet;
        if let Some(first) = packet.first_mut() {
            *first = *first & 0xf | version << 4;
        }
        destination(&packet);
        let (length, before) = (packet.len(), ecn(&packet));
        tell_congestion(&mut packet);
        prop_assert_eq!(packet.len(), length);
        prop_assert_eq!(ecn(&packet), if before == 0 { 0 } else { 0b11 });
    }

    #[test]
    fn congestion_on_the_way_is_told_to_whom_it_concerns(stream in streams(), ecn in 0..4_u8) {
        let mut packet = stream.segments().remove(0);
        let is_ipv4 = packet[0] >> 4 == 4;
        packet[1] |= if is_ipv4 { ecn } else { ecn << 4 };
        if is_ipv4 {
            packet[10..12].fill(0);
            let sum = slow_checksum(&[&packet[..20]]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        tell_congestion(&mut packet);
        let told = if is_ipv4 { packet[1] } else { packet[1] >> 4 } & 0b11;
        prop_assert_eq!(told, if ecn == 0 { 0 } else { 0b11 });
        prop_assert!(!is_ipv4 || slow_checksum(&[&packet[..20]]) == 0);
    }
}

#[test]
fn a_super_packet_of_crumbs_is_refused() {
    let payload = vec![7; 4096];
    let stream = Stream {
        outer: Some((6, true)),
        inner: 4,
        may_fragment: false,
        identification: 1,
        port: 5,
        sequence: 9,
        options: vec![],
        flags: ACK,
        payload,
        size: 4,
    };
    let packet = stream.whole();
    let encapsulation = Some(Encapsulation { udp: 40, is_summed: true });
    let layout = Layout::check(&packet, encapsulation, 70, 90, Transport::Tcp).unwrap();
    let read = |size| Offload::read(&Offload::Segments { layout, size }.write(&packet), &packet);
    for size in 1..4 {
        assert_eq!(read(size), Err(Malformed), "{size}");
    }
    assert_eq!(taken_apart(&packet, read(4).unwrap()).len(), 1024);
}
