//! The plan made so on Linux: netlink for devices and entries, nft for filters, dnsmasq for DHCP
//! and DNS. Nothing here decides what should be there.

mod entries;
mod error;
mod filters;
mod kernel;
mod look;
mod namespace;
mod remove;
mod segment;
mod services;
mod shape;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use async_trait::async_trait;
use rtnetlink::packet_route::tc::TcMessage;
use tokio::sync::Mutex;

use self::entries::Present;
pub use self::error::Error;
use self::kernel::Kernel;
use self::namespace::Namespace;
use super::check::check;
use super::names::{Identity, Key, Kind};
use super::plan::{Plan, Segment};
use super::state::State;
use super::{Networks, Wanted};
use crate::Change;
use crate::linux::process::Process;

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
}

impl Linux {
    /// Networks whose servers' files are in `directory`, and whose namespaces are kept in
    /// `namespaces`: absolute paths, known to nobody else.
    #[must_use]
    pub fn new(directory: PathBuf, namespaces: PathBuf) -> Self {
        Self { directory, namespaces, inner: Mutex::default() }
    }

    /// Listens inside a network that has guests here, at one of its services' addresses: who
    /// connects is one of its guests, on this host.
    ///
    /// # Errors
    ///
    /// The network has no guests here, or somebody listens there already.
    pub fn listen(&self, network: Identity, address: SocketAddr) -> Result<TcpListener, Error> {
        let path = self.namespace(Key::of(network));
        let absent = || Error::Namespace {
            step: "find",
            path: path.clone(),
            source: io::Error::from(io::ErrorKind::NotFound),
        };
        Namespace::find(&path).ok_or_else(absent)?.enter(|| TcpListener::bind(address))
    }

    fn namespace(&self, key: Key) -> PathBuf {
        self.namespaces.join(key.name(Kind::Namespace))
    }

    /// Makes one network as planned.
    async fn segment(
        &self,
        kernel: &Kernel,
        present: &Listed,
        plan: &Segment,
        inner: &mut Inner,
    ) -> Result<Change, Error> {
        let links = kernel.links().await?;
        let (bridge, mut change) = segment::bridge(kernel, &links, plan).await?;
        if let Some(services) = &plan.services {
            let (namespace, made) = Namespace::converge(&self.namespace(plan.key))?;
            let (index, joined) =
                services::converge(kernel, &links, plan, services, &namespace).await?;
            let directory = self.directory.join(plan.key.to_string());
            let server = inner.servers.entry(plan.key).or_default();
            let served =
                services::serve(&directory, services, &plan.bridge, &namespace, index, server);
            change = change.and(made).and(joined).and(served.await?);
        }
        for overlay in [&plan.underlay, &plan.tunnel].into_iter().flatten() {
            change = change.and(segment::overlay(kernel, &links, overlay, plan.mtu).await?);
        }
        let links = kernel.links().await?;
        for name in plan.ports.values().collect::<std::collections::BTreeSet<_>>() {
            if let Some(link) = links.get(name) {
                let leads_away =
                    !plan.taps.keys().any(|tap| tap.as_str() == name) && !plan.is_services(name);
                let port = segment::port(kernel, link, name, bridge, leads_away).await?;
                let raised = !plan.taps.keys().any(|tap| tap.as_str() == name)
                    && kernel.raise(link, name).await?;
                change = change.and(port);
                if raised {
                    change = Change::Made;
                }
            }
        }
        let entered = entries::converge(kernel, &links, &present.entries, plan, bridge).await?;
        let shaped = shape::converge(kernel, &links, &present.shapes, plan).await?;
        Ok(change.and(entered).and(shaped))
    }
}

/// What is listed once for all networks.
struct Listed {
    entries: Present,
    shapes: Vec<TcMessage>,
}

#[async_trait]
impl Networks for Linux {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let plan = Plan::of(wanted);
        let mut inner = self.inner.lock().await;
        let kernel = Kernel::here()?;
        // The filters know their interfaces by name, so they stand before the first one does.
        let mut change = filters::converge(&plan.filters, &mut inner.filters).await?;
        let entries = Present::of(&kernel).await?;
        let present = Listed { entries, shapes: shape::present(&kernel).await? };
        // One network's trouble is not another's: the first fault is told at the end.
        let mut fault = None;
        for segment in &plan.lans {
            match self.segment(&kernel, &present, segment, &mut inner).await {
                Ok(made) => change = change.and(made),
                Err(error) => {
                    fault.get_or_insert(error);
                }
            }
        }
        let (directory, namespaces) = (&self.directory, &self.namespaces);
        let removed = remove::unwanted(&kernel, &plan, directory, namespaces, &mut inner).await?;
        match fault {
            Some(error) => Err(error),
            None => Ok(change.and(removed)),
        }
    }

    async fn state(&self, wanted: &Wanted) -> Result<State, Error> {
        look::state(&Kernel::here()?, wanted).await
    }
}
