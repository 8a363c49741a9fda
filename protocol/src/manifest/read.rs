//! From a tree of values to a manifest, telling every mistake on the way.
//!
//! Each function reads what it is named after, adds what is wrong with it to the faults, and
//! gives none if it cannot say what was meant. A manifest comes out only if nothing is wrong.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::fault::{Faults, Place};
use super::name::{self, ComponentName, NetworkName, SiteReference};
use super::network::{self, Attachment};
use super::problem::{Problem, Shape, similar};
use super::tree::{Node, Value};
use super::{
    COMPONENTS_MAX, Component, DISK, Groups, MACHINES_MAX, MEMORY, Manifest, OnPartition, REPLICAS,
    SITES_MAX, VCPUS, default_security, order, out_of_range, security, within,
};
use crate::security::default_memberships;
use crate::sla::Class;
use crate::text::excerpt;
use crate::units::{MalformedSize, Mebibytes, Size};
use crate::user_data::UserData;

/// The manifest that the tree stands for.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(super) fn manifest(root: &Node) -> Result<Manifest, Faults> {
    let mut reader = Reader::default();
    let manifest = reader.manifest(root);
    reader.faults.none_or_err()?;
    Ok(manifest.expect("a reader that gives nothing has told why"))
}

#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Faults,
    /// The network that a component is on that names none, if there is only one.
    only_network: Option<NetworkName>,
    has_several_networks: bool,
}

/// The values under the known keys of a mapping.
pub(super) struct Fields<'a> {
    /// Where to say that one is missing.
    owner: Place,
    path: String,
    pub(super) values: BTreeMap<&'a str, &'a Node>,
    /// Keys that are there, but misspelt, and told of already.
    misspelt: BTreeSet<String>,
}

/// A key in a mapping, and its value.
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) place: Place,
    pub(super) value: &'a Node,
}

/// For each component, those that it says it is started after, and where it says so.
type Waits = BTreeMap<ComponentName, BTreeMap<ComponentName, Place>>;

impl Reader {
    fn manifest(&mut self, root: &Node) -> Option<Manifest> {
        const KEYS: &[&str] = &["service", "networks", "groups", "security", "components"];
        let fields = self.fields(root, root.place, "", KEYS)?;
        let service = self.name(&fields, "service");
        let networks = match fields.values.get("networks") {
            Some(node) => self.networks(node),
            None => Some(network::default_networks()),
        };
        let names: Vec<&NetworkName> = networks.iter().flat_map(BTreeMap::keys).collect();
        self.has_several_networks = names.len() > 1;
        if let [only] = names[..] {
            self.only_network = Some(only.clone());
        }
        let groups = match fields.values.get("groups") {
            Some(node) => self.groups(node),
            None => Some(Groups::new()),
        };
        let security = match fields.values.get("security") {
            Some(node) => self.security(node),
            None => Some(default_security()),
        };
        let components = match self.required(&fields, "components", Shape::Mapping) {
            Some(node) => self.components(node),
            None => None,
        };
        let mut misfits = Vec::new();
        if let (Some(networks), Some(groups), Some(components)) = (&networks, &groups, &components)
        {
            misfits.extend(network::misfits(networks, groups, components));
        }
        if let (Some(security), Some(components)) = (&security, &components) {
            misfits.extend(security::misfits(security, components));
        }
        for misfit in misfits {
            let keys: Vec<&str> = misfit.keys.iter().map(String::as_str).collect();
            self.faults.add(root.place_of(&keys), &misfit.path(), misfit.problem);
        }
        let (service, networks, groups) = (service?, networks?, groups?);
        Some(Manifest { service, networks, groups, security: security?, components: components? })
    }

