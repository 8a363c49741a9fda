//! What an operator sees of the peers: those that are configured, and those that have been met.

use protocol::ids::SiteId;

use super::score;
use super::task::Task;
use crate::dial::Target;
use crate::observe::{Counters, PeerState};

impl Task {
    pub(super) fn peers(&self) -> Vec<PeerState> {
        let mut sites: Vec<SiteId> = self.book.sites().collect();
        sites.extend(self.dialer.targets().filter_map(Target::site));
        sites.sort_unstable();
        sites.dedup();
        let known = sites.into_iter().map(|site| self.state_of(site));
        let unknown = self.dialer.targets().filter(|target| target.site().is_none());
        let unknown = unknown.map(|target| PeerState {
            site: None,
            addresses: target.addresses().to_vec(),
            connected_since: None,
            rtt: None,
            incarnation: None,
            is_shunned: false,
            nodes: Vec::new(),
            counters: Counters::default(),
            last_failure: target.last_failure().map(str::to_owned),
        });
        known.chain(unknown).collect()
    }

    fn state_of(&self, site: SiteId) -> PeerState {
        let gossip = &self.swarm.behaviour().gate.inner.gossip;
        let nodes = self.lines.states(site, |peer| score::shown(gossip.peer_score(peer)));
        let targets: Vec<_> =
            self.dialer.targets().filter(|target| target.site() == Some(site)).collect();
        let addresses = if nodes.is_empty() {
            targets.iter().flat_map(|target| target.addresses().to_vec()).collect()
        } else {
            nodes.iter().flat_map(|node| node.addresses.clone()).collect()
        };
        PeerState {
            site: Some(site),
            addresses,
            connected_since: nodes.iter().map(|node| node.connected_since).min(),
            rtt: nodes.iter().filter_map(|node| node.rtt).min(),
            incarnation: nodes.iter().map(|node| node.incarnation).max(),
            is_shunned: self.meters.is_shunned(site),
            counters: self.book.read(site),
            last_failure: targets
                .iter()
                .find_map(|target| target.last_failure())
                .filter(|_| nodes.is_empty())
                .map(str::to_owned),
            nodes,
        }
    }
}
