//! A node's configuration: a TOML file that people write, and what it means.
//!
//! [`File`] is the file's shape, in which unknown keys are errors; [`Config`] is what the node
//! works with, in which nothing is missing. A site needs no file at all: every key has a default,
//! and `examples/node.toml` shows each of them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use fabric::networks::InterfaceName;
use protocol::ids::SiteId;
use protocol::lease::Timing;
use protocol::names::Label;
use protocol::sla::Catalogue;
use protocol::time::Span;
use protocol::units::{Currency, Mebibytes, Permille, Tariff};
use serde::Deserialize;

#[cfg(test)]
mod tests;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no configuration.
    #[error("the configuration {} is not understood", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("the configuration's {key} cannot be '{value}'")]
    Value {
        /// The key, with its table.
        key: &'static str,
        /// What stands there.
        value: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two peers have the same name or id.
    #[error("two peers in the configuration are '{name}': give each a name and a site of its own")]
    PeerTwice {
        /// What is there twice.
        name: String,
    },
}

/// The file as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// The site's name.
    pub name: Option<String>,
    /// The REST interface.
    pub api: ApiFile,
    /// The bus between sites.
    pub bus: BusFile,
    /// Peers.
    pub peer: Vec<PeerFile>,
    /// What the site charges.
    pub prices: PricesFile,
    /// What it promises of machines, and for what.
    pub sla: SlaFile,
    /// This node's host.
    pub host: HostFile,
    /// How the host takes part in networks.
    pub network: NetworkFile,
    /// How long leases last.
    pub lease: LeaseFile,
    /// What stops guests when their leases end.
    pub fence: FenceFile,
    /// How much the node says.
    pub log: LogFile,
}

/// `[api]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiFile {
    listen: SocketAddr,
    external: Option<String>,
}

impl Default for ApiFile {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7400)), external: None }
    }
}

/// `[bus]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusFile {
    listen: Vec<String>,
    external: Vec<String>,
    mdns: bool,
    relay: bool,
}

impl Default for BusFile {
    fn default() -> Self {
        Self {
            listen: vec![
                "/ip4/0.0.0.0/tcp/7401".to_owned(),
                "/ip4/0.0.0.0/udp/7401/quic-v1".to_owned(),
            ],
            external: Vec::new(),
            mdns: false,
            relay: false,
        }
    }
}

/// `[[peer]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerFile {
    name: String,
    site: String,
    addresses: Vec<String>,
    #[serde(default = "yes")]
    sells_to: bool,
    #[serde(default = "yes")]
    buys_from: bool,
}

const fn yes() -> bool {
    true
}

/// `[prices]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PricesFile {
    currency: String,
    vcpu_hour: String,
    memory_gib_hour: String,
    disk_gib_hour: String,
}

impl Default for PricesFile {
    fn default() -> Self {
        Self {
            currency: "EUR".to_owned(),
            vcpu_hour: "0.010000".to_owned(),
            memory_gib_hour: "0.005000".to_owned(),
            disk_gib_hour: "0.000100".to_owned(),
        }
    }
}

/// `[sla]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlaFile {
    bronze: Option<String>,
    silver: Option<String>,
    gold: Option<String>,
}

/// `[host]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostFile {
    name: Option<String>,
    libvirt: String,
    vcpus: Option<u32>,
    memory: Option<String>,
    disk: Option<String>,
    guest_uids: u32,
}

impl Default for HostFile {
    fn default() -> Self {
        Self {
            name: None,
            libvirt: "qemu:///system".to_owned(),
            vcpus: None,
            memory: None,
            disk: None,
            guest_uids: 200_000,
        }
    }
}

/// `[network]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkFile {
    tunnel_port: u16,
    external: Option<SocketAddr>,
    behind_nat: bool,
    underlay: Option<IpAddr>,
    outside: Option<String>,
    resolvers: Vec<IpAddr>,
}

impl Default for NetworkFile {
    fn default() -> Self {
        Self {
            tunnel_port: 51_820,
            external: None,
            behind_nat: false,
            underlay: None,
            outside: None,
            resolvers: Vec::new(),
        }
    }
}

