//! What tenants do: submit services, define machines, say verbs, take services down.
//!
//! A client that hears nothing asks again under the same name of its request, until it is
//! answered.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::{MachineId, RequestId, ServiceId};
use protocol::machine::{Goal, Verb};
use protocol::manifest::{
    Attachment, Component, ComponentName, Groups, LAN, Manifest, Network, NetworkName, OnPartition,
    SecurityGroupName, SecurityGroups, SiteReference,
};
use protocol::security::{Direction, Rule, Rules, default_memberships};
use protocol::site::command::TenantAsk;
use protocol::site::state::{Mode, Place, Stage};
use protocol::site::{Command, Outcome, Refusal};
use protocol::sla::Class;
use protocol::units::{Mebibytes, Size};

use crate::invariants::own_tenants::SMALL;
use crate::member::Reply;
use crate::world::{Event, World};

/// How long a client waits for an answer, in milliseconds.
const PATIENCE: u64 = 3_000;

/// A tenant's request.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) member: usize,
    request: RequestId,
    ask: TenantAsk,
    tries: u64,
    /// What it was answered.
    pub(crate) answer: Option<Outcome>,
}

/// The one network of a service that names none, with everything on it.
fn lan() -> BTreeMap<NetworkName, Network> {
    BTreeMap::from([(LAN.parse().expect("a label"), Network::default())])
}

/// Two networks that are routed to each other.
fn routed() -> BTreeMap<NetworkName, Network> {
    let group = Some("routed".parse().expect("a group's name"));
    let network = Network { group, ..Network::default() };
    let names = ROUTED.map(|name| name.parse().expect("a label"));
    names.into_iter().map(|name| (name, network.clone())).collect()
}

/// What two networks that are routed to each other are called.
const ROUTED: [&str; 2] = ["inner", "outer"];

fn on_lan() -> BTreeMap<NetworkName, Attachment> {
    on(LAN)
}

fn on(network: &str) -> BTreeMap<NetworkName, Attachment> {
    BTreeMap::from([(network.parse().expect("a label"), Attachment::default())])
}

impl World {
    /// A tenant asks something new.
    pub(crate) fn ask(&mut self) {
        if self.calm {
            return;
        }
        // Each service sees some other requests besides its submission.
        let pace = self.shape.trouble / (self.shape.services * 5);
        let at = self.now + self.chance.between(1, 2 * pace);
        self.schedule(at, Event::Ask);
        let member = self.chance.index(self.members.len());
        if self.network.isolated == Some(member) {
            return;
        }
        let ask = match self.chance.below(10) {
            0 | 1 => Some(self.submission()),
            2 => Some(self.definition()),
            3 => self.ending(member),
            4 => self.scaling(member),
            5 if self.chance.once_in(2) => self.securing(member),
            _ => self.verb(member),
        };
        if let Some(ask) = ask {
            self.enlist(member, ask);
        }
    }

    /// A client begins to ask. Its index is handed back.
    fn enlist(&mut self, member: usize, ask: TenantAsk) -> usize {
        let request = self.chance.request();
        let client = self.clients.len();
        self.clients.push(Client { member, request, ask, tries: 0, answer: None });
        self.call(client);
        client
    }

    /// A tenant submits one small machine, which may run anywhere.
    pub(crate) fn submit_one(&mut self, member: usize) -> usize {
        let component = Component {
            image: "small".parse().expect("an image's name"),
            size: SMALL,
            replicas: 1,
            after: BTreeSet::new(),
            networks: on_lan(),
            security: default_memberships(),
            sites: None,
            on_partition: OnPartition::Fence,
            class: Class::BestEffort,
            user_data: None,
        };
        let components = BTreeMap::from([("one".parse().expect("a component's name"), component)]);
        let service = format!("alone-{}", self.clients.len());
        let manifest = Manifest::new(
            service.parse().expect("a service's name"),
            (lan(), Groups::new()),
            SecurityGroups::new(),
            components,
        )
        .expect("a manifest within its limits");
        let ask = TenantAsk::Submit { manifest: Box::new(manifest), mode: Mode::BestEffort };
        self.enlist(member, ask)
    }

