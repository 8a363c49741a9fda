//! Certificates that a site no longer honours, before their time is over.

use std::sync::atomic::Ordering;

use super::{Node, Party, Policy, TCP, until};
use crate::{Peers, Refusal, Refuser};

/// A peer that has heard that site 2 honours nothing below 5, from the node that says so.
async fn warned() -> (Node, Node) {
    let (alpha, beta) = (Party::new(1), Party::serial(2, 2, 5));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let policy = Policy::admitting(&[&alpha]);
    policy.honours.store(5, Ordering::SeqCst);
    let b = Node::with(&beta, beta.options(TCP), policy).await;
    a.dial(&b).await;
    a.until_connected(&b).await;
    assert_eq!(*a.policy.heard.lock().unwrap(), [(b.site, 5)].into());
    (a, b)
}

/// A node of site 2 with a certificate of this serial, which says that its site honours `honours`.
async fn other(serial: u64, honours: u64) -> Node {
    let party = Party::serial(2, 3, serial);
    let policy = Policy::admitting(&[&Party::new(1)]);
    policy.honours.store(honours, Ordering::SeqCst);
    Node::with(&party, party.options(TCP), policy).await
}

async fn close(nodes: &[&Node]) {
    for node in nodes {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn a_revoked_node_is_refused_whatever_it_claims() {
    let (a, b) = warned().await;
    // It claims what it could have claimed before, and then more than its certificate is good for.
    for honours in [0, 4, 9] {
        let revoked = other(4, honours).await;
        revoked.dial(&a).await;
        until("it is told", async || {
            let told = revoked.bus.refusals().await;
            told.iter()
                .any(|told| (told.by, &told.refusal) == (Refuser::There, &Some(Refusal::Revoked)))
        })
        .await;
        assert!(!a.nodes(b.site).await.contains(&revoked.key));
        assert_eq!(*a.policy.heard.lock().unwrap(), [(b.site, 5)].into());
        revoked.bus.close().await;
    }
    let renewed = other(5, 0).await;
    renewed.dial(&a).await;
    until("with a new certificate it is admitted", async || a.nodes(b.site).await.len() == 2).await;
    // It has not heard yet of the revocation, and has taken nothing back.
    assert_eq!(*a.policy.heard.lock().unwrap(), [(b.site, 5)].into());
    close(&[&a, &b, &renewed]).await;
}

#[tokio::test]
async fn a_node_cannot_revoke_what_is_newer_than_itself() {
    let (alpha, beta) = (Party::new(1), Party::serial(2, 2, 5));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    let jealous = other(4, 5).await;
    for node in [&b, &jealous] {
        node.dial(&a).await;
    }
    until("both are connected", async || a.nodes(b.site).await.len() == 2).await;
    assert!(a.policy.heard.lock().unwrap().is_empty());
    close(&[&a, &b, &jealous]).await;
}

#[tokio::test]
async fn a_connected_node_is_let_go_once_it_is_revoked() {
    let (alpha, beta) = (Party::new(1), Party::serial(2, 2, 5));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    let lost = other(4, 0).await;
    for node in [&b, &lost] {
        node.dial(&a).await;
    }
    until("both are connected", async || a.nodes(b.site).await.len() == 2).await;
    // The site revokes what is below 5: its node comes again to say so.
    b.policy.honours.store(5, Ordering::SeqCst);
    until("the revoked one is gone", async || a.nodes(b.site).await == [b.key]).await;
    until("and knows why", async || {
        let told = lost.bus.refusals().await;
        told.iter().any(|told| told.refusal == Some(Refusal::Revoked))
    })
    .await;
    assert!(a.counters(b.site).await.greeted >= 3, "it was not greeted anew");
    close(&[&a, &b, &lost]).await;
}
