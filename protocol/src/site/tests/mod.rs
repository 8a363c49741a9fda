//! A small world of sites, to say what happens in it in a few words. After every command it
//! judges each site, checks that a refusal changed nothing, and keeps the rows as a disk would.

mod agreements;
mod catalogue;
mod chance;
mod checking;
mod classes;
mod deploying;
mod lans;
mod leading;
mod leased;
mod lies;
mod measuring;
mod membership;
mod monitoring;
mod networks;
mod peering;
mod public;
mod repair;
mod retention;
mod rows;
mod scaling;
mod security;
mod streams;
mod user_data;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::command::{
    Command, Configure, Contact, Described, Observation, OperatorAsk, Outcome, PeerEntry, Refusal,
    Stamped, TenantAsk,
};
use super::state::{Mode, Place, Service, Stage};
use super::*;
use crate::agreement::Message;
use crate::agreement::choice::Asked;
use crate::epoch::Epoch;
use crate::identity::{
    Certificate, NodeCertificate, Scopes, SecretKey, Signed, Statement, Verified,
};
use crate::ids::{BlobId, NodeId, RequestId};
use crate::images::{Blob, Image};
use crate::machine::guest::Seen;
use crate::machine::host::{self, Action, Found, Process};
use crate::machine::{State, Verb};
use crate::manifest::{self, Manifest, OnPartition};
use crate::networks::gateway::{Gateway, TunnelKey, Uplink};
use crate::sla::{Catalogue, Class};
use crate::units::{Currency, Mebibytes, Micros, Size, Tariff};

pub(super) const ALPHA: usize = 0;
pub(super) const BETA: usize = 1;
pub(super) const GAMMA: usize = 2;
const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// More rounds than any conversation here has turns.
const ROUNDS_MAX: usize = 60;

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// How a node is reached.
pub(super) fn contact(node: NodeId) -> Contact {
    let number = u8::try_from(node.0).unwrap();
    Contact {
        key: SecretKey::from_bytes(&[number; 32]).public(),
        name: format!("node-{node}").parse().unwrap(),
        addresses: vec![format!("/ip4/192.0.2.{node}/tcp/7401")],
        api: None,
        uplink: Some(uplink(number)),
    }
}

/// How a node takes part in networks.
pub(super) fn uplink(number: u8) -> Uplink {
    let underlay = IpAddr::from([192, 0, 2, number]);
    let key = TunnelKey::from_bytes([number; 32]);
    let endpoint = Some(SocketAddr::new(underlay, 51_820));
    Uplink { underlay, gateway: Gateway { key, endpoint } }
}

/// A site with its node's key, its disk, and what runs on its hosts.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) site: Site,
    pub(super) id: SiteId,
    key: [u8; 32],
    certificate: NodeCertificate,
    pub(super) rows: Rows,
    pub(super) processes: BTreeMap<(HostId, MachineName), Process>,
    saved: BTreeMap<MachineName, bool>,
    pub(super) boots: BTreeMap<(MachineName, Epoch), u32>,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) parties: Vec<Party>,
    pub(super) now: Timestamp,
    /// Hosts that do nothing, as if they were gone.
    pub(super) gone: BTreeSet<(usize, HostId)>,
    /// Sites between whom nothing passes, in both directions.
    pub(super) cut: BTreeSet<(usize, usize)>,
    drawn: u64,
}

pub(super) const fn tenant() -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(0x7e))
}

pub(super) const fn host(number: u128) -> HostId {
    HostId::from_uuid(uuid::Uuid::from_u128(number))
}

/// So many virtual processors, each with 1 GiB of memory and of disk.
pub(super) const fn size(vcpus: u32) -> Size {
    let gib = Mebibytes::from_gib(vcpus as u64);
    Size { vcpus, memory: gib, disk: gib }
}

pub(super) fn image() -> Image {
    Image::Kernel {
        kernel: Blob { id: BlobId::from_bytes([1; 32]), length: 7 },
        initrd: Blob { id: BlobId::from_bytes([2; 32]), length: 9 },
        command_line: "console=ttyS0".to_owned(),
    }
}

/// A manifest of components: name, size in processors, replicas, what it waits for.
pub(super) fn manifest(service: &str, components: &[(&str, u32, u32, &[&str])]) -> Box<Manifest> {
    let mut text = format!("service: {service}\ncomponents:\n");
    for (name, vcpus, replicas, after) in components {
        text.push_str(&format!(
            "  {name}: {{ image: guest, vcpus: {vcpus}, memory: {vcpus}GiB, disk: {vcpus}GiB, \
             replicas: {replicas}, after: [{}] }}\n",
            after.join(", ")
        ));
    }
    Box::new(manifest::parse(text.as_bytes()).unwrap())
}

