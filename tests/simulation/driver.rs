//! What a leader does between commands: it sends what is owed, asks around for machines without a
//! place, notices deadlines, and says what the site has to sell.

use std::collections::BTreeSet;
use std::rc::Rc;

use protocol::agreement::choice::Asked;
use protocol::agreement::{Message, Refusal as Reason};
use protocol::codec;
use protocol::ids::SiteId;
use protocol::market::book::Candidate;
use protocol::market::draw::draw;
use protocol::market::{LIFETIME, is_due};
use protocol::networks::lan::Word;
use protocol::site::{Command, Dispatch, Outcome, Refusal};
use protocol::time::Span;
use protocol::wire::v1::{self, Delivery, Receipt};

use crate::member::{Flight, Reply};
use crate::network::Payload;
use crate::world::{Event, World};

/// How long a signed message may be taken up: for ever, in a world of minutes. The same row is
/// the same statement however often it is signed, or its receiver would hear two under one number.
const STATEMENT_LIFETIME: Span = Span::from_secs(86_400);

/// How long a new leader waits for adverts before it takes an empty book for an empty market, in
/// milliseconds.
const BOOK_PATIENCE: u64 = 10_000;

impl World {
    /// The leader of a site looks at its state.
    pub(crate) fn look(&mut self, member: usize) {
        self.members[member].look_at = u64::MAX;
        let Some(leader) = self.members[member].leader else { return };
        let clock = self.members[member].clock(leader, self.now);
        let mut pause = 20_000;
        if self.send_what_is_owed(member) | self.seek_places(member) {
            pause = 500;
        }
        if self.look_after_leases(member) {
            pause = pause.min(1_000);
        }
        let deadline = self.members[member].state().and_then(protocol::site::Site::next_deadline);
        if let Some(deadline) = deadline {
            if deadline <= clock {
                self.propose(member, Command::Tick, Reply::Nobody);
            }
            pause = pause.min(deadline.since(clock).as_millis().max(100));
        }
        if self.follow_table(member) {
            pause = pause.min(500);
        }
        self.advertise(member);
        self.wake_leader(member, pause);
    }

    /// Lets a leader look after a pause, unless it does so earlier anyway.
    pub(crate) fn wake_leader(&mut self, member: usize, pause: u64) {
        let at = self.now + pause;
        if at < self.members[member].look_at {
            self.members[member].look_at = at;
            self.schedule(at, Event::Look { member });
        }
    }

    fn send_what_is_owed(&mut self, member: usize) -> bool {
        let Some(state) = self.members[member].state() else { return false };
        let owing: Vec<SiteId> =
            state.peers().map(|(id, _)| *id).filter(|id| state.owed(*id) > 0).collect();
        let now = self.now;
        for id in &owing {
            let peer = self.index(*id);
            let flight = self.members[member].desk.flights.get(&peer).copied();
            let tries = flight.map_or(0, |flight| flight.tries);
            let patience = 1_000 << tries.min(3);
            if flight.is_some_and(|flight| now < flight.sent + patience) {
                continue;
            }
            let flight = Flight { sent: now, tries: tries + 1 };
            self.members[member].desk.flights.insert(peer, flight);
            let dispatch = self.members[member].state().and_then(|state| state.dispatch(*id));
            if let Some(dispatch) = dispatch {
                let bytes = self.delivery(member, peer, &dispatch);
                self.send(member, peer, &Payload::Delivery(bytes));
            }
        }
        !owing.is_empty()
    }

    /// Signs what is owed. At times the envelope, which is not signed, comes to harm.
    fn delivery(&mut self, member: usize, peer: usize, dispatch: &Dispatch) -> Vec<u8> {
        let sender = &mut self.members[member];
        let mut messages = Vec::new();
        for (number, message, at) in &dispatch.messages {
            let time = (*at, STATEMENT_LIFETIME);
            let signed = &mut sender.desk.signed;
            let known = signed.entry((peer, *number)).or_insert_with(|| {
                sender.signer.sign(Some(dispatch.peer), *number, time, message.clone())
            });
            messages.push(known.clone());
        }
        if !self.calm && messages.len() > 1 && self.chance.once_in(15) {
            self.census.deliveries_gapped += 1;
            let index = self.chance.index(messages.len());
            messages.remove(index);
        }
        let mut bytes = codec::encode(&Delivery { messages });
        if !self.calm && self.chance.once_in(60) {
            let index = self.chance.index(bytes.len());
            bytes[index] ^= 1;
        }
        bytes
    }

