//! What can be asked of a site, and what it answers.

mod ask;
mod outcome;

use serde::{Deserialize, Serialize};

use crate::agreement::Message;
use crate::agreement::choice::Asked;
use crate::epoch::Epoch;
use crate::identity::{PublicKey, Verified};
use crate::ids::{HostId, MachineId, MachineName, NetworkId, NodeId, RequestId, SiteId, TenantId};
use crate::machine::guest::Seen;
use crate::membership::serials::Presented;
use crate::names::Label;
use crate::networks::gateway::Uplink;
use crate::peering::Setting;
use crate::sla::measure::Tally;
use crate::time::Timestamp;
use crate::units::{Size, Tariff};

pub use ask::{OperatorAsk, TenantAsk};
pub use outcome::{Outcome, Refusal};

/// A command with what the proposing leader stamped on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// The leader's wall clock.
    pub at: Timestamp,
    /// Chance, from which ids and draws follow.
    pub seed: [u8; 32],
    /// What is asked.
    pub command: Command,
}

/// What enters a site's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The site begins, or learns that its configuration was changed.
    Configure(Configure),
    /// A tenant asks.
    Tenant {
        /// Who asks.
        tenant: TenantId,
        /// The client's own name for the request: a repetition is answered and not done again.
        request: RequestId,
        /// What is asked.
        ask: TenantAsk,
    },
    /// An operator asks.
    Operator {
        /// The client's own name for the request.
        request: RequestId,
        /// What is asked.
        ask: OperatorAsk,
    },
    /// A node says how it is reached. The first of a site enters itself by it.
    Node {
        /// The node.
        node: NodeId,
        /// How it is reached.
        contact: Contact,
    },
    /// A new node has shown the secret of an invitation.
    Join {
        /// BLAKE3 of the secret.
        digest: [u8; 32],
        /// How the node is reached.
        contact: Contact,
    },
    /// A node that was to leave is no member any more.
    Left {
        /// The node.
        node: NodeId,
    },
    /// A node is to be given a certificate: under which serial?
    Certify {
        /// The node.
        node: NodeId,
    },
    /// A node presents a certificate from now on.
    Presents {
        /// The node.
        node: NodeId,
        /// Which.
        certificate: Presented,
    },
    /// The gateway is not reached, or there is none: this node is it from now on.
    Gateway {
        /// The node.
        node: NodeId,
    },
    /// A node of a peer has said which certificates that site still honours.
    Honours {
        /// The peer.
        peer: SiteId,
        /// The lowest serial.
        lowest: u64,
    },
    /// A node describes its host.
    Host {
        /// The host.
        host: HostId,
        /// How it is.
        described: Described,
    },
    /// A host's lease has run out: no guest that the fence stops runs there.
    HostEnded {
        /// The host.
        host: HostId,
    },
    /// A host whose lease had run out asks for one again.
    HostBack {
        /// The host.
        host: HostId,
    },
    /// The session with a provider has run out: no machine of this site that the fence stops runs
    /// there.
    PeerEnded {
        /// The provider.
        peer: SiteId,
    },
    /// A provider whose session had run out asks for one again.
    PeerBack {
        /// The provider.
        peer: SiteId,
    },
    /// A host has seen something new of its guests.
    Observe {
        /// The host.
        host: HostId,
        /// What was seen.
        observations: Vec<Observation>,
    },
    /// A machine that is to be placed elsewhere: these sites are to be asked.
    Seek {
        /// The machine.
        machine: MachineId,
        /// Whom to ask, drawn from the leader's book of adverts.
        sites: Vec<Asked>,
        /// Whether nobody is left to be asked after them.
        last: bool,
    },
    /// Messages of a peer, checked, in the order of their numbers.
    Receive {
        /// The messages.
        messages: Vec<Verified<Message>>,
    },
    /// A peer has taken up what was owed to it.
    Acknowledged {
        /// The peer.
        peer: SiteId,
        /// The last message it has taken up.
        through: u64,
    },
    /// A deadline of the state has passed.
    Tick,
    /// What the gateway has counted of networks lately.
    Measured {
        /// Of each that it has looked at.
        counts: Vec<Counted>,
    },
}

/// How a node is reached.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Its own key.
    pub key: PublicKey,
    /// Its name, for people.
    pub name: Label,
    /// Where it is on the bus, as multiaddresses.
    pub addresses: Vec<String>,
    /// The URL of its REST interface, if others than itself reach it.
    pub api: Option<String>,
    /// How it takes part in networks; none while that is not known.
    pub uplink: Option<Uplink>,
}

/// What the configuration file says of the site.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Configure {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// What it charges.
    pub tariff: Tariff,
    /// The peers that it begins with. One that is known already is left as it has become.
    pub peers: Vec<PeerEntry>,
}

/// A peer that is to be added.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PeerEntry {
    /// The peer.
    pub site: SiteId,
    /// What this site calls it.
    pub name: Label,
    /// Where it is, as multiaddresses.
    pub addresses: Vec<String>,
    /// What of its policy is not as [`Policy::OPEN`](crate::peering::Policy::OPEN) has it.
    pub settings: Vec<Setting>,
}

/// How a host is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The node that speaks for it.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What it has to give.
    pub capacity: Size,
    /// What its hypervisor calls itself.
    pub hypervisor: String,
    /// Why nothing can be placed on it; empty if it is well.
    pub trouble: String,
}

/// What a host has seen of one guest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The guest.
    pub guest: MachineName,
    /// In which epoch.
    pub epoch: Epoch,
    /// What.
    pub seen: Seen,
}

/// What was counted of one network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Its home.
    pub home: SiteId,
    /// Which.
    pub network: NetworkId,
    /// How many intervals of this month had been counted before.
    pub after: u32,
    /// What was counted since.
    pub tally: Tally,
}
