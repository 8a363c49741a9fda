//! Claims about what is seen of networks.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{MANIFEST, World, read, text};

#[tokio::test]
async fn a_network_is_shown_with_who_is_on_it_and_what_carries_it() {
    let world = World::start().await;
    world.register_guest().await;
    let (_, taken) = world.submit(MANIFEST, None).await;
    world.until_field(&format!("/v1/services/{}", text(&taken["id"])), "stage", "RUNNING").await;
    let (_, list) = world.get("/v1/networks").await;
    let network = &list["items"][0];
    assert_eq!((&network["members"], &network["sites"]), (&json!(2), &json!(["alpha"])), "{list}");
    let path = format!("/v1/networks/{}", text(&network["id"]));
    let (_, seen) = world.get(&path).await;
    let cards = seen["cards"].as_array().expect("it is a list");
    assert_eq!(cards.len(), 2, "{seen}");
    for card in cards {
        assert_eq!((&card["site"], &card["host"]), (&json!("alpha"), &json!("alpha-1")), "{seen}");
        let (_, machine) = world.get("/v1/machines").await;
        let machines = machine["items"].as_array().expect("it is a list").clone();
        let its = machines.iter().find(|it| it["id"] == card["machine_id"]);
        assert_eq!(its.expect("it is a machine's")["address"], card["address"]);
    }
    let inside = &seen["inside"];
    assert_eq!((&inside["node"], &inside["trouble"]), (&json!(1), &json!("")), "{seen}");
    assert_eq!(inside["ends"][0]["is_own"], true, "{seen}");
    world.close().await;
}

#[tokio::test]
async fn a_tenant_sees_its_own_networks_and_nothing_of_what_carries_them() {
    let world = World::start().await;
    world.register_guest().await;
    world.submit(MANIFEST, None).await;
    let (_, list) = world.get("/v1/networks").await;
    let path = format!("/v1/networks/{}", text(&list["items"][0]["id"]));
    let see = async |key: &str, path: &str| {
        read(world.ask(Method::GET, path, Some(key), None).await).await
    };

    let stranger = world.add_tenant("acme").await;
    assert_eq!(see(&stranger, "/v1/networks").await.1["items"], json!([]));
    let (status, problem) = see(&stranger, &path).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_network")));

    let (_, added) = world.post("/v1/keys", &json!({ "name": "own", "role": "tenant" })).await;
    let (status, seen) = see(&text(&added["secret"]), &path).await;
    assert_eq!((status, &seen["inside"]), (StatusCode::OK, &Value::Null), "{seen}");
    assert_eq!(seen["members"], 2);

    let foreign = format!("{path}@{}", "ab".repeat(32));
    let (status, problem) = world.get(&foreign).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_network")));
    let (status, _) = world.get("/v1/networks/moon").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    world.close().await;
}

#[tokio::test]
async fn a_check_looks_at_all_networks_or_at_one_and_is_an_operators() {
    let world = World::start().await;
    let (status, checked) = world.post("/v1/networks/check", &Value::Null).await;
    assert_eq!((status, &checked["networks"]), (StatusCode::OK, &json!([])), "{checked}");
    world.register_guest().await;
    let (_, taken) = world.submit(MANIFEST, None).await;
    world.until_field(&format!("/v1/services/{}", text(&taken["id"])), "stage", "RUNNING").await;
    let (_, list) = world.get("/v1/networks").await;
    let (id, name) = (text(&list["items"][0]["id"]), &list["items"][0]["name"]);
    for path in ["/v1/networks/check".to_owned(), format!("/v1/networks/check?network={id}")] {
        let (_, checked) = world.post(&path, &Value::Null).await;
        assert_eq!(checked["networks"], json!([name]), "{checked}");
        assert_eq!(checked["ways"], json!([]), "there is nobody else: {checked}");
    }
    let path = format!("/v1/networks/check?network={id}@{}", "ab".repeat(32));
    let (status, problem) = world.post(&path, &Value::Null).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_network")));

    let (_, added) = world.post("/v1/keys", &json!({ "name": "own", "role": "tenant" })).await;
    let key = text(&added["secret"]);
    let refused = world.ask(Method::POST, "/v1/networks/check", Some(&key), None).await;
    assert_eq!(read(refused).await.0, StatusCode::FORBIDDEN);
    world.close().await;
}
