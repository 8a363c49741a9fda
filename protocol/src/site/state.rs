//! The rows of a site's state: one struct for each table.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::agreement::buyer::Offer;
use crate::agreement::{EVIDENCE_MAX, Message, Refusal, Report, Terms};
use crate::epoch::Epoch;
use crate::hull::Hull;
use crate::identity::{PublicKey, Verified};
use crate::ids::{
    CallId, HoldId, HostId, ImageId, MachineId, MachineName, NodeId, ServiceId, SiteId, TenantId,
};
use crate::images::Image;
use crate::machine::guest::Progress;
use crate::machine::{Goal, State};
use crate::manifest::{ComponentName, ImageName, Manifest, OnPartition, SiteReference};
use crate::membership::Standing;
use crate::names::Label;
use crate::peering::{self, Buying, Policy, Reserve, Selling};
use crate::time::Timestamp;
use crate::units::{Size, Tariff};

/// What the site is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its id.
    pub site: SiteId,
    /// Its name, a label for people.
    pub name: String,
    /// How often it has been restored from a backup.
    pub incarnation: u64,
    /// What it charges.
    pub tariff: Tariff,
    /// The number of the node that was taken on last. Numbers are never used again: Raft would
    /// take a new node for the old one.
    pub nodes: u64,
    /// What of its capacity is not sold.
    pub reserve: Reserve,
    /// When it was founded.
    pub founded: Timestamp,
    /// The latest moment stamped on a command: the site's clock never goes back.
    pub now: Timestamp,
}

/// A node, as it should take part; Raft's members follow.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its own key, by which it is known on the bus.
    pub key: PublicKey,
    /// Its name, for people.
    pub name: Label,
    /// Where it is on the bus, as multiaddresses.
    pub addresses: Vec<String>,
    /// The URL of its REST interface, if others than itself reach it.
    pub api: Option<String>,
    /// What it is meant to be.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
}

/// The permission for one node to join.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// What the node will be called; its own choice if there is none.
    pub name: Option<Label>,
    /// What it is meant to be.
    pub standing: Standing,
    /// Until when it can be taken up.
    pub expires: Timestamp,
    /// Who has.
    pub taken: Option<NodeId>,
}

/// A host, as its node last described it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The node that speaks for it.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// What it has to give.
    pub capacity: Size,
    /// What its hypervisor calls itself.
    pub hypervisor: String,
    /// Why nothing new can be placed on it; empty if it is well.
    pub trouble: String,
    /// Since when it is well, or in trouble.
    pub since: Timestamp,
    /// Whether it is to be empty: nothing new is placed on it.
    pub drained: bool,
    /// Since when its lease cannot be held any more; none while it may be.
    pub ended: Option<Timestamp>,
}

/// Who submits services.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// A label for people.
    pub name: Label,
}

/// What a key allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To run the site, and to act as its tenant.
    Operator,
    /// To act as its tenant.
    Tenant,
}

/// An API key: its secret is known to its owner alone.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// A label for people.
    pub name: Label,
    /// Whose services it acts on.
    pub tenant: TenantId,
    /// What it allows.
    pub role: Role,
    /// BLAKE3 of the secret, which is 32 random bytes: no slow hash is needed.
    pub digest: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
}

/// An image in the site's catalogue.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// Its name in this catalogue.
    pub name: ImageName,
    /// What it consists of.
    pub image: Image,
    /// When it was registered.
    pub created: Timestamp,
}

/// A peer, and how far the conversation with it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// What this site calls it.
    pub name: Label,
    /// Where it is, as multiaddresses.
    pub addresses: Vec<String>,
    /// What it is allowed.
    pub policy: Policy,
    /// How far it is wanted.
    pub standing: peering::Standing,
    /// Whether a configuration has named it: the row of such a peer is never forgotten, or the
    /// file would bring back whom an operator has removed.
    pub seeded: bool,
    /// When it was added.
    pub since: Timestamp,
    /// The number of the next message to it.
    pub next: u64,
    /// The number of the last message from it that was taken up.
    pub taken: u64,
    /// Since when the session in which it runs machines for this site cannot be held any more;
    /// none while it may be.
    pub ended: Option<Timestamp>,
}

impl Peer {
    /// What it may buy here.
    #[must_use]
    pub const fn selling(&self) -> Selling {
        let open = matches!(self.standing, peering::Standing::Open | peering::Standing::Drained);
        let selling = self.policy.selling;
        Selling { open: open && selling.open, ..selling }
    }