/// `[lease]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseFile {
    seconds: u64,
}

impl Default for LeaseFile {
    fn default() -> Self {
        Self { seconds: Timing::DURATION.as_millis() / 1_000 }
    }
}

/// `[fence]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FenceFile {
    start: bool,
}

impl Default for FenceFile {
    fn default() -> Self {
        Self { start: true }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    filter: String,
    json: bool,
}

impl Default for LogFile {
    fn default() -> Self {
        Self { filter: "info,openraft=warn,libp2p=warn".to_owned(), json: false }
    }
}

/// What the node works with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The site's name; none lets the host's stand in at the founding.
    pub name: Option<String>,
    /// Where the REST interface listens.
    pub api_listen: SocketAddr,
    /// Where other machines reach it; none lets the address it listens on stand in.
    pub api_external: Option<String>,
    /// The bus.
    pub bus: Bus,
    /// Peers.
    pub peers: Vec<Peer>,
    /// What the site charges.
    pub tariff: Tariff,
    /// This node's host.
    pub host: Host,
    /// How the host takes part in networks.
    pub network: Network,
    /// How leases are counted that this site grants.
    pub lease: Timing,
    /// Whether the node starts a fence if none is alive.
    pub starts_fence: bool,
    /// Which events are logged.
    pub log_filter: String,
    /// Whether they are logged as JSON.
    pub log_json: bool,
}

/// How a host takes part in networks.
#[derive(Clone, Debug)]
pub struct Network {
    /// The UDP port that the gateways of other sites send to.
    pub tunnel_port: u16,
    /// Where they reach it, if that is elsewhere.
    pub external: Option<SocketAddr>,
    /// Whether they reach it nowhere unless that is said, and wait for its calls.
    pub behind_nat: bool,
    /// This host's address among those of its site; none lets the bus's stand in.
    pub underlay: Option<IpAddr>,
    /// The interface through which machines reach the public network; none if they do not from here.
    pub outside: Option<InterfaceName>,
    /// Who is asked on behalf of machines for names that are not their networks' own.
    pub resolvers: Vec<IpAddr>,
}

/// The bus between sites.
#[derive(Clone, Debug)]
pub struct Bus {
    /// Where it listens.
    pub listen: Vec<String>,
    /// Where others reach it, if that is elsewhere.
    pub external: Vec<String>,
    /// Whether it looks for peers on the local network.
    pub mdns: bool,
    /// Whether it joins peers to each other that cannot reach one another directly.
    pub relay: bool,
}

/// A peer that the site begins with.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What this site calls it.
    pub name: Label,
    /// Who it is.
    pub site: SiteId,
    /// Where it is.
    pub addresses: Vec<String>,
    /// Whether it may buy here.
    pub sells_to: bool,
    /// Whether this site may buy there.
    pub buys_from: bool,
}

/// This node's host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name; none lets the system's stand in.
    pub name: Option<String>,
    /// Where its hypervisor is.
    pub libvirt: String,
    /// Processors that guests may have in all; none for all there are.
    pub vcpus: Option<u32>,
    /// Memory that guests may have in all; none for all but what the host itself needs.
    pub memory: Option<Mebibytes>,
    /// Disk that guests may have in all; none for what was free when the node first looked.
    pub disk: Option<Mebibytes>,
    /// The first of the user ids that guests run under: the one in slot n has this plus n.
    pub guest_uids: u32,
}

/// The configuration that is meant: the one given, or the one in the data directory, if there is
/// one.
#[must_use]
pub fn find(given: Option<PathBuf>, data: &Path) -> Option<PathBuf> {
    let standing = data.join("node.toml");
    given.or_else(|| standing.exists().then_some(standing))
}

