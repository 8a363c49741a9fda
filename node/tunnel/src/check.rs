//! What can be wanted of a tunnel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::{PublicKey, Wanted};

/// The most peers: far more sites than one trades with. Each costs about 16 KiB, and up to 256
/// packets that wait for its handshake.
pub const PEERS_MAX: usize = 1024;
/// The most inner addresses of all peers together: sixteen for each, were there as many as can be.
pub const ADDRESSES_MAX: usize = 16 * PEERS_MAX;
/// The least MTU: IPv6's own.
pub const MTU_MIN: u16 = 1280;
/// The greatest MTU: what fits the jumbo frames that networks commonly carry, 9216 bytes, with the
/// 80 bytes that the tunnel adds.
pub const MTU_MAX: u16 = 9136;

/// A tunnel cannot be like this.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// There are too many.
    #[error("{0} peers are more than the {PEERS_MAX} that a tunnel serves")]
    TooManyPeers(usize),
    /// There are too many.
    #[error("{0} inner addresses are more than the {ADDRESSES_MAX} that a tunnel knows")]
    TooManyAddresses(usize),
    /// The MTU is out of its bounds.
    #[error("an MTU of {0} is not between {MTU_MIN} and {MTU_MAX}")]
    Mtu(u16),
    /// The prefix is longer than the address.
    #[error("{address} has no prefix of {prefix} bits")]
    Prefix {
        /// The address.
        address: IpAddr,
        /// The length.
        prefix: u8,
    },
    /// A peer is there twice, or is the gateway itself.
    #[error("peer {0} is there twice, or is this gateway itself")]
    TwiceKey(PublicKey),
    /// Two peers have the same inner address, or one has the gateway's own.
    #[error("inner address {0} belongs to two peers, or to this gateway itself")]
    TwiceAddress(IpAddr),
}

/// Refuses what contradicts itself.
pub(crate) fn check(wanted: &Wanted) -> Result<(), Fault> {
    if wanted.peers.len() > PEERS_MAX {
        return Err(Fault::TooManyPeers(wanted.peers.len()));
    }
    let addresses = wanted.peers.iter().map(|peer| peer.addresses.len()).sum();
    if addresses > ADDRESSES_MAX {
        return Err(Fault::TooManyAddresses(addresses));
    }
    if !(MTU_MIN..=MTU_MAX).contains(&wanted.mtu) {
        return Err(Fault::Mtu(wanted.mtu));
    }
    let longest = if wanted.address.is_ipv4() { 32 } else { 128 };
    if wanted.prefix > longest {
        return Err(Fault::Prefix { address: wanted.address, prefix: wanted.prefix });
    }
    let mut keys = BTreeSet::from([wanted.private_key.public()]);
    let mut addresses = BTreeSet::from([wanted.address]);
    for peer in &wanted.peers {
        if !keys.insert(peer.public_key) {
            return Err(Fault::TwiceKey(peer.public_key));
        }
        if let Some(twice) = peer.addresses.iter().find(|address| !addresses.insert(**address)) {
            return Err(Fault::TwiceAddress(*twice));
        }
    }
    Ok(())
}
