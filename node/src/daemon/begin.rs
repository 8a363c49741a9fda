//! How a node begins: what it knows before its state says more, and what a site begins with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use federation::{Limits, Options, PeerAddress};
use protocol::identity::{PublicKey, SecretKey};
use protocol::ids::{NodeId, RequestId};
use protocol::membership::ADDRESSES_MAX;
use protocol::names::Label;
use protocol::peering::Setting;
use protocol::site::command::{Configure, Contact, OperatorAsk, PeerEntry};
use protocol::site::state::Role;
use protocol::site::{Command, Outcome, Refusal, Site};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::{Replica, Timing};
use tokio::sync::watch;
use tracing::warn;

use super::{Bus, Error, Parts};
use crate::api;
use crate::api::secret::Secret;
use crate::cli::context::Context;
use crate::config::Config;
use crate::desk::Desk;
use crate::keys::{Joined, Keys};
use crate::membership::transport::BusTransport;
use crate::membership::{Directory, FOUNDER};
use crate::networks;
use crate::perform::Clerk;

/// Lets this process have as many files open as the administrator allows. What is usual, 1,024, is
/// for programs that wait with select(2); here each connection of a guest, a peer or a tenant is a
/// file or two, and each kind of them has a bound of its own.
pub(super) fn open_as_many_files_as_allowed() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

pub(super) async fn start_bus(
    config: &Config,
    keys: &Keys,
    parts: &Parts,
    clerk: &Clerk,
) -> Result<Bus, Error> {
    let options = Options {
        key: SecretKey::from_bytes(&keys.node().to_bytes()),
        certificate: keys.certificate().clone(),
        incarnation: 0,
        listen: config.bus.listen.clone(),
        external: config.bus.external.clone(),
        mdns: config.bus.mdns,
        relay: config.bus.relay,
        limits: Limits::STANDARD,
    };
    parts.bus.start(options, clerk.clone()).await.map_err(Error::Bus)
}

/// Whom this node turns to before its state says more, and their keys.
pub(super) fn neighbours(keys: &Keys) -> (Directory, Vec<PeerAddress>) {
    let known = keys.joined().map_or(&[][..], Joined::neighbours);
    let known: Vec<(NodeId, PublicKey, &[String])> = known
        .iter()
        .filter_map(|node| Some((NodeId(node.number), node.key()?, &node.addresses[..])))
        .collect();
    let mut numbers: BTreeMap<NodeId, PublicKey> =
        known.iter().map(|(number, key, _)| (*number, *key)).collect();
    numbers.insert(keys.number(), keys.node().public());
    let directory = Directory::default();
    directory.replace(numbers);
    let nodes = known.iter().map(|(_, key, addresses)| PeerAddress {
        site: Some(keys.site()),
        node: Some(*key),
        addresses: addresses.to_vec(),
    });
    (directory, nodes.collect())
}

pub(super) async fn open_state(
    data: &Path,
    keys: &Keys,
    transport: BusTransport,
) -> Result<Replica<Site>, Error> {
    let directory = data.join("state");
    let (transport, timing) = (Arc::new(transport), Timing::peers());
    let opened = Replica::open(&directory, keys.number(), transport, timing).await;
    let replica: Replica<Site> = opened.map_err(Error::Open)?;
    match replica.read(|site| site.profile().map(|profile| profile.site)) {
        Some(site) if site != keys.site() => Err(Error::Refused(Refusal::OtherSite { site })),
        Some(_) | None => Ok(replica),
    }
}

/// Founds the site, if that has not been done: its configuration and its first node come before
/// anything else. What changes of either later is the driver's and the links' affair.
pub(super) async fn found(
    desk: &Desk,
    configure: &Configure,
    contact: &Contact,
) -> Result<(), Error> {
    desk.replica().found().await.map_err(Error::Site)?;
    if desk.read(|site| site.profile().is_none()) {
        propose(desk, Command::Configure(configure.clone())).await?;
    }
    if desk.read(|site| site.nodes().next().is_none()) {
        propose(desk, Command::Node { node: FOUNDER, contact: contact.clone() }).await?;
    }
    Ok(())
}

