//! The gate: a connection is shown to the inner behaviour only once the hello has passed on it.
//!
//! libp2p gives every protocol a handler on every connection as soon as the handshake is over. The
//! gate holds that back. On a new connection it speaks the hello only, whose frames and time are
//! bounded; when both sides are satisfied it makes the inner behaviour's handler and reports the
//! connection to it as just established. To the inner behaviour strangers do not exist: it keeps
//! nothing for them, and other protocols are not even negotiated.
//!
//! ```text
//! Fresh --the other is admitted--> Entered --the connection ends--> (forgotten)
//!   \------ refused, silent -----> Leaving ------------^
//! ```
//!
//! The listener lets the connection in before it answers, but opens no stream of its own until the
//! dialer's verdict has come: so each finds the other ready.

mod handler;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{AddressChange, ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use protocol::codec;
use protocol::identity::NodeCertificate;
use protocol::ids::SiteId;

use crate::hello::{self, Answer, Greeted, Hello, Refusal, Turned, Verdict};
use crate::{Admission, Caller};
pub(crate) use handler::{Failure, Handler};
use handler::{FromHandler, Passage, ToHandler};

/// What is behind the gate.
pub(crate) trait Inside: NetworkBehaviour {
    /// A connection is about to be shown; this is who is at its other end.
    fn admit(&mut self, connection: ConnectionId, peer: PeerId, caller: Caller);
}

/// What the gate tells the swarm's owner.
#[derive(Debug)]
pub(crate) enum Event<E> {
    /// The inner behaviour's own.
    Inner(E),
    /// The other side of a connection has proven which site it speaks for.
    Greeted { connection: ConnectionId, peer: PeerId, greeted: Box<Greeted> },
    /// One side turned the other away; the connection is being closed.
    Turned { connection: ConnectionId, peer: PeerId, turned: Turned },
    /// The hello came to nothing; the connection is being closed.
    Failed { connection: ConnectionId, peer: PeerId, failure: Failure },
}

#[derive(Debug, Eq, PartialEq)]
enum Stage {
    Fresh,
    Entered,
    Leaving,
}

#[derive(Debug)]
struct Line {
    peer: PeerId,
    endpoint: ConnectedPoint,
    /// The site that the dialer means to reach.
    expected: Option<SiteId>,
    stage: Stage,
}

impl Line {
    fn is_inside(&self) -> bool {
        self.stage == Stage::Entered
    }
}

type Outbox<B> = VecDeque<ToSwarm<Event<<B as NetworkBehaviour>::ToSwarm>, Inbound<B>>>;
type Inbound<B> = ToHandler<THandler<B>>;

/// A behaviour behind the gate.
pub(crate) struct Gate<B: Inside> {
    pub(crate) inner: B,
    admission: Arc<dyn Admission>,
    hello: Hello,
    hello_time: Duration,
    strangers: usize,
    lines: BTreeMap<ConnectionId, Line>,
    expected: BTreeMap<ConnectionId, SiteId>,
    events: Outbox<B>,
}

impl<B: Inside> Gate<B> {
    /// A gate that presents `hello`, and holds at most `strangers` connections that have not
    /// passed it, each for at most `hello_time`.
    pub(crate) fn new(
        inner: B,
        admission: Arc<dyn Admission>,
        hello: Hello,
        (hello_time, strangers): (Duration, usize),
    ) -> Self {
        Self {
            inner,
            admission,
            hello,
            hello_time,
            strangers,
            lines: BTreeMap::new(),
            expected: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Presents another certificate from now on.
    pub(crate) fn present(&mut self, certificate: NodeCertificate) {
        self.hello.certificate = certificate;
    }

    /// Says which site a dial is meant to reach, before the dial is made.
    pub(crate) fn expect(&mut self, connection: ConnectionId, site: SiteId) {
        self.expected.insert(connection, site);
    }

    fn entered(&self, peer: PeerId) -> impl Iterator<Item = ConnectionId> + '_ {
        self.lines
            .iter()
            .filter(move |(_, line)| line.peer == peer && line.is_inside())
            .map(|(connection, _)| *connection)
    }

    fn passage(&self, dialer: bool) -> Handler<THandler<B>> {
        let passage = if dialer { Passage::Ask(self.hello().encode()) } else { Passage::Await };
        Handler::new(passage, self.hello_time)
    }

    fn hello(&self) -> Hello {
        self.hello.honouring(self.admission.honours())
    }

    fn check_room(&self) -> Result<(), ConnectionDenied> {
        let strangers = self.lines.values().filter(|line| !line.is_inside()).count();
        if strangers >= self.strangers {
            return Err(ConnectionDenied::new(Refusal::Crowded));
        }
        Ok(())
    }

    /// One frame of the hello has come: decides, and answers.
    fn on_frame(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let Some(line) = self.lines.get(&connection) else { return };
        let (peer, dialer) = (line.peer, begins(&line.endpoint));
        match (&line.stage, dialer) {
            (Stage::Fresh, true) => {
                let checked = hello::check_answer(bytes, &peer, &*self.admission)
                    .and_then(|greeted| expected_site(greeted, line.expected));
                let welcome = codec::encode(&Verdict::Welcome);
                self.settle(connection, checked, welcome, |refusal| {
                    codec::encode(&Verdict::Refused(refusal))
                });
            }
            (Stage::Fresh, false) => {
                let checked = hello::check_hello(bytes, &peer, &*self.admission);
                let answer = codec::encode(&Answer::Hello(self.hello()));
                self.settle(connection, checked, answer, |refusal| {
                    codec::encode(&Answer::Refused(refusal))
                });
            }
            (Stage::Entered, false) => match hello::check_verdict(bytes) {
                Ok(()) => self.notify(peer, connection, ToHandler::Open),
                Err(turned) => self.leave(connection, Event::Turned { connection, peer, turned }),
            },
            (Stage::Entered, true) | (Stage::Leaving, _) => {}
        }
    }

    fn settle(
        &mut self,
        connection: ConnectionId,
        checked: Result<Greeted, Turned>,
        yes: Vec<u8>,
        no: impl FnOnce(Refusal) -> Vec<u8>,
    ) {
        match checked {
            Ok(greeted) => match self.enter(connection, greeted.caller) {
                Ok(handler) => {
                    let Some(line) = self.lines.get(&connection) else { return };
                    let peer = line.peer;
                    let greeted = Box::new(greeted);
                    self.say(Event::Greeted { connection, peer, greeted });
                    self.notify(peer, connection, ToHandler::Enter { handler, frame: yes });
                }
                Err(_) => {
                    let claimed = Some(greeted.caller.site);
                    self.turn_away(connection, claimed, Refusal::Crowded, no);
                }
            },
            Err(Turned::Here { claimed, refusal }) => {
                self.turn_away(connection, claimed, refusal, no);
            }
            Err(turned @ Turned::There(_)) => {
                let Some(line) = self.lines.get(&connection) else { return };
                let peer = line.peer;
                self.leave(connection, Event::Turned { connection, peer, turned });
            }
        }
    }

    /// Makes the inner behaviour's handler and shows it the connection.
    fn enter(
        &mut self,
        connection: ConnectionId,
        caller: Caller,
    ) -> Result<Box<THandler<B>>, ConnectionDenied> {
        let line = self.lines.get_mut(&connection).ok_or_else(gone)?;
        let (peer, endpoint) = (line.peer, line.endpoint.clone());
        self.inner.admit(connection, peer, caller);
        let handler = match &endpoint {
            ConnectedPoint::Listener { local_addr, send_back_addr } => {
                self.inner.handle_established_inbound_connection(
                    connection,
                    peer,
                    local_addr,
                    send_back_addr,
                )?
            }
            ConnectedPoint::Dialer { address, role_override, port_use } => {
                self.inner.handle_established_outbound_connection(
                    connection,
                    peer,
                    address,
                    *role_override,
                    *port_use,
                )?
            }
        };
        let other_established = self.entered(peer).count();
        if let Some(line) = self.lines.get_mut(&connection) {
            line.stage = Stage::Entered;
        }
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: connection,
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established,
        }));
        Ok(Box::new(handler))
    }

    fn turn_away(
        &mut self,
        connection: ConnectionId,
        claimed: Option<SiteId>,
        refusal: Refusal,
        frame: impl FnOnce(Refusal) -> Vec<u8>,
    ) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.stage = Stage::Leaving;
        let peer = line.peer;
        self.notify(peer, connection, ToHandler::Refuse { frame: frame(refusal.clone()) });
        let turned = Turned::Here { claimed, refusal };
        self.say(Event::Turned { connection, peer, turned });
    }

    fn leave(&mut self, connection: ConnectionId, event: Event<B::ToSwarm>) {
        self.say(event);
        self.expel(connection);
    }

    /// Closes a connection. For the inner behaviour it is gone at once: over a dead link, closing
    /// may take until the system gives up on it.
    pub(crate) fn expel(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        let (peer, endpoint) = (line.peer, line.endpoint.clone());
        let was_inside = line.is_inside();
        line.stage = Stage::Leaving;
        self.close(peer, connection);
        if was_inside {
            let remaining_established = self.entered(peer).count();
            self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id: peer,
                connection_id: connection,
                endpoint: &endpoint,
                cause: None,
                remaining_established,
            }));
        }
    }

    fn close(&mut self, peer_id: PeerId, connection: ConnectionId) {
        let connection = CloseConnection::One(connection);
        self.events.push_back(ToSwarm::CloseConnection { peer_id, connection });
    }

    fn say(&mut self, event: Event<B::ToSwarm>) {
        self.events.push_back(ToSwarm::GenerateEvent(event));
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, event: Inbound<B>) {
        let handler = NotifyHandler::One(connection);
        self.events.push_back(ToSwarm::NotifyHandler { peer_id, handler, event });
    }

    fn on_failure(&mut self, connection: ConnectionId, failure: Failure) {
        let Some(line) = self.lines.get(&connection) else { return };
        let peer = line.peer;
        if line.stage == Stage::Leaving {
            // Why it leaves has been reported; that the words did not arrive changes nothing.
            self.close(peer, connection);
        } else {
            self.leave(connection, Event::Failed { connection, peer, failure });
        }
    }

    fn on_closed(&mut self, closed: ConnectionClosed<'_>) {
        let Some(line) = self.lines.remove(&closed.connection_id) else { return };
        if !line.is_inside() {
            return;
        }
        let remaining_established = self.entered(line.peer).count();
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            remaining_established,
            ..closed
        }));
    }

    fn on_address_change(&mut self, change: AddressChange<'_>) {
        let Some(line) = self.lines.get_mut(&change.connection_id) else { return };
        line.endpoint = change.new.clone();
        if line.is_inside() {
            self.inner.on_swarm_event(FromSwarm::AddressChange(change));
        }
    }
}

