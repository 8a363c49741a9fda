//! The parts of libp2p that the bus is made of, and how each is bounded.

use std::error::Error as Cause;
use std::sync::Arc;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MessageAuthenticity, MessageId, ValidationMode,
    WhitelistSubscriptionFilter,
};
use libp2p::identity::{Keypair, ed25519};
use libp2p::request_response::{self as ask, ProtocolSupport};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{
    PeerId, StreamProtocol, Swarm, SwarmBuilder, dcutr, identify, mdns, noise, ping, relay, tcp,
    yamux,
};

use super::directory::Directory;
use super::inner::Inner;
use super::score;
use crate::codec::Frames;
use crate::gate::{Gate, Inside};
use crate::hello::Hello;
use crate::options::{Error, Limits, Options};
use crate::{Admission, Caller, Channel, tell};

/// How long a handshake may take: TCP, noise and the multiplexer, or QUIC.
const HANDSHAKE_TIME: Duration = Duration::from_secs(6);

/// Streams of one connection at once. Three channels with 16 requests each way, adverts and consoles
/// take some 120, and two nodes of one site seldom use the two channels more at once; the
/// multiplexer may buffer 256 KiB for each that we are slow to read.
const STREAMS_PER_CONNECTION: usize = 128;

/// Streams of one connection whose protocol is still being negotiated.
const NEGOTIATING_PER_CONNECTION: usize = 64;

/// Connections whose handshake is under way, each way.
const PENDING_CONNECTIONS: u32 = 64;

/// Bytes of one gossip exchange: an advert with its envelope, or control messages for some dozen.
const GOSSIP_EXCHANGE: usize = 8 << 10;

/// What speaks on a connection once the hello has passed.
#[derive(NetworkBehaviour)]
pub(crate) struct Verbs {
    pub(crate) gossip: gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>,
    pub(crate) outbox: ask::Behaviour<Frames>,
    pub(crate) machine: ask::Behaviour<Frames>,
    pub(crate) session: ask::Behaviour<Frames>,
    pub(crate) site: Inner<ask::Behaviour<Frames>>,
    pub(crate) raft: Inner<ask::Behaviour<Frames>>,
    pub(crate) streams: libp2p_stream::Behaviour,
    pub(crate) directory: Directory,
    relay: Toggle<relay::Behaviour>,
    circuits: relay::client::Behaviour,
    punching: dcutr::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
}

impl Verbs {
    /// The requests of one channel.
    pub(crate) const fn channel(&mut self, channel: Channel) -> &mut ask::Behaviour<Frames> {
        match channel {
            Channel::Outbox => &mut self.outbox,
            Channel::Machine => &mut self.machine,
            Channel::Session => &mut self.session,
            Channel::Site => &mut self.site.behaviour,
            Channel::Raft => &mut self.raft.behaviour,
        }
    }
}

impl Inside for Verbs {
    fn admit(&mut self, connection: ConnectionId, peer: PeerId, caller: Caller) {
        self.site.admit(connection, peer, caller);
        self.raft.admit(connection, peer, caller);
    }
}

/// The whole.
#[derive(NetworkBehaviour)]
pub(crate) struct Bus {
    limits: connection_limits::Behaviour,
    pub(crate) gate: Gate<Verbs>,
    mdns: Toggle<mdns::tokio::Behaviour>,
}

/// The topic of adverts.
pub(crate) fn topic() -> IdentTopic {
    IdentTopic::new(tell::TOPIC)
}

/// Builds the swarm; it listens nowhere yet.
///
/// # Errors
///
/// If a part of it cannot be set up.
pub(crate) fn swarm(options: &Options, admission: Arc<dyn Admission>) -> Result<Swarm<Bus>, Error> {
    let keypair = keypair(options)?;
    let multiplexer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_PER_CONNECTION);
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, multiplexer)
        .map_err(|source| setup("noise", source))?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit =
                u32::try_from(STREAMS_PER_CONNECTION).unwrap_or(u32::MAX);
            config
        })
        .with_relay_client(noise::Config::new, multiplexer)
        .map_err(|source| setup("circuits", source))?
        .with_behaviour(|keypair, circuits| Ok(bus(options, keypair, admission, circuits)?))
        .map_err(|source| setup("the behaviour", source))?
        .with_swarm_config(|config| {
            config.with_max_negotiating_inbound_streams(NEGOTIATING_PER_CONNECTION)
        })
        .with_connection_timeout(HANDSHAKE_TIME)
        .build();
    Ok(swarm)
}

fn keypair(options: &Options) -> Result<Keypair, Error> {
    let secret = ed25519::SecretKey::try_from_bytes(options.key.to_bytes())
        .map_err(|source| setup("the node's key", source))?;
    Ok(ed25519::Keypair::from(secret).into())
}

