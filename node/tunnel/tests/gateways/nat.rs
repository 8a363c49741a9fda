//! Claims about gateways behind NAT: who calls, who answers, and what happens when a NAT forgets.
//!
//! ```text
//!   far gateway --- home --- NAT --- outside --- near gateway            10.1.0.2, 192.0.2.2
//!   far gateway --- home --- NAT --- outside --- NAT --- near gateway    and 10.2.0.2, 192.0.2.3
//! ```

use anyhow::{Result, ensure};

use crate::scene::{FAR, Scene, bytes, echo, is_inside, run, wait_for, wanted};

/// A wire between two namespaces, with an address at each end. None is the near gateway's.
fn wire(one: (Option<&str>, &str, &str), other: (&str, &str, &str)) -> Result<()> {
    let ((place, device, address), (far, far_device, far_address)) = (one, other);
    let at = place.map(|name| format!("-n {name} ")).unwrap_or_default();
    run(&format!("ip {at}link add {device} type veth peer name {far_device} netns {far}"))?;
    run(&format!("ip {at}addr add {address} dev {device}"))?;
    run(&format!("ip {at}link set {device} up"))?;
    run(&format!("ip -n {far} addr add {far_address} dev {far_device}"))?;
    run(&format!("ip -n {far} link set {far_device} up"))?;
    Ok(())
}

/// Makes a namespace translate what leaves it by `outside`, to these ports if any are said, and let
/// nobody in who was not asked.
fn translate(name: &str, ports: &str) -> Result<()> {
    let at = format!("ip netns exec {name} ");
    run(&format!("{at}busybox sysctl -w net.ipv4.ip_forward=1"))?;
    for rule in [
        "flush ruleset".to_owned(),
        "add table ip nat".to_owned(),
        "add chain ip nat out { type nat hook postrouting priority 100 ; }".to_owned(),
        format!("add rule ip nat out oifname outside udp sport 51820 masquerade{ports}"),
        "add chain ip nat in { type filter hook input priority 0 ; }".to_owned(),
        "add rule ip nat in iifname outside ct state new drop".to_owned(),
    ] {
        run(&format!("{at}nft {rule}"))?;
    }
    Ok(())
}

/// The far gateway behind a NAT, and the near one where it can be called.
fn behind_one() -> Result<Scene> {
    let scene = Scene::alone()?;
    for name in [FAR, "nat"] {
        run(&format!("ip netns add {name}"))?;
        run(&format!("ip -n {name} link set lo up"))?;
    }
    wire((Some(FAR), "far0", "10.1.0.2/24"), ("nat", "home", "10.1.0.1/24"))?;
    wire((None, "near0", "192.0.2.1/24"), ("nat", "outside", "192.0.2.2/24"))?;
    run("ip -n far route add default via 10.1.0.1")?;
    Ok(scene)
}

fn answers(scene: &Scene, what: &str) -> Result<()> {
    wait_for(what, || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))
}

#[test]
fn a_gateway_behind_nat_calls_and_is_answered_and_is_followed_when_the_nat_forgets() -> Result<()> {
    let test =
        "nat::a_gateway_behind_nat_calls_and_is_answered_and_is_followed_when_the_nat_forgets";
    if !is_inside(test)? {
        return Ok(());
    }
    let scene = behind_one()?;
    translate("nat", " to :40000-40009")?;
    scene.converge_near(&wanted(1, 2, None))?;
    scene.converge_far(&wanted(2, 1, Some("192.0.2.1:51820".parse()?)))?;
    answers(&scene, "the gateway behind the NAT is reached")?;
    let known = |port: u16| {
        let peer = scene.near_peer()?;
        Ok(peer.endpoint.filter(|it| it.ip().to_string() == "192.0.2.2" && it.port() / 10 == port))
    };
    wait_for("it is known as the NAT has it", || known(4000))?;
    scene.stretch_a_lan()?;
    echo("10.9.0.2", &bytes(1 << 16))?;
    // The NAT starts again: what it knew of the flow is gone, and it takes another port.
    run("ip netns del nat")?;
    run("ip netns add nat")?;
    run("ip -n nat link set lo up")?;
    wait_for("the wires are gone", || Ok(run("ip link show near0").is_err().then_some(())))?;
    wire((Some(FAR), "far0", "10.1.0.2/24"), ("nat", "home", "10.1.0.1/24"))?;
    wire((None, "near0", "192.0.2.1/24"), ("nat", "outside", "192.0.2.2/24"))?;
    run("ip -n far route replace default via 10.1.0.1")?;
    translate("nat", " to :50000-50009")?;
    wait_for("it is known as the NAT has it now", || known(5000))?;
    answers(&scene, "it is reached as before")?;
    echo("10.9.0.2", &bytes(1 << 16))?;
    Ok(())
}

#[test]
fn two_gateways_behind_nats_that_keep_ports_meet_where_each_is_known_outside() -> Result<()> {
    let test = "nat::two_gateways_behind_nats_that_keep_ports_meet_where_each_is_known_outside";
    if !is_inside(test)? {
        return Ok(());
    }
    let scene = Scene::alone()?;
    for name in [FAR, "nat", "own"] {
        run(&format!("ip netns add {name}"))?;
        run(&format!("ip -n {name} link set lo up"))?;
    }
    wire((Some(FAR), "far0", "10.1.0.2/24"), ("nat", "home", "10.1.0.1/24"))?;
    wire((None, "near0", "10.2.0.2/24"), ("own", "home", "10.2.0.1/24"))?;
    wire((Some("nat"), "outside", "192.0.2.2/24"), ("own", "outside", "192.0.2.3/24"))?;
    run("ip -n far route add default via 10.1.0.1")?;
    run("ip route add default via 10.2.0.1")?;
    translate("nat", "")?;
    translate("own", "")?;
    // Neither can be called. Where both call the other's outer address, either NAT takes what comes
    // for an answer.
    scene.converge_near(&wanted(1, 2, Some("192.0.2.2:51820".parse()?)))?;
    scene.converge_far(&wanted(2, 1, Some("192.0.2.3:51820".parse()?)))?;
    answers(&scene, "they meet")?;
    scene.stretch_a_lan()?;
    echo("10.9.0.2", &bytes(1 << 16))?;
    Ok(())
}

#[test]
fn two_gateways_behind_nats_that_know_no_place_of_each_other_do_not_meet() -> Result<()> {
    let test = "nat::two_gateways_behind_nats_that_know_no_place_of_each_other_do_not_meet";
    if !is_inside(test)? {
        return Ok(());
    }
    let scene = behind_one()?;
    translate("nat", "")?;
    scene.converge_near(&wanted(1, 2, None))?;
    scene.converge_far(&wanted(2, 1, None))?;
    ensure!(!scene.ping()?, "nobody calls");
    let peer = scene.near_peer()?;
    ensure!(peer.last_handshake.is_none() && peer.endpoint.is_none(), "{peer:?}");
    ensure!(scene.near_peer_drops()?.unsent > 0, "what could not be sent is counted: {peer:?}");
    Ok(())
}
