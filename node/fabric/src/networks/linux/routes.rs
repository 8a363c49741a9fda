//! Routes through one interface. Those that somebody set by hand are ours to say there: what else
//! of them is found is removed. The kernel's own stay.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol,
};

use super::Error;
use super::kernel::{Kernel, patient};
use crate::Change;

/// Where packets go through an interface: to a prefix, by a router or straight there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Route {
    pub(super) to: IpNet,
    pub(super) by: Option<IpAddr>,
}

/// Every route of a namespace's main table.
pub(super) async fn present(kernel: &Kernel, whose: &str) -> Result<Vec<RouteMessage>, Error> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut all = Vec::new();
    for family in [v4, v6] {
        let listed = kernel.handle.route().get(family).execute().try_collect::<Vec<_>>();
        all.extend(patient("list the routes of", whose, listed).await?);
    }
    all.retain(|it| it.header.table == RouteHeader::RT_TABLE_MAIN);
    Ok(all)
}

/// Makes the routes through an interface as wanted.
pub(super) async fn converge(
    kernel: &Kernel,
    present: &[RouteMessage],
    index: u32,
    whose: &str,
    wanted: &BTreeSet<Route>,
) -> Result<Change, Error> {
    let ours = present.iter().filter(|it| {
        it.attributes.contains(&RouteAttribute::Oif(index))
            && it.header.protocol == RouteProtocol::Static
    });
    let found: BTreeMap<Route, &RouteMessage> =
        ours.filter_map(|message| Some((read(message)?, message))).collect();
    let mut change = Change::Nothing;
    for (_, message) in found.iter().filter(|(route, _)| !wanted.contains(route)) {
        let deleted = kernel.handle.route().del((*message).clone()).execute();
        patient("remove a route of", whose, deleted).await?;
        change = Change::Made;
    }
    for route in wanted.iter().filter(|route| !found.contains_key(route)) {
        let added = kernel.handle.route().add(message(*route, index)).replace().execute();
        patient("add a route to", whose, added).await?;
        change = Change::Made;
    }
    Ok(change)
}

fn message(route: Route, index: u32) -> RouteMessage {
    let (to, length) = (route.to.network(), route.to.prefix_len());
    let builder = RouteMessageBuilder::<IpAddr>::new().output_interface(index);
    let fits = "a prefix has a length that fits it, and its router is of its kind";
    let mut builder = builder.destination_prefix(to, length).expect(fits);
    if let Some(by) = route.by {
        // The router has no address in common with us: it is on the link, and that is enough.
        builder = builder.gateway(by).expect(fits).onlink();
    } else if to.is_ipv4() {
        builder = builder.scope(rtnetlink::packet_route::route::RouteScope::Link);
    }
    builder.build()
}

fn read(message: &RouteMessage) -> Option<Route> {
    let is_v4 = message.header.address_family == rtnetlink::packet_route::AddressFamily::Inet;
    let (mut to, mut by) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = Some(ip(address)?),
            RouteAttribute::Gateway(address) => by = Some(ip(address)?),
            _ => {}
        }
    }
    let everywhere: IpAddr =
        if is_v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let length = message.header.destination_prefix_length;
    Some(Route { to: IpNet::new(to.unwrap_or(everywhere), length).ok()?, by })
}

const fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
