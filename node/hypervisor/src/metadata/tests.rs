//! What we write we read back, and nothing else passes for ours.

use protocol::epoch::Epoch;
use protocol::ids::{HullId, MachineId, MachineName, SiteId};
use quick_xml::Writer;

use super::{NAMESPACE, read, write};
use crate::Tag;

fn tag() -> Tag {
    Tag {
        name: MachineName {
            home: SiteId::from_bytes([0xab; 32]),
            machine: MachineId::from_uuid(uuid::Uuid::from_bytes([0x11; 16])),
        },
        epoch: Epoch { home: 3, provider: u64::MAX },
        hull: HullId::from_bytes([0xcd; 32]),
    }
}

fn element() -> String {
    let mut writer = Writer::new(Vec::new());
    write(&mut writer, &tag()).unwrap();
    String::from_utf8(writer.into_inner()).unwrap()
}

fn domain(metadata: &str) -> String {
    format!("<domain><name>x</name><metadata>{metadata}</metadata><devices/></domain>")
}

#[test]
fn a_tag_is_read_back_exactly() {
    assert_eq!(read(&domain(&element())), Some(tag()));
}

#[test]
fn a_tag_beside_strangers_is_read() {
    let strangers = format!("<nova:x xmlns:nova='urn:n'><nova:y/></nova:x>{}", element());
    assert_eq!(read(&domain(&strangers)), Some(tag()));
}

#[test]
fn libvirt_may_choose_another_prefix() {
    assert_eq!(
        read(&domain(
            &element()
                .replace("reservoir:machine", "r:machine")
                .replace("xmlns:reservoir", "xmlns:r")
        )),
        Some(tag())
    );
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let ours = element();
    let rows = [
        ("nothing", String::new()),
        ("no element", domain("")),
        ("another version", domain(&ours.replace("machine/1", "machine/2"))),
        ("no namespace", domain(&ours.replace(NAMESPACE, ""))),
        ("another element", domain(&ours.replace("reservoir:machine", "reservoir:guest"))),
        ("twice", domain(&format!("{ours}{ours}"))),
        ("in the wrong place", format!("<domain>{ours}</domain>")),
        ("in another document", format!("<x><metadata>{ours}</metadata></x>")),
        ("inside another", domain(&format!("<a>{ours}</a>"))),
        ("a number spelt otherwise", domain(&ours.replace("3.1844", "03.1844"))),
        ("a sign", domain(&ours.replace("\"3.", "\"+3."))),
        ("capitals", domain(&ours.replace("abab", "ABAB"))),
        ("a number too large", domain(&ours.replace("\"3.", "\"3.9"))),
        ("an attribute less", domain(&ours.replace("epoch=", "xmlns:epoch="))),
        ("an attribute more", domain(&ours.replace("epoch=", "more=\"1\" epoch="))),
        ("an attribute twice", domain(&ours.replace("epoch=", "epoch=\"1.0\" epoch="))),
        ("an entity", domain(&ours.replace("\"3.", "\"&#51;."))),
        ("a document type", format!("<!DOCTYPE domain>{}", domain(&ours))),
        ("cut off", domain(&ours).trim_end_matches("</domain>").to_owned()),
    ];
    for (what, description) in rows {
        assert_eq!(read(&description), None, "{what}: {description}");
    }
}

#[test]
fn a_description_without_end_is_given_up() {
    assert_eq!(read(&"<a>".repeat(100_000)), None);
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    assert_eq!(read(&deep), None);
}

#[test]
fn no_cut_of_a_description_panics() {
    let whole = domain(&element());
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end]), None, "cut at {end}");
    }
}
