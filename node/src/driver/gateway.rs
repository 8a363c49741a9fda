//! The site's gateway: another node is named when the present one has not been reached for a while.

use std::time::Duration;

use protocol::ids::NodeId;
use protocol::site::Command;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::desk::Desk;
use crate::observe::chain;

/// How long the gateway may be silent: Raft's heartbeats come several times a second, and a change
/// of the gateway costs packets.
const SILENCE: Duration = Duration::from_secs(1);

/// What the leader keeps in mind of the gateway.
pub(super) struct Gateway {
    desk: Desk,
    /// Whom it would name, and since when.
    next: Option<(NodeId, Instant)>,
}

impl Gateway {
    pub(super) const fn new(desk: Desk) -> Self {
        Self { desk, next: None }
    }

    /// Names another gateway if the present one is silent, or if there is none.
    pub(super) async fn look(&mut self) {
        let reached = self.desk.raft_members().await.reached;
        let (next, has_one) =
            self.desk.read(|site| (site.gateway_step(&reached), site.gateway().is_some()));
        let Some(node) = next else {
            self.next = None;
            return;
        };
        let now = Instant::now();
        let since = match self.next {
            Some((known, since)) if known == node => since,
            Some(_) | None => now,
        };
        self.next = Some((node, since));
        if has_one && now.duration_since(since) < SILENCE {
            return;
        }
        info!(%node, "another node becomes the gateway to other sites");
        if let Err(fault) = self.desk.propose(Command::Gateway { node }).await {
            // It is due again at the next look.
            debug!(fault = chain(&fault), "the gateway could not be named");
        }
    }
}