    fn components(&mut self, node: &Node) -> Option<BTreeMap<ComponentName, Component>> {
        let entries = self.entries(node, "components")?;
        if matches!(&node.value, Value::Mapping(pairs) if pairs.is_empty()) {
            self.faults.add(node.place, "components", Problem::NoComponents);
        }
        if let Some(first) = entries.get(COMPONENTS_MAX) {
            let problem = Problem::TooMany {
                what: "components",
                count: entries.len(),
                limit: COMPONENTS_MAX,
            };
            self.faults.add(first.place, "components", problem);
        }
        let mut waits = Waits::new();
        let mut components = BTreeMap::new();
        for entry in entries.iter().take(COMPONENTS_MAX) {
            let path = format!("components.{}", excerpt(entry.key));
            let name = self.told(entry.place, &path, entry.key.parse::<ComponentName>());
            let mut after = BTreeMap::new();
            let component = self.component(entry, &path, &mut after);
            if let Some(name) = name {
                waits.insert(name.clone(), after);
                components.extend(component.map(|component| (name, component)));
            }
        }
        self.check_order(&waits);
        let machines: u32 = components.values().map(|component| component.replicas).sum();
        if machines > MACHINES_MAX {
            self.faults.add(node.place, "components", Problem::TooManyMachines { machines });
        }
        Some(components)
    }

    /// Reads a component, and what it waits for also if the rest of it is wrong.
    fn component(
        &mut self,
        entry: &Entry<'_>,
        path: &str,
        after: &mut BTreeMap<ComponentName, Place>,
    ) -> Option<Component> {
        const KEYS: &[&str] = &[
            "image",
            "vcpus",
            "memory",
            "disk",
            "replicas",
            "after",
            "networks",
            "security",
            "place",
            "on_partition",
            "sla",
            "user_data",
        ];
        let fields = self.fields(entry.value, entry.place, path, KEYS)?;
        let image = self.name(&fields, "image");
        let vcpus = self.required(&fields, "vcpus", Shape::Number);
        let vcpus = vcpus.and_then(|node| self.number(node, path, "vcpus", &VCPUS));
        let memory = self.size(&fields, "memory", &MEMORY);
        let disk = self.size(&fields, "disk", &DISK);
        let replicas = match fields.values.get("replicas") {
            Some(node) => self.number(node, path, "replicas", &REPLICAS),
            None => Some(1),
        };
        if let Some(node) = fields.values.get("after") {
            *after = self.names(node, &format!("{path}.after"), COMPONENTS_MAX, "components");
        }
        let networks = match (fields.values.get("networks"), &self.only_network) {
            (Some(node), _) => self.attachments(node, &format!("{path}.networks")),
            (None, Some(only)) => Some(BTreeMap::from([(only.clone(), Attachment::default())])),
            (None, None) if self.has_several_networks => {
                self.required(&fields, "networks", Shape::Names);
                None
            }
            (None, None) => None,
        };
        let security = match fields.values.get("security") {
            Some(node) => self.memberships(node, &format!("{path}.security")),
            None => default_memberships(),
        };
        let sites = match fields.values.get("place") {
            Some(node) => Some(self.sites(node, &format!("{path}.place"))?),
            None => None,
        };
        let on_partition = match fields.values.get("on_partition") {
            Some(node) => self.on_partition(node, &format!("{path}.on_partition")),
            None => Some(OnPartition::default()),
        };
        let class = match fields.values.get("sla") {
            Some(node) => self.class(node, &format!("{path}.sla")),
            None => Some(Class::default()),
        };
        let user_data = match fields.values.get("user_data") {
            Some(node) => Some(self.user_data(node, &format!("{path}.user_data"))?),
            None => None,
        };
        Some(Component {
            image: image?,
            size: Size { vcpus: vcpus?, memory: memory?, disk: disk? },
            replicas: replicas?,
            after: after.keys().cloned().collect(),
            networks: networks?,
            security,
            sites,
            on_partition: on_partition?,
            class: class?,
            user_data,
        })
    }

