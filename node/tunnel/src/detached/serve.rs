//! The tunnel's process: it holds the device, and does what its node asks.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::identity::Identity;
use super::place::{Lock, Place, is_of_same_user};
use super::words::{self, Answer, Question, Said};
use super::{ANSWER, log};
use crate::{Embedded, Error, Tunnel};

/// The code that the process exits with where another one has the place.
pub(super) const TAKEN: u8 = 3;
/// Conversations at once. A node has one, and somebody who looks on has another.
const CONVERSATIONS: usize = 8;
/// How long somebody may take to say what is wanted, or to hear the answer. It is all in memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the process looks whether it can still be found.
const LOOK: Duration = Duration::from_secs(1);

impl Error {
    /// What a process that ends with this exits with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if matches!(self, Self::Taken { .. }) { TAKEN } else { 1 }
    }
}

/// Is the tunnel of `data`, a node's directory, until it is asked to leave. Calls `ready` once it
/// can be spoken to; from then on it speaks to its log alone.
///
/// # Errors
///
/// If another process is the tunnel there, or the directory or the kernel refuses what is needed.
pub fn serve(data: &Path, ready: impl FnOnce() -> io::Result<()>) -> Result<(), Error> {
    let place = Place::of(data);
    place.make()?;
    let lock = place.lock()?;
    log::begin(place.directory())?;
    let own = |what| move |source| Error::Own { what, source };
    let identity = Identity::own().map_err(own("read its own program"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(own("start its runtime"))?;
    runtime.block_on(run(&place, lock, identity, ready))
}

async fn run(
    place: &Place,
    lock: Lock,
    identity: Identity,
    ready: impl FnOnce() -> io::Result<()>,
) -> Result<(), Error> {
    let own = |what| move |source| Error::Own { what, source };
    let fault = |source| Error::File { what: "listen at", path: place.socket(), source };
    let mut terminated = signal(SignalKind::terminate()).map_err(own("take signals"))?;
    // Whoever hangs up was a terminal, and is not listened to.
    let _hung_up = signal(SignalKind::hangup()).map_err(own("take signals"))?;
    let mut post = place.listen(&lock).map_err(fault)?;
    ready().map_err(own("let go of its standard error"))?;
    tracing::info!(pid = std::process::id(), "the tunnel's process serves");

    let tunnel = Arc::new(Embedded::new());
    let mut conversations = JoinSet::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let dismissal = loop {
        tokio::select! {
            accepted = post.listener.accept(), if conversations.len() < CONVERSATIONS => {
                match accepted {
                    Ok((stream, _)) => {
                        conversations.spawn(converse(stream, identity, Arc::clone(&tunnel)));
                    }
                    // Such as too many open files.
                    Err(error) => {
                        tracing::warn!(%error, "the tunnel's process cannot be spoken to");
                        sleep(LOOK).await;
                    }
                }
            }
            Some(ended) = conversations.join_next() => {
                if let Ok(Some(stream)) = ended {
                    break Some(stream);
                }
            }
            _ = terminated.recv() => break None,
            _ = look.tick() => {
                if !lock.holds() {
                    tracing::warn!("the directory of the tunnel's process is gone, and so it goes");
                    break None;
                }
                if !post.is_there() {
                    post = place.listen(&lock).map_err(fault)?;
                }
            }
        }
    };
    tracing::info!("the tunnel's process leaves");
    // Whoever has asked for this hears of it last, when all is gone.
    conversations.shutdown().await;
    drop(post);
    let closed = tunnel.close().await;
    drop(lock);
    drop(dismissal);
    closed
}

/// Answers one question. Gives the connection back if it says that this process should leave.
async fn converse(
    mut stream: UnixStream,
    identity: Identity,
    tunnel: Arc<Embedded>,
) -> Option<UnixStream> {
    if !is_of_same_user(&stream) {
        tracing::debug!("somebody else's process is hung up on");
        return None;
    }
    match answer(&mut stream, identity, &tunnel).await {
        Ok(is_over) => is_over.then_some(stream),
        Err(error) => {
            tracing::debug!(%error, "a process that asked something is hung up on");
            None
        }
    }
}

/// Whether this process should leave.
async fn answer(stream: &mut UnixStream, own: Identity, tunnel: &Embedded) -> io::Result<bool> {
    let said = timeout(PATIENCE, async {
        words::greet(stream, own).await?;
        words::hear(stream).await
    });
    let answer = match said.await?? {
        Said::Leave => return Ok(true),
        Said::Question(Question::Converge(wanted)) => {
            let converged = timeout(ANSWER, tunnel.converge(&wanted)).await?;
            converged.map_or_else(|error| Answer::refusal(&error), Answer::Converged)
        }
        Said::Question(Question::State) => {
            tunnel.state().await.map_or_else(|error| Answer::refusal(&error), Answer::State)
        }
    };
    timeout(PATIENCE, words::answer(stream, &answer)).await??;
    Ok(false)
}
