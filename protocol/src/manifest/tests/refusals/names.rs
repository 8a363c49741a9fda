//! Names that cannot be names.

use expect_test::expect;

use super::*;

#[test]
fn names_that_are_no_labels_are_refused() {
    check(
        r"service: My Shop
components:
  Data_Base: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
  -web-: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
  3d: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
  größe: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
  '': { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
",
        &expect![[r#"
            bad.yaml:1:10: the service name 'My Shop' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            1 | service: My Shop
              |          ^^^^^^^ service
              = hint: write my-shop

            bad.yaml:3:3: the component name 'Data_Base' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            3 |   Data_Base: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |   ^^^^^^^^^ components.Data_Base
              = hint: write data-base

            bad.yaml:4:3: the component name '-web-' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            4 |   -web-: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |   ^^^^^ components.-web-
              = hint: write web

            bad.yaml:5:3: the component name '3d' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            5 |   3d: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |   ^^ components.3d
              = hint: use only lower-case letters, digits and hyphens, with a letter first and no hyphen last

            bad.yaml:6:3: the component name 'größe' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
              |
            6 |   größe: { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |   ^^^^^ components.größe
              = hint: use only lower-case letters, digits and hyphens, with a letter first and no hyphen last

            bad.yaml:7:3: the component name is empty
              |
            7 |   '': { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB }
              |   ^^ components.
              = hint: give the component a name
        "#]],
    );
}

#[test]
fn names_that_are_too_long_are_refused() {
    check(
        r"service: ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss
components:
  wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww:
    image: iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    place: { sites: [sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss] }
",
        &expect![[r#"
            bad.yaml:1:10: the service name 'ssssssssssssssssssssssssssssssssssssssss…' has 64 characters, more than 63
              |
            1 | service: ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss
              |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ service
              = hint: shorten it to 63 characters

            bad.yaml:3:3: the component name 'wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww…' has 64 characters, more than 59
              |
            3 |   wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww:
              |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ components.wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww…
              = hint: shorten it to 59 characters

            bad.yaml:4:12: the image name 'iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii…' has 65 characters, more than 64
              |
            4 |     image: iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii
              |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ components.wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww….image
              = hint: shorten it to 64 characters

            bad.yaml:8:22: the site name 'ssssssssssssssssssssssssssssssssssssssss…' has 65 characters, more than 64
              |
            8 |     place: { sites: [sssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss] }
              |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ components.wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww….place.sites[0]
              = hint: shorten it to 64 characters
        "#]],
    );
}

#[test]
fn a_name_of_an_image_or_site_with_spaces_is_refused() {
    check(
        r"service: shop
components:
  web:
    image: my image
    vcpus: 1
    memory: 128MiB
    disk: 64MiB
    place: { sites: [ 'a b' ] }
",
        &expect![[r#"
            bad.yaml:4:12: the image name 'my image' must consist of letters, digits and any of . _ - : / + @
              |
            4 |     image: my image
              |            ^^^^^^^^ components.web.image
              = hint: use only letters, digits and any of . _ - : / + @

            bad.yaml:8:23: the site name 'a b' must consist of letters, digits and any of . _ -
              |
            8 |     place: { sites: [ 'a b' ] }
              |                       ^^^^^ components.web.place.sites[0]
              = hint: use only letters, digits and any of . _ -
        "#]],
    );
}
