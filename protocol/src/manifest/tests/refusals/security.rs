//! Mistakes about security groups, and about which of them components are in.

use expect_test::expect;

use super::*;

/// A service with these groups, and a component with these lines about its own.
fn service(groups: &str, component: &str) -> String {
    format!(
        "service: shop\nsecurity:\n{groups}components:\n  web:\n    image: guest\n    vcpus: 1\n    \
         memory: 128MiB\n    disk: 64MiB\n{component}"
    )
}

#[test]
fn a_rule_that_is_none_or_could_never_count() {
    let groups = "  web:\n    ingress:\n      - tcp 80-20 from 0.0.0.0/0\n      - tcp 80 to web\n      - 80\n      \
                  - icmp from web\n      - icmp from  web\n    egress: tcp 80 to web\n";
    check(
        &service(groups, ""),
        &expect![[r#"
        bad.yaml:5:9: there is no port from 80 to 20
          |
        5 |       - tcp 80-20 from 0.0.0.0/0
          |         ^^^^^^^^^^^^^^^^^^^^^^^^ security.web.ingress[0]
          = hint: write 20-80

        bad.yaml:6:9: a rule of ingress says 'from', not 'to'
          |
        6 |       - tcp 80 to web
          |         ^^^^^^^^^^^^^ security.web.ingress[1]
          = hint: write from whom, or move the rule to egress

        bad.yaml:7:9: expected a rule, found the number 80
          |
        7 |       - 80
          |         ^^ security.web.ingress[2]
          = hint: write what, and from or to whom, such as tcp 443 from 0.0.0.0/0

        bad.yaml:9:9: 'icmp from web' is listed twice
          |
        9 |       - icmp from  web
          |         ^^^^^^^^^^^^^^ security.web.ingress[4]
          = hint: leave out the second

        bad.yaml:10:13: expected a list of rules, found the text 'tcp 80 to web'
           |
        10 |     egress: tcp 80 to web
           |             ^^^^^^^^^^^^^ security.web.egress
           = hint: write a list, such as [tcp 443 from 0.0.0.0/0]
    "#]],
    );
}

#[test]
fn a_group_that_is_not_there() {
    let groups = "  web: { ingress: [icmp from 10.0.0.0/8, tcp 80 from wbe] }\n";
    check(
        &service(groups, "    security: [web, database]\n"),
        &expect![[r#"
        bad.yaml:3:42: the service has no security group 'wbe'
          |
        3 |   web: { ingress: [icmp from 10.0.0.0/8, tcp 80 from wbe] }
          |                                          ^^^^^^^^^^^^^^^ security.web.ingress[1]
          = hint: did you mean web?

        bad.yaml:10:15: the service has no security group 'database'
           |
        10 |     security: [web, database]
           |               ^ components.web.security
           = hint: add database under security, or leave it out here
    "#]],
    );
}

#[test]
fn a_component_in_no_group_or_in_too_many() {
    check(
        &service("  {}\n", "    security: []\n"),
        &expect![[r#"
        bad.yaml:10:15: an empty list of security groups closes the component's machines to everybody
           |
        10 |     security: []
           |               ^ components.web.security
           = hint: name a group, or leave security out for the group 'default'
    "#]],
    );
    let many: Vec<String> = (0..6).map(|number| format!("g{number}")).collect();
    let groups: String = many.iter().map(|name| format!("  {name}: {{}}\n")).collect();
    let component = format!("    security: [{}]\n", many.join(", "));
    check(
        &service(&groups, &component),
        &expect![[r#"
        bad.yaml:15:36: 6 security groups are more than 5
           |
        15 |     security: [g0, g1, g2, g3, g4, g5]
           |                                    ^^ components.web.security
           = hint: keep at most 5
    "#]],
    );
}

#[test]
fn more_groups_or_rules_than_there_may_be() {
    let many: String = (0..33).map(|number| format!("  g{number}: {{}}\n")).collect();
    check(
        &service(&many, ""),
        &expect![[r#"
        bad.yaml:3:3: 34 security groups are more than 32
          |
        3 |   g0: {}
          |   ^ security
          = hint: keep at most 32
    "#]],
    );
    let rules: Vec<String> = (1..=51).map(|port| format!("tcp {port} from web")).collect();
    let groups = format!("  web:\n    ingress: [\"{}\"]\n", rules.join("\",\n      \""));
    check(
        &service(&groups, ""),
        &expect![[r#"
        bad.yaml:54:7: 51 rules are more than 50
           |
        54 |       "tcp 51 from web"]
           |       ^^^^^^^^^^^^^^^^^ security.web.ingress
           = hint: keep at most 50
    "#]],
    );
}

#[test]
fn keys_that_groups_do_not_have() {
    check(
        &service("  Web: { ingres: [] }\n  app: [tcp]\n", ""),
        &expect![[r#"
        bad.yaml:3:3: the security group name 'Web' must consist of lower-case letters, digits and hyphens, with a letter first and no hyphen last
          |
        3 |   Web: { ingres: [] }
          |   ^^^ security.Web
          = hint: write web

        bad.yaml:3:10: 'ingres' is no key here
          |
        3 |   Web: { ingres: [] }
          |          ^^^^^^ security.Web
          = hint: did you mean ingress?

        bad.yaml:4:8: expected keys with values, found a list
          |
        4 |   app: [tcp]
          |        ^ security.app
          = hint: write 'key: value' pairs on indented lines of their own
    "#]],
    );
}
