//! What a guest says of itself.

use hyper::{Method, StatusCode};
use metadata::Decision;

use crate::example::{answer, ask, full};

#[test]
fn a_push_names_a_measure_and_its_value() {
    let push = ask(&full(), &Method::PUT, "/latest/kpi/RequestPerSecond", &[], b" 412.5\r\n");
    let Decision::Push(kpi) = push else { panic!("{push:?}") };
    assert_eq!(kpi.name.as_str(), "RequestPerSecond");
    assert_eq!(kpi.value, "412.5".parse().expect("it is a number"));
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
