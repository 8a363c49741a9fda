//! Whether the networks are there, looked at steadily: the class that is promised of a network is of
//! a month, and somebody has to have looked.
//!
//! The gateway asks the other sites' gateways for an echo in each interval, one for each gateway and
//! not for each network, and keeps the counts in mind. What is lost with it is a minute of counts,
//! and time in which nobody looked is told from the counts themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fabric::networks::{Depth, Target};
use protocol::ids::{NetworkId, SiteId};
use protocol::networks::gateway::TunnelKey;
use protocol::site::command::Counted;
use protocol::site::{Command, Site};
use protocol::sla::measure::{INTERVAL, TALLY_MAX, Tally};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::TUNNEL_MTU;
use crate::desk::Desk;
use crate::observe::{chain, now};

/// How many intervals are told at once: a command a minute is little beside what a site decides.
const TOLD: u32 = 12;

/// The most networks in one command: some 100 bytes each, a tenth of what fits into the log.
const COUNTS_MAX: usize = 1_000;

/// A network, by its home.
type Key = (SiteId, NetworkId);

/// What was counted of each network, and not told yet.
type Counts = BTreeMap<Key, Tally>;

/// Looks at the networks as long as the node runs and is the gateway.
pub(crate) async fn run(desk: Desk, mut closing: watch::Receiver<bool>) {
    let mut ticks = interval(Duration::from_millis(INTERVAL.as_millis()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut counts = Counts::new();
    loop {
        tokio::select! {
            _ = closing.changed() => return,
            _ = ticks.tick() => {}
        }
        if let Some(networks) = desk.read(|site| looked_at(site, &desk)) {
            look(&desk, networks, &mut counts).await;
        } else {
            // Another gateway counts now.
            counts.clear();
        }
        if counts.values().any(|tally| tally.seen >= TOLD) {
            tell(&desk, &mut counts).await;
        }
    }
}

/// The networks, each with the gateways that have to answer; none for one that cannot be there.
type Networks = BTreeMap<Key, Option<BTreeSet<TunnelKey>>>;

/// What this node looks at: nothing, if it is not the gateway.
fn looked_at(site: &Site, desk: &Desk) -> Option<Networks> {
    site.node(desk.node()).filter(|row| row.is_gateway)?;
    Some(site.lans().map(|(key, _)| (*key, site.gateways_on(key.0, key.1))).collect())
}

async fn look(desk: &Desk, networks: Networks, counts: &mut Counts) {
    let asked: BTreeSet<TunnelKey> = networks.values().flatten().flatten().copied().collect();
    let target = |key: &TunnelKey| Target { address: key.address().into(), needed: TUNNEL_MTU };
    let targets: Vec<Target> = asked.iter().map(target).collect();
    let echoes = match desk.networks().fabric.probe(&targets, Depth::Glance).await {
        Ok(echoes) => echoes,
        Err(fault) => {
            // Whoever cannot look has not looked.
            debug!(fault = chain(&fault), "the networks could not be looked at");
            return;
        }
    };
    let answered = asked.into_iter().zip(echoes).filter(|(_, echoes)| echoes.answered > 0);
    let answered: BTreeSet<TunnelKey> = answered.map(|(key, _)| key).collect();
    counts.retain(|key, tally| networks.contains_key(key) && tally.seen < TALLY_MAX);
    for (key, needed) in networks {
        let is_there = needed.is_some_and(|needed| needed.is_subset(&answered));
        counts.entry(key).or_default().note(is_there);
    }
}

/// Tells the site what was counted. What it does not take up was counted by another as well.
async fn tell(desk: &Desk, counts: &mut Counts) {
    let told: Vec<Counted> = desk.read(|site| {
        let known = |(home, network): Key| {
            let row = site.measured(home, network).map(|row| row.at(now()));
            row.map_or(0, |row| row.tally.seen)
        };
        let counted = counts.iter().map(|(key, tally)| {
            let (home, network) = *key;
            Counted { home, network, after: known(*key), tally: *tally }
        });
        counted.collect()
    });
    for counts in told.chunks(COUNTS_MAX) {
        if let Err(fault) = desk.propose(Command::Measured { counts: counts.to_vec() }).await {
            debug!(fault = chain(&fault), "what was measured could not be told");
            return;
        }
    }
    counts.clear();
}
