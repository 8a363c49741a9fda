//! Making this node's host what the site's state says, again and again.
//!
//! Each look asks first for a state that is not behind what the site has committed, so that a
//! node that was restarted and replays the past touches nothing, and for a lease (see
//! [`crate::lease`]): without one it begins, changes and ends nothing. Then it compares: every guest
//! that should be here with what the hypervisor has, one step each (see
//! [`protocol::machine::host`]), and tells the site what is new. What it cannot do now, because
//! libvirtd is gone or a peer of the state is silent, it does at a later look.
//!
//! Guests on the host that the state does not know are left alone and named to the operator: they
//! may be what is left of a state that was lost.

mod carrier;
mod guests;
mod host;

use std::sync::Arc;
use std::time::Duration;

use hypervisor::Hypervisor;
use protocol::ids::HostId;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use crate::config;
use crate::desk::Desk;
use crate::networks::Networks;
use crate::observe::chain;

pub use carrier::{Carrier, Missing};
use guests::Guests;
use host::HostWatch;

/// How long the host is left alone if nothing wakes the reconciler: a guest that ends by itself
/// is noticed within it.
const NAP: Duration = Duration::from_secs(1);

/// The shortest time between two looks: what changes in bursts is dealt with in one.
const PACE: Duration = Duration::from_millis(50);

/// What the reconciler works with.
#[derive(Clone)]
pub struct Tools {
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The networks.
    pub networks: Networks,
    /// How machines are carried on this host.
    pub carrier: Carrier,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tools").field("hypervisor", &self.hypervisor).finish_non_exhaustive()
    }
}

/// Reconciles this host until `closing` turns true.
pub async fn run(
    desk: Desk,
    host: HostId,
    limits: config::Host,
    tools: Tools,
    mut closing: watch::Receiver<bool>,
) {
    let mut watcher = HostWatch::new(desk.clone(), host, limits, Arc::clone(&tools.hypervisor));
    let mut guests = Guests::new(desk.clone(), host, tools);
    let mut progress = desk.watch();
    while !*closing.borrow() {
        progress.borrow_and_update();
        let mut moved = false;
        if desk.read(|site| site.profile().is_some()) {
            match desk.current().await {
                Ok(()) => {
                    watcher.look().await;
                    let applied = progress.borrow().applied;
                    moved = guests.look(desk.leases().may_act(applied)).await;
                }
                Err(fault) => debug!(fault = chain(&fault), "the host waits for the site"),
            }
        }
        tokio::time::sleep(PACE).await;
        if moved {
            continue;
        }
        let woken = async {
            tokio::select! {
                _ = progress.changed() => {}
                _ = closing.changed() => {}
            }
        };
        // Not being woken is an answer too.
        let _ = timeout(NAP, woken).await;
    }
}
