//! What the site knows of a machine, as the machine may know it: a pure function.
//!
//! It is made from what a site has of every guest, its own and a peer's: the guest's row and the
//! members of its networks. So a machine finds the same wherever it runs, but for the names that
//! one site gives another, and for public addresses, which only its home knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use fabric::networks::Identity;
use metadata::{Card, HopLimit, Instance, Line, SecurityGroup, Tokens, UserData, Vpc};
use protocol::hull;
use protocol::ids::{HostId, MachineName, NetworkId, SiteId};
use protocol::networks::Offset;
use protocol::networks::lan::Member;
use protocol::security::GroupName;
use protocol::site::Site;
use protocol::site::state::{Guest, Lan};
use protocol::time::Timestamp;
use protocol::units::Size;

/// The digits of a hash in an id: as many as EC2's ids have.
const DIGITS: usize = 17;

/// The machine that has this address in a network, if it runs on this host.
pub(super) fn at(
    site: &Site,
    host: HostId,
    network: Identity,
    address: IpAddr,
) -> Option<Instance> {
    let Identity { home, network } = network;
    let (_, lan) = site.lans().find(|(key, _)| **key == (home, network))?;
    let offset = offset(lan, address)?;
    let (_, member) = site.members_on(home, network).find(|(known, _)| *known == offset)?;
    let name = MachineName { home, machine: member.machine };
    let guest = site.guest(name).filter(|guest| guest.lodging.host == host)?;
    let mut cards = guest.hull.cards.iter().filter_map(|card| self::card(site, name, card));
    let first = cards.next()?;
    Some(Instance {
        machine: name,
        id: line(&format!("i-{}", name.machine.as_uuid().simple()))?,
        hostname: hostname(lan, member)?,
        image: line(&format!("ami-{}", &guest.image.to_string()[..DIGITS]))?,
        instance_type: instance_type(guest.hull.size())?,
        launch_index: launch_index(member),
        reservation: reservation(lan, network, name)?,
        account: line(&guest.tenant.to_string())?,
        zone: line(&called(site, site.profile()?.site))?,
        region: line(&called(site, home))?,
        launched: launched(site, name, guest)?,
        root_device: line("/dev/vda")?,
        card: first,
        more_cards: cards.collect(),
        public_keys: Vec::new(),
        tags: BTreeMap::new(),
        user_data: user_data(site, name),
        tokens: Tokens::Optional,
        hop_limit: HopLimit::ONE,
    })
}

/// What is not one line is not said; the types and the checks of names leave no such thing.
fn line(text: &str) -> Option<Line> {
    text.parse().ok()
}

/// What the protocol hands to a machine is no longer than what a machine is given here.
fn user_data(site: &Site, name: MachineName) -> Option<UserData> {
    site.user_data(name)?.bytes().to_vec().try_into().ok()
}

fn offset(lan: &Lan, address: IpAddr) -> Option<Offset> {
    match address {
        IpAddr::V4(address) => lan.terms.prefix.offset(address),
        IpAddr::V6(address) => lan.terms.prefix6.offset(address),
    }
}

/// Its name in its first network's DNS, whole.
fn hostname(lan: &Lan, member: &Member) -> Option<Line> {
    let name = &member.name;
    let whole = lan.terms.domain.as_ref().map(|domain| format!("{name}.{domain}.internal"));
    line(&whole.unwrap_or_else(|| format!("{name}.internal")))
}

/// Machines have sizes and no types: so it is the size, in processors and megabytes.
fn instance_type(size: Size) -> Option<Line> {
    line(&format!("v{}.{}m", size.vcpus, size.memory.0))
}

/// Which of its component's machines it is: the last part of its name, which is counted from 1.
fn launch_index(member: &Member) -> u32 {
    let number = member.component.as_ref().and_then(|component| {
        member.name.strip_prefix(component.as_str())?.strip_prefix('-')?.parse::<u32>().ok()
    });
    number.map_or(0, |number| number.saturating_sub(1))
}