    /// Whether a word was ever exchanged with it.
    #[must_use]
    pub const fn has_spoken(&self) -> bool {
        self.next > 1 || self.taken > 0
    }

    /// What this site may buy there: nothing while the session with it has ended.
    #[must_use]
    pub const fn buying(&self) -> Buying {
        let open = matches!(self.standing, peering::Standing::Open) && self.ended.is_none();
        let buying = self.policy.buying;
        Buying { open: open && buying.open, ..buying }
    }
}

/// Two things that a peer has said under one number, each with its signature.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// What was taken up.
    pub first: Verified<Message>,
    /// What came later, and was not.
    pub second: Verified<Message>,
    /// When it came.
    pub at: Timestamp,
}

/// A message owed to a peer until the peer has acknowledged it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// What is said.
    pub message: Message,
    /// When it was decided.
    pub at: Timestamp,
}

/// How machines of one submission hang together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Every machine gets a place, or none does.
    AllOrNothing,
    /// Each machine that gets a place runs.
    BestEffort,
}

/// How far a service's deployment is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Places are sought; nothing has been accepted yet.
    Reserving,
    /// The offers are being accepted.
    Committing,
    /// The machines are started, tier after tier.
    Starting,
    /// Every machine has been started.
    Running,
    /// There was no room for it; each machine says why.
    Refused,
    /// It is being taken down.
    Ending,
    /// Nothing is left of it.
    Ended,
}

/// A tenant's service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Whose it is.
    pub tenant: TenantId,
    /// What was asked for.
    pub manifest: Manifest,
    /// How its machines hang together.
    pub mode: Mode,
    /// How far its deployment is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// When it was submitted.
    pub created: Timestamp,
    /// Its machines.
    pub machines: BTreeSet<MachineId>,
}

/// Where a machine is, or how far the search for a place is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// Nowhere, and none is sought.
    Nowhere,
    /// None found yet. A call for offers is open if one is named.
    Sought {
        /// The open call.
        call: Option<CallId>,
        /// Who has refused, and why.
        refused: BTreeMap<SiteId, Refusal>,
    },
    /// A peer holds room for it.
    Held(Box<Offer>),
    /// The offer has been accepted, and the peer's word is awaited.
    Accepted(Box<Offer>),
    /// None found for a machine that has lost the one it had: looked for again in a while.
    Postponed,
    /// On a host of this site.
    Here(HostId),
    /// At a peer.
    There {
        /// The peer.
        site: SiteId,
        /// The agreement.
        agreement: HoldId,
    },
}

/// Whether a machine keeps the place it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Displacement {
    /// It does.
    None,
    /// It is being ended where it is, to be placed elsewhere.
    Leaving,
    /// It has lost it, and is sought another until it has one.
    Lost,
}

/// What is done when the time has come that stands beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Timer {
    /// A place is looked for again.
    Seek,
    /// The word on the offer that was accepted is not waited for any longer.
    Word(HoldId),
}

/// What is known of a machine's guest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Which start.
    pub epoch: Epoch,
    /// What a user sees of it.
    pub state: State,
    /// Since when, by the clock of the site that runs it.
    pub since: Timestamp,
    /// What is wrong; empty if nothing is.
    pub reason: String,
}

/// Where a machine stands in its service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The service.
    pub service: ServiceId,
    /// The component's name.
    pub component: ComponentName,
    /// Which of its replicas, from 1.
    pub replica: u32,
}

/// A machine of a tenant of this site, wherever it runs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, for people.
    pub name: String,
    /// Where it stands in its service, if it is part of one.
    pub membership: Option<Membership>,
    /// What its guest sees.
    pub hull: Hull,
    /// What it starts from.
    pub image: ImageId,
    /// The sites it may run at; none given, any may.
    pub sites: Option<BTreeSet<SiteReference>>,
    /// What becomes of it if it cannot be reached.
    pub on_partition: OnPartition,
    /// Where it should be.
    pub goal: Goal,
    /// The home's part of its epoch: how often it has been placed.
    pub epoch: u64,
    /// Where it is.
    pub place: Place,
    /// What is known of its guest.
    pub sight: Sight,
    /// When it was defined.
    pub created: Timestamp,
    /// When nothing was left of it.
    pub ended: Option<Timestamp>,
    /// How often an accepted offer turned out to have lapsed.
    pub lapses: u8,
    /// Whether it keeps its place.
    pub displacement: Displacement,
}

