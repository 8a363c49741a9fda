//! Claims about peers that come and go while everything runs, and about what a policy allows.

use super::*;
use crate::agreement;
use crate::peering::{Reserve, Setting, Standing};
use crate::units::Permille;

fn entry(world: &World, peer: usize, settings: Vec<Setting>) -> PeerEntry {
    PeerEntry {
        site: world.parties[peer].id,
        name: NAMES[peer].parse().unwrap(),
        addresses: vec!["/ip4/192.0.2.1/tcp/7401".to_owned()],
        settings,
    }
}

impl World {
    fn add_peer(&mut self, at: usize, peer: usize, settings: Vec<Setting>) -> Outcome {
        let entry = entry(self, peer, settings);
        self.operator(at, OperatorAsk::AddPeer(entry))
    }

    fn remove_peer(&mut self, at: usize, peer: usize) -> Outcome {
        let site = self.parties[peer].id;
        self.operator(at, OperatorAsk::RemovePeer { site, drain: false })
    }

    fn set_policy(&mut self, at: usize, peer: usize, settings: Vec<Setting>) -> Outcome {
        let site = self.parties[peer].id;
        self.operator(at, OperatorAsk::SetPolicy { site, settings })
    }

    fn peer(&self, at: usize, peer: usize) -> &Peer {
        self.parties[at].site.peer(self.parties[peer].id).unwrap()
    }

    fn is_stranger(&self, at: usize, peer: usize) -> bool {
        self.parties[at].site.is_stranger(self.parties[peer].id)
    }

    /// Defines and activates a machine at a site, and says what came of it.
    fn try_one(&mut self, at: usize, name: &str, size: Size) -> String {
        let machine = self.define(at, name, size);
        self.update(at, machine, Verb::Activate);
        self.settle();
        self.view_machine(at, machine)
    }
}

#[test]
fn a_configuration_seeds_peers_and_never_overwrites_what_was_said_since() {
    let mut world = World::new(&[1, 1]);
    world.set_policy(ALPHA, BETA, vec![Setting::SellsTo(false)]);
    let said = world.peer(ALPHA, BETA).clone();
    world.configure(ALPHA, &[BETA]);
    assert_eq!(*world.peer(ALPHA, BETA), said);
    world.remove_peer(ALPHA, BETA);
    world.pass(ENDED_KEPT);
    world.configure(ALPHA, &[BETA]);
    assert_eq!(world.peer(ALPHA, BETA).standing, Standing::Gone, "who was removed stays removed");
}

#[test]
fn a_peer_is_added_again_and_again_and_is_one_peer() {
    let mut world = World::new(&[1, 1]);
    let settings = vec![Setting::Credit(Some(Micros(5))), Setting::BuysFrom(false)];
    for _ in 0..2 {
        assert_eq!(world.add_peer(ALPHA, BETA, settings.clone()), Outcome::Done);
    }
    let beta = world.peer(ALPHA, BETA);
    assert_eq!(beta.policy.selling.credit, Some(Micros(5)));
    assert!(!beta.policy.buying.open && beta.policy.selling.open);
    assert_eq!(beta.addresses, ["/ip4/192.0.2.1/tcp/7401"]);
    world.add_peer(ALPHA, BETA, vec![]);
    assert_eq!(world.peer(ALPHA, BETA).policy.selling.credit, Some(Micros(5)), "kept");
    for _ in 0..2 {
        assert_eq!(world.remove_peer(ALPHA, BETA), Outcome::Done);
    }
    let unknown = Refusal::UnknownPeer { site: world.parties[BETA].id };
    assert_eq!(world.set_policy(ALPHA, BETA, vec![]), Outcome::Refused(unknown));
}

