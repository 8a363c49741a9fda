//! One network's devices: its bridge, its VXLAN devices, and what its ports may do.

use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVxlan, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkUnspec, LinkVxlan};
use std::net::IpAddr;

use super::Error;
use super::kernel::{Kernel, Links, bridge_of, is_kind, mtu, particulars};
use crate::Change;
use crate::networks::names::Tap;
use crate::networks::plan::{Overlay, Segment};

/// Makes the bridge be there; answers its index.
pub(super) async fn bridge(
    kernel: &Kernel,
    links: &Links,
    plan: &Segment,
) -> Result<(u32, Change), Error> {
    let name = plan.bridge.as_str();
    let mut change = Change::Nothing;
    let fresh;
    let link = match links.get(name) {
        Some(link) => link,
        None => {
            // Everyone on the network is known, so groups of listeners need not be learnt; and
            // frames are shown to family inet, which knows connections. It is raised later. A
            // bridge without an address of its own takes one of its ports', and forgets its
            // neighbours each time that this changes.
            let bridge = LinkBridge::new(name)
                .down()
                .address(plan.key.bridge().to_vec())
                .mtu(u32::from(plan.mtu))
                .mcast_snooping(false)
                .nf_call_iptables(true)
                .nf_call_ip6tables(true)
                .build();
            kernel.add(bridge, name).await?;
            change = Change::Made;
            fresh = kernel.links().await?;
            fresh.made(name)?
        }
    };
    if !is_kind(link, InfoKind::Bridge) {
        return Err(Error::Foreign(name.to_owned()));
    }
    let resized = resize(kernel, link, plan.mtu, name).await?;
    let raised = kernel.raise(link, name).await?;
    if resized || raised {
        change = Change::Made;
    }
    Ok((link.header.index, change))
}

async fn resize(kernel: &Kernel, link: &LinkMessage, size: u16, name: &str) -> Result<bool, Error> {
    if mtu(link) == Some(u32::from(size)) {
        return Ok(false);
    }
    let link = LinkUnspec::new_with_index(link.header.index).mtu(u32::from(size)).build();
    kernel.change(link, name).await?;
    Ok(true)
}

/// Makes a VXLAN device be there as planned. One that is other than planned is made anew, since
/// the kernel changes next to nothing of one that is there.
pub(super) async fn overlay(
    kernel: &Kernel,
    links: &Links,
    plan: &Overlay,
    size: u16,
) -> Result<Change, Error> {
    let name = plan.name.as_str();
    let through = match &plan.device {
        Some(device) => {
            let link = links.get(device).ok_or_else(|| Error::NoTunnel(device.clone()))?;
            Some(link.header.index)
        }
        None => None,
    };
    if let Some(link) = links.get(name) {
        if !is_kind(link, InfoKind::Vxlan) {
            return Err(Error::Foreign(name.to_owned()));
        }
        if is_as_planned(link, plan, through) {
            let raised = kernel.raise(link, name).await?;
            return Ok(if raised { Change::Made } else { Change::Nothing });
        }
        kernel.delete(link, name).await?;
    }
    let device = LinkVxlan::new(name, plan.vni.get())
        .down()
        .port(plan.port)
        .learning(false)
        .mtu(u32::from(size));
    let device = match plan.local {
        IpAddr::V4(local) => device.local(local),
        IpAddr::V6(local) => device.local6(local),
    };
    let device = match through {
        Some(index) => device.dev(index),
        None => device,
    };
    kernel.add(device.build(), name).await?;
    kernel.raise(kernel.links().await?.made(name)?, name).await?;
    Ok(Change::Made)
}

fn is_as_planned(link: &LinkMessage, plan: &Overlay, through: Option<u32>) -> bool {
    let data = particulars(link).iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vxlan(data)) => Some(data),
        _ => None,
    });
    let Some(data) = data else { return false };
    let local = match plan.local {
        IpAddr::V4(local) => InfoVxlan::Local(local),
        IpAddr::V6(local) => InfoVxlan::Local6(local),
    };
    let device = data.iter().find_map(|it| match it {
        InfoVxlan::Link(index) if *index != 0 => Some(*index),
        _ => None,
    });
    let said = [InfoVxlan::Id(plan.vni.get()), InfoVxlan::Port(plan.port), local];
    said.iter().all(|it| data.contains(it)) && device == through
}

/// Makes the planned ports be ports of the bridge, as far as they are there: a tap comes with its
/// guest, and is raised by whoever made it.
pub(super) async fn ports(
    kernel: &Kernel,
    links: &Links,
    plan: &Segment,
    bridge: u32,
) -> Result<Change, Error> {
    let mut change = Change::Nothing;
    let overlays = [&plan.underlay, &plan.tunnel].into_iter().flatten();
    let away = overlays.map(|overlay| (overlay.name.as_str(), true));
    let services = plan.services.iter().map(|services| (services.port.as_str(), false));
    let exit = plan.exit.iter().map(|exit| (exit.port.as_str(), false));
    let router = plan.router.iter().map(|port| (port.as_str(), false));
    for (name, leads_away) in away.chain(services).chain(exit).chain(router) {
        let Some(link) = links.get(name) else { continue };
        change = change.and(port(kernel, link, name, bridge, leads_away).await?);
        if kernel.raise(link, name).await? {
            change = Change::Made;
        }
    }
    for tap in plan.taps.keys().map(Tap::as_str) {
        if let Some(link) = links.get(tap) {
            change = change.and(port(kernel, link, tap, bridge, false).await?);
        }
    }
    Ok(change)
}

/// Makes an interface a port of the bridge that learns nothing: who is where is known. Towards
/// other places the bridge answers for them who has which address.
async fn port(
    kernel: &Kernel,
    link: &LinkMessage,
    name: &str,
    bridge: u32,
    leads_away: bool,
) -> Result<Change, Error> {
    let index = link.header.index;
    let mut change = Change::Nothing;
    if bridge_of(link) != Some(bridge) {
        kernel.change(LinkUnspec::new_with_index(index).controller(bridge).build(), name).await?;
        change = Change::Made;
    }
    let wanted = [
        InfoBridgePort::Learning(false),
        InfoBridgePort::UnicastFlood(false),
        InfoBridgePort::NeighSupress(leads_away),
    ];
    let present = particulars(link).iter().find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(data)) => Some(data),
        _ => None,
    });
    let is_set = present.is_some_and(|data| wanted.iter().all(|it| data.contains(it)));
    if change == Change::Made || !is_set {
        let port = LinkBridgePort::new(index)
            .learning(false)
            .flood(false)
            .neigh_suppress(leads_away)
            .build();
        kernel.change(port, name).await?;
        change = Change::Made;
    }
    Ok(change)
}
