//! The hello: who gets in, and what those are told who do not.

use std::sync::atomic::Ordering;

use protocol::codec;
use protocol::identity::{NodeCertificate, Scopes};

use super::{NOON, Node, Party, Policy, QUIC, TCP, until};
use crate::{Channel, Error, Federation, Peers, Refusal, Refuser};

/// Lets `dialer` dial a listener with this policy, and returns what each side has to say.
async fn refused(dialer: &Party, policy: std::sync::Arc<Policy>) -> (Refusal, Refusal) {
    let beta = Party::new(2);
    let listener = Node::with(&beta, beta.options(TCP), policy).await;
    let dialer = Node::start(dialer, TCP, &[&beta]).await;
    dialer.dial(&listener).await;
    until("both have a refusal", async || {
        !dialer.bus.refusals().await.is_empty() && !listener.bus.refusals().await.is_empty()
    })
    .await;
    assert!(!dialer.is_connected(listener.site).await);
    assert!(!listener.is_connected(dialer.site).await);
    let (there, here) = (dialer.bus.refusals().await, listener.bus.refusals().await);
    assert_eq!(there[0].by, Refuser::There);
    assert_eq!(here[0].by, Refuser::Here);
    assert_eq!(here[0].claimed, Some(dialer.site));
    dialer.bus.close().await;
    listener.bus.close().await;
    (there[0].refusal.clone().unwrap(), here[0].refusal.clone().unwrap())
}

#[tokio::test]
async fn two_sites_greet_and_ask() {
    for listen in [TCP, QUIC] {
        let (alpha, beta) = (Party::new(1), Party::new(2));
        let a = Node::start(&alpha, listen, &[&beta]).await;
        let b = Node::start(&beta, listen, &[&alpha]).await;
        a.dial(&b).await;
        a.until_connected(&b).await;
        let outer = || Channel::ALL.into_iter().filter(|channel| !channel.is_inner());
        for channel in outer() {
            let expected = [channel.protocol().as_bytes(), b"hello"].concat();
            let forth = a.bus.ask(b.site, channel, b"hello".to_vec()).await.unwrap();
            let back = b.bus.ask(a.site, channel, b"hello".to_vec()).await.unwrap();
            assert_eq!((forth, back), (expected.clone(), expected));
        }
        let peers = a.bus.peers().await;
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].incarnation, Some(7));
        assert!(peers[0].addresses[0].starts_with("/ip4/127.0.0.1/"));
        assert_eq!((peers[0].counters.asks_out, peers[0].counters.asks_in), (3, 3));
        until("a ping has come back", async || a.bus.peers().await[0].rtt.is_some()).await;
        a.bus.close().await;
        b.bus.close().await;
    }
}

#[tokio::test]
async fn a_stranger_is_told_that_it_is_one() {
    let (there, here) = refused(&Party::new(1), Policy::admitting(&[])).await;
    assert_eq!((there, here), (Refusal::Stranger, Refusal::Stranger));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let alpha = Party::new(1);
    let policy = Policy::admitting(&[&alpha]);
    policy.now.store(NOON + 1001, Ordering::SeqCst);
    let (there, here) = refused(&alpha, policy).await;
    assert_eq!((there, here), (Refusal::Expired, Refusal::Expired));
}

#[tokio::test]
async fn a_certificate_that_may_not_speak_is_refused() {
    let alpha = Party::with(1, Scopes::only(protocol::identity::Scope::Sign), 1);
    let (there, here) = refused(&alpha, Policy::admitting(&[&alpha])).await;
    assert_eq!((there, here), (Refusal::OutOfScope, Refusal::OutOfScope));
}

#[tokio::test]
async fn an_altered_certificate_is_refused() {
    let mut alpha = Party::new(1);
    let mut bytes = codec::encode(&alpha.certificate);
    *bytes.last_mut().unwrap() ^= 1;
    alpha.certificate = codec::decode::<NodeCertificate>(&bytes, 1024).unwrap();
    let (there, here) = refused(&alpha, Policy::admitting(&[&alpha])).await;
    assert_eq!((there, here), (Refusal::Forged, Refusal::Forged));
}

#[tokio::test]
async fn a_node_does_not_start_with_a_certificate_for_another_key() {
    let alpha = Party::with(1, Scopes::NODE, 9);
    let started =
        Federation::start(alpha.options(TCP), Policy::admitting(&[]), super::Echo::new()).await;
    assert!(matches!(started, Err(Error::OtherKey)));
}

#[tokio::test]
async fn a_dialer_turns_away_a_listener_it_does_not_admit() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let a = Node::start(&alpha, TCP, &[]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    a.dial(&b).await;
    until("both have a refusal", async || {
        !a.bus.refusals().await.is_empty() && !b.bus.refusals().await.is_empty()
    })
    .await;
    assert_eq!(a.bus.refusals().await[0].by, Refuser::Here);
    let told = &b.bus.refusals().await[0];
    assert_eq!((told.by, &told.refusal), (Refuser::There, &Some(Refusal::Stranger)));
    a.bus.close().await;
    b.bus.close().await;
}

#[tokio::test]
async fn another_site_at_a_peers_address_is_turned_away() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let a = Node::start(&alpha, TCP, &[&beta, &gamma]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    a.bus.set_peers(vec![b.address(Some(gamma.site))]).await.unwrap();
    until("the wrong site is noted", async || !a.bus.refusals().await.is_empty()).await;
    assert_eq!(a.bus.refusals().await[0].refusal, Some(Refusal::OtherSite));
    until("the failure is shown with the peer", async || {
        let peers = a.bus.peers().await;
        peers.iter().any(|peer| peer.site == Some(gamma.site) && peer.last_failure.is_some())
    })
    .await;
    // The same address serves once it is known by its right name, or by none.
    a.bus.set_peers(vec![b.address(None)]).await.unwrap();
    a.until_connected(&b).await;
    a.bus.close().await;
    b.bus.close().await;
}

#[tokio::test]
async fn a_peer_that_is_removed_is_let_go() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    a.dial(&b).await;
    a.until_connected(&b).await;
    b.policy.remove(&alpha);
    until("both know", async || !a.is_connected(b.site).await && !b.is_connected(a.site).await)
        .await;
    until("it is told why when it comes again", async || {
        a.bus.refusals().await.iter().any(|told| told.refusal == Some(Refusal::Stranger))
    })
    .await;
    a.bus.close().await;
    b.bus.close().await;
}

#[tokio::test]
async fn a_peer_that_restarts_is_connected_again() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    let place = b.bus.listening()[0].clone();
    a.dial(&b).await;
    a.until_connected(&b).await;
    b.bus.close().await;
    until("the loss is seen", async || !a.is_connected(b.site).await).await;
    until("a failed attempt is seen", async || {
        a.bus.peers().await.iter().any(|peer| peer.last_failure.is_some())
    })
    .await;
    let b = Node::start(&beta, &place, &[&alpha]).await;
    a.until_connected(&b).await;
    assert!(a.bus.ask(b.site, Channel::Outbox, b"again".to_vec()).await.is_ok());
    assert_eq!(a.counters(b.site).await.greeted, 2);
    a.bus.close().await;
    b.bus.close().await;
}
