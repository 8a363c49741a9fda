//! How the nodes of one site reach each other: the node hands in a [`Transport`], and gives what it
//! receives to [`Replica::receive`](crate::Replica::receive).
//!
//! Messages are openraft's three, encoded by the one codec. They pass only between nodes that have
//! proved to be of the same site; that is the transport's duty. They are bounded all the same.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, SnapshotMismatch,
    Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, Raft};
use protocol::codec;
use protocol::ids::NodeId;
use protocol::rows::Replicated;
use serde::{Deserialize, Serialize};

use crate::entry::TypeConfig;

/// The most bytes of one message: the entries sent at once, or a chunk of a snapshot, and a little.
/// The codec decodes no more at once.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The bytes of a snapshot in one message: it takes a node under load no longer than a heartbeat.
pub(crate) const CHUNK_BYTES: u64 = 256 << 10;

/// A message did not arrive, or its answer did not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The site has one node, and it is this one.
    #[error("node {to} cannot be reached: this site has one node")]
    Alone {
        /// Who was to be reached.
        to: NodeId,
    },
    /// The node cannot be reached now.
    #[error("node {to} cannot be reached: it is asked again")]
    Unreachable {
        /// Who was to be reached.
        to: NodeId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Carries messages between the nodes of one site.
///
/// A message may be lost, doubled or late; Raft expects no better. It must not be altered, and must
/// reach no other than `to`.
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Takes a message of at most [`MESSAGE_BYTES_MAX`] to a node, and brings its answer. It is
    /// dropped when the answer is too late.
    async fn send(&self, to: NodeId, rpc: Vec<u8>) -> Result<Vec<u8>, Error>;
}

/// The transport of a site of one node: there is nobody to reach.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

#[async_trait]
impl Transport for Alone {
    async fn send(&self, to: NodeId, _: Vec<u8>) -> Result<Vec<u8>, Error> {
        Err(Error::Alone { to })
    }
}

/// What one node asks another.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
enum Request<S: Replicated> {
    Append(AppendEntriesRequest<TypeConfig<S>>),
    Vote(VoteRequest<u64>),
    Snapshot(InstallSnapshotRequest<TypeConfig<S>>),
}

/// What the other answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Append(AppendEntriesResponse<u64>),
    Vote(VoteResponse<u64>),
    Snapshot(InstallSnapshotResponse<u64>),
    /// The chunk does not continue what was received so far: begin anew.
    Mismatch(SnapshotMismatch),
    /// The replica there has stopped. Its reason is in its own log, and no business of the wire.
    Stopped,
    /// The request could not be read.
    Unreadable,
}

/// Answers a message. Bytes that are no message are answered too, and change nothing.
pub(crate) async fn answer<S: Replicated>(raft: &Raft<TypeConfig<S>>, rpc: &[u8]) -> Vec<u8> {
    let answer = match codec::decode::<Request<S>>(rpc, MESSAGE_BYTES_MAX) {
        Err(error) => {
            tracing::warn!(%error, bytes = rpc.len(), "a message to the replica is refused");
            Answer::Unreadable
        }
        Ok(Request::Append(request)) => {
            raft.append_entries(request).await.map_or(Answer::Stopped, Answer::Append)
        }
        Ok(Request::Vote(request)) => {
            raft.vote(request).await.map_or(Answer::Stopped, Answer::Vote)
        }
        Ok(Request::Snapshot(request)) => match raft.install_snapshot(request).await {
            Ok(response) => Answer::Snapshot(response),
            Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch))) => {
                Answer::Mismatch(mismatch)
            }
            Err(RaftError::Fatal(_)) => Answer::Stopped,
        },
    };
    codec::encode(&answer)
}

/// Makes connections for openraft out of the site's transport.
#[derive(Debug)]
pub(crate) struct Network<S> {
    transport: Arc<dyn Transport>,
    state: PhantomData<fn() -> S>,
}

impl<S> Network<S> {
    pub(crate) const fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, state: PhantomData }
    }
}

impl<S: Replicated> RaftNetworkFactory<TypeConfig<S>> for Network<S> {
    type Network = Connection<S>;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Connection<S> {
        Connection {
            to: NodeId(target),
            transport: Arc::clone(&self.transport),
            state: PhantomData,
        }
    }
}

/// One way to one node.
#[derive(Debug)]
pub(crate) struct Connection<S> {
    to: NodeId,
    transport: Arc<dyn Transport>,
    state: PhantomData<fn() -> S>,
}

/// An exchange that brought no answer of use.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Transport(#[from] Error),
    #[error("node {to} has stopped: look at its log")]
    Stopped { to: NodeId },
    #[error("the answer of node {to} cannot be read: bring both to the same version")]
    Unreadable {
        to: NodeId,
        #[source]
        source: codec::Error,
    },
    #[error("node {to} answers something else than it was asked: {answer}")]
    Unexpected { to: NodeId, answer: String },
}

impl Failure {
    /// Whether there is nobody to answer, so that it is better to wait before the next try.
    const fn is_of_absence(&self) -> bool {
        matches!(self, Self::Transport(_) | Self::Stopped { .. })
    }
}

type RpcError<E = openraft::error::Infallible> = RPCError<u64, EmptyNode, RaftError<u64, E>>;

fn failed<E: std::error::Error>(failure: &Failure) -> RpcError<E> {
    if failure.is_of_absence() {
        RPCError::Unreachable(Unreachable::new(failure))
    } else {
        RPCError::Network(NetworkError::new(failure))
    }
}

impl<S: Replicated> Connection<S> {
    async fn exchange(&self, request: &Request<S>) -> Result<Answer, Failure> {
        let to = self.to;
        let bytes = self.transport.send(to, codec::encode(request)).await?;
        match codec::decode(&bytes, MESSAGE_BYTES_MAX) {
            Ok(Answer::Stopped) => Err(Failure::Stopped { to }),
            Ok(answer) => Ok(answer),
            Err(source) => Err(Failure::Unreadable { to, source }),
        }
    }

    fn unexpected<E: std::error::Error>(&self, answer: &Answer) -> RpcError<E> {
        failed(&Failure::Unexpected { to: self.to, answer: format!("{answer:?}") })
    }
}

impl<S: Replicated> RaftNetwork<TypeConfig<S>> for Connection<S> {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig<S>>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        match self.exchange(&Request::Append(rpc)).await.map_err(|failure| failed(&failure))? {
            Answer::Append(response) => Ok(response),
            answer => Err(self.unexpected(&answer)),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig<S>>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RpcError<InstallSnapshotError>> {
        match self.exchange(&Request::Snapshot(rpc)).await.map_err(|failure| failed(&failure))? {
            Answer::Snapshot(response) => Ok(response),
            Answer::Mismatch(mismatch) => {
                let error = RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RPCError::RemoteError(RemoteError::new(self.to.0, error)))
            }
            answer => Err(self.unexpected(&answer)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        match self.exchange(&Request::Vote(rpc)).await.map_err(|failure| failed(&failure))? {
            Answer::Vote(response) => Ok(response),
            answer => Err(self.unexpected(&answer)),
        }
    }
}
