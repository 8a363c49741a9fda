//! What a testnet consists of.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The most sites of one testnet: each has a libvirtd and a node, and its number is a byte in
/// the addresses.
const SITES_MAX: usize = 50;

/// The longest name of a site: it names an interface, as does `rsv-` and the name.
const NAME_MAX: usize = 11;

/// The sites of a testnet, and what they run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The binary `reservoir`; without one the sites have hypervisors but no nodes.
    pub reservoir: Option<PathBuf>,
    /// The sites, in the order of their addresses.
    pub sites: Vec<SitePlan>,
}

/// One site: a host with a hypervisor, and a node on it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SitePlan {
    /// Its name: lower-case letters and digits.
    pub name: String,
    /// Virtual processors that guests may have in all.
    pub vcpus: u32,
    /// Memory that guests may have in all, as the node's configuration writes it.
    pub memory: String,
    /// Disk that guests may have in all, as the node's configuration writes it.
    pub disk: String,
    /// What it charges.
    pub prices: Prices,
    /// The sites it trades with, by name.
    pub peers: Vec<String>,
}

/// What a site charges, in euros, as the node's configuration writes it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// One virtual processor for one hour.
    pub vcpu_hour: String,
    /// One GiB of memory for one hour.
    pub memory_gib_hour: String,
    /// One GiB of disk for one hour.
    pub disk_gib_hour: String,
}

impl Plan {
    /// Three sites that all trade with each other. The first has room for two small machines,
    /// so a larger service needs the others; the second is cheaper than the third.
    #[must_use]
    pub fn three(reservoir: Option<PathBuf>) -> Self {
        let site = |name: &str, vcpus, vcpu_hour: &str, peers: [&str; 2]| SitePlan {
            name: name.to_owned(),
            vcpus,
            memory: "768MiB".to_owned(),
            disk: "20GiB".to_owned(),
            prices: Prices {
                vcpu_hour: vcpu_hour.to_owned(),
                memory_gib_hour: "0.005000".to_owned(),
                disk_gib_hour: "0.000100".to_owned(),
            },
            peers: peers.map(str::to_owned).to_vec(),
        };
        let sites = vec![
            site("alpha", 2, "0.010000", ["beta", "gamma"]),
            site("beta", 2, "0.012000", ["alpha", "gamma"]),
            site("gamma", 4, "0.014000", ["alpha", "beta"]),
        ];
        Self { reservoir, sites }
    }

    /// Refuses what could not be built.
    ///
    /// # Errors
    ///
    /// A name that no interface can have, two sites of one name, an unknown peer, too many sites.
    pub fn check(&self) -> Result<()> {
        ensure!(self.sites.len() <= SITES_MAX, "a testnet has at most {SITES_MAX} sites");
        let mut names = BTreeSet::new();
        for SitePlan { name, .. } in &self.sites {
            let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let fits = (1..=NAME_MAX).contains(&name.len());
            ensure!(plain && fits, "'{name}' is not 1 to {NAME_MAX} lower-case letters and digits");
            ensure!(names.insert(name), "two sites are called '{name}'");
        }
        for SitePlan { name, peers, .. } in &self.sites {
            for peer in peers {
                ensure!(peer != name && names.contains(peer), "{name} has no peer '{peer}'");
            }
        }
        Ok(())
    }
}
