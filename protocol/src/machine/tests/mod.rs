//! Claims about a machine's life: which verb leads where, and that no order of faults makes a
//! guest start twice in one epoch.

mod model;

use expect_test::{expect, expect_file};

use super::guest::{Phase, Power, Progress, REASON_MAX, RESTARTS_MAX, STEADY, Seen};
use super::host::{Action, Found, Process, next};
use super::{Goal, Verb};
use crate::epoch::Epoch;
use crate::migration::handover::Outcome;
use crate::time::{Span, Timestamp};

const START: Timestamp = Timestamp::from_millis(1_000);
const GOALS: [Goal; 5] =
    [Goal::Defined, Goal::Active, Goal::Paused, Goal::Suspended, Goal::Destroyed];
const PHASES: [Phase; 12] = [
    Phase::Idle,
    Phase::Starting,
    Phase::Started(Power::Prepared),
    Phase::Started(Power::Running),
    Phase::Started(Power::Paused),
    Phase::Saved,
    Phase::Restoring,
    Phase::Leaving,
    Phase::Missing,
    Phase::Arriving,
    Phase::Failed,
    Phase::Released,
];

/// A guest in its second start.
fn guest(phase: Phase, goal: Goal) -> Progress {
    let mut progress = Progress::new(3, START);
    (progress.phase, progress.goal, progress.epoch.provider) = (phase, goal, 2);
    progress
}

