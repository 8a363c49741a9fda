//! Claims about names.

use crate::HostName;

#[test]
fn any_text_becomes_a_label_that_breaks_no_file() {
    for (text, label) in [
        ("web", "web"),
        ("Web Front 1", "web-front-1"),
        ("C1[2]", "c1-2"),
        ("a\n10.0.0.1 b,c#", "a-10-0-0-1-b-c"),
        ("--", "machine"),
        ("\u{fc}ber", "ber"),
        ("", "machine"),
    ] {
        assert_eq!(HostName::nearest(text).as_str(), label);
    }
    assert_eq!(HostName::nearest(&"x".repeat(200)).as_str().len(), 63);
}
