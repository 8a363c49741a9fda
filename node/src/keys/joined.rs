//! A node that has not founded its site but joined it: what it has when it starts for the first
//! time, before the state has reached it.
//!
//! The files of a node that joins come to be in this order, so that a crash leaves either a node
//! that has to join again, under the same key, or one that has joined:
//! `joining` (it must not found a site of its own), its own key, then what the site has answered,
//! and last `joined.toml`.

use std::path::Path;

use protocol::codec;
use protocol::identity::{NodeCertificate, PublicKey, SecretKey};
use protocol::ids::{NodeId, SiteId};
use protocol::names::Label;
use serde::{Deserialize, Serialize};

use super::{Error, hex, host, make_directory, node_key, read_bytes, read_text, write};

/// How a node has joined its site.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joined {
    number: u64,
    #[serde(default, rename = "node")]
    neighbours: Vec<Neighbour>,
}

/// Another node of the site, as it was when this one joined.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// Its number.
    pub number: u64,
    /// Its key, in hexadecimal digits.
    pub key: String,
    /// Where it is on the bus.
    pub addresses: Vec<String>,
}

impl Neighbour {
    /// Its key; none if the text is none.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        let hash = blake3::Hash::from_hex(&self.key).ok()?;
        Some(PublicKey::from_bytes(*hash.as_bytes()))
    }
}

impl Joined {
    /// This node's number in its site.
    #[must_use]
    pub const fn number(&self) -> NodeId {
        NodeId(self.number)
    }

    /// The other nodes, as they were then.
    #[must_use]
    pub fn neighbours(&self) -> &[Neighbour] {
        &self.neighbours
    }
}

/// What the site says to a node that it has let in.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) root: PublicKey,
    pub(crate) name: Label,
    pub(crate) certificate: NodeCertificate,
    pub(crate) number: NodeId,
    pub(crate) neighbours: Vec<Neighbour>,
}

/// Makes the keys of a node that is to join a site, or finds those of an earlier attempt.
///
/// # Errors
///
/// If the directory is another site's node's, or a site's own, or cannot be written.
pub(crate) fn begin(data: &Path, site: SiteId) -> Result<SecretKey, Error> {
    let directory = data.join("keys");
    make_directory(data, 0o711)?;
    make_directory(&directory, 0o700)?;
    let public = directory.join("root.pub");
    if public.exists() {
        let known = PublicKey::from_bytes(read_bytes(&public)?).site();
        if known != site || !has_begun(&directory) {
            return Err(Error::Settled { directory: data.to_owned(), site: known });
        }
    }
    write(&directory.join("joining"), site.to_string().as_bytes())?;
    host(&directory)?;
    node_key(&directory)
}

/// Keeps what the site has answered.
///
/// # Errors
///
/// If a file cannot be written.
///
/// # Panics
///
/// Never: every part of it has a form in TOML.
pub(crate) fn complete(data: &Path, welcome: Welcome) -> Result<(), Error> {
    let directory = data.join("keys");
    write(&directory.join("name"), welcome.name.as_str().as_bytes())?;
    write(&directory.join("root.pub"), &hex(welcome.root.as_bytes()))?;
    write(&directory.join("node.cert"), &codec::encode(&welcome.certificate))?;
    let joined = Joined { number: welcome.number.0, neighbours: welcome.neighbours };
    let text = toml::to_string(&joined).expect("numbers and texts have a form in TOML");
    write(&directory.join("joined.toml"), text.as_bytes())
}

/// Whether a node in this directory was to join a site.
pub(super) fn has_begun(directory: &Path) -> bool {
    directory.join("joining").exists()
}

/// How the node in this directory has joined its site, if it has.
pub(super) fn read(directory: &Path) -> Result<Option<Joined>, Error> {
    let path = directory.join("joined.toml");
    if !path.exists() {
        return Ok(None);
    }
    toml::from_str(&read_text(&path)?).map(Some).map_err(|_| Error::Damaged { path })
}
