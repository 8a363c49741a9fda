//! Two nodes in private networks, each behind a NAT of its own, and a peer between them.

use super::space::{Placed, host, inside, ip, plug, run, switch};
use super::{Party, until};
use crate::{Channel, Options, PeerAddress, Peers, hello};

/// Where a router lets its private network speak to.
#[derive(Clone, Copy)]
enum Outside {
    /// The middle only: no hole can be punched, and whoever meets does so through the relay.
    Middle,
    /// Everybody.
    All,
}

/// A private network behind a router that lets out what begins inside, and drops what begins
/// outside without a word. Both networks have the same addresses, as such networks do.
fn private(name: &str, address: &str, outside: Outside) {
    let (router, lan) = (format!("n{name}"), format!("lan-{name}"));
    switch(&lan);
    host(&router, "internet", address);
    plug(&router, "lan", &lan, "10.1.0.1/24");
    host(name, &lan, "10.1.0.2/24");
    ip(&format!("-n {name} route add default via 10.1.0.1"));
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    run("ip", &["netns", "exec", &router, "sh", "-c", forward]);
    let allowed = match outside {
        Outside::Middle => "ip daddr 198.18.0.1",
        Outside::All => "",
    };
    let rules = r#"
        table ip router {
            chain out {
                type nat hook postrouting priority 100;
                oifname "wan" masquerade
            }
            chain inward {
                type filter hook input priority 0;
                iifname "wan" ct state new drop
            }
            chain through {
                type filter hook forward priority 0; policy drop;
                ct state established,related accept
                iifname "lan" ALLOWED accept
            }
        }"#
    .replace("ALLOWED", allowed);
    run("ip", &["netns", "exec", &router, "nft", &rules]);
}

/// Two nodes behind NAT, which know a third between them; it serves as a relay or does not.
async fn three(relay: bool, outside: Outside) -> [Placed; 3] {
    switch("internet");
    host("r", "internet", "198.18.0.1/24");
    private("a", "198.18.0.11/24", outside);
    private("b", "198.18.0.12/24", outside);
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let all = [&alpha, &beta, &gamma];
    let middle = Options { relay, ..gamma.options("/ip4/198.18.0.1/tcp/7401") };
    let hidden = |party: &Party| party.options("/ip4/0.0.0.0/tcp/7401");
    let r = Placed::start("r", &gamma, middle, &all).await;
    let a = Placed::start("a", &alpha, hidden(&alpha), &all).await;
    let b = Placed::start("b", &beta, hidden(&beta), &all).await;
    for placed in [&a, &b] {
        placed.node.dial(&r.node).await;
        placed.node.until_connected(&r.node).await;
    }
    [a, b, r]
}

/// A wish for a node, under these addresses.
fn wish(placed: &Placed, addresses: Vec<String>) -> PeerAddress {
    PeerAddress { site: Some(placed.node.site), node: None, addresses }
}

/// The addresses under which one has the other.
async fn ways(a: &Placed, b: &Placed) -> Vec<String> {
    let peers = a.node.bus.peers().await;
    let there = peers.into_iter().find(|peer| peer.site == Some(b.node.site)).unwrap();
    there.nodes.into_iter().flat_map(|node| node.addresses).collect()
}

fn is_detour(way: &str) -> bool {
    way.contains("/p2p-circuit")
}

async fn meet(a: &Placed, b: &Placed, r: &Placed, addresses: Vec<String>) {
    let middle = r.node.address(Some(r.node.site));
    a.node.bus.set_peers(vec![middle, wish(b, addresses)]).await.unwrap();
    a.node.until_connected(&b.node).await;
    for (from, to) in [(a, b), (b, a)] {
        // A way that has just become direct may take a request with the detour that it ends.
        until("it is answered", async || {
            from.node.bus.ask(to.node.site, Channel::Outbox, b"hello".to_vec()).await.is_ok()
        })
        .await;
    }
    // The relay has carried it, and was asked nothing.
    assert_eq!(r.node.echo.asked(), 0);
}

#[test]
fn two_nodes_behind_nat_find_each_other_and_ask_through_a_relay() {
    inside(
        "tests::nat::two_nodes_behind_nat_find_each_other_and_ask_through_a_relay",
        async || {
            let [a, b, r] = three(true, Outside::Middle).await;
            meet(&a, &b, &r, Vec::new()).await;
            assert!(ways(&a, &b).await.iter().all(|way| is_detour(way)));
            for placed in [a, b, r] {
                placed.end();
            }
        },
    );
}

#[test]
fn a_node_behind_nat_is_dialled_under_its_address_at_a_relay() {
    inside("tests::nat::a_node_behind_nat_is_dialled_under_its_address_at_a_relay", async || {
        let [a, b, r] = three(true, Outside::Middle).await;
        let name = |placed: &Placed| hello::peer_id(placed.node.key).unwrap();
        let place = &r.node.bus.listening()[0];
        let there = format!("{place}/p2p/{}/p2p-circuit/p2p/{}", name(&r), name(&b));
        meet(&a, &b, &r, vec![there]).await;
        assert!(ways(&a, &b).await.iter().all(|way| is_detour(way)));
        for placed in [a, b, r] {
            placed.end();
        }
    });
}

#[test]
fn who_has_not_switched_it_on_is_no_relay() {
    inside("tests::nat::who_has_not_switched_it_on_is_no_relay", async || {
        let [a, b, r] = three(false, Outside::Middle).await;
        let middle = r.node.address(Some(r.node.site));
        a.node.bus.set_peers(vec![middle, wish(&b, Vec::new())]).await.unwrap();
        until("nobody knows a way", async || {
            a.node
                .bus
                .peers()
                .await
                .iter()
                .any(|peer| peer.last_failure.as_deref() == Some("no peer knows where the site is"))
        })
        .await;
        assert!(!a.node.is_connected(b.node.site).await);
        for placed in [a, b, r] {
            placed.end();
        }
    });
}

#[test]
fn two_nodes_that_met_through_a_relay_go_on_without_it_where_they_can() {
    inside(
        "tests::nat::two_nodes_that_met_through_a_relay_go_on_without_it_where_they_can",
        async || {
            let [a, b, r] = three(true, Outside::All).await;
            meet(&a, &b, &r, Vec::new()).await;
            for (from, to) in [(&a, &b), (&b, &a)] {
                until("the way is direct", async || {
                    let ways = ways(from, to).await;
                    !ways.is_empty() && !ways.iter().any(|way| is_detour(way))
                })
                .await;
                until("it is answered", async || {
                    let asked = from.node.bus.ask(to.node.site, Channel::Outbox, Vec::new()).await;
                    asked.is_ok()
                })
                .await;
            }
            for placed in [a, b, r] {
                placed.end();
            }
        },
    );
}
