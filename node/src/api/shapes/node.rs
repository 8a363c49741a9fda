//! The nodes of a site, as the interface says them.

use protocol::membership::Standing;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is meant to be.
    pub standing: Standing,
    /// Since when.
    pub since: Moment,
    /// What it is.
    pub role: Role,
    /// How many entries of the log it lacks; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Whether the node that answers is it, or is connected to it.
    pub reachable: bool,
    /// Whether the site's networks reach other sites through it.
    #[serde(default)]
    pub gateway: bool,
    /// Where it is on the bus.
    pub addresses: Vec<String>,
    /// The URL of its REST interface, if others than itself reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The certificate that it presents; none until the site has been told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// The certificate of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its serial.
    pub serial: u64,
    /// Its last moment.
    pub not_after: Moment,
    /// Whether it is to be renewed: because of its age, or because it is to be revoked.
    pub due: bool,
}

/// Which certificates of a site's nodes count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificates {
    /// Those below this serial do not, and peers are told so.
    pub honoured: u64,
    /// Those below this serial are not to, as soon as every node has a newer one.
    pub revoked: u64,
    /// The nodes whose certificate is to be renewed.
    pub due: Vec<u64>,
    /// Whether a node that can be reached has the root key; not said if nobody needs it, or a node
    /// keeps everybody waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<bool>,
}

/// What a node is in Raft.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It leads.
    Leader,
    /// It has a vote.
    Voter,
    /// It follows without a vote.
    Learner,
    /// It is no member yet, or no more.
    None,
    /// Nobody leads who could say.
    Unknown,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::None => "none",
            Self::Unknown => "unknown",
        })
    }
}

/// An invitation that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// What the node will be called; its own choice, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is to follow without a vote.
    #[serde(default)]
    pub learner: bool,
    /// Where it finds this interface, if that is not what the node knows of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An invitation that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invited {
    /// What the new node shows; it is told this once.
    pub token: String,
    /// Until when it can be taken up.
    pub expires: Moment,
    /// Where the token leads.
    pub url: String,
}

/// A node that wants to join.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its key, in hexadecimal digits.
    pub key: String,
    /// Its name, if the invitation does not say another.
    pub name: String,
    /// Where it is on the bus, as far as it knows already.
    pub addresses: Vec<String>,
}

/// What a node that has joined needs to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Its number.
    pub id: u64,
    /// The site's name.
    pub site: String,
    /// The site's root public key, in hexadecimal digits.
    pub root: String,
    /// The root key's word for its key, in hexadecimal digits.
    pub certificate: String,
    /// The other nodes.
    pub nodes: Vec<Neighbour>,
}

/// Another node of the site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its number.
    pub id: u64,
    /// Its key, in hexadecimal digits.
    pub key: String,
    /// Where it is on the bus.
    pub addresses: Vec<String>,
}

/// The leadership has moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The node that leads.
    pub id: u64,
    /// For how many milliseconds the site took no writes.
    pub gap_ms: u64,
}
