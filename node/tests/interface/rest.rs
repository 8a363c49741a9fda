//! Claims about the REST interface.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use protocol::site::state::Role;
use reservoir::api::operations::{Access, OPERATIONS};
use reservoir::api::secret::Secret;
use serde_json::{Value, json};

use crate::world::{MANIFEST, World, read, text};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// A path of an operation with something in place of its parameters.
fn path(pattern: &str) -> String {
    pattern.replace("{id}", NOBODY).replace("{verb}", "pause")
}

#[tokio::test]
async fn no_operation_answers_a_caller_without_a_known_key() {
    let world = World::start().await;
    let unknown = Secret::draw().expose();
    for operation in &OPERATIONS {
        for key in [None, Some("hello"), Some(unknown.as_str())] {
            let path = path(operation.path);
            let answer = world.ask(operation.method.clone(), &path, key, None).await;
            assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{operation:?}");
            let (status, problem) = read(answer).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{operation:?}");
            assert_eq!(problem["code"], "unauthenticated", "{operation:?}");
        }
    }
    world.close().await;
}

#[tokio::test]
async fn a_tenant_may_do_what_is_a_tenants_and_nothing_else() {
    let world = World::start().await;
    let key = world.add_tenant("acme").await;
    for operation in &OPERATIONS {
        let Access::Key(role) = operation.access else { continue };
        let path = path(operation.path);
        let answer = world.ask(operation.method.clone(), &path, Some(&key), None).await;
        let (status, problem) = read(answer).await;
        let allowed = status != StatusCode::FORBIDDEN;
        assert_eq!(allowed, role == Role::Tenant, "{operation:?}: {problem}");
    }
    world.close().await;
}

