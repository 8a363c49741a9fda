//! How many commands a second one site applies, and how that falls as the site grows.
//!
//! Each command is applied to a site with so many hosts and eight guests on each, and its rows
//! are taken, as storage would. One replica applies on one thread, so a command's time is its
//! share of the whole site.

use divan::Bencher;
use protocol::agreement::{Call, Message};
use protocol::hull::Hull;
use protocol::identity::{
    Certificate, NodeCertificate, PublicKey, Scopes, SecretKey, Signed, Statement, Verified,
};
use protocol::ids::{
    BlobId, CallId, HostId, MachineId, NetworkId, NodeId, RequestId, ServiceId, SiteId, TenantId,
};
use protocol::images::{Blob, Image};
use protocol::machine::guest::Seen;
use protocol::manifest::{self, Manifest, OnPartition};
use protocol::rows::{Change, Replicated as _};
use protocol::site::command::{
    Configure, Contact, Described, Observation, OperatorAsk, PeerEntry, TenantAsk,
};
use protocol::site::state::Mode;
use protocol::site::{Command, Outcome, Site, Stamped};
use protocol::sla::{Catalogue, Class};
use protocol::time::{Span, Timestamp};
use protocol::units::{Currency, Mebibytes, Micros, Size, Tariff};
use uuid::Uuid;

const HOSTS: [u32; 3] = [10, 100, 1_000];
const GUESTS_ON_EACH: u32 = 8;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn main() {
    divan::main();
}

const fn size(vcpus: u32) -> Size {
    let gib = Mebibytes::from_gib(vcpus as u64);
    Size { vcpus, memory: gib, disk: gib }
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

const fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(1))
}

fn host(number: u32) -> HostId {
    HostId::from_uuid(Uuid::from_u128(number.into()))
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32])
}

fn site(number: u8) -> SiteId {
    key(number).public().site()
}

fn image() -> Image {
    let blob = Blob { id: BlobId::from_bytes([1; 32]), length: 1 };
    Image::Kernel { kernel: blob, initrd: blob, command_line: "console=ttyS0".to_owned() }
}

fn stamped(command: Command, chance: u32) -> Stamped {
    Stamped { at: NOW, seed: *blake3::hash(&chance.to_le_bytes()).as_bytes(), command }
}

fn request(number: u32) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number.into()))
}

fn submission(service: &str, replicas: u32, number: u32) -> Stamped {
    let text = format!(
        "service: {service}\ncomponents:\n  web: {{ image: guest, vcpus: 1, memory: 1GiB, disk: \
         1GiB, replicas: {replicas} }}\n"
    );
    let manifest: Manifest = manifest::parse(text.as_bytes()).expect("the manifest is good");
    let ask = TenantAsk::Submit { manifest: Box::new(manifest), mode: Mode::BestEffort };
    stamped(Command::Tenant { tenant: tenant(), request: request(number), ask }, number)
}

/// A site with so many hosts, half of each taken by guests at home here.
fn loaded(hosts: u32) -> Site {
    let mut loaded = Site::default();
    let amount = Micros(1_000);
    let tariff = Tariff {
        currency: Currency::EUR,
        vcpu_hour: amount,
        memory_gib_hour: amount,
        disk_gib_hour: amount,
        classes: Catalogue::NONE,
    };
    let peer = PeerEntry {
        site: site(2),
        name: "beta".parse().expect("a label"),
        addresses: vec![],
        settings: vec![],
    };
    let (name, peers) = ("alpha".to_owned(), vec![peer]);
    let configure = Configure { site: site(1), name, tariff, peers };
    loaded.apply(&stamped(Command::Configure(configure), 0));
    let contact = Contact {
        key: PublicKey::from_bytes([1; 32]),
        name: "node".parse().expect("the name is good"),
        addresses: Vec::new(),
        api: None,
        uplink: None,
    };
    loaded.apply(&stamped(Command::Node { node: NodeId(1), contact }, 0));
    let name = "guest".parse().expect("the name is good");
    let ask = OperatorAsk::RegisterImage { name, image: image() };
    loaded.apply(&stamped(Command::Operator { request: request(0), ask }, 0));
    for number in 1..=hosts {
        let described = Described {
            node: NodeId(1),
            name: "host".to_owned(),
            capacity: size(2 * GUESTS_ON_EACH),
            hypervisor: "none".to_owned(),
            trouble: String::new(),
        };
        loaded.apply(&stamped(Command::Host { host: host(number), described }, 0));
    }
    let guests = hosts * GUESTS_ON_EACH;
    let batch = guests.min(200);
    for number in 0..guests / batch {
        let outcome = loaded.apply(&submission(&format!("s{number}"), batch, number + 1));
        assert!(matches!(outcome, Outcome::Service(_)), "{outcome:?}");
    }
    assert_eq!(loaded.guests().count(), guests as usize);
    loaded.take_changes();
    loaded
}

