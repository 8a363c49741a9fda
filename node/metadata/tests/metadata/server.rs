//! The server, over loopback: whom it answers, and how much of it one guest gets.

use std::net::{Ipv6Addr, TcpListener};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use metadata::{Instance, Limits, Rate, Tokens};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::example::{full, plain};
use crate::scene::{NAMES_MAX, Scene, get, get_with, guest, put_kpi, put_token, wait_for};

const ID: &str = "/latest/meta-data/instance-id";

/// A time that is over soon, where a test waits for that.
const SOON: Duration = Duration::from_millis(100);

/// Two guests, at 127.0.0.1 and 127.0.0.2.
fn scene(limits: Limits) -> Result<Scene> {
    let scene = Scene::new(limits)?;
    scene.table.put(guest(1), plain(1));
    scene.table.put(guest(2), plain(2));
    Ok(scene)
}

#[test]
fn each_guest_gets_its_own_data_and_a_stranger_none() -> Result<()> {
    let scene = scene(Limits::default())?;
    assert_eq!(scene.ask(1, &get(ID))?.text(), plain(1).id.as_str());
    assert_eq!(scene.ask(2, &get(ID))?.text(), plain(2).id.as_str());
    assert_eq!(scene.connect(3)?.end()?, b"");
    Ok(())
}

