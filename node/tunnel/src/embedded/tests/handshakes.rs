//! Who may begin handshakes, and how often.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::embedded::flood::Flood;

/// How many of `count` are admitted.
fn admitted(flood: &mut Flood, source: IpAddr, count: usize, now: Instant) -> usize {
    (0..count).filter(|_| flood.admits(source, now)).count()
}

#[test]
fn a_source_begins_twenty_handshakes_in_a_second() {
    let now = Instant::now();
    let mut flood = Flood::new(now);
    let source = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(admitted(&mut flood, source, 1000, now), 20);
    assert_eq!(admitted(&mut flood, source, 1000, now + Duration::from_secs(1)), 20);
}

#[test]
fn an_address_of_ipv4_inside_ipv6_is_the_same_source() {
    let now = Instant::now();
    let mut flood = Flood::new(now);
    let source = Ipv4Addr::new(192, 0, 2, 1);
    assert_eq!(admitted(&mut flood, source.into(), 12, now), 12);
    assert_eq!(admitted(&mut flood, source.to_ipv6_mapped().into(), 12, now), 8);
}

#[test]
fn a_network_of_ipv6_is_one_source() {
    let now = Instant::now();
    let mut flood = Flood::new(now);
    let source = |host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, host));
    let total: usize = (0..100).map(|host| admitted(&mut flood, source(host), 1, now)).sum();
    assert_eq!(total, 20);
}
