//! Claims about the hand-over: every world of one move, in which anything may be lost, late, or told
//! twice, is looked at. Rules are broken on purpose as well, and that has to be found.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The guest at the source.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Leaving {
    Runs,
    Stands,
    Gone,
}

/// The guest at the destination.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Arriving {
    Waits,
    Runs,
    Gone,
}

/// One move, as everybody has it, and as it is.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct World {
    home: AtHome,
    source: AtSource,
    destination: AtDestination,
    leaving: Leaving,
    arriving: Arriving,
    /// The leases that are held. A guest runs only under one: the fence stops it.
    leases: Leases,
    /// The source has said that its guest stands still; the destination may hear of it at any time.
    is_copied: bool,
    is_granted: bool,
    /// The home has placed the machine anew.
    is_placed_anew: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Act {
    Copy,
    Take,
    Start,
    Refuse,
    EndArriving,
    TellHome,
    TellSource,
    Resume,
    EndLeaving,
    CallOff,
    AskToRefuse,
    Renew,
    GiveUp,
    PlaceAnew,
    // Faults, and time that passes.
    LoseSource,
    LoseDestination,
    EndGrant,
    CrashArriving,
    CrashLeaving,
}

const ACTS: [Act; 19] = [
    Act::Copy,
    Act::Take,
    Act::Start,
    Act::Refuse,
    Act::EndArriving,
    Act::TellHome,
    Act::TellSource,
    Act::Resume,
    Act::EndLeaving,
    Act::CallOff,
    Act::AskToRefuse,
    Act::Renew,
    Act::GiveUp,
    Act::PlaceAnew,
    Act::LoseSource,
    Act::LoseDestination,
    Act::EndGrant,
    Act::CrashArriving,
    Act::CrashLeaving,
];

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Broken {
    Nothing,
    /// The destination takes a machine whose guest may run at the source.
    TakesTooEarly,
    /// The destination starts what it has not taken.
    StartsUntaken,
    /// The source goes on when it hears nothing.
    ResumesUntold,
    /// The home gives up a destination that can run the machine.
    GivesUpTooEarly,
    /// The home renews the lease of a destination that it has given up.
    RenewsTooLong,
    /// The home does not renew leases while a move is on.
    RenewsNothing,
    /// The source keeps its guest although it runs elsewhere, and lets it go on.
    ResumesMoved,
    /// The home never tells the source.
    TellsNobody,
}

const LEASE: Span = Span::from_secs(10);

impl World {
    fn begin() -> Self {
        Self {
            home: AtHome::Open,
            source: AtSource::Leaving,
            destination: AtDestination::Awaiting,
            leaving: Leaving::Runs,
            arriving: Arriving::Waits,
            leases: Leases { source: true, destination: true },
            is_copied: false,
            is_granted: true,
            is_placed_anew: false,
        }
    }

    /// How many of the machine run.
    fn running(&self) -> usize {
        let leaving = self.leaving == Leaving::Runs && self.leases.source;
        let arriving = self.arriving == Arriving::Runs && self.leases.destination;
        [leaving, arriving, self.is_placed_anew].into_iter().filter(|runs| *runs).count()
    }

    /// One runs, all say the same of it, and nothing is left elsewhere.
    fn is_over(&self) -> bool {
        let source = (self.source, self.leaving);
        let destination = (self.destination, self.arriving);
        self.running() == 1
            && match self.home {
                AtHome::Open | AtHome::CalledOff => false,
                AtHome::Settled(Verdict::Taken) => {
                    source == (AtSource::Left, Leaving::Gone)
                        && destination == (AtDestination::Taken, Arriving::Runs)
                }
                AtHome::Settled(Verdict::Returned) => {
                    source == (AtSource::Stayed, Leaving::Runs)
                        && destination == (AtDestination::Returned, Arriving::Gone)
                }
                // What is left where the home has given up cannot run, and is ended with its epoch.
                AtHome::Void => source == (AtSource::Stayed, Leaving::Runs),
                AtHome::Abandoned => self.is_placed_anew,
            }
    }

    /// A guest has crashed, or what was copied has: that is not the hand-over's to mend.
    fn is_lost(&self) -> bool {
        let taken = matches!(self.home, AtHome::Settled(Verdict::Taken));
        let runs_here = matches!(self.home, AtHome::Settled(Verdict::Returned) | AtHome::Void);
        (taken && self.arriving == Arriving::Gone) || (runs_here && self.leaving == Leaving::Gone)
    }

    /// What comes of an act; nothing where it cannot be, or changes nothing.
    fn after(&self, act: Act, broken: Broken) -> Option<Self> {
        let mut next = self.clone();
        match act {
            Act::Copy | Act::Resume | Act::EndLeaving => next.leave(act, broken)?,
            Act::Take | Act::Start | Act::Refuse | Act::EndArriving | Act::AskToRefuse => {
                next.arrive(act, broken)?;
            }
            Act::TellHome
            | Act::TellSource
            | Act::CallOff
            | Act::Renew
            | Act::GiveUp
            | Act::PlaceAnew => {
                next.decide_at_home(act, broken)?;
            }
            Act::LoseSource => next.leases.source = false,
            Act::LoseDestination => next.leases.destination = false,
            Act::EndGrant => next.is_granted = false,
            Act::CrashArriving => {
                next.arriving = Arriving::Gone;
                next.destination = self.destination.refuse();
            }
            Act::CrashLeaving => next.leaving = Leaving::Gone,
        }
        (next != *self).then_some(next)
    }

