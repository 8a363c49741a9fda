//! Every case of a chain of two: a home's leader, a provider's leader, a host; another leader of
//! the provider; clocks at the ends of what they may be.

use super::super::{Grantor, Pending, Session};
use super::grid::{Clock, FENCE_LATE, Fault, RATES, timing};
use super::{Holder, guest};

/// An exchange, in ticks of true time: when it was asked, answered, and the answer was there.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    asked: u64,
    answered: u64,
    heard: u64,
}

/// One case: the provider's leader asks the home, the host asks the leader, each twice.
#[derive(Clone, Copy, Debug)]
struct Case {
    home: Clock,
    leaders: [Clock; 2],
    host: Clock,
    sessions: [Exchange; 2],
    hosts: [Exchange; 2],
    /// When the provider has another leader, if ever. It asks for its own sessions.
    elected: Option<u64>,
}

const EPOCH: u64 = 1;
const HORIZON: u64 = 40;

impl Case {
    /// Which of the provider's leaders has the word at a tick.
    fn leader(&self, tick: u64) -> usize {
        usize::from(self.elected.is_some_and(|at| at <= tick))
    }
}

/// Runs a case, and says when the home knew that the session had ended, and until when a guest
/// ran.
fn run(case: &Case, fault: Option<Fault>) -> (u64, u64) {
    let timing = timing(fault);
    let mut home = Grantor::new(timing, 1, case.home.at(0));
    let mut sessions = [Session::default(), Session::default()];
    let mut host = Holder::default();
    let mut ended = None;
    for tick in 0..HORIZON {
        if ended.is_none() && home.end((), case.home.at(tick)) {
            ended = Some(tick);
        }
        for exchange in case.sessions {
            if exchange.answered == tick {
                // Once the session has ended this is refused, and `granted` says so.
                let question = home.question();
                let _ = home.answer(question, (), case.home.at(tick));
            }
            let granted = ended.is_none_or(|at| exchange.answered < at);
            // Whoever asked hears the answer, if it still leads.
            let leader = case.leader(exchange.asked);
            if exchange.heard == tick && granted && case.leader(tick) == leader {
                let from = match fault {
                    Some(Fault::FromAnswer) => exchange.heard,
                    _ => exchange.asked,
                };
                let pending = Pending::sent(case.leaders[leader].at(from));
                sessions[leader].granted(pending, timing.duration, [(guest(1), EPOCH)]);
            }
        }
        for exchange in case.hosts.iter().filter(|exchange| exchange.answered == tick) {
            let leader = case.leader(tick);
            let now = case.leaders[leader].at(tick);
            let Some(remaining) = sessions[leader].remaining(guest(1), EPOCH, now) else {
                continue;
            };
            let passed = match fault {
                Some(Fault::WholeDuration) => timing.duration,
                _ => remaining,
            };
            host.granted(Pending::sent(case.host.at(exchange.asked)), passed);
        }
    }
    let stopped = host.until().map_or(0, |until| case.host.reaches(until) + FENCE_LATE);
    (ended.unwrap_or(HORIZON), stopped)
}

fn exchanges(asked: &[u64], delays: &[u64]) -> Vec<Exchange> {
    let mut all = Vec::new();
    for &asked in asked {
        for way in delays {
            for back in delays {
                let answered = asked + way;
                all.push(Exchange { asked, answered, heard: answered + back });
            }
        }
    }
    all
}

/// Goes through all cases until one is `found`, and says how many there were.
fn search(fault: Option<Fault>, mut found: impl FnMut(&Case, u64, u64) -> bool) -> u64 {
    let mut cases = 0;
    let clocks = RATES.map(|rate| Clock { rate });
    let (session_first, session_second) = (exchanges(&[0], &[0, 2]), exchanges(&[3], &[0, 4]));
    let (host_first, host_second) = (exchanges(&[0, 2], &[0, 2]), exchanges(&[3, 5], &[0, 3]));
    let pairs: Vec<_> = session_first
        .iter()
        .flat_map(|one| session_second.iter().map(|other| [*one, *other]))
        .collect();
    let hosts: Vec<_> =
        host_first.iter().flat_map(|one| host_second.iter().map(|other| [*one, *other])).collect();
    for rates in 0..16_usize {
        let clock = |bit: usize| clocks[(rates >> bit) & 1];
        for elected in [None, Some(1), Some(3), Some(6)] {
            for &sessions in &pairs {
                for &hosts in &hosts {
                    let case = Case {
                        home: clock(0),
                        leaders: [clock(1), clock(2)],
                        host: clock(3),
                        sessions,
                        hosts,
                        elected,
                    };
                    cases += 1;
                    let (ended, stopped) = run(&case, fault);
                    if found(&case, ended, stopped) {
                        return cases;
                    }
                }
            }
        }
    }
    cases
}

#[test]
fn no_guest_runs_once_the_session_of_its_home_has_ended() {
    let cases = search(None, |case, ended, stopped| {
        assert!(stopped <= ended, "a guest ran until {stopped}, the end was at {ended}: {case:?}");
        false
    });
    assert!(cases > 50_000, "{cases} cases");
}

#[test]
fn every_planted_fault_of_a_chain_is_found() {
    let faults = [Fault::NoDrift, Fault::NoMargin, Fault::FromAnswer, Fault::WholeDuration];
    for fault in faults {
        let mut found = false;
        search(Some(fault), |_, ended, stopped| {
            found = stopped > ended;
            found
        });
        assert!(found, "the grid does not find {fault:?}");
    }
}
