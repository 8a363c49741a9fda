//! Groups of networks that are routed to each other: the prefix that they share, and their routes.
//!
//! A group need not be described: to be named by networks is enough.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::name::{GroupName, NetworkName};
use super::super::problem::Shape;
use super::super::read::{Entry, Reader};
use super::super::tree::{Node, Value};
use super::misfit::Misfit;
use super::{Network, Problem, with};
use crate::manifest;
use crate::networks::{BadRoute, Hop, NETWORKS_MAX, Prefix4, ROUTES_MAX, Route, Routes};
use crate::text::excerpt;

/// What is said of a group of networks.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The IPv4 addresses of all of its networks; any, if it is not said.
    pub prefix: Option<Prefix4>,
    /// Where what leaves its networks goes. One by a machine counts on the network that the machine is
    /// on, and one by the exit on those that have one.
    pub routes: Routes,
}

/// What is said of the groups of a service's networks, by name.
pub type Groups = BTreeMap<GroupName, Group>;

/// The IPv4 addresses of each network: those that it says, a share of its group's, or some that no
/// other one has. A network for which its group has none left is not among them.
pub(in crate::manifest) fn prefixes(
    networks: &BTreeMap<NetworkName, Network>,
    groups: &Groups,
) -> BTreeMap<NetworkName, Prefix4> {
    let said = networks.values().filter_map(|network| network.prefix);
    let mut given: Vec<Prefix4> = said.take(NETWORKS_MAX).collect();
    let of_groups = groups.values().filter_map(|group| group.prefix);
    let of_groups: Vec<Prefix4> = of_groups.take(NETWORKS_MAX).collect();
    let mut prefixes = BTreeMap::new();
    for (name, network) in networks.iter().take(NETWORKS_MAX) {
        let group = network.group.as_ref().and_then(|group| groups.get(group)?.prefix);
        let prefix = match (network.prefix, group) {
            (Some(prefix), _) => Some(prefix),
            (None, Some(group)) => group.share(&given),
            (None, None) => Some(Prefix4::spare(&[&given[..], &of_groups].concat())),
        };
        given.extend(prefix);
        prefixes.extend(prefix.map(|prefix| (name.clone(), prefix)));
    }
    prefixes
}

/// Everything in which groups and the networks in them do not fit together.
pub(super) fn misfits(
    networks: &BTreeMap<NetworkName, Network>,
    groups: &Groups,
    prefixes: &BTreeMap<NetworkName, Prefix4>,
    misfits: &mut Vec<Misfit>,
) {
    if groups.len() > NETWORKS_MAX {
        let (what, count, limit) = ("groups", groups.len(), NETWORKS_MAX);
        misfits.push(Misfit::at(["groups"], manifest::Problem::TooMany { what, count, limit }));
    }
    for (name, group) in groups.iter().take(NETWORKS_MAX) {
        let of_it = networks.iter().filter(|(_, network)| network.group.as_ref() == Some(name));
        let of_it: Vec<(&NetworkName, &Network)> = of_it.collect();
        if of_it.is_empty() {
            let problem = Problem::NobodysGroup { group: name.clone() };
            misfits.push(Misfit::at(["groups", name.as_str()], problem));
            continue;
        }
        for (network, said) in &of_it {
            let Some(whole) = group.prefix else { continue };
            let (group, network) = (name.clone(), (*network).clone());
            let at = |key| ["networks".to_owned(), network.to_string(), String::from(key)];
            match prefixes.get(&network).copied() {
                Some(prefix) if !whole.contains(prefix) => {
                    let keys = at("prefix").to_vec();
                    let problem = Problem::OutsideGroup { network, prefix, group, whole }.into();
                    misfits.push(Misfit { keys, problem });
                }
                None if said.prefix.is_none() => {
                    let keys = at("group").to_vec();
                    let problem = Problem::GroupFull { network, group, whole }.into();
                    misfits.push(Misfit { keys, problem });
                }
                Some(_) | None => {}
            }
        }
        for (index, route) in group.routes.iter().enumerate() {
            if let Some(problem) = misrouted(route, name, &of_it, prefixes) {
                let index = index.to_string();
                misfits.push(Misfit::at(["groups", name.as_str(), "routes", &index], problem));
            }
        }
    }
}