    /// Something arrives.
    pub(crate) fn arrive(&mut self, (from, to): (usize, usize), payload: Payload) {
        let Some(leader) = self.members[to].leader else { return };
        let clock = self.members[to].clock(leader, self.now);
        match payload {
            Payload::Delivery(bytes) => self.take_delivery(from, to, &bytes),
            Payload::Receipt(receipt) => self.take_receipt(from, to, receipt),
            Payload::RenewSession { number, machines } => {
                self.provider_asks((from, to), number, machines);
            }
            Payload::SessionRenewal { number, renewal } => {
                self.session_granted((from, to), number, &renewal);
            }
            Payload::Advert(advert) => {
                self.members[to].desk.book.note((*advert).clone(), true, clock);
            }
        }
    }

    fn take_delivery(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let Some(leader) = self.members[to].leader else { return };
        let clock = self.members[to].clock(leader, self.now);
        let (me, sender) = (self.members[to].id, self.members[from].id);
        if self.members[to].replicas[leader].site.is_stranger(sender) {
            self.census.strangers += 1;
            return;
        }
        let verified: Option<Vec<_>> = v1::delivery(bytes).ok().and_then(|delivery| {
            delivery
                .messages
                .into_iter()
                .map(|message| message.verify(me, clock, |_| 0).ok())
                .collect()
        });
        let peer = self.members[from].id;
        let messages = verified.filter(|messages| {
            !messages.is_empty() && messages.iter().all(|it| it.statement().issuer == peer)
        });
        match messages {
            Some(messages) => {
                self.propose(to, Command::Receive { messages }, Reply::Peer(from));
            }
            None => self.census.deliveries_altered += 1,
        }
    }

    fn take_receipt(&mut self, from: usize, to: usize, receipt: Receipt) {
        let peer = self.members[from].id;
        let Some(state) = self.members[to].state() else { return };
        let owed = state.dispatch(peer).and_then(|it| it.messages.first().map(|first| first.0));
        self.members[to].desk.flights.remove(&from);
        if let (Receipt::Through(through) | Receipt::Gap(through), Some(first)) = (receipt, owed)
            && first <= through
        {
            self.members[to].desk.signed.retain(|(to, number), _| *to != from || *number > through);
            self.propose(to, Command::Acknowledged { peer, through }, Reply::Nobody);
        }
        self.wake_leader(to, 20);
    }

    /// Answers a peer whose messages have been taken up.
    pub(crate) fn give_receipt(&mut self, member: usize, peer: usize, outcome: &Outcome) {
        let receipt = match outcome {
            Outcome::Taken(through) => Receipt::Through(*through),
            Outcome::Refused(Refusal::Gap { taken, .. }) => Receipt::Gap(*taken),
            Outcome::Done
            | Outcome::Service(_)
            | Outcome::Machine(_)
            | Outcome::Image(_)
            | Outcome::Key(_)
            | Outcome::Address(_)
            | Outcome::Node(_)
            | Outcome::Serial(_)
            | Outcome::Contradicted { .. }
            | Outcome::Refused(_) => return,
        };
        if let Receipt::Through(through) | Receipt::Gap(through) = receipt {
            let known = self.receipts.entry((member, peer)).or_default();
            *known = through.max(*known);
        }
        self.send(member, peer, &Payload::Receipt(receipt));
    }

