//! Claims about cookies.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::hull::{Boot, Disk, Hull};
use protocol::ids::{MachineId, SiteId};
use protocol::migration::cookie::{Capability, Check, Name, Policy, Processor, Statistic};
use protocol::units::{Mebibytes, Size};
use uuid::Uuid;

use super::*;

/// What libvirt 9.0 says at the beginning of a migration of the testnet's guest.
const BEGUN: &str = "<qemu-migration>
  <name>reservoir-one</name>
  <uuid>52fb11a9-9289-86d0-832e-9af556182d1d</uuid>
  <hostname>somewhere</hostname>
  <hostuuid>0000694a-0000-0000-0000-000000000005</hostuuid>
  <feature name='lockstate'/>
  <nbd>
    <disk target='vda' capacity='16777216'/>
  </nbd>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>qemu64</model>
    <feature policy='disable' name='svm'/>
    <feature policy='require' name='lahf_lm'/>
  </cpu>
  <capabilities>
    <cap name='xbzrle' auto='no'/>
    <cap name='pause-before-switchover' auto='yes'/>
    <cap name='of-a-time-to-come' auto='no'/>
  </capabilities>
</qemu-migration>
";

/// And at the end of Perform.
const PERFORMED: &str = "<qemu-migration>
  <name>reservoir-one</name>
  <uuid>52fb11a9-9289-86d0-832e-9af556182d1d</uuid>
  <hostname>somewhere</hostname>
  <hostuuid>0000694a-0000-0000-0000-000000000005</hostuuid>
  <statistics>
    <started>1795393566708</started>
    <delta>-7</delta>
    <downtime>244</downtime>
    <memory_total>134750208</memory_total>
  </statistics>
</qemu-migration>
";

fn about() -> About {
    let uuid = "52fb11a9-9289-86d0-832e-9af556182d1d".parse().unwrap();
    About { name: "reservoir-one".to_owned(), uuid }
}

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

/// A machine with disks of these sizes in bytes.
fn hull(disks: &[u64]) -> Hull {
    let size = Size { vcpus: 1, memory: Mebibytes(128), disk: Mebibytes(16) };
    let machine = MachineId::from_uuid(Uuid::from_bytes([3; 16]));
    let mut hull = Hull::new(SiteId::from_bytes([7; 32]), machine, size, Boot::Disk, &[]);
    let root = hull.disks.remove(0);
    let disk = |size: &u64| Disk { size: Mebibytes(size >> 20), ..root.clone() };
    hull.disks = disks.iter().map(disk).collect();
    hull
}

/// A cookie as the testnet's guest may have it, written.
fn written(cookie: Cookie) -> Vec<u8> {
    write(&cookie.fitting(&hull(&[16 << 20])).unwrap(), &about())
}

