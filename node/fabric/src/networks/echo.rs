//! Echoes: whether others answer, how soon, and how large a packet gets there and back.
//!
//! What is sent is ICMP's echo request (RFC 792, RFC 4443), which the other end's kernel answers by
//! itself, so nothing of ours has to be well there. Some are small, and tell a dead way from a
//! lossy one; the others go up in steps to the size that the way has to carry. None may be broken
//! into fragments: a way that swallows large packets answers the small ones only.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// A small packet, in bytes: as long as what `ping` sends.
pub(super) const SMALL: u16 = 84;

/// How many small packets a thorough look sends: one that is lost among them is a tenth.
pub const SMALL_COUNT: u16 = 10;

/// How often each larger size is sent: a size counts as carried if one of them comes back.
const LARGE_COUNT: u16 = 3;

/// How many small packets a glance sends: that one is lost says nothing yet.
const GLANCE_COUNT: usize = 3;

/// The sizes between small and what is needed, in bytes: the least that the Internet carries (RFC
/// 791 and RFC 8200), and what is left within the common ways of wrapping packets.
const STEPS: [u16; 7] = [576, 1_024, 1_200, 1_280, 1_320, 1_360, 1_390];

/// Who is to answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target {
    /// Its address.
    pub address: IpAddr,
    /// The largest packet that has to get there, in bytes with its IP header.
    pub needed: u16,
}

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// A few small packets: is anybody there?
    Glance,
    /// Several small ones, and larger ones up to what is needed.
    Thorough,
}

/// What came back from one target.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Echoes {
    /// How many small packets were sent.
    pub sent: u16,
    /// How many of them were answered.
    pub answered: u16,
    /// The shortest round trip of a small packet.
    pub round_trip: Option<Duration>,
    /// The largest packet that was answered, in bytes with its IP header.
    pub largest: Option<u16>,
}

/// The sizes that a target is sent, in rounds: each round is sent at once.
pub(super) fn rounds(target: Target, depth: Depth) -> Vec<Vec<u16>> {
    match depth {
        Depth::Glance => vec![vec![SMALL]; GLANCE_COUNT],
        Depth::Thorough => {
            let larger: BTreeSet<u16> = STEPS.into_iter().chain([target.needed]).collect();
            let larger = || larger.iter().filter(|size| **size <= target.needed).copied();
            (0..SMALL_COUNT)
                .map(|round| {
                    let large = larger().filter(|_| round < LARGE_COUNT);
                    std::iter::once(SMALL).chain(large).collect()
                })
                .collect()
        }
    }
}

impl Echoes {
    /// A small packet leaves.
    pub(super) const fn note_sent(&mut self, size: u16) {
        if size == SMALL {
            self.sent += 1;
        }
    }

    /// A packet has come back.
    pub(super) fn note_answered(&mut self, size: u16, after: Duration) {
        self.largest = self.largest.max(Some(size));
        if size == SMALL {
            self.answered += 1;
            self.round_trip = Some(self.round_trip.map_or(after, |best| best.min(after)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn large_packets_go_up_to_what_is_needed_and_no_further() {
        for needed in [600, 1_400, 1_420] {
            let target = Target { address: Ipv4Addr::LOCALHOST.into(), needed };
            let sizes: Vec<u16> = rounds(target, Depth::Thorough).concat();
            assert_eq!(sizes.iter().max(), Some(&needed));
            let count = |size: u16| sizes.iter().filter(|it| **it == size).count();
            assert_eq!((count(SMALL), count(needed)), (10, 3));
        }
    }

    #[test]
    fn what_comes_back_is_counted_by_size() {
        let mut echoes = Echoes::default();
        for size in [SMALL, SMALL, 1_420] {
            echoes.note_sent(size);
        }
        assert_eq!((echoes.sent, echoes.round_trip), (2, None));
        echoes.note_answered(SMALL, Duration::from_millis(9));
        echoes.note_answered(SMALL, Duration::from_millis(7));
        let best = Some(Duration::from_millis(7));
        let small = Echoes { sent: 2, answered: 2, round_trip: best, largest: Some(SMALL) };
        assert_eq!(echoes, small);
        echoes.note_answered(1_420, Duration::from_millis(1));
        assert_eq!(echoes, Echoes { largest: Some(1_420), ..small });
    }
}
