//! Machines to ask about, and a way to ask without a network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use metadata::{
    Answer, Ask, Card, Decision, HopLimit, Instance, Key, Line, PublicKey, SecurityGroup, Tokens,
    Vpc, decide,
};
use protocol::hull::Mac;
use protocol::ids::{MachineId, MachineName, SiteId};
use protocol::time::Timestamp;
use uuid::Uuid;

/// The moment at which the examples are asked.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// The header that shows a token.
pub(crate) const TOKEN: &str = "x-aws-ec2-metadata-token";

/// The header that says how long a token is wanted.
pub(crate) const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

pub(crate) fn key() -> Key {
    Key::from_secret(&[3; 32])
}

pub(crate) fn line(text: &str) -> Line {
    text.parse().expect("one line")
}

/// A machine as plain as they come, with a number in all that is its own.
pub(crate) fn plain(number: u8) -> Instance {
    let home = SiteId::from_bytes([7; 32]);
    let machine = MachineId::from_uuid(Uuid::from_bytes([number; 16]));
    let card = Card {
        mac: Mac::of(home, machine, 0),
        id: line(&format!("eni-{number}")),
        ipv4: vec![Ipv4Addr::new(10, 77, 1, 10 + number)],
        ipv6: vec![],
        public: BTreeMap::new(),
        subnet: line("subnet-1"),
        subnet_ipv4: Some("10.77.1.0/24".parse().expect("a prefix")),
        subnet_ipv6: vec![],
        vpc: None,
        security_groups: vec![],
    };
    Instance {
        machine: MachineName { home, machine },
        id: line(&format!("i-{number:017x}")),
        hostname: line(&format!("c1{number}.shop.internal")),
        image: line("ami-0123456789abcdef0"),
        instance_type: line("v1.128m"),
        launch_index: u32::from(number) - 1,
        reservation: line("r-0123456789abcdef0"),
        account: line("018f0000-0000-7000-8000-000000000001"),
        zone: line("beta"),
        region: line("alpha"),
        launched: Timestamp::from_millis(1_780_000_000_500),
        root_device: line("/dev/vda"),
        card,
        more_cards: vec![],
        public_keys: vec![],
        tags: BTreeMap::new(),
        user_data: None,
        tokens: Tokens::Optional,
        hop_limit: HopLimit::ONE,
    }
}

/// A machine with all that a machine can have.
pub(crate) fn full() -> Instance {
    let mut full = plain(1);
    let group = |id: &str, name: &str| SecurityGroup { id: line(id), name: line(name) };
    let other = plain(2).card;
    let card = &mut full.card;
    card.ipv4.push(Ipv4Addr::new(10, 77, 1, 99));
    card.ipv6 = vec!["fd00:77::b".parse().expect("an address")];
    card.public = BTreeMap::from([
        (Ipv4Addr::new(203, 0, 113, 5), card.ipv4[0]),
        (Ipv4Addr::new(203, 0, 113, 9), card.ipv4[1]),
    ]);
    card.subnet_ipv6 = vec!["fd00:77::/64".parse().expect("a prefix")];
    card.vpc = Some(Vpc {
        id: line("vpc-1"),
        ipv4: vec!["10.77.0.0/16".parse().expect("a prefix")],
        ipv6: vec!["fd00:77::/48".parse().expect("a prefix")],
    });
    card.security_groups = vec![group("sg-1", "web"), group("sg-2", "all of us")];
    full.more_cards = vec![other];
    full.public_keys = vec![
        PublicKey { name: line("laptop"), key: line("ssh-ed25519 AAAAC3Nza laptop") },
        PublicKey { name: line("work"), key: line("ssh-ed25519 AAAAC3NzbB work") },
    ];
    let tag = |key: &str, value: &str| (key.parse().expect("a tag's key"), line(value));
    full.tags = BTreeMap::from([tag("Name", "the first"), tag("a+b@c:d", ""), tag("role", "web")]);
    full.user_data = Some(b"#cloud-config\n\xff\x00".to_vec().try_into().expect("it is short"));
    full
}

/// The answer to one request.
pub(crate) fn ask(
    instance: &Instance,
    method: &Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Decision {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("the value of a header");
        map.append(HeaderName::from_static(name), value);
    }
    decide(instance, &key(), &Ask { method, path, headers: &map, body }, NOW)
}

/// The answer to a request that is no push.
pub(crate) fn answer(
    instance: &Instance,
    method: &Method,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Answer {
    match ask(instance, method, path, headers, b"") {
        Decision::Answer(answer) => answer,
        Decision::Push(kpi) => panic!("{method} {path} pushes {kpi:?}"),
    }
}

/// What a plain GET finds; nothing if nothing is there.
pub(crate) fn get(instance: &Instance, path: &str) -> Option<String> {
    let answer = answer(instance, &Method::GET, path, &[]);
    match answer.status {
        StatusCode::OK => Some(
            String::from_utf8(answer.body.to_vec())
                .unwrap_or_else(|_| answer.body.escape_ascii().to_string()),
        ),
        StatusCode::NOT_FOUND => None,
        status => panic!("GET {path}: {status}"),
    }
}
