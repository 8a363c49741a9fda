//! Finding sites: what the directory and the local network say about where nodes are.

use std::time::Instant;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, mdns};

use super::directory::Event;
use super::task::Task;
use crate::dial::address;

impl Task {
    pub(super) fn on_directory(&mut self, event: Event) {
        match event {
            Event::Joined => {
                self.is_publishing_due = true;
                self.dialer.ask_anew();
            }
            Event::Offered(record) => {
                let Some(caller) = self.lines.caller_of(record.provider) else { return };
                let directory = &mut self.swarm.behaviour_mut().gate.inner.directory;
                if !directory.keep(record, caller.site) {
                    self.book.of(caller.site).malformed += 1;
                    tracing::warn!(site = %caller.site, "a peer says where another site is");
                }
            }
            Event::Heard { site, peer, addresses } => {
                let addresses = self.worth_dialling(addresses);
                tracing::debug!(%site, %peer, ?addresses, "a peer says where a site is");
                self.dialer.hear(site, peer, &addresses);
            }
            Event::Searched { site, is_known } => {
                self.dialer.answered(site, Instant::now(), is_known);
            }
        }
    }

    pub(super) fn on_nearby(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    for address in self.worth_dialling(vec![address]) {
                        self.dialer.nearby(&peer, address);
                    }
                }
                self.dial();
            }
            mdns::Event::Expired(gone) => {
                for (peer, address) in gone {
                    self.dialer.silent(&peer, &address);
                }
            }
        }
    }

    fn worth_dialling(&self, mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        addresses.retain(|it| address::is_dialled(it, self.is_on_loopback));
        addresses
    }

    /// Says where this node is, and asks where others are, as far as either is due.
    pub(super) fn search(&mut self) {
        let is_reached = self.swarm.external_addresses().next().is_some();
        let directory = &mut self.swarm.behaviour_mut().gate.inner.directory;
        if self.is_publishing_due && is_reached {
            directory.publish(self.me.site);
        }
        self.is_publishing_due = false;
        let room = directory.room();
        for site in self.dialer.sought(Instant::now(), &self.lines.callers(), room) {
            self.book.of(site).searches += 1;
            directory.search(site);
        }
    }

    /// An attempt has failed, before or at the hello.
    pub(super) fn on_failed(&mut self, connection: ConnectionId, reason: String) {
        if let Some(site) = self.dialer.failed(connection, Instant::now(), reason) {
            self.book.of(site).misled += 1;
        }
    }
}
