//! In which networks and the components on them do not fit together.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::super::name::{ComponentName, NetworkName};
use super::super::problem::similar;
use super::{Groups, Network, Problem, group, prefixes};
use crate::manifest::{self, Component};
use crate::networks::{CARDS_MAX, NETWORKS_MAX, Prefix4};

/// Something that does not fit together, and under which keys it stands.
pub(in crate::manifest) struct Misfit {
    pub(in crate::manifest) keys: Vec<String>,
    pub(in crate::manifest) problem: manifest::Problem,
}

impl Misfit {
    /// Where it stands, as a path; the number of an item of a list is in brackets.
    pub(in crate::manifest) fn path(&self) -> String {
        let mut path = String::new();
        for key in &self.keys {
            match key.parse::<usize>() {
                Ok(index) => path.push_str(&format!("[{index}]")),
                Err(_) if path.is_empty() => path.push_str(key),
                Err(_) => path.push_str(&format!(".{key}")),
            }
        }
        path
    }

    pub(in crate::manifest) fn at<const N: usize>(
        keys: [&str; N],
        problem: impl Into<manifest::Problem>,
    ) -> Self {
        Self { keys: keys.map(str::to_owned).to_vec(), problem: problem.into() }
    }
}

/// Everything in which networks and the components on them do not fit together.
pub(in crate::manifest) fn misfits(
    networks: &BTreeMap<NetworkName, Network>,
    groups: &Groups,
    components: &BTreeMap<ComponentName, Component>,
) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    let prefixes = prefixes(networks, groups);
    if networks.len() > NETWORKS_MAX {
        let (what, count, limit) = ("networks", networks.len(), NETWORKS_MAX);
        misfits.push(Misfit::at(["networks"], manifest::Problem::TooMany { what, count, limit }));
    }
    for (name, component) in components {
        attachments(networks, name, component, &mut misfits);
    }
    let grouped = |network: &Network| network.group.clone();
    for (index, (name, network)) in networks.iter().enumerate() {
        let earlier = networks.iter().take(index);
        let routed = earlier.filter(|(_, other)| {
            network.group.is_some() && grouped(other) == network.group && overlap(network, other)
        });
        for (other, _) in routed {
            let (one, other) = (name.clone(), other.clone());
            let problem = Problem::OverlapInGroup { one, other };
            misfits.push(Misfit::at(["networks", name.as_str(), "prefix"], problem));
        }
        crowd((name, network), prefixes.get(name).copied(), components, &mut misfits);
    }
    group::misfits(networks, groups, &prefixes, &mut misfits);
    misfits
}

fn overlap(one: &Network, other: &Network) -> bool {
    let four = one.prefix.zip(other.prefix).is_some_and(|(one, other)| one.overlaps(other));
    four || (one.prefix6.is_some() && one.prefix6 == other.prefix6)
}

/// What does not fit about the networks that one component is on.
fn attachments(
    networks: &BTreeMap<NetworkName, Network>,
    name: &ComponentName,
    component: &Component,
    misfits: &mut Vec<Misfit>,
) {
    let at = ["components", name.as_str(), "networks"];
    let count = component.networks.len();
    if count == 0 {
        misfits.push(Misfit::at(at, Problem::NoNetworks));
    }
    if count > CARDS_MAX {
        let problem = manifest::Problem::TooMany { what: "networks", count, limit: CARDS_MAX };
        misfits.push(Misfit::at(at, problem));
    }
    for (index, (attached, attachment)) in component.networks.iter().enumerate() {
        let Some(network) = networks.get(attached) else {
            let known = networks.keys().map(NetworkName::as_str);
            let similar = similar(attached.as_str(), known);
            let problem = Problem::UnknownNetwork { network: attached.clone(), similar };
            misfits.push(Misfit::at(at, problem));
            continue;
        };
        for other in component.networks.keys().take(index) {
            if networks.get(other).is_some_and(|other| overlap(network, other)) {
                let (one, other) = (attached.clone(), other.clone());
                misfits.push(Misfit::at(at, Problem::OverlapOnMachine { one, other }));
            }
        }
        if attachment.public && !network.outbound {
            let [components, name, key] = at;
            let problem = Problem::PublicWithoutOutbound { network: attached.clone() };
            misfits.push(Misfit::at([components, name, key, attached.as_str()], problem));
        }
        if let Some(address) = attachment.address
            && let Some(problem) = fixed(network, attached, component, address)
        {
            let [components, name, key] = at;
            misfits.push(Misfit::at([components, name, key, attached.as_str()], problem));
        }
    }
}

/// What is wrong with an address that is fixed.
fn fixed(
    network: &Network,
    name: &NetworkName,
    component: &Component,
    address: Ipv4Addr,
) -> Option<Problem> {
    let network_name = || name.clone();
    if component.replicas != 1 {
        return Some(Problem::AddressOfMany { address, replicas: component.replicas });
    }
    match network.prefix {
        None => Some(Problem::AddressWithoutPrefix { address, network: network_name() }),
        Some(prefix) if prefix.offset(address).is_none() => {
            Some(Problem::AddressOutside { address, network: network_name(), prefix })
        }
        Some(_) => None,
    }
}

/// Whether a network has room for all that are on it, and no address is given out twice.
fn crowd(
    (name, network): (&NetworkName, &Network),
    prefix: Option<Prefix4>,
    components: &BTreeMap<ComponentName, Component>,
    misfits: &mut Vec<Misfit>,
) {
    let mut machines = 0;
    let mut taken = BTreeMap::new();
    for (component, on) in components {
        let Some(attachment) = on.networks.get(name) else { continue };
        machines += on.replicas;
        let Some(address) = attachment.address else { continue };
        if let Some(first) = taken.insert(address, component) {
            let problem = Problem::AddressTaken { address, component: first.clone() };
            let keys = ["components", component.as_str(), "networks", name.as_str()];
            misfits.push(Misfit::at(keys, problem));
        }
    }
    if let Some(prefix) = prefix
        && prefix.offsets().len() < usize::try_from(machines).unwrap_or(usize::MAX)
    {
        let room = prefix.offsets().len();
        let problem = Problem::NetworkFull { network: name.clone(), prefix, machines, room };
        // Where no prefix is said, it follows from the group.
        let key = if network.prefix.is_some() { "prefix" } else { "group" };
        misfits.push(Misfit::at(["networks", name.as_str(), key], problem));
    }
}
