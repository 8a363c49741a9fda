//! What was measured of something that is promised, month by month: in counts, since classes are of
//! a month.
//!
//! Whoever measures looks once in each interval and says how often it has looked and how often what
//! was promised was not there. Time in which nobody looked is neither: it can be told from the
//! counts, and is said as such.

use serde::{Deserialize, Serialize};

use super::Class;
use crate::time::{Span, Timestamp};

/// How often is looked: 43 minutes of a month, which Gold may miss, are some 500 intervals.
pub const INTERVAL: Span = Span::from_secs(5);

/// A month as classes count it: thirty days, so that what may be missed is the same in each.
const MONTH: Span = Span::from_secs(30 * 86_400);

/// The most intervals that are reported at once: five minutes'. Whoever could not report for longer
/// has not measured.
pub const TALLY_MAX: u32 = 60;

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// A month of the calendar, in UTC: how many have passed since January of the year 0.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Month(u64);

impl Month {
    /// The month of a moment.
    ///
    /// Years begin with March here, so that the day that some lack is their last: see Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
    #[must_use]
    pub const fn of(at: Timestamp) -> Self {
        // 1970 began 719,468 days after the first of March of the year 0; 400 years have 146,097.
        let days = at.as_millis() / DAY + 719_468;
        let (eras, day) = (days / 146_097, days % 146_097);
        let years = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * years + years / 4 - years / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        Self((eras * 400 + years) * 12 + month_from_march + 2)
    }

    /// The year, and which month of it, from 1.
    #[must_use]
    pub const fn civil(self) -> (u64, u64) {
        (self.0 / 12, self.0 % 12 + 1)
    }

    const fn precedes(self, next: Self) -> bool {
        self.0 + 1 == next.0
    }
}

/// In how many intervals of a month what a class promises need not be there; none if it promises
/// nothing. It is of the whole month from its first day on: one short miss breaks no promise.
#[must_use]
pub fn allowance(class: Class) -> Option<u64> {
    let spared = 1_000 - u64::from(class.availability()?.thousandths());
    Some(MONTH.as_millis() / INTERVAL.as_millis() * spared / 1_000)
}

/// How often was looked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// In how many intervals somebody looked.
    pub seen: u32,
    /// In how many of these it was not there.
    pub missed: u32,
}

impl Tally {
    /// Notes one interval.
    pub const fn note(&mut self, is_there: bool) {
        self.seen = self.seen.saturating_add(1);
        self.missed = self.missed.saturating_add(if is_there { 0 } else { 1 });
    }

    /// Whether it can be what was counted for a report.
    #[must_use]
    pub const fn is_sound(self) -> bool {
        self.missed <= self.seen && self.seen <= TALLY_MAX
    }

    /// The share of the intervals in which it was there, in parts per million; none if nobody looked.
    #[must_use]
    pub fn availability(self) -> Option<u32> {
        let there = u64::from(self.seen.saturating_sub(self.missed)) * 1_000_000;
        u32::try_from(there.checked_div(u64::from(self.seen))?).ok()
    }

    /// Whether what a class promises of a month is kept so far.
    #[must_use]
    pub fn keeps(self, class: Class) -> bool {
        allowance(class).is_none_or(|intervals| u64::from(self.missed) <= intervals)
    }

    const fn plus(self, more: Self) -> Self {
        Self {
            seen: self.seen.saturating_add(more.seen),
            missed: self.missed.saturating_add(more.missed),
        }
    }
}

/// What was measured in this month, and in the one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The month.
    pub month: Month,
    /// Since when it is measured in it.
    pub since: Timestamp,
    /// What was counted.
    pub tally: Tally,
    /// What was counted in the month before.
    pub before: Option<Tally>,
}

impl Measured {
    /// Nothing was measured before this moment.
    #[must_use]
    pub const fn begin(now: Timestamp) -> Self {
        let tally = Tally { seen: 0, missed: 0 };
        Self { month: Month::of(now), since: now, tally, before: None }
    }

