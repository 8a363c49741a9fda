//! The doors from namespaces of networks to the host: their pairs, what each side knows of the
//! other, and what the host forwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::entries::{self, Present};
use super::kernel::{Kernel, Links};
use super::namespace::Namespace;
use super::pair::Pair;
use super::routes::{self, Route};
use super::settings::{FORCE_FORWARDING, SETTINGS, set};
use super::{Error, public};
use crate::Change;
use crate::networks::names::InterfaceName;
use crate::networks::plan::door::{HOST, OUTSIDE};
use crate::networks::plan::{Door, Plan};

/// What a door's packets may have at least, in bytes: what the host's way out carries, the host
/// knows and tells.
const MTU: u32 = 1500;

/// Makes a door be there, with ways to these prefixes through it; answers the index of its inner
/// end.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    inside: (&Kernel, &Namespace),
    plan: &Door,
    size: u16,
    to: impl IntoIterator<Item = IpNet>,
) -> Result<(u32, Change), Error> {
    let (inside, namespace) = inside;
    let pair = Pair {
        outer: &plan.name,
        outer_mac: Some(plan.host),
        inner: OUTSIDE,
        inner_mac: plan.own,
        mtu: u32::from(size).max(MTU),
    };
    let (index, made) = pair.converge(kernel, links, inside, namespace).await?;
    let [v4, v6] = HOST;
    let by = |to: IpNet| Some(if to.addr().is_ipv4() { v4 } else { v6 });
    let to: BTreeSet<Route> = to.into_iter().map(|to| Route { to, by: by(to) }).collect();
    let present = routes::present(inside, &plan.name).await?;
    let led = routes::converge(inside, &present, index, &plan.name, &to).await?;
    let host = HOST.map(|address| (address, plan.host)).into();
    let present = Present::of(inside).await?;
    let known = entries::neighbours(inside, &present, &host, index, &plan.name).await?;
    Ok((index, made.and(led).and(known)))
}

/// Makes the host send through its doors what is behind them, answer for it outside, and forward
/// what comes from them.
pub(super) async fn host(
    kernel: &Kernel,
    outside: Option<&InterfaceName>,
    plan: &Plan,
) -> Result<Change, Error> {
    let exits: Vec<_> = plan.lans.iter().filter_map(|lan| lan.exit.as_ref()).collect();
    let services = plan.lans.iter().filter_map(|lan| lan.services.as_ref()?.asking.as_ref());
    let doors = exits.iter().map(|exit| &exit.door).chain(services.map(|it| &it.door));
    let doors: Vec<&Door> = doors.collect();
    let links = kernel.links().await?;
    let mut change = public::converge(kernel, &links, outside, &exits).await?;
    let Some(outside) = outside.filter(|_| !doors.is_empty()) else { return Ok(change) };
    let present = Present::of(kernel).await?;
    let known = routes::present(kernel, "the host").await?;
    for door in doors {
        // One that could not be made has been told of.
        let Some(link) = links.get(&door.name) else { continue };
        if kernel.raise(link, &door.name).await? {
            change = Change::Made;
        }
        let index = link.header.index;
        let behind: BTreeMap<IpAddr, [u8; 6]> =
            door.behind.iter().map(|address| (*address, door.own)).collect();
        let neighbours = entries::neighbours(kernel, &present, &behind, index, &door.name);
        change = change.and(neighbours.await?);
        let to = door.behind.iter().map(|address| Route { to: IpNet::from(*address), by: None });
        let to: BTreeSet<Route> = to.collect();
        change = change.and(routes::converge(kernel, &known, index, &door.name, &to).await?);
        change = change.and(forwards(&door.name)?);
    }
    if links.get(outside.as_str()).is_none() {
        return Err(Error::NoOutside(outside.clone()));
    }
    Ok(change.and(forwards(outside.as_str())?))
}

/// Lets the host forward what comes in through one interface.
fn forwards(interface: &str) -> Result<Change, Error> {
    let place = |version: &str| Path::new(SETTINGS).join(version).join("conf").join(interface);
    let v4 = place("ipv4").join("forwarding");
    let refused = |path: PathBuf| |source| Error::Setting { path, source };
    let mut change = set(&v4, "1").map_err(refused(v4.clone()))?;
    // Older kernels forward IPv6 for all interfaces or for none, and then take no addresses from
    // routers any more: that is for the administrator to decide.
    let v6 = place("ipv6").join(FORCE_FORWARDING);
    if v6.exists() {
        change = change.and(set(&v6, "1").map_err(refused(v6.clone()))?);
    }
    Ok(change)
}
