//! Commands wait together, and go together.
//!
//! Proposers put their commands on one bounded queue. One task takes all that wait, makes one log
//! entry of them, and gives each proposer its own outcome when the entry is applied. What arrives
//! meanwhile is the next entry. So a lone proposer waits for one sync of the disk, and a thousand
//! at once wait for two.

use std::time::Duration;

use openraft::Raft;
use protocol::rows::Replicated;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Error;
use crate::entry::{
    BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, Batch, COMMAND_BYTES_MAX, Encoded, TooLarge, TypeConfig,
};

/// How many commands may wait: a few entries' worth, so that the next entry is always full under
/// load and no command waits for many.
const QUEUE_COMMANDS: usize = 4 * BATCH_COMMANDS_MAX;

/// How long a proposer waits for a place in the queue. A disk that does not empty it within this
/// time will not soon, and the client is better told.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// How long an entry may take to be committed and applied before its proposers are told that it is
/// not known: longer than it takes to replace a leader, and shorter than a client's patience. A
/// leader that is cut off would otherwise keep them until the cut heals.
const COMMIT_WAIT: Duration = Duration::from_secs(15);

type Answer<S> = Result<<S as Replicated>::Outcome, Error>;

/// A command in the queue, and who waits for it.
struct Waiting<S: Replicated> {
    command: Encoded,
    answer: oneshot::Sender<Answer<S>>,
}

/// The proposers' end of the queue.
pub(super) struct Queue<S: Replicated>(mpsc::Sender<Waiting<S>>);

impl<S: Replicated> Queue<S> {
    /// Starts the task that serves a queue.
    pub(super) fn start(raft: Raft<TypeConfig<S>>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_COMMANDS);
        tokio::spawn(serve(raft, receiver));
        Self(sender)
    }

    /// Proposes a command and waits for its outcome.
    pub(super) async fn propose(&self, command: &S::Command) -> Answer<S> {
        let command = Encoded::new::<S>(command)
            .map_err(|TooLarge { bytes }| Error::TooLarge { bytes, limit: COMMAND_BYTES_MAX })?;
        let place = timeout(QUEUE_WAIT, self.0.reserve())
            .await
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Closed)?;
        let (answer, outcome) = oneshot::channel();
        place.send(Waiting { command, answer });
        // The task drops an answer only when the runtime ends it in the middle of its work.
        outcome.await.unwrap_or(Err(Error::Uncertain))
    }
}

async fn serve<S: Replicated>(raft: Raft<TypeConfig<S>>, mut queue: mpsc::Receiver<Waiting<S>>) {
    let mut held_over = None;
    loop {
        let first = match held_over.take() {
            Some(waiting) => waiting,
            None => match queue.recv().await {
                Some(waiting) => waiting,
                None => return,
            },
        };
        let (commands, answers) = gather(first, &mut queue, &mut held_over);
        let written = timeout(COMMIT_WAIT, raft.client_write(Batch(commands))).await;
        match written {
            Ok(Ok(written)) => {
                debug_assert_eq!(written.data.len(), answers.len(), "an outcome for each command");
                for (answer, outcome) in answers.into_iter().zip(written.data) {
                    // Whoever no longer waits no longer wants to know.
                    let _ = answer.send(Ok(outcome));
                }
            }
            Ok(Err(error)) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone().into()));
                }
            }
            Err(_) => {
                tracing::warn!(commands = answers.len(), "an entry is not committed in time");
                for answer in answers {
                    let _ = answer.send(Err(Error::Uncertain));
                }
            }
        }
    }
}

/// All that waits and fits into one entry. A command that does not fit any more is held over, to
/// be the first of the next.
fn gather<S: Replicated>(
    first: Waiting<S>,
    queue: &mut mpsc::Receiver<Waiting<S>>,
    held_over: &mut Option<Waiting<S>>,
) -> (Vec<Encoded>, Vec<oneshot::Sender<Answer<S>>>) {
    let mut bytes = first.command.len();
    let mut commands = vec![first.command];
    let mut answers = vec![first.answer];
    while commands.len() < BATCH_COMMANDS_MAX {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.command.len();
        if bytes > BATCH_BYTES_MAX {
            *held_over = Some(next);
            break;
        }
        commands.push(next.command);
        answers.push(next.answer);
    }
    (commands, answers)
}
