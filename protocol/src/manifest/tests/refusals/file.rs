//! What is not one small document of plain YAML.

use expect_test::expect;

use super::*;

#[test]
fn an_empty_file_is_refused() {
    check(
        r"# nothing yet
",
        &expect![[r#"
            bad.yaml:1:1: the file says nothing
              |
            1 | # nothing yet
              | ^
              = hint: begin with a line such as 'service: shop'
        "#]],
    );
}

#[test]
fn what_is_no_mapping_is_refused() {
    check(
        r"- service
- components
",
        &expect![[r#"
            bad.yaml:1:1: expected keys with values, found a list
              |
            1 | - service
              | ^
              = hint: write 'key: value' pairs on indented lines of their own
        "#]],
    );
}

#[test]
fn broken_yaml_is_refused_where_it_breaks() {
    check(
        r"service: shop
components:
  web: { image: guest, vcpus: 1
  memory: 128MiB
",
        &expect![[r#"
            bad.yaml:4:9: the file is not YAML here: while parsing a flow mapping, did not find expected ',' or '}'
              |
            4 |   memory: 128MiB
              |         ^
              = hint: check the indentation, and that every colon, bracket and quote has its partner
        "#]],
    );
}

#[test]
fn tabs_in_the_indentation_are_all_told() {
    check(
        "service: shop\ncomponents:\n\tweb:\n\t\timage: guest\n",
        &expect![[r#"
            bad.yaml:3:1: a tab in the indentation
              |
            3 |  web:
              | ^
              = hint: indent with spaces

            bad.yaml:4:1: a tab in the indentation
              |
            4 |   image: guest
              | ^
              = hint: indent with spaces
        "#]],
    );
}

#[test]
fn a_second_document_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
---
service: other
",
        &expect![[r#"
            bad.yaml:8:1: a second document begins here
              |
            8 | ---
              | ^^^
              = hint: put each service into a file of its own
        "#]],
    );
}

#[test]
fn anchors_are_refused() {
    check(
        r"service: shop
components:
  web: &web { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
  api: *web
",
        &expect![[r#"
            bad.yaml:3:13: anchors and aliases are not part of a manifest
              |
            3 |   web: &web { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |             ^
              = hint: write the value out; quote a text that begins with & or *
        "#]],
    );
}

#[test]
fn an_alias_of_nothing_is_refused() {
    check(
        r"service: *shop
",
        &expect![[r#"
            bad.yaml:1:10: anchors and aliases are not part of a manifest
              |
            1 | service: *shop
              |          ^
              = hint: write the value out; quote a text that begins with & or *
        "#]],
    );
}

#[test]
fn tags_are_refused() {
    check(
        r"service: !secret shop
components: {}
",
        &expect![[r#"
            bad.yaml:1:18: tags are not part of a manifest
              |
            1 | service: !secret shop
              |                  ^^^^
              = hint: leave the tag out; quote a text that begins with !
        "#]],
    );
}

#[test]
fn a_merge_key_is_only_an_unknown_key() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    <<: { vcpus: 2 }
",
        &expect![[r#"
            bad.yaml:8:5: '<<' is no key here
              |
            8 |     <<: { vcpus: 2 }
              |     ^^ components.web
              = hint: the keys here are image, vcpus, memory, disk, replicas, after, networks, security, place, on_partition, sla, user_data
        "#]],
    );
}

#[test]
fn nesting_without_need_is_refused() {
    check(
        r"service: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
",
        &expect![[r#"
            bad.yaml:1:21: nested deeper than any manifest is
              |
            1 | service: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
              |                     ^
              = hint: close the brackets; service and components are at the top
        "#]],
    );
}

#[test]
fn a_bracket_without_its_partner_is_refused() {
    check(
        r"service: [shop
",
        &expect![[r#"
            bad.yaml:1:10: the file is not YAML here: unclosed bracket '['
              |
            1 | service: [shop
              |          ^
              = hint: check the indentation, and that every colon, bracket and quote has its partner
        "#]],
    );
}

#[test]
fn what_is_no_text_is_refused_where_it_begins() {
    check_bytes(
        b"service: shop\ncomponents: \xff\xfe\n",
        &expect![[r#"
        bad.yaml:2:13: the file is not UTF-8 text
          |
        2 | components: ��
          |             ^
          = hint: save the file as UTF-8
    "#]],
    );
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let text = format!("service: shop # {}", "x".repeat(LENGTH_MAX));
    let faults = parse(text.as_bytes()).unwrap_err();
    expect![[r#"
        bad.yaml:1:1: the file has 262160 bytes, more than the 262144 of a manifest
          |
        1 | service: shop # xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
          | ^
          = hint: split it into several services
    "#]].assert_eq(&faults.render("bad.yaml", text.as_bytes()));
}

#[test]
fn a_small_file_that_stands_for_an_endless_one_is_refused() {
    let mut text = "a0: &a0 [x, x]\n".to_owned();
    for number in 1..60 {
        let last = number - 1;
        text.push_str(&format!("a{number}: &a{number} [*a{last}, *a{last}]\n"));
    }
    check(
        &text,
        &expect![[r#"
        bad.yaml:1:9: anchors and aliases are not part of a manifest
          |
        1 | a0: &a0 [x, x]
          |         ^
          = hint: write the value out; quote a text that begins with & or *
    "#]],
    );
}

#[test]
fn a_file_of_countless_values_is_refused() {
    let text = format!("service: [{}]\n", "1,".repeat(100_000));
    let faults = parse(text.as_bytes()).unwrap_err();
    expect![[r#"
        [
            TooComplex,
        ]
    "#]]
    .assert_debug_eq(&faults.iter().map(|fault| &fault.problem).collect::<Vec<_>>());
}

#[test]
fn of_countless_mistakes_only_the_first_are_told() {
    let text: String = (0..1_000).map(|number| format!("k{number}: 1\n")).collect();
    let faults = parse(text.as_bytes()).unwrap_err();
    assert_eq!(faults.iter().count(), 32);
    assert_eq!(faults.omitted(), 1_002 - 32);
    assert!(faults.render("bad.yaml", text.as_bytes()).ends_with("and 970 more mistakes\n"));
}
