//! What is there: devices, bytes, members, drops by cause, and how large a packet may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use super::Error;
use super::filters;
use super::kernel::{Kernel, Links, mtu};
use super::namespace::Namespace;
use super::settings::{self, SETTINGS};
use crate::networks::names::{Key, Kind};
use crate::networks::plan::filters::Cause;
use crate::networks::state::{Device, Drops, ExitState, LanState, State};
use crate::networks::wanted::{At, Exit, Lan, Wanted};

/// How many connections a namespace knows.
const CONNECTIONS: &str = "netfilter/nf_conntrack_count";

/// What VXLAN puts around a frame: IPv6, UDP, its own header, and the frame's (40, 8, 8, 14).
const AROUND: u32 = 70;

pub(super) async fn state(
    kernel: &Kernel,
    namespaces: &Path,
    wanted: &Wanted,
) -> Result<State, Error> {
    let links = kernel.links().await?;
    let mut drops: BTreeMap<Option<Key>, Vec<Drops>> = BTreeMap::new();
    for (name, packets, bytes) in filters::counters().await? {
        if let Some((key, cause)) = Cause::of_counter(&name) {
            drops.entry(key).or_default().push(Drops { cause, packets, bytes });
        }
    }
    let tunnel = wanted.tunnel.as_ref().and_then(|it| links.get(it.device.as_str()));
    let room = tunnel.and_then(mtu).map(|mtu| mtu.saturating_sub(AROUND));
    let mut lans = Vec::new();
    for lan in &wanted.lans {
        let exit = exit(lan, namespaces, wanted)?;
        lans.push(LanState { exit, ..of_lan(lan, &links, room, &mut drops) });
    }
    Ok(State { lans, drops: drops.remove(&None).unwrap_or_default() })
}

fn of_lan(
    lan: &Lan,
    links: &Links,
    room: Option<u32>,
    drops: &mut BTreeMap<Option<Key>, Vec<Drops>>,
) -> LanState {
    let key = Key::of(lan.identity);
    let kinds =
        [Kind::Bridge, Kind::Services, Kind::Underlay, Kind::Tunnel, Kind::Exit, Kind::Door];
    let names = kinds.into_iter().map(|kind| key.name(kind));
    let taps = lan.members.iter().filter_map(|member| match &member.at {
        At::Here { tap, .. } => Some(tap.to_string()),
        At::Host { .. } | At::Site { .. } => None,
    });
    let devices = names.chain(taps).filter_map(|name| {
        let link = links.get(&name)?;
        Some(device(name, link))
    });
    let leaves = lan.members.iter().any(|member| matches!(member.at, At::Site { .. }))
        || matches!(lan.exit, Some(Exit::Site { .. }));
    LanState {
        identity: lan.identity,
        members: lan.members.len(),
        devices: devices.collect(),
        room_between_sites: room.filter(|_| leaves),
        exit: None,
        drops: drops.remove(&Some(key)).unwrap_or_default(),
    }
}

/// The exit of a network, if it is here and there.
fn exit(lan: &Lan, namespaces: &Path, wanted: &Wanted) -> Result<Option<ExitState>, Error> {
    let name = Key::of(lan.identity).name(Kind::ExitNamespace);
    let (true, Some(namespace)) =
        (lan.exit == Some(Exit::Here), Namespace::find(&namespaces.join(name)))
    else {
        return Ok(None);
    };
    let told = namespace.enter(|| fs::read_to_string(Path::new(SETTINGS).join(CONNECTIONS)))?;
    let connections = told.trim().parse().unwrap_or_default();
    let own = wanted.public.iter().filter(|public| public.network == lan.identity);
    let public = own.map(|public| public.address).collect();
    let outside = wanted.outside.as_ref().filter(|_| lan.v6.is_some());
    let keeps_ipv6 = outside.is_some_and(|outside| !settings::forwards_ipv6(&outside.interface));
    Ok(Some(ExitState { connections, public, keeps_ipv6 }))
}

fn device(name: String, link: &LinkMessage) -> Device {
    let stats = link.attributes.iter().find_map(|it| match it {
        LinkAttribute::Stats64(stats) => Some(*stats),
        _ => None,
    });
    let stats = stats.unwrap_or_default();
    Device {
        name,
        is_up: link.header.flags.contains(LinkFlags::Up),
        mtu: mtu(link).unwrap_or_default(),
        received: stats.rx_bytes,
        sent: stats.tx_bytes,
    }
}
