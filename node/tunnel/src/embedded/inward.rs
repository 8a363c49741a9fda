//! From the peers to the interface: datagrams in, decrypted, put together, and handed over.
//!
//! This side also keeps the time: handshakes that were not answered, keys that end, and peers
//! that are to be kept awake.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{array, mem};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::{Packet, Tunn, TunnResult};
use quinn_udp::{EcnCodepoint, RecvMeta};

use super::coalesce::Batch;
use super::flood::Flood;
use super::layout::set_ipv4_checksum;
use super::peer::{Peer, Table, ecn};
use super::shared::{DATA, HANDSHAKE, OVERHEAD, Shared};
use super::udp::canonical;
use crate::{MTU_MAX, PublicKey};

/// Buffers for one call. Each takes what the kernel has put together, up to 64 KiB.
const BUFFERS: usize = 8;
const BUFFER: usize = 0xffff;
/// Once so much has been decrypted it is handed over: a packet should not wait for the ones behind.
const ENOUGH: usize = 0xffff;
/// How often the time is looked at. The timers of WireGuard count seconds.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// What tells that a message is an answer to a handshake that has to come again, with a proof of its
/// address.
const COOKIE: u8 = 3;
/// How many bits of a session's number are left to the library to tell the sessions of one peer
/// apart.
const SESSION_BITS: u32 = 8;
/// Room for one message: a packet that waited is as long as one may be.
pub(super) const ANSWER: usize = MTU_MAX as usize + 2 * OVERHEAD;
/// Congestion experienced (RFC 3168).
const CE: u8 = 0b11;

/// The way in.
pub(super) struct Inward<'a> {
    shared: &'a Shared,
    /// What has been decrypted and not handed over, in the first `filled` bytes.
    plain: Vec<u8>,
    filled: usize,
    /// One message to a peer.
    answers: Vec<u8>,
    batch: Batch,
    flood: Flood,
    /// What one call received.
    received: Vec<u8>,
    ticked: Instant,
}

