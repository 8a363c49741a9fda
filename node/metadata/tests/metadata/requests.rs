//! Whatever is asked, however it is written.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use metadata::{Ask, Decision, Instance, Line, TagKey, Tokens, UserData, decide};
use proptest::prelude::*;

use crate::example::{NOW, full, key};

/// Paths that are near to those that there are, and some that are not.
fn paths() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("latest".to_owned()),
        Just("2009-04-04".to_owned()),
        Just("meta-data".to_owned()),
        Just("user-data".to_owned()),
        Just("dynamic".to_owned()),
        Just("api".to_owned()),
        Just("token".to_owned()),
        Just("kpi".to_owned()),
        Just("instance-id".to_owned()),
        Just("public-keys".to_owned()),
        Just("0=laptop".to_owned()),
        Just("..".to_owned()),
        "[ -~]{0,12}",
        "(%[0-9a-fA-F]{2}){1,4}",
        "\\PC{0,6}",
    ];
    let near = prop::collection::vec(word, 0..6).prop_map(|words| format!("/{}", words.join("/")));
    prop_oneof![4 => near, 1 => ".{0,40}", 1 => "/{0,2000}"]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        Just("x-aws-ec2-metadata-token"),
        Just("x-aws-ec2-metadata-token-ttl-seconds"),
        Just("x-forwarded-for"),
        Just("host"),
        Just("content-length"),
    ];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "[0-9]{0,6}".prop_map(String::into_bytes),
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

fn methods() -> impl Strategy<Value = Method> {
    let usual = [Method::GET, Method::PUT, Method::HEAD, Method::POST, Method::CONNECT];
    prop_oneof![
        4 => prop::sample::select(usual.to_vec()),
        1 => "[A-Z]{1,12}".prop_map(|name| Method::from_bytes(name.as_bytes()).expect("a method")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn each_request_has_an_answer_that_makes_sense(
        method in methods(),
        path in paths(),
        headers in headers(),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let ask = Ask { method: &method, path: &path, headers: &headers, body: &body };
        match decide(&full(), &key(), &ask, NOW) {
            Decision::Push(_) => {
                prop_assert_eq!(&method, &Method::PUT);
                prop_assert!(path.starts_with("/latest/kpi/"));
            }
            Decision::Answer(answer) => {
                let is_token = answer.hops.is_some();
                prop_assert!(!is_token || path.trim_end_matches('/') == "/latest/api/token");
                if answer.status == StatusCode::OK && !is_token {
                    prop_assert!(method == Method::GET || method == Method::HEAD);
                }
                prop_assert!(!answer.status.is_server_error(), "{}", answer.status);
                let is_405 = answer.status == StatusCode::METHOD_NOT_ALLOWED;
                prop_assert_eq!(is_405, answer.allow.is_some());
                prop_assert!(answer.body.len() <= 16 << 10);
            }
        }
    }

    #[test]
    fn where_tokens_are_required_whatever_is_asked_without_one_is_refused(
        method in methods(),
        path in paths(),
        headers in headers(),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let required = Instance { tokens: Tokens::Required, ..full() };
        let ask = Ask { method: &method, path: &path, headers: &headers, body: &body };
        match decide(&required, &key(), &ask, NOW) {
            Decision::Push(kpi) => prop_assert!(false, "{:?}", kpi),
            Decision::Answer(answer) => {
                let is_token = answer.hops.is_some();
                prop_assert!(is_token || !answer.status.is_success(), "{}", answer.status);
                prop_assert!(!is_token || !headers.contains_key("x-forwarded-for"));
            }
        }
    }

    #[test]
    fn nothing_that_is_a_line_breaks_a_listing(text in "\\PC{0,20}|[\\x00-\\x7f]{0,8}") {
        if let Ok(line) = text.parse::<Line>() {
            prop_assert!(!line.as_str().contains(['\n', '\r', '\0']));
        }
        if let Ok(key) = text.parse::<TagKey>() {
            prop_assert!(!key.as_str().contains(['/', '\n', '%', ' ']) && !text.is_empty());
        }
    }
}

#[test]
fn a_path_that_is_too_long_is_not_looked_at() {
    let path = format!("/latest/{}", "a".repeat(600));
    let headers = HeaderMap::new();
    let ask = Ask { method: &Method::GET, path: &path, headers: &headers, body: b"" };
    match decide(&full(), &key(), &ask, NOW) {
        Decision::Answer(answer) => assert_eq!(answer.status, StatusCode::URI_TOO_LONG),
        Decision::Push(kpi) => panic!("{kpi:?}"),
    }
}

#[test]
fn user_data_have_a_limit() {
    assert!(UserData::try_from(vec![0; metadata::USER_DATA_MAX]).is_ok());
    assert!(UserData::try_from(vec![0; metadata::USER_DATA_MAX + 1]).is_err());
}
