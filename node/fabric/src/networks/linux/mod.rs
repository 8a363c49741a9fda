//! The plan made so on Linux: netlink for devices and entries, nft for filters, dnsmasq for DHCP
//! and DNS. Nothing here decides what should be there.

mod announce;
mod door;
mod echo;
mod entries;
mod error;
mod exit;
mod filters;
mod kernel;
mod look;
mod namespace;
mod pair;
mod public;
mod remove;
mod router;
mod routes;
mod segment;
mod services;
mod settings;
mod shape;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rtnetlink::packet_route::tc::TcMessage;
use tokio::sync::Mutex;

use self::entries::Present;
pub use self::error::Error;
use self::kernel::{Kernel, Links};
use self::namespace::Namespace;
use super::Networks;
use super::check::check;
use super::echo::{Depth, Echoes, Target};
use super::names::{Identity, Key, Kind, Tap, mac_bytes};
use super::plan::addresses;
use super::plan::filters::Table;
use super::plan::{Plan, Segment};
use super::state::State;
use super::wanted::{At, Lan, Member, Wanted};
use crate::Change;
use crate::server::dnsmasq;
use crate::server::process::Process;

/// Where the kernel says how bridges show frames to family inet: there if it can.
const SHOWN: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// The networks of this host, in the network namespace that the process started in.
#[derive(Debug)]
pub struct Linux {
    directory: PathBuf,
    namespaces: PathBuf,
    inner: Mutex<Inner>,
}

/// What is kept between two calls; all of it can be found out anew. The lock around it also keeps
/// two calls apart.
#[derive(Debug, Default)]
struct Inner {
    servers: BTreeMap<Key, Option<Process>>,
    filters: Option<filters::Known>,
    translations: BTreeMap<Key, Option<Table>>,
}

impl Linux {
    /// Networks whose servers' files are in `directory`, and whose namespaces are kept in
    /// `namespaces`: absolute paths, known to nobody else.
    #[must_use]
    pub fn new(directory: PathBuf, namespaces: PathBuf) -> Self {
        Self { directory, namespaces, inner: Mutex::default() }
    }

    fn namespace(&self, key: Key) -> PathBuf {
        self.namespaces.join(key.name(Kind::Namespace))
    }

    /// Makes one network as planned. A way to other places that cannot be made keeps nothing from
    /// the guests that are here: its fault is told when all else is done.
    async fn segment(
        &self,
        kernel: &Kernel,
        present: &Listed,
        plan: &Segment,
        inner: &mut Inner,
    ) -> Result<Change, Error> {
        let links = &present.links;
        let (bridge, mut change) = segment::bridge(kernel, links, plan).await?;
        if let Some(services) = &plan.services {
            let (namespace, made) = Namespace::converge(&self.namespace(plan.key))?;
            let (index, joined) =
                services::converge(kernel, links, plan, services, &namespace).await?;
            let directory = self.directory.join(&services.namespace);
            let server = inner.servers.entry(plan.key).or_default();
            let served =
                services::serve(&directory, services, &plan.bridge, &namespace, index, server);
            change = change.and(made).and(joined).and(served.await?);
        }
        let mut fault = None;
        if let Some(exit) = &plan.exit {
            let namespace = self.namespaces.join(&exit.namespace);
            let known = inner.translations.entry(plan.key).or_default();
            match exit::converge(kernel, links, plan.mtu, exit, &namespace, known).await {
                Ok(made) => change = change.and(made),
                Err(error) => fault = Some(error),
            }
        }
        for overlay in [&plan.underlay, &plan.tunnel].into_iter().flatten() {
            match segment::overlay(kernel, links, overlay, plan.mtu).await {
                Ok(made) => change = change.and(made),
                Err(error) => fault = Some(error),
            }
        }
        let fresh;
        let links = match change {
            Change::Nothing => links,
            Change::Made => {
                fresh = kernel.links().await?;
                &fresh
            }
        };
        change = change.and(segment::ports(kernel, links, plan, bridge).await?);
        let entered = entries::converge(kernel, links, &present.entries, plan, bridge).await?;
        let shaped = shape::converge(kernel, links, &present.shapes, plan).await?;
        match fault {
            Some(error) => Err(error),
            None => Ok(change.and(entered).and(shaped)),
        }
    }
}

