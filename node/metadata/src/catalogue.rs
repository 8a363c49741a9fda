//! What a guest finds, and since which version: EC2's categories, as far as they mean something
//! here. What is not known of a machine is not there; nothing is made up.

use std::iter::once;

use crate::document;
use crate::instance::{Card, Instance};
use crate::tree::Directory;
use crate::version::Version;

/// All of one version.
pub(crate) fn root(instance: &Instance, version: Version) -> Directory {
    let mut identity = Directory::new(version);
    identity.value("2009-04-04", "document", document::of(instance));
    let mut dynamic = Directory::new(version);
    dynamic.directory("2009-04-04", "instance-identity", identity);
    let mut root = Directory::new(version);
    root.labelled("2009-04-04", "dynamic", "dynamic".to_owned(), dynamic);
    root.labelled("1.0", "meta-data", "meta-data".to_owned(), meta_data(instance, version));
    if let Some(user_data) = &instance.user_data
        && !user_data.bytes().is_empty()
    {
        root.bytes("1.0", "user-data", user_data.bytes().clone());
    }
    root
}

fn meta_data(instance: &Instance, version: Version) -> Directory {
    let card = &instance.card;
    let mut root = Directory::new(version);
    root.value("1.0", "ami-id", &instance.image);
    root.value("1.0", "ami-launch-index", instance.launch_index);
    // What EC2 says of an image that was not put together from parts in its object store.
    root.value("1.0", "ami-manifest-path", "(unknown)");
    root.directory("2007-12-15", "block-device-mapping", block_devices(instance, version));
    root.value("1.0", "hostname", &instance.hostname);
    root.value("2008-09-01", "instance-action", "none");
    root.value("1.0", "instance-id", &instance.id);
    root.value("2019-10-01", "instance-life-cycle", "on-demand");
    root.value("2007-08-29", "instance-type", &instance.instance_type);
    root.value_if("2021-01-03", "ipv6", card.ipv6.first());
    root.value("2007-01-19", "local-hostname", &instance.hostname);
    root.value_if("1.0", "local-ipv4", card.ipv4.first());
    root.value("2011-01-01", "mac", card.mac);
    root.directory("2011-01-01", "network", network(instance, version));
    root.directory("2008-02-01", "placement", placement(instance, version));
    root.value("2008-02-01", "profile", "default-hvm");
    root.value_if("2007-01-19", "public-ipv4", card.public.keys().next());
    root.directory("1.0", "public-keys", public_keys(instance, version));
    root.value("1.0", "reservation-id", &instance.reservation);
    root.lines("1.0", "security-groups", card.security_groups.iter().map(|group| &group.name));
    root.directory("2021-03-23", "tags", tags(instance, version));
    root
}

fn block_devices(instance: &Instance, version: Version) -> Directory {
    let mut devices = Directory::new(version);
    devices.value("2007-12-15", "ami", &instance.root_device);
    devices.value("2007-12-15", "root", &instance.root_device);
    devices
}

fn placement(instance: &Instance, version: Version) -> Directory {
    let mut placement = Directory::new(version);
    placement.value("2008-02-01", "availability-zone", &instance.zone);
    placement.value("2020-08-24", "region", &instance.region);
    placement
}

fn public_keys(instance: &Instance, version: Version) -> Directory {
    let mut keys = Directory::new(version);
    for (number, key) in instance.public_keys.iter().enumerate() {
        let mut formats = Directory::new(version);
        formats.value("1.0", "openssh-key", &key.key);
        keys.labelled("1.0", number, format!("{number}={}", key.name), formats);
    }
    keys
}

fn tags(instance: &Instance, version: Version) -> Directory {
    let mut values = Directory::new(version);
    for (key, value) in &instance.tags {
        values.value("2021-03-23", key, value);
    }
    let mut tags = Directory::new(version);
    tags.directory("2021-03-23", "instance", values);
    tags
}

fn network(instance: &Instance, version: Version) -> Directory {
    let cards = once(&instance.card).chain(&instance.more_cards);
    let mut by_mac: Vec<(String, usize, &Card)> =
        cards.enumerate().map(|(number, card)| (card.mac.to_string(), number, card)).collect();
    by_mac.sort_by(|one, other| one.0.cmp(&other.0));
    let mut macs = Directory::new(version);
    for (mac, number, card) in by_mac {
        macs.directory("2011-01-01", mac, interface(instance, number, card, version));
    }
    let mut interfaces = Directory::new(version);
    interfaces.directory("2011-01-01", "macs", macs);
    let mut network = Directory::new(version);
    network.directory("2011-01-01", "interfaces", interfaces);
    network
}

fn interface(instance: &Instance, number: usize, card: &Card, version: Version) -> Directory {
    let mut public = Directory::new(version);
    for (outside, inside) in &card.public {
        public.value("2011-01-01", outside, inside);
    }
    let groups = &card.security_groups;
    let mut root = Directory::new(version);
    root.value("2011-01-01", "device-number", number);
    root.value("2011-01-01", "interface-id", &card.id);
    root.directory("2011-01-01", "ipv4-associations", public);
    root.lines("2016-06-30", "ipv6s", &card.ipv6);
    root.value("2011-01-01", "local-hostname", &instance.hostname);
    root.lines("2011-01-01", "local-ipv4s", &card.ipv4);
    root.value("2011-01-01", "mac", card.mac);
    root.value("2011-01-01", "owner-id", &instance.account);
    root.lines("2011-01-01", "public-ipv4s", card.public.keys());
    root.lines("2011-01-01", "security-group-ids", groups.iter().map(|group| &group.id));
    root.lines("2011-01-01", "security-groups", groups.iter().map(|group| &group.name));
    root.value("2011-01-01", "subnet-id", &card.subnet);
    root.value_if("2011-01-01", "subnet-ipv4-cidr-block", card.subnet_ipv4);
    root.lines("2016-06-30", "subnet-ipv6-cidr-blocks", &card.subnet_ipv6);
    if let Some(vpc) = &card.vpc {
        root.value("2011-01-01", "vpc-id", &vpc.id);
        root.value_if("2011-01-01", "vpc-ipv4-cidr-block", vpc.ipv4.first());
        root.lines("2016-06-30", "vpc-ipv4-cidr-blocks", &vpc.ipv4);
        root.lines("2016-06-30", "vpc-ipv6-cidr-blocks", &vpc.ipv6);
    }
    root
}
