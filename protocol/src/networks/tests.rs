//! Claims about prefixes, the addresses in them, and speeds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::gateway::{Gateway, TunnelKey, successor};
use super::*;
use crate::ids::NodeId;

fn prefix(text: &str) -> Prefix4 {
    text.parse().unwrap_or_else(|refused| panic!("{refused}"))
}

fn told(text: &str) -> String {
    text.parse::<Prefix4>().unwrap_err().to_string()
}

#[test]
fn the_first_four_addresses_and_the_last_are_nobodys() {
    let small = prefix("10.1.2.16/28");
    assert_eq!(small.gateway().to_string(), "10.1.2.17");
    assert_eq!(small.offsets(), 4..15);
    let addresses: Vec<_> = (0..20).filter_map(|at| small.address(Offset(at))).collect();
    assert_eq!(addresses.len(), 11);
    assert_eq!(addresses[0].to_string(), "10.1.2.20");
    assert_eq!(addresses[10].to_string(), "10.1.2.30");
    for outside in ["10.1.2.16", "10.1.2.19", "10.1.2.31", "10.1.2.32", "10.1.2.15", "9.9.9.9"] {
        assert_eq!(small.offset(outside.parse().unwrap()), None, "{outside}");
    }
}

#[test]
fn a_share_of_a_prefix_is_nobody_elses() {
    let whole = prefix("10.4.0.0/20");
    let mut given = vec![prefix("10.4.1.128/25"), prefix("10.9.0.0/16")];
    for expected in ["10.4.0.0/24", "10.4.2.0/24", "10.4.3.0/24"] {
        let share = whole.share(&given).unwrap();
        assert!(share == prefix(expected) && whole.contains(share));
        given.push(share);
    }
    assert_eq!(prefix("10.4.0.0/26").share(&[]), Some(prefix("10.4.0.0/28")));
    assert_eq!(prefix("10.4.0.0/26").share(&[whole]), None);
    assert_eq!(
        Prefix4::spare(&[prefix("10.0.0.0/8"), prefix("172.16.0.0/12")]),
        prefix("1.1.0.0/16")
    );
}

