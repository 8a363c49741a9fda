//! Claims about the service that guests ask about themselves, as the node keeps it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use axum::http::StatusCode;
use data_encoding::BASE64;
use fabric::networks::Identity;
use metadata::{ADDRESS_V4, ADDRESS_V6};
use protocol::user_data::LENGTH_MAX;
use serde_json::json;

use crate::world::{MANIFEST, World, text};

#[tokio::test]
async fn each_network_with_guests_here_is_served_and_strangers_are_told_nothing() {
    let world = World::start().await;
    world.register_guest().await;
    let (_, taken) = world.submit(MANIFEST, None).await;
    world.until_field(&format!("/v1/services/{}", text(&taken["id"])), "stage", "RUNNING").await;
    let (_, list) = world.get("/v1/networks").await;
    let network = text(&list["items"][0]["id"]).parse().expect("it is a network");
    let identity = Identity { home: world.desk().site(), network };
    for address in [ADDRESS_V4, ADDRESS_V6] {
        let door = world.fabric.door(identity, address).expect("it was served before guests ran");
        let told = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(door).expect("somebody listens");
            let asked = stream.write_all(b"GET /latest/meta-data/ HTTP/1.0\r\n\r\n");
            let mut told = Vec::new();
            // Whoever is hung up on may be told so before all is said, or after.
            let heard = asked.and_then(|()| stream.read_to_end(&mut told));
            (heard.is_err() || told.is_empty(), told)
        });
        let (is_nothing, told) = told.await.expect("it does not panic");
        assert!(is_nothing && told.is_empty(), "a stranger was told {told:?}");
    }
    world.close().await;
}

#[tokio::test]
async fn what_a_machine_is_handed_is_told_by_its_length_and_refused_if_too_long() {
    let world = World::start().await;
    world.register_guest().await;
    let define = async |name: &str, bytes: usize| {
        let user_data = BASE64.encode(&vec![0xff; bytes]);
        let size = json!({ "vcpus": 1, "memory_mib": 128, "disk_mib": 64 });
        let new = json!({ "name": name, "image": "guest", "size": size, "user_data": user_data });
        world.post("/v1/machines", &new).await
    };
    let (status, taken) = define("one", LENGTH_MAX).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    let (_, machine) = world.get(&format!("/v1/machines/{}", text(&taken["id"]))).await;
    assert_eq!(machine["user_data_bytes"], LENGTH_MAX, "{machine}");
    let (status, problem) = define("two", LENGTH_MAX + 1).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("malformed")));
    world.close().await;
}
