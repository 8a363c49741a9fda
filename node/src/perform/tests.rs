//! Claims about deliveries: only what a peer has said itself, to this site, is taken up.

use federation::Verdict;
use protocol::agreement::{Message, Refusal};
use protocol::codec;
use protocol::identity::{Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement};
use protocol::ids::{HoldId, SiteId};
use protocol::market::{Advert, Book, LIFETIME};
use protocol::sla::Catalogue;
use protocol::time::{Span, Timestamp};
use protocol::units::{Currency, Mebibytes, Micros, Size, Tariff};
use protocol::wire::v1::{DELIVERY_MESSAGES_MAX, Delivery};

use super::{adverts, verified};
use crate::observe::now;

struct Party {
    site: SiteId,
    key: SecretKey,
    certificate: NodeCertificate,
}

fn party(number: u8) -> Party {
    let (root, key) =
        (SecretKey::from_bytes(&[number; 32]), SecretKey::from_bytes(&[number + 100; 32]));
    let certificate = Certificate {
        root: root.public(),
        node: key.public(),
        scopes: Scopes::NODE,
        serial: 1,
        not_before: Timestamp::default(),
        not_after: now() + Span::from_secs(3_600),
    };
    let certificate = NodeCertificate::issue(certificate, &root);
    Party { site: root.public().site(), key, certificate }
}

fn said(from: &Party, to: SiteId, sequence: u64) -> Signed<Message> {
    let now = now();
    let statement = Statement {
        issuer: from.site,
        audience: Some(to),
        incarnation: 0,
        sequence,
        issued_at: now,
        expires_at: now + Span::from_secs(60),
        body: Message::Decline {
            hold: HoldId::from_uuid(uuid::Uuid::nil()),
            reason: Refusal::NotChosen,
        },
    };
    Signed::sign(&statement, &from.certificate, &from.key)
}

fn delivery(messages: Vec<Signed<Message>>) -> Vec<u8> {
    codec::encode(&Delivery { messages })
}