#[test]
fn what_libvirt_says_is_read_and_written_anew() {
    let begun = read(BEGUN.as_bytes(), &about()).unwrap();
    let features =
        BTreeMap::from([(name("lahf_lm"), Policy::Require), (name("svm"), Policy::Disable)]);
    let processor = Processor { model: name("qemu64"), check: Check::Full, features };
    let host = Uuid::parse_str("0000694a-0000-0000-0000-000000000005").unwrap();
    let expected = Cookie {
        host: host.into_bytes(),
        requires_locks: true,
        disks: vec![16 << 20],
        processor: Some(processor),
        capabilities: BTreeMap::from([
            (Capability::Xbzrle, false),
            (Capability::PauseBeforeSwitchover, true),
        ]),
        ..Cookie::default()
    };
    assert_eq!(begun, expected);
    expect_test::expect![[r#"
        <qemu-migration>
          <name>reservoir-one</name>
          <uuid>52fb11a9-9289-86d0-832e-9af556182d1d</uuid>
          <hostname>peer</hostname>
          <hostuuid>0000694a-0000-0000-0000-000000000005</hostuuid>
          <feature name="lockstate"/>
          <nbd>
            <disk target="vda" capacity="16777216"/>
          </nbd>
          <cpu mode="custom" match="exact" check="full">
            <model fallback="forbid">qemu64</model>
            <feature policy="require" name="lahf_lm"/>
            <feature policy="disable" name="svm"/>
          </cpu>
          <capabilities>
            <cap name="xbzrle" auto="no"/>
            <cap name="pause-before-switchover" auto="yes"/>
          </capabilities>
        </qemu-migration>"#]]
    .assert_eq(str::from_utf8(written(begun).strip_suffix(&[0]).unwrap()).unwrap());

    let performed = read(format!("{PERFORMED}\0").as_bytes(), &about()).unwrap();
    assert_eq!(performed.clock_ahead, Some(-7));
    assert_eq!(performed.statistics[&Statistic::Downtime], 244);
    assert_eq!(read(&written(performed.clone()), &about()).unwrap(), performed);
}

#[test]
fn what_has_no_word_is_refused() {
    let spoilt = [
        ("<nbd>", "<nbd port='49152'>"),
        ("</qemu-migration>", "<graphics type='vnc' port='1' listen='::'/></qemu-migration>"),
        ("</qemu-migration>", "<domain type='kvm'><name>x</name></domain></qemu-migration>"),
        ("'lockstate'", "'network'"),
        ("'vda'", "'sda'"),
        ("'16777216'", "'-1'"),
        ("reservoir-one", "reservoir-two"),
        ("52fb11a9", "62fb11a9"),
        ("mode='custom'", "mode='host-passthrough'"),
        ("match='exact'", "match='minimum'"),
        ("check='full'", "check='perhaps'"),
        ("policy='disable'", "policy='perhaps'"),
        ("name='svm'", "name='s v m'"),
        ("</cpu>", "<vendor>AMD</vendor></cpu>"),
        ("'vda' capacity='16777216'/>", "'vda' capacity='1'/><disk target='vdc' capacity='1'/>"),
        ("</cpu>", "<topology sockets='1' cores='1' threads='1'/></cpu>"),
        ("name='xbzrle' auto='no'", "name='xbzrle' auto='perhaps'"),
    ];
    for (from, to) in spoilt {
        let text = BEGUN.replace(from, to);
        assert_ne!(text, BEGUN, "{from}");
        assert!(read(text.as_bytes(), &about()).is_err(), "{to} is taken");
    }
    for (from, to) in [("downtime", "uptime"), ("244", "-244"), ("-7", "99999999999999999999")] {
        let text = PERFORMED.replace(from, to);
        assert!(read(text.as_bytes(), &about()).is_err(), "{to} is taken");
    }
    let many: String =
        (0..300).map(|_| "<disk target='vda' capacity='1'/>").collect::<Vec<_>>().concat();
    let many = BEGUN.replace("</nbd>", &format!("{many}</nbd>"));
    assert!(matches!(read(many.as_bytes(), &about()), Err(Error::Disk(_))));
    let long = BEGUN.replace("</cpu>", &format!("{}</cpu>", " ".repeat(1 << 20)));
    assert!(matches!(read(long.as_bytes(), &about()), Err(Error::TooLong(_))));
    assert!(matches!(read(&[0xff], &about()), Err(Error::NotText(_))));
}

fn a_name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9._+-]{1,20}".prop_map(|text| text.try_into().unwrap())
}

prop_compose! {
    fn a_processor()(
        check in prop::sample::select(Check::ALL),
        features in prop::collection::btree_map(
            a_name(),
            prop::sample::select(Policy::ALL),
            0..5,
        ),
    ) -> Processor {
        Processor { model: name("qemu64"), check, features }
    }
}

prop_compose! {
    fn a_cookie()(
        host in any::<[u8; 16]>(),
        requires_locks in any::<bool>(),
        disks in prop::collection::vec(1..1_u64 << 30, 0..8),
        processor in prop::option::of(a_processor()),
        statistics in prop::collection::btree_map(
            prop::sample::select(Statistic::ALL),
            0..100_u64,
            1..5,
        ),
        clock_ahead in prop::option::of(-1_000_000..1_000_000_i64),
        capabilities in prop::collection::btree_map(
            prop::sample::select(Capability::ALL),
            any::<bool>(),
            0..5,
        ),
    ) -> Cookie {
        Cookie {
            host,
            requires_locks,
            disks: disks.into_iter().map(|size| size << 20).collect(),
            processor,
            statistics,
            clock_ahead,
            capabilities,
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_as_it_was(cookie in a_cookie()) {
        let fitting = cookie.clone().fitting(&hull(&cookie.disks)).unwrap();
        prop_assert_eq!(read(&write(&fitting, &about()), &about()).unwrap(), cookie);
    }

    #[test]
    fn no_cookie_panics(cut in 0..BEGUN.len(), with in any::<Vec<u8>>()) {
        let mut bytes = BEGUN.as_bytes()[..cut].to_vec();
        bytes.extend(with);
        bytes.extend(&BEGUN.as_bytes()[cut..]);
        drop(read(&bytes, &about()));
        drop(read(&bytes[..cut], &about()));
    }
}
