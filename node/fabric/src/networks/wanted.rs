//! What should be there: every network that has to do with this host, whole.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use protocol::hull::Mac;
pub use protocol::networks::lan::Vni;

use super::names::{Identity, InterfaceName, Tap};
use crate::name::HostName;

/// All networks of one host. With hosts or sites besides this one, UDP ports 8472 and 4789 of
/// this host are for these networks alone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// The networks that have a member here, or that pass through here.
    pub lans: Vec<Lan>,
    /// Where the other hosts of the site reach this one; none if there are no others.
    pub underlay: Option<IpAddr>,
    /// The way to other sites; none if this host is no gateway.
    pub tunnel: Option<Tunnel>,
    /// The public network as this host has it; none if nothing of a network goes there from here.
    pub outside: Option<Outside>,
    /// The public addresses of cards whose networks have their exit here.
    pub public: Vec<Public>,
    /// Whom a network's services ask for names that are not its own, if it has an exit anywhere.
    /// They ask from here, wherever the exit is: the resolvers are this host, or are reached through
    /// the interface to the public network.
    pub resolvers: Vec<IpAddr>,
    /// Which of the networks have a router between them.
    pub routed: Vec<Routed>,
}

/// Networks with a router between them, which is on every host that has a guest on one of them.
/// Such a host has all of them, and so has each host on the way between two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Routed {
    /// Which: of one home, no two with addresses in common.
    pub lans: Vec<Identity>,
}

/// Where a card sends what is for a prefix. What is for its own network, or one that is routed with
/// that, goes there in any case; and of several routes the one with the longest prefix counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Route {
    /// The prefix.
    pub to: IpNet,
    /// Where.
    pub hop: Hop,
}

/// The next one on the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hop {
    /// The card of the network that has this address. It may send what comes from there, too, and
    /// what passes through it is judged where it comes from and where it goes to.
    Card(IpAddr),
    /// The network's exit, where it goes without a route as well.
    Exit,
    /// Nobody: it is dropped.
    Nobody,
}

/// A public address that is a card's.
///
/// What comes in for it is the card's, with the sender's own address; what the card begins with
/// the public network comes from it. The host answers for an IPv4 address on the interface to the
/// public network, and says so at once when that is new. It does so for an IPv6 address only if
/// the administrator has IPv6 forwarded there; else the site's routers have to send it here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Public {
    /// The public address.
    pub address: IpAddr,
    /// The card's network.
    pub network: Identity,
    /// The card's own address there, of the same kind.
    pub member: IpAddr,
}

/// The public network as one host has it.
///
/// The host forwards what comes in through this interface to its networks and, unless it was
/// a router before, to nothing else. IPv6 goes out if the kernel forwards it for single interfaces
/// (`force_forwarding`, Linux 6.17) or for all of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outside {
    /// The only interface through which a network reaches it.
    pub interface: InterfaceName,
    /// What is closed to machines besides private and special addresses: the site's own hosts,
    /// which believe this one.
    pub closed: Vec<IpNet>,
}

/// The device that carries packets to other sites, encrypted, and knows which site sent one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tunnel {
    /// The network interface.
    pub device: InterfaceName,
    /// This host's own address inside the tunnel.
    pub address: Ipv6Addr,
}

/// One network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lan {
    /// Which.
    pub identity: Identity,
    /// Its IPv4 addresses. The gateway has the first one.
    pub v4: Option<Ipv4Net>,
    /// Its IPv6 addresses, a prefix of 64 bits. The gateway has the first one after the base.
    pub v6: Option<Ipv6Net>,
    /// The largest packet, in bytes, the same on every host.
    pub mtu: u16,
    /// Its number at this site.
    pub vni: Vni,
    /// The labels under which its names stand in DNS, such as `service.internal`; none for names
    /// that stand alone.
    pub domain: Vec<HostName>,
    /// Every card on it, wherever it is.
    pub members: Vec<Member>,
    /// Who may begin what with whom.
    pub groups: Vec<Group>,
    /// What the cards on this host may send into it, all together.
    pub speed: Option<BytesPerSecond>,
    /// Where its way to the public network is; none if it has none.
    pub exit: Option<Exit>,
    /// Where what leaves it goes, if not to its exit.
    pub routes: Vec<Route>,
    /// The taps here of cards that are on their way: what serves them stands, and they are closed
    /// in both directions until their cards are here. The cards are reached where they are.
    pub awaited: BTreeSet<Tap>,
}

/// Where a network meets the public network, as this host sees it: in one place only, so that
/// connections outlive a machine's move.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// On this host.
    Here,
    /// On another host of the site, or behind it.
    Host {
        /// That host's address.
        underlay: IpAddr,
    },
    /// At another site, behind its gateway.
    Site {
        /// The gateway's address inside the tunnel.
        gateway: Ipv6Addr,
        /// The network's number there.
        vni: Vni,
    },
}

impl Lan {
    /// The gateway's IPv4 address, the same on every host.
    #[must_use]
    pub fn gateway_v4(&self) -> Option<Ipv4Addr> {
        self.v4.map(|net| Ipv4Addr::from_bits(net.network().to_bits() | 1))
    }

    /// The gateway's IPv6 address, the same on every host.
    #[must_use]
    pub fn gateway_v6(&self) -> Option<Ipv6Addr> {
        self.v6.map(|net| Ipv6Addr::from_bits(net.network().to_bits() | 1))
    }
}

/// One card on a network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The card.
    pub mac: Mac,
    /// Its IPv4 address, if the network has a prefix of them.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address, if the network has a prefix of them.
    pub v6: Option<Ipv6Addr>,
    /// Its names in DNS. The first one is told to the guest as its own.
    pub names: Vec<HostName>,
    /// The groups it is in. A card that is in none is closed to everyone and may begin nothing.
    pub groups: Vec<GroupId>,
    /// Where it is.
    pub at: At,
}

/// Where a card is, as this host sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum At {
    /// On this host.
    Here {
        /// Its tap, which need not be there yet.
        tap: Tap,
        /// What the guest may send at most.
        from_guest: Option<BytesPerSecond>,
        /// What the guest is sent at most.
        to_guest: Option<BytesPerSecond>,
    },
    /// On another host of the site, or behind it.
    Host {
        /// That host's address.
        underlay: IpAddr,
    },
    /// At another site, behind its gateway.
    Site {
        /// The gateway's address inside the tunnel.
        gateway: Ipv6Addr,
        /// The network's number there.
        vni: Vni,
    },
}

/// A speed: at least one byte a second, at most 4.29 GB a second.
pub type BytesPerSecond = NonZeroU32;

/// The number of a group, within its network and those that are routed with it: there it is the
/// same group.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct GroupId(pub u32);

/// Cards under the same rules. They are open to each other, and closed to everyone else but for
/// the rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// What others may begin with its cards.
    pub ingress: Vec<Rule>,
    /// What its cards may begin with others.
    pub egress: Vec<Rule>,
}

/// Something that may be begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// What.
    pub traffic: Traffic,
    /// With whom.
    pub peer: Peer,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Traffic {
    /// Everything.
    Any,
    /// TCP to these ports.
    Tcp(Ports),
    /// UDP to these ports.
    Udp(Ports),
    /// ICMP, of either version.
    Icmp,
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// Whom a rule is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// These addresses.
    Prefix(IpNet),
    /// The cards of a group, on the same network or on one that is routed with it.
    Group(GroupId),
}
