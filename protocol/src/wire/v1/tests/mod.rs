//! Claims about what crosses the network: each shape has the bytes it has always had, the longest
//! fits its place, and bytes from anyone are read or refused.

mod leases;
mod samples;

use expect_test::expect_file;
use proptest::prelude::*;

use super::lease::{HostRenewal, RenewHost, RenewSession, SessionRenewal};
use super::*;
use crate::agreement::DELIVERY_BODIES_MAX;
use crate::identity::{Certificate, Claim, NodeCertificate, Statement};
use crate::ids::{HostId, MachineId, NodeId, SiteId};
use crate::kpi::{self, NAMES_MAX};
use crate::market::Advert;
use crate::peering::monitor::MACHINES_SEEN_MAX;
use crate::site::{Command, Outcome};
use samples::{NOW, hex, longest_advert, longest_messages, messages, sign};

#[test]
fn every_message_has_the_bytes_it_always_had() {
    let text: String = messages()
        .into_iter()
        .map(|(name, message)| format!("{name}\n  {}\n", hex(&codec::encode(&message))))
        .collect();
    expect_file!["messages.txt"].assert_eq(&text);
}

#[test]
fn every_envelope_has_the_bytes_it_always_had() {
    let (_, body) = messages().remove(3);
    let signed = sign(&samples::statement(body), 1);
    let machine = MachineId::from_uuid(uuid::Uuid::from_u128(3));
    let name = MachineName { home: samples::site(1), machine };
    let receipts =
        [Receipt::Through(3), Receipt::Gap(300), Receipt::Later, Receipt::Contradicted(7)];
    let mut lines = vec![
        ("NodeCertificate", codec::encode(&samples::certificate(1))),
        ("Signed<Advert>", codec::encode(&sign(&samples::statement(samples::advert()), 1))),
        ("Signed<Message>", codec::encode(&signed)),
        ("Delivery", codec::encode(&Delivery { messages: vec![signed.clone(), signed] })),
        ("Console", codec::encode(&StreamHeader::Console { name })),
        ("Blob", codec::encode(&StreamHeader::Blob { id: BlobId::from_bytes([5; 32]) })),
    ];
    lines.extend(samples::questions());
    lines.extend(receipts.map(|receipt| ("Receipt", codec::encode(&receipt))));
    let text: String =
        lines.iter().map(|(name, bytes)| format!("{name}\n  {}\n", hex(bytes))).collect();
    expect_file!["envelopes.txt"].assert_eq(&text);
}

#[test]
fn what_nodes_of_one_site_ask_has_the_bytes_it_always_had() {
    let node = NodeId(3);
    let requests = [
        NodeRequest::Propose(Box::new(Command::Tick)),
        NodeRequest::Index,
        NodeRequest::Members,
        NodeRequest::HandOver { to: node },
        NodeRequest::Stand,
        NodeRequest::HasRoot,
        NodeRequest::Certify { node },
        NodeRequest::RenewHost(RenewHost {
            host: HostId::from_uuid(uuid::Uuid::from_u128(4)),
            fence: Some(7),
        }),
        NodeRequest::RenewSession {
            provider: samples::site(2),
            asked: RenewSession { machines: Vec::new() },
        },
        NodeRequest::Look,
        NodeRequest::Kpis { name: samples::machine_name() },
    ];
    let member = Member { node, votes: true, lag: Some(7) };
    let answers = [
        NodeAnswer::Proposed { outcome: Outcome::Done, index: 300 },
        NodeAnswer::Index(300),
        NodeAnswer::Members(vec![member, Member { lag: None, ..member }]),
        NodeAnswer::HandedOver { gap: 900 },
        NodeAnswer::Done,
        NodeAnswer::HasRoot(true),
        NodeAnswer::Certificate(Box::new(samples::certificate(1))),
        NodeAnswer::HostRenewed(HostRenewal::Refused(lease::Refusal::NoFence)),
        NodeAnswer::SessionRenewed(SessionRenewal::Later),
        NodeAnswer::Seen(Box::new(samples::sight())),
        NodeAnswer::Kpis(samples::kpis()),
        NodeAnswer::Fault(NodeFault::NotLeader { leader: Some(node) }),
        NodeAnswer::Fault(NodeFault::Later),
        NodeAnswer::Fault(NodeFault::Uncertain),
        NodeAnswer::Fault(NodeFault::TooLarge { bytes: 2 << 20 }),
        NodeAnswer::Fault(NodeFault::NoVoter),
        NodeAnswer::Fault(NodeFault::Behind),
        NodeAnswer::Fault(NodeFault::NotElected),
        NodeAnswer::Fault(NodeFault::UnknownNode),
        NodeAnswer::Fault(NodeFault::NoRoot),
    ];
    let mut text = String::new();
    for request in requests {
        let bytes = codec::encode(&request);
        assert_eq!(codec::encode(&node_request(&bytes).unwrap()), bytes);
        text.push_str(&format!("{request:?}\n  {}\n", hex(&bytes)));
    }
    for answer in answers {
        let bytes = codec::encode(&answer);
        assert_eq!(codec::encode(&node_answer(&bytes).unwrap()), bytes);
        let shown = format!("{answer:?}");
        let name = shown.split_inclusive('(').next().unwrap();
        let name = if name.starts_with("Certificate") { name } else { &shown };
        text.push_str(&format!("{name}\n  {}\n", hex(&bytes)));
    }
    expect_file!["nodes.txt"].assert_eq(&text);
}

