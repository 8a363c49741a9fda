//! What was ours and is not wanted goes; but never a bridge that a guest is still plugged into.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use rtnetlink::packet_route::link::InfoKind;
use tracing::info;

use super::kernel::{Kernel, bridge_of, is_kind};
use super::namespace::Namespace;
use super::{Error, Inner};
use crate::Change;
use crate::networks::names::{Key, Kind, TAP};
use crate::networks::plan::Plan;
use crate::server::dnsmasq;

pub(super) async fn unwanted(
    kernel: &Kernel,
    plan: &Plan,
    directory: &Path,
    namespaces: &Path,
    inner: &mut Inner,
) -> Result<Change, Error> {
    let served = plan.lans.iter().filter(|lan| lan.services.is_some()).map(|lan| lan.key);
    let served: BTreeSet<Key> = served.collect();
    let mut change = services(&served, directory, namespaces, inner).await?;
    let out = plan.lans.iter().filter(|lan| lan.exit.is_some()).map(|lan| lan.key).collect();
    for key in keys_in(Kind::ExitNamespace, namespaces)?.difference(&out) {
        inner.translations.remove(key);
        Namespace::remove(&namespaces.join(key.name(Kind::ExitNamespace)))?;
        change = Change::Made;
    }
    let kept: BTreeSet<&str> = plan.routers.iter().map(|it| it.namespace.as_str()).collect();
    for key in keys_in(Kind::RouterNamespace, namespaces)? {
        let name = key.name(Kind::RouterNamespace);
        if !kept.contains(name.as_str()) {
            Namespace::remove(&namespaces.join(name))?;
            change = Change::Made;
        }
    }
    let planned: BTreeSet<String> = plan
        .lans
        .iter()
        .flat_map(|lan| {
            let overlays = [&lan.underlay, &lan.tunnel].into_iter().flatten();
            let overlays = overlays.map(|overlay| overlay.name.clone());
            let port = lan.services.iter().map(|services| services.port.clone());
            let asking =
                lan.services.iter().filter_map(|it| Some(it.asking.as_ref()?.door.name.clone()));
            let exit = lan.exit.iter().flat_map(|exit| [exit.port.clone(), exit.door.name.clone()]);
            let router = lan.router.clone();
            overlays.chain(port).chain(asking).chain(exit).chain(router).chain([lan.bridge.clone()])
        })
        .collect();
    let links = kernel.links().await?;
    let kinds = [
        (Kind::Underlay, InfoKind::Vxlan),
        (Kind::Tunnel, InfoKind::Vxlan),
        (Kind::Services, InfoKind::Veth),
        (Kind::Exit, InfoKind::Veth),
        (Kind::Door, InfoKind::Veth),
        (Kind::Asking, InfoKind::Veth),
        (Kind::Router, InfoKind::Veth),
        (Kind::Bridge, InfoKind::Bridge),
    ];
    for (kind, form) in kinds {
        for (name, link) in &links.0 {
            let ours = Key::of_name(kind, name).is_some() && is_kind(link, form.clone());
            let plugged = links.0.iter().any(|(port, it)| {
                port.starts_with(TAP) && bridge_of(it) == Some(link.header.index)
            });
            if ours && !planned.contains(name) && !plugged {
                info!(interface = name, "an interface is no longer wanted");
                kernel.delete(link, name).await?;
                change = Change::Made;
            }
        }
    }
    Ok(change)
}

/// Ends the services of networks that have none here any more.
async fn services(
    served: &BTreeSet<Key>,
    directory: &Path,
    namespaces: &Path,
    inner: &mut Inner,
) -> Result<Change, Error> {
    let mut change = Change::Nothing;
    // After a restart of the host there are files without namespaces.
    let (places, files) =
        (keys_in(Kind::Namespace, namespaces)?, keys_in(Kind::Namespace, directory)?);
    let present: BTreeSet<Key> = places.union(&files).copied().collect();
    for key in present.difference(served) {
        let name = key.name(Kind::Namespace);
        let (path, own) = (namespaces.join(&name), directory.join(&name));
        if let Some(namespace) = Namespace::find(&path) {
            dnsmasq::end_in(&own, namespace.identity()?).await?;
        }
        inner.servers.remove(key);
        Namespace::remove(&path)?;
        match fs::remove_dir_all(&own) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(crate::Error::File { step: "remove", path: own, source }.into());
            }
            Ok(()) | Err(_) => {}
        }
        change = Change::Made;
    }
    Ok(change)
}

/// The networks that have something of a kind in a directory.
pub(super) fn keys_in(kind: Kind, directory: &Path) -> Result<BTreeSet<Key>, Error> {
    let refused = |source| crate::Error::File { step: "list", path: directory.into(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(source) => return Err(refused(source).into()),
    };
    let mut keys = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(refused)?.file_name();
        keys.extend(name.to_str().and_then(|name| Key::of_name(kind, name)));
    }
    Ok(keys)
}
