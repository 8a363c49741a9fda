//! The clock that runs through suspend, and which boot it counts from.

use std::ops::Add;
use std::time::Duration;

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::Error;

/// A moment of this boot, in nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(u64);

const SECOND: u64 = 1_000_000_000;

impl Moment {
    /// The moment so many nanoseconds after the boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        // The clock begins at zero, and nanoseconds are below a thousand million.
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(SECOND).saturating_add(nanos))
    }

    /// How long it is from `earlier` to here; nothing if that is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Sleeps until then, through a suspend of the machine, or until a signal.
    pub(crate) fn sleep(self) {
        let seconds = i64::try_from(self.0 / SECOND).unwrap_or(i64::MAX);
        let nanos = i64::try_from(self.0 % SECOND).unwrap_or(0);
        let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
        // Whoever sleeps looks at the clock afterwards.
        let _ = clock_nanosleep_absolute(ClockId::Boottime, &time);
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A number for this boot, which no other boot has.
pub(crate) fn boot() -> Result<u64, Error> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(Error::Boot)?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).map_err(|error| Error::Boot(std::io::Error::other(error)))
}
