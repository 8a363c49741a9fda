//! Tokens, and whom they are good for.

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use metadata::{Answer, Ask, Decision, HopLimit, Instance, Key, Tokens, decide};
use proptest::prelude::*;
use protocol::time::{Span, Timestamp};

use crate::example::{NOW, TOKEN, TTL, answer, full, key, plain};

const PATH: &str = "/latest/api/token";

fn token(instance: &Instance, seconds: u32) -> String {
    let given = answer(instance, &Method::PUT, PATH, &[(TTL, &seconds.to_string())]);
    assert_eq!((given.status, given.token_ttl), (StatusCode::OK, Some(seconds)));
    String::from_utf8(given.body.to_vec()).expect("a token is text")
}

/// Asks for the instance's id with a token, at a moment, from a server with this key.
fn shown(instance: &Instance, key: &Key, token: &[u8], now: Timestamp) -> Answer {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(token).expect("the value of a header");
    headers.insert(TOKEN, value);
    let path = "/latest/meta-data/instance-id";
    let ask = Ask { method: &Method::GET, path, headers: &headers, body: b"" };
    match decide(instance, key, &ask, now) {
        Decision::Answer(answer) => answer,
        Decision::Push(kpi) => panic!("{kpi:?}"),
    }
}

fn required() -> Instance {
    Instance { tokens: Tokens::Required, ..full() }
}

#[test]
fn where_tokens_are_required_nothing_is_said_without_one() {
    for path in ["/", "/latest/", "/latest/meta-data/", "/latest/user-data", "/nothing"] {
        let refused = answer(&required(), &Method::GET, path, &[]);
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let push = answer(&required(), &Method::PUT, "/latest/kpi/Load", &[]);
    assert_eq!(push.status, StatusCode::UNAUTHORIZED);
    let seen = shown(&required(), &key(), token(&required(), 60).as_bytes(), NOW);
    assert_eq!((seen.status, seen.token_ttl), (StatusCode::OK, Some(60)));
}

#[test]
fn a_token_ends_when_it_said() {
    let (required, token) = (required(), token(&required(), 60));
    let at = |span| shown(&required, &key(), token.as_bytes(), NOW + span);
    let near = at(Span::from_millis(59_999));
    assert_eq!((near.status, near.token_ttl), (StatusCode::OK, Some(0)));
    assert_eq!(at(Span::from_millis(60_000)).status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_token_is_good_for_its_machine_only() {
    let (one, other) = (plain(1), plain(2));
    let stolen = token(&one, 60);
    assert_eq!(shown(&one, &key(), stolen.as_bytes(), NOW).status, StatusCode::OK);
    // A token that is shown has to be right, also where none is required.
    let refused = shown(&other, &key(), stolen.as_bytes(), NOW);
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    // Another site may have given the same id to a machine of its own.
    let mut namesake = plain(1);
    namesake.machine.home = protocol::ids::SiteId::from_bytes([8; 32]);
    let refused = shown(&namesake, &key(), stolen.as_bytes(), NOW);
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_token_outlives_the_server_if_the_key_does() {
    let (one, token) = (plain(1), token(&plain(1), 60));
    let again = Key::from_secret(&[3; 32]);
    assert_eq!(shown(&one, &again, token.as_bytes(), NOW).status, StatusCode::OK);
    let other = Key::from_secret(&[4; 32]);
    assert_eq!(shown(&one, &other, token.as_bytes(), NOW).status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_lifetime_is_a_number_of_seconds_up_to_six_hours() {
    for good in ["1", "21600", "00060"] {
        assert_eq!(answer(&full(), &Method::PUT, PATH, &[(TTL, good)]).status, StatusCode::OK);
    }
    for bad in ["", "0", "21601", "-1", "+1", "1.0", "1s", "0x10", "99999999999999999999", " "] {
        let refused = answer(&full(), &Method::PUT, PATH, &[(TTL, bad)]);
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad:?}");
    }
    let refused = answer(&full(), &Method::PUT, PATH, &[]);
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let refused = answer(&full(), &Method::PUT, PATH, &[(TTL, "60"), (TTL, "60")]);
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[test]
fn a_proxy_is_given_no_token() {
    let forwarded = [(TTL, "60"), ("x-forwarded-for", "10.0.0.1")];
    let refused = answer(&full(), &Method::PUT, PATH, &forwarded);
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[test]
fn a_token_is_asked_for_by_put() {
    for method in [Method::GET, Method::POST, Method::HEAD, Method::DELETE] {
        let refused = answer(&required(), &method, PATH, &[(TTL, "60")]);
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(refused.allow, Some("PUT"));
    }
}

#[test]
fn a_token_travels_as_far_as_the_machine_allows_and_all_else_freely() {
    let far = Instance { hop_limit: HopLimit::try_from(2).expect("two hops"), ..full() };
    assert_eq!(answer(&full(), &Method::PUT, PATH, &[(TTL, "60")]).hops, Some(HopLimit::ONE));
    let given = answer(&far, &Method::PUT, PATH, &[(TTL, "60")]);
    assert_eq!(given.hops.map(HopLimit::get), Some(2));
    assert_eq!(answer(&full(), &Method::GET, "/latest/", &[]).hops, None);
}

#[test]
fn two_tokens_in_one_request_are_none() {
    let token = token(&full(), 60);
    let twice = [(TOKEN, &*token), (TOKEN, &*token)];
    let refused = answer(&full(), &Method::GET, "/latest/", &twice);
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_token_it_is_none(at in any::<prop::sample::Index>(), by in 1_u8..) {
        let token = token(&full(), 21_600);
        let mut changed = token.into_bytes();
        let at = at.index(changed.len());
        changed[at] ^= by;
        prop_assume!(HeaderValue::from_bytes(&changed).is_ok());
        let refused = shown(&full(), &key(), &changed, NOW);
        prop_assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn nobody_makes_a_token_up(made in "[!-~]{0,80}|[A-Za-z0-9+/]{54}==") {
        let refused = shown(&full(), &key(), made.as_bytes(), NOW);
        prop_assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}
