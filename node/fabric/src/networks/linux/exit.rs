//! A network's exit: its namespace with two pairs, its routes and translation, and what the host
//! has to do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::entries::{self, Present};
use super::kernel::{Kernel, Links};
use super::namespace::Namespace;
use super::pair::{self, Pair};
use super::routes::{self, Route};
use super::{Error, filters, public, router};
use crate::Change;
use crate::networks::names::InterfaceName;
use crate::networks::plan::exit::{HOST, INSIDE, OUTSIDE};
use crate::networks::plan::filters::Table;
use crate::networks::plan::{Exit, Forwards};

/// Where the kernel says what it does with packets.
pub(super) const SETTINGS: &str = "/proc/sys/net";

/// Whether the host forwards packets of others, by its own administrator's will: what we turn on
/// is for single interfaces.
pub(super) fn forwarding() -> Forwards {
    let is_set = |path: &str| {
        fs::read_to_string(Path::new(SETTINGS).join(path)).is_ok_and(|it| it.trim() != "0")
    };
    Forwards { v4: is_set("ipv4/ip_forward"), v6: is_set("ipv6/conf/all/forwarding") }
}

/// Makes one network's exit as planned, but for its port's place on the bridge. What it translates
/// is in `known`, since nobody else knows the namespace.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    size: u16,
    plan: &Exit,
    namespace: &Path,
    known: &mut Option<Table>,
) -> Result<Change, Error> {
    let (namespace, mut change) = Namespace::converge(namespace)?;
    if change == Change::Made {
        *known = None;
    }
    let inside = Kernel::within(&namespace)?;
    let lan = Pair {
        outer: &plan.port,
        outer_mac: None,
        inner: INSIDE,
        inner_mac: plan.mac,
        mtu: size.into(),
    };
    let (lan, joined) = lan.converge(kernel, links, &inside, &namespace).await?;
    let [outer, inner] = plan.doors;
    // The host knows how much its way out carries, and tells of it; here nothing is cut short.
    let out = Pair {
        outer: &plan.door,
        outer_mac: Some(outer),
        inner: OUTSIDE,
        inner_mac: inner,
        mtu: u32::from(size).max(1500),
    };
    let (out, led) = out.converge(kernel, links, &inside, &namespace).await?;
    change = change.and(joined).and(led);
    let name = plan.namespace.as_str();
    change = change.and(pair::addresses(&inside, lan, name, &plan.addresses).await?);
    change = change.and(namespace.enter(|| router::forwards(&[INSIDE, OUTSIDE]))?);

    let present = routes::present(&inside, name).await?;
    let near = plan.nets.iter().map(|net| Route { to: *net, by: None }).collect();
    let near = routes::converge(&inside, &present, lan, name, &near).await?;
    let far = HOST.map(|by| Route { to: everywhere(by), by: Some(by) }).into();
    let far = routes::converge(&inside, &present, out, name, &far).await?;
    let present = Present::of(&inside).await?;
    let host = HOST.map(|address| (address, outer)).into();
    for (index, wanted) in [(lan, &plan.neighbours), (out, &host)] {
        change = change.and(entries::neighbours(&inside, &present, wanted, index, name).await?);
    }
    if known.as_ref() != Some(&plan.translation) {
        namespace.enter(|| filters::replace(&plan.translation))?;
        *known = Some(plan.translation.clone());
        change = Change::Made;
    }
    Ok(change.and(near).and(far))
}

fn everywhere(like: IpAddr) -> IpNet {
    let address: IpAddr = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new(address, 0).expect("0 is a length of any prefix")
}

/// Makes a setting of the kernel be so.
pub(super) fn set(path: &Path, value: &str) -> io::Result<Change> {
    if fs::read_to_string(path)?.trim() == value {
        return Ok(Change::Nothing);
    }
    fs::write(path, value)?;
    Ok(Change::Made)
}

/// Makes the host send to its exits what is for them, answer for it outside, and forward what
/// comes from them.
pub(super) async fn host(
    kernel: &Kernel,
    outside: Option<&InterfaceName>,
    exits: &[&Exit],
) -> Result<Change, Error> {
    let links = kernel.links().await?;
    let mut change = public::converge(kernel, &links, outside, exits).await?;
    let Some(outside) = outside.filter(|_| !exits.is_empty()) else { return Ok(change) };
    let present = Present::of(kernel).await?;
    let known = routes::present(kernel, "the host").await?;
    for exit in exits {
        // An exit that could not be made has been told of.
        let Some(link) = links.get(&exit.door) else { continue };
        if kernel.raise(link, &exit.door).await? {
            change = Change::Made;
        }
        let index = link.header.index;
        let [_, inner] = exit.doors;
        let behind: BTreeMap<IpAddr, [u8; 6]> =
            exit.behind.iter().map(|address| (*address, inner)).collect();
        let neighbours = entries::neighbours(kernel, &present, &behind, index, &exit.door);
        change = change.and(neighbours.await?);
        let to = exit.behind.iter().map(|address| Route { to: IpNet::from(*address), by: None });
        let to: BTreeSet<Route> = to.collect();
        change = change.and(routes::converge(kernel, &known, index, &exit.door, &to).await?);
        change = change.and(forwards(&exit.door)?);
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
    let v6 = place("ipv6").join("force_forwarding");
    if v6.exists() {
        change = change.and(set(&v6, "1").map_err(refused(v6.clone()))?);
    }
    Ok(change)
}