    /// A client asks, unless it has its answer, and plans to ask again.
    pub(crate) fn call(&mut self, client: usize) {
        let caller = &mut self.clients[client];
        if caller.answer.is_some() {
            return;
        }
        caller.tries += 1;
        self.census.asks_repeated += u64::from(caller.tries > 1);
        let (member, request, ask) = (caller.member, caller.request, caller.ask.clone());
        let tenant = self.members[member].tenant;
        self.propose(member, Command::Tenant { tenant, request, ask }, Reply::Client(client));
        self.schedule(self.now + PATIENCE, Event::Client { client });
    }

    /// A client is answered, unless the answer is lost on the way to it.
    pub(crate) fn answer(&mut self, client: usize, outcome: Outcome) {
        if !self.calm && self.chance.once_in(8) {
            return;
        }
        let caller = &mut self.clients[client];
        let member = caller.member;
        // Each name is used for one request only: the name can only be taken by the request
        // itself, done twice.
        if matches!(outcome, Outcome::Refused(Refusal::NameTaken { .. })) {
            let detail = format!("a repeated request was not recognised: {outcome:?}");
            self.breach("durability", member, detail);
            return;
        }
        let known = &caller.answer;
        // A refused request has changed nothing, and may be granted when it comes again.
        if let Some(earlier) = known
            && *earlier != outcome
            && !matches!(earlier, Outcome::Refused(_))
        {
            let detail = format!("one request was answered {earlier:?}, then {outcome:?}");
            self.breach("durability", member, detail);
            return;
        }
        if known.is_none() {
            self.census.asks_refused += u64::from(matches!(outcome, Outcome::Refused(_)));
            let verb = match caller.ask {
                TenantAsk::Update { machine, .. } if outcome == Outcome::Done => Some(machine),
                _ => None,
            };
            if matches!(outcome, Outcome::Service(_) | Outcome::Machine(_)) {
                let length = self.members[member].log.len();
                self.members[member].acknowledged.push((outcome.clone(), length));
            }
            caller.answer = Some(outcome);
            if let Some(machine) = verb {
                self.count_verb(member, machine);
            }
        }
    }

    fn count_verb(&mut self, member: usize, machine: MachineId) {
        let row = self.members[member].state().and_then(|state| state.machine(machine));
        match row.map(|row| &row.place) {
            Some(Place::Here(_)) => self.census.verbs_here += 1,
            Some(Place::There { .. }) => self.census.verbs_there += 1,
            _ => {}
        }
    }

    fn submission(&mut self) -> TenantAsk {
        let manifest = Box::new(self.manifest());
        let mode = if self.chance.once_in(2) { Mode::AllOrNothing } else { Mode::BestEffort };
        TenantAsk::Submit { manifest, mode }
    }

    fn manifest(&mut self) -> Manifest {
        let tiers = self.chance.between(1, 3);
        let is_routed = self.chance.once_in(3);
        let mut components: BTreeMap<ComponentName, Component> = BTreeMap::new();
        for tier in 0..tiers {
            let name: ComponentName = format!("tier-{tier}").parse().expect("a component's name");
            let mut after = BTreeSet::new();
            if let Some(before) = components.keys().next_back()
                && self.chance.once_in(2)
            {
                after.insert(before.clone());
            }
            let component = Component {
                image: "small".parse().expect("an image's name"),
                size: self.size(),
                replicas: u32::try_from(self.chance.between(1, 8 / tiers)).expect("a few"),
                after,
                networks: match is_routed {
                    true => on(self.chance.pick(&ROUTED).expect("there are some")),
                    false => on_lan(),
                },
                security: default_memberships(),
                sites: self.directive(),
                on_partition: self.on_partition(),
                class: self.class(),
                user_data: Some(tier.to_string().into_bytes().try_into().expect("it is short")),
            };
            components.insert(name, component);
        }
        let service = format!("service-{}", self.clients.len());
        Manifest::new(
            service.parse().expect("a service's name"),
            (if is_routed { routed() } else { lan() }, Groups::new()),
            SecurityGroups::new(),
            components,
        )
        .expect("a manifest within its limits")
    }

    fn definition(&mut self) -> TenantAsk {
        let name = format!("machine-{}", self.clients.len());
        TenantAsk::Define {
            name: name.parse().expect("a label"),
            image: "small".parse().expect("an image's name"),
            size: self.size(),
            sites: self.directive(),
            on_partition: self.on_partition(),
            class: self.class(),
            user_data: None,
        }
    }

