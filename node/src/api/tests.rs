//! Claims about the interface's words. What it does is claimed in `tests/interface`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect;
use protocol::ids::{HoldId, HostId, ImageId, KeyId, MachineId, NodeId, ServiceId, SiteId};
use protocol::images::Format;
use protocol::machine::{Goal, State, Verb};
use protocol::site::Refusal;
use protocol::site::state::{Mode, Role};
use protocol::time::Timestamp;
use protocol::units::{Mebibytes, Size};
use uuid::Uuid;

use super::error::Error;
use super::operations::OPERATIONS;
use super::secret::Secret;
use super::shapes::Moment;
use super::tls::Pin;

/// One refusal of each kind. The list is total because `Code::of` is: whoever adds a refusal
/// there adds it here.
fn refusals() -> Vec<Refusal> {
    let site = SiteId::from_bytes([0xab; 32]);
    let machine = MachineId::from_uuid(Uuid::nil());
    let image = ImageId::from_bytes([0xcd; 32]);
    let key = KeyId::from_uuid(Uuid::nil());
    let agreement = HoldId::from_uuid(Uuid::nil());
    let host = HostId::from_uuid(Uuid::nil());
    let service = ServiceId::from_uuid(Uuid::nil());
    let name = "guest".parse().unwrap();
    let node = NodeId(2);
    let pool = "198.51.100.0/28".parse().unwrap();
    vec![
        Refusal::OtherSite { site },
        Refusal::UnknownService { service },
        Refusal::UnknownMachine { machine },
        Refusal::UnknownImage { name, component: None },
        Refusal::UnknownImageId { image },
        Refusal::UnknownKey { key },
        Refusal::UnknownHost { host },
        Refusal::LastKey { key },
        Refusal::NameTaken { name: "shop".to_owned() },
        Refusal::AddressTaken { address: [10, 1, 0, 9].into(), network: "red".parse().unwrap() },
        Refusal::ImageInUse { image, machines: 3 },
        Refusal::HostInUse { host, guests: 2 },
        Refusal::DiskTooSmall { image: "guest".parse().unwrap(), needed: Mebibytes(64) },
        Refusal::BadSize { size: Size::default() },
        Refusal::IllegalStep { machine, from: Goal::Defined, verb: Verb::Pause },
        Refusal::Deploying { machine },
        Refusal::StillPlaced { service },
        Refusal::ServiceOver { service },
        Refusal::NotScaled {
            component: "web".parse().unwrap(),
            replicas: 0,
            reason: "too few".to_owned(),
        },
        Refusal::NotSecured { service, reason: "no such group".to_owned() },
        Refusal::UnknownAddress { address: [198, 51, 100, 1].into() },
        Refusal::AddressHeld { address: [198, 51, 100, 1].into(), machine },
        Refusal::CardTaken { address: [198, 51, 100, 1].into(), machine },
        Refusal::NoWayOut { machine },
        Refusal::NoAddress { wanted: 1 },
        Refusal::PoolOverlaps { pool, other: pool },
        Refusal::UnknownPool { pool },
        Refusal::PoolInUse { pool, addresses: 2 },
        Refusal::Full { what: "keys".to_owned(), limit: 1_000 },
        Refusal::UnknownPeer { site },
        Refusal::OwnSite { site },
        Refusal::Addresses { count: 16, length: 256 },
        Refusal::PeerInUse { name: "beta".parse().unwrap(), there: 1, here: 2 },
        Refusal::UnknownAgreement { agreement },
        Refusal::NotRenewable { agreement },
        Refusal::OwnPolicy { agreement, reason: protocol::agreement::Refusal::OverCredit },
        Refusal::Gap { site, first: 7, taken: 3 },
        Refusal::UnknownNode { node },
        Refusal::OtherNode { node },
        Refusal::NodeTwice { node },
        Refusal::LastVoter { node },
        Refusal::NodeInUse { node, guests: 2 },
        Refusal::Uninvited,
        Refusal::InvitationOver,
        Refusal::InvitationUsed,
        Refusal::StruckNode,
    ]
}

