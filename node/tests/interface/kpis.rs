//! Claims about what machines say of themselves, as their tenants read it.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use federation::Peers as _;
use protocol::agreement::{Message, Terms};
use protocol::codec;
use protocol::ids::{HoldId, MachineName};
use protocol::kpi::{Kpi, NAMES_MAX, Name, Observed};
use protocol::lease::Moment;
use protocol::time::Span;
use protocol::units::{Currency, Micros, Price};
use protocol::wire::v1::machine::Answer;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::command_line::run;
use crate::lies::{Liar, now, peer_with};
use crate::world::{MANIFEST, World, read, text};

fn kpi(value: &str) -> Kpi {
    Kpi { name: "Load".parse().expect("a name"), value: value.parse().expect("a value") }
}

/// Two nodes of a site, the first of which leads, and a machine on the host of the second.
async fn two_and_a_machine() -> ([World; 2], MachineName) {
    let one = World::start().await;
    let two = one.joined().await;
    one.register_guest().await;
    one.until("two hosts, and only the second takes machines", async |world| {
        let (_, hosts) = world.get("/v1/hosts").await;
        let hosts = hosts["items"].as_array().cloned().unwrap_or_default();
        let of = |node: u64| hosts.iter().find(|host| host["node"] == node);
        let (Some(first), Some(second)) = (of(1), of(2)) else { return false };
        world.post(&format!("/v1/hosts/{}/drain", text(&first["id"])), &json!({})).await;
        first["standing"] == "drained" && second["standing"] == "well"
    })
    .await;
    let manifest = MANIFEST.replace("replicas: 2", "replicas: 1");
    let (_, taken) = one.submit(&manifest, None).await;
    let path = format!("/v1/services/{}", text(&taken["id"]));
    one.until_field(&path, "stage", "RUNNING").await;
    let (_, machines) = one.get("/v1/machines").await;
    let machine = text(&machines["items"][0]["id"]).parse().expect("it is an id");
    let name = MachineName { home: one.desk().site(), machine };
    assert_eq!(one.desk().node_of(name), Some(two.desk().node()));
    ([one, two], name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_says_is_read_at_every_node_and_forgotten_with_it() {
    let (nodes, name) = two_and_a_machine().await;
    let path = format!("/v1/machines/{}/kpis", name.machine);
    for world in &nodes {
        assert_eq!(world.get(&path).await, (StatusCode::OK, json!({ "kpis": [] })));
    }
    let host = &nodes[1];
    for value in ["0.5", "-0.75"] {
        assert_eq!(host.desk().kpis().keep(name, kpi(value), Moment::from_millis(0)), Ok(()));
    }
    for world in &nodes {
        let (status, said) = world.get(&path).await;
        assert_eq!((status, said["kpis"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)));
        let kpi = &said["kpis"][0];
        assert_eq!((&kpi["name"], &kpi["value"]), (&json!("Load"), &json!("-0.75")));
        assert!(kpi["at"].is_string(), "{said}");
        let secret = world.add_tenant(&format!("other-{}", world.desk().node())).await;
        let (status, _) = read(world.ask(Method::GET, &path, Some(&secret), None).await).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "another tenant's machine is not there");
    }
    let destroy = format!("/v1/machines/{}/destroy", name.machine);
    let (status, answer) = nodes[0].post(&destroy, &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    host.until("it is forgotten", async |world| {
        world.desk().kpis().of(name, Moment::from_millis(0)).is_empty()
    })
    .await;
    for world in nodes {
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_its_node_is_silent_is_said_and_the_machine_is_shown_all_the_same() {
    let ([one, two], name) = two_and_a_machine().await;
    two.network.leave(two.me);
    let why = format!("node 2 of this site, which runs machine {name}, does not answer");
    let (status, problem) = one.get(&format!("/v1/machines/{}/kpis", name.machine)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_GATEWAY, &json!("not_observed")));
    assert_eq!(problem["message"], why);
    let context = one.data.path().join("context.toml");
    let shown = run(&context, &["machine", "show", "shop/web-1"]).await.succeeds();
    assert!(shown.contains("shop/web-1") && shown.contains(&why), "{shown}");
    one.close().await;
    two.close().await;
}

/// A machine at a peer that runs it, or says so.
async fn at_a_peer(world: &World, liar: &Liar) -> MachineName {
    peer_with(world, liar).await;
    world.register_guest().await;
    liar.bus.publish(liar.advert(1, 4_096)).await.expect("it is heard");
    let size = json!({ "vcpus": 1, "memory_mib": 128, "disk_mib": 1 });
    let new = json!({ "name": "one", "image": "guest", "size": size, "sites": ["liar"] });
    let (status, taken) = world.post("/v1/machines", &new).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{taken}");
    let path = format!("/v1/machines/{}", text(&taken["id"]));
    world.post(&format!("{path}/activate"), &json!({})).await;
    let call = |told: &Message| match told {
        Message::Call(call) => Some((**call).clone()),
        _ => None,
    };
    world.until("a call", async |_| liar.ear.heard(call).is_some()).await;
    let call = liar.ear.heard(call).expect("it was heard");
    let hold = HoldId::from_uuid(Uuid::from_u128(1));
    let machine = call.hull.machine;
    let terms = Terms {
        home: world.me.site,
        provider: liar.site,
        machine,
        hull: call.hull.id(),
        size: call.hull.size(),
        image: call.image,
        on_partition: call.on_partition,
        class: call.class,
        price: Price { currency: Currency::EUR, hourly: Micros(1) },
        until: now() + Span::from_secs(3_600),
        notice: Span::from_secs(1),
        retention: Span::from_secs(1),
    };
    liar.says(1, Message::Offer { call: call.call, hold, terms }).await;
    let accepted = |told: &Message| matches!(told, Message::Accept(_)).then_some(());
    world.until("it is accepted", async |_| liar.ear.heard(accepted).is_some()).await;
    liar.says(2, Message::Agreed { hold, machine }).await;
    let ordered = |told: &Message| matches!(told, Message::Order { .. }).then_some(());
    world.until("it is ordered", async |_| liar.ear.heard(ordered).is_some()).await;
    MachineName { home: world.me.site, machine }
}

/// What a machine may have said: so many measures.
fn said(many: usize) -> Answer {
    let observed = |age| Observed { value: kpi("0.75").value, age: Span::from_millis(age) };
    let name = |number| format!("Load{number}").parse().expect("a name");
    let said: BTreeMap<Name, Observed> =
        (0..many).map(|number| (name(number), observed(u64::MAX))).collect();
    Answer::Kpis(said)
}

#[tokio::test]
async fn of_what_a_peer_says_only_what_a_guest_can_have_said_is_believed() {
    let world = World::start().await;
    let liar = Liar::meet(&world).await;
    let path = format!("/v1/machines/{}/kpis", at_a_peer(&world, &liar).await.machine);
    for many in [1, NAMES_MAX] {
        liar.ear.answers(codec::encode(&said(many)));
        let (status, told) = world.get(&path).await;
        assert_eq!((status, told["kpis"].as_array().map(Vec::len)), (StatusCode::OK, Some(many)));
        // However long ago it was.
        let first = json!({ "name": "Load0", "value": "0.75", "at": "1970-01-01T00:00:00.000Z" });
        assert_eq!(told["kpis"][0], first);
    }
    let honest = codec::encode(&said(1));
    let place = honest.windows(5).position(|bytes| bytes == b"Load0").expect("it is in there");
    let mut escape = honest.clone();
    escape[place] = 0x1b;
    let unread = "gives an answer that cannot be read";
    for (lie, why) in [
        (escape, unread),
        (codec::encode(&said(NAMES_MAX + 1)), unread),
        (honest[..honest.len() - 1].to_vec(), unread),
        (b"noise".to_vec(), unread),
        (codec::encode(&Answer::Closed), "has no such machine of this site"),
        (codec::encode(&Answer::Away), "does not reach the host"),
    ] {
        liar.ear.answers(lie);
        let (status, problem): (_, Value) = world.get(&path).await;
        let code = (status, &problem["code"]);
        assert_eq!(code, (StatusCode::BAD_GATEWAY, &json!("not_observed")), "{problem}");
        assert!(text(&problem["message"]).contains(why), "{problem}");
    }
    world.close().await;
}
