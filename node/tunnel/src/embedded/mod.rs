//! The tunnel of this process: a TAP device, a UDP socket, and a thread between them.
//!
//! A userspace WireGuard commonly pays for each packet: one call to read it, one to send it, and the
//! whole way through the kernel's network on either side. Here the kernel hands over super-packets
//! of up to 64 KiB, with VXLAN headers where a LAN goes through the tunnel; they are taken apart,
//! encrypted, and sent with one call. On the other side one call receives them, and after they
//! have been decrypted one call hands a super-packet back. What remains to be paid for each packet
//! is the cipher and a checksum.
//!
//! The thread does nothing but compute and make system calls, so it is not the runtime's.

mod checksum;
mod coalesce;
mod flood;
mod inward;
mod layout;
mod offload;
mod outward;
mod peer;
mod segment;
mod shared;
mod sys;
mod tap;
mod udp;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use async_trait::async_trait;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::write;
use tokio::sync::Mutex;

pub(crate) use self::coalesce::VXLAN_PORT;
pub(crate) use self::offload::HARDWARE;
use self::peer::{Peer, Table};
use self::shared::Shared;
use self::tap::Tap;
use self::udp::Udp;
use crate::check::check;
use crate::{
    Change, Error, InterfaceName, Provider, PublicKey, SESSION, State, Tunnel, Wanted, link,
};

/// How many bits the number of a peer has.
const NUMBER_BITS: u32 = 24;

/// A WireGuard device of this process, in the network namespace of the thread that converges it.
/// The interface goes when this is dropped.
#[derive(Debug, Default)]
pub struct Embedded {
    /// The lock also keeps two calls apart.
    device: Mutex<Option<Device>>,
}

impl Embedded {
    /// A tunnel that has no interface yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Tunnel for Embedded {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut place = self.device.lock().await;
        let kept = place.take().filter(|device| device.serves(wanted));
        let (mut device, made) = match kept {
            Some(device) => (device, Change::Nothing),
            None => (Device::start(wanted)?, Change::Made),
        };
        let peered = device.set_peers(wanted);
        let linked = link::converge(wanted, Some(HARDWARE)).await;
        *place = Some(device);
        Ok(made.and(peered).and(linked?))
    }

    async fn state(&self) -> Result<Option<State>, Error> {
        Ok(self.device.lock().await.as_ref().map(Device::state))
    }

    async fn close(&self) -> Result<(), Error> {
        *self.device.lock().await = None;
        Ok(())
    }
}

/// A running device.
#[derive(Debug)]
struct Device {
    name: InterfaceName,
    listen_port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The endpoints that the last call wanted.
    endpoints: HashMap<PublicKey, Option<SocketAddr>>,
}

impl Device {
    fn start(wanted: &Wanted) -> Result<Self, Error> {
        let name = &wanted.name;
        let tap = Tap::open(name);
        let tap = tap.map_err(|source| Error::Device { name: name.clone(), source })?;
        let port = wanted.listen_port;
        let udp = Udp::bind(port).map_err(|source| Error::Port { port, source })?;
        let failed = |source| Error::Thread { name: name.clone(), source };
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let stop = stop.map_err(|source| failed(source.into()))?;
        tracing::info!(
            interface = %name, offloads = ?tap.offloads, messages_at_once = udp.segments_max(),
            "the tunnel is WireGuard of this process"
        );
        let shared = Arc::new(Shared::new(tap, udp, stop, &wanted.private_key));
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(name.to_string());
        let thread = Some(thread.spawn(move || worker::run(&worker)).map_err(failed)?);
        let (name, endpoints) = (name.clone(), HashMap::new());
        Ok(Self { name, listen_port: port, shared, thread, endpoints })
    }

