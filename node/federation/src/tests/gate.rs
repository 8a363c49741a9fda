//! What a node meets whose software is not ours: it skips the hello, says nothing, or says too
//! much.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::request_response::{self, OutboundFailure, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent, dummy};
use libp2p::{Multiaddr, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use protocol::identity::Scopes;

use super::{DEADLINE, Node, Party, Policy, TCP, until};
use crate::codec::Frames;
use crate::swarm::behaviour::{self, Bus, BusEvent};
use crate::{Channel, Peers, Refusal, gate, hello};

/// A libp2p node without our gate.
fn raw<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
        .build()
}

fn requests(protocol: &'static str) -> request_response::Behaviour<Frames> {
    request_response::Behaviour::with_codec(
        Frames::new(8 << 20, 8 << 20),
        [(StreamProtocol::new(protocol), ProtocolSupport::Full)],
        request_response::Config::default(),
    )
}

/// Drives a swarm until an event is what is waited for.
pub(super) async fn event<B: NetworkBehaviour, T>(
    swarm: &mut Swarm<B>,
    mut wanted: impl FnMut(&mut Swarm<B>, SwarmEvent<B::ToSwarm>) -> Option<T>,
) -> T {
    let waited = async {
        loop {
            let event = swarm.select_next_some().await;
            if let Some(found) = wanted(swarm, event) {
                return found;
            }
        }
    };
    tokio::time::timeout(DEADLINE, waited).await.expect("the event never came")
}

pub(super) fn address(node: &Node) -> Multiaddr {
    node.bus.listening()[0].parse().unwrap()
}

/// A node of ours whose time for the hello is short.
async fn impatient(party: &Party, admitted: &[&Party]) -> Node {
    let mut options = party.options(TCP);
    options.limits.hello_time = Duration::from_millis(300);
    Node::with(party, options, Policy::admitting(admitted)).await
}

#[tokio::test]
async fn before_the_hello_a_request_is_not_answered() {
    let beta = Party::new(2);
    let node = Node::start(&beta, TCP, &[]).await;
    let mut stranger = raw(requests(Channel::Outbox.protocol()));
    stranger.dial(address(&node)).unwrap();
    let failure = event(&mut stranger, |swarm, event| match event {
        SwarmEvent::ConnectionEstablished { peer_id, .. } => {
            swarm.behaviour_mut().send_request(&peer_id, b"let me in".to_vec().into());
            None
        }
        SwarmEvent::Behaviour(request_response::Event::OutboundFailure { error, .. }) => {
            Some(error)
        }
        SwarmEvent::Behaviour(request_response::Event::Message { message, .. }) => {
            panic!("a stranger was answered: {message:?}")
        }
        _ => None,
    })
    .await;
    assert!(matches!(failure, OutboundFailure::UnsupportedProtocols), "{failure:?}");
    assert_eq!(node.echo.asked(), 0);
    node.bus.close().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_its_time() {
    let beta = Party::new(2);
    let node = impatient(&beta, &[]).await;
    let mut stranger = raw(dummy::Behaviour);
    stranger.dial(address(&node)).unwrap();
    let begun = Instant::now();
    event(&mut stranger, |_, event| {
        matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    until("it is noted", async || !node.bus.refusals().await.is_empty()).await;
    assert_eq!(node.bus.refusals().await[0].reason, gate::Failure::Silent.to_string());
    node.bus.close().await;
}

#[tokio::test]
async fn a_hello_that_is_no_hello_is_refused() {
    let beta = Party::new(2);
    let node = Node::start(&beta, TCP, &[]).await;
    for (bytes, reason) in [
        (vec![0xff; 64], Refusal::Unreadable.to_string()),
        (vec![0; hello::FRAME_LIMIT + 1], gate::Failure::Oversize.to_string()),
    ] {
        let mut stranger = raw(requests(hello::PROTOCOL));
        stranger.dial(address(&node)).unwrap();
        event(&mut stranger, |swarm, event| match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                swarm.behaviour_mut().send_request(&peer_id, bytes.clone().into());
                None
            }
            SwarmEvent::ConnectionClosed { .. } => Some(()),
            _ => None,
        })
        .await;
        until("it is noted", async || {
            node.bus.refusals().await.iter().any(|record| record.reason == reason)
        })
        .await;
    }
    assert_eq!(node.bus.refusals().await.len(), 2);
    node.bus.close().await;
}

/// Our own swarm, driven by hand: it passes the hello and then breaks the rules.
pub(super) fn rogue(party: &Party, admitted: &[&Party]) -> Swarm<Bus> {
    behaviour::swarm(&party.options(TCP), Policy::admitting(admitted)).unwrap()
}

#[tokio::test]
async fn a_certificate_for_another_nodes_key_is_refused() {
    let (alpha, beta) = (Party::with(1, Scopes::NODE, 9), Party::new(2));
    let node = Node::start(&beta, TCP, &[&alpha]).await;
    let mut rogue = rogue(&alpha, &[&beta]);
    rogue.dial(address(&node)).unwrap();
    let told = event(&mut rogue, |_, event| match event {
        SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Turned { turned, .. })) => Some(turned),
        _ => None,
    })
    .await;
    assert!(matches!(told, hello::Turned::There(Refusal::OtherKey)), "{told:?}");
    assert_eq!(node.bus.refusals().await[0].refusal, Some(Refusal::OtherKey));
    node.bus.close().await;
}

#[tokio::test]
async fn an_oversized_frame_ends_the_connection_and_nothing_else() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let node = Node::start(&beta, TCP, &[&alpha, &gamma]).await;
    let honest = Node::start(&gamma, TCP, &[&beta]).await;
    honest.dial(&node).await;
    honest.until_connected(&node).await;
    let mut rogue = rogue(&alpha, &[&beta]);
    rogue.dial(address(&node)).unwrap();
    event(&mut rogue, |swarm, event| match event {
        SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Greeted { peer, .. })) => {
            let body = vec![0; Channel::Machine.limit() + 2];
            let requests = swarm.behaviour_mut().gate.inner.channel(Channel::Machine);
            requests.send_request(&peer, body.into());
            None
        }
        SwarmEvent::ConnectionClosed { .. } => Some(()),
        _ => None,
    })
    .await;
    until("it is counted", async || node.counters(alpha.site).await.oversize == 1).await;
    assert!(!node.is_connected(alpha.site).await);
    assert_eq!(node.echo.asked(), 0);
    assert!(honest.bus.ask(node.site, Channel::Machine, b"still there".to_vec()).await.is_ok());
    node.bus.close().await;
    honest.bus.close().await;
}

#[tokio::test]
async fn strangers_take_no_more_than_their_places() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let mut options = beta.options(TCP);
    options.limits.strangers = 1;
    // The first keeps its place for as long as the test lasts.
    options.limits.hello_time = DEADLINE * 2;
    let node = Node::with(&beta, options, Policy::admitting(&[&alpha])).await;
    let mut first = raw(dummy::Behaviour);
    first.dial(address(&node)).unwrap();
    event(&mut first, |_, event| {
        matches!(event, SwarmEvent::ConnectionEstablished { .. }).then_some(())
    })
    .await;
    let mut second = raw(dummy::Behaviour);
    second.dial(address(&node)).unwrap();
    event(&mut second, |_, event| {
        let ended = matches!(
            event,
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. }
        );
        ended.then_some(())
    })
    .await;
    node.bus.close().await;
}
