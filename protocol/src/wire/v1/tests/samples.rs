//! One of each thing that crosses the network, as it is usually and at its longest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use super::super::machine;
use crate::agreement::{Acceptance, Call, Message, Refusal, Report, Terms};
use crate::codec::encode;
use crate::epoch::Epoch;
use crate::hull::{Boot, COMMAND_LINE_MAX, Disk, Hull, Port};
use crate::identity::{Certificate, Claim, NodeCertificate, Scopes, SecretKey, Signed, Statement};
use crate::ids::{
    CallId, HoldId, ImageId, MachineId, MachineName, NetworkId, NodeId, SiteId, TenantId,
};
use crate::kpi::{self, Observed};
use crate::machine::guest::REASON_MAX;
use crate::machine::{Goal, State};
use crate::manifest::OnPartition;
use crate::market::Advert;
use crate::networks::check::{Answers, Dropped, LanSight, Sight, TunnelSight};
use crate::networks::gateway::{Gateway, TunnelKey};
use crate::networks::lan::{self, End, Member, NAME_MAX, Vni, Word};
use crate::networks::{Offset, ROUTES_MAX, Routes};
use crate::peering::monitor::{MachineView, SiteView};
use crate::security::{
    Direction, GroupName, MEMBERSHIPS_MAX, RULES_MAX, Rule, Rules, default_memberships,
};
use crate::sla::{Catalogue, Class};
use crate::time::{Span, Timestamp};
use crate::units::{Currency, Mebibytes, Micros, Permille, Price, Size, Tariff};
use crate::user_data::{self, UserData};

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32])
}

pub(super) fn site(number: u8) -> SiteId {
    key(number).public().site()
}

/// The certificate of site 1's node; the serial is the largest where length counts.
pub(super) fn certificate(serial: u64) -> NodeCertificate {
    let certificate = Certificate {
        root: key(1).public(),
        node: key(101).public(),
        scopes: Scopes::NODE,
        serial,
        not_before: Timestamp::default(),
        not_after: Timestamp::from_millis(u64::MAX),
    };
    NodeCertificate::issue(certificate, &key(1))
}

pub(super) fn sign<T: Claim>(statement: &Statement<T>, serial: u64) -> Signed<T> {
    Signed::sign(statement, &certificate(serial), &key(101))
}

pub(super) fn statement<T>(body: T) -> Statement<T> {
    Statement {
        issuer: site(1),
        audience: Some(site(2)),
        incarnation: 0,
        sequence: 7,
        issued_at: NOW,
        expires_at: Timestamp::from_millis(1_700_000_060_000),
        body,
    }
}

pub(super) fn longest_statement<T>(body: T) -> Statement<T> {
    let (incarnation, sequence) = (u64::MAX, u64::MAX);
    let (issued_at, expires_at) = (Timestamp::from_millis(u64::MAX), NOW);
    Statement { incarnation, sequence, issued_at, expires_at, ..statement(body) }
}

pub(super) fn advert() -> Advert {
    let tariff = Tariff {
        currency: Currency::EUR,
        vcpu_hour: Micros(10_000),
        memory_gib_hour: Micros(5_000),
        disk_gib_hour: Micros(100),
        classes: Catalogue { silver: Permille::new(1_250), ..Catalogue::NONE },
    };
    let free = Size { vcpus: 64, memory: Mebibytes(131_072), disk: Mebibytes(1 << 20) };
    Advert { free, largest: Size { vcpus: 32, ..free }, tariff }
}

pub(super) fn longest_advert() -> Statement<Advert> {
    let most = Micros(u64::MAX);
    let body = Advert {
        free: largest(),
        largest: largest(),
        tariff: Tariff {
            currency: Currency::EUR,
            vcpu_hour: most,
            memory_gib_hour: most,
            disk_gib_hour: most,
            classes: Catalogue {
                bronze: Some(Permille::MAX),
                silver: Some(Permille::MAX),
                gold: Some(Permille::MAX),
            },
        },
    };
    longest_statement(body)
}

const fn largest() -> Size {
    Size { vcpus: u32::MAX, memory: Mebibytes(u64::MAX), disk: Mebibytes(u64::MAX) }
}

const fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn network() -> NetworkId {
    "01900000-0000-7000-8000-000000000017".parse().expect("an id")
}

fn hull() -> Hull {
    let size = Size { vcpus: 2, memory: Mebibytes(512), disk: Mebibytes(1_024) };
    let boot = Boot::Kernel { command_line: "console=ttyS0".to_owned() };
    Hull::new(site(1), MachineId::from_uuid(uuid(3)), size, boot, &[network()])
}

/// A hull with a device on each port, and everything else at its largest.
fn longest_hull() -> Hull {
    let mut hull = hull();
    hull.boot = Boot::Kernel { command_line: "x".repeat(COMMAND_LINE_MAX) };
    (hull.version, hull.vcpus, hull.vcpus_max) = (u32::MAX, 255, 255);
    (hull.memory, hull.memory_max) = (Mebibytes(u64::MAX), Mebibytes(u64::MAX));
    let disk = |port| Disk { port: Port(port), serial: "s".repeat(20), size: Mebibytes(u64::MAX) };
    hull.disks = [1, 3, 4, 5, 6, 7, 8].map(disk).to_vec();
    assert!(hull.is_sound());
    hull
}

fn terms(size: Size, hourly: u64) -> Terms {
    Terms {
        home: site(1),
        provider: site(2),
        machine: hull().machine,
        hull: hull().id(),
        size,
        image: ImageId::from_bytes([5; 32]),
        on_partition: OnPartition::Hold,
        class: Class::Silver,
        price: Price { currency: Currency::EUR, hourly: Micros(hourly) },
        until: Timestamp::from_millis(hourly),
        notice: Span::from_millis(hourly),
        retention: Span::from_millis(hourly),
    }
}

/// One of each variant; a new one is met by the compiler in [`name`].
fn sample(variant: usize, longest: bool) -> Option<(&'static str, Message)> {
    let (call, hold) = (CallId::from_uuid(uuid(1)), HoldId::from_uuid(uuid(2)));
    let (hull, number) = if longest { (longest_hull(), u64::MAX) } else { (hull(), 3) };
    let terms = terms(if longest { largest() } else { hull.size() }, number);
    let (machine, image) = (hull.machine, terms.image);
    let reason = if longest { "r".repeat(REASON_MAX) } else { "no disk".to_owned() };
    let epoch = Epoch { home: number, provider: number };
    let message = match variant {
        0 => Message::Call(Box::new(Call {
            call,
            tenant: TenantId::from_uuid(uuid(4)),
            hull,
            image,
            on_partition: OnPartition::Hold,
            class: Class::Silver,
            callable: true,
        })),
        1 => Message::Offer { call, hold, terms },
        2 => Message::Refuse { call, reason: Refusal::NoCapacity },
        3 => Message::Accept(Acceptance { hold, terms, epoch: number }),
        4 => Message::Decline { hold, reason: Refusal::NotChosen },
        5 => Message::Agreed { hold, machine },
        6 => Message::Lapsed { hold, machine, reason: Refusal::Lapsed },
        7 => Message::Order { machine, epoch: number, goal: Goal::Suspended },
        8 => Message::Report(Report { machine, epoch, state: State::Failed, since: NOW, reason }),
        9 => Message::Lost { machine, epoch: number },
        10 => Message::Farewell,
        11 => Message::Propose { hold, terms },
        12 => Message::Consent { hold, terms },
        13 => Message::Renewed { hold },
        14 => Message::Terminate {
            hold,
            at: Timestamp::from_millis(number),
            reason: Refusal::Terminated,
        },
        15..=20 => Message::Network {
            network: NetworkId::from_uuid(uuid(5)),
            word: word(variant, longest),
        },
        21 => Message::Hand { hold, user_data: user_data(longest) },
        _ => return None,
    };
    Some((name(&message), message))
}

/// What a machine is handed.
fn user_data(longest: bool) -> UserData {
    let text = if longest { "x".repeat(user_data::LENGTH_MAX) } else { "#!/bin/sh\n".to_owned() };
    text.into_bytes().try_into().unwrap()
}

