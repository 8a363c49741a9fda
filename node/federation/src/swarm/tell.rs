//! Adverts: told to all, and judged before they are passed on.

use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::gossipsub::{Event, Message, MessageAcceptance, MessageId, PublishError};
use protocol::ids::SiteId;

use super::behaviour;
use super::task::Task;
use super::work::{Outcome, Owed};
use crate::Verdict;
use crate::tell::{Error, LIMIT};

impl Task {
    /// Tells all peers.
    pub(super) fn publish(&mut self, body: Vec<u8>) -> Result<(), Error> {
        let length = body.len();
        let gossip = &mut self.swarm.behaviour_mut().gate.inner.gossip;
        match gossip.publish(behaviour::topic(), body) {
            // The same bytes were told a moment ago: everybody has them.
            Ok(_) | Err(PublishError::Duplicate) => Ok(()),
            Err(PublishError::NoPeersSubscribedToTopic) => Err(Error::Nobody),
            Err(PublishError::AllQueuesFull(_)) => Err(Error::Crowded),
            Err(
                PublishError::MessageTooLarge
                | PublishError::SigningError(_)
                | PublishError::TransformFailed(_),
            ) => Err(Error::TooLong { length }),
        }
    }

    pub(super) fn on_gossip(&mut self, event: Event) {
        match event {
            Event::Message { propagation_source, message_id, message } => {
                self.on_advert(propagation_source, message_id, message);
            }
            Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "a peer takes adverts too slowly: some are dropped");
            }
            Event::Subscribed { .. }
            | Event::Unsubscribed { .. }
            | Event::GossipsubNotSupported { .. } => {}
        }
    }

    fn on_advert(&mut self, source: PeerId, id: MessageId, message: Message) {
        let Some(caller) = self.lines.caller_of(source) else {
            // Its connection is gone.
            return self.pass_on(&id, &source, MessageAcceptance::Ignore);
        };
        let site = caller.site;
        self.book.of(site).adverts += 1;
        if message.data.len() > LIMIT {
            let counters = self.book.of(site);
            counters.oversize += 1;
            counters.adverts_rejected += 1;
            return self.pass_on(&id, &source, MessageAcceptance::Reject);
        }
        if site != self.me.site && !self.meters.admits_advert(site, &self.limits, Instant::now()) {
            self.book.of(site).limited += 1;
            self.pass_on(&id, &source, MessageAcceptance::Ignore);
            return self.on_excess(site);
        }
        let judging =
            self.at_hand(|owed| matches!(owed, Owed::Verdict { site: of, .. } if *of == site));
        if judging >= self.limits.gossip_in {
            self.book.of(site).busy += 1;
            return self.pass_on(&id, &source, MessageAcceptance::Ignore);
        }
        let handler = Arc::clone(&self.handler);
        let judged = async move { Outcome::Judged(handler.gossip(caller, message.data).await) };
        self.serve(Owed::Verdict { site, source, id }, judged);
    }

    /// A verdict has come; none if the handler failed.
    pub(super) fn on_verdict(
        &mut self,
        site: SiteId,
        (source, id): (PeerId, MessageId),
        verdict: Option<Verdict>,
    ) {
        let acceptance = match verdict {
            Some(Verdict::Accept) => MessageAcceptance::Accept,
            Some(Verdict::Ignore) | None => {
                self.book.of(site).adverts_ignored += 1;
                MessageAcceptance::Ignore
            }
            Some(Verdict::Reject) => {
                self.book.of(site).adverts_rejected += 1;
                MessageAcceptance::Reject
            }
        };
        self.pass_on(&id, &source, acceptance);
    }

    fn pass_on(&mut self, id: &MessageId, source: &PeerId, acceptance: MessageAcceptance) {
        let gossip = &mut self.swarm.behaviour_mut().gate.inner.gossip;
        if !gossip.report_message_validation_result(id, source, acceptance) {
            tracing::debug!(%id, "an advert was judged too late to be passed on");
        }
    }
}
