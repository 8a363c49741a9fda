//! The plan, as golden text; names and zones.

use std::fmt::Write as _;

use expect_test::expect_file;
use nftables::schema::NfListObject;

use super::super::check::check;
use super::super::names::{Key, Kind, Tap, mac_text};
use super::super::plan::filters::Table;
use super::super::plan::services::Asking;
use super::super::plan::{Door, Entry, Exit, Forwards, Overlay, Plan, Segment, Services, zones};
use super::super::{InterfaceName, Lan, Outside, Wanted};
use super::{everywhere, lan, machine, public, routed};

fn said(plan: &Plan) -> String {
    let mut text = String::new();
    for segment in &plan.lans {
        text.push_str(&said_of(segment));
        if let Some(exit) = &segment.exit {
            text.push_str(&said_of_exit(exit));
        }
        if let Some(services) = &segment.services {
            let directory = std::path::Path::new("/run/reservoir");
            let _infallible = writeln!(text, "{}", services.configuration(directory, 7));
        }
    }
    plan.filters.all().into_iter().for_each(|table| text.push_str(&said_of_table(table)));
    text
}

fn said_of_table(table: &Table) -> String {
    let line = |object: NfListObject<'_>| match &object {
        NfListObject::Rule(rule) => {
            let steps: Vec<String> =
                rule.expr.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
            format!("{}: {}\n", rule.chain, steps.join(" "))
        }
        other => serde_json::to_string(other).unwrap() + "\n",
    };
    table.objects().map(line).collect()
}

fn said_of_exit(exit: &Exit) -> String {
    let mut text =
        format!("exit in {} behind {} as {}\n", exit.namespace, exit.port, mac_text(exit.mac));
    for net in &exit.nets {
        let _infallible = writeln!(text, "  is next to {net}");
    }
    for (address, mac) in &exit.neighbours {
        let _infallible = writeln!(text, "  knows {address} as {}", mac_text(*mac));
    }
    text.push_str(&said_of_door(&exit.door));
    for address in &exit.public {
        let _infallible = writeln!(text, "  is answered for as {address}");
    }
    text + &said_of_table(&exit.translation)
}

fn said_of_door(door: &Door) -> String {
    let Door { name, host, own, behind } = door;
    let mut text =
        format!("  leads to {name} as {} and is {} there\n", mac_text(*host), mac_text(*own));
    for address in behind {
        let _infallible = writeln!(text, "  has {address} behind it");
    }
    text
}

