//! What a site answers: what came of it, or why it cannot be done and what to do next.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::agreement::{self};
use crate::ids::{HoldId, HostId, ImageId, KeyId, MachineId, NodeId, ServiceId, SiteId};
use crate::machine::{Goal, Verb};
use crate::manifest::{ComponentName, ImageName};
use crate::names::Label;
use crate::networks::public::Pool;
use crate::units::Size;

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
    /// The public address is the tenant's.
    Address(Ipv4Addr),
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
    /// The serial of a certificate that may be issued.
    Serial(u64),
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
    /// The service's machines have no places yet.
    #[error("service {service} is still being placed: wait until its machines are started")]
    StillPlaced {
        /// The service.
        service: ServiceId,
    },
    /// The service is no more, or never came to be.
    #[error("service {service} has ended, or was refused: submit it again")]
    ServiceOver {
        /// The service.
        service: ServiceId,
    },
    /// A component cannot have so many machines.
    #[error("component '{component}' cannot have {replicas} machines: {reason}")]
    NotScaled {
        /// The component.
        component: ComponentName,
        /// How many were asked for.
        replicas: u32,
        /// What the manifest would break.
        reason: String,
    },
    /// The service cannot have such security groups.
    #[error("service {service} cannot have such security groups: {reason}")]
    NotSecured {
        /// The service.
        service: ServiceId,
        /// What the manifest would break.
        reason: String,
    },
    /// No such public address of this tenant.
    #[error("there is no public address {address}; 'reservoir address ls' lists those there are")]
    UnknownAddress {
        /// The address.
        address: Ipv4Addr,
    },
    /// A machine is reached by the address.
    #[error("machine {machine} has public address {address}: disassociate it first")]
    AddressHeld {
        /// The address.
        address: Ipv4Addr,
        /// The machine.
        machine: MachineId,
    },
    /// The card has a public address.
    #[error(
        "machine {machine} has public address {address} there already: disassociate that first"
    )]
    CardTaken {
        /// The machine.
        machine: MachineId,
        /// The address that it has.
        address: Ipv4Addr,
    },
    /// The machine is on no such network that reaches the public one.
    #[error(
        "machine {machine} is on no such network that reaches the public network: say 'outbound: \
         true' of one in the manifest"
    )]
    NoWayOut {
        /// The machine.
        machine: MachineId,
    },
    /// The pools are exhausted.
    #[error(
        "this site has not {wanted} public addresses left to give: an operator adds some with \
         'reservoir address pool add PREFIX', or release one"
    )]
    NoAddress {
        /// How many are asked for.
        wanted: usize,
    },
    /// Two pools with an address in common.
    #[error("the pools {pool} and {other} have addresses in common: choose another prefix")]
    PoolOverlaps {
        /// The one that was to be added.
        pool: Pool,
        /// The one that is there.
        other: Pool,
    },
    /// No such pool.
    #[error("there is no pool {pool}; 'reservoir address pool ls' lists those there are")]
    UnknownPool {
        /// The pool.
        pool: Pool,
    },
    /// Tenants have addresses of the pool.
    #[error("{addresses} addresses of pool {pool} are tenants': they have to release them first")]
    PoolInUse {
        /// The pool.
        pool: Pool,
        /// How many.
        addresses: usize,
    },
    /// An address that is fixed, and that another machine has still.
    #[error(
        "{address} on network '{network}' is still another machine's: wait until that has ended"
    )]
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: crate::manifest::NetworkName,
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
