//! VXLAN devices and their forwarding entries: who is behind which address, under which number.
//!
//! A network has up to two: one among the hosts of its site, one among sites. Both are ports of
//! its bridge. A bridge never sends a frame back through the port it came from, so what comes
//! from a site goes to hosts and not to another site: no loop, without a protocol against loops.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::names::{Key, Kind, mac_bytes};
use super::super::wanted::{At, Exit, Lan, Vni, Wanted};
use super::router::siblings;

/// The UDP port among the hosts of a site: the one that Linux took before there was a standard.
pub(in super::super) const UNDERLAY_PORT: u16 = 8472;

/// The UDP port among sites: the standard's (RFC 7348). Two ports, so that two kinds of senders
/// are told apart before anything else is looked at.
pub(in super::super) const TUNNEL_PORT: u16 = 4789;

/// The card that stands for all: where a frame goes that is meant for more than one.
pub(in super::super) const EVERYONE: [u8; 6] = [0; 6];

/// One VXLAN device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) struct Overlay {
    pub(in super::super) name: String,
    /// Under which number it receives.
    pub(in super::super) vni: Vni,
    pub(in super::super) port: u16,
    pub(in super::super) local: IpAddr,
    /// The only interface that it sends through; none if the routes decide.
    pub(in super::super) device: Option<String>,
    pub(in super::super) entries: BTreeSet<Entry>,
}

/// What is sent to a card goes to an address, under the number that the receiver chose.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in super::super) struct Entry {
    pub(in super::super) mac: [u8; 6],
    pub(in super::super) to: IpAddr,
    pub(in super::super) vni: Vni,
}

impl Overlay {
    /// The device among the hosts of the site; none if no other host has to do with the network.
    pub(super) fn among_hosts(lan: &Lan, wanted: &Wanted, key: Key) -> Option<Self> {
        let mut entries = entries(lan, |at| match at {
            At::Host { underlay } => Some((*underlay, lan.vni)),
            At::Here { .. } | At::Site { .. } => None,
        });
        if let Some(Exit::Host { underlay: to }) = lan.exit {
            entries.insert(Entry { mac: key.exit(), to, vni: lan.vni });
        }
        // A router elsewhere sends what comes from there, whoever is there of this network.
        let passes = siblings(lan, wanted).into_iter().flat_map(|lan| &lan.members);
        let is_for_us = |at: &At| matches!(at, At::Host { .. });
        let is_used = !entries.is_empty() || passes.map(|it| &it.at).any(is_for_us);
        let local = wanted.underlay.filter(|_| is_used)?;
        let name = key.name(Kind::Underlay);
        Some(Self { name, vni: lan.vni, port: UNDERLAY_PORT, local, device: None, entries })
    }

    /// The device among sites; none if no other site is reached from here.
    pub(super) fn among_sites(lan: &Lan, wanted: &Wanted, key: Key) -> Option<Self> {
        let mut entries = entries(lan, |at| match at {
            At::Site { gateway, vni } => Some((IpAddr::V6(*gateway), *vni)),
            At::Here { .. } | At::Host { .. } => None,
        });
        if let Some(Exit::Site { gateway, vni }) = lan.exit {
            entries.insert(Entry { mac: key.exit(), to: IpAddr::V6(gateway), vni });
        }
        let passes = siblings(lan, wanted).into_iter().flat_map(|lan| &lan.members);
        let is_for_us = |at: &At| matches!(at, At::Site { .. });
        let is_used = !entries.is_empty() || passes.map(|it| &it.at).any(is_for_us);
        let tunnel = wanted.tunnel.as_ref().filter(|_| is_used)?;
        Some(Self {
            name: key.name(Kind::Tunnel),
            vni: lan.vni,
            port: TUNNEL_PORT,
            local: IpAddr::V6(tunnel.address),
            device: Some(tunnel.device.as_str().to_owned()),
            entries,
        })
    }
}

/// An entry for each card that is reached through this device, and one for all of them at each
/// place.
fn entries(lan: &Lan, way: impl Fn(&At) -> Option<(IpAddr, Vni)>) -> BTreeSet<Entry> {
    let mut entries = BTreeSet::new();
    for member in &lan.members {
        if let Some((to, vni)) = way(&member.at) {
            entries.insert(Entry { mac: mac_bytes(member.mac), to, vni });
            entries.insert(Entry { mac: EVERYONE, to, vni });
        }
    }
    entries
}
