//! Joining a site, from the machine of the new node.
//!
//! It asks the REST interface that the token names, whose certificate the token pins, and shows the
//! token's secret; nobody else can read it, or answer. What it is told it checks against the token:
//! the root key has to be the site's, and its word has to be for this node's key.

use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::Path;

use axum::http::Method;
use data_encoding::HEXLOWER;
use protocol::codec;
use protocol::identity::{CertificateError, NodeCertificate, PublicKey, Scope};
use protocol::ids::NodeId;
use protocol::names::Label;

use super::token::Token;
use crate::api::shapes::node::{New, Welcome};
use crate::cli::client::Client;
use crate::config::Config;
use crate::keys::{self, Neighbour};
use crate::observe::now;

/// The most bytes of a certificate.
const CERTIFICATE_MAX: usize = 1_024;

/// A node cannot join its site.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its keys cannot be made or kept.
    #[error("the node's keys cannot be used")]
    Keys(#[source] keys::Error),
    /// The site does not let it in.
    #[error("the site does not let this node in")]
    Site(#[source] Box<crate::cli::error::Error>),
    /// The answer cannot be read.
    #[error("the site's answer has {0} that cannot be read: bring both to the same version")]
    Unreadable(&'static str),
    /// The answer is another site's.
    #[error("who answered is not the site of this invitation: ask its operator for a new one")]
    OtherSite,
    /// The certificate does not hold.
    #[error("the certificate that the site has issued does not hold here")]
    Certificate(#[source] CertificateError),
}

/// Makes a node's keys in `data` and lets it join; answers its number. Repeated, it is answered the
/// same.
///
/// # Errors
///
/// If the directory is in use, or the site does not let the node in.
pub async fn join(
    token: &Token,
    data: &Path,
    config: &Config,
    name: Option<&Label>,
) -> Result<NodeId, Error> {
    let node = keys::begin(data, token.site).map_err(Error::Keys)?;
    let failed = |source| Error::Site(Box::new(source));
    let client = Client::speaking(&token.url, token.secret.clone(), Some(token.pin));
    let client = client.map_err(failed)?;
    let name = name.cloned().unwrap_or_else(crate::daemon::node_name);
    let new = New {
        key: HEXLOWER.encode(node.public().as_bytes()),
        name: name.to_string(),
        addresses: addresses(config, &token.url),
    };
    let asked = client.ask(Method::POST, "/v1/site/nodes/join", Some(&new)).await;
    let welcome: Welcome = asked.map_err(failed)?;
    let welcome = check(token, node.public(), welcome)?;
    let number = welcome.number;
    keys::complete(data, welcome).map_err(Error::Keys)?;
    Ok(number)
}

/// Checks what the site has answered.
fn check(token: &Token, node: PublicKey, said: Welcome) -> Result<keys::Welcome, Error> {
    let root = blake3::Hash::from_hex(&said.root).map_err(|_| Error::Unreadable("a root key"))?;
    let root = PublicKey::from_bytes(*root.as_bytes());
    if root.site() != token.site {
        return Err(Error::OtherSite);
    }
    let unreadable = || Error::Unreadable("a certificate");
    let bytes = HEXLOWER.decode(said.certificate.as_bytes()).map_err(|_| unreadable())?;
    let certificate: NodeCertificate =
        codec::decode_canonical(&bytes, CERTIFICATE_MAX).map_err(|_| unreadable())?;
    let site = certificate.check_presented(node, Scope::Speak, now());
    if site.map_err(Error::Certificate)? != token.site {
        return Err(Error::OtherSite);
    }
    let nodes = said.nodes.into_iter();
    Ok(keys::Welcome {
        root,
        name: said.site.parse().map_err(|_| Error::Unreadable("a name"))?,
        certificate,
        number: NodeId(said.id),
        neighbours: nodes
            .map(|it| Neighbour { number: it.id, key: it.key, addresses: it.addresses })
            .collect(),
    })
}

/// Where the new node will be found, as far as can be known before its bus runs: where it listens,
/// with the address by which this machine reaches the site in the place of 'any'. Once it runs it
/// says so itself.
fn addresses(config: &Config, url: &str) -> Vec<String> {
    if !config.bus.external.is_empty() {
        return config.bus.external.clone();
    }
    let Some(own) = own_address(url) else { return Vec::new() };
    let (kind, ip) = (if own.is_ipv4() { "ip4" } else { "ip6" }, own.ip());
    let any = if own.is_ipv4() { "0.0.0.0" } else { "::" };
    let any = format!("/{kind}/{any}/");
    let listen = config.bus.listen.iter();
    listen.map(|address| address.replacen(&any, &format!("/{kind}/{ip}/"), 1)).collect()
}

/// The address of this machine on its way to a URL. Nothing is sent.
fn own_address(url: &str) -> Option<SocketAddr> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let to = (host, url.port_or_known_default()?).to_socket_addrs().ok()?.next()?;
    let any: SocketAddr =
        if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok()
}
