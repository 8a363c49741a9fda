//! Echo requests and their answers, by raw sockets: one for each version of IP, for all targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recvfrom, sendto,
    socket_with,
};

use super::Error;
use crate::networks::echo::{Depth, Echoes, Target, rounds};

/// The pause between two rounds: what is lost with one packet is not lost with the next, and no
/// queue on the way is filled.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the last answers are waited for: longer than a packet takes to the other side of the
/// world and back.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest packet that is looked at: none of ours is longer.
const PACKET_MAX: usize = 2_048;

/// The most packets that are looked at in one go: a peer that answers without end, and everything that
/// others hear arrives here as well, does not keep us from looking at the clock.
const TAKEN_MAX: usize = 1_024;

/// The header of an echo: type, code, checksum, identifier, number.
const HEADER: usize = 8;

/// The bytes of the headers of IPv4, without options, and IPv6.
const AROUND: (u16, u16) = (20, 40);

/// Two looks at once do not take each other's answers.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// One packet that was sent.
struct Sent {
    target: usize,
    size: u16,
    at: Instant,
}

/// One look: what was sent, by its number, and not answered yet.
struct Look<'a> {
    targets: &'a [Target],
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
    identifier: u16,
    next: u16,
    waiting: BTreeMap<u16, Sent>,
    echoes: Vec<Echoes>,
}

/// Asks all targets and counts what comes back. It blocks for a second or two.
pub(super) fn probe(targets: &[Target], depth: Depth) -> Result<Vec<Echoes>, Error> {
    let has = |is: fn(&IpAddr) -> bool| targets.iter().any(|target| is(&target.address));
    let open = |is_needed: bool, open: fn() -> io::Result<OwnedFd>| {
        let opened = if is_needed { open().map(Some) } else { Ok(None) };
        opened.map_err(|source| Error::Probe(source.into()))
    };
    let process = u16::try_from(std::process::id() & 0xff).unwrap_or_default();
    let mut look = Look {
        targets,
        v4: open(has(IpAddr::is_ipv4), open_v4)?,
        v6: open(has(IpAddr::is_ipv6), open_v6)?,
        identifier: process << 8 | (NEXT.fetch_add(1, Ordering::Relaxed) & 0xff),
        next: 0,
        waiting: BTreeMap::new(),
        echoes: vec![Echoes::default(); targets.len()],
    };
    let plans: Vec<Vec<Vec<u16>>> = targets.iter().map(|it| rounds(*it, depth)).collect();
    let longest = plans.iter().map(Vec::len).max().unwrap_or_default();
    for round in 0..longest {
        for (target, plan) in plans.iter().enumerate() {
            for size in plan.get(round).into_iter().flatten() {
                look.send(target, *size);
            }
        }
        look.hear(Instant::now() + PAUSE);
    }
    look.hear(Instant::now() + PATIENCE);
    Ok(look.echoes)
}

fn open_v4() -> io::Result<OwnedFd> {
    let fd = open(AddressFamily::INET, ipproto::ICMP)?;
    set_ip_mtu_discover(&fd, Ipv4PathMtuDiscovery::PROBE)?;
    Ok(fd)
}

/// The kernel puts the checksum into what leaves by a raw socket of `ICMPv6` (RFC 3542, section 3.1).
fn open_v6() -> io::Result<OwnedFd> {
    let fd = open(AddressFamily::INET6, ipproto::ICMPV6)?;
    set_ipv6_mtu_discover(&fd, Ipv6PathMtuDiscovery::PROBE)?;
    Ok(fd)
}

fn open(family: AddressFamily, protocol: rustix::net::Protocol) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::RAW, flags, Some(protocol))
}

