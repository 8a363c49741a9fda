//! Mistakes about networks, and about how components are on them.

use expect_test::expect;

use super::*;

/// A service with these networks, and a component with these lines about its own.
fn service(networks: &str, component: &str) -> String {
    format!(
        "service: shop\nnetworks:\n{networks}components:\n  web:\n    image: guest\n    vcpus: 1\n    \
         memory: 128MiB\n    disk: 64MiB\n{component}"
    )
}

#[test]
fn a_prefix_that_no_network_can_have() {
    let networks = "  red: { prefix: 10.1.0.1/16 }\n  blue: { prefix: 10.1.0.0/31 }\n  green: { prefix: \
                    169.254.0.0/24 }\n  white: { prefix: ten, prefix6: \"fd00::/48\" }\n";
    check(
        &service(networks, "    networks: [red]\n"),
        &expect![[r#"
            bad.yaml:3:18: 10.1.0.1/16 is an address within the prefix 10.1.0.0/16
              |
            3 |   red: { prefix: 10.1.0.1/16 }
              |                  ^^^^^^^^^^^ networks.red.prefix
              = hint: write 10.1.0.0/16

            bad.yaml:4:19: the length of 10.1.0.0/31 must be from 8 to 28
              |
            4 |   blue: { prefix: 10.1.0.0/31 }
              |                   ^^^^^^^^^^^ networks.blue.prefix
              = hint: the length must be from 8 to 28

            bad.yaml:5:20: 169.254.0.0/24 overlaps 169.254.0.0/16, which is for link-local addresses, where metadata is served
              |
            5 |   green: { prefix: 169.254.0.0/24 }
              |                    ^^^^^^^^^^^^^^ networks.green.prefix
              = hint: write a prefix for private use, such as 10.1.0.0/16 or fd12:3456:789a:1::/64

            bad.yaml:6:20: 'ten' is no prefix of a network
              |
            6 |   white: { prefix: ten, prefix6: "fd00::/48" }
              |                    ^^^ networks.white.prefix
              = hint: write an address and a length, such as 10.1.0.0/16

            bad.yaml:6:34: the length of fd00::/48 must be 64
              |
            6 |   white: { prefix: ten, prefix6: "fd00::/48" }
              |                                  ^^^^^^^^^^^ networks.white.prefix6
              = hint: the length must be 64
        "#]],
    );
}

#[test]
fn a_speed_in_bits() {
    check(
        &service("  red: { speed: 40Mbit }\n  blue: { speed: 5 }\n", "    networks: [red]\n"),
        &expect![[r#"
            bad.yaml:3:17: '40Mbit' counts bits, and speeds here count bytes a second
              |
            3 |   red: { speed: 40Mbit }
              |                 ^^^^^^ networks.red.speed
              = hint: write 5MBS

            bad.yaml:4:18: expected a speed, found the number 5
              |
            4 |   blue: { speed: 5 }
              |                  ^ networks.blue.speed
              = hint: write megabytes a second, such as 5MBS
        "#]],
    );
}

#[test]
fn what_is_said_of_a_network_in_another_shape() {
    let networks = "  red: { outbound: \"yes\", group: [a], sla: best, speed: {} }\n  Blue: {}\n  green: { prefx: 1 }\n";
    check(
        &service(networks, "    networks: [green]\n"),
        &expect![[r#"
        bad.yaml:3:20: expected true or false, found the text 'yes'
          |
        3 |   red: { outbound: "yes", group: [a], sla: best, speed: {} }
          |                    ^^^^^ networks.red.outbound
          = hint: write true or false

        bad.yaml:3:34: expected a name, found a list
          |
        3 |   red: { outbound: "yes", group: [a], sla: best, speed: {} }
          |                                  ^ networks.red.group
          = hint: write one name

        bad.yaml:3:44: 'best' is not one of best-effort, bronze, silver, gold
          |
        3 |   red: { outbound: "yes", group: [a], sla: best, speed: {} }
          |                                            ^^^^ networks.red.sla
          = hint: write one of best-effort, bronze, silver, gold

        bad.yaml:3:57: expected a speed, found keys with values
          |
        3 |   red: { outbound: "yes", group: [a], sla: best, speed: {} }
          |                                                         ^ networks.red.speed
          = hint: write megabytes a second, such as 5MBS

        bad.yaml:4:3: the network name 'Blue' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
          |
        4 |   Blue: {}
          |   ^^^^ networks.Blue
          = hint: write blue

        bad.yaml:5:12: 'prefx' is no key here
          |
        5 |   green: { prefx: 1 }
          |            ^^^^^ networks.green
          = hint: did you mean prefix?
    "#]],
    );
}

#[test]
fn a_component_that_does_not_say_which_of_several_networks_it_is_on() {
    check(
        &service("  red: {}\n  blue: {}\n", ""),
        &expect![[r#"
        bad.yaml:6:3: 'networks' is missing
          |
        6 |   web:
          |   ^^^ components.web
          = hint: add a list such as 'networks: [alpha, beta]'
    "#]],
    );
}

#[test]
fn a_component_on_a_network_that_is_not_there_or_on_none() {
    check(
        &service("  red: {}\n  blue: {}\n", "    networks: [rad]\n"),
        &expect![[r#"
        bad.yaml:11:15: the service has no network 'rad'
           |
        11 |     networks: [rad]
           |               ^ components.web.networks
           = hint: did you mean red?
    "#]],
    );
    check(
        &service("  red: {}\n", "    networks: []\n"),
        &expect![[r#"
        bad.yaml:10:15: an empty list of networks leaves the component's machines without a card
           |
        10 |     networks: []
           |               ^ components.web.networks
           = hint: name a network, or leave networks out if the service has only one
    "#]],
    );
    check(
        &service("  {}\n", "    networks: [red]\n"),
        &expect![[r#"
        bad.yaml:3:3: an empty list of networks leaves the component's machines without a card
          |
        3 |   {}
          |   ^ networks
          = hint: name a network, or leave networks out if the service has only one

        bad.yaml:10:15: the service has no network 'red'
           |
        10 |     networks: [red]
           |               ^ components.web.networks
           = hint: add red under networks, or leave it out here
    "#]],
    );
}

#[test]
fn networks_with_addresses_in_common_that_are_routed_or_on_one_machine() {
    let networks = "  red: { prefix: 10.0.0.0/8, group: inside }\n  blue: { prefix: 10.1.0.0/16, group: inside }\n";
    check(
        &service(networks, "    networks: [red, blue]\n"),
        &expect![[r#"
        bad.yaml:3:18: the networks 'blue' and 'red' of one group have addresses in common
          |
        3 |   red: { prefix: 10.0.0.0/8, group: inside }
          |                  ^^^^^^^^^^ networks.red.prefix
          = hint: give one of them another prefix, or leave it out of the group

        bad.yaml:11:15: the networks 'blue' and 'red' have addresses in common, and the component is on both
           |
        11 |     networks: [red, blue]
           |               ^ components.web.networks
           = hint: give one of them another prefix
    "#]],
    );
}

#[test]
fn equal_prefixes_of_networks_that_nothing_joins_are_no_mistake() {
    let networks = "  red: { prefix: 10.0.0.0/8 }\n  blue: { prefix: 10.0.0.0/8 }\n";
    good(&service(networks, "    networks: [red]\n"));
}

#[test]
fn a_fixed_address_that_the_machine_cannot_have() {
    let on = |address: &str| format!("    networks: {{ red: {{ address: {address} }} }}\n");
    let prefix = "  red: { prefix: 10.1.0.0/24 }\n";
    check(
        &service(prefix, &on("10.2.0.9")),
        &expect![[r#"
        bad.yaml:10:22: 10.2.0.9 is no machine's in network 'red' (10.1.0.0/24)
           |
        10 |     networks: { red: { address: 10.2.0.9 } }
           |                      ^ components.web.networks.red
           = hint: write an address from 10.1.0.4 to 10.1.0.254
    "#]],
    );
    check(
        &service(prefix, &on("10.1.0.1")),
        &expect![[r#"
        bad.yaml:10:22: 10.1.0.1 is no machine's in network 'red' (10.1.0.0/24)
           |
        10 |     networks: { red: { address: 10.1.0.1 } }
           |                      ^ components.web.networks.red
           = hint: write an address from 10.1.0.4 to 10.1.0.254
    "#]],
    );
    check(
        &service(prefix, &on("nine")),
        &expect![[r#"
            bad.yaml:10:33: 'nine' is no IPv4 address
               |
            10 |     networks: { red: { address: nine } }
               |                                 ^^^^ components.web.networks.red.address
               = hint: write four numbers, as in 10.1.0.9
        "#]],
    );
    check(
        &service("  red: {}\n", &on("10.1.0.9")),
        &expect![[r#"
        bad.yaml:10:22: 10.1.0.9 is fixed, and the prefix of network 'red' is not
           |
        10 |     networks: { red: { address: 10.1.0.9 } }
           |                      ^ components.web.networks.red
           = hint: add a prefix to network red
    "#]],
    );
    check(
        &service(prefix, &format!("    replicas: 2\n{}", on("10.1.0.9"))),
        &expect![[r#"
        bad.yaml:11:22: 10.1.0.9 cannot be the address of 2 machines
           |
        11 |     networks: { red: { address: 10.1.0.9 } }
           |                      ^ components.web.networks.red
           = hint: leave the address out, or set replicas to 1
    "#]],
    );
    let other = "  db: { image: guest, vcpus: 1, memory: 1MiB, disk: 1MiB, networks: { red: { address: 10.1.0.9 } } }\n";
    check(
        &service(prefix, &format!("{}{other}", on("10.1.0.9"))),
        &expect![[r#"
        bad.yaml:10:22: 10.1.0.9 is the address of 'db' already
           |
        10 |     networks: { red: { address: 10.1.0.9 } }
           |                      ^ components.web.networks.red
           = hint: fix another address, or leave it out
    "#]],
    );
}

#[test]
fn a_public_address_where_the_public_network_is_not_reached() {
    let component = "    networks: { red: { public: true } }\n";
    check(
        &service("  red: {}\n", component),
        &expect![[r#"
        bad.yaml:10:22: network 'red' does not reach the public network, so nobody has a public address there
           |
        10 |     networks: { red: { public: true } }
           |                      ^ components.web.networks.red
           = hint: add outbound: true to network red
    "#]],
    );
    good(&service("  red: { outbound: true }\n", component));
}

#[test]
fn more_machines_than_addresses() {
    let component = "    replicas: 12\n    networks: [red]\n";
    check(
        &service("  red: { prefix: 10.1.0.0/28 }\n", component),
        &expect![[r#"
        bad.yaml:3:18: network 'red' (10.1.0.0/28) has 11 addresses, and 12 machines are to be on it
          |
        3 |   red: { prefix: 10.1.0.0/28 }
          |                  ^^^^^^^^^^^ networks.red.prefix
          = hint: write a shorter prefix, or fewer replicas
    "#]],
    );
}

#[test]
fn more_networks_than_there_may_be() {
    let many: String = (0..17).map(|number| format!("  net{number}: {{}}\n")).collect();
    check(
        &service(&many, "    networks: [net0, net1, net2, net3, net4]\n"),
        &expect![[r#"
        bad.yaml:3:3: 17 networks are more than 16
          |
        3 |   net0: {}
          |   ^ networks
          = hint: keep at most 16

        bad.yaml:26:15: 5 networks are more than 4
           |
        26 |     networks: [net0, net1, net2, net3, net4]
           |               ^ components.web.networks
           = hint: keep at most 4
    "#]],
    );
}
