//! What can be asked of a site, and what it answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::state::{Mode, Role};
use crate::agreement::choice::Asked;
use crate::agreement::{self, Message};
use crate::epoch::Epoch;
use crate::identity::{PublicKey, Verified};
use crate::ids::{
    HoldId, HostId, ImageId, KeyId, MachineId, MachineName, NodeId, RequestId, ServiceId, SiteId,
    TenantId,
};
use crate::images::Image;
use crate::machine::guest::Seen;
use crate::machine::{Goal, Verb};
use crate::manifest::{ComponentName, ImageName, Manifest, OnPartition, SiteReference};
use crate::membership::Standing;
use crate::names::Label;
use crate::peering::{Reserve, Setting};
use crate::time::Timestamp;
use crate::units::{Size, Tariff};

/// A command with what the proposing leader stamped on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// The leader's wall clock.
    pub at: Timestamp,
    /// Chance, from which ids and draws follow.
    pub seed: [u8; 32],
    /// What is asked.
    pub command: Command,
}

/// What enters a site's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The site begins, or learns that its configuration was changed.
    Configure(Configure),
    /// A tenant asks.
    Tenant {
        /// Who asks.
        tenant: TenantId,
        /// The client's own name for the request: a repetition is answered and not done again.
        request: RequestId,
        /// What is asked.
        ask: TenantAsk,
    },
    /// An operator asks.
    Operator {
        /// The client's own name for the request.
        request: RequestId,
        /// What is asked.
        ask: OperatorAsk,
    },
    /// A node says how it is reached. The first of a site enters itself by it.
    Node {
        /// The node.
        node: NodeId,
        /// How it is reached.
        contact: Contact,
    },
    /// A new node has shown the secret of an invitation.
    Join {
        /// BLAKE3 of the secret.
        digest: [u8; 32],
        /// How the node is reached.
        contact: Contact,
    },
    /// A node that was to leave is no member any more.
    Left {
        /// The node.
        node: NodeId,
    },
    /// A node describes its host.
    Host {
        /// The host.
        host: HostId,
        /// How it is.
        described: Described,
    },
    /// A host's lease has run out: no guest that the fence stops runs there.
    HostEnded {
        /// The host.
        host: HostId,
    },
    /// A host whose lease had run out asks for one again.
    HostBack {
        /// The host.
        host: HostId,
    },
    /// The session with a provider has run out: no machine of this site that the fence stops runs
    /// there.
    PeerEnded {
        /// The provider.
        peer: SiteId,
    },
    /// A provider whose session had run out asks for one again.
    PeerBack {
        /// The provider.
        peer: SiteId,
    },
    /// A host has seen something new of its guests.
    Observe {
        /// The host.
        host: HostId,
        /// What was seen.
        observations: Vec<Observation>,
    },
    /// A machine that is to be placed elsewhere: these sites are to be asked.
    Seek {
        /// The machine.
        machine: MachineId,
        /// Whom to ask, drawn from the leader's book of adverts.
        sites: Vec<Asked>,
        /// Whether nobody is left to be asked after them.
        last: bool,
    },
    /// Messages of a peer, checked, in the order of their numbers.
    Receive {
        /// The messages.
        messages: Vec<Verified<Message>>,
    },
    /// A peer has taken up what was owed to it.
    Acknowledged {
        /// The peer.
        peer: SiteId,
        /// The last message it has taken up.
        through: u64,
    },
    /// A deadline of the state has passed.
    Tick,
}

/// How a node is reached.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Its own key.
    pub key: PublicKey,
    /// Its name, for people.
    pub name: Label,
    /// Where it is on the bus, as multiaddresses.
    pub addresses: Vec<String>,
    /// The URL of its REST interface, if others than itself reach it.
    pub api: Option<String>,
}

/// What the configuration file says of the site.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Configure {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// What it charges.
    pub tariff: Tariff,
    /// The peers that it begins with. One that is known already is left as it has become.
    pub peers: Vec<PeerEntry>,
}

