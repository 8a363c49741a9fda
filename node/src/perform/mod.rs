//! What this node does when a peer asks: take up messages, judge adverts, serve consoles.
//!
//! Signatures are checked here, before anything is proposed. What a peer says enters the log only
//! as [`Verified`], from the site at the other end of the
//! connection, in the order of its numbers.

mod adverts;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use federation::stream::Duplex;
use federation::{Admission, Caller, Channel, Handler, Refusal, Verdict, ask};
use protocol::agreement::Message;
use protocol::codec;
use protocol::identity::{NodeCertificate, Rejection, Verified};
use protocol::ids::{MachineName, SiteId};
use protocol::site::{self, Command, Outcome};
use protocol::time::Timestamp;
use protocol::wire::v1::machine::{self, Answer, Question};
use protocol::wire::v1::{self, Receipt, StreamHeader};
use tokio::io::AsyncWriteExt as _;
use tracing::{debug, warn};

use crate::console;
use crate::desk::Desk;
use crate::kpi;
use crate::membership::{self, files};
use crate::observe::{chain, now};

/// What a node is told that was taken out of the site.
const REMOVED: &str = "this node was removed from the site";

/// Answers peers. It begins to once the node is up: until then it has no desk.
#[derive(Clone, Debug, Default)]
pub struct Clerk {
    desk: Arc<OnceLock<Desk>>,
}

impl Clerk {
    /// A clerk without a desk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Seats the clerk: from now on it answers.
    pub fn seat(&self, desk: Desk) {
        // A second desk would be another node's; the first stays.
        let _ = self.desk.set(desk);
    }

    /// The desk, once there is one.
    fn seated(&self) -> Result<&Desk, ask::Refused> {
        self.desk.get().ok_or_else(|| ask::Refused::new("the node is starting"))
    }

    async fn take_up(&self, from: SiteId, body: &[u8]) -> Result<Receipt, ask::Refused> {
        let desk = self.seated()?;
        let messages = verified(desk.site(), from, body, |site| desk.honoured(site))?;
        if messages.is_empty() {
            return Err(ask::Refused::foul("a delivery without messages"));
        }
        match desk.propose(Command::Receive { messages }).await {
            Ok(Outcome::Taken(through)) => Ok(Receipt::Through(through)),
            Ok(Outcome::Refused(site::Refusal::Gap { taken, .. })) => Ok(Receipt::Gap(taken)),
            Ok(Outcome::Contradicted { number, .. }) => {
                warn!(%from, number, "a peer says two things under one number");
                Ok(Receipt::Contradicted(number))
            }
            Ok(Outcome::Refused(refusal)) => Err(ask::Refused::new(refusal.to_string())),
            Ok(_) => Ok(Receipt::Later),
            Err(fault) => {
                debug!(%from, fault = chain(&fault), "a delivery has to wait");
                Ok(Receipt::Later)
            }
        }
    }
}

impl Clerk {
    /// The desk, for a node of its own site that has not been taken out. The bus has refused any
    /// other site already.
    fn inside(&self, from: Caller) -> Result<&Desk, ask::Refused> {
        let desk = self.seated()?;
        if from.site != desk.site() || desk.read(|site| site.is_struck(from.node)) {
            return Err(ask::Refused::new(REMOVED));
        }
        Ok(desk)
    }

    /// Says which of this site's machines a provider may go on running.
    async fn renew_session(&self, from: SiteId, body: &[u8]) -> Result<Vec<u8>, ask::Refused> {
        let desk = self.seated()?;
        let asked =
            v1::lease::renew_session(body).map_err(|fault| ask::Refused::foul(chain(&fault)))?;
        Ok(codec::encode(&desk.renew_session(from, asked).await))
    }

    /// Tells a home of its machines here, while it has one.
    async fn tell(&self, home: SiteId, body: &[u8]) -> Result<Answer, ask::Refused> {
        let desk = self.seated()?;
        let asked = machine::question(body).map_err(|fault| ask::Refused::foul(chain(&fault)))?;
        Ok(match asked {
            Question::Site { after } => desk.read(|site| {
                let seen = site.seen_by(home, after);
                seen.map_or(Answer::Closed, |view| Answer::Site(Box::new(view)))
            }),
            Question::Kpis { machine } => kpi::tell(desk, MachineName { home, machine }).await,
        })
    }
}

