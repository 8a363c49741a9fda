//! From the interface to the peers: packets in, taken apart, encrypted, and sent many at a time.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use boringtun::noise::TunnResult;

use super::offload::{FRONT, Offload, complete_checksum};
use super::peer::{Peer, Table, destination, ecn};
use super::segment::Segments;
use super::shared::{DATA, HANDSHAKE, OVERHEAD, Shared};
use super::tap::BUFFER;
use super::udp::SEND_MAX;
use crate::MTU_MAX;

/// What is taken in one go: so much that many small packets to a peer share a call, and so little
/// that what comes the other way does not wait for long.
const PACKETS: usize = 64;
const BYTES: usize = 2 * 0xffff;
/// Packets are filled up to a multiple of this (WireGuard, section 5.4.6).
const PADDING: usize = 16;
/// Room for one segment and what fills it up.
const SCRATCH: usize = MTU_MAX as usize + PADDING;
/// Room for one message more than what one call sends.
const ROOM: usize = SEND_MAX + SCRATCH + OVERHEAD + HANDSHAKE;

/// The way out.
pub(super) struct Outward<'a> {
    shared: &'a Shared,
    /// One packet, with what stands before it.
    buffer: Vec<u8>,
    /// One segment.
    scratch: Vec<u8>,
    batch: Batch,
}

impl<'a> Outward<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let messages = vec![0; ROOM];
        Self {
            shared,
            buffer: vec![0; BUFFER + PADDING],
            scratch: vec![0; SCRATCH],
            batch: Batch { messages, length: 0, size: 0, count: 0, to: None, ecn: 0 },
        }
    }

    /// Sends what waits in the interface.
    ///
    /// # Errors
    ///
    /// The interface is gone.
    pub(super) fn run(&mut self, table: &Table) -> io::Result<()> {
        // Out of ourselves, since what is in it is worked on while we are.
        let mut buffer = mem::take(&mut self.buffer);
        let outcome = self.take(table, &mut buffer);
        self.buffer = buffer;
        self.batch.flush(self.shared);
        outcome
    }

    fn take(&mut self, table: &Table, buffer: &mut [u8]) -> io::Result<()> {
        let mut bytes = 0;
        for _ in 0..PACKETS {
            match self.shared.tap.read(&mut buffer[..BUFFER]) {
                Ok(length) => {
                    self.packet(table, buffer, length);
                    bytes += length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if bytes >= BYTES {
                break;
            }
        }
        Ok(())
    }

    /// Sends the packet that is the first `length` bytes of `buffer`, with what stands before it.
    fn packet(&mut self, table: &Table, buffer: &mut [u8], length: usize) {
        let drops = &self.shared.drops;
        let (front, rest) = buffer.split_at_mut(FRONT);
        let Some(length) = length.checked_sub(FRONT) else { return drops.malformed.add(1) };
        let header = (&*front).try_into().expect("a header has its length");
        let Ok(offload) = Offload::read(header, &rest[..length]) else {
            return drops.malformed.add(1);
        };
        let Some(address) = destination(&rest[..length]) else { return drops.malformed.add(1) };
        let Some(peer) = table.by_address.get(&address) else { return drops.no_peer.add(1) };
        let ecn = ecn(rest);
        match offload {
            Offload::Whole => self.batch.encrypt(self.shared, peer, ecn, rest, length),
            Offload::Checksum { start, offset } => {
                complete_checksum(&mut rest[..length], start, offset);
                self.batch.encrypt(self.shared, peer, ecn, rest, length);
            }
            Offload::Segments { layout, size } => {
                let mut segments = Segments::new(&rest[..length], layout, size);
                let room = SCRATCH - PADDING;
                while let Some(length) = segments.write_next(&mut self.scratch[..room]) {
                    self.batch.encrypt(self.shared, peer, ecn, &mut self.scratch, length);
                }
                if !segments.is_done() {
                    drops.malformed.add(1);
                }
            }
        }
    }
}

/// Messages to one peer that go out in one call: all of one size, the last perhaps shorter.
struct Batch {
    messages: Vec<u8>,
    length: usize,
    size: usize,
    count: usize,
    to: Option<Arc<Peer>>,
    ecn: u8,
}

impl Batch {
    /// Encrypts the first `length` bytes of `packet`, which has room for padding behind them.
    fn encrypt(
        &mut self,
        shared: &Shared,
        peer: &Arc<Peer>,
        ecn: u8,
        packet: &mut [u8],
        length: usize,
    ) {
        if length > SCRATCH - PADDING {
            return shared.drops.malformed.add(1);
        }
        let mtu = usize::from(shared.mtu.load(Ordering::Relaxed));
        let padded = length.next_multiple_of(PADDING).min(mtu).max(length);
        packet[length..padded].fill(0);
        let is_other = self.ecn != ecn || self.to.as_ref().is_none_or(|to| !Arc::ptr_eq(to, peer));
        if self.count > 0 && (is_other || !self.takes(padded + OVERHEAD, shared)) {
            self.flush(shared);
        }
        let room = &mut self.messages[self.length..];
        match peer.tunn().encapsulate(&packet[..padded], room) {
            TunnResult::WriteToNetwork(message) if message.first() == Some(&DATA) => {
                let written = message.len();
                if self.count == 0 {
                    self.size = written;
                    self.ecn = ecn;
                    self.to = Some(Arc::clone(peer));
                }
                self.length += written;
                self.count += 1;
            }
            // The packet waits for the answer.
            TunnResult::WriteToNetwork(handshake) => shared.send(peer, handshake),
            TunnResult::Done => {}
            TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => return peer.drops.unsent.add(1),
        }
        peer.sent.count(&packet[..length]);
    }

    /// Whether a message of this length can go behind the others.
    fn takes(&self, length: usize, shared: &Shared) -> bool {
        let ends = self.length != self.count * self.size;
        !ends
            && length <= self.size
            && self.length + length <= SEND_MAX
            && self.count < shared.udp.segments_max()
    }

    fn flush(&mut self, shared: &Shared) {
        if let Some(peer) = self.to.take() {
            shared.send_many(&peer, self.ecn, &self.messages[..self.length], self.size);
        }
        self.length = 0;
        self.count = 0;
    }
}