/// Whom to ask, of whom nothing has been measured.
pub(super) fn asked(sites: &BTreeSet<SiteId>) -> Vec<Asked> {
    sites.iter().map(|site| Asked { site: *site, round_trip: None }).collect()
}

impl World {
    /// One site says something to another out of turn.
    pub(super) fn tell(&mut self, from: usize, to: usize, message: Message) {
        let sender = self.parties[from].id;
        let sequence = self.parties[to].site.peer(sender).unwrap().taken + 1;
        let messages = vec![self.says(from, to, sequence, message, self.now)];
        assert_eq!(self.apply(to, Command::Receive { messages }), Outcome::Taken(sequence));
    }

    /// Sites with so many processors each, every one a peer of every other. The price of a site
    /// is its place in the row.
    pub(super) fn new(processors: &[u32]) -> Self {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let parties: Vec<Party> = (1..).zip(processors).map(|(number, _)| party(number)).collect();
        let (gone, cut) = (BTreeSet::new(), BTreeSet::new());
        let mut world = Self { parties, now, gone, cut, drawn: 0 };
        for (at, vcpus) in processors.iter().enumerate() {
            world.configure(at, &(0..processors.len()).collect::<Vec<_>>());
            world.enter(at, NodeId(1));
            let register =
                OperatorAsk::RegisterImage { name: "guest".parse().unwrap(), image: image() };
            world.operator(at, register);
            world.describe(at, host(1), size(*vcpus), "");
        }
        world
    }

    /// Configures a site with these peers.
    pub(super) fn configure(&mut self, at: usize, peers: &[usize]) -> Outcome {
        let entries = peers.iter().filter(|peer| **peer != at).map(|peer| PeerEntry {
            site: self.parties[*peer].id,
            name: NAMES[*peer].parse().unwrap(),
            addresses: vec![],
            settings: vec![],
        });
        let configure = Configure {
            site: self.parties[at].id,
            name: NAMES[at].to_owned(),
            tariff: tariff(u64::try_from(at).unwrap() + 1),
            peers: entries.collect(),
        };
        self.apply(at, Command::Configure(configure))
    }

    /// A node says how it is reached.
    pub(super) fn enter(&mut self, at: usize, node: NodeId) -> Outcome {
        self.apply(at, Command::Node { node, contact: contact(node) })
    }

    pub(super) fn describe(&mut self, at: usize, host: HostId, capacity: Size, trouble: &str) {
        let described = Described {
            node: NodeId(1),
            name: "host".to_owned(),
            capacity,
            hypervisor: "none".to_owned(),
            trouble: trouble.to_owned(),
        };
        self.apply(at, Command::Host { host, described });
    }

    pub(super) fn seed(&mut self) -> [u8; 32] {
        self.drawn += 1;
        *blake3::hash(&self.drawn.to_le_bytes()).as_bytes()
    }

    /// Applies a command at a site. The deadlines that have passed are seen to before it, so that
    /// what the command itself changes can be told.
    pub(super) fn apply(&mut self, at: usize, command: Command) -> Outcome {
        let nothing = Command::Observe { host: host(0), observations: vec![] };
        self.write(at, nothing);
        let (outcome, tables) = self.write(at, command);
        if let Outcome::Refused(refusal) = &outcome {
            assert_eq!(tables, [1], "{refusal}: and yet rows were changed");
        }
        outcome
    }

    /// Applies, and writes the rows; says which tables were touched.
    fn write(&mut self, at: usize, command: Command) -> (Outcome, Vec<u8>) {
        let stamped = Stamped { at: self.now, seed: self.seed(), command };
        let party = &mut self.parties[at];
        let outcome = party.site.apply(&stamped);
        let mut tables = Vec::new();
        for change in party.site.take_changes() {
            tables.push(change.table);
            let key = (change.table, change.key);
            match change.value {
                Some(value) => drop(party.rows.insert(key, value)),
                None => drop(party.rows.remove(&key)),
            }
        }
        assert_eq!(party.site.violations(), [], "after {stamped:?}");
        (outcome, tables)
    }

    pub(super) fn request(&mut self) -> RequestId {
        self.drawn += 1;
        RequestId::from_uuid(uuid::Uuid::from_u128(u128::from(self.drawn)))
    }

