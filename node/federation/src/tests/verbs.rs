//! Ask, tell and stream between sites that have greeted.

use protocol::identity::PublicKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Node, Party, Policy, QUIC, TCP, until};
use crate::{Channel, Error, PeerAddress, Peers, ask, stream, tell};

async fn pair(listen: &str) -> (Node, Node) {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let a = Node::start(&alpha, listen, &[&beta]).await;
    let b = Node::start(&beta, listen, &[&alpha]).await;
    a.dial(&b).await;
    a.until_connected(&b).await;
    (a, b)
}

#[tokio::test]
async fn an_answer_comes_or_the_reason_why_not() {
    let (a, b) = pair(TCP).await;
    let ask = |body: &[u8]| a.bus.ask(b.site, Channel::Outbox, body.to_vec());
    match ask(b"refuse this").await {
        Err(ask::Error::Refused { source, .. }) => assert_eq!(source.to_string(), "not today"),
        other => panic!("{other:?}"),
    }
    // A handler that panics costs its peer an answer, and the node nothing.
    assert!(matches!(ask(b"fail").await, Err(ask::Error::Refused { .. })));
    assert!(ask(b"after it").await.is_ok());
    let nobody = Party::new(9).site;
    let unreachable = a.bus.ask(nobody, Channel::Outbox, Vec::new()).await;
    assert!(matches!(unreachable, Err(ask::Error::Unreachable { .. })));
    let long = a.bus.ask(b.site, Channel::Machine, vec![0; Channel::Machine.limit() + 1]).await;
    assert!(matches!(long, Err(ask::Error::TooLong { .. })));
    a.bus.close().await;
    assert!(matches!(ask(b"closed").await, Err(ask::Error::Closed)));
    b.bus.close().await;
}

#[tokio::test]
async fn a_foul_request_is_counted_and_ends_the_connection() {
    let (a, b) = pair(TCP).await;
    let foul = a.bus.ask(b.site, Channel::Outbox, b"foul".to_vec()).await;
    assert!(matches!(foul, Err(ask::Error::Lost { .. })), "{foul:?}");
    let counted = |peers: Vec<crate::PeerState>| {
        peers.iter().find(|peer| peer.site == Some(a.site)).map(|peer| peer.counters.foul)
    };
    assert_eq!(counted(b.bus.peers().await), Some(1));
    // The node goes on, and the peer may come back.
    until("the peer is served again", async || {
        a.bus.ask(b.site, Channel::Outbox, b"again".to_vec()).await.is_ok()
    })
    .await;
    a.bus.close().await;
    b.bus.close().await;
}

#[tokio::test]
async fn the_largest_request_passes_both_transports() {
    for listen in [TCP, QUIC] {
        let (a, b) = pair(listen).await;
        // The answer of the echo is longer than the question by the channel's name.
        let length = Channel::Outbox.limit() - Channel::Outbox.protocol().len();
        let body: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let answer = a.bus.ask(b.site, Channel::Outbox, body.clone()).await.unwrap();
        assert_eq!(answer.len(), Channel::Outbox.limit());
        assert!(answer.ends_with(&body));
        a.bus.close().await;
        b.bus.close().await;
    }
}

#[tokio::test]
async fn past_the_bound_a_peer_is_told_that_we_are_busy() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let mut options = beta.options(TCP);
    options.limits.asks_in = 2;
    let b = Node::with(&beta, options, Policy::admitting(&[&alpha])).await;
    a.dial(&b).await;
    a.until_connected(&b).await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let (bus, site) = (a.bus.clone(), b.site);
            tokio::spawn(async move { bus.ask(site, Channel::Outbox, b"wait".to_vec()).await })
        })
        .collect();
    until("two are at hand", async || b.echo.asked() == 2).await;
    let third = a.bus.ask(b.site, Channel::Outbox, b"third".to_vec()).await;
    assert!(matches!(third, Err(ask::Error::Busy { .. })), "{third:?}");
    assert_eq!(b.counters(a.site).await.busy, 1);
    b.echo.released.add_permits(2);
    for answer in waiting {
        assert!(answer.await.unwrap().is_ok());
    }
    assert!(a.bus.ask(b.site, Channel::Outbox, b"fourth".to_vec()).await.is_ok());
    a.bus.close().await;
    b.bus.close().await;
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way_to_a_site() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let mut options = alpha.options(TCP);
    options.limits.asks_out = 1;
    let a = Node::with(&alpha, options, Policy::admitting(&[&beta])).await;
    let b = Node::start(&beta, TCP, &[&alpha]).await;
    a.dial(&b).await;
    a.until_connected(&b).await;
    let (bus, site) = (a.bus.clone(), b.site);
    let first = tokio::spawn(async move { bus.ask(site, Channel::Outbox, b"wait".to_vec()).await });
    until("one is at hand", async || b.echo.asked() == 1).await;
    let second = a.bus.ask(b.site, Channel::Outbox, b"second".to_vec()).await;
    assert!(matches!(second, Err(ask::Error::Crowded { .. })), "{second:?}");
    b.echo.released.add_permits(1);
    assert!(first.await.unwrap().is_ok());
    a.bus.close().await;
    b.bus.close().await;
}

