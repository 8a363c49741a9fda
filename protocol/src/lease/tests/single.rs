//! Every case of one lease: two requests, each delayed on its way, in the read, behind the read and
//! on its way back; a second leader; the time that the end takes into the log; clocks at the ends
//! of what they may be.

use super::super::grantor::Question;
use super::super::{Grantor, Pending};
use super::Holder;
use super::grid::{Clock, FENCE_LATE, Fault, RATES, elected, timing};
use crate::time::Span;

/// How one request fares, in ticks of true time.
#[derive(Clone, Copy, Debug)]
struct Request {
    sent: u64,
    /// From there to its arrival, where the linearizable read begins.
    way: u64,
    /// How long the read takes.
    read: u64,
    /// How long the leader pauses before it takes note of the answer, and sends it.
    pause: u64,
    /// From there to the holder.
    back: u64,
}

impl Request {
    const fn arrived(self) -> u64 {
        self.sent + self.way
    }

    const fn read(self) -> u64 {
        self.arrived() + self.read
    }

    const fn answered(self) -> u64 {
        self.read() + self.pause
    }
}

/// One case.
#[derive(Clone, Copy, Debug)]
struct Case {
    holder: Clock,
    grantors: [Clock; 2],
    requests: [Request; 2],
    /// When the second leader is elected, if there is one.
    elected: Option<u64>,
    /// How long the end takes from the grantor's mind into the state.
    commit: u64,
}

impl Case {
    /// Which of the two leads at a tick.
    fn leader(&self, tick: u64) -> usize {
        usize::from(self.elected.is_some_and(|at| at <= tick))
    }
}

const SUBJECT: u8 = 0;
const HORIZON: u64 = 40;

/// Runs a case, and says when the end was in the state and until when a guest ran.
fn run(case: &Case, fault: Option<Fault>) -> (Option<u64>, u64) {
    let timing = timing(fault);
    let mut grantors = [
        Grantor::new(timing, 1, case.grantors[0].at(0)),
        Grantor::new(timing, 2, elected(case.grantors[1], case.elected.unwrap_or(0), fault)),
    ];
    let mut holder = Holder::default();
    let mut questions = [None, None];
    let (mut ending, mut ended): (Option<u64>, Option<u64>) = (None, None);
    for tick in 0..HORIZON {
        let lead = case.leader(tick);
        if case.elected == Some(tick) {
            // What the first leader was about to commit is lost with its term.
            ending = ending.filter(|_| fault == Some(Fault::Forwarded));
        }
        let now = case.grantors[lead].at(tick);
        if ending.is_none() && ended.is_none() && grantors[lead].end(SUBJECT, now) {
            ending = Some(tick);
        }
        if ended.is_none() && ending.is_some_and(|at| at + case.commit <= tick) {
            ended = Some(tick);
            grantors[lead].settled(SUBJECT);
        }
        for (request, question) in case.requests.iter().zip(&mut questions) {
            let leader = case.leader(request.arrived());
            if request.arrived() == tick && ended.is_none() {
                *question = Some(grantors[leader].question());
            }
            // A read that is under way when another leader is elected fails; an answer that is
            // merely late does not.
            if request.answered() != tick || case.leader(request.read()) != leader {
                continue;
            }
            let Some(question) = *question else { continue };
            let answer = answer(&mut grantors[leader], question, case, (tick, leader, fault));
            if let Some(duration) = answer {
                let from = match fault {
                    Some(Fault::FromAnswer) => tick + request.back,
                    _ => request.sent,
                };
                holder.granted(Pending::sent(case.holder.at(from)), duration);
            }
        }
    }
    let stopped = holder.until().map_or(0, |until| case.holder.reaches(until) + FENCE_LATE);
    (ended, stopped)
}

/// What a leader answers to a question whose read is done.
fn answer(
    grantor: &mut Grantor<u8>,
    question: Question,
    case: &Case,
    (tick, leader, fault): (u64, usize, Option<Fault>),
) -> Option<Span> {
    if fault == Some(Fault::NoEnding) {
        let granted = question == grantor.question();
        return granted.then_some(timing(fault).duration);
    }
    let question = match fault {
        Some(Fault::NoQuestion) => grantor.question(),
        _ => question,
    };
    grantor.answer(question, SUBJECT, case.grantors[leader].at(tick)).ok()
}

fn requests(sent: impl IntoIterator<Item = u64> + Clone, delays: &[u64]) -> Vec<Request> {
    let mut all = Vec::new();
    for sent in sent {
        for &way in delays {
            for &read in delays {
                for &pause in delays {
                    for &back in delays {
                        all.push(Request { sent, way, read, pause, back });
                    }
                }
            }
        }
    }
    all
}

/// Goes through all cases until `found` is; says how many there were and how many ended.
fn search(fault: Option<Fault>, mut found: impl FnMut(&Case, u64, u64) -> bool) -> (u64, u64) {
    let (mut cases, mut ends) = (0, 0);
    let clocks = RATES.map(|rate| Clock { rate });
    let first = requests([1], &[0, 3]);
    let second = requests([2, 4, 9], &[0, 5]);
    for holder in clocks {
        for former in clocks {
            for latter in clocks {
                for elected in [None, Some(1), Some(3), Some(5), Some(9)] {
                    for commit in [0, 2, 6] {
                        for one in &first {
                            for other in &second {
                                let case = Case {
                                    holder,
                                    grantors: [former, latter],
                                    requests: [*one, *other],
                                    elected,
                                    commit,
                                };
                                cases += 1;
                                let (ended, stopped) = run(&case, fault);
                                let Some(ended) = ended else { continue };
                                ends += 1;
                                if found(&case, ended, stopped) {
                                    return (cases, ends);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    (cases, ends)
}

#[test]
fn no_guest_runs_once_its_lease_has_ended() {
    let (cases, ends) = search(None, |case, ended, stopped| {
        assert!(stopped <= ended, "a guest ran until {stopped}, the end was at {ended}: {case:?}");
        false
    });
    assert!(cases > 90_000 && ends > cases / 2, "{ends} leases of {cases} ended");
}

#[test]
fn every_planted_fault_of_a_lease_is_found() {
    let faults = [
        Fault::NoDrift,
        Fault::NoMargin,
        Fault::FromAnswer,
        Fault::NoWait,
        Fault::NoEnding,
        Fault::NoQuestion,
        Fault::Forwarded,
    ];
    for fault in faults {
        let mut found = false;
        search(Some(fault), |_, ended, stopped| {
            found = stopped > ended;
            found
        });
        assert!(found, "the grid does not find {fault:?}");
    }
}
