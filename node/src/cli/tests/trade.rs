//! Claims about what people see of peers and agreements.

use expect_test::expect;
use protocol::machine::State;
use protocol::peering::{Policy, Setting, Standing};
use protocol::sla::Class;

use super::{ago, tariff};
use crate::api::shapes::Size;
use crate::api::shapes::agreement as agreements;
use crate::api::shapes::peer as peers;
use crate::cli::{agreement, peer};

pub(super) fn beta() -> peers::Peer {
    let settings = Policy::OPEN.with(&[Setting::BuysFrom(false)]).settings();
    let size = Size { vcpus: 4, memory_mib: 2_048, disk_mib: 10_240 };
    peers::Peer {
        id: Some("ab".repeat(32)),
        name: Some("beta".to_owned()),
        standing: Some(Standing::Open),
        policy: settings.map(Setting::written).map(|(name, it)| (name.to_owned(), it)).into(),
        account: peers::Account { machines: 2, hourly: "0.020000".to_owned() },
        machines_there: 1,
        sold: peers::Dealings {
            agreements: 2,
            hourly: "0.020000".to_owned(),
            next_end: Some(ago(0)),
            ending: 1,
        },
        bought: peers::Dealings {
            agreements: 1,
            hourly: "0.010625".to_owned(),
            next_end: Some(ago(5)),
            ending: 0,
        },
        refusals: vec![
            peers::Refused {
                by_us: true,
                reason: "it would exceed the credit that that site gives this one".to_owned(),
                count: 12,
                last: ago(65),
            },
            peers::Refused {
                by_us: false,
                reason: "no answer in time".to_owned(),
                count: 1,
                last: ago(9),
            },
        ],
        nodes: vec![peers::Node {
            key: "ef".repeat(32),
            addresses: vec!["/ip4/192.0.2.2/tcp/7401".to_owned()],
            connected_since: ago(7_300),
            round_trip_us: Some(1_250),
            score: -90,
            is_graylisted: true,
        }],
        addresses: vec!["/ip4/192.0.2.2/tcp/7401".to_owned()],
        connected_since: Some(ago(7_300)),
        round_trip_us: Some(1_250),
        advert: Some(peers::Advert { free: size, largest: size, tariff: tariff(), heard: ago(3) }),
        contradictions: vec![peers::Contradiction {
            of: "messages".to_owned(),
            number: Some(7),
            at: Some(ago(9)),
            digests: ["ab".repeat(32), "cd".repeat(32)],
        }],
        ..peers::Peer::default()
    }
}

