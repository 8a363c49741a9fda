//! Commands wait together, and go together.
//!
//! Proposers put their commands on one of two bounded queues: what the site's own tenants and hosts
//! say, and what comes from other sites. One task takes all that wait, makes one log entry of them,
//! and gives each proposer its own outcome when the entry is applied. What arrives meanwhile is the
//! next entry. So a lone proposer waits for one sync of the disk, and a thousand at once wait for
//! two.
//!
//! An entry takes the site's own commands first, and one of the others' at least: however much peers
//! say, it delays no tenant, and however much tenants ask, peers are heard.

#[cfg(test)]
mod tests;

use std::time::Duration;

use openraft::Raft;
use protocol::rows::{Origin, Replicated};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Error;
use crate::entry::{
    BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, Batch, COMMAND_BYTES_MAX, Encoded, Proposal, TooLarge,
    TypeConfig,
};

/// How many commands may wait on each queue: a few entries' worth, so that the next entry is always
/// full under load and no command waits for many.
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
    proposal: Proposal,
    answer: oneshot::Sender<Answer<S>>,
}

/// The proposers' end of the queues.
pub(super) struct Queue<S: Replicated> {
    own: mpsc::Sender<Waiting<S>>,
    foreign: mpsc::Sender<Waiting<S>>,
}

impl<S: Replicated> Queue<S> {
    /// Starts the task that serves the queues.
    pub(super) fn start(raft: Raft<TypeConfig<S>>) -> Self {
        let (queue, waiting) = Self::new();
        tokio::spawn(serve(raft, waiting));
        queue
    }

    fn new() -> (Self, Line<S>) {
        let (own, own_waiting) = mpsc::channel(QUEUE_COMMANDS);
        let (foreign, foreign_waiting) = mpsc::channel(QUEUE_COMMANDS);
        let line = Line { own: own_waiting, foreign: foreign_waiting, held_over: None };
        (Self { own, foreign }, line)
    }

    /// Proposes a command, for one term or for any, and waits for its outcome.
    pub(super) async fn propose(&self, command: &S::Command, term: Option<u64>) -> Answer<S> {
        let queue = match S::origin(command) {
            Origin::Own => &self.own,
            Origin::Foreign => &self.foreign,
        };
        let command = Encoded::new::<S>(command)
            .map_err(|TooLarge { bytes }| Error::TooLarge { bytes, limit: COMMAND_BYTES_MAX })?;
        let place = timeout(QUEUE_WAIT, queue.reserve())
            .await
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Closed)?;
        let (answer, outcome) = oneshot::channel();
        place.send(Waiting { proposal: Proposal { command, term }, answer });
        // The task drops an answer only when the runtime ends it in the middle of its work.
        outcome.await.unwrap_or(Err(Error::Uncertain))
    }
}

async fn serve<S: Replicated>(raft: Raft<TypeConfig<S>>, mut line: Line<S>) {
    while let Some(Gathered { proposals, answers, .. }) = line.gather().await {
        let written = timeout(COMMIT_WAIT, raft.client_write(Batch(proposals))).await;
        match written {
            Ok(Ok(written)) => {
                debug_assert_eq!(written.data.len(), answers.len(), "an outcome for each command");
                for (answer, outcome) in answers.into_iter().zip(written.data) {
                    // Whoever no longer waits no longer wants to know.
                    let _ = answer.send(outcome.ok_or(Error::Overtaken));
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

/// The serving end of the queues.
struct Line<S: Replicated> {
    own: mpsc::Receiver<Waiting<S>>,
    foreign: mpsc::Receiver<Waiting<S>>,
    /// What did not fit into the last entry, and begins the next.
    held_over: Option<Waiting<S>>,
}

impl<S: Replicated> Line<S> {
    /// Waits for a command, and takes all that wait with it and fit into one entry; none once no
    /// proposer is left.
    async fn gather(&mut self) -> Option<Gathered<S>> {
        let first = match self.held_over.take() {
            Some(waiting) => waiting,
            None => tokio::select! {
                biased;
                Some(waiting) = self.own.recv() => waiting,
                Some(waiting) = self.foreign.recv() => waiting,
                else => return None,
            },
        };
        let mut gathered = Gathered::new(first);
        if let Ok(foreign) = self.foreign.try_recv() {
            self.held_over = gathered.take(foreign);
        }
        for queue in [&mut self.own, &mut self.foreign] {
            while self.held_over.is_none()
                && gathered.proposals.len() < BATCH_COMMANDS_MAX
                && let Ok(next) = queue.try_recv()
            {
                self.held_over = gathered.take(next);
            }
        }
        Some(gathered)
    }
}

/// What goes into one entry.
struct Gathered<S: Replicated> {
    bytes: usize,
    proposals: Vec<Proposal>,
    answers: Vec<oneshot::Sender<Answer<S>>>,
}

impl<S: Replicated> Gathered<S> {
    fn new(first: Waiting<S>) -> Self {
        let bytes = first.proposal.command.len();
        Self { bytes, proposals: vec![first.proposal], answers: vec![first.answer] }
    }

    /// Takes a command along, or hands it back if it does not fit any more.
    fn take(&mut self, waiting: Waiting<S>) -> Option<Waiting<S>> {
        let bytes = self.bytes + waiting.proposal.command.len();
        if bytes > BATCH_BYTES_MAX {
            return Some(waiting);
        }
        self.bytes = bytes;
        self.proposals.push(waiting.proposal);
        self.answers.push(waiting.answer);
        None
    }
}
