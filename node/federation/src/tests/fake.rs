//! The bus in memory behaves as the real one does.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Echo, Party};
use crate::fake::{Network, Node};
use crate::{Channel, PeerAddress, Peers, ask, tell};

/// Three sites in a row.
async fn row(network: &Network) -> [(Party, Node, Arc<Echo>); 3] {
    let joined = [1, 2, 3].map(|number| {
        let (party, echo) = (Party::new(number), Echo::new());
        let node = network.join(party.caller(), &format!("site {number}"), echo.clone());
        (party, node, echo)
    });
    let named = PeerAddress { site: Some(joined[1].0.site), node: None, addresses: Vec::new() };
    let found = PeerAddress { site: None, node: None, addresses: vec!["site 2".to_owned()] };
    joined[0].1.set_peers(vec![named]).await.unwrap();
    joined[2].1.set_peers(vec![found]).await.unwrap();
    joined
}

#[tokio::test]
async fn a_cut_separates_and_healing_joins() {
    let network = Network::new(1);
    let [a, b, c] = row(&network).await;
    let ask = || a.1.ask(b.0.site, Channel::Machine, b"hello".to_vec());
    assert_eq!(ask().await.unwrap(), b"/reservoir/machine/1hello");
    assert_eq!((a.1.peers().await.len(), b.1.peers().await.len()), (1, 2));
    network.cut(a.0.site, b.0.site);
    assert!(matches!(ask().await, Err(ask::Error::Unreachable { .. })));
    assert!(matches!(a.1.publish(b"alone".to_vec()).await, Err(tell::Error::Nobody)));
    assert!(c.1.ask(b.0.site, Channel::Outbox, Vec::new()).await.is_ok());
    network.heal(a.0.site, b.0.site);
    assert!(ask().await.is_ok());
    network.leave(b.0.caller());
    assert!(matches!(ask().await, Err(ask::Error::Unreachable { .. })));
}

#[tokio::test]
async fn adverts_pass_through_those_who_accept_them() {
    let [a, b, c] = row(&Network::new(1)).await;
    a.1.publish(b"accept".to_vec()).await.unwrap();
    a.1.publish(b"reject".to_vec()).await.unwrap();
    assert!(b.2.has_heard(b"accept") && b.2.has_heard(b"reject"));
    assert!(c.2.has_heard(b"accept") && !c.2.has_heard(b"reject"));
    assert_eq!(b.1.peers().await.iter().map(|peer| peer.counters.adverts_rejected).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_stream_ends_when_its_link_is_cut() {
    let network = Network::new(1);
    let [a, b, _] = row(&network).await;
    let mut console = a.1.open(b.0.site, b"7".to_vec()).await.unwrap();
    let mut greeting = [0; 12];
    console.read_exact(&mut greeting).await.unwrap();
    console.write_all(b"x").await.unwrap();
    let mut echo = [0; 1];
    console.read_exact(&mut echo).await.unwrap();
    assert_eq!((&greeting, &echo), (b"console of 7", b"x"));
    network.cut(a.0.site, b.0.site);
    assert_eq!(console.read(&mut echo).await.unwrap(), 0);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_messages() {
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let network = Network::new(42);
        let [a, b, _] = row(&network).await;
        network.lose(500);
        let mut answered = Vec::new();
        for _ in 0..64 {
            answered.push(a.1.ask(b.0.site, Channel::Outbox, Vec::new()).await.is_ok());
        }
        // Some were acted on although the asker never heard.
        let heard = answered.iter().filter(|ok| **ok).count();
        assert!(heard > 0 && u64::try_from(heard).unwrap() < b.2.asked() && b.2.asked() < 64);
        outcomes.push(answered);
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

#[tokio::test]
async fn nodes_of_one_site_are_asked_by_key_and_others_by_site() {
    let network = Network::new(1);
    let join = |party: &Party| {
        let echo = Echo::new();
        (network.join(party.caller(), &format!("node {}", party.node), echo.clone()), echo)
    };
    let (one, two, other) = (Party::node(1, 1), Party::node(1, 2), Party::new(3));
    let ((a, _), (_b, b_echo), (c, _)) = (join(&one), join(&two), join(&other));
    let wish = |party: &Party| PeerAddress {
        site: Some(party.site),
        node: Some(party.caller().node),
        addresses: vec![format!("node {}", party.node)],
    };
    a.set_peers(vec![wish(&two)]).await.unwrap();
    c.set_peers(vec![wish(&one), wish(&two)]).await.unwrap();
    let (first, second) = (one.caller().node, two.caller().node);
    assert!(a.ask_node(second, Channel::Raft, b"append".to_vec()).await.is_ok());
    // A peer's two nodes take turns, and one stands in for the other.
    for _ in 0..4 {
        assert!(c.ask(one.site, Channel::Session, Vec::new()).await.is_ok());
    }
    assert_eq!(b_echo.asked(), 3);
    network.cut_nodes(first, second);
    let cut = a.ask_node(second, Channel::Raft, Vec::new()).await;
    assert!(matches!(cut, Err(ask::Error::Unreachable { .. })), "{cut:?}");
    network.leave(two.caller());
    assert!(c.ask(one.site, Channel::Session, Vec::new()).await.is_ok());
    // What is among the nodes of a site is not for others.
    let inner = c.ask(one.site, Channel::Raft, Vec::new()).await;
    assert!(matches!(inner, Err(ask::Error::Inner { .. })), "{inner:?}");
    let foreign = c.ask_node(first, Channel::Outbox, Vec::new()).await;
    assert!(matches!(foreign, Err(ask::Error::Unreachable { .. })), "{foreign:?}");
}
