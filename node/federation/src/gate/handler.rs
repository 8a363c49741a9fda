//! One connection at the gate: it carries the frames of the hello, and later the inner handler.
//!
//! It decides nothing: a frame that has come goes to the [`Gate`](super::Gate), whose word comes
//! back as a frame to say and as what to do next.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Either as Output, FutureExt as _};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
    ListenUpgradeError, SendWrapper,
};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};
use tokio::time::{Instant, Sleep};

use crate::codec::{self, Frame};
use crate::hello;

/// Why a hello came to nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    /// It did not end in time.
    #[error("no hello came in time")]
    Silent,
    /// The other side does not know the protocol.
    #[error("the other side speaks no hello of this version")]
    NotSpoken,
    /// A frame was longer than the hello's.
    #[error("a frame of the hello was too long")]
    Oversize,
    /// The stream broke.
    #[error("the connection broke during the hello: {0}")]
    Broken(io::ErrorKind),
}

/// Which side of the hello a connection is on.
#[derive(Debug)]
pub(super) enum Passage {
    /// The dialer's, which says these bytes first.
    Ask(Vec<u8>),
    /// The listener's.
    Await,
}

/// The gate's word.
pub(crate) enum ToHandler<H: ConnectionHandler> {
    /// The other side is admitted: say the frame, and take in the inner handler.
    Enter { handler: Box<H>, frame: Vec<u8> },
    /// The other side admits us too.
    Open,
    /// The other side is not admitted: say the frame.
    Refuse { frame: Vec<u8> },
    /// For the inner handler.
    Inner(H::FromBehaviour),
}

impl<H: ConnectionHandler> fmt::Debug for ToHandler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enter { .. } => f.write_str("Enter"),
            Self::Open => f.write_str("Open"),
            Self::Refuse { .. } => f.write_str("Refuse"),
            Self::Inner(event) => f.debug_tuple("Inner").field(event).finish(),
        }
    }
}

/// What has happened on the connection.
#[derive(Debug)]
pub(crate) enum FromHandler<E> {
    /// A frame of the hello has come.
    Frame(Vec<u8>),
    /// The refusal has been said.
    Dismissed,
    /// The hello came to nothing.
    Failed(Failure),
    /// From the inner handler.
    Inner(E),
}

/// What a piece of the conversation led to.
enum Heard {
    Frame(Stream, Frame),
    Done,
    Dismissed,
}

type Talk = BoxFuture<'static, io::Result<Heard>>;

/// The handler of one connection at the gate.
pub(crate) struct Handler<H> {
    passage: Passage,
    /// Whether the stream of the hello has been asked for, or has come.
    begun: bool,
    talk: Option<Talk>,
    stream: Option<Stream>,
    deadline: Option<Pin<Box<Sleep>>>,
    failed: Option<Failure>,
    inner: Option<H>,
    /// Whether the inner handler may open streams.
    open: bool,
}

/// Bytes that one who has been turned away may still send before the connection is closed.
const LAST_WORDS: u64 = 64;

const HELLO: StreamProtocol = StreamProtocol::new(hello::PROTOCOL);

impl<H: ConnectionHandler> Handler<H> {
    pub(super) fn new(passage: Passage, time: Duration) -> Self {
        Self {
            passage,
            begun: false,
            talk: None,
            stream: None,
            deadline: Some(Box::pin(tokio::time::sleep_until(Instant::now() + time))),
            failed: None,
            inner: None,
            open: false,
        }
    }

