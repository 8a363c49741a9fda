//! Values of the wrong kind, and numbers and sizes that cannot be.

use expect_test::expect;

use super::*;

#[test]
fn values_of_the_wrong_type_are_refused() {
    check(
        r#"service: [shop]
components:
  web: { image: 12, vcpus: "2", memory: [128MiB], disk: 1.5, replicas: many, after: database, place: alpha }
  api:
"#,
        &expect![[r#"
            bad.yaml:1:10: expected a name, found a list
              |
            1 | service: [shop]
              |          ^ service
              = hint: write one name

            bad.yaml:3:17: expected a name, found the number 12
              |
            3 |   web: { image: 12, vcpus: "2", memory: [128MiB], disk: 1.5, replicas: many, after: database, place:
              |                 ^^ components.web.image
              = hint: put the name in quotes

            bad.yaml:3:28: expected a whole number, found the text '2'
              |
            3 |   web: { image: 12, vcpus: "2", memory: [128MiB], disk: 1.5, replicas: many, after: database, place:
              |                            ^^^ components.web.vcpus
              = hint: write digits only, without quotes, such as 2

            bad.yaml:3:41: expected a size, found a list
              |
            3 |   web: { image: 12, vcpus: "2", memory: [128MiB], disk: 1.5, replicas: many, after: database, place:
              |                                         ^ components.web.memory
              = hint: write a whole number followed by MiB, GiB or TiB, such as 128MiB

            bad.yaml:3:57: expected a size, found a number that is not whole
              |
            3 | 12, vcpus: "2", memory: [128MiB], disk: 1.5, replicas: many, after: database, place: alpha }
              |                                         ^^^ components.web.disk
              = hint: write a whole number followed by MiB, GiB or TiB, such as 128MiB

            bad.yaml:3:72: expected a whole number, found the text 'many'
              |
            3 |  memory: [128MiB], disk: 1.5, replicas: many, after: database, place: alpha }
              |                                         ^^^^ components.web.replicas
              = hint: write digits only, without quotes, such as 2

            bad.yaml:3:85: expected a list of names, found the text 'database'
              |
            3 | MiB], disk: 1.5, replicas: many, after: database, place: alpha }
              |                                         ^^^^^^^^ components.web.after
              = hint: write a list in brackets, such as [alpha, beta]

            bad.yaml:3:102: expected keys with values, found the text 'alpha'
              |
            3 | replicas: many, after: database, place: alpha }
              |                                         ^^^^^ components.web.place
              = hint: write 'key: value' pairs on indented lines of their own

            bad.yaml:4:6: expected keys with values, found nothing
              |
            4 |   api:
              |      ^ components.api
              = hint: write 'key: value' pairs on indented lines of their own
        "#]],
    );
}

#[test]
fn a_policy_that_is_not_known_is_refused() {
    check(
        r"service: shop
components:
  web: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, on_partition: fenced }
  api: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, on_partition: continue }
  log: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, on_partition: 3 }
",
        &expect![[r#"
            bad.yaml:3:74: 'fenced' is not one of fence, hold
              |
            3 |   web: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, on_partition: fenced }
              |                                                                          ^^^^^^ components.web.on_partition
              = hint: did you mean fence?

            bad.yaml:4:74: 'continue' is not one of fence, hold
              |
            4 |   api: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, on_partition: continue }
              |                                                                          ^^^^^^^^ components.api.on_partition
              = hint: write one of fence, hold

            bad.yaml:5:74: expected a name, found the number 3
              |
            5 |   log: { image: guest, vcpus: 1, memory: 1GiB, disk: 1GiB, on_partition: 3 }
              |                                                                          ^ components.log.on_partition
              = hint: put the name in quotes
        "#]],
    );
}

