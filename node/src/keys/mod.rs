//! A site's and a node's keys, in a directory that only its owner reads.
//!
//! ```text
//!   DIR/keys/root.key       the site's root key; can be kept offline once nodes have certificates
//!   DIR/keys/root.pub       its public half, which stays
//!   DIR/keys/node.key       this node's own key
//!   DIR/keys/node.cert      the root key's word for it
//!   DIR/keys/tunnel.key     this node's key in the tunnel between sites
//!   DIR/keys/api.pem        the REST interface's certificate and key
//!   DIR/keys/host           this host's id
//!   DIR/keys/name           the site's name
//!   DIR/keys/joined.toml    which node this is, and where the others are, if it has not founded the site
//! ```
//!
//! Files appear whole or not at all, and are on disk before anything refers to them.

mod joined;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use protocol::codec;
use protocol::identity::{Certificate, NodeCertificate, PublicKey, Scopes, SecretKey};
use protocol::ids::{HostId, NodeId, SiteId};
use protocol::membership::CERTIFICATE_LIFETIME;
use protocol::names::Label;
use protocol::time::Span;
use tracing::warn;
use tunnel::PrivateKey;

use crate::membership::FOUNDER;
use crate::observe::now;

pub use joined::{Joined, Neighbour};
pub(crate) use joined::{Welcome, begin, complete};

/// How long a node's certificate holds. It is renewed while the node runs, in its second half.
const VALIDITY: Span = CERTIFICATE_LIFETIME;

/// How far a certificate reaches back, for peers whose clock is behind.
const BACKDATED: Span = Span::from_secs(3_600);

/// The most bytes of a certificate on disk.
const CERTIFICATE_MAX: usize = 1_024;

/// Keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The root key is needed and is not there.
    #[error(
        "this node needs a new certificate and the site's root key is not at {}: bring it back \
         for one start",
        path.display()
    )]
    RootOffline {
        /// Where it should be.
        path: PathBuf,
    },
    /// The node has begun to join a site and has not been let in yet.
    #[error(
        "the node in {} has not joined its site yet: repeat 'reservoir site join'",
        directory.display()
    )]
    Joining {
        /// The data directory.
        directory: PathBuf,
    },
    /// The directory is a node's already.
    #[error("{} belongs to a node of site {site} already: give another one", directory.display())]
    Settled {
        /// The data directory.
        directory: PathBuf,
        /// The site.
        site: SiteId,
    },
    /// The root key is another site's.
    #[error(
        "{} is not the root key of this site: bring back the one whose public half is in root.pub",
        path.display()
    )]
    OtherRoot {
        /// Where it is.
        path: PathBuf,
    },
    /// The site has another name already.
    #[error("the site in {} is called '{known}', not '{asked}'", directory.display())]
    OtherName {
        /// The data directory.
        directory: PathBuf,
        /// Its name.
        known: String,
        /// The name that was asked for.
        asked: String,
    },
    /// The name cannot be one.
    #[error("the site's name is not usable")]
    Name(#[source] protocol::names::Malformed),
    /// The certificate of the REST interface cannot be made.
    #[error("cannot make the certificate of the REST interface")]
    Api(#[source] rcgen::Error),
}

/// A node's keys.
#[derive(Debug)]
pub struct Keys {
    site: SiteId,
    name: String,
    node: SecretKey,
    certificate: NodeCertificate,
    tunnel: PrivateKey,
    host: HostId,
    api: String,
    root: Option<PathBuf>,
    joined: Option<Joined>,
}

impl Keys {
    /// Opens the keys in a data directory, and makes those that are not there yet.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, written, or is damaged; if there is no certificate that holds and
    /// the root key is kept elsewhere.
    pub fn open_or_make(data: &Path, name: Option<&str>) -> Result<Self, Error> {
        let directory = data.join("keys");
        make_directory(data, 0o711)?;
        make_directory(&directory, 0o700)?;
        let joined = joined::read(&directory)?;
        if joined.is_none() && joined::has_begun(&directory) {
            return Err(Error::Joining { directory: data.to_owned() });
        }
        let name = site_name(data, &directory, name)?;
        let root_path = directory.join("root.key");
        let public_path = directory.join("root.pub");
        if !public_path.exists() {
            if !root_path.exists() {
                write(&root_path, &hex(&rand::random()))?;
            }
            write(&public_path, &hex(read_key(&root_path)?.public().as_bytes()))?;
        }
        let root = PublicKey::from_bytes(read_bytes(&public_path)?);
        let node = node_key(&directory)?;
        let certificate = certificate(&directory, root, &node)?;
        let tunnel = tunnel_key(&directory)?;
        let host = host(&directory)?;
        let api = api_certificate(&directory)?;
        let root_path = root_path.exists().then_some(root_path);
        let (site, root) = (root.site(), root_path);
        Ok(Self { site, name, node, certificate, tunnel, host, api, root, joined })
    }

    /// The site.
    #[must_use]
    pub const fn site(&self) -> SiteId {
        self.site
    }

    /// The site's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This node's number in its site.
    #[must_use]
    pub fn number(&self) -> NodeId {
        self.joined.as_ref().map_or(FOUNDER, Joined::number)
    }

    /// How this node joined its site; none if it has founded it.
    #[must_use]
    pub const fn joined(&self) -> Option<&Joined> {
        self.joined.as_ref()
    }

    /// This node's own key.
    #[must_use]
    pub const fn node(&self) -> &SecretKey {
        &self.node
    }

    /// The root key's word for it.
    #[must_use]
    pub const fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// This node's key in the tunnel between sites.
    #[must_use]
    pub const fn tunnel(&self) -> &PrivateKey {
        &self.tunnel
    }

    /// This host.
    #[must_use]
    pub const fn host(&self) -> HostId {
        self.host
    }

    /// The REST interface's certificate and key, in PEM.
    #[must_use]
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Says that the root key lies beside the node's, where whoever takes over the node has it.
    pub fn warn_of_root(&self) {
        if let Some(path) = &self.root {
            warn!(
                root_key = %path.display(),
                "the site's root key is on this node: move the file to a safe place offline, and \
                 bring it back only to renew certificates and to let nodes join"
            );
        }
    }
}

fn node_key(directory: &Path) -> Result<SecretKey, Error> {
    let path = directory.join("node.key");
    if !path.exists() {
        write(&path, &hex(&rand::random()))?;
    }
    read_key(&path)
}

fn tunnel_key(directory: &Path) -> Result<PrivateKey, Error> {
    let path = directory.join("tunnel.key");
    if !path.exists() {
        write(&path, &hex(&rand::random()))?;
    }
    Ok(PrivateKey::from_bytes(read_bytes(&path)?))
}

fn host(directory: &Path) -> Result<HostId, Error> {
    let path = directory.join("host");
    if !path.exists() {
        write(&path, crate::chance::uuid().to_string().as_bytes())?;
    }
    read_text(&path)?.trim().parse().map_err(|_| Error::Damaged { path: path.clone() })
}

fn site_name(data: &Path, directory: &Path, asked: Option<&str>) -> Result<String, Error> {
    let path = directory.join("name");
    if path.exists() {
        let known = read_text(&path)?.trim().to_owned();
        return match asked {
            Some(asked) if asked != known => {
                Err(Error::OtherName { directory: data.to_owned(), known, asked: asked.to_owned() })
            }
            _ => Ok(known),
        };
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name: Label = asked.unwrap_or(&host).parse().map_err(Error::Name)?;
    write(&path, name.as_str().as_bytes())?;
    Ok(name.as_str().to_owned())
}

/// The node's certificate. Without one that holds the node could ask nobody for another, so then it
/// is issued here.
fn certificate(
    directory: &Path,
    root: PublicKey,
    node: &SecretKey,
) -> Result<NodeCertificate, Error> {
    let (path, root_path) = (directory.join("node.cert"), directory.join("root.key"));
    let now = now();
    let known = if path.exists() {
        let bytes = fs::read(&path).map_err(|source| failed("read", &path, source))?;
        let known: NodeCertificate = codec::decode_canonical(&bytes, CERTIFICATE_MAX)
            .map_err(|_| Error::Damaged { path: path.clone() })?;
        (known.certificate().node == node.public()).then_some(known)
    } else {
        None
    };
    let past = match known {
        Some(known) if known.certificate().not_after > now => return Ok(known),
        Some(known) => known.certificate().serial,
        None => 0,
    };
    if !root_path.exists() {
        return Err(Error::RootOffline { path: root_path });
    }
    let key = read_key(&root_path)?;
    if key.public() != root {
        return Err(Error::OtherRoot { path: root_path });
    }
    // Higher than whatever was issued while the site's state could be asked: that counts from here.
    let issued = issue(&key, node.public(), now.as_millis().max(past + 1));
    write(&path, &codec::encode(&issued))?;
    Ok(issued)
}

/// Keeps a renewed certificate.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn keep_certificate(
    directory: &Path,
    certificate: &NodeCertificate,
) -> Result<(), Error> {
    write(&directory.join("node.cert"), &codec::encode(certificate))
}

/// The root key's word for a node's key.
#[must_use]
pub fn issue(root: &SecretKey, node: PublicKey, serial: u64) -> NodeCertificate {
    let now = now();
    let certificate = Certificate {
        root: root.public(),
        node,
        scopes: Scopes::NODE,
        serial,
        not_before: now - BACKDATED,
        not_after: now + VALIDITY,
    };
    NodeCertificate::issue(certificate, root)
}

/// The site's root key, if it is in a node's directory of keys.
///
/// # Errors
///
/// If it is not there, cannot be read, or is another site's.
pub fn root(directory: &Path) -> Result<SecretKey, Error> {
    let path = directory.join("root.key");
    if !path.exists() {
        return Err(Error::RootOffline { path });
    }
    let key = read_key(&path)?;
    if key.public().as_bytes() != &read_bytes(&directory.join("root.pub"))? {
        return Err(Error::OtherRoot { path });
    }
    Ok(key)
}

/// The REST interface's certificate: its own issuer, since clients pin it.
fn api_certificate(directory: &Path) -> Result<String, Error> {
    let path = directory.join("api.pem");
    if !path.exists() {
        let names = vec!["localhost".to_owned(), "reservoir".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(Error::Api)?;
        let pem = made.cert.pem() + &made.signing_key.serialize_pem();
        write(&path, pem.as_bytes())?;
    }
    read_text(&path)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|source| failed("make the directory", path, source))
}

fn read_key(path: &Path) -> Result<SecretKey, Error> {
    read_bytes(path).map(|bytes| SecretKey::from_bytes(&bytes))
}

fn read_bytes(path: &Path) -> Result<[u8; 32], Error> {
    let text = read_text(path)?;
    let hash = blake3::Hash::from_hex(text.trim());
    hash.map(|hash| *hash.as_bytes()).map_err(|_| Error::Damaged { path: path.to_owned() })
}

fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| failed("read", path, source))
}

fn hex(bytes: &[u8; 32]) -> Vec<u8> {
    let mut text = blake3::Hash::from_bytes(*bytes).to_hex().as_bytes().to_vec();
    text.push(b'\n');
    text
}

/// Writes a file that only its owner reads, whole or not at all, and brings it to disk.
///
/// # Errors
///
/// If the system refuses.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let directory = path.parent().expect("every file of ours is in a directory");
    let written = (|| {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|fault| fault.error)?;
        fs::File::open(directory)?.sync_all()
    })();
    written.map_err(|source| failed("write", path, source))
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { what, path: path.to_owned(), source }
}
