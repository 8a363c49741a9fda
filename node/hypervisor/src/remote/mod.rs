//! The five procedures of libvirt's remote protocol by which one half of a live migration is
//! driven, spoken to this host's own libvirtd and to no other.
//!
//! ```text
//!   the source's libvirtd                    the destination's libvirtd
//!   Begin     -> cookie, description
//!                                            Prepare  -> cookie   (QEMU waits)
//!   Perform   -> cookie                      (memory and disks come in)
//!                                            Finish   -> the guest; its processors run
//!   Confirm   the source's guest ends
//! ```
//!
//! libvirt's client library drives both halves or has the source drive the destination: it has no
//! call for one phase. Its wire protocol has, and is stable: the numbers below are those of
//! `remote_protocol.x`, which only ever grows. A migration is bound to the connection that it was
//! begun on: when that ends, libvirt ends the phase that was on. So each half has a [`Client`] for
//! as long as it lasts, and after Perform the source never goes on by itself.

mod message;
#[cfg(test)]
mod tests;
mod words;
mod xdr;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use uuid::Uuid;

use self::message::About;
pub use self::words::{Begun, Domain, Flags, Parameter};
use self::words::{domain, write_domain};
pub use self::xdr::Malformed;
use self::xdr::{Reader, Writer};

/// How long libvirtd may take for a phase in which nothing is copied: it may start QEMU in it, on
/// a host that starts others as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of a cookie, which says a few kilobytes of disks, processor and statistics.
pub const COOKIE_MAX: u32 = 256 << 10;

/// The most bytes of a description.
const DESCRIPTION_MAX: u32 = 1 << 20;

/// The most bytes of a name or an address.
const NAME_MAX: u32 = 4_096;

/// libvirt's number for a migration that was given up (`VIR_ERR_MIGRATE_FINISH_OK`).
const IS_OFF: i32 = 93;

/// A procedure of the remote protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Procedure {
    /// Say how the connection may be opened.
    ListAuthentication,
    /// Open it.
    Open,
    /// Find a domain by its UUID.
    Lookup,
    /// Get a migration under way, at the source.
    Begin,
    /// Have QEMU wait for the guest, at the destination.
    Prepare,
    /// Copy it, at the source.
    Perform,
    /// Start its processors or end it, at the destination.
    Finish,
    /// End it or let it go on, at the source.
    Confirm,
}

impl Procedure {
    const fn number(self) -> i32 {
        match self {
            Self::ListAuthentication => 66,
            Self::Open => 1,
            Self::Lookup => 24,
            Self::Begin => 302,
            Self::Prepare => 303,
            Self::Perform => 305,
            Self::Finish => 306,
            Self::Confirm => 307,
        }
    }
}

impl std::fmt::Display for Procedure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ListAuthentication => "list authentication",
            Self::Open => "open",
            Self::Lookup => "look up",
            Self::Begin => "begin",
            Self::Prepare => "prepare",
            Self::Perform => "perform",
            Self::Finish => "finish",
            Self::Confirm => "confirm",
        })
    }
}

/// A phase was not done, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: nothing was done.
    #[error("libvirtd at {} cannot be reached", socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The connection broke: it may have been done.
    #[error("the connection to libvirtd broke in '{procedure}'")]
    Lost {
        /// The phase.
        procedure: Procedure,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No answer in time: it may be done later. The connection is of no use any more.
    #[error("libvirtd has not answered '{procedure}' within {} s", limit.as_secs())]
    Late {
        /// The phase.
        procedure: Procedure,
        /// How long it was waited for.
        limit: Duration,
    },
    /// libvirt heard it and did not do it.
    #[error("libvirt did not do '{procedure}' (error {code}): {words}")]
    Refused {
        /// The phase.
        procedure: Procedure,
        /// libvirt's number for the reason (`virErrorNumber`).
        code: i32,
        /// Its words.
        words: String,
    },
    /// The answer is none: it may have been done.
    #[error("libvirtd's answer to '{procedure}' cannot be read")]
    Malformed {
        /// The phase.
        procedure: Procedure,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
    /// A call before this one was not waited for, so that the next answer may be its.
    #[error("the connection to libvirtd is of no use any more: begin the migration anew")]
    Spent,
}

/// One half of one migration: a connection to this host's own libvirtd.
///
/// When it is dropped before its last phase, libvirt cleans up as the phase demands: before Perform
/// the source goes on and the destination's guest goes away; after it the source's stays paused.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    serial: u32,
    is_spent: bool,
}