/// What is wrong with a route of a group.
fn misrouted(
    route: &Route,
    group: &GroupName,
    networks: &[(&NetworkName, &Network)],
    prefixes: &BTreeMap<NetworkName, Prefix4>,
) -> Option<Problem> {
    let to = route.to.net();
    let nets = networks.iter().flat_map(|(name, network)| {
        let four = prefixes.get(*name).map(|prefix| prefix.net().into());
        let six = network.prefix6.map(|prefix| prefix.net().into());
        four.into_iter().chain(six).map(move |net: ipnet::IpNet| (*name, net))
    });
    let nets: Vec<_> = nets.collect();
    if let Some((network, _)) = nets.iter().find(|(_, net)| net.contains(&to)) {
        return Some(Problem::RouteInside { to, network: (*network).clone() });
    }
    match route.hop {
        Hop::Machine(address) if !nets.iter().any(|(_, net)| net.contains(&address)) => {
            Some(Problem::RouteByStranger { address, group: group.clone() })
        }
        Hop::Exit if !networks.iter().any(|(_, network)| network.outbound) => {
            Some(Problem::RouteByNoExit { group: group.clone() })
        }
        Hop::Machine(_) | Hop::Exit | Hop::Nobody => None,
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return writeln!(f, " {{}}");
        }
        writeln!(f)?;
        if let Some(prefix) = self.prefix {
            writeln!(f, "    prefix: {prefix}")?;
        }
        if self.routes != Routes::default() {
            writeln!(f, "    routes:")?;
        }
        self.routes.iter().try_for_each(|route| writeln!(f, "      - \"{route}\""))
    }
}

impl Reader {
    pub(in crate::manifest) fn groups(&mut self, node: &Node) -> Option<Groups> {
        let entries = self.entries(node, "groups")?;
        let mut groups = Some(Groups::new());
        // One more than there may be, so that it is told that they are too many.
        for Entry { key, place, value } in entries.into_iter().take(NETWORKS_MAX + 1) {
            let path = format!("groups.{}", excerpt(key));
            let name = self.told(place, &path, key.parse::<GroupName>());
            let group = self.routed_group(&Entry { key, place, value }, &path);
            groups = with(groups, name.zip(group));
        }
        groups
    }

    fn routed_group(&mut self, entry: &Entry<'_>, path: &str) -> Option<Group> {
        let fields = self.fields(entry.value, entry.place, path, &["prefix", "routes"])?;
        let prefix = self.optional(&fields, path, "prefix", Shape::Prefix);
        let routes = match fields.values.get("routes") {
            Some(node) => self.routes(node, &format!("{path}.routes")),
            None => Some(Routes::default()),
        };
        Some(Group { prefix: prefix?, routes: routes? })
    }

    fn routes(&mut self, node: &Node, path: &str) -> Option<Routes> {
        let Value::List(items) = &node.value else {
            self.wrong_type(node, path, Shape::Routes);
            return None;
        };
        if let Some(first) = items.get(ROUTES_MAX) {
            let count = items.len();
            self.faults.add(first.place, path, BadRoute::TooMany { count }.into());
        }
        let mut routes: Vec<Route> = Vec::new();
        for (index, item) in items.iter().take(ROUTES_MAX).enumerate() {
            let path = format!("{path}[{index}]");
            let Value::Text(text) = &item.value else {
                self.wrong_type(item, &path, Shape::Route);
                continue;
            };
            let Some(route) = self.told(item.place, &path, text.parse::<Route>()) else { continue };
            if routes.iter().any(|known| known.to == route.to) {
                let problem = BadRoute::Twice { to: route.to.net() };
                self.faults.add(item.place, &path, problem.into());
            } else {
                routes.push(route);
            }
        }
        self.told(node.place, path, Routes::new(routes))
    }
}
