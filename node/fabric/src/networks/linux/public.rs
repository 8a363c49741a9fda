//! Public addresses on the interface to the public network: the host answers for them, and says
//! so at once when one is new. They are not given to the host itself, which nobody reaches by them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use futures::TryStreamExt as _;
use rtnetlink::packet_core::NLM_F_CREATE;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Error;
use super::announce::announce;
use super::entries::destination;
use super::kernel::{Kernel, Links, mac, patient};
use super::settings::{SETTINGS, set};
use crate::Change;
use crate::networks::names::InterfaceName;
use crate::networks::plan::Exit;

/// By which an entry is known as ours: any number that nobody else has (`RTPROT_*` in
/// `linux/rtnetlink.h`; those from 192 on are other daemons').
const OURS: RouteProtocol = RouteProtocol::Other(82);

/// Makes the host answer for exactly the public addresses of these exits.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    interface: Option<&InterfaceName>,
    exits: &[&Exit],
) -> Result<Change, Error> {
    let link = interface.and_then(|interface| links.get(interface.as_str()));
    let all = exits.iter().flat_map(|exit| exit.public.iter().copied());
    let wanted: BTreeSet<(IpAddr, u32)> =
        link.iter().flat_map(|link| all.clone().map(|it| (it, link.header.index))).collect();
    let mut change = Change::Nothing;
    let mut found = BTreeSet::new();
    for message in present(kernel).await? {
        let Some(address) = destination(&message) else { continue };
        let answered = (address, message.header.ifindex);
        if wanted.contains(&answered) {
            found.insert(answered);
        } else {
            let message = RouteNetlinkMessage::DelNeighbour(message);
            let address = address.to_string();
            kernel.tell(message, 0, "stop to answer for", &address).await?;
            change = Change::Made;
        }
    }
    let (Some(interface), Some(link)) = (interface, link) else { return Ok(change) };
    if !wanted.is_empty() {
        change = change.and(answers(interface.as_str())?);
    }
    for (address, index) in wanted.difference(&found) {
        let message = RouteNetlinkMessage::NewNeighbour(entry(*address, *index));
        kernel.tell(message, NLM_F_CREATE, "answer for", &address.to_string()).await?;
        // Another host of the site may have answered for it until now.
        if let Some(mac) = mac(link) {
            announce(interface.as_str(), mac, [*address])?;
        }
        change = Change::Made;
    }
    Ok(change)
}

async fn present(kernel: &Kernel) -> Result<Vec<NeighbourMessage>, Error> {
    let mut all = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let request = kernel.handle.neighbours().get().proxies().set_address_family(family);
        let listed = request.execute().try_collect::<Vec<_>>();
        all.extend(patient("list", "what is answered for", listed).await?);
    }
    all.retain(|it| it.attributes.contains(&NeighbourAttribute::Protocol(OURS)));
    Ok(all)
}

fn entry(address: IpAddr, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Proxy;
    let (family, to) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, address.into()),
        IpAddr::V6(address) => (AddressFamily::Inet6, address.into()),
    };
    message.header.family = family;
    message.attributes =
        vec![NeighbourAttribute::Destination(to), NeighbourAttribute::Protocol(OURS)];
    message
}

/// Lets the host answer at once: it would wait up to a second, for the sake of somebody else who
/// might answer too. There is nobody.
fn answers(interface: &str) -> Result<Change, Error> {
    let mut change = Change::Nothing;
    for (setting, value) in [
        (format!("ipv4/neigh/{interface}/proxy_delay"), "0"),
        (format!("ipv6/neigh/{interface}/proxy_delay"), "0"),
        (format!("ipv6/conf/{interface}/proxy_ndp"), "1"),
    ] {
        let path = Path::new(SETTINGS).join(setting);
        let made = set(&path, value).map_err(|source| Error::Setting { path, source })?;
        change = change.and(made);
    }
    Ok(change)
}