#[test]
fn of_a_groups_routes_those_count_on_a_network_that_lead_somewhere_there() {
    let written = [
        "10.9.0.0/16 via 10.1.0.5",
        "fd99::/32 via fd00:0:0:2::5",
        "0.0.0.0/0 via exit",
        "10.0.0.0/8 via nobody",
        "10.1.0.0/28 via nobody",
    ];
    let routes = Routes::new(written.map(|route| route.parse().unwrap()).to_vec()).unwrap();
    let on = |four: &str, six: &str, outbound| -> Vec<String> {
        let routes = routes.on((prefix(four), six.parse().unwrap()), outbound);
        routes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(on("10.1.0.0/24", "fd00:0:0:1::/64", false), [written[0], written[3]]);
    assert_eq!(on("10.2.0.0/24", "fd00:0:0:2::/64", true), &written[1..]);
}

#[test]
fn no_bytes_are_routes_that_could_not_be_said() {
    let read = |text: &str| text.parse::<Route>().unwrap();
    let twice = vec![read("10.9.0.0/16 via exit"), read("10.9.0.0/16 via nobody")];
    let many = (0..=ROUTES_MAX).map(|it| read(&format!("10.{it}.0.0/16 via nobody"))).collect();
    let by = Hop::Machine(std::net::IpAddr::from([10, 1, 0, 5]));
    let mixed = vec![Route { hop: by, ..read("fd99::/32 via nobody") }];
    for routes in [twice, many, mixed] {
        assert!(Routes::new(routes.clone()).is_err());
        let bytes = crate::codec::encode(&routes);
        assert!(crate::codec::decode::<Routes>(&bytes, 1 << 16).is_err());
    }
}

#[test]
fn a_prefix_that_no_network_can_have_is_refused_with_the_one_that_was_meant() {
    assert_eq!(told("10.1.0.1/16"), "10.1.0.1/16 is an address within the prefix 10.1.0.0/16");
    assert_eq!(told("10.1.0.0/30"), "the length of 10.1.0.0/30 must be from 8 to 28");
    assert_eq!(
        told("169.254.0.0/16"),
        "169.254.0.0/16 overlaps 169.254.0.0/16, which is for link-local addresses, where metadata \
         is served"
    );
    assert_eq!(told("224.0.0.0/8"), "224.0.0.0/8 overlaps 224.0.0.0/4, which is for multicast");
    assert_eq!(told("10.1/16"), "'10.1/16' is no prefix of a network");
    let six = |text: &str| text.parse::<Prefix6>().unwrap_err().to_string();
    assert_eq!(six("fd00::/48"), "the length of fd00::/48 must be 64");
    assert_eq!(six("fd00::1/64"), "fd00::1/64 is an address within the prefix fd00::/64");
    assert_eq!(
        six("fe80::/64"),
        "fe80::/64 overlaps what is neither fc00::/7 nor 2000::/3, which is for other addresses \
         than machines'"
    );
}

#[test]
fn prefixes_overlap_if_one_is_within_the_other() {
    assert!(prefix("10.0.0.0/8").overlaps(prefix("10.9.0.0/16")));
    assert!(prefix("10.9.0.0/16").overlaps(prefix("10.0.0.0/8")));
    assert!(!prefix("10.8.0.0/16").overlaps(prefix("10.9.0.0/16")));
}

#[test]
fn a_speed_counts_bytes_and_says_so_to_who_counts_bits() {
    let speed = |text: &str| text.parse::<Speed>();
    for text in ["5MBS", "5 MB/s", "5MBs", "5000KBS"] {
        assert_eq!(speed(text).map(Speed::bytes_per_second), Ok(5_000_000), "{text}");
    }
    let told = |text: &str| speed(text).unwrap_err().to_string();
    assert_eq!(told("40Mbit"), "'40Mbit' counts bits, and speeds here count bytes a second");
    assert_eq!(told("40Mb/s"), "'40Mb/s' counts bits, and speeds here count bytes a second");
    assert_eq!(told("fast"), "'fast' is no speed");
    assert_eq!(told("1KBS"), "'1KBS' is not from 8KBS to 12500MBS");
    assert_eq!(
        told("99999999999999999999MBS"),
        MalformedSpeed::Malformed("99999999999999999999MBS".to_owned()).to_string()
    );
}

proptest! {
    #[test]
    fn an_address_and_its_offset_are_each_others(bits: u32, length in 8_u8..=28, at: u32) {
        let Ok(net) = ipnet::Ipv4Net::new(bits.into(), length) else { return Ok(()) };
        let Ok(prefix) = Prefix4::try_from(net.trunc()) else { return Ok(()) };
        let offset = Offset(at % (1 << (32 - length)));
        match prefix.address(offset) {
            Some(address) => {
                prop_assert_eq!(prefix.offset(address), Some(offset));
                prop_assert!(prefix.net().contains(&address));
            }
            None => prop_assert!(offset.0 < 4 || offset.0 == (1 << (32 - length)) - 1),
        }
        prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
    }

    #[test]
    fn no_text_makes_these_readers_panic(text in "\\PC{0,40}") {
        drop(text.parse::<Prefix4>());
        drop(text.parse::<Prefix6>());
        drop(text.parse::<Speed>());
    }

    #[test]
    fn what_is_written_is_read_as_the_same(bytes in 8_000_u64..=12_500_000, digest: [u8; 32], subnet: u16) {
        let speed = Speed::try_from(bytes * 1_000).unwrap();
        prop_assert_eq!(speed.to_string().parse(), Ok(speed));
        let six = Prefix6::unique_local(&digest, subnet);
        prop_assert_eq!(six.to_string().parse(), Ok(six));
        prop_assert_eq!(crate::codec::decode::<Prefix6>(&crate::codec::encode(&six), 100).unwrap(), six);
    }
}

#[test]
fn a_gateway_stays_while_it_is_reached_and_gives_way_to_one_that_can_be_called() {
    let nodes = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect::<BTreeSet<_>>();
    let able = BTreeMap::from([(NodeId(1), false), (NodeId(2), true), (NodeId(3), true)]);
    let all = nodes(&[1, 2, 3]);
    assert_eq!(successor(&able, &all, None), Some(NodeId(2)));
    assert_eq!(successor(&able, &all, Some(NodeId(3))), None);
    assert_eq!(successor(&able, &all, Some(NodeId(1))), Some(NodeId(2)));
    assert_eq!(successor(&able, &nodes(&[1, 3]), Some(NodeId(2))), Some(NodeId(3)));
    assert_eq!(successor(&able, &nodes(&[1]), Some(NodeId(2))), Some(NodeId(1)));
    assert_eq!(successor(&able, &nodes(&[1]), Some(NodeId(1))), None);
    assert_eq!(successor(&able, &nodes(&[]), Some(NodeId(1))), None);
    assert_eq!(successor(&able, &nodes(&[4]), Some(NodeId(4))), None);
}

#[test]
fn an_address_inside_the_tunnel_is_one_keys_own() {
    let one = TunnelKey::from_bytes([1; 32]).address();
    let other = TunnelKey::from_bytes([2; 32]).address();
    assert_ne!(one, other);
    assert!(one.to_string().starts_with("fd72:7376:"), "{one}");
}

#[test]
fn packets_are_sent_to_no_place_that_is_this_machine_or_many() {
    let key = TunnelKey::from_bytes([1; 32]);
    let at = |text: &str| Gateway { key, endpoint: Some(text.parse().unwrap()) };
    assert!(Gateway { key, endpoint: None }.is_sound());
    for good in ["192.0.2.1:51820", "10.0.0.1:1", "[2001:db8::1]:51820"] {
        assert!(at(good).is_sound(), "{good}");
    }
    let bad = [
        "192.0.2.1:0",
        "127.0.0.1:53",
        "[::1]:53",
        "0.0.0.0:1",
        "[::]:1",
        "224.0.0.1:1",
        "[ff02::1]:1",
    ];
    for bad in bad.iter().chain(&["255.255.255.255:9"]) {
        assert!(!at(bad).is_sound(), "{bad}");
    }
}
