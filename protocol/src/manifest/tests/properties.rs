//! Properties: no bytes make the reader panic, and what is written is read as the same.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::networks::Routes;
use crate::security::{Direction, Rule, default_memberships};

/// Names that are awkward in YAML unless quoted, and others.
fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("no".to_owned()),
        Just("e1".to_owned()),
        "[a-z]([a-z0-9-]{0,20}[a-z0-9])?",
    ]
}

fn component() -> impl Strategy<Value = (Component, Vec<bool>)> {
    let size = (VCPUS, MEMORY.start().0..=MEMORY.end().0, DISK.start().0..=DISK.end().0).prop_map(
        |(vcpus, memory, disk)| Size { vcpus, memory: Mebibytes(memory), disk: Mebibytes(disk) },
    );
    let sites = btree_set("[A-Za-z0-9._-]{1,64}", 1..4).prop_map(|sites| {
        sites.iter().map(|site| site.parse::<SiteReference>().unwrap()).collect()
    });
    let policy = (select(&OnPartition::ALL[..]), select(&Class::ALL[..]));
    (
        size,
        1_u32..=64,
        "[A-Za-z0-9._:/+@-]{1,64}",
        option::of(sites),
        policy,
        vec(any::<bool>(), 12),
        option::of(any::<String>()),
    )
        .prop_map(|(size, replicas, image, sites, (on_partition, class), waits, text)| {
            let user_data = text.map(|text| text.into_bytes().try_into().unwrap());
            let image = image.parse().unwrap();
            let after = BTreeSet::new();
            let networks = BTreeMap::new();
            let security = BTreeSet::new();
            let component = Component {
                image,
                size,
                replicas,
                after,
                networks,
                security,
                sites,
                on_partition,
                class,
                user_data,
            };
            (component, waits)
        })
}

/// The network with this number: its prefix, if it has one, is no other's.
fn network(number: usize) -> impl Strategy<Value = Network> {
    let prefix = format!("10.{number}.0.0/16").parse().unwrap();
    let prefix6 = format!("fd00:0:0:{number}::/64").parse().unwrap();
    let speed = (8_000_u64..=100_000).prop_map(|speed| (speed * 1_000).try_into().unwrap());
    let group = label().prop_map(|group| group.parse().unwrap());
    (
        option::of(Just(prefix)),
        option::of(Just(prefix6)),
        option::of(speed),
        select(&Class::ALL[..]),
        any::<bool>(),
        option::of(group),
    )
        .prop_map(|(prefix, prefix6, speed, class, outbound, group)| Network {
            prefix,
            prefix6,
            speed,
            class,
            outbound,
            group,
        })
}

/// Up to four networks, so that any component may be on all of them, and their groups.
fn networks() -> impl Strategy<Value = (BTreeMap<NetworkName, Network>, Groups)> {
    let networks = [0, 1, 2, 3].map(network);
    (btree_set(label(), 1..=4), networks, option::of(group())).prop_map(
        |(names, networks, group)| {
            let names = names.iter().map(|name| name.parse().unwrap());
            let networks: BTreeMap<NetworkName, Network> = names.zip(networks).collect();
            let named = networks.values().filter_map(|network| network.group.clone());
            let groups = named.take(2).filter_map(|name| Some((name, group.clone()?))).collect();
            (networks, groups)
        },
    )
}

/// What may be said of a group of any of those networks.
fn group() -> impl Strategy<Value = Group> {
    let routes = ["10.200.0.0/16 via nobody", "fd99::/32 via nobody", "0.0.0.0/0 via nobody"];
    let prefix = option::of(Just("10.0.0.0/8".parse().unwrap()));
    (prefix, subsequence(routes.to_vec(), 0..=3)).prop_map(|(prefix, routes)| {
        let routes = routes.into_iter().map(|route| route.parse().unwrap()).collect();
        Group { prefix, routes: Routes::new(routes).unwrap() }
    })
}

/// Groups with rules that name each other.
fn groups() -> impl Strategy<Value = SecurityGroups> {
    let ingress = ["tcp 443 from 0.0.0.0/0", "udp 1-99 from ::/0", "icmp from default"];
    let egress = ["any to 10.0.0.0/8", "tcp 5432 to default"];
    let rules =
        (subsequence(ingress.to_vec(), 0..=3), option::of(subsequence(egress.to_vec(), 0..=2)));
    btree_map(label(), rules, 0..4).prop_map(|groups| {
        let named = groups.into_iter().map(|(name, (ingress, egress))| {
            let read = |rules: Vec<&str>, way| {
                rules.iter().map(|rule| Rule::parse(rule, way).unwrap()).collect::<Vec<_>>()
            };
            let egress = egress.map(|rules| read(rules, Direction::Egress));
            let egress = egress.unwrap_or_else(Rules::anything);
            let rules = Rules::new(read(ingress, Direction::Ingress), egress).unwrap();
            (name.parse().unwrap(), rules)
        });
        security::with_default(named.collect())
    })
}