impl Look<'_> {
    /// Sends one packet. One that cannot leave has no answer, like one that is lost.
    fn send(&mut self, target: usize, size: u16) {
        let address = self.targets[target].address;
        let (fd, around, kind) = match address {
            IpAddr::V4(_) => (&self.v4, AROUND.0, 8),
            IpAddr::V6(_) => (&self.v6, AROUND.1, 128),
        };
        let Some(fd) = fd else { return };
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let packet = request(kind, self.identifier, number, usize::from(size - around));
        self.waiting.insert(number, Sent { target, size, at: Instant::now() });
        self.echoes[target].note_sent(size);
        if sendto(fd, &packet, SendFlags::empty(), &SocketAddr::new(address, 0)).is_err() {
            self.waiting.remove(&number);
        }
    }

    /// Takes in what is answered until then, or until there is nothing to wait for.
    fn hear(&mut self, until: Instant) {
        while !self.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let mut ready: Vec<PollFd<'_>> =
                self.open().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            // A time of some seconds is one of the kernel's.
            let time = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut ready, Some(&time)) {
                Ok(0) => return,
                Ok(_) | Err(io::Errno::INTR) => self.take(),
                Err(_) => return,
            }
            if left.is_zero() {
                return;
            }
        }
        // What is sent next is spread out in any case.
        std::thread::sleep(until.saturating_duration_since(Instant::now()).min(PAUSE));
    }

    fn open(&self) -> impl Iterator<Item = &OwnedFd> {
        self.v4.iter().chain(&self.v6)
    }

    fn take(&mut self) {
        let mut heard = Vec::new();
        let mut buffer = [0; PACKET_MAX];
        for fd in self.open() {
            for _ in 0..TAKEN_MAX {
                let Ok((length, _, from)) = recvfrom(fd, &mut buffer[..], RecvFlags::empty())
                else {
                    break;
                };
                let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                let number = from.and_then(|from| {
                    let number = answer(from.ip(), &buffer[..length], self.identifier)?;
                    Some((from.ip(), number))
                });
                heard.extend(number);
            }
        }
        for (from, number) in heard {
            let is_its = |sent: &Sent| self.targets[sent.target].address == from;
            if !self.waiting.get(&number).is_some_and(is_its) {
                continue;
            }
            if let Some(sent) = self.waiting.remove(&number) {
                self.echoes[sent.target].note_answered(sent.size, sent.at.elapsed());
            }
        }
    }
}

/// An echo request of so many bytes.
fn request(kind: u8, identifier: u16, number: u16, length: usize) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(identifier.to_be_bytes());
    packet.extend(number.to_be_bytes());
    packet.resize(length.max(HEADER), 0);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The number of the request that a packet answers. Over IPv4 the packet comes with its header.
fn answer(from: IpAddr, packet: &[u8], identifier: u16) -> Option<u16> {
    let (message, kind) = match from {
        IpAddr::V4(_) => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            (packet.get(header..)?, 0)
        }
        IpAddr::V6(_) => (packet, 129),
    };
    let header: &[u8; HEADER] = message.first_chunk()?;
    let is_ours = header[0] == kind && header[4..6] == identifier.to_be_bytes();
    is_ours.then(|| u16::from_be_bytes([header[6], header[7]]))
}

/// The Internet's checksum (RFC 1071) over bytes whose own checksum is zero.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|it| u32::from(it[0]) << 8 | it.get(1).map_or(0, |low| u32::from(*low)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).expect("what was carried has been added")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn both_ends_of_this_machine_answer_in_every_size() {
        let target = |address: IpAddr| Target { address, needed: 1_420 };
        let targets = [target(Ipv4Addr::LOCALHOST.into()), target(Ipv6Addr::LOCALHOST.into())];
        for echoes in probe(&targets, Depth::Thorough).unwrap() {
            assert_eq!((echoes.sent, echoes.answered, echoes.largest), (10, 10, Some(1_420)));
            assert!(echoes.round_trip.is_some());
        }
        for echoes in probe(&targets, Depth::Glance).unwrap() {
            assert_eq!((echoes.sent, echoes.answered), (3, 3));
        }
    }

    #[test]
    fn nobody_does_not_answer() {
        // Of the prefix for documentation (RFC 3849): nobody has it.
        let nobody = "2001:db8::1".parse().unwrap();
        let echoes = probe(&[Target { address: nobody, needed: 1_420 }], Depth::Glance).unwrap();
        assert_eq!(echoes, [Echoes { sent: 3, ..Echoes::default() }]);
    }

    #[test]
    fn only_the_answer_to_what_was_asked_is_one() {
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let mut packet = request(129, 7, 300, 40);
        assert_eq!(packet.len(), 40);
        assert_eq!(answer(v6, &packet, 7), Some(300));
        assert_eq!(answer(v6, &packet, 8), None, "somebody else's");
        assert_eq!(answer(v6, &packet[..7], 7), None, "cut off");
        packet[0] = 128;
        assert_eq!(answer(v6, &packet, 7), None, "a request");
        let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let wrapped = [vec![0x46; 24], request(0, 7, 9, 8)].concat();
        assert_eq!(answer(v4, &wrapped, 7), Some(9));
        for bytes in [&[][..], &[0x4f], &[0xff; 8]] {
            assert_eq!(answer(v4, bytes, 7), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_that_are_heard_do_harm(
            packet in vec(any::<u8>(), 0..100),
            identifier in any::<u16>(),
            number in any::<u16>(),
        ) {
            for from in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
                answer(from, &packet, identifier);
            }
            let echo = request(129, identifier, number, packet.len());
            let from = IpAddr::V6(Ipv6Addr::LOCALHOST);
            prop_assert_eq!(answer(from, &echo, identifier), Some(number));
            prop_assert_eq!(answer(from, &echo, identifier ^ 1), None);
        }
    }
}
