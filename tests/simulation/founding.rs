//! How a world begins: sites with their keys, hosts, catalogues, and what they think of each
//! other.

use std::net::SocketAddr;

use protocol::identity::SecretKey;
use protocol::ids::{BlobId, HostId, NodeId};
use protocol::images::{Blob, Image};
use protocol::membership::Standing;
use protocol::networks::gateway::{Gateway, TunnelKey, Uplink};
use protocol::peering::Setting;
use protocol::site::command::{Configure, Contact, OperatorAsk, PeerEntry};
use protocol::site::{Command, Outcome, Stamped};
use protocol::sla::Catalogue;
use protocol::time::Span;
use protocol::units::{Currency, Mebibytes, Micros, Permille, Size, Tariff};

use crate::host::Host;
use crate::leases::Clock;
use crate::member::Member;
use crate::replica::Replica;
use crate::world::World;

/// How many millionths a node's clock is too fast or too slow at most, as leases allow for.
const DRIFT: u64 = 500;

impl World {
    /// Makes all sites and lets each commit how it begins.
    pub(crate) fn found(&mut self) {
        let sites = usize::try_from(self.shape.sites).expect("a world has few sites");
        for index in 0..sites {
            let member = self.new_member(index);
            self.members.push(member);
        }
        for member in 0..sites {
            let configure = self.configuration(member);
            self.begin_with(member, Command::Configure(configure));
            self.enter_nodes(member);
            // One site in six lacks the image that everybody asks for, unless it is alone.
            if member == 0 || self.chance.below(6) > 0 {
                let ask = OperatorAsk::RegisterImage {
                    name: "small".parse().expect("an image's name"),
                    image: image(),
                };
                let request = self.chance.request();
                self.begin_with(member, Command::Operator { request, ask });
            }
            for replica in 0..self.members[member].replicas.len() {
                self.follow(member, replica);
            }
            self.lead(member, 0);
        }
    }

    /// A clock at one of the ends of the drift that is allowed, or between them.
    fn new_clock(&mut self) -> Clock {
        let rate = match self.chance.below(3) {
            0 => 1_000_000 - DRIFT,
            1 => 1_000_000 + DRIFT,
            _ => self.chance.between(1_000_000 - DRIFT, 1_000_000 + DRIFT),
        };
        Clock::new(self.chance.below(1_000_000), rate)
    }

    fn new_member(&mut self, index: usize) -> Member {
        let replicas: u64 = match self.chance.below(5) {
            0 | 1 => 1,
            2 | 3 => 3,
            _ => 5,
        };
        let replicas: Vec<Replica> = (0..replicas).map(|_| self.new_replica()).collect();
        let hosts = (0..self.chance.between(1, 3))
            .map(|_| {
                let node = self.chance.index(replicas.len());
                self.new_host(node)
            })
            .collect();
        Member::new(index, replicas, hosts, &mut self.chance)
    }

    pub(crate) fn new_replica(&mut self) -> Replica {
        let skew = self.chance.below(3_000);
        Replica::new(skew, self.new_clock(), self.left_out)
    }

    pub(crate) fn new_host(&mut self, node: usize) -> Host {
        let id = HostId::from_uuid(self.chance.mint().uuid());
        let capacity = Size {
            vcpus: u32::try_from(self.chance.between(2, 8)).expect("a few"),
            memory: Mebibytes(512 * self.chance.between(1, 6)),
            disk: Mebibytes(1_024 * self.chance.between(1, 8)),
        };
        Host::new(id, node, capacity)
    }

    /// Every site knows every other; one in eight does not sell to another, or buy from it.
    fn configuration(&mut self, member: usize) -> Configure {
        let peers = (0..self.members.len())
            .filter(|other| *other != member)
            .map(|other| PeerEntry {
                site: self.members[other].id,
                name: self.members[other].name.parse().expect("a site's name is a label"),
                addresses: Vec::new(),
                settings: vec![
                    Setting::SellsTo(self.chance.below(8) > 0),
                    Setting::BuysFrom(self.chance.below(8) > 0),
                    // Short enough that agreements are renewed, and end, while things go wrong.
                    Setting::Term(Span::from_secs(self.chance.between(30, 200))),
                    Setting::Notice(Span::from_secs(self.chance.between(1, 20))),
                ],
            })
            .collect();
        let mut factor = || {
            let dearer = u32::try_from(self.chance.between(1_000, 2_000)).ok();
            dearer.filter(|_| self.chance.once_in(2)).and_then(Permille::new)
        };
        let classes = Catalogue { bronze: factor(), silver: factor(), gold: factor() };
        let tariff = Tariff {
            currency: Currency::EUR,
            vcpu_hour: Micros(self.chance.between(5_000, 50_000)),
            memory_gib_hour: Micros(self.chance.between(1_000, 9_000)),
            disk_gib_hour: Micros(self.chance.between(10, 90)),
            classes,
        };
        Configure {
            site: self.members[member].id,
            name: self.members[member].name.clone(),
            tariff,
            peers,
        }
    }

    /// The first replica enters itself, and takes the others on.
    fn enter_nodes(&mut self, member: usize) {
        let contact = self.contact();
        self.begin_with(member, Command::Node { node: number(0), contact });
        for replica in 1..self.members[member].replicas.len() {
            let digest = self.chance.bytes();
            let (name, standing) = (None, Standing::Voter);
            let ask = OperatorAsk::Invite { digest, name, standing };
            let request = self.chance.request();
            self.begin_with(member, Command::Operator { request, ask });
            let contact = self.contact();
            let joined = self.begin_with(member, Command::Join { digest, contact });
            assert_eq!(joined, Outcome::Node(number(replica)));
        }
    }

    pub(crate) fn contact(&mut self) -> Contact {
        let key = SecretKey::from_bytes(&self.chance.bytes()).public();
        let name = "node".parse().expect("a node's name");
        let endpoint = SocketAddr::from(([192, 0, 2, 1], 51_820));
        let key_there = TunnelKey::from_bytes(self.chance.bytes());
        let gateway = Gateway { key: key_there, endpoint: Some(endpoint) };
        let uplink = Some(Uplink { underlay: endpoint.ip(), gateway });
        Contact { key, name, addresses: Vec::new(), api: None, uplink }
    }

    /// Commits a command before anything can go wrong.
    fn begin_with(&mut self, member: usize, command: Command) -> Outcome {
        let at = self.members[member].clock(0, self.now);
        let stamped = Stamped { at, seed: self.chance.bytes(), command };
        let outcome = self.append(member, &stamped);
        assert!(!matches!(outcome, Outcome::Refused(_)), "a world begins well: {outcome:?}");
        outcome
    }
}

/// The number of the node whose replica has this place in its member's row.
pub(crate) fn number(replica: usize) -> NodeId {
    NodeId(u64::try_from(replica).expect("a site has few nodes") + 1)
}

fn image() -> Image {
    let blob = |byte| Blob { id: BlobId::from_bytes([byte; 32]), length: 1 << 20 };
    Image::Kernel { kernel: blob(1), initrd: blob(2), command_line: "quiet".to_owned() }
}
