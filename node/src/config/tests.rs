//! Claims about the configuration: the example shows every key and says what the defaults are.

use expect_test::expect;
use protocol::sla::Class;

use super::*;

const EXAMPLE: &str = include_str!("../../../examples/node.toml");

fn fault(text: &str) -> String {
    let file = toml::from_str::<File>(text).map_err(|fault| fault.to_string());
    match file {
        Err(fault) => fault,
        Ok(file) => {
            let fault = check(file).expect_err("the text should have been refused");
            let source = std::error::Error::source(&fault);
            source.map_or_else(|| fault.to_string(), |source| format!("{fault}: {source}"))
        }
    }
}

#[test]
fn the_example_is_the_default_with_a_peer_and_classes_beside_it() {
    let example = check(toml::from_str(EXAMPLE).unwrap()).unwrap();
    let mut default = read(None).unwrap();
    assert_eq!(example.peers.len(), 1);
    default.peers.clone_from(&example.peers);
    default.tariff.classes = example.tariff.classes;
    assert_eq!(example.tariff.classes.sold().count(), Class::ALL.len());
    default.name.clone_from(&example.name);
    default.host.name.clone_from(&example.host.name);
    default.host.vcpus = example.host.vcpus;
    default.host.memory = example.host.memory;
    default.host.disk = example.host.disk;
    default.api_external.clone_from(&example.api_external);
    default.bus.external.clone_from(&example.bus.external);
    default.network.external = example.network.external;
    default.network.underlay = example.network.underlay;
    default.network.outside.clone_from(&example.network.outside);
    default.network.resolvers.clone_from(&example.network.resolvers);
    assert_eq!(format!("{example:?}"), format!("{default:?}"));
}

#[test]
fn the_example_names_every_key() {
    let keys = [
        "name",
        "listen",
        "external",
        "mdns",
        "relay",
        "site",
        "addresses",
        "sells_to",
        "buys_from",
        "currency",
        "vcpu_hour",
        "memory_gib_hour",
        "disk_gib_hour",
        "bronze",
        "silver",
        "gold",
        "libvirt",
        "vcpus",
        "memory",
        "disk",
        "guest_uids",
        "tunnel_port",
        "behind_nat",
        "underlay",
        "outside",
        "resolvers",
        "seconds",
        "start",
        "filter",
        "json",
    ];
    for key in keys {
        assert!(
            EXAMPLE.lines().any(|line| line.trim_start().starts_with(&format!("{key} ="))),
            "examples/node.toml does not show '{key}'"
        );
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    expect![[r#"
        TOML parse error at line 2, column 1
          |
        2 | listn = '127.0.0.1:1'
          | ^^^^^
        unknown field `listn`, expected `listen` or `external`
    "#]]
    .assert_eq(&fault("[api]\nlistn = '127.0.0.1:1'\n"));
}

#[test]
fn a_price_is_never_a_float() {
    expect!["the configuration's prices.vcpu_hour cannot be '1e3': '1e3' is no amount: write one with at most six decimals, such as 0.010000"]
        .assert_eq(&fault("[prices]\nvcpu_hour = '1e3'\n"));
    assert!(fault("[prices]\nvcpu_hour = 0.01\n").contains("expected a string"));
    expect!["the configuration's sla.gold cannot be 'twice': 'twice' is no factor: write one from 0 to 1000 with at most three decimals, such as 1.2"]
        .assert_eq(&fault("[sla]\ngold = 'twice'\n"));
    assert!(fault("[sla]\nplatinum = '2'\n").contains("unknown field"));
}

#[test]
fn a_peer_stands_there_once() {
    let id = "00".repeat(32);
    let peer = format!("[[peer]]\nname = 'beta'\nsite = '{id}'\naddresses = []\n");
    expect!["two peers in the configuration are 'beta': give each a name and a site of its own"]
        .assert_eq(&fault(&peer.repeat(2)));
}
