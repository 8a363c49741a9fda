//! Claims about the market: which advert counts, when one is due, and whom a buyer asks.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::book::{Candidate, Noted, SITES_MAX};
use super::draw::{ASKED, ASKED_LAST, draw};
use super::*;
use crate::identity::{
    Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement, Verified,
};
use crate::ids::{Mint, SiteId};
use crate::sla::{Catalogue, Class};
use crate::units::{Currency, Mebibytes, Micros};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// A span, one millisecond longer or shorter.
const fn off_by_one(span: Span, longer: bool) -> Span {
    let millis = span.as_millis();
    Span::from_millis(if longer { millis + 1 } else { millis - 1 })
}

/// The furthest expiry that is taken: two lifetimes, for clocks that differ.
const FURTHEST: Span = Span::from_millis(2 * LIFETIME.as_millis());

const fn size(vcpus: u32) -> Size {
    let gib = Mebibytes::from_gib(vcpus as u64);
    Size { vcpus, memory: gib, disk: gib }
}

const fn tariff(price: u64) -> Tariff {
    let amount = Micros(price);
    Tariff {
        currency: Currency::EUR,
        vcpu_hour: amount,
        memory_gib_hour: amount,
        disk_gib_hour: amount,
        classes: Catalogue::NONE,
    }
}

const fn advert(vcpus: u32) -> Advert {
    Advert { free: size(vcpus), largest: size(vcpus), tariff: tariff(1_000) }
}

/// An advert of the site with this number, as it would have arrived.
fn said(
    site: u16,
    incarnation: u64,
    sequence: u64,
    expires: Span,
    body: Advert,
) -> Verified<Advert> {
    let mut secret = [0; 32];
    secret[..2].copy_from_slice(&site.to_le_bytes());
    let root = SecretKey::from_bytes(&secret);
    let certificate = Certificate {
        root: root.public(),
        node: root.public(),
        scopes: Scopes::NODE,
        serial: 1,
        not_before: Timestamp::default(),
        not_after: Timestamp::from_millis(u64::MAX),
    };
    let statement = Statement {
        issuer: root.public().site(),
        audience: None,
        incarnation,
        sequence,
        issued_at: NOW,
        expires_at: NOW + expires,
        body,
    };
    let signed = Signed::sign(&statement, &NodeCertificate::issue(certificate, &root), &root);
    signed.verify(SiteId::from_bytes([0; 32]), NOW, |_| 0).unwrap()
}

#[test]
fn a_newer_advert_takes_the_place_of_an_older_one() {
    let mut book = Book::default();
    assert_eq!(book.note(said(1, 0, 5, LIFETIME, advert(4)), true, NOW), Noted::New);
    assert_eq!(book.note(said(1, 0, 5, LIFETIME, advert(4)), true, NOW), Noted::Known);
    assert_eq!(book.note(said(1, 0, 4, LIFETIME, advert(9)), true, NOW), Noted::Known);
    assert_eq!(book.note(said(1, 0, 6, LIFETIME, advert(3)), true, NOW), Noted::New);
    assert_eq!(book.note(said(1, 1, 1, LIFETIME, advert(2)), true, NOW), Noted::New);
    assert_eq!(book.note(said(1, 0, 7, LIFETIME, advert(8)), true, NOW), Noted::Known);
    let free: Vec<Size> = book.candidates().map(|candidate| candidate.free).collect();
    assert_eq!(free, [size(2)]);
}

#[test]
fn a_site_that_says_two_things_under_one_number_is_shown_with_both() {
    let mut book = Book::default();
    let (one, other) = (said(1, 0, 5, LIFETIME, advert(4)), said(1, 0, 5, LIFETIME, advert(9)));
    book.note(one.clone(), true, NOW);
    for _ in 0..2 {
        assert_eq!(book.note(other.clone(), true, NOW), Noted::Equivocation);
    }
    let shown: Vec<_> = book.equivocations().collect();
    let proof = (one.evidence().clone(), other.evidence().clone());
    assert_eq!(shown, [(&one.statement().issuer, &proof)]);
    assert_eq!(book.of(one.statement().issuer).unwrap().0, &one, "the first one stands");
}

#[test]
fn an_advert_counts_until_it_expires_and_no_longer_than_its_lifetime() {
    let mut book = Book::default();
    let short = Span::from_secs(10);
    book.note(said(1, 0, 1, short, advert(1)), true, NOW);
    book.note(said(2, 0, 1, FURTHEST, advert(1)), true, NOW);
    let count_at = |book: &Book, at| {
        let mut book = book.clone();
        book.expire(at);
        book.candidates().count()
    };
    assert_eq!(count_at(&book, NOW + short), 2);
    assert_eq!(count_at(&book, NOW + short + Span::from_millis(1)), 1);
    assert_eq!(count_at(&book, NOW + LIFETIME), 1);
    assert_eq!(count_at(&book, NOW + LIFETIME + Span::from_millis(1)), 0);
}

#[test]
fn an_advert_that_would_live_too_long_is_refused() {
    let mut book = Book::default();
    let long = off_by_one(FURTHEST, true);
    assert_eq!(book.note(said(1, 0, 1, long, advert(1)), true, NOW), Noted::Refused);
    let furthest = Span::from_millis(3 * LIFETIME.as_millis());
    assert_eq!(book.note(said(1, 0, 1, furthest, advert(1)), true, NOW), Noted::Refused);
    let endless = off_by_one(furthest, true);
    assert_eq!(book.note(said(1, 0, 1, endless, advert(1)), true, NOW), Noted::Endless);
    assert_eq!(book.candidates().count(), 0);
}

