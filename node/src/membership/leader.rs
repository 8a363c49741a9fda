//! What only the leader can do, asked of whoever leads.
//!
//! A request goes to the leader and is repeated until it is answered or its time is up: leaders
//! die, and messages are lost. Every command can be repeated (see `protocol::wire::v1`), so a
//! repetition is harmless, and what stays uncertain at the end is told as uncertain.

use std::collections::BTreeSet;
use std::time::Duration;

use federation::{Channel, ask};
use protocol::codec;
use protocol::identity::PublicKey;
use protocol::ids::NodeId;
use protocol::membership::Members;
use protocol::site::{Command, Outcome};
use protocol::wire::v1::{self, Member, NODES_BYTES_MAX, NodeAnswer, NodeFault, NodeRequest};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

use crate::desk::{Desk, Error, stamped};
use crate::observe::chain;

/// How long a request is repeated: through several elections, and shorter than a client's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause before a repetition: a new leader is met soon, and an old one is not flooded.
const PAUSE: Duration = Duration::from_millis(50);

/// How many entries a learner may lack to count as caught up: what is written during one exchange.
const READY_LAG: u64 = 64;

impl Desk {
    /// Proposes a command, wherever the leader is, and hands back what the site made of it once
    /// that is committed and can be [`read`](Self::read) here. The leader stamps time and chance.
    ///
    /// # Errors
    ///
    /// If the site cannot commit it now; see there whether it may have.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut uncertain = false;
        loop {
            match self.propose_once(&command).await {
                Ok((outcome, index)) => {
                    self.applied(index, deadline).await.map_err(|_| Error::Uncertain)?;
                    return Ok(outcome);
                }
                Err(fault) if !fault.is_transient() => return Err(fault),
                Err(fault) => {
                    uncertain |= matches!(fault, Error::Uncertain);
                    if Instant::now() + PAUSE >= deadline {
                        return Err(if uncertain { Error::Uncertain } else { fault });
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn propose_once(&self, command: &Command) -> Result<(Outcome, u64), Error> {
        let Some(leader) = self.leader_elsewhere()? else {
            return self.propose_here(command).await;
        };
        let request = NodeRequest::Propose(Box::new(command.clone()));
        match self.ask_leader(leader, &request).await? {
            NodeAnswer::Proposed { outcome, index } => Ok((outcome, index)),
            other => Err(unexpected(leader, &other)),
        }
    }

    /// Proposes a command as the leader, and says which index accounts for it.
    pub(crate) async fn propose_here(&self, command: &Command) -> Result<(Outcome, u64), Error> {
        let outcome = self.replica().propose(&stamped(command.clone())).await?;
        Ok((outcome, self.watch().borrow().applied))
    }

    /// Waits until whatever anybody was told is in the state that [`read`](Self::read) shows.
    ///
    /// # Errors
    ///
    /// If this node cannot know.
    pub async fn current(&self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.index_once().await {
                Ok(index) => return self.applied(index, deadline).await,
                Err(fault) if !fault.is_transient() => return Err(fault),
                // To read has changed nothing: the node only does not know.
                Err(fault) if Instant::now() + PAUSE >= deadline => {
                    return Err(match fault {
                        Error::Uncertain => Error::NoQuorum,
                        fault => fault,
                    });
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn index_once(&self) -> Result<u64, Error> {
        let Some(leader) = self.leader_elsewhere()? else { return self.replica().barrier().await };
        match self.ask_leader(leader, &NodeRequest::Index).await? {
            NodeAnswer::Index(index) => Ok(index),
            other => Err(unexpected(leader, &other)),
        }
    }

    /// The members as the leader knows them.
    ///
    /// # Errors
    ///
    /// If there is no leader, or it does not answer.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let Some(leader) = self.leader_elsewhere()? else { return Ok(self.members_here()) };
        match self.ask_leader(leader, &NodeRequest::Members).await? {
            NodeAnswer::Members(members) => Ok(members),
            other => Err(unexpected(leader, &other)),
        }
    }

    /// The members as this node knows them.
    pub(crate) fn members_here(&self) -> Vec<Member> {
        let lags = self.replica().lags();
        let storage::replica::Members { voters, learners } = self.replica().members();
        let me = self.node();
        let member = |node, votes| {
            let lag = if node == me { Some(0) } else { lags.get(&node).copied() };
            Member { node, votes, lag }
        };
        let voters = voters.into_iter().map(|node| member(node, true));
        voters.chain(learners.into_iter().map(|node| member(node, false))).collect()
    }

    /// The members in the words in which the next step is decided: who is connected to this node is
    /// reached. A learner that has caught up and is gone again is not ready: its vote would only be
    /// missed.
    pub(crate) async fn raft_members(&self) -> Members {
        let storage::replica::Members { voters, learners } = self.replica().members();
        let lags = self.replica().lags();
        let near = |node: &NodeId| lags.get(node).is_some_and(|lag| *lag <= READY_LAG);
        let met = self.fellows().await;
        let here = |node: &NodeId| {
            *node == self.node() || self.directory().key(*node).is_some_and(|it| met.contains(&it))
        };
        let reached: BTreeSet<NodeId> =
            voters.iter().chain(&learners).copied().filter(here).collect();
        let is_ready = |node: &NodeId| near(node) && reached.contains(node);
        let ready = learners.iter().copied().filter(is_ready).collect();
        Members { voters, learners, ready, reached }
    }

    /// The keys of the nodes of this site that are connected to this one.
    pub(crate) async fn fellows(&self) -> BTreeSet<PublicKey> {
        let bus = self.peers().peers().await;
        let own = bus.into_iter().find(|peer| peer.site == Some(self.site()));
        own.into_iter().flat_map(|own| own.nodes).map(|node| node.node).collect()
    }

    /// Lets another node lead, and says for how long the site took no writes.
    ///
    /// # Errors
    ///
    /// If the other one has no vote, has not caught up, or was not elected.
    pub async fn hand_over(&self, to: NodeId) -> Result<Duration, Error> {
        let Some(leader) = self.leader_elsewhere()? else { return self.hand_over_here(to).await };
        if leader == to {
            return Ok(Duration::ZERO);
        }
        match self.ask_leader_slowly(leader, &NodeRequest::HandOver { to }).await? {
            NodeAnswer::HandedOver { gap } => Ok(Duration::from_millis(gap)),
            NodeAnswer::Fault(NodeFault::NoVoter) => Err(Error::NoVoter { node: to }),
            NodeAnswer::Fault(NodeFault::Behind) => Err(Error::Behind { node: to }),
            NodeAnswer::Fault(NodeFault::NotElected) => Err(Error::NotElected { node: to }),
            other => Err(unexpected(leader, &other)),
        }
    }

    /// Hands the leadership over as the leader.
    pub(crate) async fn hand_over_here(&self, to: NodeId) -> Result<Duration, Error> {
        let stand = async {
            let Some(key) = self.directory().key(to) else { return };
            let request = codec::encode(&NodeRequest::Stand);
            if let Err(fault) = self.peers().ask_node(key, Channel::Site, request).await {
                debug!(%to, fault = chain(&fault), "the node that is to lead does not answer");
            }
        };
        self.replica().hand_over(to, stand).await
    }

    /// Who leads, if it is another node.
    pub(crate) fn leader_elsewhere(&self) -> Result<Option<NodeId>, Error> {
        let now = *self.watch().borrow();
        match now.leader {
            _ if !now.running => Err(Error::Closed),
            _ if now.is_leader => Ok(None),
            Some(leader) if leader != self.node() => Ok(Some(leader)),
            Some(_) | None => Err(Error::NotLeader { leader: None }),
        }
    }

    /// Asks the leader, until it answers or another one leads.
    pub(crate) async fn ask_leader(
        &self,
        leader: NodeId,
        request: &NodeRequest,
    ) -> Result<NodeAnswer, Error> {
        let mut progress = self.watch();
        let replaced = progress.wait_for(|now| now.leader != Some(leader));
        tokio::select! {
            answer = self.ask_leader_slowly(leader, request) => answer,
            // Whether the last one has done it nobody will say now.
            _ = replaced => Err(Error::Uncertain),
        }
    }

    /// Asks a node that leads, or led when the request was sent.
    async fn ask_leader_slowly(
        &self,
        leader: NodeId,
        request: &NodeRequest,
    ) -> Result<NodeAnswer, Error> {
        let unreachable = Error::NotLeader { leader: Some(leader) };
        let Some(key) = self.directory().key(leader) else { return Err(unreachable) };
        let body = codec::encode(request);
        if body.len() > NODES_BYTES_MAX {
            return Err(Error::TooLarge { bytes: body.len(), limit: NODES_BYTES_MAX });
        }
        let answer = match self.peers().ask_node(key, Channel::Site, body).await {
            Ok(answer) => v1::node_answer(&answer).map_err(|_| Error::Uncertain)?,
            Err(fault) => {
                debug!(%leader, fault = chain(&fault), "the leader does not answer");
                return Err(if was_sent(&fault) { Error::Uncertain } else { unreachable });
            }
        };
        match answer {
            NodeAnswer::Fault(NodeFault::NotLeader { leader }) => Err(Error::NotLeader { leader }),
            NodeAnswer::Fault(NodeFault::Later) => Err(Error::Busy),
            NodeAnswer::Fault(NodeFault::Uncertain) => Err(Error::Uncertain),
            NodeAnswer::Fault(NodeFault::TooLarge { bytes }) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                Err(Error::TooLarge { bytes, limit: NODES_BYTES_MAX })
            }
            answer => Ok(answer),
        }
    }

    /// Waits until an entry is applied here.
    async fn applied(&self, index: u64, deadline: Instant) -> Result<(), Error> {
        let mut progress = self.watch();
        let reached = progress.wait_for(|now| now.applied >= index || !now.running);
        match timeout_at(deadline, reached).await {
            Ok(Ok(now)) if now.applied >= index => Ok(()),
            Ok(_) => Err(Error::Closed),
            Err(_) => Err(Error::Behind { node: self.node() }),
        }
    }
}

/// Whether the node may have done what it was asked, although it did not answer.
const fn was_sent(fault: &ask::Error) -> bool {
    match fault {
        ask::Error::Lost { .. }
        | ask::Error::TimedOut { .. }
        | ask::Error::Unreadable { .. }
        | ask::Error::Refused { .. } => true,
        ask::Error::Unreachable { .. }
        | ask::Error::TooLong { .. }
        | ask::Error::Crowded { .. }
        | ask::Error::Busy { .. }
        | ask::Error::NotSpoken { .. }
        | ask::Error::Inner { .. }
        | ask::Error::Closed => false,
    }
}

fn unexpected(leader: NodeId, answer: &NodeAnswer) -> Error {
    debug!(%leader, ?answer, "the leader answers something else than it was asked");
    Error::Uncertain
}