/// Three sites in a row: the first and the third know the second only.
async fn row() -> [Node; 3] {
    let (alpha, beta, gamma) = (Party::new(1), Party::new(2), Party::new(3));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let b = Node::start(&beta, TCP, &[&alpha, &gamma]).await;
    let c = Node::start(&gamma, TCP, &[&beta]).await;
    a.dial(&b).await;
    c.dial(&b).await;
    a.until_connected(&b).await;
    c.until_connected(&b).await;
    [a, b, c]
}

/// Tells it again, with another number each time, until it has been heard: who has just been
/// connected may not be subscribed yet.
async fn tell_until_heard(from: &Node, to: &Node, letter: &str) {
    let mut number = 0;
    until("an advert is heard", async || {
        number += 1;
        let body = format!("{letter}{number}").into_bytes();
        match from.bus.publish(body).await {
            Ok(()) | Err(tell::Error::Nobody) => {}
            Err(error) => panic!("{error}"),
        }
        to.echo.heard.lock().unwrap().iter().any(|(_, body)| body.starts_with(letter.as_bytes()))
    })
    .await;
}

#[tokio::test]
async fn an_advert_reaches_a_third_site_through_the_second() {
    let [a, b, c] = row().await;
    tell_until_heard(&a, &c, "accept").await;
    assert!(!c.is_connected(a.site).await);
    let heard = c.echo.heard.lock().unwrap().clone();
    assert!(heard.iter().all(|(from, _)| *from == b.site));
    for node in [&a, &b, &c] {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn what_is_rejected_or_ignored_is_not_passed_on() {
    let [a, b, c] = row().await;
    // First the way is shown to be open; then what must not pass, then what must again.
    tell_until_heard(&a, &c, "accept").await;
    for body in ["reject this", "ignore this"] {
        a.bus.publish(body.as_bytes().to_vec()).await.unwrap();
        until("the second has judged it", async || b.echo.has_heard(body.as_bytes())).await;
    }
    tell_until_heard(&a, &c, "again").await;
    assert!(!c.echo.has_heard(b"reject this") && !c.echo.has_heard(b"ignore this"));
    until("it is counted", async || b.counters(a.site).await.adverts_rejected == 1).await;
    let long = a.bus.publish(vec![b'a'; tell::LIMIT + 1]).await;
    assert!(matches!(long, Err(tell::Error::TooLong { .. })));
    for node in [&a, &b, &c] {
        node.bus.close().await;
    }
}

#[tokio::test]
async fn a_console_carries_bytes_both_ways() {
    for listen in [TCP, QUIC] {
        let (a, b) = pair(listen).await;
        let mut console = a.bus.open(b.site, b"machine 7".to_vec()).await.unwrap();
        let mut greeting = [0; 20];
        console.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"console of machine 7");
        let sent = vec![42; 300_000];
        let (mut reader, mut writer) = tokio::io::split(console);
        let writing = tokio::spawn(async move {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        writing.await.unwrap();
        assert_eq!(back, vec![42; 300_000]);
        assert_eq!(b.counters(a.site).await.streams_in, 1);
        a.bus.close().await;
        b.bus.close().await;
    }
}

#[tokio::test]
async fn a_peer_holds_no_more_consoles_than_allowed() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let a = Node::start(&alpha, TCP, &[&beta]).await;
    let mut options = beta.options(TCP);
    options.limits.streams_in = 1;
    let b = Node::with(&beta, options, Policy::admitting(&[&alpha])).await;
    a.dial(&b).await;
    a.until_connected(&b).await;
    let mut first = a.bus.open(b.site, b"1".to_vec()).await.unwrap();
    let mut greeting = [0; 12];
    first.read_exact(&mut greeting).await.unwrap();
    // The second is dropped at the other side: it ends without a word.
    let mut silence = Vec::new();
    if let Ok(mut second) = a.bus.open(b.site, b"2".to_vec()).await {
        let _ = second.read_to_end(&mut silence).await;
    }
    assert!(silence.is_empty());
    drop(first);
    until("there is room again", async || {
        let mut greeting = [0; 12];
        match a.bus.open(b.site, b"3".to_vec()).await {
            Ok(mut third) => third.read_exact(&mut greeting).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    let nobody = a.bus.open(Party::new(9).site, Vec::new()).await;
    assert!(matches!(nobody, Err(stream::Error::Unreachable { .. })));
    a.bus.close().await;
    b.bus.close().await;
}

#[tokio::test]
async fn a_wish_that_cannot_be_read_leaves_the_former_one() {
    let (a, b) = pair(TCP).await;
    let wish =
        |address: &str| PeerAddress { site: None, node: None, addresses: vec![address.to_owned()] };
    assert!(a.bus.set_peers(vec![wish("nowhere")]).await.is_err());
    let nowhere = PeerAddress { site: None, node: None, addresses: Vec::new() };
    assert!(a.bus.set_peers(vec![nowhere]).await.is_err());
    let nobody = PeerAddress { node: Some(PublicKey::from_bytes([2; 32])), ..b.own_address() };
    assert!(matches!(a.bus.set_peers(vec![nobody]).await, Err(Error::NodeKey)));
    assert!(a.is_connected(b.site).await);
    a.bus.close().await;
    b.bus.close().await;
}
