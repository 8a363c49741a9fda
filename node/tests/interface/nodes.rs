//! Claims about a site of several nodes: who is let in, where writes go, who leads, who leaves.

use std::path::Path;

use axum::http::StatusCode;
use protocol::codec;
use protocol::identity::{Certificate, NodeCertificate, SecretKey};
use protocol::time::Span;
use reservoir::keys::{self, Keys};
use reservoir::membership::join;
use serde_json::{Value, json};

use crate::world::{MANIFEST, World, place, text};

/// Three nodes, all of which have a vote.
async fn three() -> [World; 3] {
    let one = World::start().await;
    let two = one.joined().await;
    let three = two.joined().await;
    for world in [&one, &two, &three] {
        world.until("three voters", async |world| roles(world).await.len() == 3).await;
    }
    [one, two, three]
}

/// The roles of those that have a vote, by number.
async fn roles(world: &World) -> Vec<(u64, String)> {
    let (_, nodes) = world.get("/v1/site/nodes").await;
    let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
    let roles = nodes.iter().map(|node| (node["id"].as_u64().unwrap_or(0), text(&node["role"])));
    roles.filter(|(_, role)| role == "leader" || role == "voter").collect()
}

async fn add_key(world: &World, name: &str) {
    let key = json!({ "name": name, "role": "tenant" });
    let (status, answer) = world.post("/v1/keys", &key).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
}

