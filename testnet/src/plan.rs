//! What a testnet consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The most hosts of one testnet: each has a libvirtd and a node, and its number is a byte in the
/// addresses.
const HOSTS_MAX: usize = 50;

/// The most nodes of one site: their number is one digit in their names.
const NODES_MAX: usize = 7;

/// The longest name of a site: it names an interface, as does `rsv-`, the name and `-2`.
const NAME_MAX: usize = 9;

/// The sites of a testnet, and what they run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The binary `reservoir`; without one the sites have hypervisors but no nodes.
    pub reservoir: Option<PathBuf>,
    /// The sites, in the order of their addresses.
    pub sites: Vec<SitePlan>,
}

/// One site: some hosts with a hypervisor each, and a node on each.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SitePlan {
    /// Its name: lower-case letters and digits.
    pub name: String,
    /// How many nodes it has, each on a host of its own: `alpha`, `alpha-2`, `alpha-3`.
    #[serde(default = "one")]
    pub nodes: usize,
    /// Virtual processors that guests may have on each host in all.
    pub vcpus: u32,
    /// Memory that guests may have on each host in all, as the node's configuration writes it.
    pub memory: String,
    /// Disk that guests may have on each host in all, as the node's configuration writes it.
    pub disk: String,
    /// What it charges.
    pub prices: Prices,
    /// The classes of service that it sells, each with its factor on the prices.
    #[serde(default)]
    pub sla: BTreeMap<String, String>,
    /// The sites it trades with, by name.
    pub peers: Vec<String>,
}

const fn one() -> usize {
    1
}

/// Where one node of the plan is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// The name of its host: the site's for the first, `alpha-2` for the second.
    pub(crate) name: String,
    /// The number of its site in the plan.
    pub(crate) site: usize,
    /// The number of the node in its site, from 1.
    pub(crate) node: usize,
    /// A number that no other place of the plan has.
    pub(crate) number: usize,
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
    /// so a larger service needs the others; the second is cheaper than the third, which promises
    /// more.
    #[must_use]
    pub fn three(reservoir: Option<PathBuf>) -> Self {
        let site =
            |name: &str, vcpus, vcpu_hour: &str, gold: Option<&str>, peers: [&str; 2]| SitePlan {
                name: name.to_owned(),
                nodes: 1,
                vcpus,
                memory: "768MiB".to_owned(),
                disk: "20GiB".to_owned(),
                prices: Prices {
                    vcpu_hour: vcpu_hour.to_owned(),
                    memory_gib_hour: "0.005000".to_owned(),
                    disk_gib_hour: "0.000100".to_owned(),
                },
                sla: gold
                    .map(|factor| ("gold".to_owned(), factor.to_owned()))
                    .into_iter()
                    .collect(),
                peers: peers.map(str::to_owned).to_vec(),
            };
        let sites = vec![
            site("alpha", 2, "0.010000", None, ["beta", "gamma"]),
            site("beta", 2, "0.012000", None, ["alpha", "gamma"]),
            site("gamma", 4, "0.014000", Some("1.500"), ["alpha", "beta"]),
        ];
        Self { reservoir, sites }
    }

    /// The same plan with so many nodes at one of its sites.
    ///
    /// # Errors
    ///
    /// There is no such site.
    pub fn with_nodes(mut self, site: &str, nodes: usize) -> Result<Self> {
        let found = self.sites.iter_mut().find(|it| it.name == site);
        found.with_context(|| format!("there is no site '{site}'"))?.nodes = nodes;
        Ok(self)
    }

    /// The names of the hosts, the sites' first ones first.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        self.places().into_iter().map(|place| place.name).collect()
    }

    /// Where the nodes are: the first of each site, in the order of the sites, then the others. So
    /// what a site of one node is called and where it is does not depend on the others.
    pub(crate) fn places(&self) -> Vec<Place> {
        let sites = || self.sites.iter().enumerate();
        let first = sites().map(|(site, plan)| (site, 1, plan.name.clone()));
        let further = sites().flat_map(|(site, plan)| {
            (2..=plan.nodes).map(move |node| (site, node, format!("{}-{node}", plan.name)))
        });
        let places = first.chain(further).enumerate();
        places.map(|(number, (site, node, name))| Place { name, site, node, number }).collect()
    }

    /// Refuses what could not be built.
    ///
    /// # Errors
    ///
    /// A name that no interface can have, two sites of one name, an unknown peer, too many sites.
    pub fn check(&self) -> Result<()> {
        let hosts = self.sites.iter().map(|site| site.nodes).sum::<usize>();
        ensure!(hosts <= HOSTS_MAX, "a testnet has at most {HOSTS_MAX} hosts");
        let mut names = BTreeSet::new();
        for SitePlan { name, nodes, .. } in &self.sites {
            ensure!((1..=NODES_MAX).contains(nodes), "{name} has 1 to {NODES_MAX} nodes");
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
