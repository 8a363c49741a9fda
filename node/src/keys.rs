//! A site's and a node's keys, in a directory that only its owner reads.
//!
//! ```text
//!   DIR/keys/root.key       the site's root key; can be kept offline once nodes have certificates
//!   DIR/keys/root.pub       its public half, which stays
//!   DIR/keys/node.key       this node's own key
//!   DIR/keys/node.cert      the root key's word for it
//!   DIR/keys/api.pem        the REST interface's certificate and key
//!   DIR/keys/host           this host's id
//!   DIR/keys/name           the site's name
//! ```
//!
//! Files appear whole or not at all, and are on disk before anything refers to them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use protocol::codec;
use protocol::identity::{Certificate, NodeCertificate, PublicKey, Scopes, SecretKey};
use protocol::ids::{HostId, SiteId};
use protocol::names::Label;
use protocol::time::{Span, Timestamp};
use tracing::warn;

use crate::observe::now;

/// How long a node's certificate holds. It is renewed at a start in its second half, if the root
/// key is at hand.
const VALIDITY: Span = Span::from_secs(90 * 86_400);

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
    host: HostId,
    api: String,
    root: Option<PathBuf>,
}

impl Keys {
    /// Opens the keys in a data directory, and makes those that are not there yet.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, written, or is damaged; if the certificate has to be renewed and
    /// the root key is kept elsewhere.
    pub fn open_or_make(data: &Path, name: Option<&str>) -> Result<Self, Error> {
        let directory = data.join("keys");
        make_directory(data, 0o711)?;
        make_directory(&directory, 0o700)?;
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
        let node_path = directory.join("node.key");
        if !node_path.exists() {
            write(&node_path, &hex(&rand::random()))?;
        }
        let node = read_key(&node_path)?;
        let certificate = certificate(&directory, root, &node)?;
        let host_path = directory.join("host");
        if !host_path.exists() {
            write(&host_path, crate::chance::uuid().to_string().as_bytes())?;
        }
        let host = read_text(&host_path)?
            .trim()
            .parse()
            .map_err(|_| Error::Damaged { path: host_path.clone() })?;
        let api = api_certificate(&directory)?;
        let root_path = root_path.exists().then_some(root_path);
        Ok(Self { site: root.site(), name, node, certificate, host, api, root: root_path })
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
                 bring it back only to renew certificates"
            );
        }
    }
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

/// The node's certificate, renewed if it has lived through half of its time.
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
    let left = known.as_ref().map(|known| known.certificate().not_after.since(now).as_millis());
    let fresh = left.is_some_and(|left| left > VALIDITY.as_millis() / 2);
    match known {
        Some(known) if fresh => return Ok(known),
        Some(known) if !root_path.exists() && left.is_some_and(|left| left > 0) => {
            warn!(
                days = left.unwrap_or(0) / 86_400_000,
                "this node's certificate ends soon: bring the root key back for one start"
            );
            return Ok(known);
        }
        Some(_) | None => {}
    }
    if !root_path.exists() {
        return Err(Error::RootOffline { path: root_path });
    }
    let key = read_key(&root_path)?;
    if key.public() != root {
        return Err(Error::OtherRoot { path: root_path });
    }
    let issued = issue(root, &key, node, now);
    write(&path, &codec::encode(&issued))?;
    Ok(issued)
}

fn issue(root: PublicKey, key: &SecretKey, node: &SecretKey, now: Timestamp) -> NodeCertificate {
    let certificate = Certificate {
        root,
        node: node.public(),
        scopes: Scopes::NODE,
        serial: now.as_millis(),
        not_before: now - BACKDATED,
        not_after: now + VALIDITY,
    };
    NodeCertificate::issue(certificate, key)
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