/// A peer that is to be added.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PeerEntry {
    /// The peer.
    pub site: SiteId,
    /// What this site calls it.
    pub name: Label,
    /// Where it is, as multiaddresses.
    pub addresses: Vec<String>,
    /// What of its policy is not as [`Policy::OPEN`](crate::peering::Policy::OPEN) has it.
    pub settings: Vec<Setting>,
}

/// A tenant's request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum TenantAsk {
    /// Deploy the machines of a manifest.
    Submit {
        /// What is asked for.
        manifest: Box<Manifest>,
        /// Whether all machines hang together.
        mode: Mode,
    },
    /// Take a service down.
    End {
        /// The service.
        service: ServiceId,
    },
    /// Describe a machine without starting it (the deck's `InitializeVEE`).
    Define {
        /// Its name.
        name: Label,
        /// What it starts from, by its name in the catalogue.
        image: ImageName,
        /// What it takes.
        size: Size,
        /// The sites it may run at; none given, any may.
        sites: Option<BTreeSet<SiteReference>>,
        /// What becomes of it if it cannot be reached.
        on_partition: OnPartition,
    },
    /// Lead a machine to another state (the deck's `VEEUpdate`).
    Update {
        /// The machine.
        machine: MachineId,
        /// Where to.
        verb: Verb,
    },
}

/// An operator's request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum OperatorAsk {
    /// Take a key into use; its secret never enters the log.
    AddKey {
        /// A label.
        name: Label,
        /// Whose services it acts on, by the tenant's name; a new tenant if there is none.
        tenant: Label,
        /// What it allows.
        role: Role,
        /// BLAKE3 of its secret.
        digest: [u8; 32],
    },
    /// Take a key out of use.
    RemoveKey {
        /// The key.
        key: KeyId,
    },
    /// Enter an image into the catalogue. Its files are at the node already.
    RegisterImage {
        /// Its name.
        name: ImageName,
        /// What it consists of.
        image: Image,
    },
    /// Strike an image from the catalogue.
    UnregisterImage {
        /// The image.
        image: ImageId,
    },
    /// Let one node join; the secret never enters the log.
    Invite {
        /// BLAKE3 of the secret.
        digest: [u8; 32],
        /// What the node will be called; its own choice if there is none.
        name: Option<Label>,
        /// What it is meant to be: a voter or a learner.
        standing: Standing,
    },
    /// Take a node out of the site.
    RemoveNode {
        /// The node.
        node: NodeId,
    },
    /// Have a host emptied, and put nothing new on it.
    DrainHost {
        /// The host.
        host: HostId,
    },
    /// Let machines be placed on a drained host again.
    EnableHost {
        /// The host.
        host: HostId,
    },
    /// Forget a host that will not come back.
    ForgetHost {
        /// The host.
        host: HostId,
    },
    /// Buy nothing more at a peer, and have what it runs for this site ended and placed elsewhere.
    DrainPeer {
        /// The peer.
        peer: SiteId,
    },
    /// Add a peer, or say anew what a peer is called and where it is. What its policy is stays,
    /// but for the settings given.
    AddPeer(PeerEntry),
    /// Change the policy towards a peer.
    SetPolicy {
        /// The peer.
        site: SiteId,
        /// What is to be changed.
        settings: Vec<Setting>,
    },
    /// Remove a peer.
    RemovePeer {
        /// The peer.
        site: SiteId,
        /// Whether what runs there or is of the peer here is to be ended or placed elsewhere
        /// first; if not, it stands in the way.
        drain: bool,
    },
    /// Trade with a drained or leaving peer again, as its policy says.
    EnablePeer {
        /// The peer.
        peer: SiteId,
    },
    /// End an agreement: as provider with notice, as home at once.
    TerminateAgreement {
        /// The agreement.
        agreement: HoldId,
    },
    /// Propose terms for an agreement, as its provider, as the policy has them now.
    RenewAgreement {
        /// The agreement.
        agreement: HoldId,
    },
    /// Keep a share of the site's capacity for its own tenants.
    SetReserve {
        /// The share.
        reserve: Reserve,
    },
}

