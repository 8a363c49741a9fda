//! Claims about what people see: tables, errors, exit codes, the context's file.

mod network;
mod trade;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use axum::http::StatusCode;
use clap::{CommandFactory as _, Parser as _};
use expect_test::expect;
use protocol::machine::{Goal, State};
use protocol::manifest::OnPartition;
use protocol::site::state::{Mode, Role};
use protocol::sla::Class;
use protocol::time::Timestamp;

use super::arguments::Line;
use super::context::{self, Context};
use super::error::{Error, Exit};
use super::find::find;
use super::output::{Format, Output, age, facts};
use super::{host, key, machine, peer, security, service, site};
use crate::api::shapes::address as addresses;
use crate::api::shapes::host as hosts;
use crate::api::shapes::key::Key;
use crate::api::shapes::machine::{Kpi, Machine, Observed, Place, Shown};
use crate::api::shapes::problem::{Fault, Problem};
use crate::api::shapes::security::Group;
use crate::api::shapes::service::{Service, Stage, Summary};
use crate::api::shapes::{Moment, Size, Tariff};
use crate::api::shapes::{node as nodes, site as sites};

/// Half past seven in the morning of a Sunday.
const NOW: u64 = 1_795_332_612_000;

fn ago(seconds: u64) -> Moment {
    Timestamp::from_millis(NOW - seconds * 1_000).into()
}

fn web(replica: u32, site: &str, state: State, reason: &str) -> Machine {
    Machine {
        id: format!("019aaa00-0000-7000-8000-00000000000{replica}"),
        name: format!("shop/web-{replica}"),
        service: Some("shop".to_owned()),
        service_id: Some("019aaa00-0000-7000-8000-0000000000aa".to_owned()),
        component: Some("web".to_owned()),
        replica: Some(replica),
        state,
        goal: Goal::Active,
        reason: reason.to_owned(),
        since: ago(90),
        place: Some(Place {
            site: site.to_owned(),
            site_id: "ab".repeat(32),
            host: (site == "alpha").then(|| "alpha-1".to_owned()),
        }),
        price: Some("0.010625".to_owned()),
        currency: Some("EUR".to_owned()),
        image: "guest".to_owned(),
        image_id: "cd".repeat(32),
        size: Size { vcpus: 1, memory_mib: 128, disk_mib: 64 },
        on_partition: OnPartition::Fence,
        sla: Class::BestEffort,
        epoch: "1.1".to_owned(),
        address: (site == "alpha").then(|| "10.77.0.2".to_owned()),
        user_data_bytes: None,
        created: ago(3_700),
        ended: None,
    }
}

fn shop(stage: Stage, machines: Vec<Machine>) -> Service {
    Service {
        index: 7,
        summary: Summary {
            id: "019aaa00-0000-7000-8000-0000000000aa".to_owned(),
            name: "shop".to_owned(),
            stage,
            mode: Mode::AllOrNothing,
            since: ago(60),
            created: ago(120),
            machine_count: machines.len(),
            active_count: 1,
        },
        machines,
        manifest: String::new(),
    }
}