    /// What the source does.
    fn leave(&mut self, act: Act, broken: Broken) -> Option<()> {
        match act {
            Act::Copy => {
                if self.leaving != Leaving::Runs
                    || self.arriving != Arriving::Waits
                    || self.source != AtSource::Leaving
                {
                    return None;
                }
                self.leaving = Leaving::Stands;
                self.is_copied = true;
            }
            Act::Resume => {
                let may = self.source.may_resume()
                    || (broken == Broken::ResumesUntold && self.source == AtSource::Leaving)
                    || (broken == Broken::ResumesMoved && self.source == AtSource::Left);
                if !may || self.leaving != Leaving::Stands {
                    return None;
                }
                self.leaving = Leaving::Runs;
            }
            _ => {
                if self.source.must_end() {
                    self.leaving = Leaving::Gone;
                }
            }
        }
        Some(())
    }

    /// What the destination does.
    fn arrive(&mut self, act: Act, broken: Broken) -> Option<()> {
        match act {
            Act::Take => {
                let ready = Ready {
                    is_copied: self.is_copied || broken == Broken::TakesTooEarly,
                    lease_left: if self.leases.destination { LEASE } else { Span::default() },
                    is_granted: self.is_granted,
                };
                self.destination = self.destination.take(ready).ok()?;
            }
            Act::Start => {
                let may = self.destination.may_start() || broken == Broken::StartsUntaken;
                if self.arriving != Arriving::Waits || !may {
                    return None;
                }
                self.arriving = Arriving::Runs;
            }
            Act::AskToRefuse if self.home != AtHome::CalledOff => return None,
            Act::Refuse | Act::AskToRefuse => self.destination = self.destination.refuse(),
            _ => {
                if self.destination == AtDestination::Refusing {
                    self.arriving = Arriving::Gone;
                    self.destination = self.destination.gone();
                }
            }
        }
        Some(())
    }

    /// What the home does, and what is heard of it.
    fn decide_at_home(&mut self, act: Act, broken: Broken) -> Option<()> {
        match act {
            // What contradicts is kept as proof, and changes nothing.
            Act::TellHome => self.home = self.home.heard(self.destination.verdict()?).ok()?,
            Act::TellSource if broken == Broken::TellsNobody => return None,
            Act::TellSource => self.source = self.source.told(self.home.outcome()?),
            Act::CallOff => self.home = self.home.call_off(),
            Act::Renew => {
                let mut renewed = self.home.renews();
                if broken == Broken::RenewsNothing {
                    renewed = Leases { source: false, destination: false };
                }
                renewed.destination |= broken == Broken::RenewsTooLong && self.home == AtHome::Void;
                self.leases.source |= renewed.source;
                self.leases.destination |= renewed.destination;
            }
            Act::GiveUp => {
                let mut held = self.leases;
                held.destination &= broken != Broken::GivesUpTooEarly;
                self.home = self.home.give_up(held);
            }
            _ => self.is_placed_anew |= self.home == AtHome::Abandoned,
        }
        Some(())
    }
}

/// Every world that can come of the first, each with how it comes about.
fn reached(broken: Broken) -> BTreeMap<World, Option<(World, Act)>> {
    let mut reached = BTreeMap::from([(World::begin(), None)]);
    let mut ahead = vec![World::begin()];
    while let Some(world) = ahead.pop() {
        for act in ACTS {
            let Some(next) = world.after(act, broken) else { continue };
            if !reached.contains_key(&next) {
                reached.insert(next.clone(), Some((world.clone(), act)));
                ahead.push(next);
            }
        }
    }
    reached
}

/// How a world comes about.
fn story(reached: &BTreeMap<World, Option<(World, Act)>>, world: &World) -> String {
    let mut acts = Vec::new();
    let mut at = world;
    while let Some(Some((before, act))) = reached.get(at) {
        acts.push(format!("{act:?}"));
        at = before;
    }
    acts.reverse();
    format!("{} lead to {world:?}", acts.join(", "))
}

/// A world in which two run, if there is one.
fn two_run(broken: Broken) -> Option<String> {
    let reached = reached(broken);
    let world = reached.keys().find(|world| world.running() > 1)?;
    Some(story(&reached, world))
}

/// A world from which these acts never lead to an end, if there is one.
fn stuck(broken: Broken, acts: &[Act], is_end: impl Fn(&World) -> bool) -> Option<String> {
    let reached = reached(broken);
    let mut ends: BTreeSet<&World> = reached.keys().filter(|world| is_end(world)).collect();
    loop {
        let before = ends.len();
        let more: Vec<&World> = reached
            .keys()
            .filter(|world| !ends.contains(world))
            .filter(|world| {
                let next = acts.iter().filter_map(|act| world.after(*act, broken));
                next.into_iter().any(|next| ends.contains(&next))
            })
            .collect();
        ends.extend(more);
        if ends.len() == before {
            break;
        }
    }
    reached.keys().find(|world| !ends.contains(world)).map(|world| story(&reached, world))
}

