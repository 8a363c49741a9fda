//! What can be wrong with networks, in words for the person who wrote them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::super::name::{ComponentName, GroupName, NetworkName};
use crate::manifest;
use crate::networks::{BadPrefix, BadRoute, MalformedSpeed, Prefix4};

/// What is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Addresses that are no network's.
    #[error(transparent)]
    Prefix(#[from] BadPrefix),
    /// A speed that is none.
    #[error(transparent)]
    Speed(#[from] MalformedSpeed),
    /// A text that is no IPv4 address.
    #[error("'{text}' is no IPv4 address")]
    NotAnAddress {
        /// What is given.
        text: String,
    },
    /// A component is to be on a network that is not there.
    #[error("the service has no network '{network}'")]
    UnknownNetwork {
        /// The one that is not there.
        network: NetworkName,
        /// One that is, with a similar name.
        similar: Option<String>,
    },
    /// A component that is on no network.
    #[error("an empty list of networks leaves the component's machines without a card")]
    NoNetworks,
    /// Routed networks with addresses in common.
    #[error("the networks '{other}' and '{one}' of one group have addresses in common")]
    OverlapInGroup {
        /// The one that is told of.
        one: NetworkName,
        /// The one before it.
        other: NetworkName,
    },
    /// A network that is not within its group.
    #[error(
        "the prefix {prefix} of network '{network}' is not within that of its group '{group}' ({whole})"
    )]
    OutsideGroup {
        /// The network.
        network: NetworkName,
        /// Its addresses.
        prefix: Prefix4,
        /// The group.
        group: GroupName,
        /// The group's addresses.
        whole: Prefix4,
    },
    /// A network for which nothing of its group's addresses is left.
    #[error("group '{group}' ({whole}) has no addresses left for network '{network}'")]
    GroupFull {
        /// The network.
        network: NetworkName,
        /// The group.
        group: GroupName,
        /// The group's addresses.
        whole: Prefix4,
    },
    /// A group that no network is in.
    #[error("no network is in group '{group}'")]
    NobodysGroup {
        /// The group.
        group: GroupName,
    },
    /// A text that is no route.
    #[error(transparent)]
    Route(#[from] BadRoute),
    /// A route to where the group's own networks are.
    #[error("a route to {to} never counts: these are addresses of network '{network}'")]
    RouteInside {
        /// Where it leads.
        to: IpNet,
        /// The network.
        network: NetworkName,
    },
    /// A route by an address that no machine of the group can have.
    #[error("{address} is on no network of group '{group}'")]
    RouteByStranger {
        /// The address.
        address: IpAddr,
        /// The group.
        group: GroupName,
    },
    /// A route by an exit where there is none.
    #[error("no network of group '{group}' reaches the public network")]
    RouteByNoExit {
        /// The group.
        group: GroupName,
    },
    /// A machine on networks with addresses in common.
    #[error(
        "the networks '{other}' and '{one}' have addresses in common, and the component is on both"
    )]
    OverlapOnMachine {
        /// The one that is told of.
        one: NetworkName,
        /// The one before it.
        other: NetworkName,
    },
    /// A public address on a network that does not reach the public one.
    #[error(
        "network '{network}' does not reach the public network, so nobody has a public address there"
    )]
    PublicWithoutOutbound {
        /// The network.
        network: NetworkName,
    },
    /// One address for several machines.
    #[error("{address} cannot be the address of {replicas} machines")]
    AddressOfMany {
        /// The address.
        address: Ipv4Addr,
        /// How many machines.
        replicas: u32,
    },
    /// An address on a network whose addresses are not said.
    #[error("{address} is fixed, and the prefix of network '{network}' is not")]
    AddressWithoutPrefix {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: NetworkName,
    },
    /// An address that no machine on the network can have.
    #[error("{address} is no machine's in network '{network}' ({prefix})")]
    AddressOutside {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: NetworkName,
        /// Its addresses.
        prefix: Prefix4,
    },
    /// One address for two components.
    #[error("{address} is the address of '{component}' already")]
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Who has it.
        component: ComponentName,
    },
    /// More machines than a network has addresses.
    #[error(
        "network '{network}' ({prefix}) has {room} addresses, and {machines} machines are to be on it"
    )]
    NetworkFull {
        /// The network.
        network: NetworkName,
        /// Its addresses.
        prefix: Prefix4,
        /// How many machines.
        machines: u32,
        /// How many addresses.
        room: usize,
    },
}

impl Problem {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Prefix(error) => error.hint(),
            Self::Speed(error) => error.hint(),
            Self::NotAnAddress { .. } => "write four numbers, as in 10.1.0.9".to_owned(),
            Self::NoNetworks => {
                "name a network, or leave networks out if the service has only one".to_owned()
            }
            Self::OverlapInGroup { .. } => {
                "give one of them another prefix, or leave it out of the group".to_owned()
            }
            Self::OutsideGroup { whole, .. } => {
                format!("write a prefix within {whole}, or leave it out for a share of that")
            }
            Self::GroupFull { .. } => "write a shorter prefix for the group".to_owned(),
            Self::NobodysGroup { group } => {
                format!(
                    "add group: {group} to networks that are to be routed, or leave it out here"
                )
            }
            Self::Route(error) => error.hint(),
            Self::RouteInside { .. } => "leave the route out".to_owned(),
            Self::RouteByStranger { .. } => {
                "write the fixed address of a machine on one of its networks, exit or nobody"
                    .to_owned()
            }
            Self::RouteByNoExit { .. } => "add outbound: true to one of them".to_owned(),
            Self::OverlapOnMachine { .. } => "give one of them another prefix".to_owned(),
            Self::PublicWithoutOutbound { network } => {
                format!("add outbound: true to network {network}")
            }
            Self::AddressOfMany { .. } => "leave the address out, or set replicas to 1".to_owned(),
            Self::AddressWithoutPrefix { network, .. } => {
                format!("add a prefix to network {network}")
            }
            Self::AddressOutside { prefix, .. } => {
                let range = prefix.offsets();
                let (first, last) = (prefix.at(range.start), prefix.at(range.end - 1));
                format!("write an address from {first} to {last}")
            }
            Self::AddressTaken { .. } => "fix another address, or leave it out".to_owned(),
            Self::NetworkFull { .. } => "write a shorter prefix, or fewer replicas".to_owned(),
            Self::UnknownNetwork { similar: None, network } => {
                format!("add {network} under networks, or leave it out here")
            }
            Self::UnknownNetwork { similar: Some(similar), .. } => {
                format!("did you mean {similar}?")
            }
        }
    }
}

impl From<BadPrefix> for manifest::Problem {
    fn from(error: BadPrefix) -> Self {
        Problem::from(error).into()
    }
}

impl From<BadRoute> for manifest::Problem {
    fn from(error: BadRoute) -> Self {
        Problem::from(error).into()
    }
}

impl From<MalformedSpeed> for manifest::Problem {
    fn from(error: MalformedSpeed) -> Self {
        Problem::from(error).into()
    }
}
