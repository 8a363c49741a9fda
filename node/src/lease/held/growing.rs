//! Every order in which a site of one node can be asked for leases, grow, and shrink again: once the
//! only voter has given its vote away, nothing on its host lasts longer than whoever is elected
//! waits. Without the look, or without what it remembers, the same search finds a fault.

use std::collections::BTreeSet;

use super::tests::{DURATION, EPOCH, at, guest, leased};
use super::*;

/// What the only voter asks of its host before it gives a vote away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Look {
    /// As it is.
    Whole,
    /// It forgets which answers are still on their way.
    Forgetful,
    /// It does not look.
    Missing,
}

/// The question of the host, one at a time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Question {
    None,
    Asked {
        sent: u64,
    },
    /// By a grantor that is `accountable`, since the table has a second node, or not.
    Answered {
        sent: u64,
        secs: Option<u64>,
        accountable: bool,
    },
}

#[derive(Clone)]
struct World {
    now: u64,
    nodes: usize,
    voters: usize,
    question: Question,
    /// From when on somebody else waits, at the least.
    counted_from: u64,
    held: Held,
}

/// Until when the guest may run: by an inner none, without end.
type Until = Option<Option<Moment>>;

impl World {
    fn new() -> Self {
        let held = Held::default();
        let question = Question::None;
        Self { now: 0, nodes: 1, voters: 1, question, counted_from: 0, held }
    }

    fn until(&self) -> Until {
        self.held.grants.get(&guest(1)).map(|(_, grant)| match grant {
            Grant::Endless => None,
            Grant::Held(holder) => holder.until(),
        })
    }

    fn key(&self) -> (u64, usize, usize, Question, u64, Until, Option<Moment>) {
        let Self { now, nodes, voters, question, counted_from, ref held } = *self;
        (now, nodes, voters, question, counted_from, self.until(), held.bounded_at)
    }

    fn is_sound(&self) -> bool {
        let waits = at(self.counted_from) + DURATION;
        self.voters == 1
            || self.until().is_none_or(|until| until.is_some_and(|until| until <= waits))
    }

    /// The worlds that one step leads to.
    fn next(&self, look: Look) -> Vec<Self> {
        let mut next = vec![Self { now: self.now + 5, ..self.clone() }];
        match self.question {
            Question::None => {
                let question = Question::Asked { sent: self.now };
                next.push(Self { question, ..self.clone() });
            }
            Question::Asked { sent } => {
                // A home far away may grant its guests more than this site grants its own.
                let secs: &[_] = if self.nodes == 1 { &[None, Some(30)] } else { &[Some(10)] };
                next.extend(secs.iter().map(|secs| {
                    let accountable = self.nodes > 1;
                    let question = Question::Answered { sent, secs: *secs, accountable };
                    Self { question, ..self.clone() }
                }));
            }
            Question::Answered { sent, secs, accountable } => next.push({
                let mut world = Self { question: Question::None, ..self.clone() };
                let term = secs.map_or(Term::Endless, |secs| Term::For(Span::from_secs(secs)));
                let pending = Pending::sent(at(sent));
                let counts =
                    world.held.granted(pending, 1, DURATION, &leased(guest(1), EPOCH, term));
                if counts && accountable {
                    world.counted_from = world.counted_from.max(sent);
                }
                world
            }),
        }
        match (self.nodes, self.voters) {
            (1, _) => next.push(Self { nodes: 2, ..self.clone() }),
            (_, 1) => {
                next.push(Self { nodes: 1, ..self.clone() });
                next.extend(self.given_away(look));
            }
            _ => {}
        }
        next
    }

    fn given_away(&self, look: Look) -> Option<Self> {
        let counted_from = self.now.max(self.counted_from);
        let mut world = Self { voters: 2, counted_from, ..self.clone() };
        let timing = Timing::lasting(DURATION);
        let bounded = match look {
            Look::Whole => world.held.bound(timing, at(self.now), |_| false),
            Look::Forgetful => world.held.clone().bound(timing, at(self.now), |_| false),
            Look::Missing => true,
        };
        bounded.then_some(world)
    }
}

/// How many worlds there are in which the vote was given away and the guest has a lease; none, if
/// one of them is not sound.
fn search(look: Look) -> Option<usize> {
    let (mut seen, mut open, mut shared) = (BTreeSet::new(), vec![World::new()], 0);
    while let Some(world) = open.pop() {
        if world.now > 40 || !seen.insert(world.key()) {
            continue;
        }
        if !world.is_sound() {
            return None;
        }
        shared += usize::from(world.voters == 2 && world.until().is_some());
        open.extend(world.next(look));
    }
    Some(shared)
}

#[test]
fn a_vote_is_given_away_once_every_guest_ends_in_time() {
    assert!(search(Look::Whole).is_some_and(|shared| shared > 1_000));
}

#[test]
fn without_the_look_or_its_memory_a_guest_outlasts_the_wait() {
    assert_eq!(search(Look::Missing), None);
    assert_eq!(search(Look::Forgetful), None);
}
