//! Peers, as the interface says them.

use std::collections::BTreeMap;

use protocol::machine::State;
use protocol::peering::Standing;
use serde::{Deserialize, Serialize};

use super::{Moment, Size, Tariff};

/// A peer that is to be added, or of which is to be said anew what it is called and where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its id, as `reservoir site show` prints it there.
    pub site: String,
    /// What this site calls it.
    pub name: String,
    /// Where it is, as multiaddresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// What of its policy is not as usual, setting by setting.
    #[serde(default)]
    pub policy: BTreeMap<String, String>,
}

/// What a peer has here: machines under agreements, and offers that may still be taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// How many machines.
    pub machines: u32,
    /// What they cost for one hour, in all.
    pub hourly: String,
}

/// The agreements that stand with a peer, in one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dealings {
    /// How many there are.
    pub agreements: usize,
    /// What they cost for one hour, in all.
    pub hourly: String,
    /// When the first of them ends unless it is renewed; none if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_end: Option<Moment>,
    /// How many of them somebody has terminated, or will not renew.
    pub ending: usize,
}

/// A reason for which one of two sites has refused the other something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Whether this site has refused; otherwise the peer has, by its word or its silence.
    pub by_us: bool,
    /// The reason, as the one that was refused reads it.
    pub reason: String,
    /// How often, since it is a peer.
    pub count: u64,
    /// When last.
    pub last: Moment,
}

/// A node of a peer that is connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its key.
    pub key: String,
    /// The other ends of its connections.
    pub addresses: Vec<String>,
    /// Since when it is connected.
    pub connected_since: Moment,
    /// The round trip in microseconds, if it has been measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_us: Option<u64>,
    /// What its adverts have cost it, in points: zero if nothing, else less.
    pub score: i32,
    /// Whether its adverts are dropped unread, the score being so low.
    pub is_graylisted: bool,
}

/// A peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its id; none for an address that nobody has answered at yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What this site calls it; none if it is no peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How far it is wanted; none if it is no peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// What it is allowed, setting by setting, as they are written; empty if it is no peer.
    #[serde(default)]
    pub policy: BTreeMap<String, String>,
    /// What it has here.
    #[serde(default)]
    pub account: Account,
    /// How many machines of this site are there.
    #[serde(default)]
    pub machines_there: usize,
    /// What this site sells it.
    #[serde(default)]
    pub sold: Dealings,
    /// What this site buys there.
    #[serde(default)]
    pub bought: Dealings,
    /// What the two have refused each other, by reason: first what this site has.
    #[serde(default)]
    pub refusals: Vec<Refused>,
    /// Since when it cannot run machines of this site any more, having been out of reach for longer
    /// than its lease; none while it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_ended: Option<Moment>,
    /// Whether it has sent so much too much, or so often what no honest peer sends, that no connection
    /// to it is kept for a while.
    #[serde(default)]
    pub is_shunned: bool,
    /// Its nodes that are connected.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// How many messages are owed to it.
    pub owed: usize,
    /// Its addresses: where it is connected, or where it is looked for.
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
    /// Where it has said two things under one number.
    #[serde(default)]
    pub contradictions: Vec<Contradiction>,
    /// What has happened with it since the node started.
    pub counters: Counters,
}

/// Two things that a peer has said under one number. The site keeps both, each with its signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// Of what: messages or adverts.
    pub of: String,
    /// The number, of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// When the second came, of messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// The two hashes that were signed.
    pub digests: [String; 2],
}

/// A peer, as it shows itself to those who have a machine there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Monitored {
    /// What it has for sale in all.
    pub free: Size,
    /// The largest machine that fits on one of its hosts.
    pub largest: Size,
    /// What it charges.
    pub tariff: Tariff,
    /// What of it this site pays.
    pub factor: String,
    /// This site's machines there.
    pub machines: Vec<MonitoredMachine>,
}

/// A machine of this site, as its provider sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitoredMachine {
    /// Its id.
    pub id: String,
    /// What its tenant calls it; none if this site knows nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// Since when, by the provider's clock.
    pub since: Moment,
    /// Which start of it.
    pub epoch: String,
    /// What it takes.
    pub size: Size,
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
    /// Those of them that were of no use.
    #[serde(default)]
    pub adverts_ignored: u64,
    /// Requests and adverts of the peer that were too many in too short a time.
    #[serde(default)]
    pub limited: u64,
    /// Times that other sites were asked where it is.
    #[serde(default)]
    pub searches: u64,
    /// Attempts to reach it where another site said it was, in vain.
    #[serde(default)]
    pub misled: u64,
    /// Consoles that the peer opened.
    pub streams_in: u64,
}
