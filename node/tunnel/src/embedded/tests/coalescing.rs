//! Segments put together come apart again as they were.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::reference::{Stream, streams};
use super::segmentation::taken_apart;
use crate::Offloads;
use crate::embedded::coalesce::Batch;
use crate::embedded::offload::Offload;

/// Puts packets together, and takes the results apart. Answers how many there were, and what came.
fn there_and_back(packets: &[Vec<u8>]) -> (usize, Vec<Vec<u8>>) {
    there_and_back_with(packets, Offloads::Tunnels)
}

fn there_and_back_with(packets: &[Vec<u8>], offloads: Offloads) -> (usize, Vec<Vec<u8>>) {
    let mut buffer = packets.concat();
    let mut batch = Batch::new(offloads);
    let mut at = 0;
    for packet in packets {
        batch.push(&buffer, at..at + packet.len());
        at += packet.len();
    }
    let mut count = 0;
    let mut came = Vec::new();
    batch.finish(&mut buffer, |buffer, offload, pieces| {
        count += 1;
        let packet: Vec<u8> =
            pieces.iter().flat_map(|place| buffer[place.clone()].to_vec()).collect();
        let offload = Offload::read(&offload.write(&packet), &packet).unwrap();
        came.extend(taken_apart(&packet, offload));
    });
    (count, came)
}

/// One connection's packets among others, in order.
fn of_port(packets: &[Vec<u8>], stream: &Stream) -> Vec<Vec<u8>> {
    let [high, low] = stream.port.to_be_bytes();
    let ports = [high, low, 0x01, 0xbb];
    let is_its = |packet: &&Vec<u8>| packet.windows(4).any(|window| window == ports);
    packets.iter().filter(is_its).cloned().collect()
}

proptest! {
    #[test]
    fn the_segments_of_one_connection_become_one_packet(stream in streams()) {
        let segments = stream.segments();
        let (count, came) = there_and_back(&segments);
        // A super-packet is bounded, and so is how many pieces it has.
        prop_assert!(count <= segments.len().div_ceil(128), "{count} of {}", segments.len());
        prop_assert_eq!(came, segments);
    }

    #[test]
    fn what_the_kernel_does_not_take_in_one_piece_stays_in_pieces(stream in streams()) {
        let segments = stream.segments();
        let (count, came) = there_and_back_with(&segments, Offloads::TcpAndUdp);
        prop_assert!(stream.outer.is_none() || count == segments.len());
        prop_assert_eq!(came, segments);
    }

    #[test]
    fn connections_that_are_mixed_keep_their_order(
        first in streams(),
        second in streams(),
        order in vec(any::<bool>(), 0..64),
    ) {
        let (mut first, mut second) = (first, second);
        (first.port, second.port) = (0xabcd, 0xabce);
        // Nothing in a payload looks like a port.
        for stream in [&mut first, &mut second] {
            stream.payload.fill(7);
            stream.options.fill(1);
        }
        let (a, b) = (first.segments(), second.segments());
        let (mut left, mut right) = (a.iter(), b.iter());
        let mut mixed = Vec::new();
        for is_left in order {
            mixed.extend(if is_left { left.next() } else { right.next() }.cloned());
        }
        mixed.extend(left.chain(right).cloned());
        let (_, came) = there_and_back(&mixed);
        prop_assert_eq!(of_port(&came, &first), a);
        prop_assert_eq!(of_port(&came, &second), b);
    }

    #[test]
    fn a_changed_segment_comes_through_as_it_is(
        stream in streams(),
        which in any::<u16>(),
        at in any::<u16>(),
        change in 1..=255_u8,
    ) {
        let mut segments = stream.segments();
        let which = usize::from(which) % segments.len();
        let at = usize::from(at) % segments[which].len();
        segments[which][at] ^= change;
        let (_, mut came) = there_and_back(&segments);
        // It may have become one of another connection, which may come earlier or later.
        segments.sort();
        came.sort();
        prop_assert_eq!(came, segments);
    }

    #[test]
    fn lost_repeated_and_disordered_segments_come_through_as_they_are(
        stream in streams(),
        order in vec(any::<u16>(), 1..40),
    ) {
        let segments = stream.segments();
        let chosen: Vec<Vec<u8>> =
            order.iter().map(|at| segments[usize::from(*at) % segments.len()].clone()).collect();
        prop_assert_eq!(there_and_back(&chosen).1, chosen);
    }

    #[test]
    fn no_bytes_do_harm(packets in vec(vec(any::<u8>(), 0..200), 0..20)) {
        prop_assert_eq!(there_and_back(&packets).1, packets);
    }
}