/// Whether this side begins the hello. Where two nodes behind NAT have dialled each other at once,
/// both are dialers, and one of them has taken the listener's role.
fn begins(endpoint: &ConnectedPoint) -> bool {
    match endpoint {
        ConnectedPoint::Dialer { role_override, .. } => role_override.is_dialer(),
        ConnectedPoint::Listener { .. } => false,
    }
}

fn expected_site(greeted: Greeted, expected: Option<SiteId>) -> Result<Greeted, Turned> {
    if expected.is_some_and(|expected| expected != greeted.caller.site) {
        let claimed = Some(greeted.caller.site);
        return Err(Turned::Here { claimed, refusal: Refusal::OtherSite });
    }
    Ok(greeted)
}

fn gone() -> ConnectionDenied {
    ConnectionDenied::new(std::io::Error::from(std::io::ErrorKind::NotConnected))
}

impl<B: Inside> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Handler<THandler<B>>;
    type ToSwarm = Event<B::ToSwarm>;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_room()?;
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_room()?;
        Ok(self.passage(false))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        role: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.passage(role.is_dialer()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let expected = self.expected.remove(&established.connection_id);
                let line = Line {
                    peer: established.peer_id,
                    endpoint: established.endpoint.clone(),
                    expected,
                    stage: Stage::Fresh,
                };
                self.lines.insert(established.connection_id, line);
            }
            FromSwarm::ConnectionClosed(closed) => self.on_closed(closed),
            FromSwarm::AddressChange(change) => self.on_address_change(change),
            FromSwarm::DialFailure(failure) => {
                self.expected.remove(&failure.connection_id);
                self.inner.on_swarm_event(FromSwarm::DialFailure(failure));
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            FromHandler::Frame(bytes) => self.on_frame(connection, &bytes),
            FromHandler::Dismissed => self.close(peer, connection),
            FromHandler::Failed(failure) => self.on_failure(connection, failure),
            FromHandler::Inner(event) => {
                // What comes from a connection that has been expelled is from nobody.
                if self.lines.get(&connection).is_some_and(Line::is_inside) {
                    self.inner.on_connection_handler_event(peer, connection, event);
                }
            }
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            let Poll::Ready(event) = self.inner.poll(cx) else { return Poll::Pending };
            let event = event.map_out(Event::Inner).map_in(ToHandler::Inner);
            // "Any" connection means any that has entered.
            let ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event } = event
            else {
                return Poll::Ready(event);
            };
            let chosen = self.entered(peer_id).next();
            if let Some(connection) = chosen {
                self.notify(peer_id, connection, event);
            }
        }
    }
}