impl Machine {
    /// What a user sees of it.
    #[must_use]
    pub const fn state(&self) -> State {
        match (&self.place, self.sight.state) {
            (_, state @ (State::Failed | State::Destroyed)) => state,
            (Place::Sought { .. } | Place::Postponed | Place::Held(_) | Place::Accepted(_), _) => {
                State::Placing
            }
            (Place::Nowhere | Place::Here(_) | Place::There { .. }, state) => state,
        }
    }
}

/// Room kept for an offer that this site has made.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// Who was offered it.
    pub buyer: SiteId,
    /// Whose machine it is for: the buyer's opaque id.
    pub tenant: TenantId,
    /// On which terms.
    pub terms: Terms,
    /// The machine.
    pub hull: Hull,
    /// Where the room is.
    pub lodging: Lodging,
    /// When it is let go.
    pub expires: Timestamp,
}

/// A place on a host.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Lodging {
    /// The host.
    pub host: HostId,
    /// A number that no other guest or hold on the host has: its uid and its address follow
    /// from it.
    pub slot: u32,
}

/// A machine that runs here, whether it is at home here or not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// Whose it is: the home's opaque id.
    pub tenant: TenantId,
    /// Under which agreement; none if it is at home here.
    pub agreement: Option<HoldId>,
    /// What it sees.
    pub hull: Hull,
    /// What it starts from.
    pub image: ImageId,
    /// What becomes of it if its home or its host cannot be reached.
    pub on_partition: OnPartition,
    /// Where it is.
    pub lodging: Lodging,
    /// How far it is.
    pub progress: Progress,
    /// What its home was told last.
    pub told: Option<Report>,
    /// Where it should be led on another host, while it is ended on this one.
    pub leaving: Option<Goal>,
}

impl Guest {
    /// Where its home wants it.
    #[must_use]
    pub fn wanted(&self) -> Goal {
        self.leaving.unwrap_or(self.progress.goal)
    }
}

/// What may still be on a host of a machine that was placed elsewhere when the host was out of
/// reach. It ends, and its disks go, as soon as the host is back.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Remains {
    /// What the guest saw.
    pub hull: Hull,
    /// What it started from.
    pub image: ImageId,
    /// Its number on the host.
    pub slot: u32,
    /// Its last start there.
    pub epoch: Epoch,
}

/// An agreement, with the other side's signatures under it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What is agreed.
    pub terms: Terms,
    /// Since when.
    pub since: Timestamp,
    /// When the provider proposes new terms; none at the home, or once it has.
    pub renew_at: Option<Timestamp>,
    /// New terms that the provider has proposed and that do not count yet.
    pub proposed: Option<Terms>,
    /// When it ends before its time, or will not be renewed.
    pub termination: Option<Termination>,
    /// Until when, if it has ended.
    pub ended: Option<Timestamp>,
    /// What the other side has signed: at the buyer the offer, then the seller's word that it
    /// stands; at the seller the acceptance; then what was said of its renewal and its end.
    pub evidence: Vec<Verified<Message>>,
}

/// The word that an agreement ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Termination {
    /// Who has said it.
    pub by: SiteId,
    /// When it ends.
    pub at: Timestamp,
    /// Why.
    pub reason: Refusal,
}

impl Agreement {
    /// When it ends, if nothing more is said.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.termination.map_or(self.terms.until, |it| it.at.min(self.terms.until))
    }

    /// Takes note of a termination. Of two the earlier counts; new terms are void.
    pub fn terminate(&mut self, termination: Termination) {
        self.proposed = None;
        self.renew_at = None;
        if self.termination.is_none_or(|known| termination.at < known.at) {
            self.termination = Some(termination);
        }
    }

    /// Keeps what the other side has signed: the first word for ever, and the latest of the rest.
    pub fn keep(&mut self, word: &Verified<Message>) {
        if self.evidence.len() >= EVIDENCE_MAX {
            self.evidence.remove(1);
        }
        self.evidence.push(word.clone());
    }
}

/// The name of a guest at home here, or of another site's.
#[must_use]
pub const fn guest_name(home: SiteId, machine: MachineId) -> MachineName {
    MachineName { home, machine }
}
