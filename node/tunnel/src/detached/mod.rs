//! A tunnel in a process of its own, and how a node speaks to it.
//!
//! ```text
//!   node --- converge, state --->  DIR/tunnel/socket  --->  reservoir-tunnel: TAP, UDP, sessions
//! ```
//!
//! The device of [`Embedded`](crate::Embedded) goes with the process that made it. So that a node can
//! be killed, or replaced by a newer one, without cutting its site off, that process is
//! `reservoir-tunnel`, which does nothing else. A node that comes back says what it wants; where
//! that is what is there, no packet is lost.
//!
//! **Who starts it.** Whoever wants a tunnel where none runs, in its own network namespace. The process
//! leaves the session of its parent, keeps none of its descriptors, and survives its terminal. It
//! stays in its parent's control group: a service manager must be told to end the node alone
//! (systemd's `KillMode=process`), as for its guests. A process that has died is started again by
//! the next call; a lock sees to it that each directory has one at most.
//!
//! **Who may speak to it.** Processes of the same user: the directory is closed to others, and both
//! ends look at the other's credentials. Private keys cross this socket and are written nowhere.
//!
//! **The exchange.** One connection, one question, one answer. The process greets with its
//! [`Identity`]: a digest of the program that it runs and of the network namespace that it is in.
//! If that is not what the node would start, the node has it leave, and starts its own. So a new
//! build costs one interruption, and shapes of messages need no versions. The greeting and the
//! request to leave, an empty frame, never change.

mod identity;
mod log;
mod place;
mod serve;
mod start;
mod words;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use blake3::Hash;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use self::identity::Identity;
use self::place::Place;
pub use self::serve::serve;
pub use self::start::program;
use self::start::{Started, start};
use self::words::{Answer, Question};
use crate::check::check;
use crate::{Change, Error, State, Tunnel, Wanted};

/// How long a process may take to be there, or to be gone. It does either within some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take for an answer: the kernel is given ten seconds for all that it is asked.
const ANSWER: Duration = Duration::from_secs(20);
/// How long until it is looked again for a process that comes or goes.
const AGAIN: Duration = Duration::from_millis(20);

/// The tunnel of a process of its own. It stays when this is dropped, and the next one takes it over.
#[derive(Debug)]
pub struct Detached {
    place: Place,
    data: PathBuf,
    program: PathBuf,
    /// Which build `program` was when it was last looked at. The lock also keeps two calls apart.
    build: Mutex<Option<Hash>>,
}

/// Who answers at the socket.
enum Met {
    /// Nobody.
    Nobody,
    /// A process of another build, or in another network namespace.
    Other(UnixStream),
    /// The process that we would start.
    Ours(UnixStream),
}

impl Detached {
    /// The tunnel that has its place in `data`, a node's directory. Where none runs, the first
    /// [`Tunnel::converge`] starts `program`.
    #[must_use]
    pub fn new(data: &Path, program: &Path) -> Self {
        let (data, program) = (data.to_path_buf(), program.to_path_buf());
        Self { place: Place::of(&data), data, program, build: Mutex::default() }
    }

    /// Who is there.
    async fn meet(&self, build: &mut Option<Hash>) -> Result<Met, Error> {
        let connected = timeout(ANSWER, self.place.connect()).await.unwrap_or_else(silent);
        let mut stream = match connected {
            Ok(stream) => stream,
            Err(error) if is_absence(&error) => return Ok(Met::Nobody),
            Err(error) => return Err(self.fault(error)),
        };
        let greeted = timeout(ANSWER, words::greeted(&mut stream)).await.unwrap_or_else(silent);
        let identity = match greeted {
            Ok(identity) => identity,
            Err(error) if is_absence(&error) => return Ok(Met::Nobody),
            Err(error) => return Err(self.fault(error)),
        };
        let build = match build {
            Some(build) => *build,
            None => *build.insert(self.look().await?),
        };
        let ours = Identity::of_caller(build).map_err(|error| self.fault(error))?;
        Ok(if identity == ours { Met::Ours(stream) } else { Met::Other(stream) })
    }

