//! Claims about what people see of networks.

use std::collections::BTreeMap;

use expect_test::expect;
use protocol::sla::Class;
use protocol::time::Timestamp;

use super::super::network::{found, listed, shown};
use crate::api::shapes::Moment;
use crate::api::shapes::network::{
    Broken, Checked, Detailed, Device, Drops, End, Inside, Measured, Member, Network, Route, Stray,
    Tunnel, Way,
};

fn red() -> Network {
    Network {
        id: "019aaa00-0000-7000-8000-0000000000ee".to_owned(),
        name: "shop/red".to_owned(),
        home: "alpha".to_owned(),
        prefix: "10.1.0.0/24".to_owned(),
        prefix6: "fd00:1::/64".to_owned(),
        speed: Some("5MBS".to_owned()),
        sla: Class::Gold,
        outbound: true,
        group: Some("both".to_owned()),
        members: 2,
        sites: ["alpha", "beta", "gamma", "delta"].map(str::to_owned).to_vec(),
    }
}

fn end(site: &str, vni: Option<u32>, tunnel: Option<Tunnel>) -> End {
    End {
        site: site.to_owned(),
        site_id: "ab".repeat(32),
        is_own: site == "alpha",
        vni,
        gateway: vni.map(|_| "cd".repeat(32)),
        endpoint: vni.map(|_| "192.0.2.2:7402".to_owned()),
        tunnel,
    }
}

fn tunnel(last_handshake: Option<u64>, wrong_source: u64) -> Tunnel {
    Tunnel {
        endpoint: Some("192.0.2.9:7402".to_owned()),
        last_handshake,
        received: 70_000,
        sent: 900,
        drops: BTreeMap::from([("wrong-source".to_owned(), wrong_source)]),
    }
}

/// 2026-11-23 00:00:00 UTC.
fn now() -> Moment {
    Timestamp::from_millis(1_795_392_000_000).into()
}

fn measured() -> Measured {
    Measured {
        since: Timestamp::from_millis(1_795_305_600_000).into(),
        seen: 86_000,
        missed: 2_600,
        allowed: Some(2_590),
        availability: Some("96.9767 %".to_owned()),
        unseen: 400,
        kept: false,
        before: Some("99.9912 %".to_owned()),
    }
}

fn detailed() -> Detailed {
    let card = |number: u32, site: Option<&str>| Member {
        name: format!("web-{number}"),
        machine_id: format!("019aaa00-0000-7000-8000-00000000000{number}"),
        address: Some(format!("10.1.0.{number}")),
        address6: format!("fd00:1::{number}"),
        mac: format!("02:00:00:00:00:0{number}"),
        site: site.map(str::to_owned),
        host: site.filter(|site| *site == "alpha").map(|_| "alpha-1".to_owned()),
    };
    let device = |name: &str, is_up| Device {
        name: name.to_owned(),
        is_up,
        mtu: 1_350,
        received: 1_000,
        sent: 70_000,
    };
    let inside = Inside {
        node: 1,
        gateway: Some(1),
        mtu: 1_350,
        room_between_sites: Some(1_200),
        ends: vec![
            end("alpha", Some(1), None),
            end("beta", Some(7), Some(tunnel(Some(12), 3))),
            end("gamma", Some(9), Some(tunnel(None, 0))),
            end("delta", None, None),
        ],
        devices: vec![device("rb1", true), device("rt1", false)],
        drops: BTreeMap::from([("foreign-mac".to_owned(), Drops { packets: 4, bytes: 240 })]),
        trouble: String::new(),
    };
    let cards = vec![card(1, Some("alpha")), card(2, Some("beta")), card(3, None)];
    let route = |to: &str, via: &str, machine: Option<&str>| Route {
        to: to.to_owned(),
        via: via.to_owned(),
        machine: machine.map(str::to_owned),
    };
    let routes = vec![
        route("10.8.0.0/16", "10.1.0.2", Some("web-2")),
        route("10.9.0.0/16", "10.1.0.9", None),
        route("0.0.0.0/0", "exit", None),
        route("192.168.0.0/16", "nobody", None),
    ];
    Detailed {
        network: red(),
        measured: Some(measured()),
        routed_to: vec!["shop/blue".to_owned(), "shop/green".to_owned()],
        routes,
        cards,
        inside: Some(inside),
    }
}