    fn seek_places(&mut self, member: usize) -> bool {
        let now = self.now;
        let Some(leader) = self.members[member].leader else { return false };
        let clock = self.members[member].clock(leader, now);
        self.members[member].desk.book.expire(clock);
        let seeking = self.members[member].replicas[leader].site.seeking();
        for sought in &seeking {
            let desk = &self.members[member].desk;
            if desk.sought.get(&sought.machine).is_some_and(|at| now < at + 1_000) {
                continue;
            }
            let candidates: Vec<Candidate> =
                desk.book.candidates().filter(|it| sought.peers.contains(&it.site)).collect();
            let is_young = now < desk.since + BOOK_PATIENCE;
            if candidates.is_empty() && !sought.peers.is_empty() && is_young {
                continue;
            }
            let drawn = draw(
                &candidates,
                (sought.size, sought.class),
                sought.first_round,
                self.chance.mint(),
            );
            self.members[member].desk.sought.insert(sought.machine, now);
            let (machine, last) = (sought.machine, drawn.last);
            // Every pair of sites has a round trip of its own, the same at each look.
            let asked = |site: SiteId| {
                let far = self.index(site).abs_diff(member) as u64;
                Asked { site, round_trip: Some(Span::from_millis(7 * far)) }
            };
            let sites = drawn.sites.into_iter().map(asked).collect();
            self.propose(member, Command::Seek { machine, sites, last }, Reply::Nobody);
        }
        !seeking.is_empty()
    }

    fn advertise(&mut self, member: usize) {
        let Some(leader) = self.members[member].leader else { return };
        let clock = self.members[member].clock(leader, self.now);
        let Some(advert) = self.members[member].replicas[leader].site.advert() else { return };
        let said = self.members[member].desk.said.as_ref();
        if !is_due(said.map(|(said, at)| (said, *at)), &advert, clock) {
            return;
        }
        self.members[member].desk.said = Some((advert.clone(), clock));
        let sequence = clock.as_millis();
        let time = (clock, LIFETIME);
        let signed = self.members[member].signer.sign(None, sequence, time, advert);
        let advert = signed
            .verify(self.members[member].id, clock, |_| 0)
            .expect("a site believes what it has just signed");
        let payload = Payload::Advert(Rc::new(advert));
        for peer in 0..self.members.len() {
            if peer != member {
                self.send(member, peer, &payload);
            }
        }
    }

    /// Hands something to the network.
    pub(crate) fn send(&mut self, from: usize, to: usize, payload: &Payload) {
        for (number, delay) in self.network.carry((from, to), &mut self.chance, &mut self.census) {
            let payload = payload.clone();
            self.schedule(self.now + delay, Event::Arrive { from, to, number, payload });
        }
    }

    /// Counts what the messages of a committed delivery are about.
    pub(crate) fn count_messages(&mut self, command: &Command) {
        let Command::Receive { messages } = command else { return };
        let mut seen = BTreeSet::new();
        for message in messages {
            if !seen.insert(message.statement().sequence) {
                continue;
            }
            let census = &mut self.census;
            match message.body() {
                Message::Call(_) => census.calls += 1,
                Message::Offer { .. } => census.offers += 1,
                Message::Refuse { reason, .. } => {
                    census.refusals += 1;
                    census.over_credit += u64::from(*reason == Reason::OverCredit);
                    census.reserved += u64::from(*reason == Reason::Reserved);
                    census.class_not_sold += u64::from(*reason == Reason::ClassNotSold);
                    census.not_served += u64::from(*reason == Reason::NotServed);
                    let bounded = matches!(reason, Reason::TooLarge | Reason::TooMany);
                    census.bounded += u64::from(bounded);
                }
                Message::Agreed { .. } => census.agreements += 1,
                Message::Lapsed { .. } => census.lapses += 1,
                Message::Decline { .. } => census.declines += 1,
                Message::Hand { .. } => census.machines_handed += 1,
                Message::Farewell => census.farewells += 1,
                Message::Propose { .. } => census.proposals += 1,
                Message::Renewed { .. } => census.renewals += 1,
                Message::Terminate { reason, .. } => {
                    census.terminations += 1;
                    census.renewals_declined += u64::from(*reason == Reason::TooDear);
                }
                Message::Lost { .. } => census.machines_given_back += 1,
                Message::Network { word: Word::Group { .. }, .. } => census.groups_told += 1,
                Message::Network { word: Word::Joined(_), .. } => census.networks_joined += 1,
                Message::Network { word: Word::Over, .. } => census.networks_left += 1,
                Message::Network { word: Word::End { .. }, .. } => census.sites_introduced += 1,
                Message::Network { word: Word::Terms(terms), .. } => {
                    census.networks_routed += u64::from(terms.group.is_some());
                }
                Message::Network { word: Word::Member { .. }, .. }
                | Message::Consent { .. }
                | Message::Accept(_)
                | Message::Order { .. }
                | Message::Report(_) => {}
            }
        }
    }
}
