//! Which addresses are worth dialling, and which are worth telling.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The IP address that it begins with; none if it begins with a name, or with something else.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether an address that an operator gives may begin so: with a number, or with a name that has
/// numbers. A `/dnsaddr` has addresses, which nobody here asks for.
pub(crate) const fn is_place(part: &Protocol<'_>) -> bool {
    matches!(
        part,
        Protocol::Ip4(_)
            | Protocol::Ip6(_)
            | Protocol::Dns(_)
            | Protocol::Dns4(_)
            | Protocol::Dns6(_)
    )
}

fn is_name(address: &Multiaddr) -> bool {
    matches!(
        address.iter().next(),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_))
    )
}

/// Whether it is on this host only.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    ip(address).is_some_and(|ip| ip.is_loopback())
}

/// Whether it leads through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

/// Whether an address that somebody else has said is dialled. What is on this host, or is not one
/// host, would only be reached on a liar's behalf; a bus that itself lives on loopback, as in a
/// test, finds others there.
pub(crate) fn is_dialled(address: &Multiaddr, is_on_loopback: bool) -> bool {
    match ip(address) {
        Some(ip) if ip.is_loopback() => is_on_loopback,
        Some(IpAddr::V4(ip)) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local())
        }
        Some(IpAddr::V6(ip)) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local())
        }
        None => is_name(address),
    }
}

/// Whether an address means the same to everybody: it is neither of one host nor of a private
/// network, which others would look for in their own.
pub(crate) fn is_public(address: &Multiaddr) -> bool {
    let is_inside = match ip(address) {
        Some(IpAddr::V4(ip)) => ip.is_private(),
        Some(IpAddr::V6(ip)) => ip.is_unique_local(),
        None => true,
    };
    !is_inside && is_dialled(address, false)
}
