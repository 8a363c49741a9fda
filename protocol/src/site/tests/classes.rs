//! Claims about classes of service: what a machine is promised, by whom, and what it costs.

use super::state::Termination;
use super::*;
use crate::agreement::{self, Terms};
use crate::peering::TERM;
use crate::units::Permille;

/// Gold at a factor in thousandths.
fn gold(factor: u32) -> Catalogue {
    Catalogue { gold: Permille::new(factor), ..Catalogue::NONE }
}

impl World {
    /// A site says what it promises from now on.
    fn promise(&mut self, at: usize, classes: Catalogue) {
        let site = &self.parties[at];
        let profile = site.site.profile().unwrap();
        let configure = Configure {
            site: site.id,
            name: profile.name.clone(),
            tariff: Tariff { classes, ..profile.tariff },
            peers: vec![],
        };
        self.apply(at, Command::Configure(configure));
    }

    /// Alpha defines a machine of this class, and starts it.
    pub(super) fn start(&mut self, class: Class) -> MachineId {
        let (name, image) = ("one".parse().unwrap(), "guest".parse().unwrap());
        let (sites, on_partition) = (None, OnPartition::Fence);
        let ask = TenantAsk::Define {
            name,
            image,
            size: size(1),
            sites,
            on_partition,
            class,
            user_data: None,
        };
        let Outcome::Machine(machine) = self.ask(ALPHA, ask) else { panic!("it is defined") };
        self.update(ALPHA, machine, Verb::Activate);
        machine
    }

    fn terms(&self) -> Terms {
        self.parties[ALPHA].site.agreements().next().unwrap().1.terms.clone()
    }
}

#[test]
fn a_machine_goes_where_it_is_promised_what_it_asks_for() {
    let mut world = World::new(&[4, 4, 4]);
    world.promise(GAMMA, gold(1_500));
    let machine = world.start(Class::Gold);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE gamma");
    let terms = world.terms();
    assert_eq!(terms.class, Class::Gold);
    assert_eq!(terms.price.hourly, Micros(tariff(3).hourly(size(1)).0 * 3 / 2));
}

#[test]
fn a_site_that_promises_it_runs_it_itself() {
    let mut world = World::new(&[4, 4]);
    world.promise(ALPHA, gold(2_000));
    let machine = world.start(Class::Silver);
    world.settle();
    assert_eq!(world.view_machine(ALPHA, machine), "one ACTIVE alpha");
}

#[test]
fn where_nobody_promises_so_much_everybody_says_so() {
    let mut world = World::new(&[4, 4]);
    let bronze = Catalogue { bronze: Some(Permille::ONE), ..Catalogue::NONE };
    world.promise(BETA, bronze);
    let machine = world.start(Class::Gold);
    world.settle();
    assert_eq!(
        world.view_machine(ALPHA, machine),
        "one FAILED nowhere (this site sells nothing of so good a class; beta: that site sells \
         nothing of so good a class)"
    );
}

#[test]
fn the_cheapest_class_that_is_good_enough_is_offered() {
    let mut world = World::new(&[0, 4]);
    let bronze = Permille::new(1_400);
    world.promise(BETA, Catalogue { bronze, ..gold(1_200) });
    world.start(Class::Bronze);
    world.settle();
    assert_eq!(world.terms().class, Class::Gold);
    assert_eq!(world.terms().price.hourly, Micros(tariff(2).hourly(size(1)).0 * 6 / 5));
}

#[test]
fn an_offer_of_a_lesser_class_is_declined() {
    let mut world = World::new(&[0, 4]);
    world.promise(BETA, gold(1_000));
    world.start(Class::Gold);
    world.seek(ALPHA);
    world.deliver(ALPHA, BETA);
    let word = world.owed(BETA, ALPHA).remove(0);
    let Message::Offer { call, terms, .. } = word.body().clone() else { panic!("{word:?}") };
    let hold = HoldId::from_uuid(uuid::Uuid::from_u128(1));
    let lesser = Terms { class: Class::Silver, ..terms };
    world.smuggle(BETA, ALPHA, Message::Offer { call, hold, terms: lesser });
    let answer = world.owed(ALPHA, BETA).pop().unwrap().body().clone();
    let reason = agreement::Refusal::Malformed;
    assert_eq!(answer, Message::Decline { hold, reason });
}

#[test]
fn an_agreement_keeps_its_class_and_ends_where_that_is_sold_no_more() {
    let mut world = World::new(&[0, 4]);
    world.promise(BETA, gold(1_500));
    world.start(Class::Gold);
    world.settle();
    world.promise(BETA, gold(1_200));
    world.pass(Span::from_secs(28 * 86_400));
    world.settle();
    let (_, renewed) = world.agreement(BETA);
    assert_eq!(renewed.terms.class, Class::Gold);
    assert_eq!(renewed.terms.price.hourly, Micros(tariff(2).hourly(size(1)).0 * 6 / 5));
    world.promise(BETA, Catalogue::NONE);
    world.pass(Span::from_millis(TERM.as_millis() - 86_400_000));
    world.settle();
    let reason = agreement::Refusal::ClassNotSold;
    let (_, ending) = world.agreement(ALPHA);
    assert!(matches!(ending.termination, Some(Termination { reason: it, .. }) if it == reason));
}

#[test]
fn what_is_promised_is_advertised_and_planned_for() {
    let mut world = World::new(&[4, 4]);
    world.promise(BETA, gold(1_500));
    let advert = world.parties[BETA].site.advert().unwrap();
    assert_eq!(advert.tariff.classes, gold(1_500));
    let candidate = crate::market::book::Candidate {
        site: world.parties[BETA].id,
        free: advert.free,
        largest: advert.largest,
        tariff: advert.tariff,
    };
    let text = "service: shop\ncomponents:\n  web: { image: guest, vcpus: 1, memory: 1GiB, disk: \
                1GiB, sla: Gold }\n";
    let manifest = manifest::parse(text.as_bytes()).unwrap();
    let planned = world.parties[ALPHA].site.plan(&manifest, &[candidate]).unwrap();
    let dear = Micros(tariff(2).hourly(size(1)).0 * 3 / 2);
    assert!(
        matches!(&planned[0].place, Where::Peer { site, price, .. }
            if *site == world.parties[BETA].id && price.hourly == dear),
        "{planned:?}"
    );
}