    fn poll_hello(&mut self, cx: &mut Context<'_>) -> Option<FromHandler<H::ToBehaviour>> {
        if let Some(failure) = self.failed.take() {
            self.talk = None;
            self.deadline = None;
            return Some(FromHandler::Failed(failure));
        }
        if let Some(Poll::Ready(heard)) = self.talk.as_mut().map(|talk| talk.poll_unpin(cx)) {
            self.talk = None;
            match heard {
                Ok(Heard::Frame(stream, Frame::Whole(bytes))) => {
                    self.stream = Some(stream);
                    return Some(FromHandler::Frame(bytes));
                }
                Ok(Heard::Frame(_, Frame::Oversize)) => self.failed = Some(Failure::Oversize),
                Ok(Heard::Done) => self.deadline = None,
                Ok(Heard::Dismissed) => {
                    self.deadline = None;
                    return Some(FromHandler::Dismissed);
                }
                Err(error) => self.failed = Some(Failure::Broken(error.kind())),
            }
            return self.poll_hello(cx);
        }
        self.deadline.as_mut()?.poll_unpin(cx).is_ready().then(|| {
            self.deadline = None;
            self.talk = None;
            FromHandler::Failed(Failure::Silent)
        })
    }

    fn on_stream(&mut self, stream: Stream) {
        match &self.passage {
            Passage::Ask(hello) => self.talk = Some(exchange(stream, hello.clone())),
            // A second hello is dropped: one is answered.
            Passage::Await if !self.begun => {
                self.begun = true;
                self.talk = Some(listen(stream));
            }
            Passage::Await => {}
        }
    }

    fn on_enter(&mut self, handler: H, frame: Vec<u8>) {
        self.inner = Some(handler);
        let Some(stream) = self.stream.take() else { return };
        match self.passage {
            Passage::Ask(_) => {
                self.open = true;
                self.talk = Some(conclude(stream, frame));
            }
            Passage::Await => self.talk = Some(exchange(stream, frame)),
        }
    }
}

fn listen(mut stream: Stream) -> Talk {
    async move {
        let frame = codec::read(&mut stream, hello::FRAME_LIMIT).await?;
        Ok(Heard::Frame(stream, frame))
    }
    .boxed()
}

fn exchange(mut stream: Stream, frame: Vec<u8>) -> Talk {
    async move {
        codec::write(&mut stream, &frame).await?;
        let frame = codec::read(&mut stream, hello::FRAME_LIMIT).await?;
        Ok(Heard::Frame(stream, frame))
    }
    .boxed()
}

fn conclude(mut stream: Stream, frame: Vec<u8>) -> Talk {
    async move {
        codec::write(&mut stream, &frame).await?;
        stream.close().await?;
        Ok(Heard::Done)
    }
    .boxed()
}

/// Says the last frame, and waits until the other side has seen it: a connection that is closed
/// too early takes the words with it.
fn dismiss(mut stream: Stream, frame: Vec<u8>) -> Talk {
    async move {
        codec::write(&mut stream, &frame).await?;
        stream.close().await?;
        let rest = stream.take(LAST_WORDS);
        futures::io::copy(rest, &mut futures::io::sink()).await?;
        Ok(Heard::Dismissed)
    }
    .boxed()
}

type Upgrade<U> = Either<SendWrapper<U>, SendWrapper<ReadyUpgrade<StreamProtocol>>>;

fn hello_protocol<U, I>() -> SubstreamProtocol<Upgrade<U>, Either<I, ()>>
where
    Upgrade<U>: Sized,
{
    let upgrade = Either::Right(SendWrapper(ReadyUpgrade::new(HELLO)));
    SubstreamProtocol::new(upgrade, Either::Right(()))
}

