//! What answers a network's guests: its namespace, the pair that joins it to the bridge, its
//! addresses, and the server in it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use futures::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::Error;
use super::kernel::{Kernel, Links, patient};
use super::namespace::Namespace;
use crate::Change;
use crate::linux::dnsmasq::{self, Files};
use crate::linux::process::Process;
use crate::name::BridgeName;
use crate::networks::plan::services::INTERFACE;
use crate::networks::plan::{Segment, Services};

/// Makes the services be there, but for their port's place on the bridge.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    segment: &Segment,
    plan: &Services,
    namespace: &Namespace,
) -> Result<(u32, Change), Error> {
    let inside = Kernel::within(namespace)?;
    let size = u32::from(segment.mtu);
    let mut within = inside.links().await?;
    let mut change = Change::Nothing;
    if links.get(&plan.port).is_none() || within.get(INTERFACE).is_none() {
        if let Some(half) = links.get(&plan.port) {
            kernel.delete(half, &plan.port).await?;
        }
        let place = namespace.open()?;
        let end = LinkMessageBuilder::<LinkUnspec>::new()
            .name(INTERFACE)
            .mtu(size)
            .address(plan.mac.to_vec())
            .setns_by_fd(place.as_raw_fd())
            .build();
        let pair = LinkVeth::new(&plan.port, INTERFACE)
            .mtu(size)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(end)))
            .build();
        kernel.add(pair, &plan.port).await?;
        within = inside.links().await?;
        change = Change::Made;
    }
    for name in ["lo", INTERFACE] {
        if inside.raise(within.made(name)?, name).await? {
            change = Change::Made;
        }
    }
    let index = within.made(INTERFACE)?.header.index;
    Ok((index, change.and(addresses(&inside, index, plan).await?)))
}

/// Gives the services exactly their addresses.
async fn addresses(inside: &Kernel, index: u32, plan: &Services) -> Result<Change, Error> {
    let present = inside.handle.address().get().set_link_index_filter(index).execute();
    let present: Vec<AddressMessage> =
        patient("list the addresses of", &plan.namespace, present.try_collect()).await?;
    let wanted: BTreeSet<IpNet> = plan.addresses.iter().copied().collect();
    let mut found = BTreeSet::new();
    let mut change = Change::Nothing;
    for message in present.into_iter().filter(|message| message.header.index == index) {
        let net = own(&message);
        if let Some(net) = net.filter(|net| wanted.contains(net)) {
            found.insert(net);
            continue;
        }
        let deleted = inside.handle.address().del(message).execute();
        patient("remove an address from", &plan.namespace, deleted).await?;
        change = Change::Made;
    }
    for net in wanted.difference(&found) {
        let mut request = inside.handle.address().add(index, net.addr(), net.prefix_len());
        if net.addr().is_ipv6() {
            // The same address is on other hosts, on purpose: nobody is asked whether it is free.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        patient("give an address to", &plan.namespace, request.execute()).await?;
        change = Change::Made;
    }
    Ok(change)
}

fn own(message: &AddressMessage) -> Option<IpNet> {
    let mut address: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(own) => address = Some(*own),
            AddressAttribute::Address(own) => address = address.or(Some(*own)),
            _ => {}
        }
    }
    IpNet::new(address?, message.header.prefix_len).ok()
}

/// Makes the server serve the planned table.
pub(super) async fn serve(
    directory: &Path,
    plan: &Services,
    bridge: &str,
    namespace: &Namespace,
    index: u32,
    server: &mut Option<Process>,
) -> Result<Change, Error> {
    let bridge: BridgeName = bridge.parse().expect("a bridge's name is one that we made");
    let files = Files {
        directory,
        bridge: &bridge,
        settings: plan.configuration(directory, index),
        leases: plan.leases.clone(),
        names: plan.names.clone(),
    };
    let place = namespace.identity()?;
    let spawn = |command: &mut tokio::process::Command| {
        let runtime = tokio::runtime::Handle::current();
        let started = namespace.enter(move || {
            let _runtime = runtime.enter();
            command.spawn()
        });
        started.map_err(|error| crate::Error::Start(std::io::Error::other(error)))
    };
    Ok(dnsmasq::serve(&files, place, server, spawn).await?)
}
