//! The node of a site: its configuration, how it is started, and how it is asked.
//!
//! This is the only place that knows how the program is called.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::command::finish;
use crate::internet::WAN;
use crate::plan::{Place, Plan, SitePlan};

/// The ids of guests' users are shared by all sites, for they are on one machine: each site has
/// a range of this many, more than a host has guests.
const GUEST_UIDS: usize = 1000;

/// The first of them, above all that people and Debian's containers use.
const GUEST_UIDS_FIRST: usize = 200_000;

/// How long leases last here: longer than a node takes to start, and short enough to wait for.
const LEASE_SECONDS: u32 = 10;

/// The port of the bus; every site has it, since each has a network of its own.
const BUS_PORT: u16 = 7401;

/// The port of the tunnel between sites.
const TUNNEL_PORT: u16 = 51_820;

/// The address of the host with this number on the virtual Internet (RFC 5737 sets the range
/// aside for documentation; guests reach it as they would the true one).
pub(crate) fn address(number: usize) -> String {
    format!("203.0.113.{}", number + 1)
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    api: Api,
    bus: Bus,
    prices: Prices<'a>,
    sla: &'a BTreeMap<String, String>,
    host: Host<'a>,
    network: Network,
    lease: Lease,
    fence: Fence,
    peer: Vec<Peer<'a>>,
}

#[derive(Serialize)]
struct Api {
    listen: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<String>,
}

#[derive(Serialize)]
struct Bus {
    listen: [String; 2],
    mdns: bool,
}

#[derive(Serialize)]
struct Prices<'a> {
    currency: &'a str,
    vcpu_hour: &'a str,
    memory_gib_hour: &'a str,
    disk_gib_hour: &'a str,
}

#[derive(Serialize)]
struct Host<'a> {
    name: &'a str,
    libvirt: &'a str,
    vcpus: u32,
    memory: &'a str,
    disk: &'a str,
    guest_uids: usize,
}

#[derive(Serialize)]
struct Network {
    tunnel_port: u16,
    outside: &'static str,
}

#[derive(Serialize)]
struct Lease {
    seconds: u32,
}

#[derive(Serialize)]
struct Fence {
    start: bool,
}

#[derive(Serialize)]
struct Peer<'a> {
    name: &'a str,
    site: &'a str,
    addresses: Vec<String>,
}

/// The text of a node's configuration. `ids` are the sites' ids, in the plan's order.
pub(crate) fn configuration(plan: &Plan, place: &Place, ids: &[String]) -> Result<String> {
    let SitePlan { name, nodes, vcpus, memory, disk, prices, sla, peers } = &plan.sites[place.site];
    let (number, own) = (place.number, address(place.number));
    let places = plan.places();
    let peer = |other: usize| Peer {
        name: &plan.sites[other].name,
        site: &ids[other],
        addresses: places
            .iter()
            .filter(|place| place.site == other)
            .map(|place| format!("/ip4/{}/tcp/{BUS_PORT}", address(place.number)))
            .collect(),
    };
    // Who joins comes to the first node's interface; a site of one keeps its own to itself.
    let api = if *nodes == 1 {
        Api { listen: "127.0.0.1:7400", external: None }
    } else {
        Api { listen: "0.0.0.0:7400", external: Some(format!("https://{own}:7400")) }
    };
    let file = File {
        name,
        api,
        bus: Bus {
            listen: [
                format!("/ip4/{own}/tcp/{BUS_PORT}"),
                format!("/ip4/{own}/udp/{BUS_PORT}/quic-v1"),
            ],
            mdns: false,
        },
        prices: Prices {
            currency: "EUR",
            vcpu_hour: &prices.vcpu_hour,
            memory_gib_hour: &prices.memory_gib_hour,
            disk_gib_hour: &prices.disk_gib_hour,
        },
        sla,
        host: Host {
            name: &place.name,
            libvirt: "qemu:///system?socket=/run/libvirt/libvirt-sock",
            vcpus: *vcpus,
            memory,
            disk,
            guest_uids: GUEST_UIDS_FIRST + number * GUEST_UIDS,
        },
        network: Network { tunnel_port: TUNNEL_PORT, outside: WAN },
        lease: Lease { seconds: LEASE_SECONDS },
        // The testnet supervises it, as a service manager would.
        fence: Fence { start: false },
        peer: (0..plan.sites.len())
            .filter(|&other| peers.contains(&plan.sites[other].name))
            .map(peer)
            .collect(),
    };
    toml::to_string(&file).context("write a node's configuration")
}

/// What the node is started with.
pub(crate) fn words<'a>(reservoir: &'a str, data: &'a str, file: &'a str) -> [&'a str; 7] {
    [reservoir, "node", "run", "--data", data, "--config", file]
}

/// What the fence is started with, which lies beside the node's program.
pub(crate) fn fence_words<'a>(fence: &'a str, data: &'a str) -> [&'a str; 3] {
    [fence, "--data", data]
}

/// Makes the site's keys, if it has none; answers its id.
pub(crate) fn init(reservoir: &Path, data: &Path, name: &str) -> Result<String> {
    fs::create_dir_all(data).context("create the node's directory")?;
    let mut command = Command::new(reservoir);
    command.args(["-o", "json", "site", "init", "--name", name, "--data"]).arg(data);
    let said = finish(&mut command)?;
    let answer: serde_json::Value =
        serde_json::from_str(&said).context("read the new site's id")?;
    let id = answer["id"].as_str().with_context(|| format!("no site's id in {said}"))?;
    Ok(id.to_owned())
}

/// The token in what `site invite` has answered.
pub(crate) fn token(said: &str) -> Result<String> {
    let answer: serde_json::Value = serde_json::from_str(said).context("read the invitation")?;
    let token = answer["token"].as_str().with_context(|| format!("no token in {said}"))?;
    Ok(token.to_owned())
}

/// Whether the node in this directory has joined its site.
pub(crate) fn has_joined(data: &Path) -> bool {
    data.join("keys/joined.toml").exists()
}
