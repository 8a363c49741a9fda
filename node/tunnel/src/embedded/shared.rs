//! What the thread of a tunnel and its owner have in common.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::x25519;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::peer::{Counter, Peer, Table};
use super::tap::Tap;
use super::udp::Udp;
use crate::{Drops, PrivateKey};

/// Bytes that WireGuard adds to a packet: its header and the tag of the cipher.
pub(super) const OVERHEAD: usize = 32;
/// The longest message of a handshake, and so the least room for an answer.
pub(super) const HANDSHAKE: usize = 148;
/// What tells messages with packets in them from the others.
pub(super) const DATA: u8 = 4;

/// What was dropped without being a peer's.
#[derive(Debug, Default)]
pub(super) struct DropCounters {
    pub(super) no_peer: Counter,
    pub(super) malformed: Counter,
    pub(super) unknown: Counter,
    pub(super) handshakes: Counter,
    pub(super) refused: Counter,
}

impl DropCounters {
    pub(super) fn get(&self) -> Drops {
        Drops {
            no_peer: self.no_peer.get(),
            malformed: self.malformed.get(),
            unknown: self.unknown.get(),
            handshakes: self.handshakes.get(),
            refused: self.refused.get(),
        }
    }
}

/// A running tunnel.
pub(super) struct Shared {
    pub(super) tap: Tap,
    pub(super) udp: Udp,
    pub(super) key: PrivateKey,
    pub(super) secret: x25519::StaticSecret,
    pub(super) public: x25519::PublicKey,
    pub(super) limiter: Arc<RateLimiter>,
    pub(super) mtu: AtomicU16,
    pub(super) drops: DropCounters,
    /// Readable once the thread is to end.
    pub(super) stop: OwnedFd,
    table: RwLock<Arc<Table>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(tap: Tap, udp: Udp, stop: OwnedFd, key: &PrivateKey) -> Self {
        let secret = key.secret();
        let public = x25519::PublicKey::from(&secret);
        Self {
            limiter: Arc::new(RateLimiter::new(&public, super::flood::UNDER_LOAD)),
            tap,
            udp,
            key: key.clone(),
            secret,
            public,
            mtu: AtomicU16::new(crate::MTU_MIN),
            drops: DropCounters::default(),
            stop,
            table: RwLock::default(),
        }
    }

    /// The peers as they are now.
    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_table(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Sends one message to a peer.
    pub(super) fn send(&self, peer: &Peer, message: &[u8]) {
        self.send_many(peer, 0, message, message.len());
    }

    /// Sends messages of `size` bytes each to a peer, the last one perhaps shorter.
    pub(super) fn send_many(&self, peer: &Peer, ecn: u8, messages: &[u8], size: usize) {
        let count = messages.len().div_ceil(size.max(1));
        let Some(endpoint) = peer.endpoint() else { return peer.drops.unsent.add(count) };
        if let Err(error) = self.udp.send(endpoint, ecn, messages, size) {
            tracing::debug!(peer = %peer.public_key, %endpoint, %error, "cannot send to a peer");
            peer.drops.unsent.add(count);
        }
    }

    /// Waits until there is something to do, or `patience` is over.
    pub(super) fn wait(&self, patience: Duration) -> Ready {
        let mut files = [
            PollFd::new(&self.stop, PollFlags::IN),
            PollFd::new(&self.udp, PollFlags::IN),
            PollFd::new(&self.tap, PollFlags::IN),
        ];
        let patience = Timespec::try_from(patience).expect("a moment is short");
        match poll(&mut files, Some(&patience)) {
            Ok(_) if !files[0].revents().is_empty() => Ready::End,
            Ok(_) if files[1].revents().is_empty() => Ready::Outward,
            Ok(_) | Err(Errno::INTR) => Ready::Both,
            Err(error) => {
                tracing::error!(%error, "the tunnel cannot wait for packets");
                Ready::End
            }
        }
    }
}

/// What there is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ready {
    /// At most what waits in the interface.
    Outward,
    /// Perhaps on both sides.
    Both,
    /// The tunnel is to end.
    End,
}
