//! The host's side: asks its site's leader for a lease, again and again.

use std::time::Duration;

use protocol::lease::Pending;
use protocol::wire::v1::lease::{HostRenewal, Refusal, RenewHost};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Leases, now};
use crate::desk::Desk;

/// How often this task looks whether it has something to do.
const LOOK: Duration = Duration::from_millis(200);

/// How long a guest that waits for its lease waits at least: others may begin to wait meanwhile.
const HUNGRY: Duration = Duration::from_millis(50);

/// Asks for the host's lease until `closing` turns true.
pub(crate) async fn run(desk: Desk, leases: Leases, mut closing: watch::Receiver<bool>) {
    let mut asked = None;
    let mut refused: Option<Refusal> = None;
    let mut hungry = true;
    let mut nodes = 0;
    while !*closing.borrow() {
        leases.held().1.keep();
        let again = leases.timing().again();
        // With a second node, what ran without an end gets one: before it can be outvoted.
        let met = std::mem::replace(&mut nodes, desk.read(|site| site.nodes().count()));
        let due = met != nodes || asked.is_none_or(|at| now() >= at + again);
        if due || hungry || refused.is_some() {
            let pending = Pending::sent(now());
            asked = Some(now());
            let answer = ask(&desk, &leases).await;
            let news = take(&leases, pending, answer);
            if news != refused {
                tell(news);
            }
            refused = news;
        }
        hungry = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = leases.inner.hungry.notified() => {
                tokio::time::sleep(HUNGRY).await;
                true
            }
            _ = closing.changed() => false,
        };
    }
}

/// Asks whoever leads.
async fn ask(desk: &Desk, leases: &Leases) -> HostRenewal {
    let fence = leases.held().1.life();
    let question = RenewHost { host: leases.host(), fence };
    desk.renew_host(question).await
}

/// Takes note of an answer; says why it gives nothing.
fn take(leases: &Leases, pending: Pending, answer: HostRenewal) -> Option<Refusal> {
    match answer {
        HostRenewal::Granted { applied, duration, guests } => {
            let counts = leases.granted(pending, applied, duration, &guests);
            (!counts).then_some(Refusal::Later)
        }
        HostRenewal::Refused(refusal) => Some(refusal),
    }
}

fn tell(refused: Option<Refusal>) {
    match refused {
        None => info!("the host has a lease"),
        Some(refusal) => warn!(%refusal, "the host gets no lease, and begins nothing"),
    }
}
