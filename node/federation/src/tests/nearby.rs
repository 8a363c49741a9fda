//! Nodes that find each other on the local network by multicast DNS.

use super::space::{Placed, host, inside, switch};
use super::{Node, Party, until};
use crate::{Channel, Options, Peers};

const TCP: &str = "/ip4/0.0.0.0/tcp/7401";

fn options(party: &Party, mdns: bool) -> Options {
    Options { mdns, ..party.options(TCP) }
}

/// Three hosts on one network, of three sites; the third has not switched it on.
async fn neighbours() -> [Placed; 3] {
    switch("lan");
    let parties = [Party::new(1), Party::new(2), Party::new(3)];
    let [alpha, beta, gamma] = &parties;
    for (name, address) in [("a", "10.1.0.1/24"), ("b", "10.1.0.2/24"), ("c", "10.1.0.3/24")] {
        host(name, "lan", address);
    }
    let all = [alpha, beta, gamma];
    [
        Placed::start("a", alpha, options(alpha, true), &all).await,
        Placed::start("c", gamma, options(gamma, false), &all).await,
        Placed::start("b", beta, options(beta, true), &all).await,
    ]
}

async fn met(node: &Node) -> usize {
    node.bus.peers().await.iter().filter(|peer| peer.counters.greeted > 0).count()
}

#[test]
fn two_nodes_without_addresses_find_each_other_unless_it_is_switched_off() {
    inside(
        "tests::nearby::two_nodes_without_addresses_find_each_other_unless_it_is_switched_off",
        async || {
            let [a, silent, b] = neighbours().await;
            a.node.until_connected(&b.node).await;
            let answer = a.node.bus.ask(b.node.site, Channel::Outbox, b"hello".to_vec()).await;
            assert!(answer.is_ok(), "{answer:?}");
            // The third could have heard and been heard as long, and has met nobody.
            assert_eq!((met(&a.node).await, met(&silent.node).await), (1, 0));
            assert!(silent.node.bus.refusals().await.is_empty());
            for placed in [a, silent, b] {
                placed.end();
            }
        },
    );
}

#[test]
fn a_node_that_refused_at_first_is_met_once_it_admits() {
    inside("tests::nearby::a_node_that_refused_at_first_is_met_once_it_admits", async || {
        switch("lan");
        host("a", "lan", "10.1.0.1/24");
        host("b", "lan", "10.1.0.2/24");
        let (alpha, beta) = (Party::new(1), Party::new(2));
        let a = Placed::start("a", &alpha, options(&alpha, true), &[&beta]).await;
        let b = Placed::start("b", &beta, options(&beta, true), &[]).await;
        until("it has been refused", async || !a.node.bus.refusals().await.is_empty()).await;
        b.node.policy.admit(&alpha);
        a.node.until_connected(&b.node).await;
        a.end();
        b.end();
    });
}
