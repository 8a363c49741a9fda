//! The bus over libp2p: a task that owns the swarm, and a handle that sends it commands.
//!
//! The task never waits for anybody: what takes time (a handler's answer, a verdict, a console)
//! runs in a task of its own, counted against the peer that caused it.

mod ask;
pub(crate) mod behaviour;
pub(crate) mod directory;
mod find;
mod greet;
pub(crate) mod inner;
mod line;
mod relay;
mod score;
mod show;
mod stream;
mod task;
mod tell;
mod work;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm};
use protocol::identity::{NodeCertificate, PublicKey};
use protocol::ids::SiteId;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::dial::{self, address};
use crate::observe::{PeerState, RefusalRecord};
use crate::options::{Error, Options, PeerAddress};
use crate::stream::Duplex;
use crate::{Addressee, Admission, Caller, Channel, Handler, Peers};
use behaviour::{Bus, BusEvent};
use task::Task;

/// Commands that wait for the task; it takes each in microseconds.
const COMMANDS_WAITING: usize = 64;

/// How long a listener may take to name its first address.
const LISTEN_TIME: Duration = Duration::from_secs(5);

/// What a handle asks of the task.
pub(crate) enum Command {
    Ask { whom: Addressee, channel: Channel, body: Vec<u8>, reply: ask::Reply },
    Publish { body: Vec<u8>, reply: oneshot::Sender<Result<(), crate::tell::Error>> },
    Route { whom: Addressee, reply: oneshot::Sender<Option<PeerId>> },
    SetPeers { peers: Vec<PeerAddress>, reply: oneshot::Sender<Result<(), Error>> },
    Present { certificate: Box<NodeCertificate> },
    Peers { reply: oneshot::Sender<Vec<PeerState>> },
    Refusals { reply: oneshot::Sender<Vec<RefusalRecord>> },
    Close,
}

/// The bus of a node. Clones are handles of the same bus.
#[derive(Clone)]
pub struct Federation {
    commands: mpsc::Sender<Command>,
    streams: libp2p_stream::Control,
    listening: Arc<[String]>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Federation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Federation").field("listening", &self.listening).finish_non_exhaustive()
    }
}

impl Federation {
    /// Starts the bus, and returns once it listens.
    ///
    /// # Errors
    ///
    /// If the certificate is not the key's, an address cannot be read or listened on, or a part of
    /// libp2p cannot be set up.
    pub async fn start(
        options: Options,
        admission: Arc<dyn Admission>,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, Error> {
        if options.certificate.certificate().node != options.key.public() {
            return Err(Error::OtherKey);
        }
        let mut swarm = behaviour::swarm(&options, Arc::clone(&admission))?;
        let (listening, early) = listen(&mut swarm, &options.listen).await?;
        let is_on_loopback = listening.iter().all(address::is_loopback);
        for address in reached_under(&options, &listening)? {
            swarm.add_external_address(address);
        }
        let mut streams = swarm.behaviour().gate.inner.streams.new_control();
        let incoming = streams
            .accept(StreamProtocol::new(crate::stream::PROTOCOL))
            .map_err(|source| Error::Setup { part: "console streams", source: source.into() })?;
        let (commands, received) = mpsc::channel(COMMANDS_WAITING);
        let me = Caller { site: options.certificate.site(), node: options.key.public() };
        let mut task = Task::new((swarm, incoming), me, options.limits, admission, handler);
        task.is_on_loopback = is_on_loopback;
        let task = tokio::spawn(task.run(early, received));
        let task = Arc::new(Mutex::new(Some(task)));
        let listening = listening.iter().map(Multiaddr::to_string).collect();
        Ok(Self { commands, streams, listening, task })
    }

    /// The addresses the node listens on.
    #[must_use]
    pub fn listening(&self) -> &[String] {
        &self.listening
    }

    /// Closes all connections and ends what is under way. Returns when the bus is gone, so that
    /// its addresses can be listened on again.
    pub async fn close(&self) {
        // A bus that is gone already has nothing left to close.
        let _ = self.commands.send(Command::Close).await;
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the bus did not end well");
        }
    }

    async fn request(
        &self,
        whom: Addressee,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, crate::ask::Error> {
        let (length, limit) = (body.len(), channel.limit());
        if length > limit {
            return Err(crate::ask::Error::TooLong { whom, length, limit });
        }
        self.command(|reply| Command::Ask { whom, channel, body, reply })
            .await
            .unwrap_or(Err(crate::ask::Error::Closed))
    }

    /// Sends a command and waits for its reply; none if the bus is closed.
    async fn command<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, replied) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        replied.await.ok()
    }
}

