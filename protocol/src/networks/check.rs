//! What is looked at when an operator asks whether the networks of a site are well, and what can be
//! found broken.
//!
//! ```text
//!   any node --(look)--> every node of the site     its devices, and echoes: from the gateway to
//!            <-Sight---                             other sites' gateways, from each to each other
//!   Sights and rows --> [Site::faults] --> Faults
//! ```
//!
//! Each node says what it sees, and judges nothing. What that means is said in one place, from the
//! rows of the site and all that its nodes have seen.

use serde::{Deserialize, Serialize};

use super::gateway::TunnelKey;
use crate::ids::{NetworkId, NodeId, SiteId};

/// Of how many small packets one may be lost without anything being broken, one in this many: lines
/// to homes lose that many for a moment when they are busy. What loses more is felt by everybody.
pub const LOSS_BORNE: u16 = 10;

/// What came back of what was sent to one other end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// How many small packets were sent.
    pub sent: u16,
    /// How many of them were answered.
    pub answered: u16,
    /// The shortest round trip of a small one, in microseconds.
    pub round_trip: Option<u32>,
    /// The largest packet that was answered, in bytes with its IP header.
    pub largest: Option<u16>,
    /// The largest that has to get there.
    pub needed: u16,
}

/// What a gateway sees of the tunnel to another site's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TunnelSight {
    /// What came back through it.
    pub answers: Answers,
    /// How many seconds ago the last handshake was, if its key can still be used.
    pub handshake: Option<u64>,
}

/// What a node sees of a network that should be on its host.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LanSight {
    /// Whose network.
    pub home: SiteId,
    /// Which.
    pub network: NetworkId,
    /// How many of its devices are there.
    pub devices: u32,
    /// Those of them that are down.
    pub down: Vec<String>,
    /// The largest packet that the way to other sites carries, in bytes; none if it has none here.
    pub room: Option<u32>,
    /// Whether its way to the public network stands, if that should be here.
    pub exit: Option<bool>,
}

/// Packets that were dropped for one cause.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// The cause, in a word or two.
    pub cause: String,
    /// How many packets.
    pub packets: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a node sees of its host's networks.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// The gateways of other sites that its tunnel leads to, if it is the gateway.
    pub tunnels: Vec<(TunnelKey, TunnelSight)>,
    /// The other nodes of the site, over the wire between their hosts.
    pub fellows: Vec<(NodeId, Answers)>,
    /// The networks that should be on its host.
    pub lans: Vec<LanSight>,
    /// What was dropped before it was known which network it was about.
    pub stray: Vec<Dropped>,
    /// What could not be made or looked at, and why.
    pub trouble: Vec<String>,
}

/// The other end of a way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Party {
    /// The gateway of another site.
    Site(SiteId),
    /// Another node of this site.
    Node(NodeId),
}

/// Something that is broken.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// A node has not said where others reach its host.
    NoUplink {
        /// Which node.
        node: NodeId,
    },
    /// The site has no gateway.
    NoGateway,
    /// A node does not say what it sees.
    Silent {
        /// Which node.
        node: NodeId,
    },
    /// A host could not be made as it should be, or not be looked at.
    Trouble {
        /// Which node's.
        node: NodeId,
        /// Why.
        said: String,
    },
    /// A peer has not taken up yet what this site has said about networks.
    Untold {
        /// Which peer.
        site: SiteId,
    },
    /// A site on a network has not said how it is reached on it.
    NoEnd {
        /// The network.
        network: (SiteId, NetworkId),
        /// The site.
        site: SiteId,
    },
    /// A site on a network has no gateway.
    EndWithoutGateway {
        /// The network.
        network: (SiteId, NetworkId),
        /// The site.
        site: SiteId,
    },
    /// Neither this site's gateway nor another's can be called.
    Uncallable {
        /// The other site.
        site: SiteId,
    },
    /// The tunnel does not lead to a site's gateway.
    Unmade {
        /// From which node.
        node: NodeId,
        /// To which site.
        site: SiteId,
    },
    /// A way does not carry what it has to.
    Way {
        /// From which node.
        node: NodeId,
        /// To whom.
        to: Party,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// A host has not what it should have of a network.
    Host {
        /// The network.
        network: (SiteId, NetworkId),
        /// The host's node.
        node: NodeId,
        /// What is missing.
        lack: Lack,
    },
}

/// What is wrong with a way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Flaw {
    /// No packet comes back.
    Dead {
        /// Whether a handshake says that something came back lately.
        heard: bool,
    },
    /// Small packets come back, and those that are needed do not.
    Narrow {
        /// The largest that came back, in bytes.
        largest: u16,
        /// What is needed.
        needed: u16,
    },
    /// Many packets do not come back.
    Lossy {
        /// How many were sent.
        sent: u16,
        /// How many of them came back.
        answered: u16,
    },
}

/// What a host lacks of a network.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lack {
    /// All of it.
    Absent,
    /// One of its devices, which is down.
    Down {
        /// Which.
        device: String,
    },
    /// Room: the way between sites takes smaller packets than guests send.
    Room {
        /// How large they may be, in bytes.
        room: u32,
    },
    /// The way out to the public network.
    Exit,
}

impl Answers {
    /// What is wrong with a way from which these came back. `heard` says whether the other end was
    /// heard lately otherwise.
    #[must_use]
    pub fn flaw(&self, heard: bool) -> Option<Flaw> {
        let Self { sent, answered, largest, needed, .. } = *self;
        let Some(largest) = largest else { return Some(Flaw::Dead { heard }) };
        if largest < needed {
            return Some(Flaw::Narrow { largest, needed });
        }
        let lost = sent.saturating_sub(answered);
        let is_borne = u32::from(lost) * u32::from(LOSS_BORNE) <= u32::from(sent);
        (!is_borne).then_some(Flaw::Lossy { sent, answered })
    }
}
