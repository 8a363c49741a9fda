//! One bad manifest for each mistake that can be made, and what its author is told.

mod file;
mod groups;
mod keys;
mod names;
mod networks;
mod order;
mod security;
mod values;

use expect_test::Expect;

use super::*;

fn check(text: &str, expected: &Expect) {
    check_bytes(text.as_bytes(), expected);
}

fn check_bytes(text: &[u8], expected: &Expect) {
    let faults = parse(text).expect_err("the manifest is bad");
    expected.assert_eq(&faults.render("bad.yaml", text));
}
