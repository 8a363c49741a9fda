//! The gateway of a site: the one of its nodes through which its networks reach other sites.
//!
//! Each node has a key for the tunnel between sites. One at a time is the site's gateway, by the
//! site's own word, so that every host of it and every other site agree where its frames come from.
//! The leader names another when the gateway is not reached any more; the sites on its networks are
//! told, and forward from and to the new one only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// The prefix of all addresses inside the tunnel (RFC 4193): gateways of all sites share one
/// network, in which nobody gives out addresses.
pub const TUNNEL_PREFIX: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd72, 0x7376, 0, 0, 0, 0, 0, 0), 32);

/// A node's public key in the tunnel: X25519, as `WireGuard` has it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct TunnelKey([u8; 32]);

impl TunnelKey {
    /// A key by its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The one address inside the tunnel that is this key's own. It follows from the key, so that
    /// nobody can say that another's is theirs: to draw the same takes some 2^96 keys.
    #[must_use]
    pub fn address(&self) -> Ipv6Addr {
        let mut hash = blake3::Hasher::new_derive_key("reservoir 2026 address inside the tunnel");
        hash.update(&self.0);
        let mut low = [0; 16];
        hash.finalize_xof().fill(&mut low[4..]);
        Ipv6Addr::from_bits(TUNNEL_PREFIX.0.to_bits() | u128::from_be_bytes(low))
    }
}

impl fmt::Display for TunnelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TunnelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunnelKey({self})")
    }
}

/// A gateway, as others reach it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Gateway {
    /// Its key.
    pub key: TunnelKey,
    /// Where it takes packets; none if it can only call others, as behind NAT.
    pub endpoint: Option<SocketAddr>,
}

impl Gateway {
    /// Whether packets may be sent where a peer says: to one machine, and not to this one.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.endpoint.is_none_or(|endpoint| {
            let ip = endpoint.ip();
            let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
            endpoint.port() != 0
                && !ip.is_unspecified()
                && !ip.is_loopback()
                && !ip.is_multicast()
                && !is_broadcast
        })
    }
}

/// How a node takes part in networks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    /// Where the other hosts of the site send it what is for its guests.
    pub underlay: IpAddr,
    /// How other sites reach it when it is the gateway.
    pub gateway: Gateway,
}

/// Which node should be the gateway, if not the one that is: `able` are those that could be, and
/// whether they can be called; `reached` are those that the leader hears.
///
/// The gateway stays the same while it is reached, since to change it costs packets; one that
/// nobody can call gives way to one that can be called.
#[must_use]
pub fn successor(
    able: &BTreeMap<NodeId, bool>,
    reached: &BTreeSet<NodeId>,
    gateway: Option<NodeId>,
) -> Option<NodeId> {
    let heard = |node: &NodeId| reached.contains(node);
    let called = able.iter().filter(|(node, can_be)| **can_be && heard(node));
    let any = able.keys().filter(|node| heard(node));
    let best = called.map(|(node, _)| *node).next();
    let present = gateway.filter(heard).and_then(|node| Some((node, *able.get(&node)?)));
    match (present, best) {
        (Some((_, true)), _) | (Some(_), None) => None,
        (_, Some(best)) => Some(best),
        (None, None) => any.copied().next(),
    }
}