impl<'a> Inward<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        let now = Instant::now();
        Self {
            shared,
            plain: vec![0; ENOUGH + 2 * BUFFER],
            filled: 0,
            answers: vec![0; ANSWER],
            batch: Batch::new(shared.tap.offloads),
            flood: Flood::new(now),
            received: vec![0; BUFFERS * BUFFER],
            ticked: now,
        }
    }

    /// Takes what one call receives, and hands it over.
    pub(super) fn run(&mut self, table: &Table) {
        // Out of ourselves, since what is in it is worked on while we are.
        let mut received = mem::take(&mut self.received);
        self.receive(table, &mut received);
        self.received = received;
        self.flush();
    }

    fn receive(&mut self, table: &Table, memory: &mut [u8]) {
        let now = Instant::now();
        let mut chunks = memory.chunks_exact_mut(BUFFER);
        let mut buffers: [IoSliceMut<'_>; BUFFERS] =
            array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let mut meta = [RecvMeta::default(); BUFFERS];
        let count = match self.shared.udp.receive(&mut buffers, &mut meta) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // Such as "connection refused", which is about something sent earlier.
            Err(error) => return tracing::debug!(%error, "the tunnel's socket says"),
        };
        for (buffer, meta) in buffers.iter().zip(&meta).take(count) {
            let source = canonical(meta.addr);
            let is_congested = meta.ecn == Some(EcnCodepoint::Ce);
            for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                self.datagram(table, source, is_congested, datagram, now);
            }
        }
    }

    fn datagram(
        &mut self,
        table: &Table,
        source: SocketAddr,
        is_congested: bool,
        datagram: &[u8],
        now: Instant,
    ) {
        let peer = match Tunn::parse_incoming_packet(datagram) {
            Ok(Packet::HandshakeInit(_)) => {
                let Some(peer) = self.initiator(table, source, datagram, now) else {
                    return self.shared.drops.handshakes.add(1);
                };
                Some(peer)
            }
            Ok(Packet::HandshakeResponse(message)) => numbered(table, message.receiver_idx),
            Ok(Packet::PacketCookieReply(message)) => numbered(table, message.receiver_idx),
            Ok(Packet::PacketData(message)) => numbered(table, message.receiver_idx),
            Err(_) => None,
        };
        let Some(peer) = peer else { return self.shared.drops.unknown.add(1) };
        if datagram.first() == Some(&DATA) {
            self.packet(table, &peer, source, is_congested, datagram);
        } else {
            self.handshake(&peer, source, datagram);
        }
    }

    /// Whose handshake this is, if it is to be answered.
    fn initiator(
        &mut self,
        table: &Table,
        source: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Option<Arc<Peer>> {
        let shared = self.shared;
        let mut cookie = [0; HANDSHAKE];
        let message = match shared.limiter.verify_packet(Some(source.ip()), datagram, &mut cookie) {
            Ok(Packet::HandshakeInit(message)) => message,
            Err(TunnResult::WriteToNetwork(cookie)) => {
                send(shared, source, cookie);
                return None;
            }
            Ok(_) | Err(_) => return None,
        };
        if !self.flood.admits(source.ip(), now) {
            return None;
        }
        let half = parse_handshake_anon(&shared.secret, &shared.public, &message).ok()?;
        let key = PublicKey::from_bytes(half.peer_static_public);
        table.by_key.get(&key).map(|(_, peer)| Arc::clone(peer))
    }

    /// Takes a message that is not a packet.
    fn handshake(&mut self, peer: &Peer, source: SocketAddr, datagram: &[u8]) {
        let shared = self.shared;
        let mut tunn = peer.tunn();
        match tunn.decapsulate(Some(source.ip()), datagram, &mut self.answers) {
            TunnResult::WriteToNetwork(cookie) if cookie.first() == Some(&COOKIE) => {
                send(shared, source, cookie);
            }
            TunnResult::WriteToNetwork(answer) => {
                peer.set_endpoint(source);
                shared.send(peer, answer);
                send_waiting(shared, peer, &mut tunn, &mut self.answers);
            }
            TunnResult::Done => {}
            TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => shared.drops.handshakes.add(1),
        }
    }

    /// Takes a packet.
    fn packet(
        &mut self,
        table: &Table,
        peer: &Arc<Peer>,
        source: SocketAddr,
        is_congested: bool,
        datagram: &[u8],
    ) {
        if self.filled >= ENOUGH {
            self.flush();
        }
        let mut tunn = peer.tunn();
        let room = &mut self.plain[self.filled..];
        let (packet, from) = match tunn.decapsulate(None, datagram, room) {
            TunnResult::WriteToTunnelV4(packet, from) => (packet, IpAddr::V4(from)),
            TunnResult::WriteToTunnelV6(packet, from) => (packet, IpAddr::V6(from)),
            TunnResult::Done => {
                // It only shows that it is there. Perhaps something waited for this.
                peer.set_endpoint(source);
                return send_waiting(self.shared, peer, &mut tunn, &mut self.answers);
            }
            TunnResult::Err(error) => return count(peer, &error),
            TunnResult::WriteToNetwork(_) => return peer.drops.malformed.add(1),
        };
        drop(tunn);
        peer.set_endpoint(source);
        if table.by_address.get(&from).is_none_or(|owner| !Arc::ptr_eq(owner, peer)) {
            return peer.drops.wrong_source.add(1);
        }
        if is_congested {
            tell_congestion(packet);
        }
        peer.received.count(packet);
        let place = self.filled..self.filled + packet.len();
        self.filled = place.end;
        self.batch.push(&self.plain, place);
    }

    /// Hands over what has been decrypted.
    fn flush(&mut self) {
        let shared = self.shared;
        self.batch.finish(&mut self.plain, |buffer, offload, pieces| {
            let header = offload.write(&buffer[pieces[0].clone()]);
            let mut slices = Vec::with_capacity(pieces.len() + 1);
            slices.push(IoSlice::new(&header));
            slices.extend(pieces.iter().map(|place| IoSlice::new(&buffer[place.clone()])));
            if let Err(error) = shared.tap.write(&slices) {
                tracing::trace!(%error, "the tunnel's interface takes no packet");
                shared.drops.refused.add(pieces.len());
            }
        });
        self.filled = 0;
    }

    /// Does what is due, if it is time to look.
    pub(super) fn tick(&mut self, table: &Table) {
        let now = Instant::now();
        if now.duration_since(self.ticked) < TICK {
            return;
        }
        self.ticked = now;
        let shared = self.shared;
        shared.limiter.reset_count();
        for (_, peer) in table.by_key.values() {
            let mut tunn = peer.tunn();
            match tunn.update_timers(&mut self.answers) {
                TunnResult::WriteToNetwork(message) => shared.send(peer, message),
                // The library gives up on a peer that is silent for long. Who is to be kept awake
                // is called again, for ever.
                TunnResult::Err(WireGuardError::ConnectionExpired) if peer.keepalive.is_some() => {
                    call(shared, peer, &mut tunn, &mut self.answers);
                }
                TunnResult::Done
                | TunnResult::Err(_)
                | TunnResult::WriteToTunnelV4(..)
                | TunnResult::WriteToTunnelV6(..) => {}
            }
        }
    }
}

