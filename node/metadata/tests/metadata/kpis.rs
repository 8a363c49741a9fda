//! What a guest says of itself.

use hyper::{Method, StatusCode};
use metadata::{Decision, KpiName, MalformedValue, Value};
use proptest::prelude::*;

use crate::example::{answer, ask, full};

fn value(text: &str) -> Result<i64, MalformedValue> {
    text.parse().map(Value::as_millionths)
}

#[test]
fn a_value_is_a_decimal_number() {
    assert_eq!(value("0"), Ok(0));
    assert_eq!(value("-0"), Ok(0));
    assert_eq!(value("1"), Ok(1_000_000));
    assert_eq!(value("0.75"), Ok(750_000));
    assert_eq!(value("-12.000001"), Ok(-12_000_001));
    assert_eq!(value("007.5"), Ok(7_500_000));
    assert_eq!(value("9223372036854.775807"), Ok(i64::MAX));
    assert_eq!(value("-9223372036854.775807"), Ok(-i64::MAX));
}

#[test]
fn what_only_looks_like_a_number_is_refused() {
    use MalformedValue::{Decimals, Form, Range};
    for (text, why) in [
        ("", Form),
        ("-", Form),
        ("+1", Form),
        ("--1", Form),
        (".5", Form),
        ("5.", Form),
        ("1.2.3", Form),
        ("1e3", Form),
        ("NaN", Form),
        ("inf", Form),
        ("0x10", Form),
        ("1 000", Form),
        ("1,5", Form),
        ("\u{661}", Form),
        ("0.1234567", Decimals),
        ("9223372036854.775808", Range),
        ("99999999999999999999", Range),
        ("99999999999999999999999999999999", Range),
    ] {
        assert_eq!(value(text), Err(why), "{text:?}");
    }
}

#[test]
fn a_push_names_a_measure_and_its_value() {
    let push = ask(&full(), &Method::PUT, "/latest/kpi/RequestPerSecond", &[], b" 412.5\r\n");
    let Decision::Push(kpi) = push else { panic!("{push:?}") };
    assert_eq!(kpi.name.as_str(), "RequestPerSecond");
    assert_eq!(kpi.value, Value::from_millionths(412_500_000));
}

#[test]
fn a_push_that_is_not_understood_says_why() {
    let refused = |path: &str, body: &[u8]| match ask(&full(), &Method::PUT, path, &[], body) {
        Decision::Answer(answer) => (answer.status, String::from_utf8_lossy(&answer.body).into()),
        Decision::Push(kpi) => panic!("{path}: {kpi:?}"),
    };
    let (status, why): (_, String) = refused("/latest/kpi/Load", b"much");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(why.contains("not a decimal number"), "{why}");
    let (status, why) = refused("/latest/kpi/1st", b"1");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(why.contains("not a KPI's name"), "{why}");
    assert_eq!(refused("/latest/kpi/Load", b"\xff").0, StatusCode::BAD_REQUEST);
    assert_eq!(refused("/latest/kpi/a%2Fb", b"1").0, StatusCode::BAD_REQUEST);
    // KPIs are there in the newest version only, and are not shown.
    assert_eq!(refused("/2021-03-23/kpi/Load", b"1").0, StatusCode::METHOD_NOT_ALLOWED);
    let shown = answer(&full(), &Method::GET, "/latest/kpi/Load", &[]);
    assert_eq!((shown.status, shown.allow), (StatusCode::METHOD_NOT_ALLOWED, Some("PUT")));
    assert_eq!(answer(&full(), &Method::GET, "/latest/kpi", &[]).status, StatusCode::NOT_FOUND);
}

#[test]
fn names_have_a_form_and_a_length() {
    let good = |name: &str| name.parse::<KpiName>().is_ok();
    assert!(good("a") && good("Load") && good("queue_depth.p99-max") && good(&"x".repeat(64)));
    for bad in ["", "_a", "9a", "a b", "a/b", "a\nb", "\u{e4}", &"x".repeat(65)] {
        assert!(!good(bad), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(millionths in -i64::MAX..) {
        let text = Value::from_millionths(millionths).to_string();
        prop_assert_eq!(value(&text), Ok(millionths), "{}", text);
    }

    #[test]
    fn any_text_is_a_number_or_refused(text in "\\PC{0,40}|-?[0-9.]{0,30}") {
        if let Ok(number) = text.parse::<Value>() {
            // What was read has one shortest form, which means the same.
            prop_assert_eq!(number.to_string().parse::<Value>(), Ok(number));
        }
    }
}