impl Client {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Nobody listens at `socket`, or it is not libvirtd.
    pub async fn open(socket: &Path) -> Result<Self, Error> {
        let unreachable = |source| Error::Unreachable { socket: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
        let mut client = Self { stream, serial: 0, is_spent: false };
        client.call(Procedure::ListAuthentication, &[], PATIENCE).await?;
        let body = Writer::default().optional_text(Some("qemu:///system")).unsigned(0).finish();
        client.call(Procedure::Open, &body, PATIENCE).await?;
        Ok(client)
    }

    /// Finds a domain.
    ///
    /// # Errors
    ///
    /// There is none, or the connection is of no use any more.
    pub async fn lookup(&mut self, uuid: Uuid) -> Result<Domain, Error> {
        let body = Writer::default().fixed(*uuid.as_bytes()).finish();
        self.ask(Procedure::Lookup, &body, PATIENCE, domain).await
    }

    /// Gets a migration under way, at the source. The guest runs on.
    ///
    /// # Errors
    ///
    /// libvirt refuses, or the connection is of no use any more.
    pub async fn begin(
        &mut self,
        of: &Domain,
        parameters: &[Parameter],
        flags: Flags,
    ) -> Result<Begun, Error> {
        let body = write_domain(of).parameters(parameters).unsigned(flags.0).finish();
        self.ask(Procedure::Begin, &body, PATIENCE, |reader| {
            let cookie = reader.opaque(COOKIE_MAX)?.to_vec();
            Ok(Begun { cookie, description: reader.text(DESCRIPTION_MAX)? })
        })
        .await
    }

    /// Has QEMU wait for the guest, at the destination; answers the cookie for Perform.
    ///
    /// # Errors
    ///
    /// libvirt refuses, or the connection is of no use any more.
    pub async fn prepare(
        &mut self,
        parameters: &[Parameter],
        cookie: &[u8],
        flags: Flags,
    ) -> Result<Vec<u8>, Error> {
        let body = Writer::default().parameters(parameters).opaque(cookie).unsigned(flags.0);
        self.ask(Procedure::Prepare, &body.finish(), PATIENCE, |reader| {
            let cookie = reader.opaque(COOKIE_MAX)?.to_vec();
            reader.optional_text(NAME_MAX)?;
            Ok(cookie)
        })
        .await
    }

    /// Copies the guest, at the source: at the end its processors stand still there. Answers the
    /// cookie for Finish.
    ///
    /// # Errors
    ///
    /// libvirt gave it up, it took longer than `limit`, or the connection is of no use any more.
    pub async fn perform(
        &mut self,
        of: &Domain,
        parameters: &[Parameter],
        cookie: &[u8],
        flags: Flags,
        limit: Duration,
    ) -> Result<Vec<u8>, Error> {
        let body = write_domain(of).optional_text(None).parameters(parameters).opaque(cookie);
        self.ask(Procedure::Perform, &body.unsigned(flags.0).finish(), limit, |reader| {
            Ok(reader.opaque(COOKIE_MAX)?.to_vec())
        })
        .await
    }

    /// Starts the guest's processors at the destination.
    ///
    /// # Errors
    ///
    /// libvirt refuses, or the connection is of no use any more.
    pub async fn finish(
        &mut self,
        parameters: &[Parameter],
        cookie: &[u8],
        flags: Flags,
    ) -> Result<Domain, Error> {
        let body = finishing(parameters, cookie, flags, false);
        self.ask(Procedure::Finish, &body, PATIENCE, |reader| {
            let domain = domain(reader)?;
            reader.opaque(COOKIE_MAX)?;
            Ok(domain)
        })
        .await
    }

    /// Ends the guest at the destination, where it has not run: the migration is off.
    ///
    /// # Errors
    ///
    /// libvirt refuses, or the connection is of no use any more.
    pub async fn give_up(
        &mut self,
        parameters: &[Parameter],
        cookie: &[u8],
        flags: Flags,
    ) -> Result<(), Error> {
        let body = finishing(parameters, cookie, flags, true);
        match self.call(Procedure::Finish, &body, PATIENCE).await {
            // There is no guest to answer with, so libvirt answers that it is off.
            Err(Error::Refused { code: IS_OFF, .. }) | Ok(_) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Ends the guest at the source, or lets it go on there if the migration `is_off`.
    ///
    /// # Errors
    ///
    /// libvirt refuses, or the connection is of no use any more.
    pub async fn confirm(
        &mut self,
        of: &Domain,
        parameters: &[Parameter],
        flags: Flags,
        is_off: bool,
    ) -> Result<(), Error> {
        let body = write_domain(of).parameters(parameters).opaque(&[]);
        let body = body.unsigned(flags.0).signed(is_off.into()).finish();
        self.ask(Procedure::Confirm, &body, PATIENCE, |_| Ok(())).await
    }

    async fn ask<T>(
        &mut self,
        procedure: Procedure,
        body: &[u8],
        limit: Duration,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
    ) -> Result<T, Error> {
        let answer = self.call(procedure, body, limit).await?;
        let mut reader = Reader::new(&answer);
        let read = read(&mut reader).and_then(|answer| reader.end().map(|()| answer));
        read.map_err(|source| Error::Malformed { procedure, source })
    }

    /// Calls a procedure; answers the body of what it answers.
    async fn call(
        &mut self,
        procedure: Procedure,
        body: &[u8],
        limit: Duration,
    ) -> Result<Vec<u8>, Error> {
        if self.is_spent {
            return Err(Error::Spent);
        }
        // If nobody waits for the answer, whatever comes next may be it.
        self.is_spent = true;
        self.serial += 1;
        let exchange = Self::exchange(&mut self.stream, procedure, self.serial, body);
        let late = |_| Error::Late { procedure, limit };
        let (is_ok, answer) = tokio::time::timeout(limit, exchange).await.map_err(late)??;
        self.is_spent = false;
        if is_ok {
            return Ok(answer);
        }
        let malformed = |source| Error::Malformed { procedure, source };
        let (code, words) = message::refusal(&answer).map_err(malformed)?;
        Err(Error::Refused { procedure, code, words })
    }

    async fn exchange(
        stream: &mut UnixStream,
        procedure: Procedure,
        serial: u32,
        body: &[u8],
    ) -> Result<(bool, Vec<u8>), Error> {
        let lost = |source| Error::Lost { procedure, source };
        let malformed = |source| Error::Malformed { procedure, source };
        stream.write_all(&message::call(procedure, serial, body)).await.map_err(lost)?;
        loop {
            let mut header = [0; message::HEADER];
            stream.read_exact(&mut header).await.map_err(lost)?;
            let (length, about) = message::header(header).map_err(malformed)?;
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.map_err(lost)?;
            match about {
                About::Reply { serial: of, is_ok } if of == serial => return Ok((is_ok, body)),
                About::Reply { .. } | About::Unasked => {}
            }
        }
    }
}

fn finishing(parameters: &[Parameter], cookie: &[u8], flags: Flags, is_off: bool) -> Vec<u8> {
    let body = Writer::default().parameters(parameters).opaque(cookie);
    body.unsigned(flags.0).signed(is_off.into()).finish()
}
