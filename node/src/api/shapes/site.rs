//! The site, its hosts and its peers, as the interface says them.

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::{Moment, Size, Tariff};

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How often it has been restored from a backup.
    pub incarnation: u64,
    /// When it was founded.
    pub founded: Moment,
    /// What it charges.
    pub tariff: Tariff,
    /// The node that answered.
    pub node: Node,
    /// What an operator sees besides; not told to tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
}

/// Where a node stands among its site's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Whether it leads.
    pub is_leader: bool,
    /// Who leads, if anybody is known to.
    pub leader: Option<u64>,
    /// The term of that leadership.
    pub term: u64,
    /// The index of the last log entry applied.
    pub index: u64,
}

/// What an operator sees of a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// The site's hosts.
    pub hosts: Vec<Host>,
    /// How many services there are that have not ended.
    pub services: usize,
    /// How many machines of own tenants there are that have not ended, wherever they are.
    pub machines: usize,
    /// Who was turned away at the gate lately, the latest last.
    pub refused: Vec<Refused>,
}

/// Somebody who was turned away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// When.
    pub at: Moment,
    /// From which address.
    pub address: String,
    /// The site that it claimed to speak for, not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// Whether this site refused; otherwise the other did.
    pub by_us: bool,
    /// Why.
    pub reason: String,
}

/// A peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its id; none for an address that nobody has answered at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What this site calls it; none if the configuration does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it may buy here.
    pub sells_to: bool,
    /// Whether this site may buy there.
    pub buys_from: bool,
    /// Whether the configuration still names it.
    pub wanted: bool,
    /// How many messages are owed to it.
    pub owed: usize,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Since when it is connected; none if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_since: Option<Moment>,
    /// The round trip in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// How often it has been restored from a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// Why the last attempt to reach it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// What it says that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advert: Option<Advert>,
    /// What has happened with it since the node started.
    pub counters: Counters,
}

/// What a peer says that it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advert {
    /// Room in all.
    pub free: Size,
    /// The largest machine that fits on one host.
    pub largest: Size,
    /// What it charges.
    pub tariff: Tariff,
    /// When it was heard.
    pub heard: Moment,
}

/// How often something has happened with a peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections that passed the hello.
    pub greeted: u64,
    /// Connections turned away, by either side.
    pub refused: u64,
    /// Frames longer than allowed.
    pub oversize: u64,
    /// Frames that could not be read.
    pub malformed: u64,
    /// Requests that were forged, altered, or made in another's name.
    pub foul: u64,
    /// Requests of the peer.
    pub asks_in: u64,
    /// Requests to the peer.
    pub asks_out: u64,
    /// Requests of the peer that were put off.
    pub busy: u64,
    /// Adverts that the peer passed on.
    pub adverts: u64,
    /// Those of them that were refused.
    pub adverts_rejected: u64,
    /// Consoles that the peer opened.
    pub streams_in: u64,
}