#[test]
fn a_machine_is_shown_with_what_it_says_of_itself() {
    let kpi = |name: &str, value: &str, seconds| Kpi {
        name: name.to_owned(),
        value: value.to_owned(),
        at: ago(seconds),
    };
    let kpis = vec![kpi("Load", "0.75", 3), kpi("RequestPerSecond", "-12.000001", 90)];
    let machine = web(2, "beta", State::Active, "");
    let observed = Observed { kpis };
    let shown = Shown { machine: machine.clone(), observed, kpis_unknown: None };
    expect![[r#"
        name          shop/web-2
        id            019aaa00-0000-7000-8000-000000000002
        service       shop
        state         ACTIVE, 2026-11-22 07:28:42Z (1m ago)
        goal          ACTIVE
        reason        -
        site          beta (abababababababababababababababababababababababababababababababab)
        host          -
        address       -
        price         0.010625 EUR/h
        image         guest (cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd)
        size          1 vCPU, 128 MiB, 64 MiB disk
        on partition  fence
        sla           best-effort
        epoch         1.1
        user data     -
        defined       2026-11-22 06:28:32Z (1h ago)

        KPI               VALUE       AGE
        Load              0.75        3s
        RequestPerSecond  -12.000001  1m
    "#]]
    .assert_eq(&machine::shown(&shown, ago(0)));
    let why = "site beta does not answer: it is not connected at the moment".to_owned();
    let observed = Observed::default();
    let unknown = Shown { machine, observed, kpis_unknown: Some(why) };
    let last = |shown: &Shown| machine::shown(shown, ago(0)).lines().last().unwrap().to_owned();
    expect![
        "kpis          not known: site beta does not answer: it is not connected at the moment"
    ]
    .assert_eq(&last(&unknown));
    let silent = Shown { kpis_unknown: None, ..unknown };
    assert_eq!(last(&silent), "kpis          -");
}

#[test]
fn a_service_is_shown_with_its_machines() {
    let machines = vec![
        web(1, "alpha", State::Active, ""),
        web(2, "beta", State::Failed, "the disk is \u{1b}[31mfull"),
    ];
    let shown = service::shown(&shop(Stage::Starting, machines), ago(0));
    expect![[r#"
        service    shop
        id         019aaa00-0000-7000-8000-0000000000aa
        stage      STARTING, 2026-11-22 07:29:12Z (1m ago)
        submitted  2026-11-22 07:28:12Z (2m ago)

        NAME        STATE   SITE   HOST     ADDRESS    SINCE                 AGE  PRICE           ID            REASON
        shop/web-1  ACTIVE  alpha  alpha-1  10.77.0.2  2026-11-22 07:28:42Z  1m   0.010625 EUR/h  000000000001  -
        shop/web-2  FAILED  beta   -        -          2026-11-22 07:28:42Z  1m   0.010625 EUR/h  000000000002  the disk is �[31mfull
    "#]].assert_eq(&shown);
}

#[test]
fn lists_are_columns_that_awk_reads() {
    let key = Key {
        id: "019aaa00-0000-7000-8000-0000000000aa".to_owned(),
        name: "ci".to_owned(),
        tenant: "acme".to_owned(),
        role: Role::Tenant,
        created: ago(86_400 * 3),
    };
    let lists = [
        key::listed(&[key], ago(0)),
        peer::listed(&[trade::beta()], ago(0)),
        service::listed(&[shop(Stage::Running, vec![]).summary], ago(0)),
        machine::listed(&[], ago(0)),
    ];
    expect![[r#"
        NAME  TENANT  ROLE    CREATED               AGE  ID
        ci    acme    tenant  2026-11-19 07:30:12Z  3d   0000000000aa

        NAME  STANDING  CONNECTED  BUYS HERE  SELLS TO US  HERE  THERE  FREE                        VCPU/H        OWED  ID
        beta  open      2h         yes        no           2     1      4 vCPU, 2 GiB, 10 GiB disk  0.010000 EUR  0     abababababab

        NAME  STAGE    ACTIVE  SINCE                 AGE  ID
        shop  RUNNING  1/0     2026-11-22 07:29:12Z  2m   0000000000aa

        NAME  STATE  SITE  HOST  ADDRESS  SINCE  AGE  PRICE  ID  REASON
    "#]].assert_eq(&lists.join("\n"));
}

fn node(id: u64, role: nodes::Role, lag: u64) -> nodes::Node {
    nodes::Node {
        id,
        name: format!("alpha-{id}"),
        standing: protocol::membership::Standing::Voter,
        since: ago(60),
        role,
        lag: Some(lag),
        reachable: id == 1,
        gateway: id == 1,
        addresses: vec![format!("/ip4/192.0.2.{id}/tcp/7401")],
        api: None,
        certificate: Some(nodes::Certificate {
            serial: 1_000 + id,
            not_after: Timestamp::from_millis(NOW + 80 * 86_400_000).into(),
            due: id == 2,
        }),
    }
}

fn tariff() -> Tariff {
    Tariff {
        currency: "EUR".to_owned(),
        vcpu_hour: "0.010000".to_owned(),
        memory_gib_hour: "0.005000".to_owned(),
        disk_gib_hour: "0.000100".to_owned(),
        classes: BTreeMap::from([(Class::Gold, "1.500".to_owned())]),
    }
}

#[test]
fn a_site_is_shown_to_its_operator() {
    let size = Size { vcpus: 4, memory_mib: 2_048, disk_mib: 10_240 };
    let shown = sites::Site {
        id: "ab".repeat(32),
        name: "alpha".to_owned(),
        incarnation: 0,
        founded: ago(60),
        tariff: tariff(),
        reserve: "0.250".to_owned(),
        node: sites::Node { id: 1, is_leader: true, leader: Some(1), term: 2, index: 9 },
        inside: Some(sites::Inside {
            nodes: vec![node(1, nodes::Role::Leader, 0), node(2, nodes::Role::Voter, 3)],
            certificates: nodes::Certificates {
                honoured: 1_000,
                revoked: 1_003,
                due: vec![2],
                root: Some(false),
            },
            hosts: vec![hosts::Host {
                id: "019aaa00-0000-7000-8000-0000000000aa".to_owned(),
                name: "alpha-1".to_owned(),
                node: 1,
                standing: hosts::Standing::Well,
                hypervisor: "QEMU 7.2".to_owned(),
                capacity: size,
                promised: Size { vcpus: 1, memory_mib: 128, disk_mib: 64 },
                own_guests: 1,
                foreign_guests: 0,
                remains: 0,
                kept: 0,
                trouble: String::new(),
                since: ago(5),
            }],
            services: 1,
            machines: 1,
            refused: vec![sites::Refused {
                at: ago(5),
                address: "/ip4/192.0.2.9/tcp/7401".to_owned(),
                claimed: Some("ef".repeat(32)),
                by_us: true,
                reason: "this site is no peer of ours".to_owned(),
            }],
        }),
    };
    expect![[r#"
        name          alpha
        id            abababababababababababababababababababababababababababababababab
        founded       2026-11-22 07:29:12Z (1m ago)
        vcpu          0.010000 EUR/h
        memory        0.005000 EUR/h for a GiB
        disk          0.000100 EUR/h for a GiB
        classes       gold at 1.500 of it
        reserve       0.250
        node          1 leads, term 2, index 9
        services      1
        machines      1
        certificates  those below 1003 are revoked once every node has renewed; to be renewed: node 2; no node that can be reached has the root key: bring the file root.key back to the directory 'keys' of one of them for a minute

        NODE  NAME     STANDING  ROLE             LAG  REACHED  AGE  CERTIFICATE            ADDRESSES
        1     alpha-1  voter     leader, gateway  0    yes      1m   1001 ends in 80d       /ip4/192.0.2.1/tcp/7401
        2     alpha-2  voter     voter            3    no       1m   1002 ends in 80d, due  /ip4/192.0.2.2/tcp/7401

        HOST     NODE  STATE  CAPACITY                    PROMISED                      OWN  FOREIGN  HYPERVISOR  ID
        alpha-1  1     well   4 vCPU, 2 GiB, 10 GiB disk  1 vCPU, 128 MiB, 64 MiB disk  1    0        QEMU 7.2    0000000000aa

        TURNED AWAY           ADDRESS                  CLAIMED   BY  REASON
        2026-11-22 07:30:07Z  /ip4/192.0.2.9/tcp/7401  efefefef  us  this site is no peer of ours
    "#]].assert_eq(&site::shown(&shown, ago(0)));
}

#[test]
fn hosts_are_shown_with_what_stands_in_their_way() {
    let size = Size { vcpus: 4, memory_mib: 2_048, disk_mib: 10_240 };
    let host = |number: u32, standing, remains, trouble: &str| hosts::Host {
        id: format!("019aaa00-0000-7000-8000-00000000000{number}"),
        name: format!("alpha-{number}"),
        node: 1,
        standing,
        hypervisor: "QEMU 7.2".to_owned(),
        capacity: size,
        promised: Size { vcpus: 1, memory_mib: 128, disk_mib: 64 },
        own_guests: 1,
        foreign_guests: 0,
        remains,
        kept: usize::from(number == 3),
        trouble: trouble.to_owned(),
        since: ago(90),
    };
    let shown = [
        host(1, hosts::Standing::Well, 0, ""),
        host(2, hosts::Standing::Trouble, 0, "libvirtd does not answer"),
        host(3, hosts::Standing::Drained, 0, ""),
        host(4, hosts::Standing::Lost, 2, ""),
    ];
    expect![[r#"
        HOST     NODE  STATE                             CAPACITY                    PROMISED                      OWN  FOREIGN  HYPERVISOR  ID
        alpha-1  1     well                              4 vCPU, 2 GiB, 10 GiB disk  1 vCPU, 128 MiB, 64 MiB disk  1    0        QEMU 7.2    000000000001
        alpha-2  1     libvirtd does not answer          4 vCPU, 2 GiB, 10 GiB disk  1 vCPU, 128 MiB, 64 MiB disk  1    0        QEMU 7.2    000000000002
        alpha-3  1     drained, disks of 1 kept          4 vCPU, 2 GiB, 10 GiB disk  1 vCPU, 128 MiB, 64 MiB disk  1    0        QEMU 7.2    000000000003
        alpha-4  1     lost 1m ago, 2 to be ended on it  4 vCPU, 2 GiB, 10 GiB disk  1 vCPU, 128 MiB, 64 MiB disk  1    0        QEMU 7.2    000000000004
    "#]].assert_eq(&host::listed(&shown, ago(0)));
}

#[test]
fn errors_say_what_to_do_and_end_the_process_as_they_should() {
    let refused = |status, code: &str, message: &str, hint: Option<&str>| Error::Site {
        status,
        problem: Box::new(Problem {
            request_id: "7".to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
            ..Problem::default()
        }),
    };
    let errors = [
        (Error::Context(context::Error::None), Exit::Failed),
        (Error::NotFound { kind: "machine", name: "moon".to_owned() }, Exit::NotFound),
        (refused(StatusCode::CONFLICT, "name_taken", "in use", None), Exit::Refused),
        (refused(StatusCode::INSUFFICIENT_STORAGE, "full", "full", None), Exit::Refused),
        (refused(StatusCode::NOT_FOUND, "unknown_key", "no key", None), Exit::NotFound),
        (refused(StatusCode::FORBIDDEN, "not_allowed", "no", Some("ask")), Exit::NotAllowed),
        (refused(StatusCode::SERVICE_UNAVAILABLE, "busy", "busy", None), Exit::Unreachable),
        (refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", "broken", None), Exit::Failed),
        (
            Error::Unreachable {
                url: "https://127.0.0.1:1".to_owned(),
                source: "connection refused".into(),
            },
            Exit::Unreachable,
        ),
        (Error::Output(std::io::ErrorKind::BrokenPipe.into()), Exit::Done),
    ];
    let mut shown = String::new();
    for (error, exit) in errors {
        assert_eq!(error.exit(), exit, "{error:?}");
        shown.push_str(&error.for_people());
    }
    expect![[r#"
        error: no site is in use: 'reservoir site use DIR' takes the one whose node runs in DIR
        error: there is no machine 'moon'; 'reservoir machine ls' lists those there are
        error: in use
          (code name_taken, request 7)
        error: full
          (code full, request 7)
        error: no key
          (code unknown_key, request 7)
        error: no
          hint: ask
          (code not_allowed, request 7)
        error: busy
          (code busy, request 7)
        error: broken
          (code internal, request 7)
        error: the site at https://127.0.0.1:1 cannot be reached: see that its node runs
          because: connection refused
        error: the output cannot be written
          because: broken pipe
    "#]]
    .assert_eq(&shown);
}

#[test]
fn faults_that_a_site_finds_are_shown_at_their_places() {
    let fault = Fault {
        line: 4,
        column: 12,
        length: 4,
        path: "components.web.image".to_owned(),
        message: "there is no image 'gest'".to_owned(),
        hint: "did you mean guest?".to_owned(),
    };
    let problem = Problem { faults: vec![fault], ..Problem::default() };
    expect![[r#"
        shop.yaml:4:12: components.web.image: there is no image 'gest'
          = hint: did you mean guest?
    "#]]
    .assert_eq(&service::rendered("shop.yaml", &problem));
}

#[test]
fn a_deployment_has_settled_when_nothing_is_on_its_way() {
    let with = |stage, state| shop(stage, vec![web(1, "alpha", state, "")]);
    assert!(service::has_settled(&with(Stage::Running, State::Active)));
    assert!(service::has_settled(&with(Stage::Refused, State::Failed)));
    assert!(service::has_settled(&with(Stage::Starting, State::Failed)));
    let lost = web(1, "alpha", State::Placing, "no host here has room for it");
    assert!(service::has_settled(&shop(Stage::Starting, vec![lost])));
    assert!(!service::has_settled(&with(Stage::Starting, State::Placing)));
    assert!(!service::has_settled(&with(Stage::Starting, State::Staging)));
    assert!(!service::has_settled(&with(Stage::Reserving, State::Failed)));
}

#[test]
fn things_are_found_by_name_by_id_and_by_a_part_of_it() {
    let gone = Machine { ended: Some(ago(1)), ..web(3, "alpha", State::Destroyed, "") };
    let again = Machine { name: "shop/web-3".to_owned(), ..web(4, "alpha", State::Active, "") };
    let all = vec![web(1, "alpha", State::Active, ""), gone, again];
    let found = |meant: &str| find(&all, meant).map(|machine| machine.id);
    let id = |replica: u32| format!("019aaa00-0000-7000-8000-00000000000{replica}");
    assert_eq!(found("shop/web-1").unwrap(), id(1));
    assert_eq!(found(&id(3)).unwrap(), id(3));
    assert_eq!(found("shop/web-3").unwrap(), id(4), "what lives comes first");
    assert_eq!(found("000000000001").unwrap(), id(1));
    assert!(matches!(found("019a"), Err(Error::Ambiguous { count: 3, .. })));
    assert!(matches!(found("001"), Err(Error::NotFound { .. })), "too short a part");
}

#[test]
fn the_context_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reservoir").join("context.toml");
    let context = Context {
        site: "alpha".to_owned(),
        url: "https://127.0.0.1:7400".to_owned(),
        key: "rsv_00".to_owned(),
        pin: "ab".repeat(32),
    };
    assert!(matches!(Context::read(&path), Err(context::Error::None)));
    context.write(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Context::read(&path).unwrap(), context);
    assert!(!format!("{context:?}").contains("rsv_"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Context::read(&path), Err(context::Error::Open { .. })));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "site = 7").unwrap();
    assert!(matches!(Context::read(&path), Err(context::Error::Damaged { .. })));
}

#[test]
fn the_command_line_is_sound_and_takes_what_it_promises() {
    Line::command().debug_assert();
    for line in [
        "reservoir node run --data d --config f --check",
        "reservoir site init --data d --name alpha",
        "reservoir service submit f --plan --best-effort --detach -o json",
        "reservoir service scale shop web 3 --detach",
        "reservoir machine define m --image i --vcpus 1 --memory 128MiB --disk 64MiB --site s",
        "reservoir machine activate a b c --wait",
        "reservoir machine console m --for 5",
        "reservoir image register i --kernel k --initrd r --command-line c",
        "reservoir image register i --disk d --format qcow2 --size 2GiB",
        "reservoir image list",
        "reservoir key add k --tenant t --operator",
        "reservoir peer add ID --name n --address /a --address /b credit=5.00 sells-to=no",
        "reservoir peer policy n price-factor=1.2 term=7d",
        "reservoir peer policy n --file f",
        "reservoir peer drain n",
        "reservoir peer monitor n",
        "reservoir peer rm n --drain",
        "reservoir agreement ls --all",
        "reservoir agreement terminate shop/web-1",
        "reservoir site reserve 0.25",
    ] {
        assert!(Line::try_parse_from(line.split(' ')).is_ok(), "{line}");
    }
    for line in [
        "reservoir image register i --disk d",
        "reservoir image register i --kernel k",
        "reservoir image register i",
        "reservoir machine activate",
        "reservoir peer policy n",
        "reservoir peer policy n credit=much",
        "reservoir site reserve 1.5",
        "reservoir service scale shop web many",
        "reservoir machine define m --image i --memory 128 --disk 64MiB",
    ] {
        assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}

#[test]
fn results_are_said_to_people_or_to_programs() {
    let mut written = Vec::new();
    let size = Size { vcpus: 1, memory_mib: 128, disk_mib: 64 };
    for format in [Format::Table, Format::Json] {
        let mut output = Output::new(format, ago(0), &mut written);
        output
            .say(&size, |_| facts(&[("size", size.to_string()), ("note", String::new())]))
            .unwrap();
    }
    expect![[r#"
        size  1 vCPU, 128 MiB, 64 MiB disk
        note  -
        {
          "vcpus": 1,
          "memory_mib": 128,
          "disk_mib": 64
        }
    "#]]
    .assert_eq(&String::from_utf8(written).unwrap());
    let ages: Vec<String> =
        [5, 65, 7_300, 200_000].map(|seconds| age(ago(0), ago(seconds))).to_vec();
    assert_eq!(ages, ["5s", "1m", "2h", "2d"]);
}

#[test]
fn security_groups_are_listed_with_a_line_for_each_rule() {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let group = |name: &str, components: &[&str], ingress: &[&str], egress: &[&str]| Group {
        name: name.to_owned(),
        ingress: texts(ingress),
        egress: texts(egress),
        components: texts(components),
    };
    let groups = [
        group("database", &["database"], &["tcp 5432 from web"], &[]),
        group("empty", &[], &[], &[]),
        group("web", &["app", "web"], &["tcp 80 from ::/0", "icmp from web"], &["any to ::/0"]),
    ];
    expect![[r#"
        GROUP     COMPONENTS  DIRECTION  RULE
        database  database    ingress    tcp 5432 from web
        empty     -           -          -
        web       app,web     ingress    tcp 80 from ::/0
        -         -           ingress    icmp from web
        -         -           egress     any to ::/0
    "#]]
    .assert_eq(&security::listed(&groups));
}

#[test]
fn public_addresses_are_listed_with_what_they_reach() {
    let reached = addresses::Reached {
        id: "ab".repeat(16),
        name: "shop/web-1".to_owned(),
        network: "front".to_owned(),
        address: "10.20.1.4".to_owned(),
    };
    let address = |text: &str, machine, goes_with_machine| addresses::Address {
        address: text.to_owned(),
        machine,
        goes_with_machine,
    };
    let all = [address("198.51.100.1", Some(reached), true), address("198.51.100.2", None, false)];
    expect![[r#"
        ADDRESS       MACHINE     NETWORK  INSIDE     GOES
        198.51.100.1  shop/web-1  front    10.20.1.4  with its machine
        198.51.100.2  -           -        -          -
    "#]]
    .assert_eq(&super::address::listed(&all));
    let prefix = "198.51.100.0/28".to_owned();
    let pool = addresses::Pool { prefix, allocated: 2, size: 16 };
    expect![[r#"
        POOL             ALLOCATED
        198.51.100.0/28  2/16
    "#]]
    .assert_eq(&super::address::pools_listed(&[pool]));
}