    pub(super) fn operator(&mut self, at: usize, ask: OperatorAsk) -> Outcome {
        let request = self.request();
        self.apply(at, Command::Operator { request, ask })
    }

    pub(super) fn ask(&mut self, at: usize, ask: TenantAsk) -> Outcome {
        let request = self.request();
        self.apply(at, Command::Tenant { tenant: tenant(), request, ask })
    }

    pub(super) fn submit(&mut self, at: usize, manifest: Box<Manifest>, mode: Mode) -> ServiceId {
        match self.ask(at, TenantAsk::Submit { manifest, mode }) {
            Outcome::Service(service) => service,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn define(&mut self, at: usize, name: &str, size: Size) -> MachineId {
        self.define_as(at, name, size, OnPartition::Fence)
    }

    pub(super) fn define_as(
        &mut self,
        at: usize,
        name: &str,
        size: Size,
        on_partition: OnPartition,
    ) -> MachineId {
        let (name, image) = (name.parse().unwrap(), "guest".parse().unwrap());
        match self.ask(
            at,
            TenantAsk::Define {
                name,
                image,
                size,
                sites: None,
                on_partition,
                class: Class::BestEffort,
                user_data: None,
            },
        ) {
            Outcome::Machine(machine) => machine,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn update(&mut self, at: usize, machine: MachineId, verb: Verb) -> Outcome {
        self.ask(at, TenantAsk::Update { machine, verb })
    }

    /// Asks all peers that may be asked for every machine that is sought, as a last round.
    pub(super) fn seek(&mut self, at: usize) -> bool {
        let seeking = self.parties[at].site.seeking();
        for sought in &seeking {
            let sites = asked(&sought.peers);
            self.apply(at, Command::Seek { machine: sought.machine, sites, last: true });
        }
        !seeking.is_empty()
    }

    /// What a site owes another, signed and checked, as it would arrive there.
    pub(super) fn owed(&self, from: usize, to: usize) -> Vec<Verified<Message>> {
        let (sender, receiver) = (&self.parties[from], self.parties[to].id);
        let Some(dispatch) = sender.site.dispatch(receiver) else { return Vec::new() };
        let messages = dispatch.messages.into_iter();
        messages.map(|(number, body, at)| self.says(from, to, number, body, at)).collect()
    }

    /// A message of one site to another.
    pub(super) fn says(
        &self,
        from: usize,
        to: usize,
        sequence: u64,
        body: Message,
        issued_at: Timestamp,
    ) -> Verified<Message> {
        let (sender, audience) = (&self.parties[from], self.parties[to].id);
        // The same message has the same bytes whenever it is said again.
        let expires_at = issued_at + Span::from_secs(365 * 86_400);
        let statement = Statement {
            issuer: sender.id,
            audience: Some(audience),
            incarnation: 0,
            sequence,
            issued_at,
            expires_at,
            body,
        };
        let key = SecretKey::from_bytes(&sender.key);
        Signed::sign(&statement, &sender.certificate, &key)
            .verify(audience, self.now, |_| 0)
            .unwrap()
    }

    /// Delivers what is owed, and brings the acknowledgement back.
    pub(super) fn deliver(&mut self, from: usize, to: usize) -> bool {
        let messages = self.owed(from, to);
        let cut = self.cut.contains(&(from, to)) || self.cut.contains(&(to, from));
        if cut || messages.is_empty() {
            return false;
        }
        let outcome = self.apply(to, Command::Receive { messages });
        let Outcome::Taken(through) = outcome else { panic!("{outcome:?}") };
        let peer = self.parties[to].id;
        self.apply(from, Command::Acknowledged { peer, through });
        true
    }

    /// Lets a site's hosts take one step for each of their guests. Says whether any had one.
    pub(super) fn work(&mut self, at: usize) -> bool {
        let hosts: Vec<HostId> = self.parties[at].site.hosts().map(|(id, _)| *id).collect();
        let mut worked = false;
        for host in hosts {
            if self.gone.contains(&(at, host)) {
                continue;
            }
            for assignment in self.parties[at].site.assignments(host) {
                let (name, progress) = (assignment.name, assignment.progress);
                let party = &mut self.parties[at];
                let process = party.processes.get(&(host, name)).copied();
                let saved = party.saved.contains_key(&name);
                let action = host::next(&progress, Found { process, saved, overdue: false });
                worked |= action != Action::Nothing;
                if let Some(seen) = party.perform((host, name), progress.epoch, action) {
                    let observation = Observation { guest: name, epoch: progress.epoch, seen };
                    self.apply(at, Command::Observe { host, observations: vec![observation] });
                }
            }
        }
        worked
    }

    /// Everything that can happen without time passing.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for at in 0..self.parties.len() {
                busy |= self.seek(at);
                busy |= self.work(at);
                for to in 0..self.parties.len() {
                    busy |= to != at && self.deliver(at, to);
                }
            }
            if !busy {
                return;
            }
        }
        panic!("the sites are still busy after {ROUNDS_MAX} rounds");
    }

    pub(super) fn pass(&mut self, span: Span) {
        self.now = self.now + span;
        for at in 0..self.parties.len() {
            self.apply(at, Command::Tick);
        }
    }

    pub(super) fn service(&self, at: usize, id: ServiceId) -> &Service {
        self.parties[at].site.service(id).unwrap()
    }

    pub(super) fn machine(&self, at: usize, id: MachineId) -> &Machine {
        self.parties[at].site.machine(id).unwrap()
    }

    /// A service's machines by their names: each with its state and where it is.
    pub(super) fn view(&self, at: usize, id: ServiceId) -> String {
        let service = self.service(at, id);
        let mut lines: Vec<String> =
            service.machines.iter().map(|machine| self.view_machine(at, *machine)).collect();
        lines.sort();
        format!("{:?}\n{}\n", service.stage, lines.join("\n"))
    }

    pub(super) fn view_machine(&self, at: usize, id: MachineId) -> String {
        let row = self.machine(at, id);
        let place = match &row.place {
            Place::Nowhere => "nowhere".to_owned(),
            Place::Sought { .. } => "sought".to_owned(),
            Place::Postponed => "postponed".to_owned(),
            Place::Held(offer) => format!("held at {}", self.name_of(offer.site)),
            Place::Accepted(offer) => format!("accepted at {}", self.name_of(offer.site)),
            Place::Here(_) => NAMES[at].to_owned(),
            Place::There { site, .. } => self.name_of(*site).to_owned(),
        };
        let reason = match row.sight.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        format!("{} {} {place}{reason}", row.name, row.state())
    }

    fn name_of(&self, site: SiteId) -> &'static str {
        let at = self.parties.iter().position(|party| party.id == site).unwrap();
        NAMES[at]
    }
}

