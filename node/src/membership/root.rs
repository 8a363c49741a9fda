//! The root key's word for a node's key: a new node's, or one whose certificate is to be renewed.
//!
//! The root key is at one node, or offline. It speaks only for keys that are in the site's table,
//! which an operator's invitation has brought there; so a node that is asked by another need not
//! believe it. The serial is the state's, so that each is higher than all before.

use std::path::{Path, PathBuf};

use protocol::identity::NodeCertificate;
use protocol::ids::NodeId;
use protocol::site::{Command, Outcome};
use protocol::wire::v1::{NodeAnswer, NodeFault, NodeRequest};
use tracing::{debug, info, warn};

use crate::desk::Desk;
use crate::keys;
use crate::observe::chain;

/// Where this node looks for the root key: an operator may bring it back at any time.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    directory: PathBuf,
}

/// The root key does not speak for a node.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Silent {
    /// No node that can be reached has it.
    #[error(
        "no node of this site that can be reached has the site's root key: bring the file \
         root.key back to the directory 'keys' of one of them"
    )]
    Offline,
    /// The site, which gives out the serial, could not be asked.
    #[error("the site's root key is there, and the site cannot commit now: try again in a moment")]
    Later,
    /// The site has no such node, or it leaves.
    #[error("node {node} does not take part in this site, so the root key does not speak for it")]
    Unknown {
        /// The node.
        node: NodeId,
    },
}

/// Where the root key is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holder {
    /// At this node.
    Here,
    /// At another.
    At(NodeId),
}

impl Root {
    /// The root key in a node's directory of keys, whenever it is there.
    pub(crate) fn in_keys(data: &Path) -> Self {
        Self { directory: data.join("keys") }
    }

    /// Keeps this node's own renewed certificate, beside it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn keep(&self, certificate: &NodeCertificate) -> Result<(), keys::Error> {
        keys::keep_certificate(&self.directory, certificate)
    }

    /// Whether it is there now.
    pub(crate) fn is_here(&self) -> bool {
        keys::root(&self.directory).is_ok()
    }
}

impl Desk {
    /// Finds the root key, at this node or at another.
    pub(crate) async fn find_root(&self) -> Result<Holder, Silent> {
        if self.root().is_here() {
            return Ok(Holder::Here);
        }
        for node in self.directory().all().into_keys().filter(|node| *node != self.node()) {
            if let Some(NodeAnswer::HasRoot(true)) =
                self.ask_node(node, &NodeRequest::HasRoot).await
            {
                return Ok(Holder::At(node));
            }
        }
        Err(Silent::Offline)
    }

    /// The root key's word for the key of a node in the table.
    pub(crate) async fn certify(
        &self,
        holder: Holder,
        node: NodeId,
    ) -> Result<NodeCertificate, Silent> {
        let fault = match holder {
            Holder::Here => match self.certify_here(node).await {
                Ok(certificate) => return Ok(certificate),
                Err(fault) => fault,
            },
            Holder::At(holder) => match self.ask_node(holder, &NodeRequest::Certify { node }).await
            {
                Some(NodeAnswer::Certificate(certificate)) => return Ok(*certificate),
                Some(NodeAnswer::Fault(fault)) => fault,
                // It had the key a moment ago.
                Some(_) | None => return Err(Silent::Offline),
            },
        };
        Err(match fault {
            NodeFault::NoRoot => Silent::Offline,
            NodeFault::UnknownNode => Silent::Unknown { node },
            NodeFault::NotLeader { .. }
            | NodeFault::Later
            | NodeFault::Uncertain
            | NodeFault::TooLarge { .. }
            | NodeFault::NoVoter
            | NodeFault::Behind
            | NodeFault::NotElected => Silent::Later,
        })
    }

    /// Lets the root key at this node speak for a node's key.
    pub(crate) async fn certify_here(&self, node: NodeId) -> Result<NodeCertificate, NodeFault> {
        let root = keys::root(&self.root().directory).map_err(|fault| {
            warn!(fault = chain(&fault), "the root key cannot be used");
            NodeFault::NoRoot
        })?;
        let serial = match self.propose(Command::Certify { node }).await {
            Ok(Outcome::Serial(serial)) => serial,
            Ok(_) => return Err(NodeFault::UnknownNode),
            Err(fault) => {
                debug!(%node, fault = chain(&fault), "a certificate has to wait");
                return Err(NodeFault::Later);
            }
        };
        let key = self.read(|site| site.node(node).map(|row| row.key));
        let key = key.ok_or(NodeFault::UnknownNode)?;
        info!(%node, serial, "the root key speaks for a node's key");
        Ok(keys::issue(&root, key, serial))
    }
}