#[async_trait]
impl Peers for Federation {
    async fn ask(
        &self,
        site: SiteId,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, crate::ask::Error> {
        self.request(Addressee::Site(site), channel, body).await
    }

    async fn ask_node(
        &self,
        node: PublicKey,
        channel: Channel,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, crate::ask::Error> {
        self.request(Addressee::Node(node), channel, body).await
    }

    async fn publish(&self, body: Vec<u8>) -> Result<(), crate::tell::Error> {
        let length = body.len();
        if length > crate::tell::LIMIT {
            return Err(crate::tell::Error::TooLong { length });
        }
        self.command(|reply| Command::Publish { body, reply })
            .await
            .unwrap_or(Err(crate::tell::Error::Closed))
    }

    async fn open(&self, site: SiteId, header: Vec<u8>) -> Result<Duplex, crate::stream::Error> {
        stream::open(self, Addressee::Site(site), header).await
    }

    async fn open_node(
        &self,
        node: PublicKey,
        header: Vec<u8>,
    ) -> Result<Duplex, crate::stream::Error> {
        stream::open(self, Addressee::Node(node), header).await
    }

    async fn set_peers(&self, peers: Vec<PeerAddress>) -> Result<(), Error> {
        self.command(|reply| Command::SetPeers { peers, reply }).await.unwrap_or(Err(Error::Closed))
    }

    async fn present(&self, certificate: NodeCertificate) -> Result<(), Error> {
        let command = Command::Present { certificate: Box::new(certificate) };
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }

    async fn peers(&self) -> Vec<PeerState> {
        self.command(|reply| Command::Peers { reply }).await.unwrap_or_default()
    }

    async fn refusals(&self) -> Vec<RefusalRecord> {
        self.command(|reply| Command::Refusals { reply }).await.unwrap_or_default()
    }
}

/// The addresses under which others reach the node: those that were given, or else those it was told
/// to listen on that mean the same to everybody; on loopback, to everybody there.
fn reached_under(options: &Options, listening: &[Multiaddr]) -> Result<Vec<Multiaddr>, Error> {
    let parse = |texts: &[String]| texts.iter().map(|text| dial::parse(text)).collect();
    if !options.external.is_empty() {
        return parse(&options.external);
    }
    let told: Vec<Multiaddr> = parse(&options.listen)?;
    let is_told =
        |address: &Multiaddr| told.iter().any(|it| address::ip(it) == address::ip(address));
    let means_the_same =
        |it: &&Multiaddr| is_told(it) && (address::is_public(it) || address::is_loopback(it));
    Ok(listening.iter().filter(means_the_same).cloned().collect())
}

/// Listens on each address, and waits until each has a name: a port that was left to the system
/// has a number then. What else happens meanwhile is kept for the task: peers may come this early.
async fn listen(
    swarm: &mut Swarm<Bus>,
    addresses: &[String],
) -> Result<(Vec<Multiaddr>, Vec<SwarmEvent<BusEvent>>), Error> {
    let mut waiting: Vec<(ListenerId, &String)> = Vec::new();
    for text in addresses {
        let address = dial::parse(text)?;
        let listener = swarm
            .listen_on(address)
            .map_err(|source| Error::Listen { address: text.clone(), source: source.into() })?;
        waiting.push((listener, text));
    }
    let (mut named, mut early) = (Vec::new(), Vec::new());
    let deadline = tokio::time::Instant::now() + LISTEN_TIME;
    while let Some((_, first)) = waiting.first() {
        let Ok(event) = tokio::time::timeout_at(deadline, swarm.select_next_some()).await else {
            let source = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
            return Err(Error::Listen { address: (*first).clone(), source });
        };
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                named.push(address);
                waiting.retain(|(listener, _)| *listener != listener_id);
            }
            SwarmEvent::ListenerClosed { listener_id, reason: Err(source), .. } => {
                let failed = waiting.iter().find(|(listener, _)| *listener == listener_id);
                if let Some((_, address)) = failed {
                    let (address, source) = ((*address).clone(), source.into());
                    return Err(Error::Listen { address, source });
                }
            }
            other => early.push(other),
        }
    }
    Ok((named, early))
}