    /// Whether it can go on as it is: its thread ends if the interface is taken away.
    fn serves(&self, wanted: &Wanted) -> bool {
        self.name == wanted.name
            && self.listen_port == wanted.listen_port
            && self.shared.key == wanted.private_key
            && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn set_peers(&mut self, wanted: &Wanted) -> Change {
        self.shared.mtu.store(wanted.mtu, Ordering::Relaxed);
        let before = self.shared.table();
        let mut table = Table::default();
        let mut change = Change::Nothing;
        let mut called = Vec::new();
        for peer in &wanted.peers {
            let (number, found) = match before.by_key.get(&peer.public_key) {
                Some((number, found)) if found.keepalive == peer.keepalive => {
                    (*number, Arc::clone(found))
                }
                _ => {
                    change = Change::Made;
                    let (number, peer) = self.greet(&before, &table, peer);
                    called.push(Arc::clone(&peer));
                    (number, peer)
                }
            };
            if self.set_endpoint(&found, peer.endpoint) {
                change = Change::Made;
                called.push(Arc::clone(&found));
            }
            for address in &peer.addresses {
                let owner = before.by_address.get(address);
                if owner.is_none_or(|owner| !Arc::ptr_eq(owner, &found)) {
                    change = Change::Made;
                }
                table.by_address.insert(*address, Arc::clone(&found));
            }
            table.by_number.insert(number, Arc::clone(&found));
            table.by_key.insert(peer.public_key, (number, found));
        }
        let is_less = before.by_key.len() > table.by_key.len()
            || before.by_address.len() > table.by_address.len();
        if is_less {
            change = Change::Made;
        }
        self.endpoints = wanted.peers.iter().map(|peer| (peer.public_key, peer.endpoint)).collect();
        self.shared.set_table(table);
        // An answer finds its peer in the table.
        called.iter().for_each(|peer| self.call(peer));
        change
    }

    /// A new peer, under a number that nobody has.
    fn greet(&self, before: &Table, table: &Table, wanted: &crate::Peer) -> (u32, Arc<Peer>) {
        let is_free =
            |n: &u32| !before.by_number.contains_key(n) && !table.by_number.contains_key(n);
        let number = std::iter::repeat_with(|| rand::random_range(0..1 << NUMBER_BITS))
            .find(is_free)
            .expect("there are more numbers than peers");
        let (secret, limiter) = (self.shared.secret.clone(), Arc::clone(&self.shared.limiter));
        (number, Arc::new(Peer::new(secret, limiter, number, wanted)))
    }

    /// Calls a peer that is to be kept awake, without waiting for its time.
    fn call(&self, peer: &Peer) {
        if peer.keepalive.is_some() && peer.endpoint().is_some() {
            let mut room = [0; inward::ANSWER];
            inward::call(&self.shared, peer, &mut peer.tunn(), &mut room);
        }
    }

    /// Whether the peer is now thought to be elsewhere. See [`crate::Peer::endpoint`].
    fn set_endpoint(&self, peer: &Peer, wanted: Option<SocketAddr>) -> bool {
        let Some(endpoint) = wanted.filter(|endpoint| peer.endpoint() != Some(*endpoint)) else {
            return false;
        };
        let is_new = self.endpoints.get(&peer.public_key).is_some_and(|before| *before != wanted);
        let silence = peer.tunn().time_since_last_handshake();
        if !is_new && silence.is_some_and(|silence| silence < SESSION) {
            return false;
        }
        peer.set_endpoint(endpoint);
        true
    }

    fn state(&self) -> State {
        let table = self.shared.table();
        let mut peers: Vec<_> = table.by_key.values().map(|(_, peer)| peer.state()).collect();
        peers.sort_by_key(|peer| peer.public_key);
        State {
            provider: Provider::Embedded(self.shared.tap.offloads),
            public_key: self.shared.key.public(),
            listen_port: self.shared.udp.port().unwrap_or(self.listen_port),
            peers,
            drops: Some(self.shared.drops.get()),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = write(&self.shared.stop, &1_u64.to_ne_bytes()) {
            return tracing::warn!(%error, "cannot stop the thread of a tunnel");
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(interface = %self.name, "the thread of a tunnel has panicked");
        }
    }
}
