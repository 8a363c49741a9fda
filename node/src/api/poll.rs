//! Long polls: an answer that waits until there is something new to say.
//!
//! A client says which state it has seen, by the index that came with it. If the site has gone
//! further since, it is answered at once, since nobody knows what of it the client has seen; else
//! it is answered when what it looks at changes, or when it has waited long enough.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::error::{Code, Error};
use crate::desk::Desk;

/// How long a client waits that does not say.
const TIME: Duration = Duration::from_secs(30);

/// How long a client may wait at most: what is between it and us cuts silent connections.
const TIME_MAX: Duration = Duration::from_secs(60);

/// How a client waits.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// The index of what it has seen.
    wait: Option<u64>,
    /// For how many seconds at most.
    timeout: Option<u64>,
}

/// What `look` sees, with the index of the last log entry that it accounts for; once it is other
/// than what the client has seen.
pub(super) async fn until_changed<T: PartialEq>(
    desk: &Desk,
    wait: Wait,
    look: impl Fn() -> Result<T, Error>,
) -> Result<(u64, T), Error> {
    desk.current().await?;
    let time = wait.timeout.map_or(TIME, Duration::from_secs).min(TIME_MAX);
    let deadline = Instant::now() + time;
    let mut progress = desk.watch();
    // The index is read before the look: what is seen may be newer than it says, never older.
    let mut index = progress.borrow_and_update().applied;
    let first = look()?;
    if wait.wait.is_none_or(|seen| seen < index) {
        return Ok((index, first));
    }
    loop {
        match timeout_at(deadline, progress.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::new(Code::Stopping, "this node is stopping")),
            Err(_) => return Ok((index, first)),
        }
        index = progress.borrow_and_update().applied;
        let now = look()?;
        if now != first {
            return Ok((index, now));
        }
    }
}