/// What is said of a network.
fn word(variant: usize, longest: bool) -> Word {
    let label = if longest { "n".repeat(NAME_MAX) } else { "web-1".to_owned() };
    let ip = if longest { IpAddr::from([u16::MAX - 1; 8]) } else { IpAddr::from([192, 0, 2, 1]) };
    let endpoint = Some(SocketAddr::new(ip, 51_820));
    let gateway = Some(Gateway { key: TunnelKey::from_bytes([7; 32]), endpoint });
    let end = End { vni: if longest { Vni::MAX } else { Vni::MIN }, gateway };
    match variant {
        15 => Word::Terms(lan::Terms {
            prefix: "10.1.0.0/16".parse().unwrap(),
            prefix6: "fd12:3456:789a:1::/64".parse().unwrap(),
            speed: Some("5MBS".parse().unwrap()),
            class: Class::Gold,
            outbound: true,
            domain: Some(label),
            group: Some(NetworkId::from_uuid(uuid(6))),
            routes: routes(longest),
        }),
        16 => {
            let member = Member {
                machine: MachineId::from_uuid(uuid(3)),
                card: 1,
                name: label.clone(),
                component: Some(label),
                groups: memberships(longest),
                site: Some(site(2)),
                epoch: if longest { u64::MAX } else { 3 },
            };
            Word::Member { offset: Offset(4), member: Some(member) }
        }
        17 => Word::Group { name: label.parse().unwrap(), rules: Some(rules(longest)) },
        18 => Word::End { site: site(2), end: Some(end) },
        19 => Word::Joined(end),
        _ => Word::Over,
    }
}

/// The routes of a network.
fn routes(longest: bool) -> Routes {
    let count = if longest { ROUTES_MAX } else { 1 };
    let written = |number| match longest {
        true => {
            format!("fd12:3456:789a:1:ffff:ffff:ffff:{number:x}/128 via fd12:3456:789a:1::ffff")
        }
        false => "10.9.0.0/16 via 10.1.0.5".to_owned(),
    };
    Routes::new((1..=count).map(|number| written(number).parse().unwrap()).collect()).unwrap()
}

/// The security groups of a machine.
fn memberships(longest: bool) -> BTreeSet<GroupName> {
    if !longest {
        return default_memberships();
    }
    let name = |number: usize| format!("g{number}{}", "n".repeat(NAME_MAX - 2));
    (0..MEMBERSHIPS_MAX).map(|number| name(number).parse().unwrap()).collect()
}

/// The rules of a security group.
fn rules(longest: bool) -> Rules {
    let ingress = |text: String| Rule::parse(&text, Direction::Ingress).unwrap();
    if !longest {
        let rules = ["tcp 443 from 0.0.0.0/0", "icmp from 2001:db8::/32", "any from web"];
        return Rules::new(rules.map(|rule| ingress(rule.to_owned())).into(), Vec::new()).unwrap();
    }
    let group = "n".repeat(NAME_MAX);
    let rule = |number| ingress(format!("udp {}-65535 from {group}", 60_000 + number));
    let rules: Vec<Rule> = (0..RULES_MAX).map(rule).collect();
    Rules::new(rules.clone(), rules).unwrap()
}

const fn name(message: &Message) -> &'static str {
    match message {
        Message::Call(_) => "Call",
        Message::Offer { .. } => "Offer",
        Message::Refuse { .. } => "Refuse",
        Message::Accept(_) => "Accept",
        Message::Hand { .. } => "Hand",
        Message::Decline { .. } => "Decline",
        Message::Agreed { .. } => "Agreed",
        Message::Lapsed { .. } => "Lapsed",
        Message::Order { .. } => "Order",
        Message::Report(_) => "Report",
        Message::Lost { .. } => "Lost",
        Message::Network { word: Word::Terms(_), .. } => "Network: Terms",
        Message::Network { word: Word::Member { .. }, .. } => "Network: Member",
        Message::Network { word: Word::Group { .. }, .. } => "Network: Group",
        Message::Network { word: Word::End { .. }, .. } => "Network: End",
        Message::Network { word: Word::Joined(_), .. } => "Network: Joined",
        Message::Network { word: Word::Over, .. } => "Network: Over",
        Message::Farewell => "Farewell",
        Message::Propose { .. } => "Propose",
        Message::Consent { .. } => "Consent",
        Message::Renewed { .. } => "Renewed",
        Message::Terminate { .. } => "Terminate",
    }
}

