//! The leader's side: grants leases to hosts and to providers, and declares them ended.

use std::time::Duration;

use protocol::ids::{HostId, SiteId};
use protocol::lease::grantor::Question;
use protocol::lease::{Grantor, Session};
use protocol::manifest::OnPartition;
use protocol::site::{Command, Site};
use protocol::time::Span;
use protocol::wire::v1::lease::{
    HostRenewal, Leased, Refusal, RenewHost, RenewSession, SessionRenewal, Term,
};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::sessions::Sessions;
use super::{Leases, now};
use crate::desk::{Desk, stamped};
use crate::observe::chain;

/// How often a leader looks whether a lease has ended or is wanted.
const LOOK: Duration = Duration::from_millis(250);

/// What a leader grants and holds in one term.
pub(super) struct Leading {
    pub(super) term: u64,
    hosts: Grantor<HostId>,
    providers: Grantor<SiteId>,
    /// What homes let run here.
    pub(super) sessions: Session,
}

impl Leading {
    fn new(term: u64, leases: &Leases) -> Self {
        let (timing, now) = (leases.timing(), now());
        Self {
            term,
            hosts: Grantor::new(timing, term, now),
            providers: Grantor::new(timing, term, now),
            sessions: Session::default(),
        }
    }
}

/// Leads, whenever this node does, until `closing` turns true.
pub(crate) async fn run(desk: Desk, leases: Leases, mut closing: watch::Receiver<bool>) {
    let mut sessions = Sessions::new(desk.clone(), leases.clone());
    while !*closing.borrow() {
        if follow(&desk, &leases) && desk.read(|site| site.profile().is_some()) {
            // One at a time, and awaited: what a term has decided is committed or refused before
            // the next term of this node begins to count.
            for (term, command) in ended(&desk, &leases) {
                declare(&desk, term, command).await;
            }
            sessions.look();
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = sessions.one_ended() => {}
            _ = closing.changed() => {}
        }
    }
    sessions.close().await;
}

/// Begins to count anew in each term that this node leads, and says whether it leads.
fn follow(desk: &Desk, leases: &Leases) -> bool {
    let progress = *desk.watch().borrow();
    let mut leading = leases.leading();
    if !progress.is_leader {
        *leading = None;
        return false;
    }
    if leading.as_ref().is_none_or(|leading| leading.term != progress.term) {
        *leading = Some(Leading::new(progress.term, leases));
    }
    true
}

/// The leases that nobody can hold any more, each with the term in which that was found.
fn ended(desk: &Desk, leases: &Leases) -> Vec<(u64, Command)> {
    let me = desk.node();
    let (hosts, providers) = desk.read(|site| {
        // This node's own host is where this node is: it is as alive as this.
        let others = site.hosts().filter(|(_, row)| row.ended.is_none() && row.node != me);
        (others.map(|(host, _)| *host).collect::<Vec<_>>(), site.providers())
    });
    let now = now();
    let mut leading = leases.leading();
    let Some(leading) = leading.as_mut() else { return Vec::new() };
    let mut commands = Vec::new();
    leading.hosts.retain(|host| hosts.contains(&host));
    for host in hosts {
        leading.hosts.expect(host, now);
        if leading.hosts.end(host, now) {
            commands.push((leading.term, Command::HostEnded { host }));
        }
    }
    leading.providers.retain(|peer| providers.contains(&peer));
    for peer in providers {
        leading.providers.expect(peer, now);
        if leading.providers.end(peer, now) {
            commands.push((leading.term, Command::PeerEnded { peer }));
        }
    }
    commands
}

/// Proposes an end, here and nowhere else, for the term in which this node has waited: in another
/// one somebody may have granted the lease again. One that was not committed is proposed again at
/// the next look, by whoever leads then and has waited.
async fn declare(desk: &Desk, term: u64, command: Command) {
    match &command {
        Command::HostEnded { host } => warn!(%host, "the lease of a host has ended"),
        Command::PeerEnded { peer } => warn!(%peer, "the session with a provider has ended"),
        _ => {}
    }
    if let Err(fault) = desk.replica().propose_in(term, &stamped(command)).await {
        debug!(fault = chain(&fault), "the end of a lease has to wait");
    }
}

