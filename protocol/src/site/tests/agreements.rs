//! Claims about agreements: they are renewed by both or end at their time, with notice or at once,
//! and the machine runs on elsewhere only when it has ended where it was.

use super::state::{Agreement, Termination};
use super::*;
use crate::agreement::{self, EVIDENCE_MAX, Terms};
use crate::peering::{NOTICE, Setting, Standing, TERM};
use crate::units::Permille;

/// A machine of alpha's that runs at beta, where gamma has room, too.
pub(super) fn running() -> (World, MachineId) {
    let mut world = World::new(&[0, 1, 1]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    (world, machine)
}

impl World {
    /// The agreement between alpha and beta, as one of them has it.
    pub(super) fn agreement(&self, at: usize) -> (HoldId, Agreement) {
        let beta = self.parties[BETA].id;
        let rows = self.parties[at].site.agreements();
        let mut with_beta = rows.filter(|(_, row)| row.terms.provider == beta);
        with_beta.next().map(|(id, row)| (*id, row.clone())).unwrap()
    }

    pub(super) fn policy(&mut self, at: usize, peer: usize, settings: Vec<Setting>) {
        let site = self.parties[peer].id;
        self.operator(at, OperatorAsk::SetPolicy { site, settings });
    }

    pub(super) fn terminate(&mut self, at: usize) -> Outcome {
        let (agreement, _) = self.agreement(at);
        self.operator(at, OperatorAsk::TerminateAgreement { agreement })
    }

    /// Brings a message to beta or alpha under its next number.
    pub(super) fn smuggle(&mut self, from: usize, to: usize, body: Message) {
        let number = self.parties[to].site.peer(self.parties[from].id).unwrap().taken + 1;
        let messages = vec![self.says(from, to, number, body, self.now)];
        assert_eq!(self.apply(to, Command::Receive { messages }), Outcome::Taken(number));
    }
}

#[test]
fn an_agreement_is_renewed_by_both_before_it_ends_and_both_have_the_others_word() {
    let (mut world, machine) = running();
    let before = world.agreement(ALPHA).1;
    world.pass(Span::from_secs(28 * 86_400));
    world.settle();
    let (id, home) = world.agreement(ALPHA);
    let (_, provider) = world.agreement(BETA);
    assert_eq!(home.terms, provider.terms);
    assert_eq!(home.terms.until, world.now + TERM);
    assert_eq!(home.terms.price, before.terms.price);
    assert_eq!((&home.proposed, home.termination), (&None, None));
    assert!(
        matches!(home.evidence[2].body(), Message::Propose { terms, .. } if *terms == home.terms)
    );
    assert!(matches!(home.evidence[3].body(), Message::Renewed { hold } if *hold == id));
    let consent = provider.evidence.last().unwrap().body();
    assert!(matches!(consent, Message::Consent { terms, .. } if *terms == home.terms));
    world.pass(Span::from_secs(5 * 86_400));
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
}

#[test]
fn evidence_is_bounded_and_its_beginning_is_kept() {
    let (mut world, _) = running();
    let first = world.agreement(BETA).1.evidence.remove(0);
    for _ in 0..EVIDENCE_MAX + 4 {
        world.pass(Span::from_secs(28 * 86_400));
        world.settle();
    }
    for at in [ALPHA, BETA] {
        assert_eq!(world.agreement(at).1.evidence.len(), EVIDENCE_MAX);
    }
    assert_eq!(world.agreement(BETA).1.evidence[0], first);
}

#[test]
fn a_home_that_is_away_loses_its_agreement_at_its_time_and_not_before() {
    let (mut world, machine) = running();
    world.pass(Span::from_millis(TERM.as_millis() - 1_000));
    let (_, provider) = world.agreement(BETA);
    assert!(provider.proposed.is_some() && provider.ended.is_none());
    world.work(BETA);
    assert_eq!(world.parties[BETA].site.guests().count(), 1);
    world.pass(Span::from_secs(1));
    while world.work(BETA) {}
    assert_eq!(world.parties[BETA].site.guests().count(), 0);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert!(world.agreement(ALPHA).1.ended.is_some() && world.agreement(BETA).1.ended.is_some());
}

#[test]
fn a_dearer_renewal_is_not_taken_in_silence() {
    let dearer = |settings: Vec<Setting>| {
        let (mut world, machine) = running();
        let factor = Permille::new(1_100).unwrap();
        world.policy(BETA, ALPHA, vec![Setting::PriceFactor(factor)]);
        world.policy(ALPHA, BETA, settings);
        world.pass(Span::from_secs(28 * 86_400));
        world.settle();
        let terminated = world.agreement(BETA).1.termination.map(|it| it.reason);
        world.pass(Span::from_secs(3 * 86_400));
        world.settle();
        (terminated, world.view_machine(ALPHA, machine))
    };
    let refused = (Some(agreement::Refusal::TooDear), "one ACTIVE gamma".to_owned());
    assert_eq!(dearer(vec![]), refused);
    let bound = Micros(2 * tariff(2).hourly(size(1)).0);
    let taken = (None, "one ACTIVE beta".to_owned());
    assert_eq!(dearer(vec![Setting::PriceMax(Some(bound))]), taken);
}

#[test]
fn a_provider_that_does_not_sell_any_more_says_so_before_the_end() {
    let (mut world, machine) = running();
    world.policy(BETA, ALPHA, vec![Setting::SellsTo(false)]);
    world.pass(Span::from_secs(28 * 86_400));
    world.settle();
    let Termination { by, at, reason } = world.agreement(ALPHA).1.termination.unwrap();
    let until = world.agreement(ALPHA).1.terms.until;
    assert_eq!((by, at), (world.parties[BETA].id, until));
    assert_eq!(reason, agreement::Refusal::NotServed);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta", "it runs until then");
    world.pass(until.since(world.now));
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
}

#[test]
fn a_provider_gives_notice_and_the_machine_runs_until_it_is_over() {
    let (mut world, machine) = running();
    for _ in 0..2 {
        assert_eq!(world.terminate(BETA), Outcome::Done);
    }
    world.settle();
    let termination = world.agreement(ALPHA).1.termination.unwrap();
    assert_eq!(termination.at, world.now + NOTICE);
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    world.pass(NOTICE);
    assert_eq!(world.machine(ALPHA, machine).state(), State::Active, "nothing is placed anew yet");
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
}

#[test]
fn a_home_with_room_of_its_own_takes_its_machine_back_as_soon_as_it_has_notice() {
    let (mut world, machine) = running();
    world.describe(ALPHA, host(1), size(1), "");
    world.terminate(BETA);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE alpha");
    assert!(world.agreement(BETA).1.ended.is_some());
}

#[test]
fn a_home_ends_an_agreement_at_once_and_its_machine_goes_elsewhere() {
    let (mut world, machine) = running();
    assert_eq!(world.terminate(ALPHA), Outcome::Done);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    let word = world.agreement(BETA).1.evidence.pop().unwrap();
    let reason = agreement::Refusal::Terminated;
    assert!(matches!(word.body(), Message::Terminate { reason: it, .. } if *it == reason));
    let (agreement, _) = world.agreement(ALPHA);
    let unknown = Outcome::Refused(Refusal::UnknownAgreement { agreement });
    assert_eq!(world.terminate(ALPHA), unknown);
}

#[test]
fn terms_are_renegotiated_when_the_provider_proposes() {
    let (mut world, _) = running();
    let factor = Permille::new(500).unwrap();
    world.policy(BETA, ALPHA, vec![Setting::PriceFactor(factor)]);
    let (agreement, before) = world.agreement(BETA);
    let renew = OperatorAsk::RenewAgreement { agreement };
    let refused = Outcome::Refused(Refusal::NotRenewable { agreement });
    assert_eq!(world.operator(ALPHA, renew.clone()), refused);
    assert_eq!(world.operator(BETA, renew), Outcome::Done);
    world.settle();
    for at in [ALPHA, BETA] {
        let hourly = world.agreement(at).1.terms.price.hourly;
        assert_eq!(hourly, Micros(before.terms.price.hourly.0 / 2));
    }
}

#[test]
fn what_was_not_proposed_cannot_be_consented_to() {
    let (mut world, _) = running();
    let (hold, row) = world.agreement(BETA);
    let before = row.terms.clone();
    let terms = Terms { until: row.terms.until + TERM, ..row.terms };
    world.smuggle(ALPHA, BETA, Message::Consent { hold, terms });
    assert_eq!(world.agreement(BETA).1.terms, before);
    let answer = world.owed(BETA, ALPHA).pop().unwrap();
    let lapsed = agreement::Refusal::Lapsed;
    assert!(matches!(answer.body(), Message::Lapsed { reason, .. } if *reason == lapsed));
}

#[test]
fn a_proposal_about_another_machine_or_by_another_site_is_not_taken() {
    let (mut world, _) = running();
    let (hold, row) = world.agreement(ALPHA);
    let plain = row.terms.clone();
    let terms = Terms { size: size(2), ..row.terms };
    world.smuggle(BETA, ALPHA, Message::Propose { hold, terms });
    let answer = world.owed(ALPHA, BETA).pop().unwrap();
    let malformed = agreement::Refusal::Malformed;
    assert!(matches!(answer.body(), Message::Terminate { reason, .. } if *reason == malformed));
    let before = world.agreement(ALPHA);
    world.smuggle(GAMMA, ALPHA, Message::Propose { hold, terms: plain });
    let at = world.now;
    world.smuggle(GAMMA, ALPHA, Message::Terminate { hold, at, reason: malformed });
    world.smuggle(GAMMA, ALPHA, Message::Renewed { hold });
    assert_eq!(world.agreement(ALPHA), before);
}

#[test]
fn a_drained_peer_is_left_and_a_removed_one_is_parted_with_when_nothing_is_left() {
    let (mut world, machine) = running();
    let peer = world.parties[BETA].id;
    world.operator(ALPHA, OperatorAsk::DrainPeer { peer });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    let standing = |world: &World| world.parties[ALPHA].site.peer(peer).unwrap().standing;
    assert_eq!(standing(&world), Standing::Drained);
    world.operator(ALPHA, OperatorAsk::EnablePeer { peer });
    assert_eq!(standing(&world), Standing::Open);
    let site = world.parties[GAMMA].id;
    world.operator(ALPHA, OperatorAsk::RemovePeer { site, drain: true });
    world.settle();
    world.pass(Span::from_secs(1));
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta");
    assert!(world.parties[ALPHA].site.is_stranger(site));
}

#[test]
fn a_removed_buyers_machines_are_ended_with_notice_and_then_it_is_a_stranger() {
    let (mut world, machine) = running();
    let site = world.parties[ALPHA].id;
    world.operator(BETA, OperatorAsk::RemovePeer { site, drain: true });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE beta", "agreements are held to");
    assert!(!world.parties[BETA].site.is_stranger(site));
    world.pass(NOTICE);
    world.settle();
    world.pass(Span::from_secs(1));
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    assert!(world.parties[BETA].site.is_stranger(site));
}

#[test]
fn a_machine_whose_offer_was_accepted_as_its_peer_was_drained_is_taken_away_again() {
    let mut world = World::new(&[0, 1, 1]);
    let machine = world.define(ALPHA, "one", size(1));
    world.update(ALPHA, machine, Verb::Activate);
    world.seek(ALPHA);
    world.deliver(ALPHA, BETA);
    world.deliver(ALPHA, GAMMA);
    world.deliver(GAMMA, ALPHA);
    world.deliver(BETA, ALPHA);
    assert!(matches!(world.machine(ALPHA, machine).place, Place::Accepted(_)));
    let peer = world.parties[BETA].id;
    world.operator(ALPHA, OperatorAsk::DrainPeer { peer });
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
}
