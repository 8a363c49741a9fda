//! A federation in one thread, from one seed: many sites, a network that fails, hosts that are
//! killed between any two steps, tenants that never stop asking.
//!
//! Every site is the real [`protocol::site::Site`], fed by a log that several replicas follow with
//! lag; its messages are really signed, encoded and verified, and its leases counted by the real
//! arithmetic on clocks that drift. Modelled are only the hypervisor ([`host`]), the order that Raft
//! gives a site's log ([`world`]) and its changes of members ([`nodes`]), what a node does around
//! leases ([`leases`]), and the network ([`network`]).
//!
//! | property | in words | judged |
//! | --- | --- | --- |
//! | [`one_instance`](invariants::one_instance) | a machine runs once, boots once in an epoch, goes on once from saved memory | at every start |
//! | [`durability`](invariants::durability) | what was acknowledged is never lost or done twice | after every event |
//! | [`capacity`](invariants::capacity) | nothing is promised twice, and rows agree with each other | after every event |
//! | [`policy`](invariants::policy) | no offer exceeds credit, number, size or what is kept | after every event |
//! | [`scaling`](invariants::scaling) | a component has as many machines as was granted | at every grant |
//! | [`own_tenants`](invariants::own_tenants) | a site that is alone serves its own tenants | near the end of each such cut |
//! | refusals | a refused command changes no row ([`replica`]) | at every command |
//! | orphans | no process that its site does not know ([`hosting`]) | at every look of a host |
//! | [`settled`](invariants::settled) | once nothing goes wrong, everything comes to its end | at the end |
//! | [`forgetting`](invariants::forgetting) | what has ended is forgotten, and nothing else | at the end |
//! | [`replicas`](invariants::replicas) | the same log makes the same rows | at the end |
//!
//! A failing seed prints the command that replays it. `RESERVOIR_SEEDS` says how many small worlds
//! are run; `RESERVOIR_HOURS` says for how many hours worlds are run that nobody has seen before.

mod census;
mod chance;
mod driver;
mod faults;
mod founding;
mod host;
mod hosting;
mod invariants;
mod leases;
mod member;
mod network;
mod nodes;
mod operators;
mod replica;
mod rule;
mod tenants;
mod world;