#[tokio::test]
async fn a_tenant_sees_neither_the_inside_of_the_site_nor_anothers_services() {
    let world = World::start().await;
    world.register_guest().await;
    let (_, taken) = world.submit(MANIFEST, None).await;
    let id = text(&taken["id"]);
    let key = world.add_tenant("acme").await;
    let see =
        async |path: String| read(world.ask(Method::GET, &path, Some(&key), None).await).await;
    let (_, site) = see("/v1/site".to_owned()).await;
    assert_eq!((&site["name"], &site["inside"]), (&json!("alpha"), &Value::Null));
    let (status, problem) = see(format!("/v1/services/{id}")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_service")));
    let (_, list) = see("/v1/services".to_owned()).await;
    assert_eq!(list["items"], json!([]));
    let ended = world.ask(Method::DELETE, &format!("/v1/services/{id}"), Some(&key), None).await;
    assert_eq!(read(ended).await.0, StatusCode::NOT_FOUND);
    world.close().await;
}

#[tokio::test]
async fn what_is_no_operation_is_refused_in_json() {
    let world = World::start().await;
    let (status, problem) = world.get("/v2/moon").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("no_such_operation")));
    let (status, problem) = world.delete("/v1/site").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(problem["code"], "method_not_allowed");
    let (status, problem) = world.post(&format!("/v1/machines/{NOBODY}/levitate"), &json!(0)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("no_such_operation")));
    let (status, problem) = world.get("/v1/machines/moon").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("malformed")));
    let (status, problem) = world.get(&format!("/v1/machines/{NOBODY}?wiat=1")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("malformed")));
    let (status, _) = world.get(&format!("/v1/machines/{NOBODY}/console")).await;
    assert_eq!(status, StatusCode::UPGRADE_REQUIRED);
    world.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_or_of_another_kind_is_refused() {
    let world = World::start().await;
    let (status, problem) = world.submit(&"#".repeat(256 * 1024 + 1), None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")));
    let long = json!({ "name": "x".repeat(64 * 1024), "role": "tenant" });
    let (status, _) = world.post("/v1/keys", &long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, problem) = world.post("/v1/services", &json!({})).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(problem["hint"], "send the header 'Content-Type: application/yaml'");
    let (status, problem) = world.post("/v1/keys", &json!({ "nmae": "x" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("malformed")));
    world.close().await;
}

#[tokio::test]
async fn the_faults_of_a_manifest_come_back_with_their_places() {
    let world = World::start().await;
    let (status, problem) = world.submit("service: Shop\n", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_manifest")));
    let places: Vec<_> = problem["faults"]
        .as_array()
        .expect("there are faults")
        .iter()
        .map(|fault| (fault["line"].clone(), fault["path"].clone()))
        .collect();
    assert!(places.contains(&(json!(1), json!("service"))), "{problem}");
    let (status, problem) = world.submit(MANIFEST, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fault = &problem["faults"][0];
    assert_eq!((&fault["line"], &fault["column"]), (&json!(4), &json!(12)), "{problem}");
    assert_eq!(fault["path"], "components.web.image");
    world.close().await;
}

#[tokio::test]
async fn a_repeated_submission_is_the_same_service() {
    let world = World::start().await;
    world.register_guest().await;
    let number = Some("5d6a0f53-0b4c-4f6e-9d3c-0a9e8b7c6d5e");
    let (status, first) = world.submit(MANIFEST, number).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    let (_, second) = world.submit(MANIFEST, number).await;
    assert_eq!(first["id"], second["id"]);
    let (status, problem) = world.submit(MANIFEST, None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("name_taken")));
    let (status, _) = world.submit(MANIFEST, Some("seven")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, list) = world.get("/v1/services").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    world.close().await;
}

#[tokio::test]
async fn a_plan_says_where_and_why_and_does_nothing() {
    let world = World::start().await;
    world.register_guest().await;
    let body = Some(("application/yaml", MANIFEST.as_bytes().to_vec()));
    let key = Some(world.context.key.as_str());
    let (status, plan) = read(world.ask(Method::POST, "/v1/services/plan", key, body).await).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    let first = &plan["machines"][0];
    assert_eq!(
        (&first["name"], &first["place"]["host"]),
        (&json!("shop/web-1"), &json!("alpha-1"))
    );
    assert_eq!(first["currency"], "EUR");
    assert!(text(&first["why"]).contains("room"));
    assert_eq!(world.get("/v1/services").await.1["items"], json!([]));
    world.close().await;
}

#[tokio::test]
async fn a_long_poll_answers_when_its_service_changes_and_otherwise_at_its_end() {
    let world = World::start().await;
    world.register_guest().await;
    let (_, taken) = world.submit(MANIFEST, None).await;
    let path = format!("/v1/services/{}", text(&taken["id"]));
    let service = world.until_field(&path, "stage", "RUNNING").await;
    assert_eq!(service["active_count"], 2, "{service}");

    // What goes on at the site besides, such as a tick, may answer the first of them early.
    let mut quiet = service;
    let begun = Instant::now();
    loop {
        let index = &quiet["index"];
        let asked = Instant::now();
        quiet = world.get(&format!("{path}?wait={index}&timeout=1")).await.1;
        assert_eq!(quiet["stage"], "RUNNING");
        if asked.elapsed() >= Duration::from_millis(900) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no poll ever waited");
    }

    let waiting = format!("{path}?wait={}&timeout=60", quiet["index"]);
    let begun = Instant::now();
    let (polled, (status, _)) = tokio::join!(world.get(&waiting), world.delete(&path));
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(begun.elapsed() < Duration::from_secs(50), "the poll slept through the change");
    let seen = world.until_field(&path, "stage", "ENDED").await;
    assert!(polled.1["index"].as_u64() > quiet["index"].as_u64(), "{polled:?}");
    assert_eq!(seen["machines"][0]["state"], "DESTROYED");
    world.close().await;
}

#[tokio::test]
async fn a_machine_is_led_through_its_life() {
    let world = World::start().await;
    world.register_guest().await;
    let new = json!({
        "name": "lone", "image": "guest",
        "size": { "vcpus": 1, "memory_mib": 128, "disk_mib": 64 },
    });
    let (status, taken) = world.post("/v1/machines", &new).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    let path = format!("/v1/machines/{}", text(&taken["id"]));
    let verb = async |verb: &str| world.post(&format!("{path}/{verb}"), &json!(null)).await;

    let (_, machine) = world.get(&path).await;
    assert_eq!((&machine["state"], &machine["place"]), (&json!("DEFINED"), &Value::Null));
    let (status, problem) = verb("pause").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("illegal_step")));
    assert_eq!(verb("activate").await.0, StatusCode::ACCEPTED);
    let machine = world.until_field(&path, "state", "ACTIVE").await;
    assert_eq!(machine["place"]["site"], "alpha");
    assert_eq!(machine["place"]["host"], "alpha-1");
    assert_eq!(machine["currency"], "EUR");
    assert!(text(&machine["address"]).starts_with("10."), "{machine}");
    for (step, state) in [("pause", "PAUSED"), ("activate", "ACTIVE"), ("shutdown", "DEFINED")] {
        assert_eq!(verb(step).await.0, StatusCode::ACCEPTED);
        assert_eq!(verb(step).await.0, StatusCode::ACCEPTED, "a verb is idempotent");
        world.until_field(&path, "state", state).await;
    }
    let (status, problem) =
        world.delete(&format!("/v1/images/{}", text(&machine["image_id"]))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("image_in_use")));
    assert_eq!(verb("destroy").await.0, StatusCode::ACCEPTED);
    world.until_field(&path, "state", "DESTROYED").await;
    world.close().await;
}

