//! A peer whose software is not ours: it has the true keys of a site, keeps to the hello, and then says
//! what it likes, as often as it likes.
//!
//! It speaks libp2p by itself, so the crate of the bus needs no way to misbehave, and what crosses the
//! wire is met as a stranger would write it: a frame is a length of four bytes, most significant
//! first, and that many bytes; an answer's first byte says what kind of answer it is.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use federation::{Channel, Refusal};
use futures::future::join_all;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, noise, ping, tcp, yamux,
};
use libp2p_stream::Control;
use protocol::agreement::Message;
use protocol::codec;
use protocol::identity::{NodeCertificate, SecretKey, Signed, Statement};
use protocol::ids::{MachineId, SiteId};
use protocol::machine::Goal;
use protocol::time::{Span, Timestamp};
use protocol::wire::v1::Delivery;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::sites::PATIENCE;

const HELLO: StreamProtocol = StreamProtocol::new("/reservoir/hello/1");

/// Gossipsub v1.1, as its specification names it.
const GOSSIP: StreamProtocol = StreamProtocol::new("/meshsub/1.1.0");

/// The most bytes of a file with a certificate, and of a frame that this peer reads.
const FRAME_MAX: usize = 1 << 20;

/// Connections that it holds at once: as many as a node lets one key have.
pub(crate) const LINES: usize = 4;

/// Requests on one of them that are under way at once.
const AT_ONCE: usize = 32;

/// How long it keeps to one thing while it floods.
const STEP: Duration = Duration::from_secs(3);

/// How long it asks again and again on a connection that nobody closes. On a machine that is too busy
/// it may not come to more in a second than a peer is allowed.
const PRESS: Duration = Duration::from_secs(10);

/// The keys of a node.
#[derive(Debug)]
pub(crate) struct Keys {
    node: SecretKey,
    certificate: NodeCertificate,
}

impl Keys {
    /// Takes them from a node's directory.
    pub(crate) fn of(data: &Path) -> Result<Self> {
        let keys = data.join("keys");
        let text = fs::read_to_string(keys.join("node.key")).context("read a node's key")?;
        let mut secret = [0; 32];
        for (byte, digits) in secret.iter_mut().zip(text.trim().as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).context("a key in hexadecimal digits")?;
            *byte = u8::from_str_radix(digits, 16).context("a key in hexadecimal digits")?;
        }
        let certificate = fs::read(keys.join("node.cert")).context("read a certificate")?;
        let certificate = codec::decode(&certificate, FRAME_MAX).context("read a certificate")?;
        Ok(Self { node: SecretKey::from_bytes(&secret), certificate })
    }

    /// A delivery as an honest node signs it, of a message that is out of its turn by far: nothing is
    /// wrong with it but that it is never taken up.
    pub(crate) fn delivery(&self, audience: SiteId) -> Result<Delivery> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
        let now = Timestamp::from_millis(u64::try_from(now.as_millis()).context("read the clock")?);
        let body = Message::Order {
            machine: MachineId::from_uuid(Uuid::nil()),
            epoch: 1,
            goal: Goal::Destroyed,
        };
        let statement = Statement {
            issuer: self.certificate.site(),
            audience: Some(audience),
            incarnation: 0,
            sequence: u64::MAX,
            issued_at: now,
            expires_at: now + Span::from_secs(3600),
            body,
        };
        Ok(Delivery { messages: vec![Signed::sign(&statement, &self.certificate, &self.node)] })
    }
}

/// What each side says of itself: the versions that it speaks, its certificate, its incarnation, and
/// the lowest serial that its site honours.
type Hello = (Vec<u16>, NodeCertificate, u64, u64);

/// The one version that this peer speaks.
const VERSION: u16 = 1;

/// What a listener answers to the hello.
#[derive(Deserialize)]
enum Answer {
    Hello(Hello),
    Refused(Refusal),
}

/// What a peer answers to a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// This.
    Answer(Vec<u8>),
    /// That it refuses, or is busy.
    No(String),
    /// Nothing: it has closed the stream.
    Nothing,
}

/// What it can do: open streams, and answer pings, without which it would count as dead.
#[derive(NetworkBehaviour)]
struct Speech {
    streams: libp2p_stream::Behaviour,
    ping: ping::Behaviour,
}

/// How streams are opened on a connection.
#[derive(Clone)]
struct Opener {
    peer: PeerId,
    control: Control,
    /// Its other end goes away with the connection.
    alive: watch::Receiver<()>,
}

