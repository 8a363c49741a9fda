//! The site's own next steps, taken by the node that leads it.
//!
//! The driver looks at the state whenever that changes, or a deadline passes, and does what is
//! due: configuration is taken over, Raft's members follow the table of nodes, machines without a
//! place are sought at peers, passed deadlines enter the log, adverts are said, and what is owed
//! to peers is delivered. It keeps nothing between two looks but when it last tried what failed.

mod adverts;
mod gateway;
mod membership;
mod outbox;

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::agreement::choice::Asked;
use protocol::ids::{Mint, SiteId};
use protocol::market::book::Candidate;
use protocol::market::draw;
use protocol::site::command::{Configure, PeerEntry};
use protocol::site::{Command, Outcome, Seeking, Site};
use protocol::time::Span;
use protocol::units::{Size, Tariff};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, error};

use crate::desk::Desk;
use crate::observe::{chain, now};

use adverts::Adverts;
use gateway::Gateway;
use membership::Membership;
use outbox::Outbox;

/// How long the driver sleeps if nothing wakes it: short enough for refreshes and retries.
const NAP: Duration = Duration::from_millis(500);

/// How often it looks for what can be forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// The most machines for which peers are asked in one look; the next look follows at once.
const SEEKING_MAX: usize = 64;

/// Drives the site until `closing` turns true.
pub async fn run(desk: Desk, configure: Configure, mut closing: watch::Receiver<bool>) {
    let mut driver = Driver {
        outbox: Outbox::new(desk.clone()),
        adverts: Adverts::new(desk.clone()),
        membership: Membership::new(desk.clone()),
        gateway: Gateway::new(desk.clone()),
        configure,
        tidied: Instant::now(),
        desk,
    };
    let mut progress = driver.desk.watch();
    while !*closing.borrow() {
        progress.borrow_and_update();
        if driver.speaks_for_configuration() && driver.configuration_differs() {
            driver.propose(Command::Configure(driver.configure.clone())).await;
        }
        if progress.borrow().is_leader {
            driver.look().await;
        }
        let woken = async {
            tokio::select! {
                _ = progress.changed() => {}
                _ = closing.changed() => {}
                () = driver.outbox.one_ended() => {}
            }
        };
        // Not being woken is an answer too.
        let _ = timeout(NAP, woken).await;
    }
    driver.membership.close().await;
    driver.outbox.close().await;
}

struct Driver {
    desk: Desk,
    configure: Configure,
    outbox: Outbox,
    adverts: Adverts,
    membership: Membership,
    gateway: Gateway,
    tidied: Instant,
}

impl Driver {
    async fn look(&mut self) {
        if self.desk.read(|site| site.profile().is_none()) {
            return;
        }
        self.membership.look().await;
        self.gateway.look().await;
        let seeking = self.desk.read(Site::seeking);
        if !seeking.is_empty() {
            let round_trips = self.round_trips().await;
            for seeking in seeking.into_iter().take(SEEKING_MAX) {
                self.seek(seeking, &round_trips).await;
            }
        }
        let now = now();
        let passed = self.desk.read(|site| site.next_deadline().is_some_and(|at| at <= now));
        if passed || self.is_untidy() {
            self.propose(Command::Tick).await;
        }
        self.adverts.look().await;
        self.outbox.look();
    }

    fn is_untidy(&mut self) -> bool {
        if self.tidied.elapsed() < TIDY {
            return false;
        }
        self.tidied = Instant::now();
        self.desk.read(|site| site.is_untidy(now()))
    }

    /// Whether this node's configuration is the site's: that of the oldest node is, whoever leads.
    /// Were it each leader's own, the site would change its mind with its leader.
    fn speaks_for_configuration(&self) -> bool {
        let oldest = self.desk.read(|site| site.nodes().map(|(id, _)| id).next());
        oldest == Some(self.desk.node())
    }

    fn configuration_differs(&self) -> bool {
        let wanted = &self.configure;
        self.desk.read(|site| {
            let Some(profile) = site.profile() else { return true };
            let unknown = |seed: &PeerEntry| site.peer(seed.site).is_none();
            profile.name != wanted.name
                || profile.tariff != wanted.tariff
                || wanted.peers.iter().any(unknown)
        })
    }

    /// The round trip to each peer that is connected.
    async fn round_trips(&self) -> BTreeMap<SiteId, Span> {
        let peers = self.desk.peers().peers().await;
        let measured = peers.into_iter().filter_map(|peer| {
            let millis = u64::try_from(peer.rtt?.as_millis()).unwrap_or(u64::MAX);
            Some((peer.site?, Span::from_millis(millis)))
        });
        measured.collect()
    }

    /// Draws whom to ask for a machine. Peers that are not in the book are asked with the last:
    /// that nothing is known of their room does not mean that they have none.
    async fn seek(&self, seeking: Seeking, round_trips: &BTreeMap<SiteId, Span>) {
        let heard = self.desk.candidates();
        let candidates: Vec<Candidate> = seeking
            .peers
            .iter()
            .map(|site| candidate(*site, &heard, self.configure.tariff))
            .collect();
        let mut mint = Mint::new(now(), rand::random());
        let wanted = (seeking.size, seeking.class);
        let drawn = draw::draw(&candidates, wanted, seeking.first_round, &mut mint);
        let asked = |site: SiteId| Asked { site, round_trip: round_trips.get(&site).copied() };
        let sites = drawn.sites.into_iter().map(asked).collect();
        let machine = seeking.machine;
        self.propose(Command::Seek { machine, sites, last: drawn.last }).await;
    }

    async fn propose(&self, command: Command) {
        match self.desk.propose(command).await {
            Ok(Outcome::Refused(refusal)) => {
                error!(%refusal, "the site refuses its own driver");
            }
            Ok(_) => {}
            // It is due again at the next look.
            Err(fault) => debug!(fault = chain(&fault), "a step has to wait"),
        }
    }
}

fn candidate(site: SiteId, heard: &[Candidate], tariff: Tariff) -> Candidate {
    let known = heard.iter().find(|candidate| candidate.site == site);
    let unheard = Candidate { site, free: Size::default(), largest: Size::default(), tariff };
    known.copied().unwrap_or(unheard)
}

/// How long what is said to one peer may be taken up: the order of the stream already keeps what
/// is old from being said again, and a peer that was away for months must still hear it.
const STATEMENT_LIFETIME: Span = Span::from_secs(365 * 86_400);