#[test]
fn each_refusal_has_a_code_and_a_status() {
    let mut told = String::new();
    for refusal in refusals() {
        let error = Error::from(&refusal);
        let problem = error.problem("7");
        assert_eq!((problem.request_id.as_str(), problem.message), ("7", refusal.to_string()));
        writeln!(told, "{} {}", error.code().status().as_u16(), problem.code).unwrap();
    }
    expect![[r#"
        409 other_site
        404 unknown_service
        404 unknown_machine
        404 unknown_image
        404 unknown_image
        404 unknown_key
        404 unknown_host
        409 last_key
        409 name_taken
        409 address_taken
        409 image_in_use
        409 host_in_use
        400 disk_too_small
        400 bad_size
        409 illegal_step
        409 deploying
        409 deploying
        409 service_over
        400 not_scaled
        400 not_secured
        404 unknown_address
        409 address_held
        409 address_held
        409 no_way_out
        507 no_address
        409 pool_overlaps
        404 unknown_address
        409 pool_in_use
        507 full
        404 unknown_peer
        400 own_site
        400 bad_address
        409 peer_in_use
        404 unknown_agreement
        409 not_renewable
        409 not_renewable
        409 gap
        404 unknown_node
        409 node_twice
        409 node_twice
        409 last_voter
        409 node_in_use
        403 not_invited
        403 not_invited
        403 not_invited
        403 not_invited
    "#]]
    .assert_eq(&told);
}

#[test]
fn what_may_pass_is_told_as_such() {
    for error in [
        storage::replica::Error::NotLeader { leader: None },
        storage::replica::Error::Busy,
        storage::replica::Error::NoQuorum,
        storage::replica::Error::Uncertain,
    ] {
        assert_eq!(Error::from(error).code().status().as_u16(), 503);
    }
}

#[test]
fn operations_have_names_and_routes_of_their_own() {
    let names: BTreeSet<_> = OPERATIONS.iter().map(|it| it.name).collect();
    let ids: BTreeSet<_> = OPERATIONS.iter().map(|it| it.id).collect();
    let routes: BTreeSet<_> = OPERATIONS.iter().map(|it| (it.path, it.method.as_str())).collect();
    let count = OPERATIONS.len();
    assert_eq!((names.len(), ids.len(), routes.len()), (count, count, count));
    for deck in ["SubmitVEEs", "InitializeVEE", "VEEUpdate"] {
        assert!(names.contains(deck), "{deck} is a name of the deck");
    }
}

#[test]
fn what_listens_everywhere_is_found_on_this_machine() {
    let found = |listen: &str| super::url(listen.parse().unwrap());
    assert_eq!(found("0.0.0.0:7400"), "https://127.0.0.1:7400");
    assert_eq!(found("[::]:7400"), "https://[::1]:7400");
    assert_eq!(found("192.0.2.1:7400"), "https://192.0.2.1:7400");
}

#[test]
fn a_secret_is_read_as_it_is_written_and_never_printed() {
    let secret = Secret::draw();
    let text = secret.expose();
    assert_eq!((text.len(), &text[..4]), (68, "rsv_"));
    assert_eq!(text.parse(), Ok(secret.clone()));
    assert_eq!(secret.digest(), *blake3::hash(text.as_bytes()).as_bytes());
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    for wrong in ["", "rsv_", &text[4..], &text[..67], &text.to_uppercase(), &format!("{text}0")] {
        assert!(wrong.parse::<Secret>().is_err(), "{wrong}");
    }
}

#[test]
fn a_pin_is_read_as_other_tools_write_it() {
    let pin: Pin = "ab".repeat(32).parse().unwrap();
    let openssl = ["AB"; 32].join(":");
    assert_eq!(openssl.parse::<Pin>().unwrap(), pin);
    assert_eq!(pin.to_string(), "ab".repeat(32));
    assert!("ab:cd".parse::<Pin>().is_err());
}

#[test]
fn moments_are_rfc_3339_in_utc() {
    let moment = Moment::from(Timestamp::from_millis(1_795_332_612_345));
    assert_eq!(serde_json::to_string(&moment).unwrap(), r#""2026-11-22T07:30:12.345Z""#);
    assert_eq!(moment.to_string(), "2026-11-22 07:30:12Z");
    let read: Moment = serde_json::from_str(r#""2026-11-22T07:30:12.345Z""#).unwrap();
    assert_eq!(read, moment);
}

#[test]
fn the_words_of_the_interface_are_these() {
    let words = serde_json::json!({
        "states": [
            State::Defined, State::Placing, State::Staging, State::Active, State::Paused,
            State::Suspended, State::Failed, State::Destroyed, State::Migrating,
        ],
        "goals": [
            Goal::Defined, Goal::Active, Goal::Paused, Goal::Suspended, Goal::Destroyed,
        ],
        "verbs": Verb::ALL.map(|verb| verb.to_string()),
        "modes": [Mode::AllOrNothing, Mode::BestEffort],
        "roles": [Role::Operator, Role::Tenant],
        "formats": [Format::Qcow2, Format::Raw],
    });
    expect![[r#"
        {
          "formats": [
            "qcow2",
            "raw"
          ],
          "goals": [
            "DEFINED",
            "ACTIVE",
            "PAUSED",
            "SUSPENDED",
            "DESTROYED"
          ],
          "modes": [
            "all-or-nothing",
            "best-effort"
          ],
          "roles": [
            "operator",
            "tenant"
          ],
          "states": [
            "DEFINED",
            "PLACING",
            "STAGING",
            "ACTIVE",
            "PAUSED",
            "SUSPENDED",
            "FAILED",
            "DESTROYED",
            "MIGRATING"
          ],
          "verbs": [
            "activate",
            "pause",
            "suspend",
            "shutdown",
            "destroy"
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&words).unwrap());
}