fn said_of(segment: &Segment) -> String {
    let mut lines = vec![format!("bridge {} mtu {}", segment.bridge, segment.mtu)];
    let overlays = [&segment.underlay, &segment.tunnel].into_iter().flatten();
    for Overlay { name, vni, port, local, device, entries } in overlays {
        let vni = vni.get();
        lines.push(format!("vxlan {name} vni {vni} port {port} local {local} through {device:?}"));
        for Entry { mac, to, vni } in entries {
            lines.push(format!("  {} to {to} vni {}", mac_text(*mac), vni.get()));
        }
    }
    for (mac, port) in &segment.ports {
        lines.push(format!("{} behind {port}", mac_text(*mac)));
    }
    for (address, mac) in &segment.neighbours {
        lines.push(format!("{address} is {}", mac_text(*mac)));
    }
    for (tap, speed) in &segment.taps {
        lines.push(format!("tap {tap} is sent at most {speed:?} bytes a second"));
    }
    if let Some(Services { namespace, port, mac, addresses, leases, names, asking, .. }) =
        &segment.services
    {
        lines.push(format!("services in {namespace} behind {port} as {}", mac_text(*mac)));
        lines.extend(addresses.iter().map(|address| format!("  have {address}")));
        if let Some(Asking { door, resolvers }) = asking {
            lines.push(format!("  ask {resolvers:?}\n{}", said_of_door(door)));
        }
        lines.push(format!("hosts.dhcp\n{leases}hosts.dns\n{names}"));
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_plan_says_everything() {
    let plan = Plan::of(&everywhere(), Forwards::default());
    assert_eq!(plan, Plan::of(&everywhere(), Forwards::default()));
    expect_file!["../plan/plan.txt"].assert_eq(&said(&plan));
}

#[test]
fn the_plan_says_what_is_routed() {
    let wanted = routed();
    assert_eq!(check(&wanted), Ok(()));
    let plan = Plan::of(&wanted, Forwards::default());
    let mut text = String::new();
    for router in &plan.routers {
        let _infallible = writeln!(text, "router in {}", router.namespace);
        for leg in &router.legs {
            let (port, inner, mac, mtu) = (&leg.port, &leg.inner, mac_text(leg.mac), leg.mtu);
            let _infallible = writeln!(text, "  {inner} behind {port} as {mac} mtu {mtu}");
            for net in leg.nets.iter().chain(&leg.addresses) {
                let _infallible = writeln!(text, "    is on {net}");
            }
            for (address, mac) in &leg.neighbours {
                let _infallible = writeln!(text, "    knows {address} as {}", mac_text(*mac));
            }
        }
    }
    expect_file!["../plan/routed.txt"].assert_eq(&(text + &said(&plan)));
}

#[test]
fn the_plan_says_what_goes_out_and_comes_in() {
    let mut wanted = everywhere();
    wanted.lans[0].exit = Some(super::super::Exit::Here);
    wanted.outside = Some(Outside {
        interface: "eth0".parse().unwrap(),
        closed: vec!["192.0.2.0/24".parse().unwrap(), "::/0".parse().unwrap()],
    });
    wanted.resolvers = vec![[203, 0, 113, 53].into(), "2001:db8::53".parse().unwrap()];
    wanted.public = vec![
        public([203, 0, 113, 7].into(), [10, 0, 0, 13].into()),
        public("2001:db8::7".parse().unwrap(), "fd00:1::10".parse().unwrap()),
    ];
    assert_eq!(check(&wanted), Ok(()));
    let plan = Plan::of(&wanted, Forwards::default());
    expect_file!["../plan/exit.txt"].assert_eq(&said(&plan));
}

#[test]
fn an_interface_has_a_name_that_means_nothing_else() {
    for name in ["eth0", "enP2p1s0f0np0", "eth0.100", "br_lan-1"] {
        assert!(name.parse::<InterfaceName>().is_ok(), "{name}");
    }
    for name in ["", ".", "..", "-a", "eth*", "a/b", "a b", "abcdefghijklmnop", "é"] {
        assert!(name.parse::<InterfaceName>().is_err(), "{name}");
    }
}

#[test]
fn names_fit_the_kernel_and_are_known_again() {
    let key = Key::of(lan(1, vec![]).identity);
    for kind in [
        Kind::Bridge,
        Kind::Underlay,
        Kind::Tunnel,
        Kind::Services,
        Kind::Namespace,
        Kind::Exit,
        Kind::Door,
        Kind::Asking,
        Kind::ExitNamespace,
        Kind::Router,
        Kind::RouterNamespace,
    ] {
        let name = key.name(kind);
        assert!(name.len() <= 15, "{name}");
        assert_eq!(Key::of_name(kind, &name), Some(key));
    }
    assert_eq!(Key::of_name(Kind::Bridge, "rsb00112233445"), None);
    assert_eq!(Key::of_name(Kind::Bridge, "rsb00112233445X"), None);
    assert_eq!(Key::of_name(Kind::Bridge, "rsb0011223344556"), None);
    assert!(Tap::of(machine(1), 0).as_str().len() <= 15);
    assert_ne!(Tap::of(machine(1), 0), Tap::of(machine(1), 1));
}

#[test]
fn every_network_has_a_zone_of_its_own_that_stays() {
    let lans: Vec<Lan> = (1..=200).map(|number| lan(number, vec![])).collect();
    let zones = |lans: &[Lan]| {
        let wanted = Wanted { lans: lans.to_vec(), ..Wanted::default() };
        zones(&wanted)
    };
    let all = zones(&lans);
    let distinct: std::collections::BTreeSet<u16> = all.values().copied().collect();
    assert_eq!(distinct.len(), lans.len());
    assert!(!distinct.contains(&0));
    let alone = zones(&lans[..1]);
    assert_eq!(all.get(&Key::of(lans[0].identity)), alone.get(&Key::of(lans[0].identity)));
}