#[test]
fn networks_are_listed_with_who_is_on_them() {
    let foreign = Network {
        id: format!("019aaa00-0000-7000-8000-0000000000ff@{}", "ab".repeat(32)),
        name: "stall".to_owned(),
        home: "beta".to_owned(),
        speed: None,
        group: None,
        ..red()
    };
    expect![[r#"
        NETWORK   HOME   GROUP  PREFIX       PREFIX6      SPEED  SLA   MEMBERS  SITES                      ID
        shop/red  alpha  both   10.1.0.0/24  fd00:1::/64  5MBS   gold  2        alpha, beta, gamma, delta  0000000000ee
        stall     beta   -      10.1.0.0/24  fd00:1::/64  -      gold  2        alpha, beta, gamma, delta  0000000000ff
    "#]].assert_eq(&listed(&[red(), foreign]));
}

#[test]
fn a_network_is_shown_with_what_is_wrong_between_its_sites() {
    expect![[r#"
        network   shop/red
        id        019aaa00-0000-7000-8000-0000000000ee
        home      alpha
        prefixes  10.1.0.0/24, fd00:1::/64
        speed     5MBS
        sla       gold: every other site on it is reached for 99.9 % of a month
        measured  96.9767 % since 2026-11-22 00:00:00Z (1d ago); 2600 s missed of 2590 s that a month allows: the promise is broken; for 400 s nobody looked; 99.9912 % in the month before
        way out   at alpha
        group     both, with shop/blue, shop/green
        sites     alpha, beta, gamma, delta

        MEMBER  ADDRESS   ADDRESS6   MAC                PLACE
        web-1   10.1.0.1  fd00:1::1  02:00:00:00:00:01  alpha alpha-1
        web-2   10.1.0.2  fd00:1::2  02:00:00:00:00:02  beta
        web-3   10.1.0.3  fd00:1::3  02:00:00:00:00:03  -

        ROUTE           VIA       LEADS TO
        10.8.0.0/16     10.1.0.2  web-2
        10.9.0.0/16     10.1.0.9  nobody: no machine has that address
        0.0.0.0/0       exit      the way out
        192.168.0.0/16  nobody    nobody

        seen by   node 1
        gateway   node 1
        path MTU  1200 bytes: too few for the 1350 that guests send; raise the MTU of what leads to the other sites

        SITE   VNI  ENDPOINT        TUNNEL                                  RECEIVED  SENT  DROPPED
        alpha  1    192.0.2.2:7402  this site                               -         -     -
        beta   7    192.0.2.9:7402  handshake 12s ago                       70000     900   3
        gamma  9    192.0.2.9:7402  no handshake: is its UDP port reached?  70000     900   0
        delta  -    -               has not joined yet                      -         -     -

        DEVICE  STATE  MTU   RECEIVED  SENT
        rb1     up     1350  1000      70000
        rt1     down   1350  1000      70000

        DROPPED BECAUSE OF  PACKETS  BYTES
        foreign-mac         4        240
    "#]].assert_eq(&shown(&detailed(), now()));
}

#[test]
fn of_two_sites_that_nobody_can_call_it_is_said_what_would_help() {
    let mut detailed = detailed();
    detailed.cards.clear();
    if let Some(inside) = &mut detailed.inside {
        let silent = Tunnel { endpoint: None, ..tunnel(None, 0) };
        inside.ends = vec![end("alpha", Some(1), None), end("beta", Some(7), Some(silent))];
        inside.ends[1].endpoint = None;
    }
    assert!(shown(&detailed, now()).contains("has not called yet"));
    if let Some(inside) = &mut detailed.inside {
        inside.ends[0].endpoint = None;
    }
    let text = shown(&detailed, now());
    assert!(text.contains("neither can be called: say where one is reached"), "{text}");
}

#[test]
fn a_node_that_is_not_the_gateway_names_the_one_that_is() {
    let mut detailed = detailed();
    detailed.cards.clear();
    detailed.routes.clear();
    detailed.routed_to.clear();
    detailed.measured = None;
    if let Some(inside) = &mut detailed.inside {
        inside.node = 2;
        inside.room_between_sites = None;
        inside.ends = vec![end("beta", Some(7), None)];
        inside.devices.clear();
        inside.drops.clear();
        inside.trouble = "the tunnel does not answer".to_owned();
    }
    expect![[r#"
        network   shop/red
        id        019aaa00-0000-7000-8000-0000000000ee
        home      alpha
        prefixes  10.1.0.0/24, fd00:1::/64
        speed     5MBS
        sla       gold: every other site on it is reached for 99.9 % of a month
        measured  not yet
        way out   at alpha
        group     both, and nothing else of it reaches here
        sites     alpha, beta, gamma, delta

        MEMBER  ADDRESS  ADDRESS6  MAC  PLACE

        seen by   node 2
        gateway   node 1: ask it for the tunnels to other sites
        path MTU  no way to other sites from here; guests send up to 1350 bytes
        trouble   the tunnel does not answer

        SITE  VNI  ENDPOINT        TUNNEL              RECEIVED  SENT  DROPPED
        beta  7    192.0.2.2:7402  not from this node  -         -     -
    "#]]
    .assert_eq(&shown(&detailed, now()));
}

fn way(to: &str, largest: Option<u16>) -> Way {
    let tunnel = to != "alpha-2";
    Way {
        from: "alpha".to_owned(),
        to: to.to_owned(),
        tunnel,
        round_trip: largest.map(|_| 1_042),
        sent: 10,
        answered: if largest.is_some() { 10 } else { 0 },
        largest,
        needed: if tunnel { 1_420 } else { 1_400 },
        handshake: largest.filter(|_| tunnel).map(|_| 12),
    }
}

#[test]
fn a_check_that_finds_nothing_says_so_and_shows_the_ways() {
    let checked = Checked {
        networks: vec!["shop/red".to_owned(), "stall".to_owned()],
        ways: vec![way("beta", Some(1_420)), way("alpha-2", Some(1_400))],
        stray: Vec::new(),
        faults: Vec::new(),
    };
    expect![[r#"
        FROM   TO       BY      ROUND TRIP  LOST     CARRIES  NEEDED  HANDSHAKE
        alpha  beta     tunnel  1.042 ms    0 of 10  1420     1420    12s ago
        alpha  alpha-2  wire    1.042 ms    0 of 10  1400     1400    -

        checked  shop/red, stall
        broken   nothing
    "#]]
    .assert_eq(&found(&checked));
    let nothing = Checked { networks: Vec::new(), ways: Vec::new(), ..checked };
    expect![[r#"
        checked  no network is here
        broken   nothing
    "#]]
    .assert_eq(&found(&nothing));
}

#[test]
fn a_check_ends_with_what_is_broken_and_what_to_do() {
    let broken = |what: &str, next: &str| Broken { what: what.to_owned(), next: next.to_owned() };
    let checked = Checked {
        networks: vec!["shop/red".to_owned()],
        ways: vec![way("beta", None), way("gamma", Some(1_280))],
        stray: vec![Stray {
            node: "alpha".to_owned(),
            cause: "unknown-peer".to_owned(),
            packets: 4,
            bytes: 600,
        }],
        faults: vec![
            broken("beta answers nothing that alpha sends", "open the tunnel's UDP port"),
            broken("the networks of alpha are not well: \u{1b}[2J", "put that right"),
        ],
    };
    expect![[r#"
        FROM   TO     BY      ROUND TRIP  LOST      CARRIES  NEEDED  HANDSHAKE
        alpha  beta   tunnel  -           10 of 10  -        1420    -
        alpha  gamma  tunnel  1.042 ms    0 of 10   1280     1420    12s ago

        NODE   DROPPED, OF NO NETWORK, BECAUSE OF  PACKETS  BYTES
        alpha  unknown-peer                        4        600

        checked  shop/red
        broken   beta answers nothing that alpha sends: open the tunnel's UDP port
        broken   the networks of alpha are not well: �[2J: put that right
    "#]]
    .assert_eq(&found(&checked));
}