/// What is listed once for all networks.
struct Listed {
    links: Links,
    entries: Present,
    shapes: Vec<TcMessage>,
}

#[async_trait]
impl Networks for Linux {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        // Without this module the bridges would be told to show their frames, and would not.
        if !wanted.lans.is_empty() && !Path::new(SHOWN).exists() {
            return Err(Error::Unfiltered);
        }
        let plan = Plan::of(wanted, settings::forwarding());
        let mut inner = self.inner.lock().await;
        let kernel = Kernel::here()?;
        // The filters know their interfaces by name, so they stand before the first one does.
        let mut change = filters::converge(&plan.filters, &mut inner.filters).await?;
        // One network's trouble is not another's: the first fault is told at the end.
        let mut fault = None;
        let links = kernel.links().await?;
        for router in &plan.routers {
            let namespace = self.namespaces.join(&router.namespace);
            match router::converge(&kernel, &links, router, &namespace).await {
                Ok(made) => change = change.and(made),
                Err(error) => {
                    fault.get_or_insert(error);
                }
            }
        }
        let entries = Present::of(&kernel).await?;
        let (links, shapes) = (kernel.links().await?, shape::present(&kernel).await?);
        let present = Listed { links, entries, shapes };
        for segment in &plan.lans {
            match self.segment(&kernel, &present, segment, &mut inner).await {
                Ok(made) => change = change.and(made),
                Err(error) => {
                    fault.get_or_insert(error);
                }
            }
        }
        let outside = wanted.outside.as_ref().map(|outside| &outside.interface);
        match door::host(&kernel, outside, &plan).await {
            Ok(made) => change = change.and(made),
            Err(error) => {
                fault.get_or_insert(error);
            }
        }
        let (directory, namespaces) = (&self.directory, &self.namespaces);
        let removed = remove::unwanted(&kernel, &plan, directory, namespaces, &mut inner).await?;
        match fault {
            Some(error) => Err(error),
            None => Ok(change.and(removed)),
        }
    }

    fn listen(&self, network: Identity, address: SocketAddr) -> Result<Option<TcpListener>, Error> {
        let path = self.namespace(Key::of(network));
        let absent = || Error::Namespace {
            step: "find",
            path: path.clone(),
            source: io::Error::from(io::ErrorKind::NotFound),
        };
        let bound = || match TcpListener::bind(address) {
            Ok(listener) => Ok(Some(listener)),
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        };
        Namespace::find(&path).ok_or_else(absent)?.enter(bound)
    }

    async fn announce(&self, wanted: &Wanted, tap: &Tap) -> Result<(), Error> {
        let is_it =
            |member: &&Member| matches!(&member.at, At::Here { tap: own, .. } if own == tap);
        let of = |lan: &Lan| Some((Key::of(lan.identity), lan.members.iter().find(is_it)?.clone()));
        let Some((key, member)) = wanted.lans.iter().find_map(of) else { return Ok(()) };
        announce::announce(&key.name(Kind::Bridge), mac_bytes(member.mac), addresses(&member))
    }

    async fn close(&self) -> Result<(), Error> {
        let mut inner = self.inner.lock().await;
        for key in remove::keys_in(Kind::Namespace, &self.namespaces)? {
            if let Some(namespace) = Namespace::find(&self.namespace(key)) {
                let directory = self.directory.join(key.name(Kind::Namespace));
                dnsmasq::end_in(&directory, namespace.identity()?).await?;
            }
            inner.servers.remove(&key);
        }
        Ok(())
    }

    async fn state(&self, wanted: &Wanted) -> Result<State, Error> {
        look::state(&Kernel::here()?, &self.namespaces, wanted).await
    }

    async fn probe(&self, targets: &[Target], depth: Depth) -> Result<Vec<Echoes>, Error> {
        let targets = targets.to_vec();
        let probed = tokio::task::spawn_blocking(move || echo::probe(&targets, depth)).await;
        probed.map_err(|fault| Error::Probe(fault.into()))?
    }
}
