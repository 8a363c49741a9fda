//! The networks of this host, made as the site's state says: the tunnel to other sites, and the
//! LANs that guests here are on or that pass through here.
//!
//! [`plan`] says what should be there, purely, from the state; the neighbours make it so. It is
//! said again and again, at every look at the host, so that nobody who moves a machine has to
//! think of networks.

mod arrivals;
mod look;
pub(crate) mod measure;
mod metadata;
mod plan;
mod security;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fabric::networks::{Networks as Fabric, Tap, Wanted};
use protocol::epoch::Epoch;
use protocol::hull::Hull;
use protocol::ids::{HostId, MachineName};
use protocol::networks::gateway::{Gateway, TUNNEL_PREFIX, TunnelKey, Uplink};
use tracing::{debug, info, warn};
use tunnel::{InterfaceName, PrivateKey, Tunnel};

use crate::config;
use crate::daemon::Parts;
use crate::desk::Desk;
use crate::observe::chain;

use self::arrivals::{Arrivals, Known};
use self::metadata::Metadata;
pub use arrivals::{ARRIVALS_MAX, Followed, NotFollowed};
pub use plan::{TUNNEL_DEVICE, plugs};

/// The longest packet inside the tunnel: what is left of the 1,500 bytes that the Internet carries
/// when `WireGuard`'s own packets are IPv6. VXLAN takes 70 more, see [`protocol::networks::MTU`].
const TUNNEL_MTU: u16 = 1_420;

/// The networks of one host.
#[derive(Clone)]
pub struct Networks {
    fabric: Arc<dyn Fabric>,
    tunnel: Arc<dyn Tunnel>,
    key: PrivateKey,
    config: config::Network,
    /// What was made at the last look, and what was wrong: it is told when it changes.
    last: Arc<Mutex<(Wanted, String)>>,
    /// The machines that are on their way here.
    arrivals: Arc<Mutex<Arrivals>>,
    /// What answers guests about themselves.
    metadata: Arc<Metadata>,
    /// Held from the look at the state until it is done, so that no older look comes after a newer.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The networks of one host, as they are. Each part may be out of sight by itself.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What carries the networks.
    pub(crate) lans: Result<fabric::networks::State, fabric::networks::Error>,
    /// The tunnel to other sites; none before it was made.
    pub(crate) tunnel: Result<Option<tunnel::State>, tunnel::Error>,
}