    fn user_data(&mut self, node: &Node, path: &str) -> Option<UserData> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, path, Shape::Text);
            return None;
        };
        self.told(node.place, path, UserData::try_from(text.clone().into_bytes()))
    }

    fn on_partition(&mut self, node: &Node, path: &str) -> Option<OnPartition> {
        const KNOWN: &[&str] = &[OnPartition::Fence.as_str(), OnPartition::Hold.as_str()];
        self.choice(node, path, KNOWN)
    }

    pub(super) fn class(&mut self, node: &Node, path: &str) -> Option<Class> {
        const KNOWN: &[&str] = &[
            Class::BestEffort.as_str(),
            Class::Bronze.as_str(),
            Class::Silver.as_str(),
            Class::Gold.as_str(),
        ];
        self.choice(node, path, KNOWN)
    }

    /// One of a few known words.
    pub(super) fn choice<T: FromStr>(
        &mut self,
        node: &Node,
        path: &str,
        known: &'static [&'static str],
    ) -> Option<T> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, path, Shape::Name);
            return None;
        };
        let chosen = text.parse::<T>().map_err(|_| Problem::NoSuchChoice {
            text: excerpt(text),
            similar: similar(text, known.iter().copied()),
            known,
        });
        self.told(node.place, path, chosen)
    }

    fn sites(&mut self, node: &Node, path: &str) -> Option<BTreeSet<SiteReference>> {
        let fields = self.fields(node, node.place, path, &["sites"])?;
        let list = self.required(&fields, "sites", Shape::Names)?;
        let path = format!("{path}.sites");
        if matches!(&list.value, Value::List(items) if items.is_empty()) {
            self.faults.add(list.place, &path, Problem::NoSites);
        }
        let sites = self.names(list, &path, SITES_MAX, "sites");
        Some(sites.into_keys().collect())
    }

    /// Tells of components that wait for what is not there, for themselves, or in a circle.
    fn check_order(&mut self, waits: &Waits) {
        let mut edges = order::Edges::new();
        for (name, after) in waits {
            let path = format!("components.{name}.after");
            let mut known = BTreeSet::new();
            for (other, place) in after {
                if other == name {
                    let problem = Problem::AfterItself { component: name.clone() };
                    self.faults.add(*place, &path, problem);
                } else if waits.contains_key(other) {
                    known.insert(other);
                } else if !self.faults.is_full() {
                    let similar = similar(other.as_str(), waits.keys().map(ComponentName::as_str));
                    let problem = Problem::UnknownComponent { component: other.clone(), similar };
                    self.faults.add(*place, &path, problem);
                }
            }
            edges.insert(name, known);
        }
        for cycle in order::cycles(edges) {
            let (first, next) = (cycle[0], cycle[1]);
            let components = cycle.into_iter().cloned().collect();
            let path = format!("components.{first}.after");
            self.faults.add(waits[first][next], &path, Problem::Cycle { components });
        }
    }

    /// The pairs of a mapping whose keys are text; of a repeated key, the first.
    pub(super) fn entries<'a>(&mut self, node: &'a Node, path: &str) -> Option<Vec<Entry<'a>>> {
        let Value::Mapping(pairs) = &node.value else {
            self.wrong_type(node, path, Shape::Mapping);
            return None;
        };
        let mut seen = BTreeMap::new();
        let mut entries = Vec::new();
        for (key, value) in pairs {
            let place = key.place;
            let Value::Text(text) = &key.value else {
                self.faults.add(place, path, Problem::Key { found: key.describe() });
                continue;
            };
            if let Some(line) = seen.get(text) {
                let problem = Problem::DuplicateKey { key: excerpt(text), line: *line };
                self.faults.add(place, path, problem);
                continue;
            }
            seen.insert(text, place.line);
            entries.push(Entry { key: text, place, value });
        }
        Some(entries)
    }

    /// The values of a mapping that may have only these keys.
    pub(super) fn fields<'a>(
        &mut self,
        node: &'a Node,
        owner: Place,
        path: &str,
        known: &'static [&'static str],
    ) -> Option<Fields<'a>> {
        let mut values = BTreeMap::new();
        let mut misspelt = BTreeSet::new();
        for Entry { key, place, value } in self.entries(node, path)? {
            if known.contains(&key) {
                values.insert(key, value);
            } else {
                let similar = similar(key, known.iter().copied());
                misspelt.extend(similar.clone());
                let problem = Problem::UnknownKey { key: excerpt(key), similar, known };
                self.faults.add(place, path, problem);
            }
        }
        Some(Fields { owner, path: path.to_owned(), values, misspelt })
    }

    pub(super) fn required<'a>(
        &mut self,
        fields: &Fields<'a>,
        key: &'static str,
        shape: Shape,
    ) -> Option<&'a Node> {
        let found = fields.values.get(key).copied();
        if found.is_none() && !fields.misspelt.contains(key) {
            self.faults.add(fields.owner, &fields.path, Problem::MissingKey { key, shape });
        }
        found
    }

    fn name<T: FromStr<Err = name::Error>>(
        &mut self,
        fields: &Fields<'_>,
        key: &'static str,
    ) -> Option<T> {
        let node = self.required(fields, key, Shape::Name)?;
        let path = join(&fields.path, key);
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, &path, Shape::Name);
            return None;
        };
        self.told(node.place, &path, text.parse())
    }

    /// A list of different names, each with its place.
    pub(super) fn names<T: FromStr<Err = name::Error> + Ord + fmt::Display>(
        &mut self,
        node: &Node,
        path: &str,
        limit: usize,
        what: &'static str,
    ) -> BTreeMap<T, Place> {
        let mut names = BTreeMap::new();
        let Value::List(items) = &node.value else {
            self.wrong_type(node, path, Shape::Names);
            return names;
        };
        if let Some(first) = items.get(limit) {
            let problem = Problem::TooMany { what, count: items.len(), limit };
            self.faults.add(first.place, path, problem);
        }
        for (index, item) in items.iter().take(limit).enumerate() {
            let path = format!("{path}[{index}]");
            let Value::Text(text) = &item.value else {
                self.wrong_type(item, &path, Shape::Name);
                continue;
            };
            let Some(name) = self.told(item.place, &path, text.parse::<T>()) else { continue };
            match names.entry(name) {
                MapEntry::Vacant(vacant) => _ = vacant.insert(item.place),
                MapEntry::Occupied(occupied) => {
                    let problem = Problem::Repeated { name: occupied.key().to_string() };
                    self.faults.add(item.place, &path, problem);
                }
            }
        }
        names
    }

    fn number(
        &mut self,
        node: &Node,
        path: &str,
        key: &'static str,
        range: &RangeInclusive<u32>,
    ) -> Option<u32> {
        let path = join(path, key);
        let Value::Integer(number) = node.value else {
            self.wrong_type(node, &path, Shape::Number);
            return None;
        };
        let number = u32::try_from(number)
            .map_err(|_| out_of_range(key, &number, range))
            .and_then(|number| within(key, number, range));
        self.told(node.place, &path, number)
    }

    fn size(
        &mut self,
        fields: &Fields<'_>,
        key: &'static str,
        range: &RangeInclusive<Mebibytes>,
    ) -> Option<Mebibytes> {
        let node = self.required(fields, key, Shape::Size)?;
        let path = join(&fields.path, key);
        let size = match &node.value {
            Value::Integer(number) if *number > 0 => {
                Err(Problem::UnitMissing { value: number.to_string() })
            }
            Value::Integer(number) => Err(out_of_range(key, number, range)),
            Value::Text(text) => size_in(text, key, range),
            Value::Null
            | Value::Boolean(_)
            | Value::Fraction
            | Value::Huge
            | Value::List(_)
            | Value::Mapping(_) => {
                self.wrong_type(node, &path, Shape::Size);
                return None;
            }
        };
        self.told(node.place, &path, size)
    }

    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, expected: Shape) {
        let problem = Problem::WrongType { expected, found: node.describe() };
        self.faults.add(node.place, path, problem);
    }

    /// What was read, or nothing once its problem is told.
    pub(super) fn told<T, E: Into<Problem>>(
        &mut self,
        place: Place,
        path: &str,
        read: Result<T, E>,
    ) -> Option<T> {
        read.map_err(|problem| self.faults.add(place, path, problem.into())).ok()
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The size that `text` says.
fn size_in(
    text: &str,
    key: &'static str,
    range: &RangeInclusive<Mebibytes>,
) -> Result<Mebibytes, Problem> {
    let text = text.trim();
    match text.parse::<Mebibytes>() {
        Ok(size) if range.contains(&size) => Ok(size),
        Ok(_) | Err(MalformedSize::Huge(_)) => Err(out_of_range(key, &text, range)),
        Err(MalformedSize::Number(_) | MalformedSize::Unit(_)) => {
            let negative = text.strip_prefix('-').is_some_and(|size| size_meant(size).is_some());
            if negative {
                return Err(out_of_range(key, &text, range));
            }
            Err(Problem::NotASize { text: excerpt(text), instead: size_meant(text) })
        }
    }
}

/// The size that was probably meant by a whole number with a unit in another spelling.
fn size_meant(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mib" | "mi" => "MiB",
        "g" | "gb" | "gib" | "gi" => "GiB",
        "t" | "tb" | "tib" | "ti" => "TiB",
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| format!("{number}{unit}"))
}
