//! Everything that there is, version by version.

use std::fmt::Write as _;

use expect_test::{Expect, expect, expect_file};
use hyper::{Method, StatusCode};
use metadata::{Content, Instance};

use crate::example::{answer, full, get, plain};

/// All that is found under a directory by following its listings, one a line: paths, and values.
fn crawl(instance: &Instance, path: &str, found: &mut String) {
    let listing = get(instance, path).expect("what is listed is there");
    assert!(!listing.is_empty() && !listing.ends_with('\n'), "{path}: {listing:?}");
    for label in listing.lines() {
        let name = label.split_once('=').map_or(label, |(number, _)| number);
        let is_directory = label.ends_with('/') || label.contains('=');
        let is_directory = is_directory || ["dynamic", "meta-data"].contains(&label);
        let name = name.trim_end_matches('/');
        if is_directory {
            writeln!(found, "{path}{name}/").expect("a string takes it");
            crawl(instance, &format!("{path}{name}/"), found);
        } else {
            let value = get(instance, &format!("{path}{name}")).expect("what is listed is there");
            let line = format!("{path}{name} = {}", value.replace('\n', "\n    "));
            writeln!(found, "{}", line.trim_end()).expect("a string takes it");
        }
    }
}

fn crawled(instance: &Instance, version: &str) -> String {
    let mut found = String::new();
    crawl(instance, &format!("/{version}/"), &mut found);
    found
}

#[test]
fn a_guest_finds_all_that_is_known_of_its_machine() {
    expect_file!["latest.txt"].assert_eq(&crawled(&full(), "latest"));
}

#[test]
fn what_a_machine_does_not_have_is_not_there() {
    expect_file!["plain.txt"].assert_eq(&crawled(&plain(1), "latest"));
    for path in [
        "user-data",
        "meta-data/public-keys",
        "meta-data/public-keys/0/openssh-key",
        "meta-data/tags/instance/Name",
        "meta-data/public-ipv4",
        "meta-data/ipv6",
        "meta-data/iam/security-credentials/",
        "dynamic/instance-identity/signature",
        "dynamic/instance-identity/pkcs7",
    ] {
        assert_eq!(get(&plain(1), &format!("/latest/{path}")), None, "{path}");
    }
}

#[test]
fn the_versions_are_listed_oldest_first() {
    let seen = get(&full(), "/").expect("there are versions");
    let names: Vec<&str> = seen.lines().collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!((names.first(), names.last()), (Some(&"1.0"), Some(&"latest")));
    for name in names {
        assert!(get(&full(), &format!("/{name}/")).is_some(), "{name}");
    }
    assert_eq!(get(&full(), "/2009-04-05/meta-data/"), None);
    assert_eq!(get(&full(), "/2.0/"), None);
}

#[test]
fn an_old_version_shows_what_there_was_then() {
    let shows = |version: &str, expected: Expect| {
        let path = format!("/{version}/meta-data/");
        let listing = get(&full(), &path).expect("there are metadata");
        expected.assert_eq(&listing.replace('\n', " "));
    };
    shows(
        "1.0",
        expect![
            "ami-id ami-launch-index ami-manifest-path hostname instance-id local-ipv4 public-keys/ reservation-id security-groups"
        ],
    );
    shows(
        "2009-04-04",
        expect![
            "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-action instance-id instance-type local-hostname local-ipv4 placement/ profile public-ipv4 public-keys/ reservation-id security-groups"
        ],
    );
    shows(
        "2018-09-24",
        expect![
            "ami-id ami-launch-index ami-manifest-path block-device-mapping/ hostname instance-action instance-id instance-type local-hostname local-ipv4 mac network/ placement/ profile public-ipv4 public-keys/ reservation-id security-groups"
        ],
    );
    let card = format!("meta-data/network/interfaces/macs/{}/ipv6s", full().card.mac);
    assert_eq!(get(&full(), &format!("/2016-04-19/{card}")), None);
    assert_eq!(get(&full(), &format!("/2016-06-30/{card}")).as_deref(), Some("fd00:77::b"));
    assert_eq!(get(&full(), "/2020-10-27/meta-data/tags/instance/Name"), None);
    assert!(get(&full(), "/2021-03-23/meta-data/tags/instance/Name").is_some());
}

#[test]
fn a_slash_at_the_end_says_nothing() {
    let full = full();
    // SDKs ask for the zone with a slash behind it, though it is no directory.
    let value = "/latest/meta-data/placement/availability-zone";
    for path in ["/latest", "/latest/meta-data", "/latest/meta-data/placement", value] {
        assert!(get(&full, path).is_some(), "{path}");
        assert_eq!(get(&full, path), get(&full, &format!("{path}/")), "{path}");
        assert_eq!(get(&full, &format!("{path}//")), None, "{path}");
    }
    assert_eq!(get(&full, "/latest/meta-data/ami-id/x"), None);
    assert_eq!(get(&full, "//"), None);
    assert_eq!(get(&full, "//latest/meta-data/"), None);
    assert_eq!(get(&full, "/latest//meta-data/"), None);
    assert_eq!(get(&full, "/latest/meta-data/../meta-data/"), None);
}

#[test]
fn a_name_may_be_written_in_percents() {
    let value = get(&full(), "/latest/meta-data/tags/instance/a%2Bb%40c%3ad");
    assert_eq!(value.as_deref(), Some(""));
    assert_eq!(get(&full(), "/latest%2Fmeta-data/"), None);
    assert_eq!(get(&full(), "/latest/meta-data/tags/instance/%ff"), None);
    assert_eq!(get(&full(), "/latest/meta-data/tags/instance/%"), None);
}

#[test]
fn values_are_text_user_data_are_bytes_and_errors_are_pages() {
    let content = |path: &str| {
        let answer = answer(&full(), &Method::GET, path, &[]);
        (answer.status, answer.content)
    };
    assert_eq!(content("/latest/meta-data/ami-id"), (StatusCode::OK, Content::Text));
    assert_eq!(content("/latest/meta-data/"), (StatusCode::OK, Content::Text));
    assert_eq!(content("/latest/user-data"), (StatusCode::OK, Content::Bytes));
    assert_eq!(content("/latest/nothing"), (StatusCode::NOT_FOUND, Content::Page));
    let page = answer(&full(), &Method::GET, "/latest/nothing", &[]).body;
    expect_file!["not-found.html"].assert_eq(&String::from_utf8_lossy(&page));
}

#[test]
fn nothing_is_changed_by_asking() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = answer(&full(), &method, "/latest/meta-data/ami-id", &[]);
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.allow, Some("GET, HEAD"));
    }
    let head = answer(&full(), &Method::HEAD, "/latest/meta-data/ami-id", &[]);
    assert_eq!(head.status, StatusCode::OK);
}
