//! Claims about a buyer's round of asking.

use super::buyer::{Asking, Offer};
use super::*;
use crate::identity::{Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement};
use crate::units::{Currency, Mebibytes, Micros};

const NOW: Timestamp = Timestamp::from_millis(1_000);

const fn machine() -> MachineId {
    MachineId::from_uuid(uuid::Uuid::from_u128(1))
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32])
}

fn site(number: u8) -> SiteId {
    key(number).public().site()
}

/// The offer of a site at an hourly price.
fn offer(number: u8, price: u64) -> Box<Offer> {
    let root = key(number);
    let hold = HoldId::from_uuid(uuid::Uuid::from_u128(number.into()));
    let terms = Terms {
        home: site(99),
        provider: site(number),
        machine: machine(),
        hull: HullId::from_bytes([1; 32]),
        size: Size { vcpus: 1, memory: Mebibytes(1), disk: Mebibytes(1) },
        image: ImageId::from_bytes([2; 32]),
        on_partition: OnPartition::Fence,
        price: Price { currency: Currency::EUR, hourly: Micros(price) },
    };
    let call = CallId::from_uuid(uuid::Uuid::from_u128(7));
    let statement = Statement {
        issuer: site(number),
        audience: Some(site(99)),
        incarnation: 0,
        sequence: 1,
        issued_at: NOW,
        expires_at: NOW,
        body: Message::Offer { call, hold, terms: terms.clone() },
    };
    let certificate = Certificate {
        root: root.public(),
        node: root.public(),
        scopes: Scopes::NODE,
        serial: 1,
        not_before: NOW,
        not_after: NOW,
    };
    let signed = Signed::sign(&statement, &NodeCertificate::issue(certificate, &root), &root);
    let evidence = signed.verify(site(99), NOW).unwrap();
    Box::new(Offer { site: site(number), hold, terms, evidence })
}

fn asking(sites: &[u8]) -> Asking {
    let sites: Vec<SiteId> = sites.iter().map(|number| site(*number)).collect();
    Asking::new(machine(), &sites, true, NOW)
}

#[test]
fn the_cheapest_offer_is_taken_and_the_others_declined() {
    let mut asking = asking(&[1, 2, 3]);
    for (number, price) in [(1, 30), (2, 10), (3, 20)] {
        asking.offered(offer(number, price)).unwrap();
    }
    let verdict = asking.verdict();
    assert_eq!(verdict.taken.unwrap().site, site(2));
    let declined: Vec<SiteId> = verdict.declined.iter().map(|offer| offer.site).collect();
    assert_eq!(declined, [site(3), site(1)]);
    assert!(verdict.refused.is_empty());
}

#[test]
fn of_equal_offers_the_first_by_id_is_taken_whoever_answered_first() {
    let first = [1, 2].into_iter().map(site).min().unwrap();
    for order in [[1, 2], [2, 1]] {
        let mut asking = asking(&order);
        for number in order {
            asking.offered(offer(number, 10)).unwrap();
        }
        assert_eq!(asking.verdict().taken.unwrap().site, first);
    }
}

#[test]
fn an_offer_that_nobody_waits_for_is_handed_back() {
    let mut asking = asking(&[1, 2]);
    assert_eq!(asking.offered(offer(3, 1)).unwrap_err().site, site(3), "never asked");
    asking.offered(offer(1, 10)).unwrap();
    assert_eq!(asking.offered(offer(1, 5)).unwrap_err().terms.price.hourly, Micros(5), "twice");
    asking.refused(site(2), Refusal::NoCapacity);
    assert_eq!(asking.offered(offer(2, 1)).unwrap_err().site, site(2), "after a refusal");
    assert_eq!(asking.verdict().taken, Some(*offer(1, 10)));
}

#[test]
fn silence_is_a_refusal_once_the_time_is_over() {
    let mut asking = asking(&[1, 2]);
    asking.refused(site(1), Refusal::NotServed);
    asking.refused(site(1), Refusal::NoCapacity);
    assert!(!asking.is_over(NOW + PATIENCE - Span::from_millis(1)));
    assert!(asking.is_over(NOW + PATIENCE));
    let verdict = asking.verdict();
    assert_eq!(verdict.taken, None);
    let refused = [(site(1), Refusal::NotServed), (site(2), Refusal::Silent)];
    assert_eq!(verdict.refused, refused.into_iter().collect());
}

#[test]
fn a_round_is_over_when_everyone_has_answered() {
    let mut asking = asking(&[1, 2]);
    asking.offered(offer(1, 10)).unwrap();
    assert!(!asking.is_over(NOW));
    asking.refused(site(2), Refusal::NoCapacity);
    assert!(asking.is_over(NOW));
}