/// Reads a configuration; with no path, the one that a site without a file has.
///
/// # Errors
///
/// If the file cannot be read, is not understood, or has values that cannot be used.
pub fn read(path: Option<&Path>) -> Result<Config, Error> {
    let Some(path) = path else { return check(File::default()) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let file = toml::from_str(&text)
        .map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
    check(file)
}

/// Makes of a file what it means.
///
/// # Errors
///
/// The first value that cannot be used.
pub fn check(file: File) -> Result<Config, Error> {
    let prices = &file.prices;
    let tariff = Tariff {
        currency: parse("prices.currency", &prices.currency, str::parse::<Currency>)?,
        vcpu_hour: parse("prices.vcpu_hour", &prices.vcpu_hour, str::parse)?,
        memory_gib_hour: parse("prices.memory_gib_hour", &prices.memory_gib_hour, str::parse)?,
        disk_gib_hour: parse("prices.disk_gib_hour", &prices.disk_gib_hour, str::parse)?,
        classes: Catalogue {
            bronze: factor("sla.bronze", &file.sla.bronze)?,
            silver: factor("sla.silver", &file.sla.silver)?,
            gold: factor("sla.gold", &file.sla.gold)?,
        },
    };
    let size = |key, text: &Option<String>| {
        text.as_ref().map(|text| parse(key, text, str::parse::<Mebibytes>)).transpose()
    };
    let host = Host {
        name: file.host.name,
        libvirt: file.host.libvirt,
        vcpus: file.host.vcpus,
        memory: size("host.memory", &file.host.memory)?,
        disk: size("host.disk", &file.host.disk)?,
        guest_uids: file.host.guest_uids,
    };
    let bus = Bus {
        listen: file.bus.listen,
        external: file.bus.external,
        mdns: file.bus.mdns,
        relay: file.bus.relay,
    };
    Ok(Config {
        name: file.name,
        api_listen: file.api.listen,
        api_external: file.api.external.map(|url| url.trim_end_matches('/').to_owned()),
        bus,
        peers: peers(file.peer)?,
        tariff,
        host,
        network: Network {
            tunnel_port: file.network.tunnel_port,
            external: file.network.external,
            behind_nat: file.network.behind_nat,
            underlay: file.network.underlay,
            resolvers: file.network.resolvers,
            outside: (file.network.outside.as_ref())
                .map(|text| parse("network.outside", text, str::parse))
                .transpose()?,
        },
        lease: lease(&file.lease)?,
        starts_fence: file.fence.start,
        log_filter: file.log.filter,
        log_json: file.log.json,
    })
}

fn factor(key: &'static str, text: &Option<String>) -> Result<Option<Permille>, Error> {
    text.as_ref().map(|text| parse(key, text, str::parse)).transpose()
}

fn lease(file: &LeaseFile) -> Result<Timing, Error> {
    let duration = Span::from_secs(file.seconds);
    let timing = Timing::lasting(duration);
    if timing.duration == duration {
        return Ok(timing);
    }
    let (key, value) = ("lease.seconds", file.seconds.to_string());
    Err(Error::Value { key, value, source: Box::new(LeaseBounds) })
}

/// A duration is out of bounds.
#[derive(Debug, thiserror::Error)]
#[error("a lease lasts between {} and {}", Timing::DURATION_MIN, Timing::DURATION_MAX)]
struct LeaseBounds;

fn peers(files: Vec<PeerFile>) -> Result<Vec<Peer>, Error> {
    let mut peers: Vec<Peer> = Vec::new();
    for file in files {
        let site = parse("peer.site", &file.site, str::parse::<SiteId>)?;
        let name = parse("peer.name", &file.name, str::parse::<Label>)?;
        if peers.iter().any(|peer| peer.site == site || peer.name == name) {
            return Err(Error::PeerTwice { name: file.name });
        }
        for address in &file.addresses {
            parse("peer.addresses", address, federation::check_address)?;
        }
        peers.push(Peer {
            name,
            site,
            addresses: file.addresses,
            sells_to: file.sells_to,
            buys_from: file.buys_from,
        });
    }
    Ok(peers)
}

fn parse<T, E: std::error::Error + Send + Sync + 'static>(
    key: &'static str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Error> {
    read(text).map_err(|source| Error::Value {
        key,
        value: text.to_owned(),
        source: Box::new(source),
    })
}
