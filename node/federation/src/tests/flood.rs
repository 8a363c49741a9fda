//! Peers that pass the hello and then send too much, or send rubbish.

use std::time::{Duration, Instant};

use libp2p::Swarm;
use libp2p::request_response::{Event, Message};
use libp2p::swarm::SwarmEvent;

use super::gate::{address, event, rogue};
use super::{Node, Party, Policy, TCP, until};
use crate::meter::Meters;
use crate::swarm::behaviour::{Bus, BusEvent, VerbsEvent};
use crate::{Channel, Peers, Rate, Refusal, gate, tell};

/// Requests that the flooder has under way at once.
const AT_ONCE: usize = 24;

const RATE: Rate = Rate { per_second: 1, burst: 20 };

/// A node that allows few requests and adverts, and an honest peer of it.
async fn victim(flooder: &Party) -> (Node, Node) {
    let (beta, gamma) = (Party::new(2), Party::new(3));
    let mut options = beta.options(TCP);
    (options.limits.ask_rate, options.limits.advert_rate) = (RATE, RATE);
    let node = Node::with(&beta, options, Policy::admitting(&[flooder, &gamma])).await;
    let honest = Node::start(&gamma, TCP, &[&beta]).await;
    honest.dial(&node).await;
    honest.until_connected(&node).await;
    (node, honest)
}

/// Asks as fast as the connection carries it, until that is closed; answers how often.
async fn flood(rogue: &mut Swarm<Bus>) -> u64 {
    let mut sent = 0;
    event(rogue, |swarm, event| {
        let (peer, count) = match event {
            SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Greeted { peer, .. })) => {
                (peer, AT_ONCE)
            }
            SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Inner(VerbsEvent::Outbox(
                Event::Message { peer, message: Message::Response { .. }, .. },
            )))) => (peer, 1),
            SwarmEvent::ConnectionClosed { .. } => return Some(()),
            _ => return None,
        };
        for _ in 0..count {
            sent += 1;
            let requests = swarm.behaviour_mut().gate.inner.channel(Channel::Outbox);
            requests.send_request(&peer, vec![0; 1024].into());
        }
        None
    })
    .await;
    sent
}

#[tokio::test]
async fn a_flood_is_not_worked_on_and_then_not_read() {
    let alpha = Party::new(1);
    let (node, honest) = victim(&alpha).await;
    let begun = Instant::now();
    let mut rogue = rogue(&alpha, &[&Party::new(2)]);
    rogue.dial(address(&node)).unwrap();
    let flooding = tokio::spawn(async move { (flood(&mut rogue).await, rogue) });
    // Another peer is served meanwhile.
    for _ in 0..5 {
        assert!(honest.bus.ask(node.site, Channel::Outbox, b"hello".to_vec()).await.is_ok());
    }
    let (sent, mut rogue) = flooding.await.unwrap();
    assert!(sent >= 1000, "the connection was closed after {sent} requests");
    // What was worked on is what the rate allows, however much was sent.
    let allowed = RATE.burst + RATE.per_second * (begun.elapsed().as_secs() + 1);
    let worked_on = node.echo.asked() - 5;
    assert!(worked_on <= allowed, "{worked_on} of {sent} requests were worked on");
    let state = node.bus.peers().await.into_iter().find(|it| it.site == Some(alpha.site)).unwrap();
    assert!(state.is_shunned && state.counters.limited >= 1000, "{state:?}");
    // It is not let in again for a while.
    rogue.dial(address(&node)).unwrap();
    event(&mut rogue, |_, event| {
        matches!(event, SwarmEvent::ConnectionClosed { .. }).then_some(())
    })
    .await;
    until("it is turned away", async || {
        let refusals = node.bus.refusals().await;
        refusals.iter().any(|it| it.refusal == Some(Refusal::Flooding))
    })
    .await;
    assert!(honest.bus.ask(node.site, Channel::Outbox, b"hello".to_vec()).await.is_ok());
    node.bus.close().await;
    honest.bus.close().await;
}

#[tokio::test]
async fn who_is_foul_again_and_again_is_let_in_no_more() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let node = Node::start(&beta, TCP, &[&alpha, &gamma]).await;
    let mut fouls = 0;
    let state = loop {
        let mut rogue = rogue(&alpha, &[&beta]);
        rogue.dial(address(&node)).unwrap();
        event(&mut rogue, |swarm, event| match event {
            SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Greeted { peer, .. })) => {
                let requests = swarm.behaviour_mut().gate.inner.channel(Channel::Outbox);
                requests.send_request(&peer, b"foul".to_vec().into());
                None
            }
            SwarmEvent::ConnectionClosed { .. } => Some(()),
            _ => None,
        })
        .await;
        fouls += 1;
        let peers = node.bus.peers().await;
        let state = peers.into_iter().find(|it| it.site == Some(alpha.site));
        match state {
            Some(state) if state.is_shunned => break state,
            Some(_) | None => assert!(fouls < 200, "it is let in for ever"),
        }
    };
    assert!(state.counters.foul >= 20 && state.counters.limited == 0, "{state:?}");
    let honest = Node::start(&gamma, TCP, &[&beta]).await;
    honest.dial(&node).await;
    honest.until_connected(&node).await;
    assert!(honest.bus.ask(node.site, Channel::Outbox, b"hello".to_vec()).await.is_ok());
    node.bus.close().await;
    honest.bus.close().await;
}