impl<H: ConnectionHandler> ConnectionHandler for Handler<H> {
    type FromBehaviour = ToHandler<H>;
    type ToBehaviour = FromHandler<H::ToBehaviour>;
    type InboundProtocol = Upgrade<H::InboundProtocol>;
    type OutboundProtocol = Upgrade<H::OutboundProtocol>;
    type InboundOpenInfo = Either<H::InboundOpenInfo, ()>;
    type OutboundOpenInfo = Either<H::OutboundOpenInfo, ()>;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        match &self.inner {
            Some(inner) => inner
                .listen_protocol()
                .map_upgrade(|upgrade| Either::Left(SendWrapper(upgrade)))
                .map_info(Either::Left),
            None => hello_protocol(),
        }
    }

    /// A connection between peers is kept for the next word; a stranger's ends by its deadline.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn on_behaviour_event(&mut self, event: ToHandler<H>) {
        match event {
            ToHandler::Enter { handler, frame } => self.on_enter(*handler, frame),
            ToHandler::Open => {
                self.open = true;
                self.deadline = None;
                self.stream = None;
            }
            ToHandler::Refuse { frame } => {
                self.talk = self.stream.take().map(|stream| dismiss(stream, frame));
            }
            ToHandler::Inner(event) => {
                if let Some(inner) = &mut self.inner {
                    inner.on_behaviour_event(event);
                }
            }
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        if matches!(self.passage, Passage::Ask(_)) && !self.begun {
            self.begun = true;
            let protocol = hello_protocol();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        if let Some(event) = self.poll_hello(cx) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        let Some(inner) = self.inner.as_mut().filter(|_| self.open) else { return Poll::Pending };
        inner.poll(cx).map(|event| {
            event
                .map_protocol(|upgrade| Either::Left(SendWrapper(upgrade)))
                .map_outbound_open_info(Either::Left)
                .map_custom(FromHandler::Inner)
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        match &mut self.inner {
            Some(inner) => inner.poll_close(cx).map(|event| event.map(FromHandler::Inner)),
            None => Poll::Ready(None),
        }
    }

    fn on_connection_event(&mut self, event: Outer<'_, H>) {
        let event = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: Output::Right(stream),
                ..
            })
            | ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: Output::Right(stream),
                ..
            }) => return self.on_stream(stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: Either::Right(()), ..
            }) => {
                self.failed = Some(Failure::NotSpoken);
                return;
            }
            other => other,
        };
        if let (Some(inner), Some(event)) = (&mut self.inner, inner_event::<H>(event)) {
            inner.on_connection_event(event);
        }
    }
}

/// An event as the swarm reports it to this handler.
type Outer<'a, H> = ConnectionEvent<
    'a,
    <Handler<H> as ConnectionHandler>::InboundProtocol,
    <Handler<H> as ConnectionHandler>::OutboundProtocol,
    <Handler<H> as ConnectionHandler>::InboundOpenInfo,
    <Handler<H> as ConnectionHandler>::OutboundOpenInfo,
>;

/// An event as the inner handler takes it.
type Inner<'a, H> = ConnectionEvent<
    'a,
    <H as ConnectionHandler>::InboundProtocol,
    <H as ConnectionHandler>::OutboundProtocol,
    <H as ConnectionHandler>::InboundOpenInfo,
    <H as ConnectionHandler>::OutboundOpenInfo,
>;

/// The part of an event that is the inner handler's.
fn inner_event<H: ConnectionHandler>(event: Outer<'_, H>) -> Option<Inner<'_, H>> {
    Some(match event {
        ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
            protocol: Output::Left(protocol),
            info: Either::Left(info),
        }) => ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }),
        ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
            protocol: Output::Left(protocol),
            info: Either::Left(info),
        }) => ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }),
        ConnectionEvent::ListenUpgradeError(ListenUpgradeError {
            info: Either::Left(info),
            error: Either::Left(error),
        }) => ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }),
        ConnectionEvent::DialUpgradeError(DialUpgradeError { info: Either::Left(info), error }) => {
            let error = error.map_upgrade_err(|error| match error {
                Either::Left(error) => error,
                Either::Right(never) => match never {},
            });
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error })
        }
        ConnectionEvent::AddressChange(change) => ConnectionEvent::AddressChange(change),
        ConnectionEvent::LocalProtocolsChange(change) => {
            ConnectionEvent::LocalProtocolsChange(change)
        }
        ConnectionEvent::RemoteProtocolsChange(change) => {
            ConnectionEvent::RemoteProtocolsChange(change)
        }
        _ => return None,
    })
}