#[tokio::test]
async fn an_image_needs_its_files() {
    let world = World::start().await;
    let missing = json!({ "id": "00".repeat(32), "length": 5 });
    let content = json!({ "disk": { "blob": missing, "format": "raw", "size_mib": 8 }});
    let image = json!({ "name": "empty", "content": content });
    let (status, problem) = world.post("/v1/images", &image).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("missing_blob")));
    world.register_guest().await;
    let (_, list) = world.get("/v1/images").await;
    let image = &list["items"][0];
    assert_eq!((&image["name"], &list["items"][1]), (&json!("guest"), &Value::Null));
    let path = format!("/v1/images/{}", text(&image["id"]));
    assert_eq!(world.delete(&path).await.0, StatusCode::ACCEPTED);
    let (status, problem) = world.delete(&path).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_image")));
    world.close().await;
}

#[tokio::test]
async fn a_key_works_until_it_is_removed_and_its_secret_is_told_once() {
    let world = World::start().await;
    let number = Some("6d6a0f53-0b4c-4f6e-9d3c-0a9e8b7c6d5e");
    let new = json!({ "name": "ci", "tenant": "acme", "role": "tenant" }).to_string();
    let add = async || {
        let body = Some(("application/json", new.clone().into_bytes()));
        let operator = Some(world.context.key.as_str());
        read(world.ask_as(Method::POST, "/v1/keys", operator, body, number).await).await
    };
    let (status, added) = add().await;
    assert_eq!(status, StatusCode::CREATED, "{added}");
    let (status, problem) = add().await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("repeated")));
    let secret = text(&added["secret"]);
    let look = async || {
        let answer = world.ask(Method::GET, "/v1/machines", Some(&secret), None).await;
        read(answer).await.0
    };
    assert_eq!(look().await, StatusCode::OK);
    let removed = world.delete(&format!("/v1/keys/{}", text(&added["id"]))).await;
    assert_eq!(removed.0, StatusCode::ACCEPTED);
    assert_eq!(look().await, StatusCode::UNAUTHORIZED);
    let (_, keys) = world.get("/v1/keys").await;
    let last = text(&keys["items"][0]["id"]);
    let (status, problem) = world.delete(&format!("/v1/keys/{last}")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("last_key")));
    world.close().await;
}
