//! Applying commands: one file for each side of a site's business.

mod agreements;
mod buying;
mod deployment;
mod displacing;
mod gateway;
mod hosting;
mod lans;
mod measuring;
mod membership;
mod networks;
mod operator;
mod peering;
mod peers;
mod public;
mod repair;
mod retention;
mod scaling;
mod security;
mod selling;
mod tenant;
mod tidying;

pub(super) use deployment::{allows, reference_allows};

use super::command::{Command, Outcome, Refusal};
use super::{Site, Turn};
use crate::agreement::Message;
use crate::agreement::buyer::Offer;
use crate::identity::Verified;
use crate::ids::{RequestId, SiteId, TenantId};
use crate::time::Timestamp;

impl Site {
    pub(super) fn handle(
        &mut self,
        command: &Command,
        turn: &mut Turn,
    ) -> Result<Outcome, Refusal> {
        if self.profile.is_empty() && !matches!(command, Command::Configure(_)) {
            // Nothing but its configuration can be said to a site that does not exist yet. The
            // node configures it before it proposes anything else.
            return Ok(Outcome::Done);
        }
        match command {
            Command::Configure(configure) => self.configure(configure, turn),
            Command::Tenant { tenant, request, ask } => {
                self.once(*tenant, *request, turn, |site, turn| site.tenant(*tenant, ask, turn))
            }
            Command::Operator { request, ask } => {
                let operator = TenantId::from_uuid(uuid::Uuid::nil());
                self.once(operator, *request, turn, |site, turn| site.operator(ask, turn))
            }
            Command::Node { node, contact } => self.describe_node(*node, contact, turn),
            Command::Join { digest, contact } => self.join(*digest, contact, turn),
            Command::Left { node } => Ok(self.left(*node, turn)),
            Command::Certify { node } => self.certify(*node),
            Command::Presents { node, certificate } => self.presents(*node, *certificate),
            Command::Gateway { node } => self.name_gateway(*node),
            Command::Honours { peer, lowest } => self.honours(*peer, *lowest),
            Command::Host { host, described } => self.describe_host(*host, described, turn),
            Command::HostEnded { host } => Ok(self.host_ended(*host, turn)),
            Command::HostBack { host } => Ok(self.host_back(*host, turn)),
            Command::PeerEnded { peer } => Ok(self.peer_ended(*peer, turn)),
            Command::PeerBack { peer } => Ok(self.peer_back(*peer)),
            Command::Observe { host, observations } => Ok(self.observe(*host, observations, turn)),
            Command::Seek { machine, sites, last } => Ok(self.seek(*machine, sites, *last, turn)),
            Command::Receive { messages } => self.receive(messages, turn),
            Command::Acknowledged { peer, through } => Ok(self.acknowledged(*peer, *through)),
            Command::Tick => Ok(self.tidy(turn.now)),
            Command::Measured { counts } => Ok(self.measured_are(counts, turn)),
        }
    }

    /// Does what a client asks, once: the repetition of a request is answered as the first was.
    /// Refusals are not remembered, since a refused request has changed nothing.
    fn once(
        &mut self,
        tenant: TenantId,
        request: RequestId,
        turn: &mut Turn,
        act: impl FnOnce(&mut Self, &mut Turn) -> Result<Outcome, Refusal>,
    ) -> Result<Outcome, Refusal> {
        if let Some((_, outcome)) = self.requests.get(&(tenant, request)) {
            return Ok(outcome.clone());
        }
        if self.requests.len() >= super::REQUESTS_MAX {
            return Err(Refusal::Full {
                what: "requests under way".to_owned(),
                limit: super::REQUESTS_MAX,
            });
        }
        let outcome = act(self, turn)?;
        self.requests.insert((tenant, request), (turn.now, outcome.clone()));
        Ok(outcome)
    }

    /// Does what time alone decides.
    pub(super) fn pass_deadlines(&mut self, turn: &mut Turn) {
        self.let_holds_go(turn);
        self.close_calls(turn);
        self.ring_timers(turn);
        self.see_to_dues(turn);
        self.part_with_leaving(turn);
    }

    /// When the next deadline passes, if there is any.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let holds = self.holds.iter().map(|(_, hold)| hold.expires);
        let calls = self.calls.iter().map(|(_, asking)| asking.deadline);
        let timer = self.timers.iter().next().map(|((at, _), _)| *at);
        let due = self.dues.iter().next().map(|((at, _), ())| *at);
        let partings = (!self.leaving_done().is_empty()).then(|| self.now());
        holds.chain(calls).chain(timer).chain(due).chain(partings).min()
    }

    fn take_up(&mut self, from: SiteId, message: &Verified<Message>, turn: &mut Turn) {
        if let Some(reason) = message.body().refusal() {
            self.note_refusal(from, reason, turn);
        }
        match message.body() {
            Message::Call(call) => self.called(from, call, turn),
            Message::Offer { call, hold, terms } => {
                let evidence = message.clone();
                let offer = Offer { site: from, hold: *hold, terms: terms.clone(), evidence };
                self.offered(*call, Box::new(offer), turn);
            }
            Message::Refuse { call, reason } => self.call_refused(from, *call, *reason, turn),
            Message::Accept(acceptance) => self.accepted(from, acceptance, message, turn),
            Message::Hand { hold, user_data } => self.handed(from, *hold, user_data),
            Message::Decline { hold, .. } => self.declined(from, *hold),
            Message::Agreed { hold, machine } => self.agreed(*machine, *hold, message, turn),
            Message::Lapsed { hold, machine, reason } => {
                self.proposal_lapsed(from, *hold);
                self.lapsed(from, *machine, *hold, *reason, turn);
            }
            Message::Order { machine, epoch, goal } => {
                self.ordered(from, *machine, *epoch, *goal, turn);
            }
            Message::Report(report) => self.reported(from, report, turn),
            Message::Lost { machine, epoch } => self.lost(from, *machine, *epoch, turn),
            Message::Propose { hold, terms } => self.proposed(from, *hold, terms, message, turn),
            Message::Consent { hold, terms } => self.consented(from, *hold, terms, message, turn),
            Message::Renewed { hold } => self.renewed(from, *hold, message),
            Message::Terminate { hold, at, reason } => {
                self.terminated(from, (*hold, *at, *reason), message, turn);
            }
            Message::Network { network, word } => self.network_said(from, *network, word, turn),
            Message::Farewell => self.parted(from, turn),
        }
    }
}
