//! Claims about deliveries: only what a peer has said itself, to this site, is taken up.

use protocol::agreement::Message;
use protocol::codec;
use protocol::identity::{Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement};
use protocol::ids::{HoldId, SiteId};
use protocol::time::{Span, Timestamp};
use protocol::wire::v1::{DELIVERY_MESSAGES_MAX, Delivery};

use super::verified;
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
        body: Message::Decline { hold: HoldId::from_uuid(uuid::Uuid::nil()) },
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
    let numbers: Vec<u64> = verified(me.site, peer.site, &body)
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
            verified(me.site, peer.site, &altered).is_err(),
            "byte {place} was altered, and the delivery is believed"
        );
    }
}

#[test]
fn what_was_said_to_others_or_by_others_is_refused() {
    let (me, peer, other) = (party(1), party(2), party(3));
    let to_another = delivery(vec![said(&peer, other.site, 1)]);
    assert!(verified(me.site, peer.site, &to_another).is_err());
    let of_another = delivery(vec![said(&other, me.site, 1)]);
    assert!(verified(me.site, peer.site, &of_another).is_err());
    assert!(verified(me.site, other.site, &of_another).is_ok());
}

#[test]
fn more_messages_than_a_delivery_has_are_refused() {
    let (me, peer) = (party(1), party(2));
    let one = said(&peer, me.site, 1);
    let full = delivery(vec![one.clone(); DELIVERY_MESSAGES_MAX]);
    assert!(verified(me.site, peer.site, &full).is_ok());
    let overfull = delivery(vec![one; DELIVERY_MESSAGES_MAX + 1]);
    assert!(verified(me.site, peer.site, &overfull).is_err());
    assert!(verified(me.site, peer.site, b"noise").is_err());
}
