//! Claims about rules of security groups.

use proptest::prelude::*;

use super::*;

fn ingress(text: &str) -> Result<Rule, BadRule> {
    Rule::parse(text, Direction::Ingress)
}

#[test]
fn a_rule_says_what_may_be_begun_by_whom() {
    for text in [
        "tcp 443 from 0.0.0.0/0",
        "tcp 1-65535 from ::/0",
        "udp 5000-5010 from 10.1.0.0/16",
        "icmp from web",
        "any from fd00::7/128",
    ] {
        assert_eq!(ingress(text).unwrap().written(Direction::Ingress), text);
    }
    let one = ingress("  tcp   22  from 192.0.2.7 ").unwrap();
    assert_eq!(one.written(Direction::Egress), "tcp 22 to 192.0.2.7/32");
}

#[test]
fn what_could_never_count_is_refused_with_what_to_write() {
    for (text, hint) in [
        ("", "write a rule such as 'tcp 443 from 0.0.0.0/0'"),
        ("tcp 443 by all", "write a rule such as 'tcp 443 from 0.0.0.0/0'"),
        ("tcp 443 from web app", "write a rule such as 'tcp 443 from 0.0.0.0/0'"),
        ("http from web", "write tcp, udp, icmp or any"),
        ("tcp from web", "write a port or a range: tcp 443, tcp 1-65535 for all"),
        ("icmp 8 from web", "leave the ports out"),
        ("tcp 80-20 from web", "write 20-80"),
        ("tcp 0 from web", "write a port from 1 to 65535, or a range as 80-90"),
        ("tcp +80 from web", "write a port from 1 to 65535, or a range as 80-90"),
        ("tcp 80- from web", "write a port from 1 to 65535, or a range as 80-90"),
        ("tcp 80", "write from a group, or from 0.0.0.0/0 for everybody (::/0 in IPv6)"),
        ("tcp 80 from", "write from a group, or from 0.0.0.0/0 for everybody (::/0 in IPv6)"),
        ("tcp 80 to web", "write from whom, or move the rule to egress"),
        (
            "any from 10.1/16",
            "write an address and a length, such as 10.1.0.0/16, or the name of a group",
        ),
        ("any from 10.1.0.7/16", "write 10.1.0.0/16, or 10.1.0.7 for the one address"),
        ("any from 127.0.0.1", "leave the rule out, or write another prefix"),
        ("any from ff02::/16", "leave the rule out, or write another prefix"),
        ("any from Web", "write web"),
    ] {
        assert_eq!(ingress(text).unwrap_err().hint(), hint, "{text}");
    }
}

#[test]
fn a_rule_that_is_there_twice_or_too_many_are_no_groups() {
    let rule = |port: usize| ingress(&format!("tcp {port} from web")).unwrap();
    assert!(matches!(Rules::new(vec![rule(1), rule(1)], vec![]), Err(BadRules::Twice { .. })));
    assert!(Rules::new(vec![rule(1)], vec![rule(1)]).is_ok());
    let many: Vec<Rule> = (1..=RULES_MAX + 1).map(rule).collect();
    assert!(matches!(Rules::new(many, vec![]), Err(BadRules::TooMany { .. })));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
        drop(ingress(&text));
        drop(Rule::parse(&text, Direction::Egress));
    }

    #[test]
    fn what_is_written_is_read_as_the_same(
        bits: u128, six: bool, length in 0_u8..=128, first in 1_u16.., more: u16, tcp: bool,
    ) {
        let net = if six {
            ipnet::Ipv6Net::new(bits.into(), length).map(ipnet::IpNet::from)
        } else {
            let bits = u32::try_from(bits >> 96).unwrap();
            ipnet::Ipv4Net::new(bits.into(), length % 33).map(ipnet::IpNet::from)
        };
        let Ok(block) = Block::try_from(net.unwrap().trunc()) else { return Ok(()) };
        let ports = Ports::try_from((first, first.saturating_add(more))).unwrap();
        let traffic = if tcp { Traffic::Tcp(ports) } else { Traffic::Udp(ports) };
        let rule = Rule { traffic, peer: Peer::Block(block) };
        for direction in [Direction::Ingress, Direction::Egress] {
            prop_assert_eq!(Rule::parse(&rule.written(direction), direction), Ok(rule.clone()));
        }
        let bytes = crate::codec::encode(&rule);
        prop_assert_eq!(crate::codec::decode_canonical::<Rule>(&bytes, 100).unwrap(), rule);
    }
}