#[test]
fn of_a_flood_the_log_has_few_lines() {
    let (mut meters, now) = (Meters::default(), Instant::now());
    let [flooder, other] = [1, 2].map(|number| Party::new(number).site);
    for whom in [Some(flooder), None] {
        let mut written = 0;
        for tenth in 0..1000 {
            let then = now + Duration::from_millis(tenth * 100);
            written += u64::from(meters.admits_word(whom, then));
        }
        assert!((100..=200).contains(&written), "{written} lines in 100 seconds");
    }
    assert!(meters.admits_word(Some(other), now), "another's lines are its own");
    assert!(meters.excess(flooder) == 0 && !meters.is_shunned(flooder));
}

/// Sends so many of the longest requests at once, each of which is worked on until it is released.
async fn overfill(rogue: &mut Swarm<Bus>, count: usize) {
    event(rogue, |swarm, event| {
        let SwarmEvent::Behaviour(BusEvent::Gate(gate::Event::Greeted { peer, .. })) = event else {
            return None;
        };
        let mut body = b"wait".to_vec();
        body.resize(Channel::Outbox.limit(), 0);
        for _ in 0..count {
            let requests = swarm.behaviour_mut().gate.inner.channel(Channel::Outbox);
            requests.send_request(&peer, body.clone().into());
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_into_a_connections_room_waits_unread() {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let node = Node::start(&beta, TCP, &[&alpha, &gamma]).await;
    let honest = Node::start(&gamma, TCP, &[&beta]).await;
    honest.dial(&node).await;
    honest.until_connected(&node).await;
    let mut rogue = rogue(&alpha, &[&beta]);
    rogue.dial(address(&node)).unwrap();
    let fitting = (Channel::Outbox.room() / Channel::Outbox.limit()) as u64;
    overfill(&mut rogue, AT_ONCE).await;
    let sending = tokio::spawn(async move { event::<_, ()>(&mut rogue, |_, _| None).await });
    until("the room is full", async || node.echo.asked() == fitting).await;
    // Another peer has room of its own.
    for _ in 0..5 {
        assert!(honest.bus.ask(node.site, Channel::Outbox, b"hello".to_vec()).await.is_ok());
    }
    assert_eq!(node.echo.asked(), fitting + 5, "more was read than there is room for");
    node.echo.released.add_permits(AT_ONCE);
    until("the rest is read", async || node.echo.asked() > fitting + 5).await;
    sending.abort();
    node.bus.close().await;
    honest.bus.close().await;
}

/// Tells adverts that begin with this letter until the peer is graylisted.
async fn tell_until_graylisted(from: &Node, to: &Node, letter: &str) {
    let mut number = 0;
    until("it is graylisted", async || {
        for _ in 0..10 {
            number += 1;
            match from.bus.publish(format!("{letter} {number}").into_bytes()).await {
                Ok(()) | Err(tell::Error::Nobody) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let peers = to.bus.peers().await;
        peers.iter().flat_map(|peer| &peer.nodes).any(|node| node.is_graylisted)
    })
    .await;
}

async fn is_heard(from: &Node, by: &Node) {
    let mut number = 0;
    until("an honest advert is heard", async || {
        number += 1;
        let body = format!("accept {number}").into_bytes();
        let _ = from.bus.publish(body).await;
        by.echo.heard.lock().unwrap().iter().any(|(site, _)| *site == from.site)
    })
    .await;
}

#[tokio::test]
async fn who_passes_on_forged_adverts_is_graylisted() {
    let alpha = Party::new(1);
    let (node, honest) = victim(&alpha).await;
    let forger = Node::start(&alpha, TCP, &[&Party::new(2)]).await;
    forger.dial(&node).await;
    tell_until_graylisted(&forger, &node, "reject").await;
    let counters = node.counters(alpha.site).await;
    assert!(counters.adverts_rejected >= 3, "{counters:?}");
    let peers = node.bus.peers().await;
    let state = peers.iter().find(|peer| peer.site == Some(alpha.site)).unwrap();
    assert!(state.nodes[0].score < -80, "{state:?}");
    is_heard(&honest, &node).await;
    for node in [&node, &honest, &forger] {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn who_tells_too_much_is_graylisted_although_every_word_is_true() {
    let alpha = Party::new(1);
    let (node, honest) = victim(&alpha).await;
    let chatterer = Node::start(&alpha, TCP, &[&Party::new(2)]).await;
    chatterer.dial(&node).await;
    let begun = Instant::now();
    tell_until_graylisted(&chatterer, &node, "accept").await;
    let counters = node.counters(alpha.site).await;
    assert!(counters.limited >= 80 && counters.adverts_rejected == 0, "{counters:?}");
    let judged = node.echo.heard.lock().unwrap().len();
    let allowed = RATE.burst + RATE.per_second * (begun.elapsed().as_secs() + 1);
    assert!(u64::try_from(judged).unwrap() <= allowed, "{judged} adverts were judged");
    is_heard(&honest, &node).await;
    for node in [&node, &honest, &chatterer] {
        node.bus.close().await;
    }
}
