//! A channel among the nodes of one site, shut to everybody else.
//!
//! What arrives on such a channel would be believed, and may be large. So on a connection to another
//! site it is not read, not even to be refused: the stream is dropped as soon as its protocol is
//! known, and reported. That the protocol is negotiated at all is what lets the breach be counted.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p::swarm::behaviour::ConnectionClosed;
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use protocol::ids::SiteId;

use crate::{Caller, Channel};

/// What happens on an inner channel.
#[derive(Debug)]
pub(crate) enum Event<E> {
    /// Among our own nodes.
    Own(E),
    /// Another site has tried to speak on it.
    Foul { connection: ConnectionId },
}

/// A channel's behaviour, which knows of the connections to our own nodes only.
pub(crate) struct Inner<B> {
    pub(crate) behaviour: B,
    /// Our own site.
    pub(crate) site: SiteId,
    channel: Channel,
    ours: BTreeMap<ConnectionId, PeerId>,
    fouls: VecDeque<ConnectionId>,
}

impl<B> Inner<B> {
    pub(crate) const fn new(behaviour: B, channel: Channel, site: SiteId) -> Self {
        Self { behaviour, site, channel, ours: BTreeMap::new(), fouls: VecDeque::new() }
    }

    /// A connection is about to be shown to the channel; this is who is at its other end.
    pub(crate) fn admit(&mut self, connection: ConnectionId, peer: PeerId, caller: Caller) {
        if caller.site == self.site {
            self.ours.insert(connection, peer);
        }
    }

    const fn shut(&self) -> Shut {
        Shut { protocol: StreamProtocol::new(self.channel.protocol()), is_foul: false }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Inner<B> {
    type ConnectionHandler = Either<THandler<B>, Shut>;
    type ToSwarm = Event<B::ToSwarm>;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        here: &Multiaddr,
        there: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.ours.contains_key(&connection) {
            return Ok(Either::Right(self.shut()));
        }
        let own = &mut self.behaviour;
        own.handle_established_inbound_connection(connection, peer, here, there).map(Either::Left)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.ours.contains_key(&connection) {
            return Ok(Either::Right(self.shut()));
        }
        self.behaviour
            .handle_established_outbound_connection(connection, peer, address, role, port)
            .map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established)
                if !self.ours.contains_key(&established.connection_id) => {}
            FromSwarm::AddressChange(change) if !self.ours.contains_key(&change.connection_id) => {}
            FromSwarm::ConnectionClosed(closed) => {
                let Some(peer) = self.ours.remove(&closed.connection_id) else { return };
                let remaining_established = self.ours.values().filter(|it| **it == peer).count();
                let closed = ConnectionClosed { remaining_established, ..closed };
                self.behaviour.on_swarm_event(FromSwarm::ConnectionClosed(closed));
            }
            other => self.behaviour.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => {
                self.behaviour.on_connection_handler_event(peer, connection, event);
            }
            Either::Right(Breach) => self.fouls.push_back(connection),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(connection) = self.fouls.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(Event::Foul { connection }));
        }
        self.behaviour.poll(cx).map(|event| event.map_out(Event::Own).map_in(Either::Left))
    }
}

/// Another site has opened a stream on the channel.
#[derive(Debug)]
pub(crate) struct Breach;

/// The handler of a connection to another site.
pub(crate) struct Shut {
    protocol: StreamProtocol,
    is_foul: bool,
}

impl ConnectionHandler for Shut {
    type FromBehaviour = Infallible;
    type ToBehaviour = Breach;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Breach>> {
        if std::mem::take(&mut self.is_foul) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Breach));
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        // The stream is dropped here, with whatever was sent on it.
        self.is_foul |= matches!(event, ConnectionEvent::FullyNegotiatedInbound(_));
    }
}
