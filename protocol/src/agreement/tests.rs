//! Claims about a buyer's round of asking.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::buyer::{Asking, Offer, Verdict};
use super::choice::{Asked, Regard};
use super::*;
use crate::identity::{Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement};
use crate::peering::Policy;
use crate::sla::Class;
use crate::units::{Currency, Mebibytes, Micros, Permille};

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
        class: Class::BestEffort,
        price: Price { currency: Currency::EUR, hourly: Micros(price) },
        until: NOW,
        notice: Span::from_secs(600),
        retention: Span::from_secs(600),
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
    let evidence = signed.verify(site(99), NOW, |_| 0).unwrap();
    Box::new(Offer { site: site(number), hold, terms, evidence })
}

fn asking(sites: &[u8]) -> Asking {
    let sites: Vec<Asked> =
        sites.iter().map(|number| Asked { site: site(*number), round_trip: None }).collect();
    Asking::new(machine(), &sites, true, NOW)
}

/// What is thought of a site of which nothing is known.
const PLAIN: Regard =
    Regard { buying: Policy::OPEN.buying, round_trip: None, siblings: 0, machines: 0 };

/// The verdict of a buyer who thinks the same of all.
fn plain(asking: Asking) -> Verdict {
    let regards = (0..10).map(|number| (site(number), PLAIN)).collect();
    asking.verdict(&regards, Currency::EUR)
}

/// Whose offer is taken, of sites with these prices and regards.
fn chosen(offers: &[(u8, u64, Regard)]) -> Option<SiteId> {
    let numbers: Vec<u8> = offers.iter().map(|(number, ..)| *number).collect();
    let mut asking = asking(&numbers);
    let mut regards = BTreeMap::new();
    for (number, price, regard) in offers {
        asking.offered(offer(*number, *price)).unwrap();
        regards.insert(site(*number), *regard);
    }
    asking.verdict(&regards, Currency::EUR).taken.map(|offer| offer.site)
}

#[test]
fn the_cheapest_offer_is_taken_and_the_others_declined() {
    let mut asking = asking(&[1, 2, 3]);
    for (number, price) in [(1, 30), (2, 10), (3, 20)] {
        asking.offered(offer(number, price)).unwrap();
    }
    let verdict = plain(asking);
    assert_eq!(verdict.taken.unwrap().site, site(2));
    let mut declined: Vec<SiteId> = verdict.declined.iter().map(|(offer, _)| offer.site).collect();
    declined.sort();
    let mut others = [site(3), site(1)];
    others.sort();
    assert_eq!(declined, others);
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
        assert_eq!(plain(asking).taken.unwrap().site, first);
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
    assert_eq!(plain(asking).taken, Some(*offer(1, 10)));
}

