//! Networks, as the interface says them.

use std::collections::BTreeMap;

use protocol::sla::Class;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A network that reaches the site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its id; `ID@SITE` if it is a peer's, who could give it the id of another.
    pub id: String,
    /// Its name, behind its service's: `shop/red`. A peer's has only its domain's.
    pub name: String,
    /// The site whose tenant's it is.
    pub home: String,
    /// Its IPv4 prefix.
    pub prefix: String,
    /// Its IPv6 prefix.
    pub prefix6: String,
    /// How fast each card is at the most, in each direction; nothing if as fast as it can be.
    pub speed: Option<String>,
    /// What is promised of it.
    pub sla: Class,
    /// Whether machines without a public address reach the public network.
    pub outbound: bool,
    /// Its group: networks of one home and one group are routed to each other; nothing if it stands
    /// alone. A peer's is called by the id of its first network.
    pub group: Option<String>,
    /// How many cards are on it.
    pub members: usize,
    /// The sites on it.
    pub sites: Vec<String>,
}

/// A network, who is on it, and how it fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detailed {
    /// What it is.
    #[serde(flatten)]
    pub network: Network,
    /// What was measured of it; nothing if nobody has looked yet.
    pub measured: Option<Measured>,
    /// The other networks of its group, by name: what is for them goes by the nearest router.
    pub routed_to: Vec<String>,
    /// Where what is for neither of them goes, if neither to the network's way out.
    pub routes: Vec<Route>,
    /// The cards on it.
    pub cards: Vec<Member>,
    /// What carries it, as this node sees it; for operators.
    pub inside: Option<Inside>,
}

/// A route of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// A prefix.
    pub to: String,
    /// The next address, `exit`, or `nobody`.
    pub via: String,
    /// The machine that has the address; nothing if there is none, and what is for the prefix goes to
    /// nobody.
    pub machine: Option<String>,
}

/// A card on a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The machine's name in the network's DNS.
    pub name: String,
    /// The machine's id.
    pub machine_id: String,
    /// Its IPv4 address.
    pub address: Option<String>,
    /// Its IPv6 address.
    pub address6: String,
    /// Its MAC address.
    pub mac: String,
    /// The site that it has a place at.
    pub site: Option<String>,
    /// The host, if that is here.
    pub host: Option<String>,
}

/// What carries a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// The node that answers, on whose host the rest was seen.
    pub node: u64,
    /// The node through which the site reaches others, if one can.
    pub gateway: Option<u64>,
    /// The largest packet that a guest sends, in bytes.
    pub mtu: u32,
    /// The largest packet that the way to other sites carries, in bytes; nothing if there is no
    /// way from this host.
    pub room_between_sites: Option<u32>,
    /// The sites on it.
    pub ends: Vec<End>,
    /// Its devices on this host.
    pub devices: Vec<Device>,
    /// What was dropped on this host, by cause.
    pub drops: BTreeMap<String, Drops>,
    /// What could not be looked at, and why; empty if nothing.
    pub trouble: String,
}

/// A site on a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The site.
    pub site: String,
    /// Its id.
    pub site_id: String,
    /// Whether it is the one that answers.
    pub is_own: bool,
    /// By which number it receives the network; nothing until it has said so.
    pub vni: Option<u32>,
    /// The public key of its gateway in the tunnel, if it has one.
    pub gateway: Option<String>,
    /// Where its gateway says that it is reached.
    pub endpoint: Option<String>,
    /// The tunnel to it, if this node has one.
    pub tunnel: Option<Tunnel>,
}

/// The tunnel to a gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Where it was last heard from, or is thought to be.
    pub endpoint: Option<String>,
    /// How many seconds ago the last handshake was, if its key can still be used.
    pub last_handshake: Option<u64>,
    /// Bytes that came from it, of all networks.
    pub received: u64,
    /// Bytes that were sent to it, of all networks.
    pub sent: u64,
    /// Packets from and to it that were dropped, by cause. The kernel's device does not say.
    pub drops: BTreeMap<String, u64>,
}

/// An interface of a host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Whether it carries frames.
    pub is_up: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// Bytes that came in.
    pub received: u64,
    /// Bytes that went out.
    pub sent: u64,
}

/// What was dropped for one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drops {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// How the networks fare, as all nodes of the site see them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// The names of those that were looked at.
    pub networks: Vec<String>,
    /// The ways from its nodes to each other, and from its gateway to other sites.
    pub ways: Vec<Way>,
    /// What was dropped before it was known which network it was about.
    pub stray: Vec<Stray>,
    /// What is broken; what others follow from comes first.
    pub faults: Vec<Broken>,
}

/// What came back of what was sent one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// The node that sent.
    pub from: String,
    /// The node or the site that was to answer.
    pub to: String,
    /// Whether it went through the tunnel between sites.
    pub tunnel: bool,
    /// The shortest round trip, in microseconds; nothing if no small packet came back.
    pub round_trip: Option<u32>,
    /// How many small packets were sent.
    pub sent: u16,
    /// How many of them came back.
    pub answered: u16,
    /// The largest packet that came back, in bytes.
    pub largest: Option<u16>,
    /// The largest that has to get there.
    pub needed: u16,
    /// How many seconds ago the tunnel's last handshake was, if its key can still be used.
    pub handshake: Option<u64>,
}

/// What was dropped at a node for one cause, and is of no network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stray {
    /// The node.
    pub node: String,
    /// The cause.
    pub cause: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Something that is broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// What, and between whom.
    pub what: String,
    /// What a person does about it.
    pub next: String,
}

/// What this site has measured of a network: whether every other site with a machine on it is
/// reached from its gateway, looked at every five seconds of this calendar month (UTC).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Since when it is measured in this month.
    pub since: Moment,
    /// For how many seconds somebody looked.
    pub seen: u64,
    /// For how many of these not all were reached.
    pub missed: u64,
    /// For how many seconds of a month its class lets that be; none if it promises nothing.
    pub allowed: Option<u64>,
    /// The share of the time looked at in which all were reached, in percent.
    pub availability: Option<String>,
    /// For how many seconds nobody looked, since it is measured in this month.
    pub unseen: u64,
    /// Whether what is promised of a month is kept so far.
    pub kept: bool,
    /// The share in the month before, in percent, if that was measured.
    pub before: Option<String>,
}
