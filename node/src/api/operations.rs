//! The operations of the interface: the table from which the router is built.
//!
//! Ids are the names of RESERVOIR's deck where it has one (`SubmitVEEs`, `InitializeVEE`,
//! `VEEUpdate`).

use axum::http::Method;
use protocol::site::state::Role;

/// What can be asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Id {
    /// The site, its hosts and the node that answers.
    ShowSite,
    /// Keep a share of the site's capacity for its own tenants.
    SetReserve,
    /// The site's peers.
    ListPeers,
    /// Add a peer.
    AddPeer,
    /// Change the policy towards a peer.
    SetPolicy,
    /// What a peer shows of itself, and of this site's machines there.
    MonitorPeer,
    /// Drain a peer, or trade with it again.
    UpdatePeer,
    /// Remove a peer.
    RemovePeer,
    /// Let one node join.
    InviteNode,
    /// Join, as a node that was invited.
    JoinSite,
    /// The site's nodes.
    ListNodes,
    /// Take a node out of the site.
    RemoveNode,
    /// Let a node lead.
    LeadSite,
    /// What is agreed with peers about machines.
    ListAgreements,
    /// End an agreement, or propose new terms for it.
    UpdateAgreement,
    /// Deploy a manifest.
    SubmitServices,
    /// Where the machines of a manifest would go.
    PlanServices,
    /// The tenant's services.
    ListServices,
    /// One service, now or when it has changed.
    ShowService,
    /// Give a component of a service another number of machines.
    ScaleService,
    /// The security groups of a service.
    ListSecurityGroups,
    /// Give a security group of a service other rules.
    SetSecurityGroup,
    /// Take a security group away.
    RemoveSecurityGroup,
    /// Put a component into other security groups.
    AssignSecurityGroups,
    /// Take a service down.
    EndService,
    /// The tenant's public addresses.
    ListAddresses,
    /// Have a public address.
    AllocateAddress,
    /// Have a machine reached by a public address.
    AssociateAddress,
    /// Have a public address reach nothing.
    DisassociateAddress,
    /// Give a public address back.
    ReleaseAddress,
    /// The pools of public addresses.
    ListPools,
    /// Let public addresses be given to tenants.
    AddPool,
    /// Have no addresses of a pool given out any more.
    RemovePool,
    /// Define a machine without starting it.
    InitializeMachine,
    /// The tenant's machines.
    ListMachines,
    /// One machine, now or when it has changed.
    ShowMachine,
    /// What a machine says of itself.
    ObserveMachine,
    /// Lead a machine to another state.
    UpdateMachine,
    /// A machine's serial console.
    AttachConsole,
    /// Send a file of an image.
    SendBlob,
    /// Enter an image into the catalogue.
    RegisterImage,
    /// The catalogue.
    ListImages,
    /// Strike an image from the catalogue.
    UnregisterImage,
    /// Make a key.
    AddKey,
    /// The site's keys.
    ListKeys,
    /// Take a key out of use.
    RemoveKey,
    /// The networks that reach the site: a tenant's own, or all.
    ListNetworks,
    /// One network, who is on it, and how this node sees it.
    ShowNetwork,
    /// Whether the networks are well, as all nodes of the site see them.
    CheckNetworks,
    /// The site's hosts.
    ListHosts,
    /// Have a host emptied, or let machines be placed on it again.
    UpdateHost,
    /// Forget a host that will not come back.
    ForgetHost,
}

/// Who may ask something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Whoever has a key of this role; an operator may ask all that a tenant may.
    Key(Role),
    /// A node that shows the secret of an invitation.
    Invitation,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What it is.
    pub id: Id,
    /// Its name in the interface's description.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path; what is in braces is a parameter.
    pub path: &'static str,
    /// Who may ask it.
    pub access: Access,
    /// Whether it may take long because its caller wants it to.
    pub lasting: bool,
}

const fn quick(
    id: Id,
    name: &'static str,
    method: Method,
    path: &'static str,
    role: Role,
) -> Operation {
    Operation { id, name, method, path, access: Access::Key(role), lasting: false }
}

const fn lasting(
    id: Id,
    name: &'static str,
    method: Method,
    path: &'static str,
    role: Role,
) -> Operation {
    Operation { id, name, method, path, access: Access::Key(role), lasting: true }
}

/// The one operation for which no key is needed.
const JOIN: Operation = Operation {
    id: Id::JoinSite,
    name: "JoinSite",
    method: Method::POST,
    path: "/v1/site/nodes/join",
    access: Access::Invitation,
    lasting: false,
};

/// Where a component is scaled.
const SCALE: &str = "/v1/services/{id}/components/{component}";

/// Where the security groups of a service are.
const SECURITY: &str = "/v1/services/{id}/security";

/// Where one of them is.
const SECURITY_GROUP: &str = "/v1/services/{id}/security/{group}";

/// Where a component is put into them.
const MEMBERSHIPS: &str = "/v1/services/{id}/components/{component}/security";

/// Where a public address is associated.
const ASSOCIATION: &str = "/v1/addresses/{address}/association";

use Method as M;
use Role::{Operator, Tenant};

