//! Mistakes about groups of networks and their routes.

use expect_test::expect;

use super::*;

/// A service with these networks and groups, and a component on the network `red`.
fn service(networks: &str, groups: &str) -> String {
    format!(
        "service: shop\nnetworks:\n{networks}groups:\n{groups}components:\n  web: {{ image: guest, vcpus: 1, \
         memory: 128MiB, disk: 64MiB, networks: [red] }}\n"
    )
}

#[test]
fn a_network_that_its_group_has_no_room_for() {
    let networks = "  blue: { prefix: 10.2.0.0/24, group: one }\n  green: { group: two }\n  red: { group: two }\n";
    check(
        &service(networks, "  one: { prefix: 10.1.0.0/16 }\n  two: { prefix: 10.3.0.0/28 }\n"),
        &expect![[r#"
            bad.yaml:3:19: the prefix 10.2.0.0/24 of network 'blue' is not within that of its group 'one' (10.1.0.0/16)
              |
            3 |   blue: { prefix: 10.2.0.0/24, group: one }
              |                   ^^^^^^^^^^^ networks.blue.prefix
              = hint: write a prefix within 10.1.0.0/16, or leave it out for a share of that

            bad.yaml:5:17: group 'two' (10.3.0.0/28) has no addresses left for network 'red'
              |
            5 |   red: { group: two }
              |                 ^^^ networks.red.group
              = hint: write a shorter prefix for the group
        "#]],
    );
}

#[test]
fn more_machines_than_the_share_of_a_group_has_addresses() {
    let text = service("  red: { group: one }\n", "  one: { prefix: 10.3.0.0/28 }\n");
    check(
        &text.replace("[red]", "[red], replicas: 12"),
        &expect![[r#"
        bad.yaml:3:17: network 'red' (10.3.0.0/28) has 11 addresses, and 12 machines are to be on it
          |
        3 |   red: { group: one }
          |                 ^^^ networks.red.group
          = hint: write a shorter prefix, or fewer replicas
    "#]],
    );
}

#[test]
fn a_group_that_no_network_is_in() {
    check(
        &service("  red: { group: one }\n", "  two: { prefix: 10.3.0.0/16 }\n"),
        &expect![[r#"
        bad.yaml:5:8: no network is in group 'two'
          |
        5 |   two: { prefix: 10.3.0.0/16 }
          |        ^ groups.two
          = hint: add group: two to networks that are to be routed, or leave it out here
    "#]],
    );
}

#[test]
fn what_is_said_of_a_group_in_another_shape() {
    let groups = "  one: { prefix: ten, routes: yes }\n  two: { routes: [7, 10.1.0.0/8 via 10.1.0.5] }\n  \
                  three: { route: [] }\n";
    check(
        &service("  red: { group: one }\n", groups),
        &expect![[r#"
        bad.yaml:5:18: 'ten' is no prefix of a network
          |
        5 |   one: { prefix: ten, routes: yes }
          |                  ^^^ groups.one.prefix
          = hint: write an address and a length, such as 10.1.0.0/16

        bad.yaml:5:31: expected a list of routes, found the text 'yes'
          |
        5 |   one: { prefix: ten, routes: yes }
          |                               ^^^ groups.one.routes
          = hint: write a list, such as [10.9.0.0/16 via 10.1.0.5]

        bad.yaml:6:19: expected a route, found the number 7
          |
        6 |   two: { routes: [7, 10.1.0.0/8 via 10.1.0.5] }
          |                   ^ groups.two.routes[0]
          = hint: write a route, such as 10.9.0.0/16 via 10.1.0.5

        bad.yaml:6:22: 10.1.0.0/8 is an address within the prefix 10.0.0.0/8
          |
        6 |   two: { routes: [7, 10.1.0.0/8 via 10.1.0.5] }
          |                      ^^^^^^^^^^^^^^^^^^^^^^^ groups.two.routes[1]
          = hint: write a prefix, of addresses that machines can have

        bad.yaml:7:12: 'route' is no key here
          |
        7 |   three: { route: [] }
          |            ^^^^^ groups.three
          = hint: did you mean routes?
    "#]],
    );
}

#[test]
fn a_route_that_leads_nowhere() {
    let groups = "  one:\n    prefix: 10.1.0.0/16\n    routes:\n      - 10.9.0.0/16 via 10.2.0.5\n      \
                  - 10.1.0.0/28 via nobody\n      - 0.0.0.0/0 via exit\n      - 10.8.0.0/16 via \
                  10.1.0.5\n";
    check(
        &service("  red: { group: one }\n", groups),
        &expect![[r#"
        bad.yaml:8:9: 10.2.0.5 is on no network of group 'one'
          |
        8 |       - 10.9.0.0/16 via 10.2.0.5
          |         ^^^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[0]
          = hint: write the fixed address of a machine on one of its networks, exit or nobody

        bad.yaml:9:9: a route to 10.1.0.0/28 never counts: these are addresses of network 'red'
          |
        9 |       - 10.1.0.0/28 via nobody
          |         ^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[1]
          = hint: leave the route out

        bad.yaml:10:9: no network of group 'one' reaches the public network
           |
        10 |       - 0.0.0.0/0 via exit
           |         ^^^^^^^^^^^^^^^^^^ groups.one.routes[2]
           = hint: add outbound: true to one of them
    "#]],
    );
}

#[test]
fn a_text_that_is_no_route_or_is_there_twice() {
    let groups = "  one:\n    routes:\n      - 10.9.0.0/16\n      - 10.9.0.0/16 via\n      \
                  - 10.9.0.1/16 via nobody\n      - 10.9.0.0/16 via fd00::5\n      \
                  - 169.254.0.0/16 via nobody\n      - 10.9.0.0/16 via nobody\n      \
                  - 10.9.0.0/16 via nobody\n      - 10.9.0.0/16 via nobody at all\n";
    check(
        &service("  red: { group: one }\n", groups),
        &expect![[r#"
        bad.yaml:7:9: '10.9.0.0/16' is no route
          |
        7 |       - 10.9.0.0/16
          |         ^^^^^^^^^^^ groups.one.routes[0]
          = hint: write a prefix, via, and an address, exit or nobody: 10.9.0.0/16 via 10.1.0.5

        bad.yaml:8:9: '10.9.0.0/16 via' is no route
          |
        8 |       - 10.9.0.0/16 via
          |         ^^^^^^^^^^^^^^^ groups.one.routes[1]
          = hint: write a prefix, via, and an address, exit or nobody: 10.9.0.0/16 via 10.1.0.5

        bad.yaml:9:9: 10.9.0.1/16 is an address within the prefix 10.9.0.0/16
          |
        9 |       - 10.9.0.1/16 via nobody
          |         ^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[2]
          = hint: write a prefix, of addresses that machines can have

        bad.yaml:10:9: what is for 10.9.0.0/16 cannot go by fd00::5, which is of another version of IP
           |
        10 |       - 10.9.0.0/16 via fd00::5
           |         ^^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[3]
           = hint: write a prefix and an address of one version

        bad.yaml:11:9: no machine has an address in 169.254.0.0/16, which is for link-local addresses, where metadata is served
           |
        11 |       - 169.254.0.0/16 via nobody
           |         ^^^^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[4]
           = hint: write a prefix, of addresses that machines can have

        bad.yaml:13:9: there is a route to 10.9.0.0/16 already
           |
        13 |       - 10.9.0.0/16 via nobody
           |         ^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[6]
           = hint: leave one of them out

        bad.yaml:14:9: '10.9.0.0/16 via nobody at all' is no route
           |
        14 |       - 10.9.0.0/16 via nobody at all
           |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes[7]
           = hint: write a prefix, via, and an address, exit or nobody: 10.9.0.0/16 via 10.1.0.5
    "#]],
    );
}

#[test]
fn more_routes_than_there_may_be() {
    let routes: String = (0..51).map(|it| format!("      - 10.{it}.0.0/16 via nobody\n")).collect();
    let groups = format!("  one:\n    routes:\n{routes}");
    check(
        &service("  red: { prefix: 172.16.0.0/24, group: one }\n", &groups),
        &expect![[r#"
        bad.yaml:57:9: 51 routes are more than 50
           |
        57 |       - 10.50.0.0/16 via nobody
           |         ^^^^^^^^^^^^^^^^^^^^^^^ groups.one.routes
           = hint: keep at most 50
    "#]],
    );
}

#[test]
fn a_group_need_not_be_described_and_its_networks_need_no_prefix() {
    good(&service("  red: { group: one }\n  blue: { group: two }\n", "  {}\n"));
    let groups =
        "  one: { prefix: 10.1.0.0/16, routes: [0.0.0.0/0 via exit, 10.9.0.0/16 via 10.1.0.5] }\n";
    good(&service("  red: { group: one, outbound: true }\n  blue: { group: one }\n", groups));
}