#[test]
fn what_a_peer_says_to_this_site_is_believed() {
    let (me, peer) = (party(1), party(2));
    let body = delivery(vec![said(&peer, me.site, 1), said(&peer, me.site, 2)]);
    let numbers: Vec<u64> = verified(me.site, peer.site, &body, |_| 0)
        .unwrap()
        .iter()
        .map(|message| message.statement().sequence)
        .collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn one_altered_byte_refuses_the_whole() {
    let (me, peer) = (party(1), party(2));
    let body = delivery(vec![said(&peer, me.site, 1), said(&peer, me.site, 2)]);
    for place in 0..body.len() {
        let mut altered = body.clone();
        altered[place] ^= 1;
        assert!(
            verified(me.site, peer.site, &altered, |_| 0).is_err(),
            "byte {place} was altered, and the delivery is believed"
        );
    }
}

#[test]
fn what_was_said_to_others_or_by_others_is_refused() {
    let (me, peer, other) = (party(1), party(2), party(3));
    let to_another = delivery(vec![said(&peer, other.site, 1)]);
    assert!(verified(me.site, peer.site, &to_another, |_| 0).is_err());
    let of_another = delivery(vec![said(&other, me.site, 1)]);
    assert!(verified(me.site, peer.site, &of_another, |_| 0).is_err());
    assert!(verified(me.site, other.site, &of_another, |_| 0).is_ok());
}

#[test]
fn more_messages_than_a_delivery_has_are_refused() {
    let (me, peer) = (party(1), party(2));
    let one = said(&peer, me.site, 1);
    let full = delivery(vec![one.clone(); DELIVERY_MESSAGES_MAX]);
    assert!(verified(me.site, peer.site, &full, |_| 0).is_ok());
    let overfull = delivery(vec![one; DELIVERY_MESSAGES_MAX + 1]);
    assert!(verified(me.site, peer.site, &overfull, |_| 0).is_err());
    assert!(verified(me.site, peer.site, b"noise", |_| 0).is_err());
}

/// An advert of a party with this number and so much memory, that expires at a moment.
fn advert(of: &Party, sequence: u64, memory: u64, expires_at: Timestamp) -> Vec<u8> {
    let size = Size { vcpus: 1, memory: Mebibytes(memory), disk: Mebibytes(1) };
    let price = Micros(1);
    let tariff = Tariff {
        currency: Currency::EUR,
        vcpu_hour: price,
        memory_gib_hour: price,
        disk_gib_hour: price,
        classes: Catalogue::NONE,
    };
    let statement = Statement {
        issuer: of.site,
        audience: None,
        incarnation: 0,
        sequence,
        issued_at: now(),
        expires_at,
        body: Advert { free: size, largest: size, tariff },
    };
    codec::encode(&Signed::sign(&statement, &of.certificate, &of.key))
}

/// What becomes of an advert that `from` passes on.
fn judged(book: &mut Book, from: &Party, body: &[u8]) -> Verdict {
    let (me, now) = (party(1).site, now());
    match adverts::read(me, from.site, body, now, |_| 0) {
        Ok(advert) => adverts::note(book, from.site, advert, true, now),
        Err(verdict) => verdict,
    }
}

#[test]
fn a_forged_advert_costs_who_passes_it_on() {
    let (author, carrier) = (party(2), party(3));
    let good = advert(&author, 1, 64, now() + LIFETIME);
    for place in 0..good.len() {
        let mut altered = good.clone();
        altered[place] ^= 1;
        let verdict = judged(&mut Book::default(), &carrier, &altered);
        assert!(verdict != Verdict::Accept, "byte {place} was altered");
    }
    let mut book = Book::default();
    assert_eq!(judged(&mut book, &carrier, b"noise"), Verdict::Reject);
    let forged = Party { key: SecretKey::from_bytes(&[9; 32]), ..party(2) };
    let forged = advert(&forged, 1, 64, now() + LIFETIME);
    assert_eq!(judged(&mut book, &carrier, &forged), Verdict::Reject);
    assert_eq!(judged(&mut book, &carrier, &good), Verdict::Accept);
    assert_eq!(judged(&mut book, &carrier, &good), Verdict::Ignore, "a replay");
}

#[test]
fn an_advert_that_no_clock_explains_costs_who_passes_it_on() {
    let (author, carrier) = (party(2), party(3));
    let mut book = Book::default();
    let minute = Span::from_secs(60);
    for (expires_at, verdict) in [
        (now() - minute, Verdict::Ignore),
        (now() - LIFETIME - minute, Verdict::Reject),
        (now() + LIFETIME + LIFETIME + minute, Verdict::Ignore),
        (now() + LIFETIME + LIFETIME + LIFETIME + minute, Verdict::Reject),
    ] {
        let body = advert(&author, 1, 64, expires_at);
        assert_eq!(judged(&mut book, &carrier, &body), verdict, "{expires_at:?}");
    }
}

#[test]
fn a_contradiction_costs_its_author_and_not_who_has_heard_only_one_half() {
    let (author, carrier) = (party(2), party(3));
    let mut book = Book::default();
    let expires = now() + LIFETIME;
    let [one, other] = [64, 128].map(|memory| advert(&author, 1, memory, expires));
    assert_eq!(judged(&mut book, &carrier, &one), Verdict::Accept);
    assert_eq!(judged(&mut book, &carrier, &other), Verdict::Ignore);
    assert_eq!(judged(&mut book, &author, &other), Verdict::Reject);
    assert_eq!(book.equivocations().count(), 1);
}

#[test]
fn what_is_signed_under_a_revoked_certificate_is_refused_with_the_reason() {
    let (me, peer) = (party(1), party(2));
    let body = delivery(vec![said(&peer, me.site, 1)]);
    let honouring = |lowest| move |of| if of == peer.site { lowest } else { 0 };
    assert!(verified(me.site, peer.site, &body, honouring(1)).is_ok());
    let refused = verified(me.site, peer.site, &body, honouring(2)).unwrap_err().to_string();
    assert!(refused.contains("that site honours none below 2"), "{refused}");
    assert!(refused.contains("renew its certificate"), "{refused}");
}

#[test]
fn an_advert_under_a_revoked_certificate_is_not_believed_and_costs_nobody() {
    let (me, author, carrier) = (party(1).site, party(2), party(3));
    let body = advert(&author, 1, 64, now() + LIFETIME);
    let honouring = |lowest| move |of| if of == author.site { lowest } else { 0 };
    for from in [author.site, carrier.site] {
        assert!(adverts::read(me, from, &body, now(), honouring(1)).is_ok());
        let verdict = adverts::read(me, from, &body, now(), honouring(2)).unwrap_err();
        assert_eq!(verdict, Verdict::Ignore);
    }
}