/// What it was submitted with: its service, whose networks are its own; or nothing but itself.
fn reservation(lan: &Lan, network: NetworkId, name: MachineName) -> Option<Line> {
    let with = lan.terms.domain.as_ref().map(|_| network.as_uuid());
    line(&format!("r-{}", with.unwrap_or_else(|| name.machine.as_uuid()).simple()))
}

/// What this site calls a site: its name, or the beginning of its id if it has none here.
fn called(site: &Site, id: SiteId) -> String {
    let own = site.profile().filter(|profile| profile.site == id);
    let own = own.map(|profile| profile.name.clone());
    let peer = || site.peer(id).map(|peer| peer.name.as_str().to_owned());
    own.or_else(peer).unwrap_or_else(|| id.short())
}

/// Since when the site has it: it was defined here, or agreed with its home.
fn launched(site: &Site, name: MachineName, guest: &Guest) -> Option<Timestamp> {
    match guest.agreement {
        Some(agreement) => Some(site.agreement(agreement)?.since),
        None => Some(site.machine(name.machine)?.created),
    }
}

/// A card, as its network has it.
fn card(site: &Site, name: MachineName, card: &hull::Card) -> Option<Card> {
    let (home, network) = (name.home, card.network);
    let (_, lan) = site.lans().find(|(key, _)| **key == (home, network))?;
    let is_it = |member: &Member| {
        member.machine == name.machine
            && hull::Mac::of(home, member.machine, member.card) == card.mac
    };
    let (offset, member) = site.members_on(home, network).find(|(_, member)| is_it(member))?;
    let ipv4 = lan.terms.prefix.address(offset)?;
    let groups = member.groups.iter().filter_map(|group| security_group(home, network, group));
    Some(Card {
        mac: card.mac,
        id: line(&format!("eni-{}{:02x}", name.machine.as_uuid().simple(), member.card))?,
        ipv4: vec![ipv4],
        ipv6: vec![lan.terms.prefix6.address(offset)],
        public: public(site, home, network, ipv4),
        subnet: line(&format!("subnet-{}", network.as_uuid().simple()))?,
        subnet_ipv4: Some(lan.terms.prefix.net()),
        subnet_ipv6: vec![lan.terms.prefix6.net()],
        vpc: vpc(site, home, lan),
        security_groups: groups.collect(),
    })
}

/// The group of networks that a network is routed to, as far as they reach here; its first network
/// first, by which the group is known.
fn vpc(site: &Site, home: SiteId, lan: &Lan) -> Option<Vpc> {
    let group = lan.terms.group?;
    let is_in = |of: &SiteId, row: &Lan| *of == home && row.terms.group == Some(group);
    let of_group = site.lans().filter(|((of, _), row)| is_in(of, row));
    let mut networks: Vec<_> = of_group.map(|((_, network), row)| (*network, &row.terms)).collect();
    networks.sort_by_key(|(network, _)| (*network != group, *network));
    Some(Vpc {
        id: line(&format!("vpc-{}", group.as_uuid().simple()))?,
        ipv4: networks.iter().map(|(_, terms)| terms.prefix.net()).collect(),
        ipv6: networks.iter().map(|(_, terms)| terms.prefix6.net()).collect(),
    })
}

/// The public addresses of a card, at its home.
fn public(
    site: &Site,
    home: SiteId,
    network: NetworkId,
    inside: Ipv4Addr,
) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    if site.profile().is_none_or(|profile| profile.site != home) {
        return BTreeMap::new();
    }
    let its = site.published().filter(|(_, of, card)| (*of, *card) == (network, inside));
    its.map(|(outside, _, card)| (outside, card)).collect()
}

/// Groups have names in a service; their ids say of which.
fn security_group(home: SiteId, network: NetworkId, name: &GroupName) -> Option<SecurityGroup> {
    let mut hasher = blake3::Hasher::new_derive_key("reservoir 2026 id of a security group");
    hasher.update(home.as_bytes());
    hasher.update(network.as_uuid().as_bytes());
    hasher.update(name.as_str().as_bytes());
    let digits = hasher.finalize().to_hex();
    let id = line(&format!("sg-{}", &digits[..DIGITS]))?;
    Some(SecurityGroup { id, name: line(name.as_str())? })
}