#[test]
fn silence_is_a_refusal_once_the_time_is_over() {
    let mut asking = asking(&[1, 2]);
    asking.refused(site(1), Refusal::NotServed);
    asking.refused(site(1), Refusal::NoCapacity);
    assert!(!asking.is_over(NOW + PATIENCE - Span::from_millis(1)));
    assert!(asking.is_over(NOW + PATIENCE));
    let verdict = plain(asking);
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

#[test]
fn of_offers_within_a_tenth_the_best_spread_is_taken() {
    let crowded = Regard { siblings: 1, ..PLAIN };
    assert_eq!(chosen(&[(1, 100, crowded), (2, 110, PLAIN)]), Some(site(2)));
    assert_eq!(chosen(&[(1, 100, crowded), (2, 111, PLAIN)]), Some(site(1)), "too dear for that");
}

#[test]
fn of_equally_spread_offers_the_nearest_is_taken_and_jitter_does_not_count() {
    let near = |millis| Regard { round_trip: Some(Span::from_millis(millis)), ..PLAIN };
    assert_eq!(chosen(&[(1, 100, near(35)), (2, 105, near(12))]), Some(site(2)));
    assert_eq!(chosen(&[(1, 100, near(19)), (2, 105, near(11))]), Some(site(1)), "one step");
    assert_eq!(chosen(&[(1, 100, PLAIN), (2, 105, near(900))]), Some(site(2)), "unmeasured last");
    let crowded = Regard { siblings: 1, ..near(1) };
    assert_eq!(chosen(&[(1, 100, crowded), (2, 105, near(900))]), Some(site(2)), "spread first");
}

#[test]
fn of_equally_spread_offers_the_better_promise_is_taken() {
    let near = Regard { round_trip: Some(Span::from_millis(1)), ..PLAIN };
    let mut better = offer(2, 105);
    better.terms.class = Class::Silver;
    let mut asking = asking(&[1, 2]);
    asking.offered(offer(1, 100)).unwrap();
    asking.offered(better).unwrap();
    let regards = BTreeMap::from([(site(1), near), (site(2), PLAIN)]);
    let verdict = asking.verdict(&regards, Currency::EUR);
    assert_eq!(verdict.taken.map(|offer| offer.site), Some(site(2)), "the farther one");
}

#[test]
fn of_otherwise_equal_offers_the_one_where_more_runs_already_is_taken() {
    let known = Regard { machines: 3, ..PLAIN };
    assert_eq!(chosen(&[(1, 100, PLAIN), (2, 105, known)]), Some(site(2)));
}

#[test]
fn a_preferred_peer_may_be_dearer_by_as_much() {
    let preference = Permille::new(2_000).unwrap();
    let buying = crate::peering::Buying { preference, ..PLAIN.buying };
    let preferred = Regard { buying, ..PLAIN };
    assert_eq!(chosen(&[(1, 100, PLAIN), (2, 180, preferred)]), Some(site(2)));
    assert_eq!(chosen(&[(1, 100, PLAIN), (2, 221, preferred)]), Some(site(1)));
}

#[test]
fn what_is_not_bought_is_declined_with_its_reason() {
    let mut asking = asking(&[1, 2, 3, 4]);
    for number in [1, 2, 3] {
        asking.offered(offer(number, 10)).unwrap();
    }
    let mut foreign = offer(4, 1);
    foreign.terms.price.currency = "USD".parse().unwrap();
    asking.offered(foreign).unwrap();
    let bounded = crate::peering::Buying { price_max: Some(Micros(9)), ..PLAIN.buying };
    let closed = crate::peering::Buying { open: false, ..PLAIN.buying };
    let regards = BTreeMap::from([
        (site(1), Regard { buying: bounded, ..PLAIN }),
        (site(2), Regard { buying: closed, ..PLAIN }),
        (site(4), PLAIN),
    ]);
    let verdict = asking.verdict(&regards, Currency::EUR);
    assert_eq!(verdict.taken, None);
    assert_eq!(verdict.declined.len(), 4, "no room is held for nothing");
    let refused = [
        (site(1), Refusal::TooDear),
        (site(2), Refusal::NotWanted),
        (site(3), Refusal::NotWanted),
        (site(4), Refusal::OtherCurrency),
    ];
    assert_eq!(verdict.refused, refused.into_iter().collect());
}

fn any_regard() -> impl Strategy<Value = Regard> {
    let buying = (1_u32..4, prop::option::of(50_u64..150), any::<bool>()).prop_map(
        |(preference, most, open)| crate::peering::Buying {
            open,
            price_max: most.map(Micros),
            preference: Permille::new(preference * 1_000).unwrap(),
        },
    );
    (buying, prop::option::of(0_u64..100), 0_usize..3, 0_usize..3).prop_map(
        |(buying, millis, siblings, machines)| Regard {
            buying,
            round_trip: millis.map(Span::from_millis),
            siblings,
            machines,
        },
    )
}

proptest! {
    #[test]
    fn every_offer_is_taken_or_declined_and_the_choice_does_not_hang_on_who_answers_first(
        offers in prop::collection::vec((50_u64..150, any_regard()), 1..6),
        turned in any::<prop::sample::Index>(),
    ) {
        let numbers: Vec<u8> = (1..).zip(&offers).map(|(number, _)| number).collect();
        let regards: BTreeMap<SiteId, Regard> =
            numbers.iter().zip(&offers).map(|(number, (_, regard))| (site(*number), *regard)).collect();
        let judge = |order: &[u8]| {
            let mut asking = asking(&numbers);
            for number in order {
                asking.offered(offer(*number, offers[usize::from(*number) - 1].0)).unwrap();
            }
            asking.verdict(&regards, Currency::EUR)
        };
        let verdict = judge(&numbers);
        let mut order = numbers.clone();
        order.rotate_left(turned.index(numbers.len()));
        prop_assert_eq!(&judge(&order), &verdict);
        prop_assert_eq!(
            verdict.declined.len() + usize::from(verdict.taken.is_some()),
            offers.len()
        );
        let good: Vec<(u128, usize)> = offers
            .iter()
            .filter(|(price, regard)| {
                regard.buying.open && regard.buying.price_max.is_none_or(|most| most.0 >= *price)
            })
            .map(|(price, regard)| {
                let preference = u128::from(regard.buying.preference.thousandths());
                (u128::from(*price) * 1_000_000 / preference, regard.siblings)
            })
            .collect();
        prop_assert_eq!(verdict.taken.is_some(), !good.is_empty());
        if let Some(taken) = verdict.taken {
            let regard = regards[&taken.site];
            let preference = u128::from(regard.buying.preference.thousandths());
            let price = u128::from(taken.terms.price.hourly.0) * 1_000_000 / preference;
            let cheapest = good.iter().map(|(price, _)| *price).min().unwrap();
            prop_assert!(price <= cheapest + cheapest / 10, "no more than a tenth above the best");
            let better = good.iter().any(|(price, siblings)| {
                *price <= cheapest + cheapest / 10 && *siblings < regard.siblings
            });
            prop_assert!(!better, "nobody as good is less crowded");
        }
    }
}