#[test]
fn a_truth_value_is_no_name() {
    check(
        r"service: true
components: none
",
        &expect![[r#"
            bad.yaml:1:10: expected a name, found the truth value true
              |
            1 | service: true
              |          ^^^^ service
              = hint: put the name in quotes

            bad.yaml:2:13: expected keys with values, found the text 'none'
              |
            2 | components: none
              |             ^^^^ components
              = hint: write 'key: value' pairs on indented lines of their own
        "#]],
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 0
    memory: -128MiB
    disk: 0
    replicas: 257
  api: { image: guest, vcpus: 256, memory: 5TiB, disk: 99999999999999TiB, replicas: -1 }
",
        &expect![[r#"
            bad.yaml:5:12: vcpus must be from 1 to 255, not 0
              |
            5 |     vcpus: 0
              |            ^ components.web.vcpus
              = hint: write a value from 1 to 255

            bad.yaml:6:13: memory must be from 1 MiB to 4096 GiB, not -128MiB
              |
            6 |     memory: -128MiB
              |             ^^^^^^^ components.web.memory
              = hint: write a value from 1 MiB to 4096 GiB

            bad.yaml:7:11: disk must be from 1 MiB to 65536 GiB, not 0
              |
            7 |     disk: 0
              |           ^ components.web.disk
              = hint: write a value from 1 MiB to 65536 GiB

            bad.yaml:8:15: replicas must be from 1 to 256, not 257
              |
            8 |     replicas: 257
              |               ^^^ components.web.replicas
              = hint: write a value from 1 to 256

            bad.yaml:9:31: vcpus must be from 1 to 255, not 256
              |
            9 |   api: { image: guest, vcpus: 256, memory: 5TiB, disk: 99999999999999TiB, replicas: -1 }
              |                               ^^^ components.api.vcpus
              = hint: write a value from 1 to 255

            bad.yaml:9:44: memory must be from 1 MiB to 4096 GiB, not 5TiB
              |
            9 |   api: { image: guest, vcpus: 256, memory: 5TiB, disk: 99999999999999TiB, replicas: -1 }
              |                                            ^^^^ components.api.memory
              = hint: write a value from 1 MiB to 4096 GiB

            bad.yaml:9:56: disk must be from 1 MiB to 65536 GiB, not 99999999999999TiB
              |
            9 |   api: { image: guest, vcpus: 256, memory: 5TiB, disk: 99999999999999TiB, replicas: -1 }
              |                                                        ^^^^^^^^^^^^^^^^^ components.api.disk
              = hint: write a value from 1 MiB to 65536 GiB

            bad.yaml:9:85: replicas must be from 1 to 256, not -1
              |
            9 |   api: { image: guest, vcpus: 256, memory: 5TiB, disk: 99999999999999TiB, replicas: -1 }
              |                                                                                     ^^ components.api.replicas
              = hint: write a value from 1 to 256
        "#]],
    );
}

#[test]
fn a_number_beyond_every_type_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 999999999999999999999999999999999999999999999999999999999999
    memory: 128MiB
    disk: 64MiB
    replicas: 99999999999999999999
",
        &expect![[r#"
            bad.yaml:5:12: expected a whole number, found a number far too large
              |
            5 |     vcpus: 999999999999999999999999999999999999999999999999999999999999
              |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ components.web.vcpus
              = hint: write digits only, without quotes, such as 2

            bad.yaml:8:15: expected a whole number, found a number far too large
              |
            8 |     replicas: 99999999999999999999
              |               ^^^^^^^^^^^^^^^^^^^^ components.web.replicas
              = hint: write digits only, without quotes, such as 2
        "#]],
    );
}

#[test]
fn a_size_without_unit_is_refused() {
    check(
        r#"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128
    disk: "64"
"#,
        &expect![[r#"
            bad.yaml:6:13: the size 128 has no unit
              |
            6 |     memory: 128
              |             ^^^ components.web.memory
              = hint: write 128MiB

            bad.yaml:7:11: '64' is not a size
              |
            7 |     disk: "64"
              |           ^^^^ components.web.disk
              = hint: write 64MiB
        "#]],
    );
}

#[test]
fn a_size_in_other_units_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MB
    disk: 0.5GiB
  api: { image: guest, vcpus: 1, memory: 1g, disk: large }
",
        &expect![[r#"
            bad.yaml:6:13: '128MB' is not a size
              |
            6 |     memory: 128MB
              |             ^^^^^ components.web.memory
              = hint: write 128MiB

            bad.yaml:7:11: '0.5GiB' is not a size
              |
            7 |     disk: 0.5GiB
              |           ^^^^^^ components.web.disk
              = hint: write a whole number followed by MiB, GiB or TiB, such as 128MiB

            bad.yaml:8:42: '1g' is not a size
              |
            8 |   api: { image: guest, vcpus: 1, memory: 1g, disk: large }
              |                                          ^^ components.api.memory
              = hint: write 1GiB

            bad.yaml:8:52: 'large' is not a size
              |
            8 |   api: { image: guest, vcpus: 1, memory: 1g, disk: large }
              |                                                    ^^^^^ components.api.disk
              = hint: write a whole number followed by MiB, GiB or TiB, such as 128MiB
        "#]],
    );
}

#[test]
fn user_data_that_are_no_text_or_too_long() {
    let with = |user_data: &str| {
        format!(
            "service: a\ncomponents:\n  b:\n    image: c\n    vcpus: 1\n    memory: 1MiB\n    disk: 1MiB\n    user_data: {user_data}\n"
        )
    };
    check(
        &with("[1]"),
        &expect![[r#"
        bad.yaml:8:16: expected a text, found a list
          |
        8 |     user_data: [1]
          |                ^ components.b.user_data
          = hint: write '|', and the text below it, indented
    "#]],
    );
    check(
        &with("!!binary /w=="),
        &expect![[r#"
        bad.yaml:8:25: the file is not YAML here: !!binary scalar is not valid UTF-8 so cannot be stored into string. If you just use !!binary for documentation/annotation, set ignore_binary_tag_for_string in O…
          |
        8 |     user_data: !!binary /w==
          |                         ^^^^
          = hint: check the indentation, and that every colon, bracket and quote has its partner
    "#]],
    );
    let line = "x".repeat(99);
    let long = vec![line.as_str(); 164].join("\n      ");
    check(
        &with(&format!("|\n      {long}")),
        &expect![[r#"
        bad.yaml:9:7: user data of 16400 bytes are more than the 16384 that are handed to a machine
          |
        9 |       xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
          |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ components.b.user_data
          = hint: shorten them, or have them fetch the rest when the machine starts
    "#]],
    );
}
