//! Claims about what can be wanted of a tunnel.

use std::net::IpAddr;

use crate::check::check;
use crate::{Fault, InterfaceName, MTU_MIN, PEERS_MAX, Peer, PrivateKey, Wanted};

fn peer(number: u16) -> Peer {
    let [high, low] = number.to_be_bytes();
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&[high, low]);
    Peer {
        public_key: PrivateKey::from_bytes(bytes).public(),
        endpoint: None,
        addresses: vec![IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 1, number])],
        keepalive: None,
    }
}

fn wanted(peers: Vec<Peer>) -> Wanted {
    Wanted {
        name: "wg0".parse().unwrap(),
        private_key: PrivateKey::from_bytes([1; 32]),
        listen_port: 51820,
        address: IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        prefix: 64,
        mtu: 1420,
        peers,
    }
}

#[test]
fn peers_with_keys_and_addresses_of_their_own_are_accepted() {
    assert_eq!(check(&wanted(vec![peer(1), peer(2)])), Ok(()));
}

#[test]
fn a_key_belongs_to_one_peer_and_not_to_the_gateway() {
    let mut twin = peer(1);
    twin.addresses = vec![];
    let key = twin.public_key;
    assert_eq!(check(&wanted(vec![peer(1), twin])), Err(Fault::TwiceKey(key)));
    let mut own = wanted(vec![peer(1)]);
    own.peers[0].public_key = own.private_key.public();
    assert!(matches!(check(&own), Err(Fault::TwiceKey(_))));
}

#[test]
fn an_inner_address_belongs_to_one_peer_and_not_to_the_gateway() {
    let mut other = peer(2);
    other.addresses = peer(1).addresses;
    let shared = other.addresses[0];
    assert_eq!(check(&wanted(vec![peer(1), other])), Err(Fault::TwiceAddress(shared)));
    let mut own = peer(1);
    own.addresses = vec![wanted(vec![]).address];
    assert!(matches!(check(&wanted(vec![own])), Err(Fault::TwiceAddress(_))));
}

#[test]
fn what_no_tunnel_can_be_is_refused() {
    let small = Wanted { mtu: MTU_MIN - 1, ..wanted(vec![]) };
    assert_eq!(check(&small), Err(Fault::Mtu(MTU_MIN - 1)));
    let long = Wanted { prefix: 129, ..wanted(vec![]) };
    assert!(matches!(check(&long), Err(Fault::Prefix { prefix: 129, .. })));
    let crowd = (0..=u16::try_from(PEERS_MAX).unwrap()).map(peer).collect();
    assert_eq!(check(&wanted(crowd)), Err(Fault::TooManyPeers(PEERS_MAX + 1)));
}

#[test]
fn an_interface_has_a_name_that_the_kernel_takes() {
    for name in ["wg0", "rsv-tunnel", "a", "_x.1", "abcdefghijklmno"] {
        assert_eq!(name.parse::<InterfaceName>().map(|name| name.to_string()), Ok(name.to_owned()));
    }
    for name in ["", ".", "..", "-a", "a/b", "a b", "wg%d", "abcdefghijklmnop", "ö"] {
        assert!(name.parse::<InterfaceName>().is_err(), "{name}");
    }
}

#[test]
fn a_private_key_is_not_printed() {
    let key = PrivateKey::from_bytes([0xab; 32]);
    assert!(!format!("{key:?}").to_lowercase().contains("abab"));
}
