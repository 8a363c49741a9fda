//! Who asks, whether they may, and how much is done at once.
//!
//! A caller shows the secret of a key. It is looked up in the state as this node has it, and if it
//! is not there, once more as the leader has it: it may have been added at another node just now.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use protocol::ids::{KeyId, TenantId};
use protocol::site::Refusal;
use protocol::site::state::Role;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::{Code, Error};
use super::operations::{Access, Operation};
use super::secret::Secret;
use super::tls::Pin;
use crate::desk::Desk;
use crate::networks::Networks;

/// Requests that are worked on at once: several log entries' worth of proposals.
const QUICK_MAX: usize = 256;

/// Requests at once that last because their callers want them to: long polls, uploads, consoles.
/// Fewer than there may be connections, so that they never keep all others out.
const LASTING_MAX: usize = 512;

/// How long a request waits for its turn.
const TURN_TIME: Duration = Duration::from_secs(5);

/// How long a quick request may take, from its head to its answer: longer than a proposal may wait
/// for its place in the log and for being committed.
const QUICK_TIME: Duration = Duration::from_secs(45);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// With which key.
    pub(super) key: KeyId,
    /// For which tenant.
    pub(super) tenant: TenantId,
    /// What the key allows.
    pub(super) role: Role,
}

/// A node that was invited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Invited {
    /// BLAKE3 of the secret that it has shown.
    pub(super) digest: [u8; 32],
}

/// The right to be worked on, as long as it is held.
#[derive(Clone, Debug)]
pub(super) struct Turn(
    #[expect(dead_code, reason = "it counts by being there")] Arc<OwnedSemaphorePermit>,
);

/// Where the interface is, as an invitation says it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its URL; on this machine only, if no other is known.
    pub(super) url: String,
    /// The pin of its certificate.
    pub(super) pin: Pin,
}

/// What every request is worked on with.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// The site.
    pub(super) desk: Desk,
    /// The networks of this node's host.
    pub(super) networks: Networks,
    /// Where this interface is.
    pub(super) place: Arc<Place>,
    quick: Arc<Semaphore>,
    lasting: Arc<Semaphore>,
}

impl Server {
    pub(super) fn new(desk: Desk, networks: Networks, place: Place) -> Self {
        Self {
            desk,
            networks,
            place: Arc::new(place),
            quick: Arc::new(Semaphore::new(QUICK_MAX)),
            lasting: Arc::new(Semaphore::new(LASTING_MAX)),
        }
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        let digest = digest(headers)?;
        let look = || {
            self.desk.read(|site| {
                let found = site.key_of(&digest);
                found.map(|(id, key)| Caller { key: id, tenant: key.tenant, role: key.role })
            })
        };
        if let Some(known) = look() {
            return Ok(known);
        }
        if !self.desk.watch().borrow().is_leader {
            self.desk.current().await?;
        }
        look().ok_or_else(|| refused("this site does not know the key"))
    }

    /// Nothing enters the log for who was not invited. An invitation may be a moment old, and from
    /// another node.
    async fn invited(&self, headers: &HeaderMap) -> Result<Invited, Error> {
        let digest = digest(headers)?;
        self.desk.current().await?;
        if self.desk.read(|site| site.invitation(&digest).is_none()) {
            return Err(refused(&Refusal::Uninvited.to_string()));
        }
        Ok(Invited { digest })
    }

    async fn turn(&self, lasting: bool) -> Result<Turn, Error> {
        let queue = Arc::clone(if lasting { &self.lasting } else { &self.quick });
        let permit = timeout(TURN_TIME, queue.acquire_owned()).await;
        let permit = permit.map_err(|_| Error::new(Code::Busy, "too many requests: try again"))?;
        Ok(Turn(Arc::new(permit.expect("the queues are never closed"))))
    }
}

fn refused(message: &str) -> Error {
    Error::new(Code::Unauthenticated, message)
        .hint("send the header 'Authorization: Bearer rsv_...' with the secret of a key")
}

/// The digest of the secret that is shown.
fn digest(headers: &HeaderMap) -> Result<[u8; 32], Error> {
    let header = headers.get(AUTHORIZATION).ok_or_else(|| refused("a key is needed"))?;
    let secret: Secret = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, secret)| secret.trim().parse().ok())
        .ok_or_else(|| refused("the header is not understood"))?;
    Ok(secret.digest())
}

/// Lets a request through to its operation, or says why not.
pub(super) async fn admit(
    State((server, operation)): State<(Server, &'static Operation)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    // The turn comes first: whoever is not known here makes this node ask the leader.
    let turn = server.turn(operation.lasting).await?;
    match operation.access {
        Access::Key(role) => {
            let caller = server.caller(request.headers()).await?;
            if role == Role::Operator && caller.role != Role::Operator {
                return Err(Error::new(Code::NotAllowed, "only an operator may do this")
                    .hint("use an operator's key, or ask the operators of the site"));
            }
            tracing::debug!(operation = operation.name, key = %caller.key, "admitted");
            request.extensions_mut().insert(caller);
        }
        Access::Invitation => {
            let invited = server.invited(request.headers()).await?;
            request.extensions_mut().insert(invited);
        }
    }
    request.extensions_mut().insert(turn.clone());
    if operation.lasting {
        return Ok(next.run(request).await);
    }
    let answered = timeout(QUICK_TIME, next.run(request)).await;
    answered.map_err(|_| {
        Error::new(Code::TooSlow, "the request took too long")
            .hint("repeat it with the same Idempotency-Key")
    })
}