async fn keys(world: &World) -> Vec<String> {
    let (status, keys) = world.get("/v1/keys").await;
    assert_eq!(status, StatusCode::OK, "{keys}");
    let mut names: Vec<String> = keys["items"]
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|key| text(&key["name"]))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_any_node_is_read_at_every_node() {
    let nodes = three().await;
    let mut names = vec!["first".to_owned()];
    for (at, world) in nodes.iter().enumerate() {
        add_key(world, &format!("key-{at}")).await;
        names.push(format!("key-{at}"));
        for other in &nodes {
            assert_eq!(keys(other).await, names);
        }
    }
    for world in &nodes {
        world
            .until("its host is known", async |world| {
                let (_, site) = world.get("/v1/site").await;
                site["inside"]["hosts"].as_array().map(Vec::len) == Some(3)
            })
            .await;
    }
    for world in nodes {
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_runs_on_any_host_from_files_that_another_node_has() {
    let nodes = three().await;
    nodes[1].register_guest().await;
    for world in &nodes {
        world
            .until("every host takes machines", async |world| {
                let (_, site) = world.get("/v1/site").await;
                let hosts = site["inside"]["hosts"].as_array().cloned().unwrap_or_default();
                hosts.len() == 3 && hosts.iter().all(|host| host["trouble"] == "")
            })
            .await;
    }
    // As many as the three hosts have processors for.
    let manifest = MANIFEST.replace("128MiB", "64MiB").replace("replicas: 2", "replicas: 12");
    let (status, taken) = nodes[2].submit(&manifest, None).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    let path = format!("/v1/services/{}", text(&taken["id"]));
    for world in &nodes {
        world.until_field(&path, "stage", "RUNNING").await;
        let (_, machines) = world.get("/v1/machines").await;
        let machines = machines["items"].as_array().expect("it is a list").clone();
        let running = machines.iter().filter(|it| it["state"] == "ACTIVE").count();
        assert_eq!(running, 12, "{machines:?}");
        assert!(machines.iter().all(|it| it["address"].is_string()), "{machines:?}");
    }
    for world in nodes {
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_have_one_vote() {
    let one = World::start().await;
    let two = one.joined().await;
    one.until("the second follows", async |world| {
        let (_, nodes) = world.get("/v1/site/nodes").await;
        nodes["items"][1]["role"] == "learner" && nodes["items"][1]["lag"] == 0
    })
    .await;
    assert_eq!(roles(&two).await, [(1, "leader".to_owned())]);
    two.close().await;
    add_key(&one, "alone").await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_gone_is_replaced_and_comes_back() {
    let [one, two, three] = three().await;
    add_key(&three, "before").await;
    let (network, me) = (one.network.clone(), one.me);
    network.leave(me);
    add_key(&two, "during").await;
    let names = ["before", "during", "first"];
    assert_eq!(keys(&three).await, names);
    let data = one.close().await;
    let config = reservoir::config::read(Some(&data.path().join("node.toml"))).unwrap();
    let one = two.again(data, config).await;
    one.until("it has what it missed", async |world| keys(world).await == names).await;
    for world in [one, two, three] {
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_to_the_node_that_is_asked_for() {
    let nodes = three().await;
    for (asked, to) in [(0, 2), (0, 3), (2, 1)] {
        let (status, moved) =
            nodes[asked].post(&format!("/v1/site/nodes/{to}/lead"), &json!({})).await;
        assert_eq!(status, StatusCode::OK, "{moved}");
        assert_eq!(moved["id"], to);
        nodes[asked]
            .until("it leads", async |world| {
                roles(world).await.contains(&(to, "leader".to_owned()))
            })
            .await;
        add_key(&nodes[asked], &format!("under-{to}")).await;
    }
    let (status, answer) = nodes[0].post("/v1/site/nodes/9/lead", &json!({})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("unknown_node")));
    for world in nodes {
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_removed_also_when_it_leads_and_another_takes_its_place() {
    let [one, two, three] = three().await;
    let (status, answer) = two.delete("/v1/site/nodes/1").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    two.until("it is gone", async |world| {
        let (_, nodes) = world.get("/v1/site/nodes").await;
        ids(&nodes) == [2, 3]
    })
    .await;
    add_key(&three, "after").await;
    let (status, answer) = three.delete("/v1/site/nodes/1").await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("unknown_node")));

    // The root key was at the node that is gone: an operator brings it to another.
    let token = two.invite(&json!({ "name": "fourth" })).await;
    let (data, config) = place();
    let refused = join::join(&token, data.path(), &config, None).await.unwrap_err();
    assert_eq!(code(&refused), "no_root");
    let (from, to) =
        (one.data.path().join("keys/root.key"), three.data.path().join("keys/root.key"));
    std::fs::copy(from, to).unwrap();
    join::join(&token, data.path(), &config, None).await.unwrap();
    let four = two.fellow(data, config).await;
    four.until("three voters", async |world| roles(world).await.len() == 3).await;
    let (_, nodes) = four.get("/v1/site/nodes").await;
    assert_eq!((ids(&nodes), &nodes["items"][2]["name"]), (vec![2, 3, 4], &json!("fourth")));
    for world in [one, two, three, four] {
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_for_one_node_and_a_repetition_is_answered_the_same() {
    let one = World::start().await;
    let token = one.invite(&json!({ "learner": true })).await;
    let (data, config) = place();
    let number = join::join(&token, data.path(), &config, None).await.unwrap();
    assert_eq!(join::join(&token, data.path(), &config, None).await.unwrap(), number);
    let (other, _) = place();
    let refused = join::join(&token, other.path(), &config, None).await.unwrap_err();
    assert_eq!(code(&refused), "not_invited");
    let unfinished = Keys::open_or_make(other.path(), None).unwrap_err();
    assert!(matches!(unfinished, keys::Error::Joining { .. }), "{unfinished}");
    let founder = join::join(&token, one.data.path(), &config, None).await.unwrap_err();
    let join::Error::Keys(founder) = founder else { panic!("{founder}") };
    assert!(matches!(founder, keys::Error::Settled { .. }), "{founder}");
    one.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_is_renewed_while_its_node_runs_once_the_root_key_is_there() {
    let one = World::start().await;
    let token = one.invite(&json!({})).await;
    let (data, config) = place();
    join::join(&token, data.path(), &config, None).await.unwrap();
    let root = one.data.path().join("keys/root.key");
    let short = shortened(data.path(), &root);
    let offline = one.data.path().join("offline");
    std::fs::rename(&root, &offline).unwrap();

    let two = one.fellow(data, config).await;
    let said = async |world: &World| {
        let (_, site) = world.get("/v1/site").await;
        site["inside"]["certificates"].clone()
    };
    two.until("an operator sees what is missing", async |world| {
        let said = said(world).await;
        said["due"] == json!([2]) && said["root"] == false
    })
    .await;
    std::fs::rename(&offline, &root).unwrap();
    two.until("it is renewed", async |world| said(world).await["due"] == json!([])).await;
    let renewed = certificate(two.data.path());
    assert!(renewed.serial > short.serial && renewed.not_after > short.not_after);
    let (_, nodes) = one.get("/v1/site/nodes").await;
    assert_eq!(nodes["items"][1]["certificate"]["serial"], renewed.serial);
    for world in [one, two] {
        world.close().await;
    }
}

/// The certificate that a node keeps.
fn certificate(data: &Path) -> Certificate {
    let bytes = std::fs::read(data.join("keys/node.cert")).expect("it has one");
    let certificate: NodeCertificate = codec::decode(&bytes, 1_024).expect("it is one");
    certificate.certificate().clone()
}

/// Lets a node's certificate end within a day.
fn shortened(data: &Path, root: &Path) -> Certificate {
    let text = std::fs::read_to_string(root).expect("the root key is there");
    let root = blake3::Hash::from_hex(text.trim()).expect("it is a key");
    let long = certificate(data);
    let not_after = long.not_before + Span::from_secs(86_400);
    let short = Certificate { not_after, ..long };
    let issued = NodeCertificate::issue(short.clone(), &SecretKey::from_bytes(root.as_bytes()));
    std::fs::write(data.join("keys/node.cert"), codec::encode(&issued)).expect("it is kept");
    short
}

fn ids(nodes: &Value) -> Vec<u64> {
    let nodes = nodes["items"].as_array().expect("it is a list");
    nodes.iter().map(|node| node["id"].as_u64().expect("it is a number")).collect()
}

fn code(refused: &join::Error) -> String {
    match refused {
        join::Error::Site(source) => source.for_programs().code,
        other => panic!("{other}"),
    }
}