#[test]
fn what_cannot_be_a_peer_is_refused() {
    let mut world = World::new(&[1, 1, 1]);
    let site = world.parties[ALPHA].id;
    assert_eq!(world.add_peer(ALPHA, ALPHA, vec![]), Outcome::Refused(Refusal::OwnSite { site }));
    let mut twice = entry(&world, BETA, vec![]);
    twice.name = NAMES[GAMMA].parse().unwrap();
    let taken = Refusal::NameTaken { name: "gamma".to_owned() };
    assert_eq!(world.operator(ALPHA, OperatorAsk::AddPeer(twice)), Outcome::Refused(taken));
    for addresses in [vec!["/".to_owned(); 17], vec!["/".repeat(257)]] {
        let entry = PeerEntry { addresses, ..entry(&world, BETA, vec![]) };
        let refused = Refusal::Addresses { count: 16, length: 256 };
        assert_eq!(world.operator(ALPHA, OperatorAsk::AddPeer(entry)), Outcome::Refused(refused));
    }
}

#[test]
fn a_peer_is_not_removed_while_machines_stand_in_the_way_on_either_side() {
    let mut world = World::new(&[0, 1]);
    assert_eq!(world.try_one(ALPHA, "one", size(1)), "one ACTIVE beta");
    for (at, peer, there, here) in [(ALPHA, BETA, 1, 0), (BETA, ALPHA, 0, 1)] {
        let name = NAMES[peer].parse().unwrap();
        let refused = Outcome::Refused(Refusal::PeerInUse { name, there, here });
        assert_eq!(world.remove_peer(at, peer), refused);
    }
    let machine = *world.parties[ALPHA].site.machines().next().unwrap().0;
    world.update(ALPHA, machine, Verb::Destroy);
    world.settle();
    assert_eq!(world.remove_peer(ALPHA, BETA), Outcome::Done);
    assert_eq!(world.remove_peer(BETA, ALPHA), Outcome::Done);
}

#[test]
fn a_removed_peer_is_a_stranger_once_it_has_heard_the_last_word() {
    let mut world = World::new(&[0, 0]);
    assert!(world.try_one(ALPHA, "one", size(1)).contains("no host has room for it"));
    world.remove_peer(ALPHA, BETA);
    assert!(!world.is_stranger(ALPHA, BETA), "it is owed the last word");
    world.settle();
    assert!(world.is_stranger(ALPHA, BETA) && !world.is_stranger(BETA, ALPHA));
}

#[test]
fn two_sites_that_remove_each_other_are_strangers() {
    for together in [false, true] {
        let mut world = World::new(&[0, 0]);
        assert!(world.try_one(ALPHA, "one", size(1)).contains("no host has room for it"));
        world.remove_peer(ALPHA, BETA);
        if !together {
            world.settle();
        }
        world.remove_peer(BETA, ALPHA);
        // Whoever is a stranger is not let in to say anything.
        world.deliver(ALPHA, BETA);
        assert!(world.is_stranger(ALPHA, BETA) && world.is_stranger(BETA, ALPHA), "{together}");
        // Whoever is added again hears what was left unsaid, and then what is new.
        world.add_peer(ALPHA, BETA, vec![]);
        world.add_peer(BETA, ALPHA, vec![]);
        world.settle();
        assert!(world.try_one(ALPHA, "two", size(1)).contains("no host has room for it"));
        world.set_policy(BETA, ALPHA, vec![Setting::SellsTo(false)]);
        let said = world.try_one(ALPHA, "three", size(1));
        assert!(said.contains("beta: that site does not sell to this one"), "{said}");
    }
}

#[test]
fn a_removed_peer_is_told_that_it_is_not_served_any_more() {
    let mut world = World::new(&[1, 0]);
    world.remove_peer(ALPHA, BETA);
    let said = world.try_one(BETA, "one", size(1));
    assert!(said.contains("alpha: that site does not sell to this one"), "{said}");
}

