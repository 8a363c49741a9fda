//! What a site has of its own: its profile, nodes, hosts, tenants, keys and images.

use serde::{Deserialize, Serialize};

use crate::identity::PublicKey;
use crate::ids::{NodeId, SiteId, TenantId};
use crate::images::Image;
use crate::manifest::ImageName;
use crate::membership::Standing;
use crate::membership::serials::{Presented, Serials};
use crate::names::Label;
use crate::networks::gateway::Uplink;
use crate::peering::Reserve;
use crate::time::Timestamp;
use crate::units::{Size, Tariff};

/// What the site is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its id.
    pub site: SiteId,
    /// Its name, a label for people.
    pub name: String,
    /// How often it has been restored from a backup.
    pub incarnation: u64,
    /// What it charges.
    pub tariff: Tariff,
    /// The number of the node that was taken on last. Numbers are never used again: Raft would
    /// take a new node for the old one.
    pub nodes: u64,
    /// Which certificates of its nodes still count.
    pub serials: Serials,
    /// What of its capacity is not sold.
    pub reserve: Reserve,
    /// When it was founded.
    pub founded: Timestamp,
    /// The latest moment stamped on a command: the site's clock never goes back.
    pub now: Timestamp,
}

/// A node, as it should take part; Raft's members follow.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its own key, by which it is known on the bus.
    pub key: PublicKey,
    /// Its name, for people.
    pub name: Label,
    /// Where it is on the bus, as multiaddresses.
    pub addresses: Vec<String>,
    /// The URL of its REST interface, if others than itself reach it.
    pub api: Option<String>,
    /// What it is meant to be.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// The certificate that it presents; none until it has said so.
    pub certificate: Option<Presented>,
    /// How it takes part in networks; none until it has said so.
    pub uplink: Option<Uplink>,
    /// Whether it is the one through which the site's networks reach other sites.
    pub is_gateway: bool,
}

/// The permission for one node to join.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// What the node will be called; its own choice if there is none.
    pub name: Option<Label>,
    /// What it is meant to be.
    pub standing: Standing,
    /// Until when it can be taken up.
    pub expires: Timestamp,
    /// Who has.
    pub taken: Option<NodeId>,
}

/// A host, as its node last described it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The node that speaks for it.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// What it has to give.
    pub capacity: Size,
    /// What its hypervisor calls itself.
    pub hypervisor: String,
    /// Why nothing new can be placed on it; empty if it is well.
    pub trouble: String,
    /// Since when it is well, or in trouble.
    pub since: Timestamp,
    /// Whether it is to be empty: nothing new is placed on it.
    pub drained: bool,
    /// Since when its lease cannot be held any more; none while it may be.
    pub ended: Option<Timestamp>,
}

/// Who submits services.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// A label for people.
    pub name: Label,
}

/// What a key allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To run the site, and to act as its tenant.
    Operator,
    /// To act as its tenant.
    Tenant,
}

/// An API key: its secret is known to its owner alone.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// A label for people.
    pub name: Label,
    /// Whose services it acts on.
    pub tenant: TenantId,
    /// What it allows.
    pub role: Role,
    /// BLAKE3 of the secret, which is 32 random bytes: no slow hash is needed.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
}

/// An image in the site's catalogue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name in this catalogue.
    pub name: ImageName,
    /// What it consists of.
    pub image: Image,
    /// When it was registered.
    pub created: Timestamp,
}
