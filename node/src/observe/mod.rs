//! How a node speaks to its operator: events through `tracing`, to standard error.

use std::error::Error;
use std::io::IsTerminal as _;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::time::Timestamp;
use tracing_subscriber::EnvFilter;

/// Starts logging.
///
/// # Errors
///
/// If the filter is not understood.
pub fn start(filter: &str, json: bool) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)?;
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json { events.json().try_init() } else { events.try_init() }
}

/// An error with all its causes, on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The wall clock: it labels what is decided, and decides nothing.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
