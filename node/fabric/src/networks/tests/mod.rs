//! Claims about what is refused, and about the plan, which is a pure function; the kernel is met
//! in `tests/`.

mod check;
mod plan;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use protocol::hull::Mac;
use protocol::ids::{MachineId, MachineName, NetworkId, SiteId};
use uuid::Uuid;

use super::names::Tap;
use super::{
    At, Fake, Group, GroupId, Hop, Identity, Lan, Member, Networks as _, Peer, Ports, Public,
    Route, Routed, Rule, Traffic, Tunnel, Vni, Wanted,
};
use crate::{Change, HostName};

pub(super) fn home() -> SiteId {
    SiteId::from_bytes([7; 32])
}

pub(super) fn machine(number: u8) -> MachineName {
    MachineName { home: home(), machine: MachineId::from_uuid(Uuid::from_bytes([number; 16])) }
}

pub(super) fn here(number: u8) -> At {
    At::Here { tap: Tap::of(machine(number), 0), from_guest: None, to_guest: None }
}

pub(super) fn member(number: u8, at: At) -> Member {
    Member {
        mac: Mac::of(home(), machine(number).machine, 0),
        v4: Some([10, 0, 0, 10 + number].into()),
        v6: format!("fd00:1::{number}0").parse().ok(),
        names: vec![HostName::nearest(&format!("c{number}"))],
        groups: vec![GroupId(1)],
        at,
    }
}

pub(super) fn lan(number: u8, members: Vec<Member>) -> Lan {
    Lan {
        identity: Identity {
            home: home(),
            network: NetworkId::from_uuid(Uuid::from_bytes([number; 16])),
        },
        v4: "10.0.0.0/24".parse().ok(),
        v6: "fd00:1::/64".parse().ok(),
        mtu: 1400,
        vni: Vni::new(u32::from(number)).unwrap(),
        domain: ["service", "example"].map(HostName::nearest).to_vec(),
        members,
        groups: vec![Group { id: GroupId(1), ingress: vec![], egress: vec![] }],
        speed: None,
        exit: None,
        routes: vec![],
        awaited: BTreeSet::new(),
    }
}

/// A network with a card here, one on another host and one at another site.
pub(super) fn everywhere() -> Wanted {
    let host = At::Host { underlay: "192.0.2.2".parse().unwrap() };
    let site = At::Site { gateway: "fd99::2".parse().unwrap(), vni: Vni::new(9).unwrap() };
    let mut red = lan(1, vec![member(1, here(1)), member(2, host), member(3, site)]);
    red.members[0].at = At::Here {
        tap: Tap::of(machine(1), 0),
        from_guest: NonZeroU32::new(1_000_000),
        to_guest: NonZeroU32::new(2_000_000),
    };
    red.speed = NonZeroU32::new(5_000_000);
    let web = Traffic::Tcp(Ports { first: 80, last: 81 });
    red.groups[0].ingress = vec![
        Rule { traffic: web, peer: Peer::Prefix("192.168.0.0/16".parse().unwrap()) },
        Rule { traffic: Traffic::Icmp, peer: Peer::Prefix("::/0".parse().unwrap()) },
        Rule { traffic: Traffic::Any, peer: Peer::Group(GroupId(1)) },
    ];
    Wanted {
        lans: vec![red],
        underlay: "192.0.2.1".parse().ok(),
        tunnel: Some(Tunnel {
            device: "wg0".parse().unwrap(),
            address: "fd99::1".parse().unwrap(),
        }),
        outside: None,
        public: vec![],
        resolvers: vec![],
        routed: vec![],
    }
}

/// Two networks with a router between them, of which one has a guest here.
pub(super) fn routed() -> Wanted {
    let mut wanted = everywhere();
    let mut blue = lan(2, vec![]);
    (blue.v4, blue.v6) = ("10.0.1.0/24".parse().ok(), "fd00:2::/64".parse().ok());
    let host = At::Host { underlay: "192.0.2.3".parse().unwrap() };
    let mut fourth = member(4, host);
    (fourth.v4, fourth.v6) = (Some([10, 0, 1, 14].into()), "fd00:2::40".parse().ok());
    blue.members.push(fourth);
    let lans = vec![wanted.lans[0].identity, blue.identity];
    wanted.lans.push(blue);
    wanted.routed.push(Routed { lans });
    let route = |to: &str, hop| Route { to: to.parse().unwrap(), hop };
    wanted.lans[0].routes = vec![
        route("10.8.0.0/16", Hop::Card([10, 0, 0, 12].into())),
        route("10.0.0.0/8", Hop::Nobody),
        route("::/0", Hop::Card("fd00:1::10".parse().unwrap())),
    ];
    wanted
}

pub(super) fn public(address: IpAddr, member: IpAddr) -> Public {
    Public { address, network: lan(1, vec![]).identity, member }
}

#[tokio::test]
async fn the_fake_converges_and_fails_as_told() {
    let fake = Fake::new();
    fake.fail(1);
    assert!(fake.converge(&everywhere()).await.is_err());
    assert_eq!(fake.present(), None);
    assert_eq!(fake.converge(&everywhere()).await.unwrap(), Change::Made);
    assert_eq!(fake.converge(&everywhere()).await.unwrap(), Change::Nothing);
    assert_eq!(fake.present(), Some(everywhere()));
    let mut spoilt = everywhere();
    spoilt.lans[0].mtu = 1;
    assert!(fake.converge(&spoilt).await.is_err());
    assert_eq!(fake.present(), Some(everywhere()));
}
