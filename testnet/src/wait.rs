//! Waiting for a condition, with a deadline and never for a fixed time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often the condition is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Looks until `look` answers something, an error, or the time is over.
///
/// # Errors
///
/// The error of `look`, or that `what` did not come.
pub fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = look().with_context(|| format!("wait for {what}"))? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s in vain for {what}", patience.as_secs());
        }
        sleep(GLANCE);
    }
}