/// How a host is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The node that speaks for it.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What it has to give.
    pub capacity: Size,
    /// What its hypervisor calls itself.
    pub hypervisor: String,
    /// Why nothing can be placed on it; empty if it is well.
    pub trouble: String,
}

/// What a host has seen of one guest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The guest.
    pub guest: MachineName,
    /// In which epoch.
    pub epoch: Epoch,
    /// What.
    pub seen: Seen,
}

/// What the proposer of a command learns.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is done, or was already.
    Done,
    /// The service was taken on.
    Service(ServiceId),
    /// The machine was defined.
    Machine(MachineId),
    /// The image was registered.
    Image(ImageId),
    /// The key was taken into use.
    Key(KeyId),
    /// The node takes part under this number.
    Node(NodeId),
    /// The peer's messages are taken up, up to this number.
    Taken(u64),
    /// Nothing is taken up: the peer has said something else under this number before. The proof
    /// is kept.
    Contradicted {
        /// The peer.
        site: SiteId,
        /// The number.
        number: u64,
    },
    /// It cannot be done; nothing was changed.
    Refused(Refusal),
}

/// Why a site does not do what it is asked to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Configured for another site than the one whose state this is.
    #[error("this state belongs to site {site}: start it with that site's keys")]
    OtherSite {
        /// The site of the state.
        site: SiteId,
    },
    /// No such service of this tenant.
    #[error("there is no service {service}; 'reservoir service ls' lists those there are")]
    UnknownService {
        /// The service.
        service: ServiceId,
    },
    /// No such machine of this tenant.
    #[error("there is no machine {machine}; 'reservoir machine ls' lists those there are")]
    UnknownMachine {
        /// The machine.
        machine: MachineId,
    },
    /// No such image in the catalogue.
    #[error("there is no image '{name}' here; 'reservoir image register {name} ...' enters it")]
    UnknownImage {
        /// Its name.
        name: ImageName,
        /// The component that names it, if it is a manifest's.
        component: Option<ComponentName>,
    },
    /// No such image in the catalogue.
    #[error("there is no image {image}; 'reservoir image ls' lists those there are")]
    UnknownImageId {
        /// The image.
        image: ImageId,
    },
    /// No such host.
    #[error("there is no host {host}; 'reservoir host ls' lists those there are")]
    UnknownHost {
        /// The host.
        host: HostId,
    },
    /// The host is not lost, or has guests still.
    #[error(
        "host {host} cannot be forgotten while it may run guests, and it has {guests}: switch it \
         off and wait for its lease to end; destroy what is held there"
    )]
    HostInUse {
        /// The host.
        host: HostId,
        /// How many guests it has.
        guests: usize,
    },
    /// No such key.
    #[error("there is no key {key}; 'reservoir key ls' lists those there are")]
    UnknownKey {
        /// The key.
        key: KeyId,
    },
    /// The last operator's key cannot go.
    #[error("key {key} is the last operator's key: add another one before removing it")]
    LastKey {
        /// The key.
        key: KeyId,
    },
    /// No such node.
    #[error("there is no node {node} in this site; 'reservoir site node ls' lists those there are")]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// The number is another node's.
    #[error("node {node} of this site has another key: start it with its own data directory")]
    OtherNode {
        /// The node.
        node: NodeId,
    },
    /// The key is a node's already.
    #[error("node {node} has this key: join with a new data directory, or start that node")]
    NodeTwice {
        /// The node.
        node: NodeId,
    },
    /// The last voter cannot go.
    #[error("node {node} is the last voter of this site: add another one before removing it")]
    LastVoter {
        /// The node.
        node: NodeId,
    },
    /// Guests run on the node's host.
    #[error("{guests} guests have their place on node {node}: move or destroy them first")]
    NodeInUse {
        /// The node.
        node: NodeId,
        /// How many.
        guests: usize,
    },
    /// Nobody was invited by this secret.
    #[error("this site has not invited you: 'reservoir site invite' there prints a new token")]
    Uninvited,
    /// The invitation has expired.
    #[error("the invitation has expired: 'reservoir site invite' there prints a new token")]
    InvitationOver,
    /// The node was taken out of the site.
    #[error("this node was taken out of the site: join with a new data directory")]
    StruckNode,
    /// Another node has taken up the invitation.
    #[error("another node has joined by this invitation: each node needs a token of its own")]
    InvitationUsed,
    /// The name is in use.
    #[error("the name '{name}' is in use: choose another, or end what has it")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Machines use the image.
    #[error("image {image} is used by {machines} machines: destroy them first")]
    ImageInUse {
        /// The image.
        image: ImageId,
        /// How many machines.
        machines: usize,
    },
    /// The machine's disk is smaller than its image.
    #[error("image '{image}' needs a disk of {needed} at least")]
    DiskTooSmall {
        /// The image's name.
        image: ImageName,
        /// What it needs.
        needed: crate::units::Mebibytes,
    },
    /// A size that no machine has.
    #[error("no machine can have a size of {size}")]
    BadSize {
        /// The size.
        size: Size,
    },
    /// The verb does not lead from where the machine is.
    #[error("machine {machine} is {from}: {verb} does not lead from there")]
    IllegalStep {
        /// The machine.
        machine: MachineId,
        /// Where it is, or is on its way to.
        from: Goal,
        /// What was asked.
        verb: Verb,
    },
    /// The machine is part of a deployment that is not through.
    #[error("machine {machine} is still being deployed: wait for its service, or end that")]
    Deploying {
        /// The machine.
        machine: MachineId,
    },
    /// A limit of the site.
    #[error("this site has {limit} {what} already, which is all it takes")]
    Full {
        /// Of what.
        what: String,
        /// How many.
        limit: usize,
    },
    /// A site that is not a peer.
    #[error("site {site} is not a peer of this site")]
    UnknownPeer {
        /// The site.
        site: SiteId,
    },
    /// A site is no peer of itself.
    #[error("site {site} is this site: it needs no peering with itself")]
    OwnSite {
        /// The site.
        site: SiteId,
    },
    /// Addresses that are too many or too long.
    #[error("a peer has at most {count} addresses of {length} bytes: leave some out")]
    Addresses {
        /// How many there may be.
        count: usize,
        /// How long each may be.
        length: usize,
    },
    /// Machines stand in the way of removing a peer.
    #[error(
        "{there} machines of this site are at peer '{name}', and {here} of its machines are here: \
         'reservoir peer rm {name} --drain' has them placed elsewhere or ended first"
    )]
    PeerInUse {
        /// What the peer is called.
        name: Label,
        /// Machines of this site there.
        there: usize,
        /// Machines of the peer here.
        here: usize,
    },
    /// No such agreement stands.
    #[error("there is no agreement {agreement}; 'reservoir agreement ls' lists those there are")]
    UnknownAgreement {
        /// The agreement.
        agreement: HoldId,
    },
    /// Only a provider proposes terms, and not for what is about to end.
    #[error("agreement {agreement} is not this site's to renew, or it has been terminated")]
    NotRenewable {
        /// The agreement.
        agreement: HoldId,
    },
    /// The site's own policy is against it.
    #[error(
        "agreement {agreement} is not renewed by this site's own policy: {reason}; \
         'reservoir peer policy' changes it"
    )]
    OwnPolicy {
        /// The agreement.
        agreement: HoldId,
        /// What the policy has against it, as the peer would read it.
        reason: agreement::Refusal,
    },
    /// Messages that leave a gap.
    #[error("messages of site {site} begin at {first}, but {taken} is the last that was taken up")]
    Gap {
        /// The site.
        site: SiteId,
        /// The first number offered.
        first: u64,
        /// The last number taken up.
        taken: u64,
    },
}