#[test]
fn the_longest_advert_fits_the_gossip() {
    let statement = longest_advert();
    assert!(codec::encode(&statement).len() <= Advert::LIMIT);
    let bytes = codec::encode(&sign(&statement, u64::MAX));
    assert!(bytes.len() <= ADVERT_BYTES_MAX, "{} bytes", bytes.len());
}

#[test]
fn the_longest_messages_fit_their_limit_and_as_many_as_are_delivered_a_delivery() {
    for (name, message) in longest_messages() {
        let statement = samples::longest_statement(message);
        let length = codec::encode(&statement).len();
        assert!(length <= Message::LIMIT, "{name} has {length} bytes");
        let many = (DELIVERY_BODIES_MAX / length + 1).min(DELIVERY_MESSAGES_MAX);
        let messages = vec![sign(&statement, u64::MAX); many];
        let bytes = codec::encode(&Delivery { messages });
        assert!(bytes.len() <= DELIVERY_BYTES_MAX, "{name}: {} bytes", bytes.len());
        assert_eq!(delivery(&bytes).unwrap().messages.len(), many);
    }
}

#[test]
fn the_longest_answers_fit_their_places() {
    for receipt in [Receipt::Through(u64::MAX), Receipt::Gap(u64::MAX), Receipt::Later] {
        assert!(codec::encode(&receipt).len() <= RECEIPT_BYTES_MAX);
    }
    let machine = MachineId::from_uuid(uuid::Uuid::max());
    let name = MachineName { home: SiteId::from_bytes([u8::MAX; 32]), machine };
    assert!(codec::encode(&StreamHeader::Console { name }).len() <= STREAM_BYTES_MAX);
    let id = BlobId::from_bytes([u8::MAX; 32]);
    assert!(codec::encode(&StreamHeader::Blob { id }).len() <= STREAM_BYTES_MAX);
    for many in [1, MACHINES_SEEN_MAX + 1] {
        let seen = machine::Answer::Site(Box::new(samples::longest_view(many)));
        assert_eq!(machine::answer(&codec::encode(&seen)).is_ok(), many == 1, "{many}");
    }
    let most = samples::longest_view(MACHINES_SEEN_MAX);
    let seen = codec::encode(&machine::Answer::Site(Box::new(most)));
    assert!(seen.len() <= machine::BYTES_MAX, "{} bytes", seen.len());
    for (many, is_read) in [(NAMES_MAX, true), (NAMES_MAX + 1, false)] {
        let said = codec::encode(&machine::Answer::Kpis(samples::longest_kpis(many)));
        assert!(said.len() <= machine::BYTES_MAX, "{} bytes", said.len());
        assert_eq!(machine::answer(&said).is_ok(), is_read, "{many}");
    }
}

#[test]
fn a_delivery_of_too_many_messages_is_refused() {
    let (_, body) = messages().remove(3);
    let message = sign(&samples::statement(body), 1);
    let bytes = codec::encode(&Delivery { messages: vec![message; DELIVERY_MESSAGES_MAX + 1] });
    assert!(matches!(delivery(&bytes), Err(codec::Error::TooLong { length: 65, limit: 64 })));
}

#[test]
fn a_delivery_that_promises_more_than_it_holds_is_refused() {
    for length in [u32::MAX, 1 << 24, 2] {
        let mut bytes = vec![252];
        bytes.extend(length.to_le_bytes());
        assert!(matches!(delivery(&bytes), Err(codec::Error::Decode { .. })));
    }
}

