//! Keeps the connections as the state says: to every other node of the site, and to its peers,
//! wherever they are. A peer that an operator adds at one node is dialled by all of them.
//!
//! It also keeps the site's word about this node as this node is: a node that has moved says so.

use std::collections::BTreeMap;
use std::time::Duration;

use federation::PeerAddress;
use protocol::ids::{NodeId, SiteId};
use protocol::membership::Standing;
use protocol::site::command::Contact;
use protocol::site::state::Peer;
use protocol::site::{Command, Site};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::names::Names;
use crate::desk::Desk;
use crate::observe::chain;

/// How often the links are looked at if nothing has changed: what failed is tried again.
const NAP: Duration = Duration::from_secs(2);

/// Keeps the links until `closing` turns true. It begins with the nodes of its own site that whoever
/// let it join has told of.
pub(crate) async fn run(
    desk: Desk,
    contact: Contact,
    beginning: Vec<PeerAddress>,
    mut closing: watch::Receiver<bool>,
) {
    let mut links = Links {
        contact,
        beginning,
        names: Names::default(),
        dialled: None,
        describing: JoinSet::new(),
        is_known_removed: false,
        desk,
    };
    let mut progress = links.desk.watch();
    while !*closing.borrow() {
        progress.borrow_and_update();
        links.look().await;
        let woken = async {
            tokio::select! {
                _ = progress.changed() => {}
                _ = closing.changed() => {}
            }
        };
        // Not being woken is an answer too.
        let _ = timeout(NAP, woken).await;
    }
    links.describing.shutdown().await;
    links.names.close().await;
}

struct Links {
    desk: Desk,
    contact: Contact,
    beginning: Vec<PeerAddress>,
    names: Names,
    dialled: Option<Vec<PeerAddress>>,
    describing: JoinSet<()>,
    is_known_removed: bool,
}

impl Links {
    async fn look(&mut self) {
        let nodes: BTreeMap<NodeId, (Contact, Standing)> = self.desk.read(|site| {
            let rows = site.nodes().map(|(id, row)| {
                let contact = Contact {
                    key: row.key,
                    name: row.name.clone(),
                    addresses: row.addresses.clone(),
                    api: row.api.clone(),
                    uplink: row.uplink,
                };
                (id, (contact, row.standing))
            });
            rows.collect()
        });
        if !nodes.is_empty() {
            let keys = nodes.iter().map(|(id, (contact, _))| (*id, contact.key)).collect();
            self.desk.directory().replace(keys);
            self.describe(nodes.get(&self.desk.node()));
        }
        self.dial(&nodes).await;
    }

    /// Says how this node is reached, if the site has it otherwise.
    fn describe(&mut self, known: Option<&(Contact, Standing)>) {
        match known {
            Some((_, Standing::Leaving)) | None => {
                if !self.is_known_removed {
                    error!("this node was removed from the site: stop it, and delete its data");
                    self.is_known_removed = true;
                }
            }
            Some((known, Standing::Voter | Standing::Learner)) => {
                while self.describing.try_join_next().is_some() {}
                let said = |it: &Contact| (it.addresses.clone(), it.api.clone(), it.uplink);
                let same = said(known) == said(&self.contact);
                if same || !self.describing.is_empty() {
                    return;
                }
                let (desk, contact) = (self.desk.clone(), self.contact.clone());
                // Not here: without the links that this task keeps it might never be heard.
                self.describing.spawn(async move {
                    let command = Command::Node { node: desk.node(), contact };
                    if let Err(fault) = desk.propose(command).await {
                        debug!(fault = chain(&fault), "the site could not be told of this node");
                    }
                });
            }
        }
    }

    /// Tells the bus whom to keep connections to.
    async fn dial(&mut self, nodes: &BTreeMap<NodeId, (Contact, Standing)>) {
        let site = Some(self.desk.site());
        let own = nodes.values().map(|(contact, _)| PeerAddress {
            site,
            node: Some(contact.key),
            addresses: contact.addresses.clone(),
        });
        let mut wanted: Vec<PeerAddress> = own
            .filter(|node| node.node != Some(self.contact.key) && !node.addresses.is_empty())
            .collect();
        if nodes.is_empty() {
            wanted.extend(self.beginning.iter().cloned());
        }
        let mut peers = self.desk.read(peers);
        self.names.retain(wanted.iter().chain(&peers).flat_map(|wish| &wish.addresses));
        for wish in wanted.iter_mut().chain(&mut peers) {
            wish.addresses = self.names.numbered(&wish.addresses);
        }
        // Nobody else is asked where a node of this site is.
        wanted.retain(|wish| !wish.addresses.is_empty());
        let own = wanted.len();
        wanted.extend(peers);
        if self.dialled.as_ref() == Some(&wanted) {
            return;
        }
        if let Err(fault) = self.desk.peers().set_peers(wanted.clone()).await {
            warn!(fault = chain(&fault), "the bus cannot be told whom to be connected to");
            // An address that cannot be used must not part the nodes of the site.
            if let Err(fault) = self.desk.peers().set_peers(wanted[..own].to_vec()).await {
                warn!(fault = chain(&fault), "nor of the nodes of its own site");
            }
        }
        // A wish that it cannot take is not told again: only another one could be better.
        self.dialled = Some(wanted);
    }
}

/// The peers. Where one is whose addresses are not known, the bus asks the others.
fn peers(site: &Site) -> Vec<PeerAddress> {
    let address = |(id, peer): (&SiteId, &Peer)| PeerAddress {
        site: Some(*id),
        node: None,
        addresses: peer.addresses.clone(),
    };
    site.peers().map(address).collect()
}
