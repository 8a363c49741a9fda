//! A link that goes dead without a word, as a cut network or a pulled cable does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Node, Party, Policy, TCP, until};
use crate::{Channel, PeerAddress, Peers};

/// A relay between two nodes. When it is cut it forwards nothing more, and closes nothing.
pub(super) struct Relay {
    pub(super) address: String,
    is_open: Arc<AtomicBool>,
    cut: watch::Sender<u64>,
    pub(super) accepting: JoinHandle<()>,
}

impl Relay {
    pub(super) async fn to(node: &Node) -> Self {
        let target = node.bus.listening()[0].rsplit('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port());
        let (cut, cuts) = watch::channel(0);
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&is_open);
        let accepting = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut near, _)) = listener.accept().await {
                if !open.load(Ordering::SeqCst) {
                    held.push(near);
                    continue;
                }
                let mut far = TcpStream::connect(format!("127.0.0.1:{target}")).await.unwrap();
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        // The sockets are held open until the relay itself is gone.
                        Ok(()) = cuts.changed() => while cuts.changed().await.is_ok() {},
                    }
                });
            }
        });
        Self { address, is_open, cut, accepting }
    }

    pub(super) fn cut(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        self.cut.send_modify(|count| *count += 1);
    }

    pub(super) fn heal(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_dead_link_is_missed_and_replaced() {
    let (alpha, beta) = (Party::new(1), Party::new(2));
    let mut options = alpha.options(TCP);
    options.limits.silence_time = Duration::from_millis(1500);
    let a = Node::with(&alpha, options, Policy::admitting(&[&beta])).await;
    let mut options = beta.options(TCP);
    options.limits.silence_time = Duration::from_millis(1500);
    let b = Node::with(&beta, options, Policy::admitting(&[&alpha])).await;
    let relay = Relay::to(&b).await;
    let wish =
        PeerAddress { site: Some(b.site), node: None, addresses: vec![relay.address.clone()] };
    a.bus.set_peers(vec![wish]).await.unwrap();
    a.until_connected(&b).await;
    relay.cut();
    until("both miss the other", async || {
        !a.is_connected(b.site).await && !b.is_connected(a.site).await
    })
    .await;
    relay.heal();
    a.until_connected(&b).await;
    assert!(a.bus.ask(b.site, Channel::Outbox, b"again".to_vec()).await.is_ok());
    a.bus.close().await;
    b.bus.close().await;
    relay.accepting.abort();
}