/// What happens when nothing fails any more.
const HEALED: [Act; 14] = [
    Act::Copy,
    Act::Take,
    Act::Start,
    Act::Refuse,
    Act::EndArriving,
    Act::TellHome,
    Act::TellSource,
    Act::Resume,
    Act::EndLeaving,
    Act::CallOff,
    Act::AskToRefuse,
    Act::Renew,
    Act::GiveUp,
    Act::PlaceAnew,
];

/// What happens when the destination is never heard of again.
const WITHOUT_DESTINATION: [Act; 7] = [
    Act::LoseDestination,
    Act::GiveUp,
    Act::PlaceAnew,
    Act::TellSource,
    Act::Resume,
    Act::EndLeaving,
    Act::Renew,
];

/// What happens when neither is heard of again.
const HOME_ALONE: [Act; 4] = [Act::LoseSource, Act::LoseDestination, Act::GiveUp, Act::PlaceAnew];

#[test]
fn never_do_two_run() {
    assert_eq!(two_run(Broken::Nothing), None);
}

fn is_healed(world: &World) -> bool {
    world.is_over() || world.is_lost()
}

#[test]
fn once_all_is_healed_one_runs_and_all_say_the_same() {
    assert_eq!(stuck(Broken::Nothing, &HEALED, is_healed), None);
}

#[test]
fn if_the_destination_is_never_heard_of_again_the_source_goes_on() {
    let is_end = |world: &World| match world.home {
        AtHome::Open | AtHome::CalledOff => false,
        // What is lost where it has arrived is mended as whatever is lost.
        AtHome::Settled(Verdict::Taken) => true,
        AtHome::Settled(Verdict::Returned) | AtHome::Void => {
            is_healed(world) || {
                // The source's lease ended after the destination's: it is mended as whatever is lost.
                !world.leases.source
            }
        }
        AtHome::Abandoned => world.is_placed_anew,
    };
    assert_eq!(stuck(Broken::Nothing, &WITHOUT_DESTINATION, is_end), None);
}

#[test]
fn if_neither_is_heard_of_again_the_home_places_it_anew() {
    let is_end = |world: &World| match world.home {
        AtHome::Open | AtHome::CalledOff => false,
        AtHome::Settled(_) | AtHome::Void => true,
        AtHome::Abandoned => world.running() == 1,
    };
    assert_eq!(stuck(Broken::Nothing, &HOME_ALONE, is_end), None);
}

#[test]
fn a_rule_that_is_broken_lets_two_run() {
    for broken in [
        Broken::TakesTooEarly,
        Broken::StartsUntaken,
        Broken::ResumesUntold,
        Broken::GivesUpTooEarly,
        Broken::RenewsTooLong,
        Broken::ResumesMoved,
    ] {
        assert!(two_run(broken).is_some(), "{broken:?} is not found");
    }
}

#[test]
fn a_rule_that_is_broken_leaves_none_for_good() {
    for broken in [Broken::RenewsNothing, Broken::TellsNobody] {
        assert!(stuck(broken, &HEALED, is_healed).is_some(), "{broken:?} is not found");
    }
}

#[test]
fn a_machine_is_taken_only_with_all_of_it_here_and_enough_of_its_lease_left() {
    let ready = Ready { is_copied: true, lease_left: LEASE_LEFT_MIN, is_granted: true };
    let awaiting = AtDestination::Awaiting;
    assert_eq!(awaiting.take(ready), Ok(AtDestination::Taken));
    let short = Span::from_millis(LEASE_LEFT_MIN.as_millis() - 1);
    let cases = [
        (Ready { lease_left: short, ..ready }, NotTaken::Lease(short)),
        (Ready { is_copied: false, ..ready }, NotTaken::NotCopied),
        (Ready { is_granted: false, ..ready }, NotTaken::NotGranted),
    ];
    for (unready, why) in cases {
        assert_eq!(awaiting.take(unready), Err(why));
        assert_eq!(
            AtDestination::Taken.take(unready),
            Ok(AtDestination::Taken),
            "once is for good"
        );
    }
    for over in [AtDestination::Refusing, AtDestination::Returned] {
        assert_eq!(over.take(ready), Err(NotTaken::Over(over)));
    }
}

#[test]
fn a_destination_that_says_both_contradicts_itself() {
    for (said, now) in [(Verdict::Taken, Verdict::Returned), (Verdict::Returned, Verdict::Taken)] {
        let home = AtHome::Open.heard(said).unwrap();
        assert_eq!(home.heard(said), Ok(home));
        assert_eq!(home.heard(now), Err(Contradiction { said, now }));
        assert_eq!(home.call_off(), home, "it is too late for that");
    }
}