#[test]
fn a_peer_that_is_removed_in_the_middle_of_a_deal_leaves_nobody_waiting() {
    // Beta hears the call, the acceptance, or nothing of it, before alpha becomes a stranger.
    for heard in 0..3 {
        let mut world = World::new(&[0, 1, 1]);
        let machine = world.define(ALPHA, "one", size(1));
        world.update(ALPHA, machine, Verb::Activate);
        let sites = vec![Asked { site: world.parties[BETA].id, round_trip: None }];
        world.apply(ALPHA, Command::Seek { machine, sites, last: false });
        if heard > 0 {
            world.deliver(ALPHA, BETA);
        }
        if heard > 1 {
            world.deliver(BETA, ALPHA);
            world.now = world.now + agreement::HOLD;
        }
        world.remove_peer(BETA, ALPHA);
        world.deliver(BETA, ALPHA);
        world.now = world.now + agreement::HOLD;
        world.pass(Span::from_secs(1));
        world.deliver(BETA, ALPHA);
        world.settle();
        assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma", "heard {heard}");
        assert_eq!(world.peer(BETA, ALPHA).standing, Standing::Gone);
    }
}

#[test]
fn a_peer_that_is_added_again_goes_on_where_it_stopped() {
    let mut world = World::new(&[0, 1]);
    world.try_one(ALPHA, "one", size(2));
    world.remove_peer(ALPHA, BETA);
    world.settle();
    world.pass(ENDED_KEPT);
    let before = world.peer(ALPHA, BETA).clone();
    assert!(before.next > 1);
    world.add_peer(ALPHA, BETA, vec![]);
    assert_eq!(world.peer(ALPHA, BETA).next, before.next);
    assert_eq!(world.try_one(ALPHA, "two", size(1)), "two ACTIVE beta");
}

#[test]
fn a_peer_with_whom_not_a_word_was_exchanged_is_forgotten_unless_a_file_names_it() {
    let mut world = World::new(&[1, 1]);
    world.parties.push(party(9));
    let site = world.parties[2].id;
    let added = PeerEntry { site, name: "delta".parse().unwrap(), ..entry(&world, BETA, vec![]) };
    world.operator(ALPHA, OperatorAsk::AddPeer(added));
    world.operator(ALPHA, OperatorAsk::RemovePeer { site, drain: false });
    world.remove_peer(ALPHA, BETA);
    assert!(world.parties[ALPHA].site.is_untidy(world.now));
    let party = world.parties.pop().unwrap();
    world.pass(Span::from_secs(1));
    assert_eq!(world.parties[ALPHA].site.peer(party.id), None);
    assert_eq!(world.peer(ALPHA, BETA).standing, Standing::Gone);
    assert!(!world.parties[ALPHA].site.is_untidy(world.now));
}

#[test]
fn a_buyer_pays_its_own_factor_of_the_tariff() {
    let mut world = World::new(&[0, 1]);
    let factor = Permille::new(1_500).unwrap();
    world.set_policy(BETA, ALPHA, vec![Setting::PriceFactor(factor)]);
    world.try_one(ALPHA, "one", size(1));
    let plain = tariff(2).hourly(size(1));
    let (_, agreement) = world.parties[ALPHA].site.agreements().next().unwrap();
    assert_eq!(agreement.terms.price.hourly, Micros(plain.0 * 3 / 2));
}

/// What a machine of two processors at alpha is told of beta, under this policy of beta's, when
/// one of one processor runs there already.
fn told(settings: Vec<Setting>) -> String {
    let mut world = World::new(&[0, 4]);
    world.try_one(ALPHA, "one", size(1));
    world.set_policy(BETA, ALPHA, settings);
    world.try_one(ALPHA, "two", size(2))
}

#[test]
fn a_seller_refuses_what_its_policy_forbids_and_says_what_that_is() {
    let one = tariff(2).hourly(size(1)).0;
    let credit = |amount| vec![Setting::Credit(Some(Micros(amount)))];
    assert_eq!(told(credit(3 * one)), "two ACTIVE beta");
    for (settings, reason) in [
        (credit(3 * one - 1), agreement::Refusal::OverCredit),
        (vec![Setting::Largest(Some(size(1)))], agreement::Refusal::TooLarge),
        (vec![Setting::MachinesMax(Some(1))], agreement::Refusal::TooMany),
        (vec![Setting::SellsTo(false)], agreement::Refusal::NotServed),
    ] {
        let said = told(settings);
        assert!(said.ends_with(&format!("beta: {reason})")), "{said}");
    }
}

