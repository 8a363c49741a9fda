//! Sites that are found through others, and those who lie about where a site is.

use libp2p::kad::ProviderRecord;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm};

use super::gate::{event, rogue};
use super::{Node, Party, Policy, TCP, until};
use crate::swarm::behaviour::Bus;
use crate::swarm::directory::key;
use crate::{Channel, PeerAddress, Peers, Refusal, hello};

/// A wish for a site of which nothing is known but its id.
fn somewhere(party: &Party) -> PeerAddress {
    PeerAddress { site: Some(party.site), node: None, addresses: Vec::new() }
}

fn peer_id(party: &Party) -> PeerId {
    hello::peer_id(party.caller().node).unwrap()
}

#[tokio::test]
async fn a_site_is_found_through_a_peer_that_knows_it() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let a = Node::start(&alpha, TCP, &[&beta, &gamma]).await;
    let b = Node::start(&beta, TCP, &[&alpha, &gamma]).await;
    let c = Node::start(&gamma, TCP, &[&alpha, &beta]).await;
    // The first asks before anybody can know.
    a.bus.set_peers(vec![b.address(Some(b.site)), somewhere(&gamma)]).await.unwrap();
    a.until_connected(&b).await;
    c.dial(&b).await;
    a.until_connected(&c).await;
    assert!(a.bus.ask(c.site, Channel::Outbox, b"found".to_vec()).await.is_ok());
    let counters = a.counters(c.site).await;
    assert!(counters.searches >= 1 && counters.misled == 0, "{counters:?}");
    for node in [&a, &b, &c] {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn a_site_that_is_not_at_its_address_is_looked_for() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let a = Node::start(&alpha, TCP, &[&beta, &gamma]).await;
    let b = Node::start(&beta, TCP, &[&alpha, &gamma]).await;
    let c = Node::start(&gamma, TCP, &[&alpha, &beta]).await;
    c.dial(&b).await;
    c.until_connected(&b).await;
    // Where the site is said to be, another one is.
    let wrong = PeerAddress { addresses: b.bus.listening().to_vec(), ..somewhere(&gamma) };
    a.bus.set_peers(vec![b.address(Some(b.site)), wrong]).await.unwrap();
    a.until_connected(&c).await;
    for node in [&a, &b, &c] {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn a_site_that_nobody_knows_is_said_to_be_unknown() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    a.bus.set_peers(vec![b.address(Some(b.site)), somewhere(&gamma)]).await.unwrap();
    a.until_connected(&b).await;
    until("the operator is told", async || {
        let peers = a.bus.peers().await;
        let state = peers.iter().find(|peer| peer.site == Some(gamma.site));
        state.and_then(|peer| peer.last_failure.as_deref())
            == Some("no peer knows where the site is")
    })
    .await;
    a.bus.close().await;
    b.bus.close().await;
}

/// A node of ours that takes part in the directory, driven by hand, and its address.
async fn liar(party: &Party, admitted: &[&Party]) -> (Swarm<Bus>, Multiaddr) {
    let mut liar = rogue(party, admitted);
    liar.listen_on(TCP.parse().unwrap()).unwrap();
    let address = event(&mut liar, |_, event| match event {
        SwarmEvent::NewListenAddr { address, .. } => Some(address),
        _ => None,
    })
    .await;
    liar.add_external_address(address.clone());
    (liar, address)
}

/// Lets a swarm run while something is waited for.
async fn while_running(swarm: &mut Swarm<Bus>, wait: impl Future<Output = ()>) {
    tokio::select! {
        () = wait => {}
        () = event(swarm, |_, _| None) => {}
    }
}

#[tokio::test]
async fn a_lie_about_a_site_costs_a_bounded_number_of_dials() {
    let (alpha, beta, gamma, delta) = (Party::new(1), Party::new(2), Party::new(3), Party::new(4));
    let a = Node::start(&alpha, TCP, &[&beta, &gamma, &delta]).await;
    let d = Node::start(&delta, TCP, &[&alpha]).await;
    let (mut liar, address) = liar(&beta, &[&alpha]).await;
    // It says that the site is where another one is: under that one's name, and under the right
    // one; and where nobody is.
    let places = [d.bus.listening()[0].as_str(), "/ip4/127.0.0.1/tcp/1"];
    let places: Vec<Multiaddr> = places.iter().map(|text| text.parse().unwrap()).collect();
    for provider in [peer_id(&delta), peer_id(&gamma)] {
        let (key, expires) = (key(gamma.site), None);
        let record = ProviderRecord { key, provider, expires, addresses: places.clone() };
        assert!(liar.behaviour_mut().gate.inner.directory.keep(record, gamma.site));
    }
    let beta_there = PeerAddress { addresses: vec![address.to_string()], ..somewhere(&beta) };
    a.bus.set_peers(vec![beta_there, somewhere(&gamma)]).await.unwrap();
    let lied_to =
        until("every lie has been found out", async || a.counters(gamma.site).await.misled == 4);
    while_running(&mut liar, lied_to).await;
    let refusals = a.bus.refusals().await;
    assert!(refusals.iter().any(|it| it.refusal == Some(Refusal::OtherSite)), "{refusals:?}");
    assert_eq!(a.counters(gamma.site).await.searches, 1, "it asks again only after a pause");
    assert!(!a.is_connected(gamma.site).await && a.is_connected(beta.site).await);
    a.bus.close().await;
    d.bus.close().await;
}

#[tokio::test]
async fn a_peer_cannot_say_where_another_site_is() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let a = Node::start(&alpha, TCP, &[&beta, &gamma]).await;
    let (mut liar, address) = liar(&beta, &[&alpha]).await;
    let beta_there = PeerAddress { addresses: vec![address.to_string()], ..somewhere(&beta) };
    a.bus.set_peers(vec![beta_there]).await.unwrap();
    while_running(&mut liar, until("it is connected", async || a.is_connected(beta.site).await))
        .await;
    let mut said = 0;
    let refused = until("the record is refused", async || {
        said = a.counters(beta.site).await.malformed;
        said > 0
    });
    let saying = event(&mut liar, |swarm, event| {
        // Again and again: who has just been connected may not take part yet.
        if matches!(event, SwarmEvent::Behaviour(_)) {
            swarm.behaviour_mut().gate.inner.directory.publish(gamma.site);
        }
        None::<()>
    });
    tokio::select! {
        () = refused => {}
        () = saying => {}
    }
    // Nor is it asked for, or dialled: nothing was kept.
    a.bus.set_peers(vec![somewhere(&gamma)]).await.unwrap();
    let searched = until("it was searched for", async || a.counters(gamma.site).await.searches > 0);
    while_running(&mut liar, searched).await;
    assert_eq!(a.counters(gamma.site).await.misled, 0);
    a.bus.close().await;
}

#[tokio::test]
async fn who_is_not_reached_by_others_is_not_asked_and_says_nothing() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let mut options = beta.options(TCP);
    // A node behind another one's address: nobody would find it there.
    options.listen = vec!["/ip4/0.0.0.0/tcp/0".to_owned()];
    let b = Node::with(&beta, options, Policy::admitting(&[&alpha])).await;
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let there = b.bus.listening().iter().find(|text| text.contains("127.0.0.1")).unwrap();
    let wish = PeerAddress { addresses: vec![there.clone()], ..somewhere(&beta) };
    a.bus.set_peers(vec![wish, somewhere(&Party::new(3))]).await.unwrap();
    a.until_connected(&b).await;
    // The connection has shown by now what each end takes part in.
    until("a ping has come back", async || {
        a.bus.peers().await.iter().any(|peer| peer.rtt.is_some())
    })
    .await;
    let unknown = a.bus.peers().await.into_iter().find(|peer| peer.site != Some(b.site)).unwrap();
    assert_eq!(unknown.counters.searches, 0);
    assert_eq!(
        unknown.last_failure.as_deref(),
        Some("nobody is connected who could be asked where the site is")
    );
    a.bus.close().await;
    b.bus.close().await;
}
