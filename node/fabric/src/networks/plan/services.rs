//! What answers the guests of one network on this host: DHCP, DNS, the gateway's addresses.
//!
//! It lives in a network namespace of its own, since networks of two tenants may have equal
//! prefixes. The same services, with the same addresses, are on every host that has a guest of
//! the network, and each answers its own host's guests.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::names::{Identity, Key, Kind, link_local};
use super::super::wanted::{Lan, Member, Wanted};
use super::door::{Door, between};
use crate::name::HostName;

/// Where guests ask for metadata over IPv4: EC2's address.
pub(in super::super) const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// Where guests ask for metadata over IPv6: EC2's address.
pub(in super::super) const METADATA_V6: Ipv6Addr =
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The services' end of the pair that joins them to the bridge.
pub(in super::super) const INTERFACE: &str = "lan";

/// One network's services.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Services {
    pub(in super::super) identity: Identity,
    /// The name of their namespace.
    pub(in super::super) namespace: String,
    /// The bridge's end of the pair.
    pub(in super::super) port: String,
    pub(in super::super) mac: [u8; 6],
    pub(in super::super) addresses: Vec<IpNet>,
    /// Which card gets which addresses and name, as `dhcp-hostsfile` has it.
    pub(in super::super) leases: String,
    /// The names of all cards, and of those on networks that this one is routed to, as `addn-hosts`
    /// has them.
    pub(in super::super) names: String,
    /// By which it asks others for names that are not the network's; none if it does not.
    pub(in super::super) asking: Option<Asking>,
    /// What the server is told but for its place.
    settings: String,
}

/// How the services ask for names beyond the network: from the host that they are on, with an
/// address of their own there. The gateway's would not do, since it is on every host, and answers
/// would find any of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Asking {
    pub(in super::super) door: Door,
    /// Whom they ask, and nobody else.
    pub(in super::super) resolvers: Vec<IpAddr>,
}

impl Asking {
    /// Only of a network that has a way out.
    fn of(lan: &Lan, wanted: &Wanted, key: Key, zone: u16) -> Option<Self> {
        let asks = lan.exit.is_some() && !wanted.resolvers.is_empty();
        let door = Door::new(key, Kind::Asking, asking(zone).to_vec());
        asks.then(|| Self { door, resolvers: wanted.resolvers.clone() })
    }
}

/// The place of services among what is behind doors.
const PLACE: u8 = 1;

/// What a network's services have as their own where they ask for names.
pub(super) fn asking(zone: u16) -> [IpAddr; 2] {
    between(PLACE, zone)
}

impl Services {
    pub(super) fn of(lan: &Lan, wanted: &Wanted, key: Key, zone: u16) -> Self {
        let mac = key.gateway();
        let v4 = lan.v4.zip(lan.gateway_v4());
        let v6 = lan.v6.zip(lan.gateway_v6());
        let mut addresses: Vec<IpNet> = Vec::new();
        if let Some((net, gateway)) = v4 {
            addresses.push(within(gateway.into(), net.prefix_len()));
            addresses.push(IpNet::from(IpAddr::V4(METADATA_V4)));
        }
        if let Some((net, gateway)) = v6 {
            addresses.push(within(gateway.into(), net.prefix_len()));
            addresses.push(within(link_local(mac).into(), 64));
            addresses.push(IpNet::from(IpAddr::V6(METADATA_V6)));
        }
        let mut members: Vec<&Member> = lan.members.iter().collect();
        members.sort_unstable_by_key(|member| (member.v4, member.v6, member.mac));
        Self {
            identity: lan.identity,
            namespace: key.name(Kind::Namespace),
            port: key.name(Kind::Services),
            mac,
            addresses,
            leases: lines(&members, lease),
            names: lines(&members, |member| names(member, &domain(lan)))
                + &names_around(lan, wanted),
            asking: Asking::of(lan, wanted, key, zone),
            settings: settings(lan, v4, v6) + &upstream(lan, wanted),
        }
    }

    /// The configuration of a server whose files are in `directory`, on the interface with this
    /// index. An interface that was made anew needs another server: the index is in the text for
    /// that.
    pub(in super::super) fn configuration(&self, directory: &Path, index: u32) -> String {
        let directory = directory.display();
        format!(
            "# Network {}, interface {index}.
pid-file={directory}/dnsmasq.pid
dhcp-hostsfile={directory}/hosts.dhcp
addn-hosts={directory}/hosts.dns
{}",
            self.identity, self.settings
        )
    }
}

