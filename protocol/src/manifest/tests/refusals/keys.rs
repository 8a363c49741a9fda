//! Keys that are unknown, missing, repeated or no text.

use expect_test::expect;

use super::*;

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    memroy: 1GiB
    color: red
",
        &expect![[r#"
            bad.yaml:8:5: 'memroy' is no key here
              |
            8 |     memroy: 1GiB
              |     ^^^^^^ components.web
              = hint: did you mean memory?

            bad.yaml:9:5: 'color' is no key here
              |
            9 |     color: red
              |     ^^^^^ components.web
              = hint: the keys here are image, vcpus, memory, disk, replicas, after, networks, security, place, on_partition, sla, user_data
        "#]],
    );
}

#[test]
fn a_duplicate_key_is_refused_with_the_place_of_the_first() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    vcpus: 2
  web: {}
",
        &expect![[r#"
            bad.yaml:8:5: 'vcpus' is already given on line 5
              |
            8 |     vcpus: 2
              |     ^^^^^ components.web
              = hint: keep one of the two

            bad.yaml:9:3: 'web' is already given on line 3
              |
            9 |   web: {}
              |   ^^^ components
              = hint: keep one of the two
        "#]],
    );
}

#[test]
fn missing_keys_are_told_at_their_owner() {
    check(
        r"components:
  web:
    vcpus: 1
",
        &expect![[r#"
            bad.yaml:1:1: 'service' is missing
              |
            1 | components:
              | ^
              = hint: add 'service:' with a name

            bad.yaml:2:3: 'image' is missing
              |
            2 |   web:
              |   ^^^ components.web
              = hint: add 'image:' with a name

            bad.yaml:2:3: 'memory' is missing
              |
            2 |   web:
              |   ^^^ components.web
              = hint: add a line such as 'memory: 128MiB'

            bad.yaml:2:3: 'disk' is missing
              |
            2 |   web:
              |   ^^^ components.web
              = hint: add a line such as 'disk: 128MiB'
        "#]],
    );
}

#[test]
fn a_key_that_is_no_text_is_refused() {
    check(
        r"service: shop
components:
  7: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
  [a]: {}
",
        &expect![[r#"
            bad.yaml:3:3: a key must be text, not the number 7
              |
            3 |   7: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |   ^ components
              = hint: write the key as text; put it in quotes if it looks like a number

            bad.yaml:4:3: a key must be text, not a list
              |
            4 |   [a]: {}
              |   ^ components
              = hint: write the key as text; put it in quotes if it looks like a number
        "#]],
    );
}
