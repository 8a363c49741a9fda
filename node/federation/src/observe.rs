//! What an operator sees of the bus: each peer with its counters, and who was turned away.
//!
//! Everything here is bounded, whoever comes: entries are kept for sites that the node's policy
//! has admitted or that are configured, and refusals in a ring.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use protocol::identity::PublicKey;
use protocol::ids::SiteId;
use protocol::time::Timestamp;

use crate::hello::Refusal;

/// Refusals that are kept: the latest tell the story; the counter tells how often.
const REFUSALS_KEPT: usize = 64;

/// Sites that are remembered once they are gone: more than a policy admits in practice.
const SITES_KEPT: usize = 1024;

/// How often something has happened with a peer since the node started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Connections that passed the hello.
    pub greeted: u64,
    /// Connections turned away at the hello, by either side.
    pub refused: u64,
    /// Frames longer than their channel allows.
    pub oversize: u64,
    /// Frames and headers that could not be read.
    pub malformed: u64,
    /// Requests that were forged, altered, or made in another's name.
    pub foul: u64,
    /// Requests of the peer.
    pub asks_in: u64,
    /// Requests to the peer.
    pub asks_out: u64,
    /// Requests of the peer that were put off because too many were at hand.
    pub busy: u64,
    /// Adverts that the peer passed on.
    pub adverts: u64,
    /// Those of them that were forged or malformed.
    pub adverts_rejected: u64,
    /// Those of them that were of no use.
    pub adverts_ignored: u64,
    /// Requests and adverts of the peer that were not worked on because there were too many in too
    /// short a time.
    pub limited: u64,
    /// Console streams of the peer.
    pub streams_in: u64,
    /// Times that other sites were asked where it is.
    pub searches: u64,
    /// Attempts to reach it where another site said it was, in vain.
    pub misled: u64,
}

/// Who turned the other away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refuser {
    /// This node.
    Here,
    /// The other.
    There,
}

/// Connections of one node that did not pass the hello, for one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RefusalRecord {
    /// When the latest was.
    pub at: Timestamp,
    /// How many there were in a row: one that tries again and again takes one place here.
    pub count: u64,
    /// The other end's address.
    pub address: String,
    /// The other node, by libp2p's name for its key, which the connection has proven.
    pub node: String,
    /// The site that it claimed to speak for, if it came to that; not proven.
    pub claimed: Option<SiteId>,
    /// Who refused.
    pub by: Refuser,
    /// The reason, for people.
    pub reason: String,
    /// The reason, if it was given as one.
    pub refusal: Option<Refusal>,
}

/// A node that is connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeState {
    /// Its key.
    pub node: PublicKey,
    /// The other ends of its connections.
    pub addresses: Vec<String>,
    /// Since when a connection to it is up.
    pub connected_since: Timestamp,
    /// Round trip, of the connection that was measured last.
    pub rtt: Option<Duration>,
    /// How often its site was restored from a backup, by its own word.
    pub incarnation: u64,
    /// What its adverts have cost it, in points: zero if nothing.
    pub score: i32,
    /// Whether its adverts are dropped unread, the score being so low.
    pub is_graylisted: bool,
}

/// A peer, as the bus sees it.
#[derive(Clone, Debug)]
pub struct PeerState {
    /// The site; none for a configured address that has never been reached.
    pub site: Option<SiteId>,
    /// The addresses: of the connections, or the configured ones.
    pub addresses: Vec<String>,
    /// Since when a connection to it is up; none if none is.
    pub connected_since: Option<Timestamp>,
    /// Round trip, of the node that is nearest.
    pub rtt: Option<Duration>,
    /// How often it was restored from a backup, by the word of its nodes.
    pub incarnation: Option<u64>,
    /// Whether it has sent so much too much, or so often what no honest peer sends, that no connection
    /// to it is kept for a while.
    pub is_shunned: bool,
    /// Its nodes that are connected.
    pub nodes: Vec<NodeState>,
    /// What has happened.
    pub counters: Counters,
    /// Why the last attempt to connect failed, if it has not succeeded since.
    pub last_failure: Option<String>,
}

/// The counters of all sites, and the ring of refusals.
#[derive(Debug, Default)]
pub(crate) struct Book {
    sites: BTreeMap<SiteId, Counters>,
    refusals: VecDeque<RefusalRecord>,
}

impl Book {
    /// The counters of a site that the node's policy has admitted.
    pub(crate) fn of(&mut self, site: SiteId) -> &mut Counters {
        if self.sites.len() >= SITES_KEPT && !self.sites.contains_key(&site) {
            self.sites.pop_first();
        }
        self.sites.entry(site).or_default()
    }

    /// A site's counters, as they stand.
    pub(crate) fn read(&self, site: SiteId) -> Counters {
        self.sites.get(&site).copied().unwrap_or_default()
    }

    /// The sites with counters.
    pub(crate) fn sites(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.sites.keys().copied()
    }

    /// Keeps a refusal.
    pub(crate) fn refuse(&mut self, mut record: RefusalRecord) {
        // What strangers claim is not kept by site: they would fill the book with names.
        let known = record.claimed.and_then(|site| self.sites.get_mut(&site));
        if let Some(counters) = known {
            counters.refused += 1;
        }
        let same = |kept: &RefusalRecord| {
            (&kept.node, kept.by, &kept.reason) == (&record.node, record.by, &record.reason)
        };
        if let Some(kept) = self.refusals.iter().position(same)
            && let Some(kept) = self.refusals.remove(kept)
        {
            record.count += kept.count;
        }
        if self.refusals.len() >= REFUSALS_KEPT {
            self.refusals.pop_front();
        }
        self.refusals.push_back(record);
    }

    /// The refusals kept, oldest first.
    pub(crate) fn refusals(&self) -> Vec<RefusalRecord> {
        self.refusals.iter().cloned().collect()
    }
}