fn settings(lan: &Lan, v4: Option<(Ipv4Net, Ipv4Addr)>, v6: Option<(Ipv6Net, Ipv6Addr)>) -> String {
    let mtu = lan.mtu;
    let mut text = format!(
        "# Nothing but this network is served, and nothing of the host's own is told.
interface={INTERFACE}
except-interface=lo
bind-interfaces
no-hosts
no-resolv
user=nobody
group=nogroup
log-async
# A card that is not in the table gets no answer.
dhcp-ignore=tag:!known
# All addresses are in the table: there is nothing to write down, and nobody else to ask.
leasefile-ro
dhcp-authoritative
quiet-dhcp
quiet-dhcp6
quiet-ra
local-ttl=10
"
    );
    let domain = domain(lan);
    if !domain.is_empty() {
        line(&mut text, format_args!("domain={domain}\nlocal=/{domain}/"));
    }
    if let Some((net, gateway)) = v4 {
        let (base, mask) = (net.network(), net.netmask());
        line(&mut text, format_args!("dhcp-range={base},static,{mask},1h"));
        line(&mut text, format_args!("dhcp-option=option:router,{gateway}"));
        line(&mut text, format_args!("dhcp-option=option:dns-server,{gateway}"));
        line(&mut text, format_args!("dhcp-option=option:mtu,{mtu}"));
    }
    if let Some((net, gateway)) = v6 {
        let (base, length) = (net.network(), net.prefix_len());
        line(&mut text, format_args!("dhcp-range={base},static,{length},1h"));
        line(&mut text, format_args!("dhcp-option=option6:dns-server,[{gateway}]"));
        line(&mut text, format_args!("enable-ra\nra-param={INTERFACE},mtu:{mtu},60,1800"));
    }
    text
}

/// Whom the server asks for names that it does not know. What only means something here is not
/// asked elsewhere: names without a domain, and those of private addresses.
fn upstream(lan: &Lan, wanted: &Wanted) -> String {
    let mut text = String::new();
    if lan.exit.is_some() && !wanted.resolvers.is_empty() {
        line(&mut text, format_args!("domain-needed\nbogus-priv"));
        for resolver in &wanted.resolvers {
            line(&mut text, format_args!("server={resolver}"));
        }
    }
    text
}

fn domain(lan: &Lan) -> String {
    lan.domain.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn lease(member: &Member) -> String {
    let mut parts = vec![member.mac.to_string()];
    parts.extend(member.v4.map(|address| address.to_string()));
    parts.extend(member.v6.map(|address| format!("[{address}]")));
    parts.extend(member.names.first().map(ToString::to_string));
    parts.join(",")
}

fn names(member: &Member, domain: &str) -> String {
    let mut words = String::new();
    for name in &member.names {
        words.push_str(&format!(" {name}"));
        if !domain.is_empty() {
            words.push_str(&format!(" {name}.{domain}"));
        }
    }
    let all = member.v4.map(IpAddr::from).into_iter().chain(member.v6.map(IpAddr::from));
    let lines: Vec<String> =
        all.filter(|_| !words.is_empty()).map(|address| format!("{address}{words}")).collect();
    lines.join("\n")
}

/// The names on the networks that this one is routed to. A name that is on this network is meant here,
/// wherever else it is.
fn names_around(lan: &Lan, wanted: &Wanted) -> String {
    let own: BTreeSet<&HostName> = lan.members.iter().flat_map(|member| &member.names).collect();
    let with_it = wanted.routed.iter().filter(|routed| routed.lans.contains(&lan.identity));
    let around: Vec<Identity> = with_it.flat_map(|routed| routed.lans.clone()).collect();
    let is_around =
        |other: &&Lan| other.identity != lan.identity && around.contains(&other.identity);
    let mut text = String::new();
    for other in wanted.lans.iter().filter(is_around) {
        let mut members = other.members.clone();
        for member in &mut members {
            member.names.retain(|name| !own.contains(name));
        }
        members.sort_unstable_by_key(|member| (member.v4, member.v6, member.mac));
        let members: Vec<&Member> = members.iter().collect();
        text.push_str(&lines(&members, |member| names(member, &domain(other))));
    }
    text
}

fn lines(members: &[&Member], text: impl Fn(&Member) -> String) -> String {
    let mut lines = String::new();
    for words in members.iter().map(|member| text(member)).filter(|words| !words.is_empty()) {
        line(&mut lines, format_args!("{words}"));
    }
    lines
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "{words}").expect("a string takes what is written to it");
}

fn within(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).expect("the length is one of a prefix of this kind")
}
