//! From a tree of values to networks, and to how components are on them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::super::fault::Place;
use super::super::name::{self, GroupName, NetworkName};
use super::super::problem::Shape;
use super::super::read::{Entry, Fields, Reader};
use super::super::tree::{Node, Value};
use super::{Attachment, Network, Problem};
use crate::manifest;
use crate::networks::NETWORKS_MAX;
use crate::sla::Class;
use crate::text::excerpt;

/// A map with one more entry. If any entry is bad there is no map: whether the others fit together
/// could not be said.
pub(in crate::manifest) fn with<K: Ord, V>(
    map: Option<BTreeMap<K, V>>,
    entry: Option<(K, V)>,
) -> Option<BTreeMap<K, V>> {
    let (mut map, (key, value)) = map.zip(entry)?;
    map.insert(key, value);
    Some(map)
}

impl Reader {
    pub(in crate::manifest) fn networks(
        &mut self,
        node: &Node,
    ) -> Option<BTreeMap<NetworkName, Network>> {
        let entries = self.entries(node, "networks")?;
        if matches!(&node.value, Value::Mapping(pairs) if pairs.is_empty()) {
            self.faults.add(node.place, "networks", Problem::NoNetworks.into());
        }
        let mut networks = Some(BTreeMap::new());
        // One more than there may be, so that it is told that they are too many.
        for Entry { key, place, value } in entries.into_iter().take(NETWORKS_MAX + 1) {
            let path = format!("networks.{}", excerpt(key));
            let name = self.told(place, &path, key.parse::<NetworkName>());
            let network = self.network(value, place, &path);
            networks = with(networks, name.zip(network));
        }
        networks
    }

    fn network(&mut self, node: &Node, place: Place, path: &str) -> Option<Network> {
        const KEYS: &[&str] = &["prefix", "prefix6", "speed", "sla", "outbound", "group"];
        let fields = self.fields(node, place, path, KEYS)?;
        let prefix = self.optional(&fields, path, "prefix", Shape::Prefix);
        let prefix6 = self.optional(&fields, path, "prefix6", Shape::Prefix);
        let speed = self.optional(&fields, path, "speed", Shape::Speed);
        let class = match fields.values.get("sla") {
            Some(node) => self.class(node, &format!("{path}.sla")),
            None => Some(Class::default()),
        };
        let outbound = match fields.values.get("outbound") {
            Some(node) => self.truth(node, &format!("{path}.outbound")),
            None => Some(false),
        };
        let group: Option<Option<GroupName>> =
            self.optional::<_, name::Error>(&fields, path, "group", Shape::Name);
        Some(Network {
            prefix: prefix?,
            prefix6: prefix6?,
            speed: speed?,
            class: class?,
            outbound: outbound?,
            group: group?,
        })
    }

    /// The networks of a component: a list of names, or names with what is said of each.
    pub(in crate::manifest) fn attachments(
        &mut self,
        node: &Node,
        path: &str,
    ) -> Option<BTreeMap<NetworkName, Attachment>> {
        if !matches!(node.value, Value::Mapping(_)) {
            let names = self.names(node, path, NETWORKS_MAX, "networks");
            return Some(names.into_keys().map(|name| (name, Attachment::default())).collect());
        }
        let mut attachments = Some(BTreeMap::new());
        for Entry { key, place, value } in self.entries(node, path)?.into_iter().take(NETWORKS_MAX)
        {
            let path = format!("{path}.{}", excerpt(key));
            let name = self.told(place, &path, key.parse::<NetworkName>());
            let attachment = self.attachment(value, place, &path);
            attachments = with(attachments, name.zip(attachment));
        }
        attachments
    }

    fn attachment(&mut self, node: &Node, place: Place, path: &str) -> Option<Attachment> {
        let fields = self.fields(node, place, path, &["address", "public"])?;
        let address = match fields.values.get("address") {
            Some(node) => Some(self.address(node, &format!("{path}.address"))?),
            None => None,
        };
        let public = match fields.values.get("public") {
            Some(node) => self.truth(node, &format!("{path}.public"))?,
            None => false,
        };
        Some(Attachment { address, public })
    }

    fn address(&mut self, node: &Node, path: &str) -> Option<Ipv4Addr> {
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, path, Shape::Address);
            return None;
        };
        let malformed = |_| Problem::NotAnAddress { text: excerpt(text) };
        self.told(node.place, path, text.parse().map_err(malformed))
    }

    fn truth(&mut self, node: &Node, path: &str) -> Option<bool> {
        if let Value::Boolean(truth) = node.value {
            return Some(truth);
        }
        self.wrong_type(node, path, Shape::Truth);
        None
    }

    /// What a text under a key stands for; the inner one is none if the key is not there.
    pub(super) fn optional<T: FromStr<Err = E>, E: Into<manifest::Problem>>(
        &mut self,
        fields: &Fields<'_>,
        path: &str,
        key: &'static str,
        shape: Shape,
    ) -> Option<Option<T>> {
        let Some(node) = fields.values.get(key) else { return Some(None) };
        let path = format!("{path}.{key}");
        let Value::Text(text) = &node.value else {
            self.wrong_type(node, &path, shape);
            return None;
        };
        self.told(node.place, &path, text.parse()).map(Some)
    }
}