#[test]
fn a_full_book_takes_no_stranger_and_still_hears_the_old_ones_and_peers() {
    let mut book = Book::default();
    for site in 1..=u16::try_from(SITES_MAX).unwrap() {
        assert_eq!(book.note(said(site, 0, 1, LIFETIME, advert(1)), false, NOW), Noted::New);
    }
    assert_eq!(book.note(said(60_000, 0, 1, LIFETIME, advert(1)), false, NOW), Noted::Refused);
    assert_eq!(book.note(said(1, 0, 2, LIFETIME, advert(2)), true, NOW), Noted::New);
    assert_eq!(book.note(said(60_000, 0, 1, LIFETIME, advert(1)), true, NOW), Noted::New);
    assert_eq!(book.candidates().count(), SITES_MAX);
}

#[test]
fn an_advert_is_due_when_it_says_something_new_but_not_too_often() {
    let due = |said: u32, current: u32, age| {
        is_due(Some((&advert(said), NOW)), &advert(current), NOW + age)
    };
    assert!(is_due(None, &advert(1), NOW));
    assert!(due(16, 13, PACE), "more than an eighth less");
    assert!(due(16, 19, PACE), "more than an eighth more");
    assert!(due(0, 1, PACE), "room has appeared");
    assert!(due(1, 0, PACE), "room has run out");
    assert!(!due(16, 14, PACE), "an eighth less is no news");
    assert!(!due(16, 0, off_by_one(PACE, false)), "too soon");
    assert!(due(16, 16, REFRESH), "it is refreshed");
    assert!(!due(16, 16, off_by_one(REFRESH, false)));
    let dearer = Advert { tariff: tariff(1_001), ..advert(16) };
    assert!(is_due(Some((&advert(16), NOW)), &dearer, NOW + PACE), "a price has changed");
}

fn candidates(vcpus: &[u32]) -> Vec<Candidate> {
    (1..)
        .zip(vcpus)
        .map(|(number, vcpus)| Candidate {
            site: SiteId::from_bytes([number; 32]),
            free: size(*vcpus),
            largest: size(*vcpus),
            tariff: tariff(1_000),
        })
        .collect()
}

fn mint(seed: u8) -> Mint {
    Mint::new(NOW, [seed; 32])
}

#[test]
fn nobody_is_drawn_from_nobody() {
    for first in [true, false] {
        let drawn = draw(&[], (size(1), Class::BestEffort), first, &mut mint(1));
        assert!(drawn.sites.is_empty() && drawn.last);
    }
}

#[test]
fn sites_without_room_are_asked_only_in_the_last_round() {
    let pool = candidates(&[8, 0, 8, 1]);
    let first = draw(&pool, (size(2), Class::BestEffort), true, &mut mint(1));
    assert_eq!(first.sites, [pool[0].site, pool[2].site]);
    assert!(!first.last);
    let last = draw(&pool, (size(2), Class::BestEffort), false, &mut mint(1));
    assert_eq!(last.sites, pool.iter().map(|candidate| candidate.site).collect::<Vec<_>>());
    assert!(last.last);
    let full = draw(&candidates(&[0, 0, 0]), (size(1), Class::BestEffort), true, &mut mint(1));
    assert!(full.last && full.sites.len() == 3, "none has room: all are asked at once");
}

#[test]
fn a_site_with_more_room_or_a_lower_price_is_asked_more_often() {
    let mut pool = candidates(&[2, 2, 2, 2, 2, 20]);
    pool[1].tariff = tariff(100);
    let mut times: BTreeMap<SiteId, u32> = BTreeMap::new();
    let mut mint = mint(7);
    for _ in 0..2_000 {
        for site in draw(&pool, (size(1), Class::BestEffort), true, &mut mint).sites {
            *times.entry(site).or_default() += 1;
        }
    }
    let of = |at: usize| times[&pool[at].site];
    assert!(of(5) > of(0) * 3 / 2, "{times:?}");
    assert!(of(1) > of(0) * 3 / 2, "{times:?}");
    assert!(times.len() == pool.len(), "and yet nobody is left out: {times:?}");
}

proptest! {
    #[test]
    fn a_draw_asks_each_site_once_and_not_too_many(
        vcpus in prop::collection::vec(0_u32..9, 0..90),
        wanted in 1_u32..4,
        first in any::<bool>(),
        seed in any::<u8>(),
    ) {
        let pool = candidates(&vcpus);
        let drawn = draw(&pool, (size(wanted), Class::BestEffort), first, &mut mint(seed));
        prop_assert_eq!(&drawn, &draw(&pool, (size(wanted), Class::BestEffort), first, &mut mint(seed)));
        prop_assert!(drawn.sites.is_sorted_by(|one, next| one < next), "no site twice");
        prop_assert!(drawn.sites.iter().all(|site| pool.iter().any(|it| it.site == *site)));
        let able = vcpus.iter().filter(|vcpus| **vcpus >= wanted).count();
        let expected = if first && able > 0 {
            able.min(ASKED)
        } else {
            pool.len().min(ASKED_LAST)
        };
        prop_assert_eq!(drawn.sites.len(), expected);
        prop_assert!(first || drawn.last);
    }
}
