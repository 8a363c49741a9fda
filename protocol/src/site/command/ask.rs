//! What tenants and operators ask.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::super::state::{Mode, Role};
use super::PeerEntry;
use crate::ids::{HoldId, HostId, ImageId, KeyId, MachineId, NodeId, ServiceId, SiteId};
use crate::images::Image;
use crate::machine::Verb;
use crate::manifest::{
    ComponentName, ImageName, Manifest, NetworkName, OnPartition, SecurityGroupName, SiteReference,
};
use crate::membership::Standing;
use crate::names::Label;
use crate::networks::public::Pool;
use crate::peering::{Reserve, Setting};
use crate::security::Rules;
use crate::sla::Class;
use crate::units::Size;
use crate::user_data::UserData;

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
    /// Give a component of a service another number of machines.
    Scale {
        /// The service.
        service: ServiceId,
        /// The component.
        component: ComponentName,
        /// How many machines it is to have.
        replicas: u32,
    },
    /// Give a security group of a service other rules.
    Secure {
        /// The service.
        service: ServiceId,
        /// The group, which is made if it is not there.
        group: SecurityGroupName,
        /// All of its rules; none if it is to be taken away.
        rules: Option<Rules>,
    },
    /// Put the machines of a component into other security groups.
    Regroup {
        /// The service.
        service: ServiceId,
        /// The component.
        component: ComponentName,
        /// All of its groups.
        groups: BTreeSet<SecurityGroupName>,
    },
    /// Have a public address of the site's pools.
    AllocateAddress,
    /// Have a machine reached by a public address.
    AssociateAddress {
        /// The address.
        address: Ipv4Addr,
        /// The machine.
        machine: MachineId,
        /// On which of its networks, by its name; the first that reaches the public network, if
        /// none is named.
        network: Option<NetworkName>,
    },
    /// Have a public address reach nothing any more.
    DisassociateAddress {
        /// The address.
        address: Ipv4Addr,
    },
    /// Give a public address back.
    ReleaseAddress {
        /// The address.
        address: Ipv4Addr,
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
        /// What is to be promised of it at the least.
        class: Class,
        /// What is handed to it.
        user_data: Option<UserData>,
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
    /// Let public addresses be given to tenants.
    AddPool {
        /// Which.
        pool: Pool,
    },
    /// Have no addresses of a pool given out any more.
    RemovePool {
        /// Which.
        pool: Pool,
    },
    /// Keep a share of the site's capacity for its own tenants.
    SetReserve {
        /// The share.
        reserve: Reserve,
    },
}
