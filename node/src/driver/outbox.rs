//! Delivering what is owed to peers: one delivery at a time to each, from the oldest message on,
//! until the peer has acknowledged it.

use std::collections::BTreeMap;
use std::time::Duration;

use federation::{Channel, ask};
use protocol::codec;
use protocol::identity::Statement;
use protocol::ids::SiteId;
use protocol::site::{Command, Dispatch};
use protocol::wire::v1::{Delivery, RECEIPT_BYTES_MAX, Receipt};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::STATEMENT_LIFETIME;
use crate::desk::Desk;
use crate::observe::chain;

/// The pause after a first failed delivery, and the longest after many. A peer that comes back
/// is noticed within the latter.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// How the last attempt at a peer went.
struct Line {
    under_way: bool,
    not_before: Instant,
    pause: Duration,
}

/// The deliveries under way.
pub(super) struct Outbox {
    desk: Desk,
    lines: BTreeMap<SiteId, Line>,
    tasks: JoinSet<(SiteId, bool)>,
}

impl Outbox {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk, lines: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Starts a delivery to each peer to whom something is owed and none is under way.
    pub(super) fn look(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended);
        }
        let now = Instant::now();
        let dispatches: Vec<Dispatch> = self.desk.read(|site| {
            let free = |peer: &SiteId| {
                self.lines.get(peer).is_none_or(|line| !line.under_way && line.not_before <= now)
            };
            let peers = site.peers().map(|(id, _)| *id).filter(free);
            peers.filter_map(|peer| site.dispatch(peer)).collect()
        });
        for dispatch in dispatches {
            let line = self.lines.entry(dispatch.peer).or_insert(Line {
                under_way: false,
                not_before: now,
                pause: PAUSE_MIN,
            });
            line.under_way = true;
            let desk = self.desk.clone();
            self.tasks.spawn(async move { (dispatch.peer, deliver(&desk, dispatch).await) });
        }
    }

    /// Waits until a delivery has ended; for ever if none is under way.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => self.ended(ended),
            None => std::future::pending().await,
        }
    }

    fn ended(&mut self, ended: Result<(SiteId, bool), tokio::task::JoinError>) {
        let (peer, delivered) = ended.expect("a delivery does not panic and is not cancelled");
        let Some(line) = self.lines.get_mut(&peer) else { return };
        line.under_way = false;
        if delivered {
            line.pause = PAUSE_MIN;
            line.not_before = Instant::now();
        } else {
            line.not_before = Instant::now() + line.pause;
            line.pause = (line.pause * 2).min(PAUSE_MAX);
        }
    }

    /// Ends what is under way: whatever was not acknowledged is delivered again by whoever leads
    /// next.
    pub(super) async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Delivers one batch, and says whether the peer has taken it up.
async fn deliver(desk: &Desk, dispatch: Dispatch) -> bool {
    let peer = dispatch.peer;
    let first = dispatch.messages.first().map_or(0, |(number, ..)| *number);
    let last = dispatch.messages.last().map_or(0, |(number, ..)| *number);
    let body = codec::encode(&signed(desk, dispatch));
    let answer = match desk.peers().ask(peer, Channel::Outbox, body).await {
        Ok(answer) => answer,
        Err(fault) => {
            if let ask::Error::Refused { .. } = fault {
                warn!(%peer, fault = chain(&fault), "a peer refuses what is owed to it");
            } else {
                debug!(%peer, fault = chain(&fault), "a delivery has to wait");
            }
            return false;
        }
    };
    let through = match codec::decode::<Receipt>(&answer, RECEIPT_BYTES_MAX) {
        Ok(Receipt::Through(through)) => through.min(last),
        Ok(Receipt::Gap(taken)) if taken >= first => taken.min(last),
        Ok(Receipt::Gap(taken)) => {
            error!(
                %peer, first, taken,
                "the peer has lost messages that it had acknowledged: it was restored from an old \
                 copy of its state, and its operator has to be asked"
            );
            return false;
        }
        Ok(Receipt::Contradicted(number)) => {
            error!(
                %peer, number,
                "the peer has taken up another message under this number and keeps both as proof: \
                 this site was restored from an old copy of its state, and its operator has to \
                 ask the peer's"
            );
            return false;
        }
        Ok(Receipt::Later) => return false,
        Err(fault) => {
            warn!(%peer, fault = chain(&fault), "a peer's receipt cannot be read");
            return false;
        }
    };
    match desk.propose(Command::Acknowledged { peer, through }).await {
        Ok(_) => true,
        Err(fault) => {
            debug!(%peer, fault = chain(&fault), "an acknowledgement has to wait");
            false
        }
    }
}

/// Signs the rows of a dispatch. The same row is signed as the same statement however often it
/// is delivered, so that nobody can be shown two of one number.
fn signed(desk: &Desk, dispatch: Dispatch) -> Delivery {
    let Dispatch { peer, incarnation, messages } = dispatch;
    let signer = desk.signer();
    let messages = messages
        .into_iter()
        .map(|(sequence, body, at)| {
            signer.sign(&Statement {
                issuer: signer.site,
                audience: Some(peer),
                incarnation,
                sequence,
                issued_at: at,
                expires_at: at + STATEMENT_LIFETIME,
                body,
            })
        })
        .collect();
    Delivery { messages }
}