#[test]
fn the_headers_are_those_that_clients_know() -> Result<()> {
    let scene = scene(Limits::default())?;
    scene.table.put(guest(1), Instance { tokens: Tokens::Required, ..full() });
    let given = scene.ask(1, &put_token(60))?;
    assert_eq!((given.status, given.body.len()), (200, 56));
    assert_eq!(given.headers["content-type"], "text/plain");
    assert_eq!(given.headers["x-aws-ec2-metadata-token-ttl-seconds"], "60");
    let seen = scene.ask(1, &get_with(ID, &given.text()))?;
    assert_eq!((seen.status, seen.headers["accept-ranges"].as_str()), (200, "none"));
    assert!(seen.headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds"));
    let data = scene.ask(1, &get_with("/latest/user-data", &given.text()))?;
    assert_eq!(data.headers["content-type"], "application/octet-stream");
    assert_eq!(data.body, **full().user_data.context("it has some")?.bytes());
    let refused = scene.ask(1, &get(ID))?;
    assert_eq!((refused.status, refused.headers["content-type"].as_str()), (401, "text/html"));
    assert_eq!(scene.ask(1, &get("/latest/api/token"))?.headers["allow"], "PUT");
    Ok(())
}

#[test]
fn a_token_of_one_guest_is_none_of_the_other() -> Result<()> {
    let scene = scene(Limits::default())?;
    let token = scene.ask(1, &put_token(60))?.text();
    assert_eq!(scene.ask(1, &get_with(ID, &token))?.status, 200);
    assert_eq!(scene.ask(2, &get_with(ID, &token))?.status, 401);
    Ok(())
}

#[test]
fn a_connection_serves_many_requests_and_the_answer_to_head_has_no_body() -> Result<()> {
    let scene = scene(Limits::default())?;
    let mut client = scene.connect(1)?;
    let token = client.ask(&put_token(60))?.context("no token")?.text();
    for _ in 0..3 {
        assert_eq!(client.ask(&get_with(ID, &token))?.context("no answer")?.status, 200);
    }
    let head = client.ask(&get(ID).replace("GET", "HEAD"))?.context("no answer")?;
    assert_eq!((head.status, head.headers["content-length"].as_str()), (200, "19"));
    assert_eq!(client.ask(&get(ID))?.context("no answer")?.text(), plain(1).id.as_str());
    Ok(())
}

#[test]
fn guests_without_ipv4_are_served_as_well() -> Result<()> {
    let scene = Scene::on([TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?], Limits::default())?;
    scene.table.put(Ipv6Addr::LOCALHOST, plain(1));
    let mut client = scene.connect_from(Ipv6Addr::LOCALHOST.into())?;
    assert_eq!(client.ask(&put_token(60))?.context("no answer")?.status, 200);
    Ok(())
}

#[test]
fn a_connection_ends_when_its_address_is_anothers() -> Result<()> {
    let scene = scene(Limits::default())?;
    let (mut given, mut taken) = (scene.connect(1)?, scene.connect(2)?);
    for client in [&mut given, &mut taken] {
        assert_eq!(client.ask(&get(ID))?.context("no answer")?.status, 200);
    }
    scene.table.put(guest(1), plain(2));
    scene.table.remove(guest(2));
    assert!(given.ask(&get(ID))?.is_none());
    assert!(taken.ask(&get(ID))?.is_none());
    // Who comes anew is who is there now.
    assert_eq!(scene.ask(1, &get(ID))?.text(), plain(2).id.as_str());
    Ok(())
}

#[test]
fn what_a_guest_says_of_itself_is_its_own() -> Result<()> {
    let scene = scene(Limits::default())?;
    assert_eq!(scene.ask(1, &put_kpi("Load", "0.75"))?.status, 204);
    assert_eq!(scene.ask(1, &put_kpi("Load", "0.5"))?.status, 204);
    assert_eq!(scene.ask(1, &put_kpi("Users", "12\n"))?.status, 204);
    let full = scene.ask(1, &put_kpi("More", "1"))?;
    assert_eq!(full.status, 409);
    assert!(full.text().contains(&format!("no more than {NAMES_MAX} names")), "{}", full.text());
    assert_eq!(scene.ask(1, &put_kpi("Load", "high"))?.status, 400);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(scene.table.said(plain(1).machine), [pair("Load", "0.5"), pair("Users", "12")]);
    assert_eq!(scene.table.said(plain(2).machine), []);
    Ok(())
}

#[test]
fn a_guest_that_says_nothing_is_hung_up_on() -> Result<()> {
    let scene = scene(Limits { head_time: SOON, ..Limits::default() })?;
    assert_eq!(scene.connect(1)?.end()?, b"");
    let mut slow = scene.connect(1)?;
    slow.send(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: ")?;
    slow.end()?;
    let mut idle = scene.connect(1)?;
    assert_eq!(idle.ask(&get(ID))?.context("no answer")?.status, 200);
    assert_eq!(idle.end()?, b"");
    Ok(())
}

#[test]
fn a_guest_that_goes_on_for_ever_is_hung_up_on() -> Result<()> {
    let scene = scene(Limits { connection_time: SOON, close_time: SOON, ..Limits::default() })?;
    let mut client = scene.connect(1)?;
    // Each byte comes in time, and still there is an end.
    wait_for("the end", || Ok(client.send(b"G").is_err().then_some(())))
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() -> Result<()> {
    let scene = scene(Limits { body_time: SOON, ..Limits::default() })?;
    let mut client = scene.connect(1)?;
    let answer = client.ask(&put_kpi("Load", "1").replace("Length: 1", "Length: 9"))?;
    let answer = answer.context("no answer")?;
    assert_eq!((answer.status, answer.headers["connection"].as_str()), (408, "close"));
    assert_eq!(client.end()?, b"");
    Ok(())
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() -> Result<()> {
    let scene = scene(Limits::default())?;
    assert_eq!(scene.ask(1, &put_kpi("Load", &"1".repeat(65)))?.status, 413);
    let endless = put_kpi("Load", "1").replace("Length: 1", "Length: 99999999999");
    assert_eq!(scene.ask(1, &endless)?.status, 413);
    let head = format!("GET / HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    assert!([400, 431].contains(&scene.ask(1, &head)?.status));
    let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X-One: more\r\n".repeat(33));
    assert_eq!(scene.ask(1, &head)?.status, 431);
    let path = get(&format!("/{}", "a".repeat(1_000)));
    assert_eq!(scene.ask(1, &path)?.status, 414);
    assert_eq!(scene.ask(1, &get(ID))?.status, 200);
    Ok(())
}

#[test]
fn one_guests_connections_leave_room_for_the_others() -> Result<()> {
    let scene = scene(Limits { connections_each: 2, ..Limits::default() })?;
    let mut open = [scene.connect(1)?, scene.connect(1)?];
    for client in &mut open {
        assert_eq!(client.ask(&get(ID))?.context("no answer")?.status, 200);
    }
    assert_eq!(scene.connect(1)?.end()?, b"");
    assert_eq!(scene.ask(2, &get(ID))?.status, 200);
    drop(open);
    let served = || Ok(scene.connect(1)?.ask(&get(ID))?.map(|answer| answer.status));
    assert_eq!(wait_for("room", served)?, 200);
    Ok(())
}

#[test]
fn more_connections_than_there_is_room_for_wait_for_their_turn() -> Result<()> {
    let scene = scene(Limits { connections: 2, ..Limits::default() })?;
    let mut open = [scene.connect(1)?, scene.connect(1)?];
    for client in &mut open {
        assert_eq!(client.ask(&get(ID))?.context("no answer")?.status, 200);
    }
    let mut next = scene.connect(2)?;
    next.send(get(ID).as_bytes())?;
    drop(open);
    assert_eq!(next.read(false)?.context("no answer")?.text(), plain(2).id.as_str());
    Ok(())
}

#[test]
fn one_guests_requests_leave_time_for_the_others() -> Result<()> {
    let requests = Rate { burst: 3, per_second: 0 };
    let scene = scene(Limits { requests, ..Limits::default() })?;
    for _ in 0..3 {
        assert_eq!(scene.ask(1, &get(ID))?.status, 200);
    }
    let refused = scene.ask(1, &get(ID))?;
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "1"));
    assert_eq!(scene.ask(2, &get(ID))?.status, 200);
    Ok(())
}

#[test]
fn one_guests_kpis_leave_time_for_the_others() -> Result<()> {
    let pushes = Rate { burst: 1, per_second: 0 };
    let scene = scene(Limits { pushes, ..Limits::default() })?;
    assert_eq!(scene.ask(1, &put_kpi("Load", "1"))?.status, 204);
    assert_eq!(scene.ask(1, &put_kpi("Load", "2"))?.status, 429);
    assert_eq!(scene.ask(1, &get(ID))?.status, 200);
    assert_eq!(scene.ask(2, &put_kpi("Load", "1"))?.status, 204);
    assert_eq!(scene.table.said(plain(1).machine)[0].1, "1");
    Ok(())
}

#[test]
fn a_site_that_does_not_answer_is_not_waited_for() -> Result<()> {
    let scene = scene(Limits { source_time: SOON, ..Limits::default() })?;
    let mut client = scene.connect(1)?;
    let [knows, takes] = &scene.table.stalled;
    takes.store(true, Ordering::Relaxed);
    let refused = client.ask(&put_kpi("Load", "1"))?.context("no answer")?;
    assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (503, "1"));
    knows.store(true, Ordering::Relaxed);
    assert!(client.ask(&get(ID))?.is_none());
    assert_eq!(scene.connect(1)?.end()?, b"");
    knows.store(false, Ordering::Relaxed);
    assert_eq!(scene.ask(1, &get(ID))?.status, 200);
    Ok(())
}

#[test]
fn a_network_that_is_served_no_more_is_hung_up_on() -> Result<()> {
    let scene = scene(Limits::default())?;
    let mut client = scene.connect(1)?;
    assert_eq!(client.ask(&get(ID))?.context("no answer")?.status, 200);
    drop(scene);
    assert_eq!(client.end()?, b"");
    Ok(())
}

/// Bytes that begin as a request does, or do not.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"PUT /latest/kpi/Load HTTP/1.1\r\n".to_vec()),
        Just(b"PUT /latest/kpi/Load 1 HTTP/1.1\r\n".to_vec()),
        Just(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Content-Length: -1\r\n".to_vec()),
        Just(b"Expect: 100-continue\r\n".to_vec()),
        Just(b"Connection: upgrade\r\nUpgrade: h2c\r\n".to_vec()),
        Just(b"ffffffffffffffff\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

#[test]
fn whatever_bytes_a_guest_sends_it_is_answered_or_hung_up_on_and_the_others_are_served()
-> Result<()> {
    let often = Rate { burst: 10_000, per_second: 0 };
    let (body_time, requests) = (SOON, often);
    let scene = scene(Limits { head_time: SOON, body_time, requests, ..Limits::default() })?;
    let mut runner = TestRunner::new(ProptestConfig::with_cases(128));
    runner.run(&garbage(), |bytes| {
        let sent = (|| {
            let mut client = scene.connect(1)?;
            // It may be hung up on in the middle.
            let _ = client.send(&bytes);
            client.end()
        })();
        let seen = sent.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        prop_assert!(seen.is_empty() || seen.starts_with(b"HTTP/1."), "{}", seen.escape_ascii());
        let other = plain(2);
        let leaked =
            seen.windows(other.id.as_str().len()).any(|at| at == other.id.as_str().as_bytes());
        prop_assert!(!leaked);
        Ok(())
    })?;
    assert_eq!(scene.ask(2, &get(ID))?.text(), plain(2).id.as_str());
    Ok(())
}