async fn propose(desk: &Desk, command: Command) -> Result<(), Error> {
    match desk.propose(command).await.map_err(Error::Site)? {
        Outcome::Refused(refusal) => Err(Error::Refused(refusal)),
        _ => Ok(()),
    }
}

/// How this node is reached. Where it is not told, it is where the bus listens, but for addresses
/// that mean something to this machine alone, unless it has no others.
pub(super) fn contact(config: &Config, keys: &Keys, listening: Vec<String>) -> Contact {
    let uplink = networks::uplink(config, keys.tunnel(), &listening);
    let mut addresses = config.bus.external.clone();
    if addresses.is_empty() {
        addresses = listening;
        if addresses.iter().any(|address| !is_of_this_machine(address)) {
            addresses.retain(|address| !is_of_this_machine(address));
        }
    }
    addresses.sort();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    Contact { key: keys.node().public(), name: node_name(), addresses, api: None, uplink }
}

/// Whether a multiaddress begins with an address that no other machine can use.
fn is_of_this_machine(address: &str) -> bool {
    let ip = address.split('/').nth(2).and_then(|text| text.parse::<IpAddr>().ok());
    match ip {
        Some(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Some(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unicast_link_local(),
        None => false,
    }
}

/// A node is called as its machine is.
pub(crate) fn node_name() -> Label {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    host.parse().unwrap_or_else(|_| label("node"))
}

fn label(text: &str) -> Label {
    text.parse().expect("this is a label")
}

/// What the configuration says of the site.
pub(super) fn configure(config: &Config, keys: &Keys) -> Configure {
    let peers = config.peers.iter().filter(|peer| peer.site != keys.site());
    Configure {
        site: keys.site(),
        name: keys.name().to_owned(),
        tariff: config.tariff,
        peers: peers
            .map(|peer| PeerEntry {
                site: peer.site,
                name: peer.name.clone(),
                addresses: peer.addresses.clone(),
                settings: vec![Setting::SellsTo(peer.sells_to), Setting::BuysFrom(peer.buys_from)],
            })
            .collect(),
    }
}

/// Leaves a context for the command line in the data directory. The founder of a site makes the
/// first key, an operator's, and keeps it there; a node that has joined has none, since whoever
/// let it join has one.
pub(super) async fn leave_context(
    data: &Path,
    desk: &Desk,
    keys: &Keys,
    api: &api::Running,
) -> Result<PathBuf, Error> {
    let path = data.join("context.toml");
    let known = Context::read(&path).ok();
    let is_founder = keys.joined().is_none();
    let has_keys = || desk.read(|site| site.keys().next().is_some());
    if is_founder && known.is_none() && has_keys() {
        // The operator has taken the file away, and has the key.
        return Ok(path);
    }
    let key = match known {
        Some(context) => context.key,
        None if is_founder => Secret::draw().expose(),
        None => String::new(),
    };
    let (site, url) = (keys.name().to_owned(), api.url().to_owned());
    let context = Context { site, url, key, pin: api.pin().to_owned() };
    // The file is written first: a key that nobody has is no use, and a file whose key is not
    // known yet is put right below.
    context.write(&path).map_err(Error::Context)?;
    if is_founder && !has_keys() {
        let ask = OperatorAsk::AddKey {
            name: label("first"),
            tenant: label("default"),
            role: Role::Operator,
            digest: *blake3::hash(context.key.as_bytes()).as_bytes(),
        };
        let request = RequestId::from_uuid(crate::chance::uuid());
        propose(desk, Command::Operator { request, ask }).await?;
    }
    Ok(path)
}

/// Does something once the state has reached this node, which takes a moment after it has joined.
pub(super) async fn once_known(
    desk: Desk,
    mut closing: watch::Receiver<bool>,
    then: impl Future<Output = ()>,
) {
    let mut progress = desk.watch();
    while desk.read(|site| site.profile().is_none()) {
        tokio::select! {
            moved = progress.changed() => if moved.is_err() { return },
            _ = closing.changed() => return,
        }
    }
    then.await;
}
