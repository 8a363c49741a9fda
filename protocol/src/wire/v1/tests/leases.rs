//! Claims about how leases are asked for.

use expect_test::expect_file;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::lease::*;
use super::super::{NodeAnswer, NodeRequest, node_answer, node_request};
use super::almost;
use super::samples::{hex, site};
use crate::codec;
use crate::epoch::Epoch;
use crate::ids::{HostId, MachineId, MachineName};
use crate::site::GUESTS_MAX;
use crate::time::Span;

const fn machine(number: u128) -> MachineId {
    MachineId::from_uuid(Uuid::from_u128(number))
}

fn granted(guests: usize, longest: bool) -> HostRenewal {
    let number = if longest { u64::MAX } else { 3 };
    let duration = Span::from_millis(if longest { u64::MAX } else { 9_500 });
    let name = MachineName { home: site(2), machine: machine(3) };
    let epoch = Epoch { home: number, provider: number };
    let guest = Leased { name, epoch, term: Term::For(duration) };
    HostRenewal::Granted { applied: number, duration, guests: vec![guest; guests] }
}

#[test]
fn every_question_about_a_lease_has_the_bytes_it_always_had() {
    let host = HostId::from_uuid(Uuid::from_u128(4));
    let machines = vec![(machine(3), 2), (machine(4), 300)];
    let duration = Span::from_secs(60);
    let name = MachineName { home: site(2), machine: machine(3) };
    let guest = Leased { name, epoch: Epoch { home: 1, provider: 2 }, term: Term::Endless };
    let endless = HostRenewal::Granted { applied: 300, duration, guests: vec![guest] };
    let refused = HostRenewal::Refused;
    let lines = [
        ("RenewSession", codec::encode(&RenewSession { machines })),
        (
            "SessionRenewal::Renewed",
            codec::encode(&SessionRenewal::Renewed { duration, machines: vec![machine(4)] }),
        ),
        ("SessionRenewal::Later", codec::encode(&SessionRenewal::Later)),
        ("RenewHost", codec::encode(&RenewHost { host, fence: Some(7) })),
        ("RenewHost without a fence", codec::encode(&RenewHost { host, fence: None })),
        ("HostRenewal::Granted", codec::encode(&granted(1, false))),
        ("HostRenewal::Granted, endless", codec::encode(&endless)),
        ("HostRenewal::Refused(NoFence)", codec::encode(&refused(Refusal::NoFence))),
        ("HostRenewal::Refused(UnknownHost)", codec::encode(&refused(Refusal::UnknownHost))),
        ("HostRenewal::Refused(Ending)", codec::encode(&refused(Refusal::Ending))),
        ("HostRenewal::Refused(Later)", codec::encode(&refused(Refusal::Later))),
    ];
    let text: String =
        lines.iter().map(|(name, bytes)| format!("{name}\n  {}\n", hex(bytes))).collect();
    expect_file!["leases.txt"].assert_eq(&text);
}

#[test]
fn the_longest_questions_about_leases_fit_their_places() {
    let last = MachineId::from_uuid(Uuid::max());
    let machines = vec![(last, u64::MAX); SESSION_MACHINES_MAX];
    let bytes = codec::encode(&RenewSession { machines: machines.clone() });
    assert_eq!(renew_session(&bytes).unwrap().machines, machines);
    let renewed = SessionRenewal::Renewed {
        duration: Span::from_millis(u64::MAX),
        machines: vec![last; SESSION_MACHINES_MAX],
    };
    assert_eq!(session_renewal(&codec::encode(&renewed)).unwrap(), renewed);
    let host = HostId::from_uuid(Uuid::max());
    let question = NodeRequest::RenewHost(RenewHost { host, fence: Some(u64::MAX) });
    assert!(node_request(&codec::encode(&question)).is_ok());
    let answer = NodeAnswer::HostRenewed(granted(GUESTS_MAX, true));
    assert!(node_answer(&codec::encode(&answer)).is_ok());
}

#[test]
fn more_machines_than_one_exchange_may_have_are_refused() {
    let too_long =
        |read: Result<_, codec::Error>| matches!(read, Err(codec::Error::TooLong { .. }));
    let machines = vec![(machine(1), 0); SESSION_MACHINES_MAX + 1];
    let read = renew_session(&codec::encode(&RenewSession { machines })).map(drop);
    assert!(too_long(read));
    let machines = vec![machine(1); SESSION_MACHINES_MAX + 1];
    let renewed = SessionRenewal::Renewed { duration: Span::default(), machines };
    assert!(too_long(session_renewal(&codec::encode(&renewed)).map(drop)));
}

proptest! {
    #[test]
    fn any_bytes_are_about_a_lease_or_are_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            almost(codec::encode(&NodeAnswer::HostRenewed(granted(3, false)))),
            almost(codec::encode(&RenewSession { machines: vec![(machine(1), 1); 3] })),
        ],
    ) {
        let _ = renew_session(&bytes);
        let _ = session_renewal(&bytes);
        let _ = node_answer(&bytes);
    }
}