/// Checks every message of a delivery; one that does not hold refuses the whole, and ends the
/// connection: no honest peer sends it. Only what is signed under a revoked certificate may be on its
/// way from a node that has another one by now.
fn verified(
    me: SiteId,
    from: SiteId,
    body: &[u8],
    honoured: impl Fn(SiteId) -> u64,
) -> Result<Vec<Verified<Message>>, ask::Refused> {
    let refused = |fault: &dyn std::error::Error| ask::Refused::foul(chain(fault));
    let delivery = v1::delivery(body).map_err(|fault| refused(&fault))?;
    let now = now();
    let mut messages = Vec::with_capacity(delivery.messages.len());
    for signed in delivery.messages {
        let message = signed.verify(me, now, &honoured).map_err(|fault| match fault {
            Rejection::Revoked { .. } => ask::Refused::new(chain(&fault)),
            fault => refused(&fault),
        })?;
        let statement = message.statement();
        if statement.issuer != from || statement.audience != Some(me) {
            return Err(ask::Refused::foul("a message of another site, or to another"));
        }
        messages.push(message);
    }
    Ok(messages)
}

#[async_trait]
impl Handler for Clerk {
    async fn ask(
        &self,
        from: Caller,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ask::Refused> {
        match channel {
            Channel::Outbox => Ok(codec::encode(&self.take_up(from.site, &body).await?)),
            Channel::Machine => Ok(codec::encode(&self.tell(from.site, &body).await?)),
            Channel::Site => {
                let desk = self.inside(from)?;
                let request = v1::node_request(&body);
                let request = request.map_err(|fault| ask::Refused::foul(chain(&fault)))?;
                Ok(codec::encode(&membership::answer::answer(desk, request).await))
            }
            Channel::Raft => Ok(self.inside(from)?.replica().receive(&body).await),
            Channel::Session => self.renew_session(from.site, &body).await,
        }
    }

    async fn gossip(&self, from: Caller, body: Vec<u8>) -> Verdict {
        let Some(desk) = self.desk.get() else { return Verdict::Ignore };
        let now = now();
        let honoured = |site| desk.honoured(site);
        let advert = match adverts::read(desk.site(), from.site, &body, now, honoured) {
            Ok(advert) => advert,
            Err(verdict) => return verdict,
        };
        let issuer = advert.statement().issuer;
        if issuer == desk.site() {
            // The node that leads has said it; its fellows pass it on.
            return if from.site == issuer { Verdict::Accept } else { Verdict::Ignore };
        }
        let is_peer = desk.read(|site| !site.is_stranger(issuer));
        desk.with_book(|book| adverts::note(book, from.site, advert, is_peer, now))
    }

    async fn console(&self, from: Caller, header: Vec<u8>, mut stream: Duplex) {
        let Some(desk) = self.desk.get() else { return };
        let is_inside = self.inside(from).is_ok();
        let attached = match codec::decode::<StreamHeader>(&header, v1::STREAM_BYTES_MAX) {
            Ok(StreamHeader::Blob { id }) if is_inside => {
                return files::give(desk, id, stream).await;
            }
            // What another node passes on is not passed on again.
            Ok(StreamHeader::Console { name }) if is_inside => {
                console::attach_here(desk, name).await
            }
            Ok(StreamHeader::Console { name }) if name.home == from.site => {
                console::attach_guest(desk, name).await
            }
            // Nobody has a right to another's machines, or to files of another site.
            Ok(_) | Err(_) => return,
        };
        match attached {
            Ok(mut guest) => {
                // Either end going away is how a console ends.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut guest).await;
            }
            Err(fault) => {
                let told = format!("{}\r\n", chain(&fault));
                // A listener that has gone needs no answer.
                let _ = stream.write_all(told.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    }
}

impl Admission for Clerk {
    fn admit(&self, site: SiteId, certificate: &NodeCertificate) -> Result<(), Refusal> {
        let Some(desk) = self.desk.get() else {
            return Err(Refusal::policy("the node is starting: try again shortly"));
        };
        if site == desk.site() {
            // A key that the table does not have yet is let in: the root key speaks for it, and
            // this node may be the one that is behind.
            let struck = desk.read(|state| state.is_struck(certificate.certificate().node));
            return if struck { Err(Refusal::policy(REMOVED)) } else { Ok(()) };
        }
        let stranger = desk.read(|state| state.is_stranger(site));
        if stranger { Err(Refusal::Stranger) } else { Ok(()) }
    }

    fn honours(&self) -> u64 {
        self.desk.get().map_or(0, |desk| desk.read(|site| site.serials().honoured()))
    }

    fn honoured(&self, site: SiteId) -> u64 {
        self.desk.get().map_or(0, |desk| desk.honoured(site))
    }

    fn heard_honours(&self, site: SiteId, lowest: u64) {
        // What its own site honours the node knows from the state.
        if let Some(desk) = self.desk.get().filter(|desk| desk.site() != site) {
            desk.heard().note(site, lowest);
        }
    }

    fn now(&self) -> Timestamp {
        now()
    }
}
