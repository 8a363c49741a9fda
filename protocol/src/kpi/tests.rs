//! Claims about the words in which guests speak of themselves.

use proptest::prelude::*;

use super::*;
use crate::codec::{decode, encode};

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
fn names_have_a_form_and_a_length() {
    let good = |name: &str| name.parse::<Name>().is_ok();
    assert!(good("a") && good("Load") && good("queue_depth.p99-max") && good(&"x".repeat(64)));
    for bad in ["", "_a", "9a", "a b", "a/b", "a\nb", "\u{e4}", &"x".repeat(65)] {
        assert!(!good(bad), "{bad:?}");
    }
}

#[test]
fn what_no_guest_can_have_said_is_not_read() {
    let name: Name = "Load".parse().unwrap();
    assert_eq!(decode::<Name>(&encode("Load"), 8).unwrap(), name);
    for lie in ["", "a\x1b[2J", "9", &"x".repeat(65)] {
        assert!(decode::<Name>(&encode(lie), 100).is_err(), "{lie:?}");
    }
    assert_eq!(decode::<Value>(&encode(&-i64::MAX), 16).unwrap().as_millionths(), -i64::MAX);
    assert!(decode::<Value>(&encode(&i64::MIN), 16).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(millionths in -i64::MAX..) {
        let text = Value::try_from(millionths).unwrap().to_string();
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
