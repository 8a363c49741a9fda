//! Claims about addresses, names, tables and the fake; the real fabric is met in `tests/`.

use protocol::hull::Mac;
use protocol::ids::{MachineId, SiteId};

use crate::{
    BridgeName, Change, Error, Fabric, Fake, HostName, Lease, MalformedSubnet, Subnet, Wanted,
};

fn subnet(text: &str) -> Subnet {
    text.parse().unwrap()
}

fn lease(number: u8, address: &str) -> Lease {
    let machine = MachineId::from_uuid(uuid_of(number));
    Lease {
        mac: Mac::of(SiteId::from_bytes([7; 32]), machine, 0),
        address: address.parse().unwrap(),
        name: HostName::nearest(&format!("m{number}")),
    }
}

fn uuid_of(number: u8) -> uuid::Uuid {
    uuid::Uuid::from_bytes([number; 16])
}

fn wanted(leases: Vec<Lease>) -> Wanted {
    Wanted { bridge: "rsv-test".parse().unwrap(), subnet: subnet("10.77.1.0/24"), leases }
}

#[test]
fn a_slot_is_ten_beyond_the_base() {
    let subnet = subnet("10.77.1.0/24");
    assert_eq!(subnet.gateway().to_string(), "10.77.1.1");
    assert_eq!(subnet.slot(0).unwrap().to_string(), "10.77.1.10");
    assert_eq!(subnet.slot(244).unwrap().to_string(), "10.77.1.254");
}

#[test]
fn a_slot_beyond_the_subnet_has_no_address() {
    assert_eq!(subnet("10.77.1.0/24").slot(245), None);
    assert_eq!(subnet("10.0.0.240/28").slot(4).unwrap().to_string(), "10.0.0.254");
    assert_eq!(subnet("10.0.0.240/28").slot(5), None);
    assert_eq!(subnet("10.1.0.0/16").slot(999).unwrap().to_string(), "10.1.3.241");
    assert_eq!(subnet("10.1.0.0/16").slot(1000), None);
    assert_eq!(subnet("192.168.255.0/24").slot(u16::MAX), None);
}

#[test]
fn every_slot_is_a_guests_address_of_its_own() {
    let subnet = subnet("10.1.0.0/16");
    let addresses: Vec<_> = (0..=u16::MAX).map_while(|number| subnet.slot(number)).collect();
    assert_eq!(addresses.len(), crate::SLOTS_MAX);
    assert!(addresses.is_sorted_by(|a, b| a < b));
    assert!(addresses.iter().all(|address| subnet.is_for_guests(*address)));
}

#[test]
fn a_malformed_subnet_is_refused_with_its_reason() {
    let refused = |text: &str| text.parse::<Subnet>().unwrap_err();
    for text in ["", "10.0.0.0", "10.0.0.0/", "/24", "10.0.0/24", "10.0.0.0/24/1", "10.0.0.0/-1"] {
        assert!(matches!(refused(text), MalformedSubnet::Form(_)), "{text}");
    }
    assert!(matches!(refused("10.0.0.0/15"), MalformedSubnet::Prefix(_)));
    assert!(matches!(refused("10.0.0.0/29"), MalformedSubnet::Prefix(_)));
    assert!(matches!(refused("8.8.8.0/24"), MalformedSubnet::Public(_)));
    assert_eq!(
        refused("10.0.0.7/24").to_string(),
        "'10.0.0.7/24' is an address within a subnet: write 10.0.0.0/24"
    );
}

#[test]
fn a_bridges_name_is_what_the_kernel_takes() {
    for text in ["", "-a", "sixteen-letters-", "Upper", "a b", "a/b", "a\n", ".."] {
        assert!(text.parse::<BridgeName>().is_err(), "{text:?}");
    }
    assert_eq!("fifteen-letters".parse::<BridgeName>().unwrap().as_str(), "fifteen-letters");
}

#[test]
fn any_text_becomes_a_label_that_breaks_no_file() {
    for (text, label) in [
        ("web", "web"),
        ("Web Front 1", "web-front-1"),
        ("C1[2]", "c1-2"),
        ("a\n10.0.0.1 b,c#", "a-10-0-0-1-b-c"),
        ("--", "machine"),
        ("\u{fc}ber", "ber"),
        ("", "machine"),
    ] {
        assert_eq!(HostName::nearest(text).as_str(), label);
    }
    assert_eq!(HostName::nearest(&"x".repeat(200)).as_str().len(), 63);
}

#[tokio::test]
async fn a_table_that_contradicts_itself_changes_nothing() {
    let fake = Fake::new();
    let refused = async |leases| fake.converge(&wanted(leases)).await.unwrap_err();
    for address in ["10.77.2.10", "10.77.1.0", "10.77.1.1", "10.77.1.255"] {
        assert!(matches!(refused(vec![lease(1, address)]).await, Error::Outside { .. }));
    }
    let (a, b) = (lease(1, "10.77.1.10"), lease(2, "10.77.1.10"));
    assert!(matches!(refused(vec![a.clone(), b]).await, Error::Twice { .. }));
    assert!(matches!(refused(vec![a.clone(), a]).await, Error::Twice { .. }));
    assert_eq!(fake.present(), None);
}

#[tokio::test]
async fn the_fake_converges_and_fails_as_told() {
    let fake = Fake::new();
    let wanted = wanted(vec![lease(1, "10.77.1.10")]);
    fake.fail(1);
    assert!(matches!(fake.converge(&wanted).await, Err(Error::Told)));
    assert_eq!(fake.present(), None);
    assert_eq!(fake.converge(&wanted).await.unwrap(), Change::Made);
    assert_eq!(fake.converge(&wanted).await.unwrap(), Change::Nothing);
    assert_eq!(fake.present(), Some(wanted));
    fake.close().await.unwrap();
    assert_eq!(fake.present(), None);
}