#[test]
fn a_peer_is_shown_with_its_policy_and_what_it_has() {
    expect![[r#"
        name                beta
        id                  abababababababababababababababababababababababababababababababab
        standing            open
        connected           2026-11-22 05:28:32Z (2h ago)
        addresses           /ip4/192.0.2.2/tcp/7401
        round trip          1250 us
        last failure        -
        its machines here   2, 0.020000/h in all
        our machines there  1
        session ended       -
        shunned             no
        messages owed       0
        advertises          4 vCPU, 2 GiB, 10 GiB disk
        largest machine     4 vCPU, 2 GiB, 10 GiB disk
        advert heard        2026-11-22 07:30:09Z (3s ago)

        sells-to      yes
        price-factor  1.000
        credit        none
        largest       none
        machines-max  none
        term          30d
        notice        10m
        retention     7d
        sells-hold    yes
        buys-from     no
        price-max     none
        preference    1.000

        WE    AGREEMENTS  HOURLY    ENDING  NEXT END
        sell  2           0.020000  1       2026-11-22 07:30:12Z
        buy   1           0.010625  0       2026-11-22 07:30:07Z

        NODE          CONNECTED  ROUND TRIP  SCORE         ADDRESSES
        efefefefefef  2h         1250 us     -90 (unread)  /ip4/192.0.2.2/tcp/7401

        requests    0 in, 0 out, 0 put off, 0 beyond the rate
        adverts     0 passed on, 0 refused, 0 of no use
        faults      0 refused, 0 oversize, 0 malformed, 0 foul
        looked for  0 times, 0 times where it was not

        REFUSED BY  TIMES  LAST                  REASON
        us          12     2026-11-22 07:29:07Z  it would exceed the credit that that site gives this one
        them        1      2026-11-22 07:30:03Z  no answer in time

        SAID TWO  NUMBER  AT                    FIRST             SECOND
        messages  7       2026-11-22 07:30:03Z  abababababababab  cdcdcdcdcdcdcdcd
    "#]]
    .assert_eq(&peer::shown(&beta(), ago(0)));
}

#[test]
fn the_example_of_a_policy_is_the_default_and_names_every_setting() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/peer.policy");
    let settings = peer::read(&std::fs::read_to_string(example).unwrap()).unwrap();
    assert_eq!(settings, Policy::OPEN.settings());
    let fault = peer::read("credit=5.00 # an hour\ncolour=red").unwrap_err();
    assert!(fault.to_string().contains("there is no setting 'colour'"), "{fault}");
}

#[test]
fn a_peer_is_monitored_by_who_has_a_machine_there() {
    let size = Size { vcpus: 4, memory_mib: 2_048, disk_mib: 10_240 };
    let machine = peers::MonitoredMachine {
        id: "019aaa00-0000-7000-8000-0000000000bb".to_owned(),
        name: Some("shop/web-1".to_owned()),
        state: State::Active,
        since: ago(65),
        epoch: "1.1".to_owned(),
        size: Size { vcpus: 1, memory_mib: 128, disk_mib: 64 },
    };
    let seen = peers::Monitored {
        free: size,
        largest: size,
        tariff: tariff(),
        factor: "1.200".to_owned(),
        machines: vec![machine],
    };
    expect![[r#"
        for sale         4 vCPU, 2 GiB, 10 GiB disk
        largest machine  4 vCPU, 2 GiB, 10 GiB disk
        vcpu             0.010000 EUR/h
        memory           0.005000 EUR/h for a GiB
        disk             0.000100 EUR/h for a GiB
        classes          gold at 1.500 of it
        we pay           1.200 of it

        MACHINE     STATE   SINCE                 AGE  EPOCH  SIZE                          ID
        shop/web-1  ACTIVE  2026-11-22 07:29:07Z  1m   1.1    1 vCPU, 128 MiB, 64 MiB disk  0000000000bb
    "#]].assert_eq(&peer::monitored(&seen, ago(0)));
}

fn agreement() -> agreements::Agreement {
    let proposed = agreements::Proposed { price: "0.012000".to_owned(), until: ago(0) };
    let evidence = |kind: &str, number| agreements::Evidence {
        kind: kind.to_owned(),
        number,
        issued: ago(86_400),
        digest: "ef".repeat(32),
    };
    agreements::Agreement {
        id: "019aaa00-0000-7000-8000-0000000000aa".to_owned(),
        side: agreements::Side::Home,
        peer: "beta".to_owned(),
        peer_id: "ab".repeat(32),
        machine: "019aaa00-0000-7000-8000-0000000000bb".to_owned(),
        name: Some("shop/web-1".to_owned()),
        size: Size { vcpus: 1, memory_mib: 128, disk_mib: 64 },
        price: "0.010625".to_owned(),
        currency: "EUR".to_owned(),
        since: ago(86_400),
        until: ago(0),
        class: Class::Gold,
        notice_s: 600,
        retention_s: 604_800,
        proposed: Some(proposed),
        termination: None,
        ended: None,
        evidence: vec![evidence("offer", 3), evidence("agreement", 4)],
    }
}

#[test]
fn an_agreement_is_shown_with_its_terms_and_what_was_signed() {
    let terminated = agreements::Agreement {
        side: agreements::Side::Provider,
        name: None,
        proposed: None,
        termination: Some(agreements::Termination {
            by_us: false,
            at: ago(5),
            reason: "an operator has ended the agreement".to_owned(),
        }),
        evidence: vec![],
        ..agreement()
    };
    let told = [
        agreement::listed(&[agreement(), terminated.clone()]),
        agreement::shown(&agreement(), ago(0)),
        agreement::shown(&terminated, ago(0)),
    ];
    expect![[r#"
        ID            WE ARE    PEER  MACHINE       PRICE           UNTIL                 STATE
        0000000000aa  home      beta  shop/web-1    0.010625 EUR/h  2026-11-22 07:30:12Z  renewal proposed
        0000000000aa  provider  beta  0000000000bb  0.010625 EUR/h  2026-11-22 07:30:12Z  ends 2026-11-22 07:30:07Z

        id          019aaa00-0000-7000-8000-0000000000aa
        we are      home
        peer        beta (abababababababababababababababababababababababababababababababab)
        machine     019aaa00-0000-7000-8000-0000000000bb
        name        shop/web-1
        size        1 vCPU, 128 MiB, 64 MiB disk
        price       0.010625 EUR/h
        since       2026-11-21 07:30:12Z (1d ago)
        until       2026-11-22 07:30:12Z
        class       gold
        notice      600 s
        disks kept  604800 s after its end
        state       renewal proposed
        proposed    0.012000 EUR/h until 2026-11-22 07:30:12Z

        SIGNED BY THEM  NUMBER  ISSUED                DIGEST
        offer           3       2026-11-21 07:30:12Z  efefefefefefefef
        agreement       4       2026-11-21 07:30:12Z  efefefefefefefef

        id          019aaa00-0000-7000-8000-0000000000aa
        we are      provider
        peer        beta (abababababababababababababababababababababababababababababababab)
        machine     019aaa00-0000-7000-8000-0000000000bb
        name        -
        size        1 vCPU, 128 MiB, 64 MiB disk
        price       0.010625 EUR/h
        since       2026-11-21 07:30:12Z (1d ago)
        until       2026-11-22 07:30:12Z
        class       gold
        notice      600 s
        disks kept  604800 s after its end
        state       ends 2026-11-22 07:30:07Z
        terminated  by them: an operator has ended the agreement

        SIGNED BY THEM  NUMBER  ISSUED  DIGEST
    "#]].assert_eq(&told.join("\n"));
}