fn apply((site, stamped): &mut (Site, Stamped)) -> (Outcome, Vec<Change>) {
    let outcome = site.apply(stamped);
    (outcome, site.take_changes())
}

/// A tenant's service of one machine is taken on, placed and ordered to start.
#[divan::bench(args = HOSTS)]
fn submit(bencher: Bencher<'_, '_>, hosts: u32) {
    let loaded = loaded(hosts);
    let submission = submission("one-more", 1, u32::MAX);
    bencher
        .counter(1_u32)
        .with_inputs(|| (loaded.clone(), submission.clone()))
        .bench_local_refs(apply);
}

/// A peer's call is taken up, and an offer made with room held behind it.
#[divan::bench(args = HOSTS)]
fn call(bencher: Bencher<'_, '_>, hosts: u32) {
    let loaded = loaded(hosts);
    let received = stamped(Command::Receive { messages: vec![called()] }, 1);
    bencher
        .counter(1_u32)
        .with_inputs(|| (loaded.clone(), received.clone()))
        .bench_local_refs(apply);
}

/// A host reports that it has made a guest.
#[divan::bench(args = HOSTS)]
fn observe(bencher: Bencher<'_, '_>, hosts: u32) {
    let loaded = loaded(hosts);
    let (name, guest) = loaded.guests().next().expect("the site has guests");
    let observation =
        Observation { guest: *name, epoch: guest.progress.epoch, seen: Seen::Prepared };
    let host = guest.lodging.host;
    let observed = stamped(Command::Observe { host, observations: vec![observation] }, 1);
    bencher
        .counter(1_u32)
        .with_inputs(|| (loaded.clone(), observed.clone()))
        .bench_local_refs(apply);
}

/// A tenant takes a service of many machines down.
#[divan::bench(args = HOSTS)]
fn end(bencher: Bencher<'_, '_>, hosts: u32) {
    let loaded = loaded(hosts);
    let (service, _): (&ServiceId, _) = loaded.services().next().expect("the site has services");
    let ask = TenantAsk::End { service: *service };
    let command = Command::Tenant { tenant: tenant(), request: request(u32::MAX), ask };
    let ended = stamped(command, 1);
    bencher.counter(1_u32).with_inputs(|| (loaded.clone(), ended.clone())).bench_local_refs(apply);
}

/// The peer's call for a machine, checked as the node would have done.
fn called() -> Verified<Message> {
    let (root, machine) = (key(2), MachineId::from_uuid(Uuid::from_u128(9)));
    let certificate = Certificate {
        root: root.public(),
        node: root.public(),
        scopes: Scopes::NODE,
        serial: 1,
        not_before: NOW,
        not_after: NOW + Span::from_secs(60),
    };
    let call = Call {
        call: CallId::from_uuid(Uuid::from_u128(8)),
        tenant: tenant(),
        hull: Hull::new(site(2), machine, size(1), image().boot(), &[network()]),
        image: image().id(),
        on_partition: OnPartition::Fence,
        class: Class::BestEffort,
        callable: true,
    };
    let statement = Statement {
        issuer: site(2),
        audience: Some(site(1)),
        incarnation: 0,
        sequence: 1,
        issued_at: NOW,
        expires_at: NOW + Span::from_secs(60),
        body: Message::Call(Box::new(call)),
    };
    let signed = Signed::sign(&statement, &NodeCertificate::issue(certificate, &root), &root);
    signed.verify(site(1), NOW, |_| 0).expect("the call is good")
}
