//! Claims about signatures: what is altered, replayed, borrowed or late is not believed.

use serde::{Deserialize, Serialize};

use super::*;
use crate::codec;
use crate::ids::SiteId;
use crate::time::Timestamp;

#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Promise(u32);

impl Claim for Promise {
    const DOMAIN: &'static str = "reservoir test promise";
    const LIMIT: usize = 256;
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Threat(u32);

impl Claim for Threat {
    const DOMAIN: &'static str = "reservoir test threat";
    const LIMIT: usize = 256;
}

struct Party {
    site: SiteId,
    node: SecretKey,
    certificate: NodeCertificate,
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn party(number: u8, scopes: Scopes) -> Party {
    let (root, node) =
        (SecretKey::from_bytes(&[number; 32]), SecretKey::from_bytes(&[number + 100; 32]));
    let certificate = NodeCertificate::issue(
        Certificate {
            root: root.public(),
            node: node.public(),
            scopes,
            serial: 1,
            not_before: Timestamp::from_millis(500),
            not_after: Timestamp::from_millis(1_500),
        },
        &root,
    );
    Party { site: root.public().site(), node, certificate }
}

fn promise(from: &Party, to: &Party) -> Statement<Promise> {
    Statement {
        issuer: from.site,
        audience: Some(to.site),
        incarnation: 0,
        sequence: 7,
        issued_at: NOW,
        expires_at: Timestamp::from_millis(1_200),
        body: Promise(42),
    }
}

#[test]
fn a_signed_statement_is_believed_by_the_one_it_is_addressed_to() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    assert_eq!(signed.verify(beta.site, NOW, |_| 0).unwrap().body(), &Promise(42));
}

#[test]
fn a_replay_to_another_site_is_refused() {
    let (alpha, beta, gamma) =
        (party(1, Scopes::NODE), party(2, Scopes::NODE), party(3, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    let refusal = signed.verify(gamma.site, NOW, |_| 0).unwrap_err();
    assert!(matches!(refusal, Rejection::OtherAudience { .. }), "{refusal}");
}

#[test]
fn every_altered_byte_is_noticed() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    let bytes = codec::encode(&signed);
    for place in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[place] ^= 1;
        let believed = codec::decode::<Signed<Promise>>(&altered, 4096)
            .ok()
            .and_then(|signed| signed.verify(beta.site, NOW, |_| 0).ok());
        assert_eq!(believed, None, "byte {place} was altered and nobody noticed");
    }
}

#[test]
fn a_statement_of_one_kind_does_not_pass_for_another() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    let posing: Signed<Threat> = codec::decode(&codec::encode(&signed), 4096).unwrap();
    assert!(matches!(posing.verify(beta.site, NOW, |_| 0), Err(Rejection::Forged { .. })));
}

#[test]
fn a_node_cannot_speak_for_another_site() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&beta, &beta), &alpha.certificate, &alpha.node);
    assert!(matches!(signed.verify(beta.site, NOW, |_| 0), Err(Rejection::OtherIssuer { .. })));
}

#[test]
fn a_late_statement_is_refused() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    let late = Timestamp::from_millis(1_201);
    assert!(matches!(signed.verify(beta.site, late, |_| 0), Err(Rejection::Expired { .. })));
}

#[test]
fn a_certificate_holds_only_for_its_time_its_scope_and_its_key() {
    let speaker = party(1, Scopes::only(Scope::Speak));
    let key = speaker.node.public();
    let check = |scope, millis| {
        speaker.certificate.check_presented(key, scope, Timestamp::from_millis(millis))
    };
    assert_eq!(check(Scope::Speak, 1_000), Ok(speaker.site));
    assert!(matches!(check(Scope::Sign, 1_000), Err(CertificateError::OutOfScope { .. })));
    assert!(matches!(check(Scope::Speak, 499), Err(CertificateError::Expired { .. })));
    assert!(matches!(check(Scope::Speak, 1_501), Err(CertificateError::Expired { .. })));
    let borrowed = party(2, Scopes::NODE).node.public();
    assert!(matches!(
        speaker.certificate.check_presented(borrowed, Scope::Speak, NOW),
        Err(CertificateError::OtherKey { .. })
    ));
}

#[test]
fn what_is_verified_survives_the_log() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    let verified = signed.verify(beta.site, NOW, |_| 0).unwrap();
    let read: Verified<Promise> = codec::decode(&codec::encode(&verified), 4096).unwrap();
    assert_eq!(read, verified);
}

#[test]
fn what_is_signed_under_a_revoked_certificate_is_refused() {
    let (alpha, beta) = (party(1, Scopes::NODE), party(2, Scopes::NODE));
    let signed = Signed::sign(&promise(&alpha, &beta), &alpha.certificate, &alpha.node);
    let honouring = |lowest| move |of| if of == alpha.site { lowest } else { 0 };
    assert!(signed.clone().verify(beta.site, NOW, honouring(1)).is_ok());
    let refusal = signed.verify(beta.site, NOW, honouring(2)).unwrap_err();
    assert!(matches!(refusal, Rejection::Revoked { serial: 1, lowest: 2, .. }), "{refusal}");
}
