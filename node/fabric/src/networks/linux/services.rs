//! What answers a network's guests: its namespace, the pair that joins it to the bridge, its
//! addresses, and the server in it.

use std::path::Path;

use ipnet::IpNet;

use super::kernel::{Kernel, Links};
use super::namespace::Namespace;
use super::pair::{self, Pair};
use super::{Error, door, settings};
use crate::Change;
use crate::networks::plan::door::OUTSIDE;
use crate::networks::plan::services::{Asking, INTERFACE};
use crate::networks::plan::{Segment, Services};
use crate::server::dnsmasq::{self, Files};
use crate::server::process::Process;

/// Makes the services be there, but for their port's place on the bridge.
pub(super) async fn converge(
    kernel: &Kernel,
    links: &Links,
    segment: &Segment,
    plan: &Services,
    namespace: &Namespace,
) -> Result<(u32, Change), Error> {
    let inside = Kernel::within(namespace)?;
    let pair = Pair {
        outer: &plan.port,
        outer_mac: None,
        inner: INTERFACE,
        inner_mac: plan.mac,
        mtu: segment.mtu.into(),
    };
    let (index, change) = pair.converge(kernel, links, &inside, namespace).await?;
    let given = pair::addresses(&inside, index, &plan.namespace, &plan.addresses).await?;
    let mut change = change.and(given);
    if let Some(Asking { door, resolvers }) = &plan.asking {
        let to = resolvers.iter().map(|resolver| IpNet::from(*resolver));
        let place = (&inside, namespace);
        let (out, led) = door::converge(kernel, links, place, door, segment.mtu, to).await?;
        let own: Vec<IpNet> = door.behind.iter().map(|address| IpNet::from(*address)).collect();
        let own = pair::addresses(&inside, out, &plan.namespace, &own).await?;
        // Guests ask the services, and do not go through them.
        let closed = namespace.enter(|| settings::forwards(&[INTERFACE, OUTSIDE], false))?;
        change = change.and(led).and(own).and(closed);
    }
    Ok((index, change))
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
    let files = Files {
        directory,
        bridge,
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