    fn class(&mut self) -> Class {
        let asks = self.chance.once_in(4);
        self.chance.pick(&Class::ALL).filter(|_| asks).unwrap_or_default()
    }

    fn on_partition(&mut self) -> OnPartition {
        if self.chance.once_in(4) { OnPartition::Hold } else { OnPartition::Fence }
    }

    fn size(&mut self) -> Size {
        Size {
            vcpus: u32::try_from(self.chance.between(1, 2)).expect("a few"),
            memory: Mebibytes(128 * self.chance.between(1, 4)),
            disk: Mebibytes(256 * self.chance.between(1, 4)),
        }
    }

    /// Mostly none; else one to three sites, by name or by id.
    fn directive(&mut self) -> Option<BTreeSet<SiteReference>> {
        if self.chance.below(4) > 0 {
            return None;
        }
        let number = self.chance.between(1, 3);
        let sites = (0..number).map(|_| {
            let index = self.chance.index(self.members.len());
            let site = &self.members[index];
            let text = if number == 1 { site.id.to_string() } else { site.name.clone() };
            text.parse().expect("a reference to a site")
        });
        Some(sites.collect())
    }

    fn scaling(&mut self, member: usize) -> Option<TenantAsk> {
        let state = self.members[member].state()?;
        let components: Vec<(ServiceId, ComponentName)> = state
            .services()
            .filter(|(_, service)| matches!(service.stage, Stage::Starting | Stage::Running))
            .flat_map(|(id, service)| {
                service.manifest.components().keys().map(|name| (*id, name.clone()))
            })
            .collect();
        let (service, component) = self.chance.pick(&components)?;
        let replicas = u32::try_from(self.chance.between(1, 5)).expect("a few");
        Some(TenantAsk::Scale { service, component, replicas })
    }

    /// Another rule for a group of a service, or another group for one of its components.
    fn securing(&mut self, member: usize) -> Option<TenantAsk> {
        let state = self.members[member].state()?;
        let standing = state
            .services()
            .filter(|(_, service)| matches!(service.stage, Stage::Starting | Stage::Running));
        let components: Vec<(ServiceId, ComponentName)> = standing
            .flat_map(|(id, service)| {
                service.manifest.components().keys().map(|name| (*id, name.clone()))
            })
            .collect();
        let (service, component) = self.chance.pick(&components)?;
        let group: SecurityGroupName =
            format!("group-{}", self.chance.between(1, 3)).parse().expect("a group's name");
        if self.chance.once_in(2) {
            let groups = BTreeSet::from([group]);
            return Some(TenantAsk::Regroup { service, component, groups });
        }
        let rule = format!("tcp {} from 0.0.0.0/0", self.chance.between(1, 100));
        let rule = Rule::parse(&rule, Direction::Ingress).expect("a rule");
        let rules = Rules::new(vec![rule], Rules::anything()).expect("one rule");
        Some(TenantAsk::Secure { service, group, rules: Some(rules) })
    }

    fn ending(&mut self, member: usize) -> Option<TenantAsk> {
        let state = self.members[member].state()?;
        let standing: Vec<ServiceId> = state
            .services()
            .filter(|(_, service)| service.stage != Stage::Ended)
            .map(|(id, _)| *id)
            .collect();
        self.chance.pick(&standing).map(|service| TenantAsk::End { service })
    }

    fn verb(&mut self, member: usize) -> Option<TenantAsk> {
        let state = self.members[member].state()?;
        let machines: Vec<(MachineId, Goal)> = state
            .machines()
            .filter(|(_, row)| row.ended.is_none())
            .map(|(id, row)| (*id, row.goal))
            .collect();
        let (machine, goal) = self.chance.pick(&machines)?;
        // Destroying is rarer, or nothing would be left to talk to; and most tenants say only
        // what makes sense.
        let is_sensible = |verb: &Verb| verb.leads_from(goal) && verb.goal() != goal;
        let sensible: Vec<Verb> = Verb::ALL[..4].iter().copied().filter(is_sensible).collect();
        let verb = match self.chance.below(12) {
            0 => Verb::Destroy,
            1 | 2 => self.chance.pick(&Verb::ALL[..4])?,
            _ => self.chance.pick(&sensible)?,
        };
        Some(TenantAsk::Update { machine, verb })
    }
}
