//! Sites of several nodes: our own are told apart by key, a peer's stand in for each other.

use std::time::Duration;

use libp2p::swarm::SwarmEvent;
use tokio::io::AsyncReadExt as _;

use super::gate::{address, event, rogue};
use super::link::Relay;
use super::{Node, Party, Policy, TCP, until};
use crate::swarm::behaviour::BusEvent;
use crate::{Channel, PeerAddress, Peers, ask, gate};

/// Three nodes of one site; each is told of all of them, itself too.
async fn three() -> [Node; 3] {
    let parties = [1, 2, 3].map(|node| Party::node(1, node));
    let [one, two, three] = &parties;
    let nodes = [
        Node::start(one, TCP, &[one]).await,
        Node::start(two, TCP, &[two]).await,
        Node::start(three, TCP, &[three]).await,
    ];
    let all: Vec<PeerAddress> = nodes.iter().map(Node::own_address).collect();
    for node in &nodes {
        node.bus.set_peers(all.clone()).await.unwrap();
    }
    for node in &nodes {
        until("a node is connected to the two others", async || {
            node.nodes(node.site).await.len() == 2
        })
        .await;
    }
    nodes
}

async fn close(nodes: &[Node]) {
    for node in nodes {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn three_nodes_of_a_site_reach_each_other_by_key() {
    let nodes = three().await;
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.key != from.key) {
            let asked = to.echo.asked();
            for channel in Channel::ALL {
                let answer = from.bus.ask_node(to.key, channel, b"hello".to_vec()).await.unwrap();
                assert_eq!(answer, [channel.protocol().as_bytes(), b"hello"].concat());
            }
            assert_eq!(to.echo.asked(), asked + 5, "another node was asked");
        }
        // It has not dialled itself, and is not to be asked by itself.
        assert!(!from.nodes(from.site).await.contains(&from.key));
        let itself = from.bus.ask_node(from.key, Channel::Site, Vec::new()).await;
        assert!(matches!(itself, Err(ask::Error::Unreachable { .. })), "{itself:?}");
    }
    let mut stream = nodes[0].bus.open_node(nodes[2].key, b"7".to_vec()).await.unwrap();
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"console of 7");
    assert_eq!(nodes[2].counters(nodes[0].site).await.streams_in, 1);
    close(&nodes).await;
}

#[tokio::test]
async fn another_node_at_a_nodes_address_is_turned_away() {
    let [one, two] = [1, 2].map(|node| Party::node(1, node));
    let (a, b) = (Node::start(&one, TCP, &[&one]).await, Node::start(&two, TCP, &[&two]).await);
    let wrong = PeerAddress { node: Some(Party::node(1, 3).caller().node), ..b.own_address() };
    a.bus.set_peers(vec![wrong]).await.unwrap();
    until("the attempt has failed", async || {
        a.bus.peers().await.iter().any(|peer| peer.last_failure.is_some())
    })
    .await;
    assert!(a.nodes(a.site).await.is_empty());
    a.bus.set_peers(vec![b.own_address()]).await.unwrap();
    a.until_connected(&b).await;
    close(&[a, b]).await;
}

#[tokio::test]
async fn an_address_that_is_its_own_is_not_dialled_again() {
    let alpha = Party::new(1);
    let a = Node::start(&alpha, TCP, &[&alpha]).await;
    // By its address alone, as an operator may write it.
    a.bus.set_peers(vec![a.address(Some(a.site))]).await.unwrap();
    until("it has met itself", async || {
        let peers = a.bus.peers().await;
        peers
            .iter()
            .any(|peer| peer.last_failure.as_deref() == Some("the address is this node's own"))
    })
    .await;
    assert!(a.nodes(a.site).await.is_empty() && a.bus.refusals().await.is_empty());
    a.bus.close().await;
}

#[tokio::test]
async fn both_nodes_of_a_peer_are_connected_and_asked() {
    let (alpha, [one, two]) = (Party::new(1), [2, 3].map(|node| Party::node(2, node)));
    let a = Node::start(&alpha, TCP, &[&one]).await;
    let (b, c) = (Node::start(&one, TCP, &[&alpha]).await, Node::start(&two, TCP, &[&alpha]).await);
    // Nothing says which node is where.
    let site = Some(one.site);
    a.bus.set_peers(vec![b.address(site), c.address(site)]).await.unwrap();
    until("both are connected", async || a.nodes(one.site).await.len() == 2).await;
    for _ in 0..6 {
        assert!(a.bus.ask(one.site, Channel::Outbox, b"hello".to_vec()).await.is_ok());
    }
    assert_eq!((b.echo.asked(), c.echo.asked()), (3, 3));
    close(&[a, b, c]).await;
}