use std::io::{Write as _, stderr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use census::Census;
use invariants::Breach;
use rule::Rule;
use world::{Shape, Summary, World};

/// How many small worlds are run, unless `RESERVOIR_SEEDS` says otherwise: what fits a minute.
const SEEDS: u64 = 200;

/// Within so many small worlds a rule that was left out must have been missed.
const SEEDS_UNTIL_MISSED: u64 = 150;

/// A number from the environment, by which a person repeats or lengthens a run.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration file")]
fn asked_for(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

/// A small world: three to twelve sites, by its seed.
const fn small(seed: u64) -> Shape {
    let sites = 3 + seed % 10;
    Shape { sites, services: 2 * sites, trouble: 120_000, pace: 24_000 }
}

fn run(shape: Shape, seed: u64, left_out: Option<Rule>) -> Result<Summary, Breach> {
    World::new(shape, seed, left_out).run()
}

/// Runs a world in which everything must hold.
fn holds(test: &str, shape: Shape, seed: u64) -> Summary {
    run(shape, seed, None).unwrap_or_else(|breach| {
        panic!(
            "{breach}\nreplay: RESERVOIR_SEED={seed} cargo nextest run -p tests --test simulation \
             {test}"
        )
    })
}

/// Runs small worlds that nobody has seen before for so long, and says now and then how many.
fn keep_on(test: &str, span: Duration) {
    let begun = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let first = now.as_secs() * 1_000_000;
    for seed in first.. {
        if (seed - first).is_multiple_of(100) {
            let (passed, secs) = (seed - first, begun.elapsed().as_secs());
            let line = format!("{passed} worlds from seed {first} on have passed in {secs} s\n");
            stderr().write_all(line.as_bytes()).expect("somebody reads it");
            if begun.elapsed() >= span {
                return;
            }
        }
        holds(test, small(seed), seed);
    }
}

#[test]
fn small_worlds_keep_every_promise() {
    let test = "small_worlds_keep_every_promise";
    if let Some(seed) = asked_for("RESERVOIR_SEED") {
        holds(test, small(seed), seed);
        return;
    }
    if let Some(hours) = asked_for("RESERVOIR_HOURS") {
        keep_on(test, Duration::from_secs(hours * 3_600));
        return;
    }
    let mut census = Census::default();
    for seed in 0..asked_for("RESERVOIR_SEEDS").unwrap_or(SEEDS) {
        census.add(&holds(test, small(seed), seed).census);
    }
    let missing: Vec<_> = census.rows().into_iter().filter(|(_, count)| *count == 0).collect();
    assert!(missing.is_empty(), "never met: {missing:?} of {census:#?}");
}

/// A large world: as many sites as a federation of a country may have.
fn two_hundred_sites(test: &str, seed: u64) {
    let seed = asked_for("RESERVOIR_SEED").unwrap_or(seed);
    let shape = Shape { sites: 200, services: 240, trouble: 120_000, pace: 24_000 };
    let census = holds(test, shape, seed).census;
    assert!(census.machines_there > 0, "peers ran machines: {census:#?}");
    assert!(census.messages_lost > 0, "messages were lost: {census:#?}");
    assert!(census.messages_doubled > 0, "messages were doubled: {census:#?}");
    assert!(census.messages_reordered > 0, "messages were reordered: {census:#?}");
    assert!(census.machines_given_back > 0, "machines were placed anew: {census:#?}");
}

#[test]
fn two_hundred_sites_keep_every_promise() {
    two_hundred_sites("two_hundred_sites_keep_every_promise", 200);
}

#[test]
fn two_hundred_other_sites_keep_every_promise() {
    two_hundred_sites("two_hundred_other_sites_keep_every_promise", 201);
}

#[test]
fn one_seed_is_one_history() {
    let once = holds("one_seed_is_one_history", small(3), 3);
    let again = holds("one_seed_is_one_history", small(3), 3);
    let other = holds("one_seed_is_one_history", small(13), 13);
    assert_eq!(once.transcript, again.transcript, "the same seed, another history");
    assert_ne!(once.transcript, other.transcript, "another seed, the same history");
}

/// The longest time between two faults in worlds where more goes wrong than usual, in
/// milliseconds.
const HECTIC: u64 = 6_000;

/// As usual: what runs has time to get somewhere before it is cut off.
const USUAL: u64 = 24_000;

/// Leaves a rule out, in small worlds of this pace, and expects that one of `properties` is found
/// not to hold.
fn is_missed(left_out: Rule, pace: u64, properties: &[&str]) {
    let found = (0..SEEDS_UNTIL_MISSED).find_map(|seed| {
        let shape = Shape { pace, ..small(seed) };
        run(shape, seed, Some(left_out)).err()
    });
    let Some(breach) = found else { panic!("nobody missed {left_out:?}") };
    assert!(properties.contains(&breach.property), "{left_out:?} was missed as: {breach}");
}

#[test]
fn a_fence_that_stops_nothing_is_found() {
    is_missed(Rule::Fence, USUAL, &["one_instance"]);
}

#[test]
fn a_new_leader_that_does_not_wait_is_found() {
    is_missed(Rule::NewLeaderWaits, USUAL, &["one_instance", "settled"]);
}

#[test]
fn a_holder_that_counts_from_the_answer_is_found() {
    is_missed(Rule::CountedFromSending, USUAL, &["one_instance"]);
}

#[test]
fn a_node_that_gives_its_vote_away_too_early_is_found() {
    is_missed(Rule::BoundedFirst, USUAL, &["one_instance"]);
}

#[test]
fn a_leader_that_keeps_what_it_acknowledges_to_itself_is_found() {
    is_missed(Rule::StoredByMajority, USUAL, &["durability"]);
}

#[test]
fn a_host_that_runs_guests_before_it_says_so_is_found() {
    is_missed(Rule::PreparedFirst, HECTIC, &["one_instance"]);
}

#[test]
fn a_host_that_keeps_saved_memory_is_found() {
    is_missed(Rule::SavedOnce, HECTIC, &["one_instance"]);
}

#[test]
fn a_host_that_looks_at_the_past_is_found() {
    is_missed(Rule::CaughtUp, HECTIC, &["one_instance", "orphans"]);
}

#[test]
fn a_site_that_takes_late_word_of_a_guest_for_new_is_found() {
    is_missed(Rule::EpochsTold, HECTIC, &["undisturbed"]);
}

#[test]
fn a_node_that_acknowledges_too_early_is_found() {
    is_missed(Rule::CommittedFirst, HECTIC, &["durability"]);
}

#[test]
fn a_site_that_takes_messages_up_twice_is_found() {
    is_missed(Rule::Numbered, HECTIC, &["settled", "capacity", "one_instance", "durability"]);
}

#[test]
fn a_seller_that_forgets_its_holds_is_found() {
    is_missed(Rule::HoldsCounted, HECTIC, &["capacity", "policy"]);
}

#[test]
fn a_seller_that_gives_credit_without_end_is_found() {
    is_missed(Rule::CreditBounded, HECTIC, &["policy"]);
}

#[test]
fn a_seller_that_sells_what_it_should_keep_is_found() {
    is_missed(Rule::ReserveKept, HECTIC, &["policy"]);
}
