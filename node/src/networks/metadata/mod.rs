//! What guests ask at 169.254.169.254: one service for each network that has guests here.
//!
//! ```text
//!   guest ---> 169.254.169.254:80 in the network's namespace ---> who has this address, on this host?
//!                                                                          |
//!                                             the site's rows, at each request anew
//! ```
//!
//! By level, as the networks themselves: at each look at the host every address is listened on that
//! nobody listens on, and whatever listened for a network that is gone, or in a namespace that was
//! made anew, ends. So the service is there again after the node was, and before a guest's
//! processors start. A guest does not wait for it longer than that: one that cannot be had here is
//! told, and tried again.
//!
//! What all guests together can cost is bounded by their number: each has so many connections over
//! all of its networks ([`metadata::Limits`]), and who is not a guest here has none.

mod instance;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use fabric::networks::{At, Identity, Lan, Networks as Fabric, Wanted};
use metadata::{ADDRESS_V4, ADDRESS_V6, Instance, Key, Limits, NotTaken, Server, Serving, Source};
use protocol::ids::HostId;
use protocol::kpi::Kpi;

use crate::desk::Desk;
use crate::lease;
use crate::observe::chain;

/// Where a network's service listens.
type Door = (Identity, SocketAddr);

/// The services of one host.
pub(super) struct Metadata {
    server: Server,
    serving: Mutex<BTreeMap<Door, Serving>>,
}

impl Metadata {
    /// The services of a host on which none is yet.
    ///
    /// The key of the tokens is drawn anew at each start of the node and kept nowhere: a client whose
    /// token is refused asks for another one, as it does when one has run out, and what is not kept
    /// nobody can steal.
    pub(super) fn new() -> Self {
        let server = Server::new(Key::from_secret(&rand::random()), Limits::default());
        Self { server, serving: Mutex::default() }
    }

    /// Serves the networks that have guests here, or soon will, and no others, and forgets what
    /// machines have said of themselves that are here no more. What could not be listened on is said,
    /// and tried again at the next look.
    pub(super) fn converge(
        &self,
        desk: &Desk,
        host: HostId,
        fabric: &dyn Fabric,
        wanted: &Wanted,
    ) -> Vec<String> {
        desk.read(|site| {
            let is_here = |name| site.guest(name).is_some_and(|it| it.lodging.host == host);
            desk.kpis().retain(is_here);
        });
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let doors = || wanted.lans.iter().filter(|lan| is_served(lan)).flat_map(doors);
        serving.retain(|door, _| doors().any(|wanted| wanted == *door));
        let mut faults = Vec::new();
        for (network, address) in doors() {
            match fabric.listen(network, address) {
                Ok(None) => {}
                Ok(Some(listener)) => {
                    let source = Arc::new(Guests { desk: desk.clone(), host, network });
                    match self.server.serve(listener, source) {
                        Ok(service) => drop(serving.insert((network, address), service)),
                        Err(fault) => faults.push(chain(&fault)),
                    }
                }
                Err(fault) => faults.push(chain(&fault)),
            }
        }
        faults
    }

    /// Ends all of them.
    pub(super) fn close(&self) {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Whether a network's services are on this host.
fn is_served(lan: &Lan) -> bool {
    !lan.awaited.is_empty() || lan.members.iter().any(|it| matches!(it.at, At::Here { .. }))
}

fn doors(lan: &Lan) -> impl Iterator<Item = Door> {
    let v4 = lan.v4.map(|_| ADDRESS_V4);
    let v6 = lan.v6.map(|_| ADDRESS_V6);
    let network = lan.identity;
    v4.into_iter().chain(v6).map(move |address| (network, address))
}

/// The guests of one network on one host, as the site knows them.
struct Guests {
    desk: Desk,
    host: HostId,
    network: Identity,
}

#[async_trait]
impl Source for Guests {
    async fn instance(&self, address: IpAddr) -> Option<Arc<Instance>> {
        self.desk.read(|site| instance::at(site, self.host, self.network, address)).map(Arc::new)
    }

    async fn push(&self, instance: &Instance, kpi: Kpi) -> Result<(), NotTaken> {
        self.desk.kpis().keep(instance.machine, kpi, lease::now())
    }
}