impl Party {
    /// Takes an action whole, and hands back what is to be reported.
    fn perform(
        &mut self,
        key: (HostId, MachineName),
        epoch: Epoch,
        action: Action,
    ) -> Option<Seen> {
        let name = key.1;
        match action {
            Action::Nothing => {}
            Action::Prepare => {
                self.saved.remove(&name);
                self.processes.insert(key, Process { epoch, running: false });
            }
            Action::Restore => {
                self.processes.insert(key, Process { epoch, running: false });
            }
            Action::Resume => {
                let process = self.processes.get_mut(&key).unwrap();
                process.running = true;
                // Memory that has lived is known by the file that it was saved in.
                let lived = self.saved.remove(&name).unwrap_or(false);
                if !lived && !self.boots.contains_key(&(name, epoch)) {
                    self.boots.insert((name, epoch), 1);
                }
            }
            Action::Pause => self.processes.get_mut(&key).unwrap().running = false,
            Action::Save => {
                self.processes.remove(&key);
                self.saved.insert(name, true);
            }
            Action::Shutdown | Action::Destroy(_) => {
                self.processes.remove(&key);
            }
            Action::Wipe => {
                self.saved.remove(&name);
                return Some(Seen::Released);
            }
            Action::Report(seen) => return Some(seen),
        }
        None
    }
}

fn party(number: u8) -> Party {
    let (root, key) = (SecretKey::from_bytes(&[number; 32]), [number + 100; 32]);
    let certificate = Certificate {
        root: root.public(),
        node: SecretKey::from_bytes(&key).public(),
        scopes: Scopes::NODE,
        serial: 1,
        not_before: Timestamp::default(),
        not_after: Timestamp::from_millis(u64::MAX),
    };
    Party {
        site: Site::default(),
        id: root.public().site(),
        key,
        certificate: NodeCertificate::issue(certificate, &root),
        rows: Rows::new(),
        processes: BTreeMap::new(),
        saved: BTreeMap::new(),
        boots: BTreeMap::new(),
    }
}

pub(super) const fn tariff(price: u64) -> Tariff {
    let amount = Micros(price * 1_000);
    Tariff {
        currency: Currency::EUR,
        vcpu_hour: amount,
        memory_gib_hour: amount,
        disk_gib_hour: amount,
        classes: Catalogue::NONE,
    }
}