#[tokio::test]
async fn a_site_with_one_of_two_nodes_dead_is_still_asked() {
    let (alpha, [one, two]) = (Party::new(1), [2, 3].map(|node| Party::node(2, node)));
    let mut options = alpha.options(TCP);
    // A request that is lost is known to be soon, and long before the dead node is missed.
    options.limits.ask_time = Duration::from_millis(500);
    options.limits.silence_time = Duration::from_secs(600);
    let a = Node::with(&alpha, options, Policy::admitting(&[&one])).await;
    let (b, c) = (Node::start(&one, TCP, &[&alpha]).await, Node::start(&two, TCP, &[&alpha]).await);
    let relay = Relay::to(&b).await;
    let through = PeerAddress { addresses: vec![relay.address.clone()], ..b.address(Some(b.site)) };
    a.bus.set_peers(vec![through, c.address(Some(c.site))]).await.unwrap();
    until("both are connected", async || a.nodes(one.site).await.len() == 2).await;
    relay.cut();
    // At most one request is lost to the dead node, which nobody has missed yet.
    let mut lost = 0;
    for _ in 0..8 {
        match a.bus.ask(one.site, Channel::Outbox, b"hello".to_vec()).await {
            Ok(_) => {}
            Err(ask::Error::TimedOut { .. }) => lost += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(lost <= 1, "{lost} requests went to the dead node");
    assert_eq!(a.nodes(one.site).await.len(), 2, "the dead node was missed already");
    // A node that is gone altogether leaves the other.
    b.bus.close().await;
    relay.accepting.abort();
    assert!(a.bus.ask(one.site, Channel::Outbox, b"hello".to_vec()).await.is_ok());
    close(&[a, c]).await;
}

#[tokio::test]
async fn an_inner_channel_is_refused_to_another_site_and_costs_it_the_connection() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let node = Node::start(&beta, TCP, &[&alpha]).await;
    for (times, channel) in [(1, Channel::Raft), (2, Channel::Site)] {
        let mut rogue = rogue(&alpha, &[&beta]);
        // It would not send such a thing to a node that it takes for another site's.
        let verbs = &mut rogue.behaviour_mut().gate.inner;
        (verbs.site.site, verbs.raft.site) = (node.site, node.site);
        rogue.dial(address(&node)).unwrap();
        event(&mut rogue, |swarm, event| match event {
            SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Greeted { peer, .. })) => {
                let requests = swarm.behaviour_mut().gate.inner.channel(channel);
                requests.send_request(&peer, b"vote for me".to_vec().into());
                None
            }
            SwarmEvent::ConnectionClosed { .. } => Some(()),
            _ => None,
        })
        .await;
        until("it is counted", async || node.counters(alpha.site).await.foul == times).await;
    }
    assert_eq!(node.echo.asked(), 0);
    // Nor does a node of ours say such a thing to another site.
    let honest = Node::start(&alpha, TCP, &[&beta]).await;
    honest.dial(&node).await;
    honest.until_connected(&node).await;
    let inner = honest.bus.ask(node.site, Channel::Raft, b"append".to_vec()).await;
    assert!(matches!(inner, Err(ask::Error::Inner { .. })), "{inner:?}");
    let foreign = honest.bus.ask_node(node.key, Channel::Raft, b"append".to_vec()).await;
    assert!(matches!(foreign, Err(ask::Error::Unreachable { .. })), "{foreign:?}");
    assert!(honest.is_connected(node.site).await);
    close(&[node, honest]).await;
}

#[tokio::test]
async fn a_full_channel_leaves_the_others_alone() {
    let [one, two] = [1, 2].map(|node| Party::node(1, node));
    let mut options = one.options(TCP);
    options.limits.asks_out = 1;
    let a = Node::with(&one, options, Policy::admitting(&[&one])).await;
    let mut options = two.options(TCP);
    options.limits.asks_in = 1;
    let b = Node::with(&two, options, Policy::admitting(&[&one])).await;
    a.bus.set_peers(vec![b.own_address()]).await.unwrap();
    a.until_connected(&b).await;
    let (bus, key) = (a.bus.clone(), b.key);
    let first =
        tokio::spawn(async move { bus.ask_node(key, Channel::Outbox, b"wait".to_vec()).await });
    until("it is at hand", async || b.echo.asked() == 1).await;
    let second = a.bus.ask_node(b.key, Channel::Outbox, b"second".to_vec()).await;
    assert!(matches!(second, Err(ask::Error::Crowded { .. })), "{second:?}");
    assert!(a.bus.ask_node(b.key, Channel::Raft, b"append".to_vec()).await.is_ok());
    b.echo.released.add_permits(1);
    assert!(first.await.unwrap().is_ok());
    close(&[a, b]).await;
}