    /// The same, as of a moment: what is of an earlier month becomes what was before.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let month = Month::of(now);
        if month <= self.month {
            return self;
        }
        let before = self.month.precedes(month).then_some(self.tally);
        Self { before, ..Self::begin(now) }
    }

    /// Adds what was counted after `after` intervals of the month had been. What was counted beside
    /// it, or is told again, is not what comes next, and is not added.
    #[must_use]
    pub fn plus(self, after: u32, more: Tally, now: Timestamp) -> Option<Self> {
        let mut row = self.at(now);
        if row.tally.seen != after || !more.is_sound() {
            return None;
        }
        if after == 0 {
            // What is told now was looked at before.
            row.since = now - looked(more);
        }
        row.tally = row.tally.plus(more);
        Some(row)
    }

    /// For how long nobody has looked, since it is measured in this month.
    #[must_use]
    pub fn unseen(&self, now: Timestamp) -> Span {
        let unseen =
            now.since(self.since).as_millis().saturating_sub(looked(self.tally).as_millis());
        Span::from_millis(unseen)
    }
}

/// For how long somebody has looked.
fn looked(tally: Tally) -> Span {
    Span::from_millis(INTERVAL.as_millis().saturating_mul(u64::from(tally.seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 00:00:00 UTC.
    const NOW: Timestamp = Timestamp::from_millis(1_795_392_000_000);

    fn days(count: u64) -> Span {
        Span::from_millis(count * DAY)
    }

    #[test]
    fn a_moment_is_of_its_month() {
        let civil = |millis| Month::of(Timestamp::from_millis(millis)).civil();
        assert_eq!(civil(0), (1970, 1));
        assert_eq!(Month::of(NOW).civil(), (2026, 11));
        assert_eq!(Month::of(NOW + days(8)).civil(), (2026, 12));
        assert_eq!(Month::of(NOW + days(8) - Span::from_millis(1)).civil(), (2026, 11));
        // The leap day of 2000, and the day after it.
        assert_eq!(civil(951_782_400_000), (2000, 2));
        assert_eq!(civil(951_868_800_000), (2000, 3));
        assert_eq!(civil(946_684_799_999), (1999, 12));
        assert_eq!(civil(946_684_800_000), (2000, 1));
    }

    #[test]
    fn a_class_is_kept_until_more_was_missed_than_it_allows_of_a_month() {
        let tally = |seen, missed| Tally { seen, missed };
        assert!(tally(0, 0).keeps(Class::Gold));
        assert_eq!(tally(0, 0).availability(), None);
        assert!(tally(518, 518).keeps(Class::Gold));
        assert!(!tally(300_000, 519).keeps(Class::Gold));
        assert!(tally(300_000, 2_592).keeps(Class::Silver));
        assert!(!tally(300_000, 2_593).keeps(Class::Silver));
        assert!(tally(300_000, 300_000).keeps(Class::BestEffort));
        assert_eq!(tally(3, 1).availability(), Some(666_666));
    }

    #[test]
    fn what_is_told_twice_or_beside_another_is_counted_once() {
        let begun = Measured::begin(NOW);
        let more = Tally { seen: 12, missed: 2 };
        let row = begun.plus(0, more, NOW).unwrap();
        assert_eq!(row.plus(0, more, NOW), None);
        assert_eq!(row.plus(12, more, NOW).unwrap().tally, Tally { seen: 24, missed: 4 });
        for unsound in [Tally { seen: 1, missed: 2 }, Tally { seen: TALLY_MAX + 1, missed: 0 }] {
            assert_eq!(row.plus(12, unsound, NOW), None);
        }
    }

    #[test]
    fn a_new_month_begins_anew_and_remembers_the_one_before() {
        let more = Tally { seen: 12, missed: 2 };
        let row = Measured::begin(NOW).plus(0, more, NOW).unwrap();
        let next = NOW + days(9);
        assert_eq!(row.plus(12, more, next), None, "it was counted in another month");
        let row = row.plus(0, more, next).unwrap();
        assert_eq!((row.tally, row.before), (more, Some(more)));
        let row = row.at(next + days(62));
        assert_eq!((row.tally, row.before), (Tally::default(), None), "a month is missing");
    }

    #[test]
    fn time_in_which_nobody_looked_is_told() {
        let row = Measured::begin(NOW).plus(0, Tally { seen: 12, missed: 12 }, NOW).unwrap();
        assert_eq!(row.since, NOW - Span::from_secs(60), "it was looked at before it was told");
        assert_eq!(row.unseen(NOW), Span::default());
        assert_eq!(row.unseen(NOW + Span::from_secs(30)), Span::from_secs(30));
    }
}
