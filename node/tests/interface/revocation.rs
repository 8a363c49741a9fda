//! Claims about a site certificate that is revoked: who has it is turned away by peers, over the real
//! bus, and learns why.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use federation::{
    Admission, Caller, Channel, Duplex, Federation, Handler, Limits, Options, PeerAddress, Peers,
    Refusal, Refuser, Verdict, ask,
};
use protocol::identity::{NodeCertificate, SecretKey};
use protocol::ids::SiteId;
use protocol::site::Site;
use protocol::time::Timestamp;
use reservoir::keys::Keys;
use reservoir::membership::join;
use serde_json::json;

use crate::world::{World, place, text};

/// Who has taken a node's keys along. It lets everybody in, claims that its site honours nothing
/// older than its own certificate, and answers nothing.
struct Rogue {
    serial: u64,
    now: Timestamp,
}

impl Admission for Rogue {
    fn admit(&self, _: SiteId, _: &NodeCertificate) -> Result<(), Refusal> {
        Ok(())
    }

    fn honours(&self) -> u64 {
        self.serial
    }

    fn honoured(&self, _: SiteId) -> u64 {
        0
    }

    fn heard_honours(&self, _: SiteId, _: u64) {}

    fn now(&self) -> Timestamp {
        self.now
    }
}

#[async_trait]
impl Handler for Rogue {
    async fn ask(&self, _: Caller, _: Channel, _: Vec<u8>) -> Result<Vec<u8>, ask::Refused> {
        Err(ask::Refused::new("no"))
    }

    async fn gossip(&self, _: Caller, _: Vec<u8>) -> Verdict {
        Verdict::Ignore
    }

    async fn console(&self, _: Caller, _: Vec<u8>, _: Duplex) {}
}

/// Where a node is on the bus.
async fn addresses(world: &World) -> Vec<String> {
    let (_, nodes) = world.get("/v1/site/nodes").await;
    let addresses = nodes["items"][0]["addresses"].as_array().cloned().unwrap_or_default();
    addresses.iter().map(text).collect()
}

async fn add_peer(world: &World, name: &str, peer: &World) {
    // A name will do as well as a number.
    let named = |address: String| address.replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let addresses: Vec<String> = addresses(peer).await.into_iter().map(named).collect();
    let new = json!({
        "site": peer.me.site.to_string(), "name": name, "addresses": addresses,
    });
    let (status, answer) = world.post("/v1/peers", &new).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

async fn until_connected(world: &World) {
    world
        .until("its peer is connected", async |world| {
            let (_, peers) = world.get("/v1/peers").await;
            peers["items"][0]["connected_since"].is_string()
        })
        .await;
}

fn honoured(world: &World, of: SiteId) -> u64 {
    world.desk().read(|site| site.peer(of).map_or(0, |peer| peer.honoured))
}

/// Knocks at a site with the keys of a node that was taken out of another; says how that answers.
async fn knock(keys: &Keys, at: &World) -> Refusal {
    let certificate = keys.certificate().clone();
    let held = certificate.certificate();
    let (serial, now) = (held.serial, held.not_before);
    let rogue = Arc::new(Rogue { serial, now: Timestamp::max(now, at.desk().read(Site::now)) });
    let admission: Arc<dyn Admission> = Arc::<Rogue>::clone(&rogue);
    let options = Options {
        key: SecretKey::from_bytes(&keys.node().to_bytes()),
        certificate,
        incarnation: 0,
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        external: Vec::new(),
        mdns: false,
        relay: false,
        limits: Limits::STANDARD,
    };
    let bus = Federation::start(options, admission, rogue).await.expect("the bus starts");
    let (site, node) = (Some(at.me.site), Some(at.me.node));
    let addresses = addresses(at).await;
    bus.set_peers(vec![PeerAddress { site, node, addresses }]).await.expect("it is an address");
    at.until("it is turned away", async |_| {
        bus.refusals().await.iter().any(|told| told.by == Refuser::There)
    })
    .await;
    let told = bus.refusals().await.into_iter().find(|told| told.by == Refuser::There);
    bus.close().await;
    told.and_then(|told| told.refusal).expect("the other side has said why")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_taken_out_of_its_site_is_refused_by_peers_also_after_a_restart() {
    let (data, config) = place();
    let alpha = World::on_bus(data, config, "").await;
    let (data, config) = place();
    let token = alpha.invite(&json!({})).await;
    join::join(&token, data.path(), &config, None).await.unwrap();
    let second = World::on_bus(data, config, &alpha.context.key).await;
    let (data, config) = place();
    let beta = World::on_bus(data, config, "").await;
    add_peer(&beta, "home", &alpha).await;
    add_peer(&alpha, "away", &beta).await;
    until_connected(&alpha).await;
    until_connected(&beta).await;
    let site = alpha.me.site;
    assert_eq!(honoured(&beta, site), 0);

    alpha
        .until("the second has said what it presents", async |world| {
            let (_, nodes) = world.get("/v1/site/nodes").await;
            nodes["items"][1]["certificate"]["serial"].is_u64()
        })
        .await;
    let (status, answer) = alpha.delete("/v1/site/nodes/2").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    beta.until("it has heard what counts no more", async |beta| honoured(beta, site) > 0).await;
    let taken = Keys::open_or_make(second.close().await.path(), None).unwrap();
    assert!(taken.certificate().certificate().serial < honoured(&beta, site));
    assert_eq!(knock(&taken, &beta).await, Refusal::Revoked);
    let (_, shown) = beta.get("/v1/site").await;
    let refused = shown["inside"]["refused"].as_array().expect("it is a list").clone();
    let by_us = |it: &&serde_json::Value| {
        it["by_us"] == true
            && it["claimed"] == site.to_string()
            && text(&it["reason"]).contains("the site has revoked the certificate")
    };
    assert!(refused.iter().any(|it| by_us(&it)), "{refused:?}");

    let known = honoured(&beta, site);
    let data = beta.close().await;
    let config = reservoir::config::read(Some(&data.path().join("node.toml"))).unwrap();
    let beta = World::on_bus(data, config, "").await;
    assert_eq!(honoured(&beta, site), known);
    assert_eq!(knock(&taken, &beta).await, Refusal::Revoked);
    add_peer(&alpha, "away", &beta).await;
    until_connected(&alpha).await;
    for world in [alpha, beta] {
        world.close().await;
    }
}
