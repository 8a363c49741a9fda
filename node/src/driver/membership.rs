//! Raft's members, made to follow the site's table of nodes: one step at a time, by whoever leads.
//!
//! What the next step is `protocol` decides; here it is taken. A step waits for entries of the log
//! to be committed, so it is taken beside everything else.
//!
//! The only voter gives nobody a vote while a guest on its host has no end: see `protocol::lease`.

use protocol::ids::NodeId;
use protocol::membership::Step;
use protocol::site::Command;
use tokio::task::JoinSet;
use tracing::{debug, info};

use crate::desk::{Desk, Error};
use crate::observe::chain;

/// The step under way, if there is one.
pub(super) struct Membership {
    desk: Desk,
    step: JoinSet<()>,
    /// Whether a vote waits for the guests on this host to get an end.
    waits: bool,
}

impl Membership {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, step: JoinSet::new(), waits: false }
    }

    /// Begins the next step, if there is one and none is under way.
    pub(super) async fn look(&mut self) {
        while self.step.try_join_next().is_some() {}
        if !self.step.is_empty() {
            return;
        }
        let members = self.desk.raft_members().await;
        let leader = self.desk.node();
        let Some(step) = self.desk.read(|site| site.membership_step(&members, leader)) else {
            return;
        };
        let shares = matches!(step, Step::Promote(_)) && members.voters.len() == 1;
        let waits = shares && !self.desk.read(|site| self.desk.leases().bound(site));
        if waits && !self.waits {
            info!("nobody gets a vote while a guest on this host may run without an end");
        }
        self.waits = waits;
        if waits {
            return;
        }
        let desk = self.desk.clone();
        self.step.spawn(async move {
            info!(?step, "a step for the members of the site");
            if let Err(fault) = take(&desk, step).await {
                // It is due again at the next look.
                debug!(fault = chain(&fault), "a step for the members has to wait");
            }
        });
    }

    /// Ends what is under way; whoever leads next goes on.
    pub(super) async fn close(&mut self) {
        self.step.shutdown().await;
    }
}

async fn take(desk: &Desk, step: Step) -> Result<(), Error> {
    match step {
        Step::Add(node) => desk.replica().add_learner(node).await,
        Step::Promote(nodes) => desk.replica().promote(nodes).await,
        Step::Remove(node) if node == desk.node() => retire(desk, node).await,
        Step::Remove(node) => desk.replica().remove(node).await,
        Step::Strike(node) => desk.propose(Command::Left { node }).await.map(drop),
    }
}

/// A leader that is to go hands over first, so that the others need not miss it: it takes itself
/// out only if nobody takes over.
async fn retire(desk: &Desk, node: NodeId) -> Result<(), Error> {
    let heirs = desk.replica().members().voters.into_iter().filter(|voter| *voter != node);
    for heir in heirs {
        if desk.hand_over_here(heir).await.is_ok() {
            return Ok(());
        }
    }
    desk.replica().remove(node).await
}