impl Opener {
    async fn open(&mut self, protocol: StreamProtocol) -> Result<Stream> {
        let opening = self.control.open_stream(self.peer, protocol.clone());
        tokio::select! {
            opened = opening => opened.with_context(|| format!("open a stream for {protocol}")),
            // Without this it would wait for another connection, which nobody makes.
            _ = self.alive.changed() => bail!("the connection is closed"),
        }
    }

    async fn exchange(&mut self, channel: Channel, body: &[u8]) -> Result<Vec<u8>> {
        let mut stream = self.open(StreamProtocol::new(channel.protocol())).await?;
        write(&mut stream, body).await?;
        read(&mut stream).await
    }
}

/// A connection that has passed the hello. It ends when this is dropped.
pub(crate) struct Line {
    opener: Opener,
    driving: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Line {
    /// Connects to a node, and greets it.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or turns this peer away.
    pub(crate) async fn open(keys: &Keys, address: &str) -> Result<Self> {
        let mut swarm = swarm(keys)?;
        swarm.dial(address.parse::<Multiaddr>().context("read an address")?)?;
        let peer = loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => break peer_id,
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    return Err(error).with_context(|| format!("connect to {address}"));
                }
                _ => {}
            }
        };
        let mut control = swarm.behaviour().streams.new_control();
        let gossip = control.accept(GOSSIP).context("listen to gossip")?;
        let (living, alive) = watch::channel(());
        let driving = tokio::spawn(async move {
            // What is told to it is held and not read, until the connection ends.
            let told = tokio::spawn(gossip.collect::<Vec<_>>());
            while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
            told.abort();
            drop(living);
        });
        let mut line = Self { opener: Opener { peer, control, alive }, driving };
        line.greet(keys).await?;
        Ok(line)
    }

    async fn greet(&mut self, keys: &Keys) -> Result<()> {
        let mut stream = self.opener.open(HELLO).await?;
        let hello: Hello = (vec![VERSION], keys.certificate.clone(), 0, 0);
        write(&mut stream, &codec::encode(&hello)).await?;
        let answer = read(&mut stream).await.context("read the answer to the hello")?;
        match codec::decode(&answer, FRAME_MAX).context("read the answer to the hello")? {
            Answer::Hello((versions, ..)) => ensure!(versions.contains(&VERSION), "{versions:?}"),
            Answer::Refused(refusal) => return Err(refusal.into()),
        }
        // The first of the two verdicts: welcome.
        write(&mut stream, &[0]).await
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, channel: Channel, body: &[u8]) -> Result<Heard> {
        let Ok(answer) = self.opener.exchange(channel, body).await else {
            return Ok(Heard::Nothing);
        };
        match answer.split_first().context("an answer has a kind")? {
            (0, body) => Ok(Heard::Answer(body.to_vec())),
            (1, reason) => Ok(Heard::No(String::from_utf8_lossy(reason).into_owned())),
            (2, _) => Ok(Heard::No("busy".to_owned())),
            (kind, _) => bail!("an answer of an unknown kind: {kind}"),
        }
    }

    /// Tells adverts: one of gossipsub's RPCs for each, in protobuf.
    pub(crate) async fn tell(&mut self, adverts: &[Vec<u8>]) -> Result<()> {
        let topic = federation::tell::TOPIC.as_bytes();
        // All on one stream: gossipsub takes few of them.
        let mut stream = self.opener.open(GOSSIP).await?;
        for advert in adverts {
            let message = [field(2, advert)?, field(4, topic)?].concat();
            let rpc = field(2, &message)?;
            stream
                .write_all(&[varint(rpc.len())?, rpc].concat())
                .await
                .context("tell an advert")?;
        }
        stream.close().await.context("tell an advert")
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(&mut self) -> Result<()> {
        let ended = async { while self.opener.alive.changed().await.is_ok() {} };
        timeout(PATIENCE, ended).await.context("the connection stays open")
    }

    /// Begins as many of the longest requests as the other side lets it, sends all of each but the
    /// last byte, and holds them for a while.
    async fn fill(&mut self) {
        let channels = [Channel::Outbox, Channel::Machine, Channel::Session];
        let filling = async {
            let mut sending = Vec::new();
            for channel in channels.into_iter().cycle().take(AT_ONCE * channels.len()) {
                let protocol = StreamProtocol::new(channel.protocol());
                let Ok(stream) = self.opener.open(protocol).await else { break };
                sending.push(withhold(stream, channel.limit()));
            }
            join_all(sending).await;
        };
        // What matters is what the other side holds meanwhile.
        let _ = timeout(STEP, filling).await;
    }

    /// Asks the same again and again for a while, as fast as the connection carries it; answers how
    /// often.
    async fn press(&self, words: &[(Channel, Vec<u8>)], stop: &AtomicBool) -> u64 {
        let end = Instant::now() + PRESS;
        let goes_on = |alive: &watch::Receiver<()>| {
            alive.has_changed().is_ok() && !stop.load(Ordering::Acquire) && Instant::now() < end
        };
        let asking = words.iter().cycle().take(AT_ONCE).map(|(channel, body)| {
            let mut opener = self.opener.clone();
            async move {
                let mut asked = 0;
                while goes_on(&opener.alive) {
                    asked += 1;
                    // It does not care for the answer, nor whether one comes.
                    let _ = timeout(STEP, opener.exchange(*channel, body)).await;
                }
                asked
            }
        });
        join_all(asking).await.into_iter().sum()
    }
}