/// All operations.
pub static OPERATIONS: [Operation; 52] = [
    quick(Id::ShowSite, "ShowSite", M::GET, "/v1/site", Tenant),
    quick(Id::SetReserve, "SetReserve", M::PUT, "/v1/site/reserve", Operator),
    quick(Id::ListPeers, "ListPeers", M::GET, "/v1/peers", Operator),
    quick(Id::AddPeer, "AddPeer", M::POST, "/v1/peers", Operator),
    quick(Id::SetPolicy, "SetPolicy", M::PATCH, "/v1/peers/{id}/policy", Operator),
    quick(Id::MonitorPeer, "MonitorPeer", M::GET, "/v1/peers/{id}/monitor", Operator),
    quick(Id::UpdatePeer, "UpdatePeer", M::POST, "/v1/peers/{id}/{verb}", Operator),
    quick(Id::RemovePeer, "RemovePeer", M::DELETE, "/v1/peers/{id}", Operator),
    quick(Id::InviteNode, "InviteNode", M::POST, "/v1/site/invitations", Operator),
    JOIN,
    quick(Id::ListNodes, "ListNodes", M::GET, "/v1/site/nodes", Operator),
    quick(Id::RemoveNode, "RemoveNode", M::DELETE, "/v1/site/nodes/{id}", Operator),
    quick(Id::LeadSite, "LeadSite", M::POST, "/v1/site/nodes/{id}/lead", Operator),
    quick(Id::ListAgreements, "ListAgreements", M::GET, "/v1/agreements", Operator),
    quick(Id::UpdateAgreement, "UpdateAgreement", M::POST, "/v1/agreements/{id}/{verb}", Operator),
    quick(Id::SubmitServices, "SubmitVEEs", M::POST, "/v1/services", Tenant),
    quick(Id::PlanServices, "PlanVEEs", M::POST, "/v1/services/plan", Tenant),
    quick(Id::ListServices, "ListServices", M::GET, "/v1/services", Tenant),
    lasting(Id::ShowService, "ShowService", M::GET, "/v1/services/{id}", Tenant),
    quick(Id::ScaleService, "ScaleService", M::PUT, SCALE, Tenant),
    quick(Id::ListSecurityGroups, "ListSecurityGroups", M::GET, SECURITY, Tenant),
    quick(Id::SetSecurityGroup, "SetSecurityGroup", M::PUT, SECURITY_GROUP, Tenant),
    quick(Id::RemoveSecurityGroup, "RemoveSecurityGroup", M::DELETE, SECURITY_GROUP, Tenant),
    quick(Id::AssignSecurityGroups, "AssignSecurityGroups", M::PUT, MEMBERSHIPS, Tenant),
    quick(Id::EndService, "EndService", M::DELETE, "/v1/services/{id}", Tenant),
    quick(Id::ListAddresses, "ListAddresses", M::GET, "/v1/addresses", Tenant),
    quick(Id::AllocateAddress, "AllocateAddress", M::POST, "/v1/addresses", Tenant),
    quick(Id::AssociateAddress, "AssociateAddress", M::PUT, ASSOCIATION, Tenant),
    quick(Id::DisassociateAddress, "DisassociateAddress", M::DELETE, ASSOCIATION, Tenant),
    quick(Id::ReleaseAddress, "ReleaseAddress", M::DELETE, "/v1/addresses/{address}", Tenant),
    quick(Id::ListPools, "ListAddressPools", M::GET, "/v1/pools", Operator),
    quick(Id::AddPool, "AddAddressPool", M::POST, "/v1/pools", Operator),
    quick(Id::RemovePool, "RemoveAddressPool", M::DELETE, "/v1/pools/{address}/{length}", Operator),
    quick(Id::InitializeMachine, "InitializeVEE", M::POST, "/v1/machines", Tenant),
    quick(Id::ListMachines, "ListVEEs", M::GET, "/v1/machines", Tenant),
    lasting(Id::ShowMachine, "ShowVEE", M::GET, "/v1/machines/{id}", Tenant),
    quick(Id::ObserveMachine, "MonitoringInformation", M::GET, "/v1/machines/{id}/kpis", Tenant),
    quick(Id::UpdateMachine, "VEEUpdate", M::POST, "/v1/machines/{id}/{verb}", Tenant),
    lasting(Id::AttachConsole, "AttachConsole", M::GET, "/v1/machines/{id}/console", Tenant),
    lasting(Id::SendBlob, "SendBlob", M::POST, "/v1/blobs", Operator),
    quick(Id::RegisterImage, "RegisterImage", M::POST, "/v1/images", Operator),
    quick(Id::ListImages, "ListImages", M::GET, "/v1/images", Tenant),
    quick(Id::UnregisterImage, "UnregisterImage", M::DELETE, "/v1/images/{id}", Operator),
    quick(Id::AddKey, "AddKey", M::POST, "/v1/keys", Operator),
    quick(Id::ListKeys, "ListKeys", M::GET, "/v1/keys", Operator),
    quick(Id::RemoveKey, "RemoveKey", M::DELETE, "/v1/keys/{id}", Operator),
    quick(Id::ListNetworks, "ListNetworks", M::GET, "/v1/networks", Tenant),
    quick(Id::ShowNetwork, "ShowNetwork", M::GET, "/v1/networks/{id}", Tenant),
    quick(Id::CheckNetworks, "CheckNetworks", M::POST, "/v1/networks/check", Operator),
    quick(Id::ListHosts, "ListHosts", M::GET, "/v1/hosts", Operator),
    quick(Id::UpdateHost, "UpdateHost", M::POST, "/v1/hosts/{id}/{verb}", Operator),
    quick(Id::ForgetHost, "ForgetHost", M::DELETE, "/v1/hosts/{id}", Operator),
];
