//! Services that are empty, too large, or could never be started.

use expect_test::expect;

use super::*;

#[test]
fn a_service_without_components_is_refused() {
    check(
        r"service: shop
components: {}
",
        &expect![[r#"
            bad.yaml:2:13: the service has no components
              |
            2 | components: {}
              |             ^ components
              = hint: add a component with image, vcpus, memory and disk
        "#]],
    );
}

#[test]
fn too_many_machines_in_all_are_refused() {
    check(
        r"service: shop
components:
  c0: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, replicas: 256 }
  c1: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, replicas: 256 }
  c2: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, replicas: 256 }
  c3: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, replicas: 256 }
  c4: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, replicas: 256 }
",
        &expect![[r#"
            bad.yaml:3:3: 1280 machines in all are more than 1024
              |
            3 |   c0: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, replicas: 256 }
              |   ^ components
              = hint: lower the replicas, or split it into several services
        "#]],
    );
}

#[test]
fn an_unknown_component_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    after: [databse, cache]
  database: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
",
        &expect![[r#"
            bad.yaml:8:13: the service has no component 'databse'
              |
            8 |     after: [databse, cache]
              |             ^^^^^^^ components.web.after
              = hint: did you mean database?

            bad.yaml:8:22: the service has no component 'cache'
              |
            8 |     after: [databse, cache]
              |                      ^^^^^ components.web.after
              = hint: add cache under components, or leave it out here
        "#]],
    );
}

#[test]
fn a_component_that_waits_for_itself_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    after: [web]
",
        &expect![[r#"
            bad.yaml:8:13: 'web' cannot wait for itself
              |
            8 |     after: [web]
              |             ^^^ components.web.after
              = hint: leave it out here
        "#]],
    );
}

#[test]
fn a_cycle_is_refused_with_everyone_on_it() {
    check(
        r"service: shop
components:
  web: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [api] }
  api: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [database] }
  database: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [web] }
  late: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [web] }
  ping: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [pong] }
  pong: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [ping] }
",
        &expect![[r#"
            bad.yaml:4:71: these wait for each other, and none could start: api -> database -> web -> api
              |
            4 |   api: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [database] }
              |                                                                       ^^^^^^^^ components.api.after
              = hint: break the circle: leave one of them out of an 'after'

            bad.yaml:7:72: these wait for each other, and none could start: ping -> pong -> ping
              |
            7 |   ping: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [pong] }
              |                                                                        ^^^^ components.ping.after
              = hint: break the circle: leave one of them out of an 'after'
        "#]],
    );
}

#[test]
fn a_name_listed_twice_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    after: [database, database]
    place: { sites: [alpha, beta, alpha] }
  database: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
",
        &expect![[r#"
            bad.yaml:8:23: 'database' is listed twice
              |
            8 |     after: [database, database]
              |                       ^^^^^^^^ components.web.after[1]
              = hint: leave out the second

            bad.yaml:9:35: 'alpha' is listed twice
              |
            9 |     place: { sites: [alpha, beta, alpha] }
              |                                   ^^^^^ components.web.place.sites[2]
              = hint: leave out the second
        "#]],
    );
}

#[test]
fn a_place_without_sites_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: guest
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    place: { sites: [] }
  api: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, place: { site: alpha } }
",
        &expect![[r#"
            bad.yaml:8:21: an empty list of sites leaves no place for the component
              |
            8 |     place: { sites: [] }
              |                     ^ components.web.place.sites
              = hint: name a site, or leave place out to allow any

            bad.yaml:9:72: 'site' is no key here
              |
            9 |   api: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, place: { site: alpha } }
              |                                                                        ^^^^ components.api.place
              = hint: did you mean sites?
        "#]],
    );
}

#[test]
fn everything_wrong_is_told_at_once() {
    check(
        r"service: My Shop
components:
  web:
    image: guest
    vcpus: none
    memory: 128
    dsik: 64MiB
    after: [web, api]
  database: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
",
        &expect![[r#"
            bad.yaml:1:10: the service name 'My Shop' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            1 | service: My Shop
              |          ^^^^^^^ service
              = hint: write my-shop

            bad.yaml:5:12: expected a whole number, found the text 'none'
              |
            5 |     vcpus: none
              |            ^^^^ components.web.vcpus
              = hint: write digits only, without quotes, such as 2

            bad.yaml:6:13: the size 128 has no unit
              |
            6 |     memory: 128
              |             ^^^ components.web.memory
              = hint: write 128MiB

            bad.yaml:7:5: 'dsik' is no key here
              |
            7 |     dsik: 64MiB
              |     ^^^^ components.web
              = hint: did you mean disk?

            bad.yaml:8:13: 'web' cannot wait for itself
              |
            8 |     after: [web, api]
              |             ^^^ components.web.after
              = hint: leave it out here

            bad.yaml:8:18: the service has no component 'api'
              |
            8 |     after: [web, api]
              |                  ^^^ components.web.after
              = hint: add api under components, or leave it out here
        "#]],
    );
}

#[test]
fn a_long_line_is_shown_where_the_mistake_is() {
    check(
        r"service: shop
components: { database: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }, application: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, after: [database] }, web: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, afer: [application] } }
",
        &expect![[r#"
            bad.yaml:2:231: 'afer' is no key here
              |
            2 |  vcpus: 1, memory: 128MiB, disk: 64MiB, afer: [application] } }
              |                                         ^^^^ components.web
              = hint: did you mean after?
        "#]],
    );
}

#[test]
fn what_a_terminal_would_obey_is_not_repeated() {
    check(
        "service: \"\\e[31mred\"\ncomponents:\n  \"a\u{202e}b\": {}\n",
        &expect![[r#"
            bad.yaml:1:10: the service name '�[31mred' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            1 | service: "\e[31mred"
              |          ^^^^^^^^^^^ service
              = hint: use only lower-case letters, digits and hyphens, with a letter first and no hyphen last

            bad.yaml:3:3: the component name 'a�b' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            3 |   "a�b": {}
              |   ^^^^^ components.a�b
              = hint: use only lower-case letters, digits and hyphens, with a letter first and no hyphen last

            bad.yaml:3:3: 'image' is missing
              |
            3 |   "a�b": {}
              |   ^^^^^ components.a�b
              = hint: add 'image:' with a name

            bad.yaml:3:3: 'vcpus' is missing
              |
            3 |   "a�b": {}
              |   ^^^^^ components.a�b
              = hint: add a line such as 'vcpus: 1'

            bad.yaml:3:3: 'memory' is missing
              |
            3 |   "a�b": {}
              |   ^^^^^ components.a�b
              = hint: add a line such as 'memory: 128MiB'

            bad.yaml:3:3: 'disk' is missing
              |
            3 |   "a�b": {}
              |   ^^^^^ components.a�b
              = hint: add a line such as 'disk: 128MiB'
        "#]],
    );
}

#[test]
fn too_many_components_are_refused_at_the_first_that_is_too_much() {
    let mut text = "service: shop\ncomponents:\n".to_owned();
    for number in 0..=COMPONENTS_MAX {
        text.push_str(&format!(
            "  c{number}: {{ image: i, vcpus: 1, memory: 1MiB, disk: 1MiB }}\n"
        ));
    }
    check(
        &text,
        &expect![[r#"
        bad.yaml:67:3: 65 components are more than 64
           |
        67 |   c64: { image: i, vcpus: 1, memory: 1MiB, disk: 1MiB }
           |   ^^^ components
           = hint: keep at most 64
    "#]],
    );
}