impl std::fmt::Debug for Networks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Networks").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Networks {
    /// The networks of a host whose key in the tunnel is `key`.
    #[must_use]
    pub fn new(parts: &Parts, key: PrivateKey, config: &config::Network) -> Self {
        let (fabric, tunnel) = (Arc::clone(&parts.fabric), Arc::clone(&parts.tunnel));
        let config = config.clone();
        let (last, arrivals, turn) = (Arc::default(), Arc::default(), Arc::default());
        let metadata = Arc::new(Metadata::new());
        Self { fabric, tunnel, key, config, last, arrivals, metadata, turn }
    }

    /// Makes the host's networks as the state says. Says whether guests may start: whether what
    /// filters their frames stands. That the way to others cannot be made keeps none of them from it.
    pub(crate) async fn converge(&self, desk: &Desk, host: HostId) -> bool {
        let node = desk.node();
        let _turn = self.turn.lock().await;
        let tunnelled = match desk.read(|site| plan::peers(site, node)) {
            Some(peers) => self.tunnel.converge(&self.tunnel_wanted(peers)).await.err(),
            None => None,
        };
        let plan::Plan { wanted, refused } = desk.read(|site| {
            let arrivals = {
                let mut arrivals = self.arrivals();
                arrivals.settle(|name| Known::of(site, name, host));
                arrivals.clone()
            };
            plan::of(site, (host, node), &self.config, &arrivals)
        });
        let made = self.fabric.converge(&wanted).await.err();
        let ready = made.as_ref().is_none_or(|fault| !fault.leaves_nothing());
        let mut faults: Vec<String> = refused.iter().map(|it| chain(it)).collect();
        faults.extend(tunnelled.map(|fault| chain(&fault)));
        faults.extend(made.map(|fault| chain(&fault)));
        faults.extend(self.metadata.converge(desk, host, self.fabric.as_ref(), &wanted));
        self.tell(wanted, faults.join("; "));
        ready
    }

    /// Has the networks of a machine follow it to this host, where it is to run in `epoch`: when this
    /// has answered, they stand here as far as its own move is. It may be asked as often as wanted.
    ///
    /// # Errors
    ///
    /// If a later epoch is known, or they cannot be made here: then it must not run here.
    pub async fn follow(
        &self,
        desk: &Desk,
        host: HostId,
        name: MachineName,
        epoch: Epoch,
    ) -> Result<Followed, NotFollowed> {
        let known = desk.read(|site| Known::of(site, name, host));
        let followed = self.arrivals().follow(name, epoch, known)?;
        if self.converge(desk, host).await {
            Ok(followed)
        } else {
            Err(NotFollowed::Unfiltered { name })
        }
    }

    /// A move of a machine to this host in `epoch` has been given up.
    pub fn unfollow(&self, name: MachineName, epoch: Epoch) {
        self.arrivals().give_up(name, epoch);
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what answers the guests; all else stays, so that they keep their connections.
    pub(crate) async fn close(&self) {
        self.metadata.close();
        if let Err(fault) = self.fabric.close().await {
            warn!(fault = chain(&fault), "what serves the networks did not end well");
        }
    }

    /// What is there of what was last wanted on this host, and of its tunnel.
    pub(crate) async fn seen(&self) -> Seen {
        let wanted = self.last.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let (lans, tunnel) = tokio::join!(self.fabric.state(&wanted), self.tunnel.state());
        Seen { lans, tunnel }
    }

    fn tunnel_wanted(&self, peers: Vec<tunnel::Peer>) -> tunnel::Wanted {
        let public = TunnelKey::from_bytes(*self.key.public().as_bytes());
        let name: InterfaceName = TUNNEL_DEVICE.parse().expect("it is a name of an interface");
        tunnel::Wanted {
            name,
            private_key: self.key.clone(),
            listen_port: self.config.tunnel_port,
            address: IpAddr::V6(public.address()),
            prefix: TUNNEL_PREFIX.1,
            mtu: TUNNEL_MTU,
            peers,
        }
    }

    /// Says on this host where a machine's cards are that began to run here this instant, so that
    /// who has talked to them elsewhere goes on here at once. Twice is as good as once.
    pub(crate) async fn announce(&self, name: MachineName, hull: &Hull) {
        let wanted = self.last.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        for (card, _) in (0..).zip(&hull.cards) {
            if let Err(fault) = self.fabric.announce(&wanted, &Tap::of(name, card)).await {
                // The forwarding entries lead to it all the same.
                debug!(machine = %name, fault = chain(&fault), "a card was not announced");
            }
        }
    }

    fn tell(&self, wanted: Wanted, fault: String) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.0 = wanted;
        let known = &mut last.1;
        if *known == fault {
            return;
        }
        if fault.is_empty() {
            info!("the host's networks are as they should be");
        } else {
            warn!(fault, "the host's networks are not as they should be");
        }
        *known = fault;
    }
}

/// How this node takes part in networks: where its addresses are not told, they are those that the
/// bus listens on. None if these mean something to this machine alone.
pub(crate) fn uplink(
    config: &config::Config,
    key: &PrivateKey,
    listening: &[String],
) -> Option<Uplink> {
    let first = |addresses: &[String]| {
        addresses.iter().find_map(|it| {
            let text = it.split('/').nth(2)?;
            text.parse::<IpAddr>().ok().filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
        })
    };
    let underlay = config.network.underlay.or_else(|| first(listening))?;
    let outside = first(&config.bus.external).or(Some(underlay));
    let outside = outside.filter(|_| !config.network.behind_nat);
    let endpoint = config
        .network
        .external
        .or_else(|| outside.map(|ip| SocketAddr::new(ip, config.network.tunnel_port)));
    let key = TunnelKey::from_bytes(*key.public().as_bytes());
    Some(Uplink { underlay, gateway: Gateway { key, endpoint } })
}
