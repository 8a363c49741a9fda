//! How leases are asked for: sessions by a provider's leader of a home, host leases by a host of
//! its own site's leader.
//!
//! Nothing here carries a moment: each side counts on its own clock (see [`crate::lease`]).

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::epoch::Epoch;
use crate::ids::{HostId, MachineId, MachineName};
use crate::time::Span;

/// The most machines of one exchange about a session; a provider that runs more of one home's
/// asks several times.
pub const SESSION_MACHINES_MAX: usize = 1_024;

/// The most bytes of such a question and of its answer: an id has 17 bytes and an epoch 9.
pub const SESSION_BYTES_MAX: usize = 32 << 10;

/// A provider to a home: may these machines of yours go on running here?
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RenewSession {
    /// The machines, at home at the site that is asked, each with the home's part of the epoch in
    /// which it runs.
    pub machines: Vec<(MachineId, u64)>,
}

/// The home's answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum SessionRenewal {
    /// These may, for so long from the moment at which the question was sent.
    Renewed {
        /// For how long.
        duration: Span,
        /// Those of the machines asked about that belong to the provider in the epoch named.
        machines: Vec<MachineId>,
    },
    /// No node of the home can say so at the moment; nothing is granted.
    Later,
}

/// A host to its site's leader: may I run what is assigned to me?
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RenewHost {
    /// The host.
    pub host: HostId,
    /// Which life of its fence watches over it; none if no fence is alive.
    pub fence: Option<u64>,
}

/// The leader's answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum HostRenewal {
    /// It may.
    Granted {
        /// How far its node's state has to be before it acts.
        applied: u64,
        /// For how long it may begin, change and end what is assigned to it.
        duration: Span,
        /// How long each guest may run. What is not named may not, or not longer than was said.
        guests: Vec<Leased>,
    },
    /// It may not.
    Refused(Refusal),
}

/// How long something may run, from the moment at which it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Term {
    /// Without end: nobody places it elsewhere.
    Endless,
    /// For so long.
    For(Span),
}

/// How long a guest may run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Leased {
    /// The machine.
    pub name: MachineName,
    /// Which start of it.
    pub epoch: Epoch,
    /// For how long: a machine of another home not longer than what remains of the session.
    pub term: Term,
}

/// Why a host gets no lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Nothing would stop its guests.
    #[error("no fence is alive on this host: start 'reservoir fence' beside the node")]
    NoFence,
    /// The site does not know the host.
    #[error("the site does not know this host yet: its node has to describe it first")]
    UnknownHost,
    /// The site is giving the host up.
    #[error("the site is declaring this host lost: it is taken up again once that is decided")]
    Ending,
    /// Nobody can decide at the moment.
    #[error("the site has no leader that can answer at the moment: the host asks again")]
    Later,
}

/// Reads a question about a session.
///
/// # Errors
///
/// If the bytes are none, or name more machines than one exchange may.
pub fn renew_session(bytes: &[u8]) -> Result<RenewSession, codec::Error> {
    let question: RenewSession = codec::decode(bytes, SESSION_BYTES_MAX)?;
    within(question.machines.len(), SESSION_MACHINES_MAX)?;
    Ok(question)
}

/// Reads the answer to it.
///
/// # Errors
///
/// If the bytes are none, or name more machines than one exchange may.
pub fn session_renewal(bytes: &[u8]) -> Result<SessionRenewal, codec::Error> {
    let answer: SessionRenewal = codec::decode(bytes, SESSION_BYTES_MAX)?;
    if let SessionRenewal::Renewed { machines, .. } = &answer {
        within(machines.len(), SESSION_MACHINES_MAX)?;
    }
    Ok(answer)
}

const fn within(length: usize, limit: usize) -> Result<(), codec::Error> {
    if length > limit { Err(codec::Error::TooLong { length, limit }) } else { Ok(()) }
}