/// Puts a component on those networks that `on` says, or on the first one. A single machine on a
/// network whose prefix is said has a fixed address there, if it is to.
fn attach(
    component: &mut Component,
    networks: &BTreeMap<NetworkName, Network>,
    (number, on): (u32, &[(bool, bool)]),
) {
    for (index, ((name, network), (on, fixed))) in networks.iter().zip(on).enumerate() {
        let prefix = network.prefix.filter(|_| *fixed && component.replicas == 1);
        let address = prefix.map(|prefix| prefix.at(4 + number));
        if *on || index == 0 {
            let public = *fixed && network.outbound;
            component.networks.insert(name.clone(), Attachment { address, public });
        }
    }
}

/// Manifests in which each component may wait for any of those before it by name.
fn manifest() -> impl Strategy<Value = Manifest> {
    let on = vec(vec(any::<(bool, bool)>(), 4), 12);
    let components = vec(component(), 12);
    let shape = (label(), networks(), groups(), btree_set(label(), 1..12), components, on);
    shape.prop_map(|(service, (networks, routed), groups, names, components, on)| {
        let names: Vec<ComponentName> = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut all = BTreeMap::new();
        for (number, (mut component, after)) in components.into_iter().enumerate() {
            let Some(name) = names.get(number) else { break };
            let earlier = names[..number].iter().zip(after).filter(|(_, wanted)| *wanted);
            component.after = earlier.map(|(name, _)| name.clone()).collect();
            let known = groups.keys().zip(&on[number]);
            let joined = known.filter(|(_, (on, _))| *on).map(|(name, _)| name.clone());
            component.security = joined.collect();
            if component.security.is_empty() {
                component.security = default_memberships();
            }
            attach(&mut component, &networks, (u32::try_from(number).unwrap(), &on[number]));
            all.insert(name.clone(), component);
        }
        Manifest::new(service.parse().unwrap(), (networks, routed), groups, all).unwrap()
    })
}

/// Texts that go deeper into the reader than arbitrary bytes: the example with pieces of YAML
/// put into it.
fn mangled() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "\n",
        "  ",
        "\t",
        ":",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "!!int ",
        "|\n",
        ">",
        "?",
        "---\n",
        "...\n",
        "<<: ",
        "-1",
        "1e999",
        ".nan",
        "0x1f",
        "99999999999999999999",
        "99999999999999999999999999999999999999999999",
        "\u{0}",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "ü",
        "\r",
        "after",
        "null",
        "true",
        "networks:\n  red: {}\n",
        "security:\n  web: { ingress: [tcp 80 from web] }\n",
        "    security: [web]\n",
        "from ",
        "networks: {red: {prefix: 10.1.0.0/16}}\n",
        "networks: {red: {group: one}}\ngroups: {one: {prefix: 10.1.0.0/16}}\n",
        "groups: {one: {routes: [10.9.0.0/16 via 10.1.0.5]}}\n",
        "    networks: [red]\n",
        "    networks: {red: {address: 10.1.0.9}}\n",
        "%YAML 1.2\n",
        "@",
        "`",
        ",",
    ]);
    vec((any::<prop::sample::Index>(), piece), 1..12).prop_map(|pieces| {
        let mut text: Vec<char> = EXAMPLES[0].1.chars().collect();
        for (index, piece) in pieces {
            let at = index.index(text.len() + 1);
            text.splice(at..at, piece.chars());
        }
        text.into_iter().collect()
    })
}

/// Whatever is wrong can be shown, and what is right keeps the invariant.
fn is_answered(text: &[u8]) {
    match parse(text) {
        Ok(manifest) => {
            assert_eq!(
                Manifest::new(
                    manifest.service.clone(),
                    (manifest.networks.clone(), manifest.groups.clone()),
                    manifest.security.clone(),
                    manifest.components.clone()
                ),
                Ok(manifest.clone())
            );
            let started: usize = manifest.startup_order().iter().map(Vec::len).sum();
            assert_eq!(started, manifest.components.len());
        }
        Err(faults) => {
            assert!(faults.iter().next().is_some());
            assert!(faults.iter().all(|fault| !fault.hint().is_empty()));
            assert!(faults.iter().all(|fault| fault.place.line > 0 && fault.place.column > 0));
            let shown = faults.render("f", text);
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
}

proptest! {
    #[test]
    fn a_written_manifest_is_read_as_the_same(manifest in manifest()) {
        let text = manifest.to_string();
        prop_assert_eq!(parse(text.as_bytes()), Ok(manifest), "{}", text);
    }

    #[test]
    fn a_manifest_survives_the_log(manifest in manifest()) {
        let bytes = codec::encode(&manifest);
        prop_assert_eq!(codec::decode_canonical::<Manifest>(&bytes, LENGTH_MAX).unwrap(), manifest);
    }

    #[test]
    fn each_component_comes_after_all_that_it_waits_for(manifest in manifest()) {
        let mut started = BTreeSet::new();
        for wave in manifest.startup_order() {
            for name in &wave {
                let after = &manifest.components[*name].after;
                prop_assert!(after.iter().all(|other| started.contains(other)));
            }
            started.extend(wave);
        }
        prop_assert_eq!(started.len(), manifest.components.len());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..400)) {
        is_answered(&bytes);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        is_answered(text.as_bytes());
    }

    #[test]
    fn no_mangled_manifest_makes_the_reader_panic(text in mangled()) {
        is_answered(text.as_bytes());
    }
}