    /// Which build the program is.
    async fn look(&self) -> Result<Hash, Error> {
        let path = self.program.clone();
        let read = tokio::task::spawn_blocking(move || identity::build(&path)).await;
        let read = read.map_err(io::Error::other).and_then(|read| read);
        read.map_err(|source| Error::Program { path: self.program.clone(), source })
    }

    /// Our process, which is started where there is none.
    async fn ours(&self, build: &mut Option<Hash>) -> Result<UnixStream, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.meet(build).await? {
                Met::Ours(stream) => return Ok(stream),
                Met::Other(stream) => {
                    tracing::info!("a tunnel of another build, or in another network, is replaced");
                    self.dismiss(stream).await?;
                }
                Met::Nobody if Instant::now() > deadline => {
                    return Err(self.fault(io::ErrorKind::TimedOut.into()));
                }
                Met::Nobody => {
                    *build = Some(self.look().await?);
                    match start(&self.program, &self.data).await? {
                        Started::Ready { pid } => {
                            tracing::info!(pid, "the tunnel's process is started");
                        }
                        // It is about to be there, or to be gone.
                        Started::Taken => {}
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Has a process leave, and returns once its interface and its lock are gone.
    async fn dismiss(&self, mut stream: UnixStream) -> Result<(), Error> {
        let gone = async {
            words::dismiss(&mut stream).await?;
            stream.read(&mut [0]).await.map(drop)
        };
        match timeout(PATIENCE, gone).await.unwrap_or_else(silent) {
            Err(error) if !is_absence(&error) => Err(self.fault(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn ask(&self, stream: &mut UnixStream, question: &Question) -> Result<Answer, Error> {
        let asked = timeout(ANSWER, words::ask(stream, question)).await.unwrap_or_else(silent);
        asked.map_err(|error| self.fault(error))
    }

    fn fault(&self, source: io::Error) -> Error {
        Error::Process { path: self.place.socket(), source }
    }
}

#[async_trait]
impl Tunnel for Detached {
    async fn converge(&self, wanted: &Wanted) -> Result<Change, Error> {
        check(wanted)?;
        let mut build = self.build.lock().await;
        let mut stream = self.ours(&mut build).await?;
        match self.ask(&mut stream, &Question::Converge(wanted.clone())).await? {
            Answer::Converged(change) => Ok(change),
            Answer::Refused(said) => Err(Error::Refused(said)),
            Answer::State(_) => Err(self.fault(words::nonsense("that was not asked"))),
        }
    }

    async fn state(&self) -> Result<Option<State>, Error> {
        let mut build = self.build.lock().await;
        // Another one's state has a shape that nobody here knows.
        let Met::Ours(mut stream) = self.meet(&mut build).await? else { return Ok(None) };
        match self.ask(&mut stream, &Question::State).await? {
            Answer::State(state) => Ok(state),
            Answer::Refused(said) => Err(Error::Refused(said)),
            Answer::Converged(_) => Err(self.fault(words::nonsense("that was not asked"))),
        }
    }

    /// The process ends with it.
    async fn close(&self) -> Result<(), Error> {
        let mut build = self.build.lock().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.meet(&mut build).await? {
                Met::Ours(stream) | Met::Other(stream) => return self.dismiss(stream).await,
                Met::Nobody if !self.place.is_locked() => return Ok(()),
                Met::Nobody if Instant::now() > deadline => {
                    return Err(self.fault(io::ErrorKind::TimedOut.into()));
                }
                Met::Nobody => sleep(AGAIN).await,
            }
        }
    }
}

/// Whether this says that nobody is there, or that who was there is going.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

fn silent<T>(_: tokio::time::error::Elapsed) -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "no answer: end the process, and it is started anew",
    ))
}