/// The peer that gave this number to one of its sessions.
fn numbered(table: &Table, index: u32) -> Option<Arc<Peer>> {
    table.by_number.get(&(index >> SESSION_BITS)).cloned()
}

/// Begins a handshake with a peer.
pub(super) fn call(shared: &Shared, peer: &Peer, tunn: &mut Tunn, room: &mut [u8]) {
    if let TunnResult::WriteToNetwork(message) = tunn.format_handshake_initiation(room, true) {
        shared.send(peer, message);
    }
}

/// Sends what waited for a session.
fn send_waiting(shared: &Shared, peer: &Peer, tunn: &mut Tunn, room: &mut [u8]) {
    while let TunnResult::WriteToNetwork(message) = tunn.decapsulate(None, &[], room) {
        shared.send(peer, message);
    }
}

/// Answers somebody who is perhaps no peer.
fn send(shared: &Shared, to: SocketAddr, message: &[u8]) {
    if let Err(error) = shared.udp.send(to, 0, message, message.len()) {
        tracing::debug!(%to, %error, "cannot answer a handshake");
    }
}

fn count(peer: &Peer, error: &WireGuardError) {
    match error {
        WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => {
            peer.drops.replayed.add(1);
        }
        WireGuardError::InvalidPacket => peer.drops.malformed.add(1),
        WireGuardError::DestinationBufferTooSmall
        | WireGuardError::IncorrectPacketLength
        | WireGuardError::UnexpectedPacket
        | WireGuardError::WrongPacketType
        | WireGuardError::WrongIndex
        | WireGuardError::WrongKey
        | WireGuardError::InvalidTai64nTimestamp
        | WireGuardError::WrongTai64nTimestamp
        | WireGuardError::InvalidMac
        | WireGuardError::InvalidAeadTag
        | WireGuardError::NoCurrentSession
        | WireGuardError::LockFailed
        | WireGuardError::ConnectionExpired
        | WireGuardError::UnderLoad => peer.drops.unauthentic.add(1),
    }
}

/// Marks a packet as one that met congestion on its way, if its ends understand that (RFC 6040).
pub(super) fn tell_congestion(packet: &mut [u8]) {
    if ecn(packet) == 0 {
        return;
    }
    if packet[0] >> 4 == 4 {
        packet[1] |= CE;
        let end = usize::from(packet[0] & 0xf) * 4;
        if (20..=packet.len()).contains(&end) {
            set_ipv4_checksum(packet, 0);
        }
    } else {
        packet[1] |= CE << 4;
    }
}