#[test]
fn each_verb_leads_where_the_deck_says() {
    let mut table = String::new();
    for verb in Verb::ALL {
        for from in GOALS {
            let to = if verb.leads_from(from) { verb.goal().to_string() } else { "-".to_owned() };
            table.push_str(&format!("{verb:<9} {from:<10} {to}\n"));
        }
    }
    expect![[r#"
        activate  DEFINED    ACTIVE
        activate  ACTIVE     ACTIVE
        activate  PAUSED     ACTIVE
        activate  SUSPENDED  ACTIVE
        activate  DESTROYED  -
        pause     DEFINED    -
        pause     ACTIVE     PAUSED
        pause     PAUSED     PAUSED
        pause     SUSPENDED  -
        pause     DESTROYED  -
        suspend   DEFINED    -
        suspend   ACTIVE     SUSPENDED
        suspend   PAUSED     SUSPENDED
        suspend   SUSPENDED  SUSPENDED
        suspend   DESTROYED  -
        shutdown  DEFINED    DEFINED
        shutdown  ACTIVE     DEFINED
        shutdown  PAUSED     DEFINED
        shutdown  SUSPENDED  -
        shutdown  DESTROYED  -
        destroy   DEFINED    DESTROYED
        destroy   ACTIVE     DESTROYED
        destroy   PAUSED     DESTROYED
        destroy   SUSPENDED  DESTROYED
        destroy   DESTROYED  DESTROYED
    "#]]
    .assert_eq(&table);
}

#[test]
fn the_table_of_a_host_is_this_one() {
    let mut table = String::new();
    for phase in PHASES {
        for goal in GOALS {
            let progress = guest(phase, goal);
            table.push_str(&format!("{phase:?}, {goal}\n"));
            for saved in [false, true] {
                let process = |running| Some(Process { epoch: progress.epoch, running });
                let [absent, stopped, running] = [None, process(false), process(true)]
                    .map(|process| Found { process, saved, overdue: false })
                    .map(|found| model::label(&next(&progress, found)));
                let word = if saved { "saved" } else { "" };
                table.push_str(&format!(
                    "  {word:<5} absent: {absent}; stopped: {stopped}; running: {running}\n"
                ));
            }
        }
    }
    expect_file!["table.txt"].assert_eq(&table);
}

#[test]
fn a_process_of_an_earlier_epoch_is_ended_and_one_of_a_later_epoch_is_not_touched() {
    for (phase, goal) in PHASES.into_iter().flat_map(|phase| GOALS.map(|goal| (phase, goal))) {
        let progress = guest(phase, goal);
        let found = |epoch| Found {
            process: Some(Process { epoch, running: true }),
            saved: false,
            overdue: false,
        };
        for earlier in [Epoch { home: 3, provider: 1 }, Epoch { home: 2, provider: 9 }] {
            assert_eq!(next(&progress, found(earlier)), Action::Destroy(earlier));
        }
        for later in [Epoch { home: 3, provider: 3 }, Epoch { home: 4, provider: 0 }] {
            assert_eq!(next(&progress, found(later)), Action::Nothing);
        }
    }
}

#[test]
fn a_guest_that_will_not_end_is_ended() {
    let progress = guest(Phase::Started(Power::Running), Goal::Defined);
    let process = Some(Process { epoch: progress.epoch, running: true });
    let found = Found { process, saved: false, overdue: true };
    assert_eq!(next(&progress, found), Action::Destroy(progress.epoch));
}

#[test]
fn what_is_said_of_another_epoch_changes_nothing() {
    let told = [
        Seen::Prepared,
        Seen::Running,
        Seen::Paused,
        Seen::Saved,
        Seen::Absent,
        Seen::Released,
        Seen::Failed { reason: "no".to_owned() },
    ];
    for (phase, goal) in PHASES.into_iter().flat_map(|phase| GOALS.map(|goal| (phase, goal))) {
        for seen in &told {
            for epoch in [Epoch { home: 3, provider: 1 }, Epoch { home: 3, provider: 3 }] {
                let mut progress = guest(phase, goal);
                progress.observe(epoch, seen, START);
                assert_eq!(progress, guest(phase, goal));
            }
        }
    }
}

#[test]
fn nothing_leads_back_from_destroyed() {
    for goal in GOALS {
        let mut progress = guest(Phase::Started(Power::Running), Goal::Destroyed);
        progress.order(goal, START);
        assert_eq!(progress.goal, Goal::Destroyed);
    }
}

#[test]
fn a_guest_that_ends_again_and_again_is_started_only_so_often() {
    let mut progress = Progress::new(1, START);
    progress.order(Goal::Active, START);
    let mut starts = 0;
    while progress.phase == Phase::Starting {
        starts += 1;
        assert_eq!(progress.epoch, Epoch { home: 1, provider: starts });
        for seen in [Seen::Prepared, Seen::Running, Seen::Absent] {
            progress.observe(progress.epoch, &seen, START);
        }
    }
    assert_eq!(starts, u64::from(RESTARTS_MAX) + 1);
    assert_eq!(progress.phase, Phase::Failed);
    assert_eq!(progress.reason, "the guest ended by itself, again and again");
    progress.order(Goal::Active, START);
    assert_eq!((progress.phase, progress.restarts), (Phase::Starting, 0));
}

#[test]
fn a_guest_that_ran_steadily_counts_anew() {
    let mut progress = Progress::new(1, START);
    progress.order(Goal::Active, START);
    let mut now = START;
    for _ in 0..3 * RESTARTS_MAX {
        for seen in [Seen::Prepared, Seen::Running] {
            progress.observe(progress.epoch, &seen, now);
        }
        now = now + STEADY;
        progress.observe(progress.epoch, &Seen::Absent, now);
        assert_eq!((progress.phase, progress.restarts), (Phase::Starting, 1));
    }
}

#[test]
fn a_guest_that_cannot_be_saved_keeps_its_memory() {
    let mut progress = guest(Phase::Started(Power::Running), Goal::Suspended);
    let full = Seen::Failed { reason: "no space is left".to_owned() };
    for _ in 0..1_000 {
        progress.observe(progress.epoch, &full, START);
    }
    assert_eq!(progress.phase, Phase::Started(Power::Running));
    assert_eq!(progress.reason, "no space is left");
    progress.order(Goal::Active, START);
    assert_eq!((progress.phase, progress.reason.as_str()), (Phase::Started(Power::Running), ""));
}

#[test]
fn a_reason_is_cut_at_a_whole_character() {
    let mut progress = guest(Phase::Starting, Goal::Active);
    let reason = format!("x{}", "ü".repeat(REASON_MAX));
    progress.observe(progress.epoch, &Seen::Failed { reason }, START);
    assert_eq!(progress.reason.len(), REASON_MAX - 1);
}

#[test]
fn a_guest_paused_before_it_had_a_place_is_made_and_stands() {
    let mut progress = Progress::new(1, START);
    progress.order(Goal::Paused, START);
    for seen in [Seen::Prepared, Seen::Paused] {
        progress.observe(progress.epoch, &seen, START + Span::from_secs(1));
    }
    assert_eq!(progress.phase, Phase::Started(Power::Paused));
}

#[test]
fn a_guest_saved_while_it_was_wanted_again_is_restored() {
    for goal in [Goal::Active, Goal::Paused, Goal::Defined] {
        let mut progress = guest(Phase::Started(Power::Running), Goal::Suspended);
        let epoch = progress.epoch;
        progress.order(goal, START);
        progress.observe(epoch, &Seen::Saved, START);
        assert_eq!((progress.phase, progress.epoch), (Phase::Restoring, epoch.started_anew()));
    }
}

#[test]
fn late_word_that_nothing_was_made_yet_does_not_end_a_guest_that_runs_after_all() {
    let mut progress = guest(Phase::Starting, Goal::Active);
    let before = progress.epoch;
    progress.order(Goal::Defined, START);
    progress.order(Goal::Active, START);
    assert_eq!((progress.goal, progress.wanted()), (Goal::Defined, Goal::Active));
    progress.observe(before, &Seen::Absent, START);
    assert_eq!((progress.phase, progress.epoch), (Phase::Starting, before.started_anew()));
    for seen in [Seen::Prepared, Seen::Running] {
        progress.observe(progress.epoch, &seen, START);
    }
    progress.observe(before, &Seen::Absent, START);
    assert_eq!(progress.phase, Phase::Started(Power::Running));
}

#[test]
fn a_guest_that_is_shutting_down_ends_before_it_starts_again() {
    let mut progress = guest(Phase::Started(Power::Running), Goal::Defined);
    let before = progress.epoch;
    for goal in [Goal::Active, Goal::Suspended, Goal::Paused] {
        progress.order(goal, START);
        assert_eq!((progress.goal, progress.wanted()), (Goal::Defined, goal));
    }
    progress.observe(before, &Seen::Absent, START);
    assert_eq!((progress.goal, progress.wanted()), (Goal::Paused, Goal::Paused));
    assert_eq!((progress.phase, progress.epoch), (Phase::Starting, before.started_anew()));
}

#[test]
fn a_guest_that_is_to_end_after_all_does_not_start_again() {
    let mut progress = guest(Phase::Started(Power::Running), Goal::Defined);
    for goal in [Goal::Active, Goal::Defined] {
        progress.order(goal, START);
    }
    progress.observe(progress.epoch, &Seen::Absent, START);
    assert_eq!((progress.phase, progress.wanted()), (Phase::Idle, Goal::Defined));
}

#[test]
fn what_leaves_is_not_let_go_on_before_it_is_known_that_it_stays() {
    let mut progress = guest(Phase::Started(Power::Running), Goal::Active);
    assert!(progress.leave(START));
    let still = Found {
        process: Some(Process { epoch: progress.epoch, running: false }),
        saved: false,
        overdue: false,
    };
    assert_eq!(next(&progress, still), Action::Nothing);
    let mut stays = progress.clone();
    stays.told(Outcome::Stays, START);
    assert_eq!(next(&stays, still), Action::Resume);
    let mut moved = progress.clone();
    moved.told(Outcome::Moved, START);
    assert_eq!(next(&moved, still), Action::Destroy(progress.epoch));
    let gone = Found { process: None, ..still };
    assert_eq!(next(&moved, gone), Action::Wipe);
}

#[test]
fn what_ended_on_its_way_starts_again_only_if_it_stays() {
    let mut progress = guest(Phase::Started(Power::Running), Goal::Active);
    assert!(progress.leave(START));
    let gone = Found { process: None, saved: false, overdue: false };
    assert_eq!(next(&progress, gone), Action::Report(Seen::Absent));
    let epoch = progress.epoch;
    progress.observe(epoch, &Seen::Absent, START);
    assert_eq!((progress.phase, next(&progress, gone)), (Phase::Missing, Action::Nothing));
    progress.told(Outcome::Stays, START);
    assert!(progress.epoch > epoch);
    assert_eq!(next(&progress, gone), Action::Prepare);
}

#[test]
fn only_what_runs_or_stands_can_leave() {
    for phase in PHASES {
        for goal in GOALS {
            let may = matches!(phase, Phase::Started(Power::Running | Power::Paused))
                && matches!(goal, Goal::Active | Goal::Paused);
            assert_eq!(guest(phase, goal).leave(START), may, "{phase:?}, {goal}");
        }
    }
}

#[test]
fn what_arrives_stands_still_until_it_is_taken_and_is_ended_if_it_is_refused() {
    for (goal, then) in [(Goal::Active, Action::Resume), (Goal::Paused, Action::Nothing)] {
        let mut progress = Progress::arriving(4, goal, START);
        let still = Found {
            process: Some(Process { epoch: progress.epoch, running: false }),
            saved: false,
            overdue: false,
        };
        let gone = Found { process: None, ..still };
        assert_eq!(
            [next(&progress, still), next(&progress, gone)],
            [Action::Nothing, Action::Nothing]
        );
        let mut refused = progress.clone();
        refused.order(Goal::Destroyed, START);
        assert!(!refused.take(START), "what is refused is never taken");
        assert_eq!(next(&refused, still), Action::Destroy(progress.epoch));
        assert_eq!(next(&refused, gone), Action::Wipe);
        assert!(progress.take(START) && !progress.take(START));
        assert_eq!(next(&progress, still), then);
    }
}