/// What a flood has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flooded {
    /// Connections that passed the hello.
    pub(crate) lines: u64,
    /// Those that did not.
    pub(crate) shut_out: u64,
    /// Requests that were begun.
    pub(crate) asked: u64,
}

/// Sends a node as much as [`LINES`] connections carry, until it is told to stop: first it fills
/// them, then it asks as fast as it can, and then it comes with a lie, however often it is turned
/// away.
pub(crate) async fn flood(
    keys: &Keys,
    address: &str,
    words: &[(Channel, Vec<u8>)],
    stop: &AtomicBool,
) -> Result<Flooded> {
    let lines = (0..LINES).map(|_| async {
        let mut flooded = Flooded::default();
        Line::open(keys, address).await?.fill().await;
        flooded.lines += 1;
        while !stop.load(Ordering::Acquire) {
            let Ok(Ok(mut line)) = timeout(STEP, Line::open(keys, address)).await else {
                flooded.shut_out += 1;
                continue;
            };
            flooded.lines += 1;
            if flooded.asked == 0 {
                flooded.asked = line.press(words, stop).await;
            } else {
                let _ = timeout(STEP, line.ask(Channel::Outbox, b"this is no delivery")).await;
            }
        }
        Ok(flooded)
    });
    let all: Result<Vec<Flooded>> = join_all(lines).await.into_iter().collect();
    Ok(all?.into_iter().fold(Flooded::default(), |sum, one| Flooded {
        lines: sum.lines + one.lines,
        shut_out: sum.shut_out + one.shut_out,
        asked: sum.asked + one.asked,
    }))
}

/// Announces a frame and sends all of it but the last byte.
async fn withhold(mut stream: Stream, length: usize) {
    let announced = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let frame = [&announced[..], &vec![0; length - 1]].concat();
    if stream.write_all(&frame).await.is_ok() && stream.flush().await.is_ok() {
        // The other side ends it when it has waited long enough.
        let _ = stream.read(&mut [0]).await;
    }
}

fn swarm(keys: &Keys) -> Result<Swarm<Speech>> {
    let keypair = Keypair::ed25519_from_bytes(keys.node.to_bytes()).context("take a key")?;
    let speech =
        Speech { streams: libp2p_stream::Behaviour::new(), ping: ping::Behaviour::default() };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .context("set noise up")?
        .with_behaviour(|_| speech)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    Ok(swarm)
}

async fn write(stream: &mut Stream, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len()).context("a frame has a length of four bytes")?;
    stream.write_all(&[&length.to_be_bytes(), body].concat()).await.context("write a frame")?;
    stream.flush().await.context("write a frame")
}

async fn read(stream: &mut Stream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.context("read a frame")?;
    let length = usize::try_from(u32::from_be_bytes(length)).context("read a frame")?;
    ensure!(length <= FRAME_MAX, "a frame of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.context("read a frame")?;
    Ok(body)
}

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Result<Vec<u8>> {
    const BYTES: u8 = 2;
    Ok([vec![number << 3 | BYTES], varint(bytes.len())?, bytes.to_vec()].concat())
}

/// A length in protobuf: seven bits in each byte, the least significant first.
fn varint(mut length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f)? | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length)?);
    Ok(bytes)
}