/// The question as it arrives at a leader; none if this node does not lead.
fn question<S: Ord + Copy>(
    leases: &Leases,
    of: impl Fn(&Leading) -> &Grantor<S>,
) -> Option<Question> {
    leases.leading().as_ref().map(|leading| of(leading).question())
}

/// Answers a host.
pub(crate) async fn renew_host(desk: &Desk, leases: &Leases, asked: RenewHost) -> HostRenewal {
    let refused = HostRenewal::Refused;
    if asked.fence.is_none() {
        return refused(Refusal::NoFence);
    }
    let Some(question) = question(leases, |leading| &leading.hosts) else {
        return refused(Refusal::Later);
    };
    let Ok(applied) = desk.replica().barrier().await else { return refused(Refusal::Later) };
    let host = asked.host;
    let found = desk.read(|site| {
        let ended = site.hosts().find(|(id, _)| **id == host).map(|(_, row)| row.ended.is_some());
        (ended, is_alone(site), site.leased_on(host))
    });
    let (Some(ended), alone, guests) = found else { return refused(Refusal::UnknownHost) };
    if ended {
        info!(%host, "a host whose lease had ended is back");
        return_to(desk, Command::HostBack { host }).await;
        return refused(Refusal::Ending);
    }
    let now = now();
    let mut leading = leases.leading();
    let Some(leading) = leading.as_mut() else { return refused(Refusal::Later) };
    let Ok(duration) = leading.hosts.answer(question, host, now) else {
        return refused(Refusal::Ending);
    };
    let guests = guests.into_iter().filter_map(|(name, epoch, on_partition)| {
        let term = if on_partition == OnPartition::Hold {
            Term::Endless
        } else if name.home != desk.site() {
            // Of a site with more nodes the host's own lease counts as well.
            let remaining = leading.sessions.remaining(name, epoch.home, now)?;
            Term::For(if alone { remaining } else { remaining.min(duration) })
        } else if alone {
            Term::Endless
        } else {
            Term::For(duration)
        };
        Some(Leased { name, epoch, term })
    });
    HostRenewal::Granted { applied, duration, guests: guests.collect() }
}

/// Whether nobody but this node could place anything elsewhere: the site is this node.
fn is_alone(site: &Site) -> bool {
    site.nodes().count() <= 1
}

/// Answers a provider.
pub(crate) async fn renew_session(
    desk: &Desk,
    leases: &Leases,
    provider: SiteId,
    asked: &RenewSession,
) -> SessionRenewal {
    let Some(question) = question(leases, |leading| &leading.providers) else {
        return SessionRenewal::Later;
    };
    if desk.replica().barrier().await.is_err() {
        return SessionRenewal::Later;
    }
    let (ended, machines) = desk.read(|site| {
        let ended = site.peer(provider).is_some_and(|peer| peer.ended.is_some());
        (ended, site.renewable(provider, &asked.machines))
    });
    if ended {
        info!(peer = %provider, "a provider whose session had ended is back");
        return_to(desk, Command::PeerBack { peer: provider }).await;
        return SessionRenewal::Later;
    }
    if machines.is_empty() {
        return SessionRenewal::Renewed { duration: Span::default(), machines };
    }
    let mut leading = leases.leading();
    let Some(leading) = leading.as_mut() else { return SessionRenewal::Later };
    match leading.providers.answer(question, provider, now()) {
        Ok(duration) => SessionRenewal::Renewed { duration, machines },
        Err(refusal) => {
            debug!(peer = %provider, %refusal, "a session is not renewed");
            SessionRenewal::Later
        }
    }
}

async fn return_to(desk: &Desk, command: Command) {
    if let Err(fault) = desk.propose(command).await {
        debug!(fault = chain(&fault), "a return has to wait");
    }
}