#[test]
fn a_longer_encoding_of_the_same_statement_is_not_believed() {
    let statement = samples::statement(samples::advert());
    let bytes = codec::encode(&statement);
    // The sequence is written in one byte; here it is written in the next longer form.
    let at = codec::encode(&(statement.issuer, statement.audience, statement.incarnation)).len();
    assert_eq!(u64::from(bytes[at]), statement.sequence);
    let long = [&bytes[..at], &[251, bytes[at], 0], &bytes[at + 1..]].concat();
    let read: Statement<Advert> = codec::decode(&long, Advert::LIMIT).unwrap();
    assert_eq!(read, statement);
    let refused = codec::decode_canonical::<Statement<Advert>>(&long, Advert::LIMIT);
    assert!(matches!(refused, Err(codec::Error::NotCanonical { .. })), "{refused:?}");
}

/// Bytes of a shape that is almost right: a good one, with a few of its bytes changed and its end
/// cut off or prolonged.
pub(super) fn almost(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let end = any::<prop::sample::Index>();
    (changes, end, any::<bool>(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(
        move |(changes, end, cut, more)| {
            let mut bytes = good.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes.extend(more);
            bytes
        },
    )
}

fn good_delivery() -> Vec<u8> {
    let bodies = messages().into_iter();
    let messages = bodies.map(|(_, body)| sign(&samples::statement(body), 1)).collect();
    codec::encode(&Delivery { messages })
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_among_nodes_or_are_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            almost(codec::encode(&NodeRequest::Certify { node: NodeId(300) })),
            almost(codec::encode(&NodeAnswer::Certificate(Box::new(samples::certificate(1))))),
        ],
    ) {
        if let Ok(read) = node_request(&bytes) {
            prop_assert!(codec::encode(&read).len() <= bytes.len());
        }
        if let Ok(read) = node_answer(&bytes) {
            prop_assert!(codec::encode(&read).len() <= bytes.len());
        }
    }

    #[test]
    fn any_bytes_are_a_delivery_or_are_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            almost(good_delivery()),
        ],
    ) {
        if let Ok(read) = delivery(&bytes) {
            for message in read.messages {
                let believed = message.clone().verify(samples::site(2), NOW, |_| 0);
                prop_assert!(believed.is_err() || codec::encode(&message).len() <= bytes.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_question_and_an_answer_about_machines_or_are_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::sample::select(samples::questions()).prop_flat_map(|(_, bytes)| almost(bytes)),
        ],
    ) {
        let _ = machine::question(&bytes);
        match machine::answer(&bytes) {
            Ok(machine::Answer::Site(view)) => {
                prop_assert!(view.machines.len() <= MACHINES_SEEN_MAX);
            }
            Ok(machine::Answer::Kpis(latest)) => {
                prop_assert!(latest.len() <= NAMES_MAX);
                for (name, observed) in latest {
                    prop_assert!(name.as_str().parse::<kpi::Name>().is_ok());
                    let value = observed.value;
                    prop_assert_eq!(value.to_string().parse(), Ok(value));
                }
            }
            Ok(machine::Answer::Closed | machine::Answer::Away) | Err(_) => {}
        }
    }

    #[test]
    fn any_bytes_are_the_advert_that_was_signed_or_are_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            almost(codec::encode(&sign(&samples::statement(samples::advert()), 1))),
        ],
    ) {
        let read = codec::decode_canonical::<Signed<Advert>>(&bytes, ADVERT_BYTES_MAX);
        if let Ok(believed) = read.map(|signed| signed.verify(samples::site(2), NOW, |_| 0))
            && let Ok(believed) = believed
        {
            prop_assert_eq!(believed.statement(), &samples::statement(samples::advert()));
        }
    }

    #[test]
    fn any_bytes_are_a_certificate_in_its_one_form_or_are_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            almost(codec::encode(&samples::certificate(1))),
        ],
    ) {
        if let Ok(read) = codec::decode_canonical::<Certificate>(&bytes, 512) {
            prop_assert_eq!(codec::encode(&read), bytes.clone());
        }
        if let Ok(read) = codec::decode_canonical::<NodeCertificate>(&bytes, 512) {
            prop_assert_eq!(codec::encode(&read), bytes);
        }
    }
}