fn bus(
    options: &Options,
    keypair: &Keypair,
    admission: Arc<dyn Admission>,
    circuits: relay::client::Behaviour,
) -> Result<Bus, Error> {
    let (me, site) = (keypair.public().to_peer_id(), options.certificate.site());
    let limits = &options.limits;
    let hello = Hello::new(options.certificate.clone(), options.incarnation);
    let bounds = (limits.hello_time, limits.strangers);
    let verbs = Verbs {
        gossip: gossip()?,
        outbox: requests(Channel::Outbox, limits),
        machine: requests(Channel::Machine, limits),
        session: requests(Channel::Session, limits),
        site: Inner::new(requests(Channel::Site, limits), Channel::Site, site),
        raft: Inner::new(requests(Channel::Raft, limits), Channel::Raft, site),
        streams: libp2p_stream::Behaviour::new(),
        directory: Directory::new(me, site),
        relay: options.relay.then(|| relay::Behaviour::new(me, relay())).into(),
        circuits,
        punching: dcutr::Behaviour::new(me),
        identify: identify(keypair),
        ping: ping::Behaviour::new(
            ping::Config::new()
                // One may get lost, or come late, before the silence is too long.
                .with_interval(limits.silence_time / 3)
                .with_timeout(limits.silence_time),
        ),
    };
    let mdns = if options.mdns {
        let found = mdns::tokio::Behaviour::new(mdns::Config::default(), me);
        Some(found.map_err(|source| setup("multicast DNS", source))?)
    } else {
        None
    };
    Ok(Bus {
        limits: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_pending_incoming(Some(PENDING_CONNECTIONS))
                .with_max_pending_outgoing(Some(PENDING_CONNECTIONS))
                .with_max_established_per_peer(Some(limits.connections_per_node))
                // The rest is for those whom we dial: strangers cannot crowd them out.
                .with_max_established_incoming(Some(limits.connections / 4 * 3))
                .with_max_established(Some(limits.connections)),
        ),
        gate: Gate::new(verbs, admission, hello, bounds),
        mdns: mdns.into(),
    })
}

fn requests(channel: Channel, limits: &Limits) -> ask::Behaviour<Frames> {
    let protocol = StreamProtocol::new(channel.protocol());
    // An answer has one byte more, which says what kind of answer it is.
    let codec = Frames::new(channel.limit() + 1, channel.room());
    let config = ask::Config::default()
        .with_request_timeout(limits.answer_time(channel))
        // Some more than are worked on, for those that are told that we are busy.
        .with_max_concurrent_streams(limits.asks_in * 2 + limits.asks_out);
    ask::Behaviour::with_codec(codec, [(protocol, ProtocolSupport::Full)], config)
}

/// Gossip without libp2p's own signatures: an advert is a signed statement in itself, and a
/// second signature by whoever sent it first would double its size and prove nothing more. So a
/// message is named by the hash of its content, not by an author that anybody could claim.
fn gossip() -> Result<gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>, Error> {
    let name = |message: &gossipsub::Message| {
        MessageId::from(blake3::hash(&message.data).as_bytes()[..16].to_vec())
    };
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(name)
        .max_transmit_size(GOSSIP_EXCHANGE)
        // A mesh of up to six; where there are only two or three sites, everybody is in it.
        .mesh_n_low(4)
        .mesh_n(6)
        .mesh_n_high(12)
        .flood_publish(true)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .heartbeat_interval(Duration::from_secs(1))
        // The largest number of adverts that wait for one slow peer: one of each of many sites.
        .connection_handler_queue_len(512)
        .max_publish_messages(64)
        .build()
        .map_err(|source| setup("gossip", source))?;
    let topics = WhitelistSubscriptionFilter([topic().hash()].into());
    let mut gossip = gossipsub::Behaviour::new_with_subscription_filter(
        MessageAuthenticity::Anonymous,
        config,
        topics,
    )
    .map_err(|source| setup("gossip", source))?;
    let scored = gossip.with_peer_score(score::parameters(), score::thresholds());
    scored.map_err(|source| setup("gossip", source))?;
    gossip.subscribe(&topic()).map_err(|source| setup("gossip", source))?;
    Ok(gossip)
}

/// A relay joins two peers that cannot reach each other; all that it sees is that they speak, since
/// they greet and encrypt from end to end. It carries control, not bulk.
fn relay() -> relay::Config {
    relay::Config {
        // A node has a reservation at two relays; a site has few nodes.
        max_reservations: 256,
        max_reservations_per_peer: 4,
        reservation_duration: Duration::from_secs(3600),
        // One for each pair of nodes that cannot do without.
        max_circuits: 128,
        max_circuits_per_peer: 16,
        // Then the two greet anew, which costs them a second.
        max_circuit_duration: Duration::from_secs(3600),
        // Adverts, deliveries and consoles of an hour; a disk does not fit.
        max_circuit_bytes: 64 << 20,
        ..relay::Config::default()
    }
}

/// Peers learn what we run and how they see each other; where else we listen is not their affair.
fn identify(keypair: &Keypair) -> identify::Behaviour {
    let config = identify::Config::new("/reservoir/1".to_owned(), keypair.public())
        .with_agent_version(format!("reservoir/{}", env!("CARGO_PKG_VERSION")))
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    identify::Behaviour::new(config)
}

fn setup(part: &'static str, source: impl Into<Box<dyn Cause + Send + Sync>>) -> Error {
    Error::Setup { part, source: source.into() }
}
