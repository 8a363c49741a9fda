//! Who is where: the bridge's forwarding entries, those of VXLAN, and the neighbours that the
//! bridge answers for. All are ours to say: what else of these kinds is found is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt as _;
use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Error;
use super::kernel::{Kernel, Links, patient};
use crate::Change;
use crate::networks::plan::{Entry, Overlay, Segment};
use crate::networks::wanted::Vni;

/// All entries of the host, listed once for all networks.
pub(super) struct Present {
    forwarding: Vec<NeighbourMessage>,
    neighbours: Vec<NeighbourMessage>,
}

impl Present {
    pub(super) async fn of(kernel: &Kernel) -> Result<Self, Error> {
        let mut neighbours = list(kernel, AddressFamily::Inet).await?;
        neighbours.extend(list(kernel, AddressFamily::Inet6).await?);
        Ok(Self { forwarding: list(kernel, AddressFamily::Bridge).await?, neighbours })
    }
}

async fn list(kernel: &Kernel, family: AddressFamily) -> Result<Vec<NeighbourMessage>, Error> {
    let listed = kernel.handle.neighbours().get().set_address_family(family).execute();
    patient("list", "the neighbours", listed.try_collect()).await
}

/// Makes the entries of one network as planned.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    present: &Present,
    plan: &Segment,
    bridge: u32,
) -> Result<Change, Error> {
    let mut change = ports(kernel, links, present, plan, bridge).await?;
    for overlay in [&plan.underlay, &plan.tunnel].into_iter().flatten() {
        // One that could not be made has been told of.
        if let Some(link) = links.get(&overlay.name) {
            let placed = places(kernel, present, overlay, link.header.index).await?;
            change = change.and(placed);
        }
    }
    let known = neighbours(kernel, present, &plan.neighbours, bridge, &plan.bridge).await?;
    Ok(change.and(known))
}

/// Which port leads to which card. A tap that is not there yet gets its entry once it is.
async fn ports(
    kernel: &Kernel,
    links: &Links,
    present: &Present,
    plan: &Segment,
    bridge: u32,
) -> Result<Change, Error> {
    let index = |name: &String| links.get(name).map(|link| link.header.index);
    let mut missing: BTreeMap<[u8; 6], u32> =
        plan.ports.iter().filter_map(|(mac, name)| Some((*mac, index(name)?))).collect();
    let mut change = Change::Nothing;
    let ours = present.forwarding.iter().filter(|it| {
        it.attributes.contains(&NeighbourAttribute::Controller(bridge))
            && it.header.state == NeighbourState::Noarp
    });
    for entry in ours {
        let Some(mac) = mac(entry) else { continue };
        if missing.get(&mac) == Some(&entry.header.ifindex) {
            missing.remove(&mac);
        } else if !missing.contains_key(&mac) {
            let message = forwarding(mac, entry.header.ifindex);
            let message = RouteNetlinkMessage::DelNeighbour(message);
            kernel.tell(message, 0, "remove a forwarding entry of", &plan.bridge).await?;
            change = Change::Made;
        }
    }
    for (mac, index) in missing {
        let message = RouteNetlinkMessage::NewNeighbour(forwarding(mac, index));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        kernel.tell(message, flags, "add a forwarding entry to", &plan.bridge).await?;
        change = Change::Made;
    }
    Ok(change)
}

/// An entry that stays, and is not the bridge's own address.
fn forwarding(mac: [u8; 6], port: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message
}

/// Where a VXLAN device sends what is for which card.
async fn places(
    kernel: &Kernel,
    present: &Present,
    plan: &Overlay,
    index: u32,
) -> Result<Change, Error> {
    let ours = present.forwarding.iter().filter(|it| it.header.ifindex == index);
    let found: BTreeSet<Entry> = ours.filter_map(|it| place(it, plan.vni)).collect();
    let mut change = Change::Nothing;
    for entry in found.difference(&plan.entries) {
        let message = RouteNetlinkMessage::DelNeighbour(to_place(*entry, index));
        kernel.tell(message, 0, "remove a place from", &plan.name).await?;
        change = Change::Made;
    }
    for entry in plan.entries.difference(&found) {
        // What is for everyone goes to many places, what is for a card to one.
        let is_for_all = entry.mac == [0; 6];
        let flags = NLM_F_CREATE | if is_for_all { NLM_F_APPEND } else { NLM_F_REPLACE };
        let message = RouteNetlinkMessage::NewNeighbour(to_place(*entry, index));
        kernel.tell(message, flags, "add a place to", &plan.name).await?;
        change = Change::Made;
    }
    Ok(change)
}

fn to_place(entry: Entry, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    let to = match entry.to {
        IpAddr::V4(to) => NeighbourAddress::Inet(to),
        IpAddr::V6(to) => NeighbourAddress::Inet6(to),
    };
    message.attributes.extend([
        NeighbourAttribute::LinkLayerAddress(entry.mac.to_vec()),
        NeighbourAttribute::Destination(to),
        NeighbourAttribute::Vni(entry.vni.get()),
    ]);
    message
}

/// An entry as the kernel tells it: without the number if it is the device's own.
fn place(message: &NeighbourMessage, own: Vni) -> Option<Entry> {
    let mut to = None;
    let mut vni = own;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(address) => to = ip(address),
            NeighbourAttribute::Vni(number) => vni = Vni::new(*number)?,
            _ => {}
        }
    }
    Some(Entry { mac: mac(message)?, to: to?, vni })
}

/// An address, also of a message whose family says nothing about it.
fn ip(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some((*address).into()),
        NeighbourAddress::Inet6(address) => Some((*address).into()),
        NeighbourAddress::Other(bytes) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(|it| Ipv4Addr::from(it).into());
            v4.or_else(|_| {
                <[u8; 16]>::try_from(bytes.as_slice()).map(|it| Ipv6Addr::from(it).into())
            })
            .ok()
        }
        _ => None,
    }
}

/// Whom an entry is about.
pub(super) fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(address) => ip(address),
        _ => None,
    })
}

fn mac(message: &NeighbourMessage) -> Option<[u8; 6]> {
    message.attributes.iter().find_map(|it| match it {
        NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    })
}

/// Who has which address on an interface.
pub(super) async fn neighbours(
    kernel: &Kernel,
    present: &Present,
    wanted: &BTreeMap<IpAddr, [u8; 6]>,
    index: u32,
    whose: &str,
) -> Result<Change, Error> {
    let ours = present
        .neighbours
        .iter()
        .filter(|it| it.header.ifindex == index && it.header.state == NeighbourState::Permanent);
    let known = |it: &NeighbourMessage| Some((destination(it)?, mac(it)?));
    let found: BTreeMap<IpAddr, [u8; 6]> = ours.filter_map(known).collect();
    let mut change = Change::Nothing;
    for address in found.keys().filter(|address| !wanted.contains_key(address)) {
        let mut request = kernel.handle.neighbours().add(index, *address);
        let message = RouteNetlinkMessage::DelNeighbour(request.message_mut().clone());
        kernel.tell(message, 0, "remove a neighbour of", whose).await?;
        change = Change::Made;
    }
    for (address, mac) in wanted {
        if found.get(address) != Some(mac) {
            let request = kernel.handle.neighbours().add(index, *address);
            let request = request.link_layer_address(mac).replace();
            patient("add a neighbour to", whose, request.execute()).await?;
            change = Change::Made;
        }
    }
    Ok(change)
}