#[test]
fn what_is_offered_counts_against_the_credit_before_it_is_taken() {
    let mut world = World::new(&[0, 4]);
    let one = tariff(2).hourly(size(1)).0;
    world.set_policy(BETA, ALPHA, vec![Setting::Credit(Some(Micros(2 * one)))]);
    world.submit(ALPHA, manifest("shop", &[("web", 1, 3, &[])]), Mode::AllOrNothing);
    world.seek(ALPHA);
    world.deliver(ALPHA, BETA);
    let alpha = world.parties[ALPHA].id;
    let account = world.parties[BETA].site.account(alpha);
    assert_eq!((account.machines, account.hourly), (2, Micros(2 * one)));
    let last = world.owed(BETA, ALPHA).pop().unwrap();
    let over = agreement::Refusal::OverCredit;
    assert!(matches!(last.body(), Message::Refuse { reason, .. } if *reason == over), "{last:?}");
}

#[test]
fn what_is_reserved_is_not_sold_and_own_tenants_have_it() {
    let mut world = World::new(&[0, 4]);
    let reserve: Reserve = "0.5".parse().unwrap();
    world.operator(BETA, OperatorAsk::SetReserve { reserve });
    assert_eq!(world.parties[BETA].site.advert().unwrap().free, size(2));
    assert_eq!(world.try_one(ALPHA, "one", size(2)), "one ACTIVE beta");
    let said = world.try_one(ALPHA, "two", size(1));
    assert!(
        said.ends_with("beta: what is left there is kept for that site's own tenants)"),
        "{said}"
    );
    assert_eq!(world.try_one(BETA, "own", size(2)), "own ACTIVE beta");
}

#[test]
fn a_buyer_keeps_to_its_own_bounds() {
    let one = tariff(2).hourly(size(1));
    for (settings, expected) in [
        (vec![Setting::PriceMax(Some(one))], "one ACTIVE beta"),
        (vec![Setting::PriceMax(Some(Micros(one.0 - 1)))], "one ACTIVE gamma"),
        (vec![Setting::BuysFrom(false)], "one ACTIVE gamma"),
        (vec![Setting::Preference(Permille::new(100).unwrap())], "one ACTIVE gamma"),
    ] {
        let mut world = World::new(&[0, 1, 1]);
        world.set_policy(ALPHA, BETA, settings.clone());
        assert_eq!(world.try_one(ALPHA, "one", size(1)), expected, "{settings:?}");
    }
}

#[test]
fn replicas_of_a_component_are_spread_over_equally_good_peers() {
    let mut world = World::new(&[0, 4, 4]);
    // Gamma asks half as much again as beta, and this buyer would rather have gamma by as much.
    world.set_policy(ALPHA, GAMMA, vec![Setting::Preference(Permille::new(1_500).unwrap())]);
    let service = world.submit(ALPHA, manifest("shop", &[("web", 1, 4, &[])]), Mode::BestEffort);
    world.settle();
    let shown = world.view(ALPHA, service);
    let at = |name: &str| shown.matches(&format!("ACTIVE {name}")).count();
    assert_eq!((at("beta"), at("gamma")), (2, 2), "{shown}");
}

#[test]
fn what_a_peer_has_revoked_stays_so_whoever_says_less_and_however_often_it_comes_and_goes() {
    let mut world = World::new(&[1, 1]);
    let peer = world.parties[BETA].id;
    for (said, kept) in [(5, 5), (3, 5), (9, 9)] {
        let command = Command::Honours { peer, lowest: said };
        assert_eq!(world.apply(ALPHA, command), Outcome::Done);
        assert_eq!(world.peer(ALPHA, BETA).honoured, kept);
    }
    world.remove_peer(ALPHA, BETA);
    world.add_peer(ALPHA, BETA, vec![]);
    assert_eq!(world.peer(ALPHA, BETA).honoured, 9);
    let nobody = SiteId::from_bytes([9; 32]);
    let unknown = Outcome::Refused(Refusal::UnknownPeer { site: nobody });
    assert_eq!(world.apply(ALPHA, Command::Honours { peer: nobody, lowest: 1 }), unknown);
}