pub(super) fn messages() -> Vec<(&'static str, Message)> {
    (0..).map_while(|variant| sample(variant, false)).collect()
}

pub(super) fn longest_messages() -> Vec<(&'static str, Message)> {
    (0..).map_while(|variant| sample(variant, true)).collect()
}

/// Questions about machines and their answers, one of each.
pub(super) fn questions() -> Vec<(&'static str, Vec<u8>)> {
    let machine = MachineId::from_uuid(uuid(3));
    vec![
        ("Question::Site", encode(&machine::Question::Site { after: Some(machine) })),
        ("Answer::Site", encode(&machine::Answer::Site(Box::new(view())))),
        ("Answer::Closed", encode(&machine::Answer::Closed)),
        ("Question::Kpis", encode(&machine::Question::Kpis { machine })),
        ("Answer::Kpis", encode(&machine::Answer::Kpis(kpis()))),
        ("Answer::Away", encode(&machine::Answer::Away)),
    ]
}

/// The machine that the samples are about.
pub(super) const fn machine_name() -> MachineName {
    MachineName { home: SiteId::from_bytes([1; 32]), machine: MachineId::from_uuid(uuid(3)) }
}

/// What a machine says of itself.
pub(super) fn kpis() -> BTreeMap<kpi::Name, Observed> {
    let observed = Observed { value: "-0.75".parse().unwrap(), age: Span::from_millis(300) };
    BTreeMap::from([("Load".parse().unwrap(), observed)])
}

/// So many measures, each at its longest.
pub(super) fn longest_kpis(many: usize) -> BTreeMap<kpi::Name, Observed> {
    let value = "-9223372036854.775807".parse().unwrap();
    let observed = Observed { value, age: Span::from_millis(u64::MAX) };
    let name = |number: usize| format!("n{number:0>63}").parse().unwrap();
    (0..many).map(|number| (name(number), observed)).collect()
}

fn view() -> SiteView {
    let Advert { free, largest, tariff } = advert();
    let one = MachineView {
        machine: MachineId::from_uuid(uuid(3)),
        epoch: Epoch { home: 1, provider: 2 },
        state: State::Active,
        since: NOW,
        size: hull().size(),
    };
    SiteView { machines: vec![one], more: false, free, largest, tariff, factor: Permille::ONE }
}

/// A view of so many machines, each at its longest.
pub(super) fn longest_view(machines: usize) -> SiteView {
    let (since, size) = (Timestamp::from_millis(u64::MAX), largest());
    let epoch = Epoch { home: u64::MAX, provider: u64::MAX };
    let machine = MachineId::from_uuid(Uuid::max());
    let one = MachineView { machine, epoch, state: State::Destroyed, since, size };
    let Advert { free, largest, tariff } = longest_advert().body;
    let factor = Permille::MAX;
    SiteView { machines: vec![one; machines], more: true, free, largest, tariff, factor }
}

/// What a gateway sees of its host's networks.
pub(super) fn sight() -> Sight {
    let (sent, answered, round_trip) = (10, 9, Some(900));
    let answers = Answers { sent, answered, round_trip, largest: Some(1_280), needed: 1_420 };
    let lan = LanSight {
        home: site(2),
        network: NetworkId::from_uuid(Uuid::from_u128(6)),
        devices: 4,
        down: vec!["rt1".to_owned()],
        room: Some(1_350),
        exit: Some(true),
    };
    let tunnel = TunnelSight { answers, handshake: Some(12) };
    Sight {
        tunnels: vec![(TunnelKey::from_bytes([5; 32]), tunnel)],
        fellows: vec![(NodeId(3), answers)],
        lans: vec![lan],
        stray: vec![Dropped { cause: "unknown-peer".to_owned(), packets: 4, bytes: 400 }],
        trouble: vec!["nft is not there".to_owned()],
    }
}
