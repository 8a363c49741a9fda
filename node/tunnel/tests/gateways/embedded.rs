//! Claims about the tunnel that a process holds: two gateways, a link between them, and a VXLAN over it.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use tunnel::{Change, Error, Kernel, PeerDrops, Provider, Tunnel};

use crate::scene::{
    INTERFACE, PORT, PROGRAM, Scene, block_on, bytes, echo, inner, is_inside, run, wait_for, wanted,
};

#[test]
fn a_lan_goes_through_the_tunnel_in_both_directions() -> Result<()> {
    if !is_inside("embedded::a_lan_goes_through_the_tunnel_in_both_directions")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    scene.stretch_a_lan()?;
    echo("10.9.0.2", &bytes(2 << 20))?;
    let (near, far) = (scene.near_peer()?, scene.far_peer()?);
    ensure!(near.sent.bytes > 8 << 20 && near.received.bytes > 8 << 20, "counted: {near:?}");
    ensure!(near.last_handshake.is_some() && near.drops == Some(PeerDrops::default()), "{near:?}");
    ensure!(far.received.packets > Some(5000), "segments were put through: {far:?}");
    // What goes through without a LAN is put together as well.
    echo("fd00::2", &bytes(1 << 20))?;
    let refused = scene.near_drops()?.refused;
    ensure!(refused == 0, "the kernel took every super-packet: {refused}");
    Ok(())
}

#[test]
fn a_path_that_is_narrower_than_thought_carries_all_the_same() -> Result<()> {
    if !is_inside("embedded::a_path_that_is_narrower_than_thought_carries_all_the_same")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    scene.stretch_a_lan()?;
    run("ip link set near0 mtu 1300")?;
    run("ip -n far link set far0 mtu 1300")?;
    echo("10.9.0.2", &bytes(1 << 18))?;
    let sent = scene.near_peer()?.sent.bytes;
    ensure!(sent < 2 << 20, "nothing had to be sent again and again: {sent}");
    ensure!(scene.near_peer_drops()?.unsent == 0, "{:?}", scene.near_peer()?);
    Ok(())
}

#[test]
fn a_packet_from_an_address_that_is_not_the_peers_is_dropped() -> Result<()> {
    if !is_inside("embedded::a_packet_from_an_address_that_is_not_the_peers_is_dropped")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    run(&format!("ip -n far addr add fd00::3/64 dev {INTERFACE} nodad"))?;
    let ping = "ip netns exec far busybox ping -c1 -W1 -I fd00::3 fd00::1";
    ensure!(run(ping).is_err(), "nobody answers to an address that is not the peer's");
    wait_for("the drop is counted", || {
        Ok(Some(()).filter(|()| scene.near_peer_drops().is_ok_and(|drops| drops.wrong_source > 0)))
    })?;
    ensure!(scene.ping()?, "what is the peer's own still comes through");
    Ok(())
}

#[test]
fn a_packet_to_an_address_that_no_peer_has_is_dropped() -> Result<()> {
    if !is_inside("embedded::a_packet_to_an_address_that_no_peer_has_is_dropped")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    let before = scene.near_drops()?.no_peer;
    ensure!(run("busybox ping -c1 -W1 fd00::77").is_err(), "nobody is there");
    let after = scene.near_drops()?.no_peer;
    ensure!(after > before, "the drop is counted: {before}, then {after}");
    Ok(())
}

#[test]
fn a_gateway_is_followed_to_another_address() -> Result<()> {
    if !is_inside("embedded::a_gateway_is_followed_to_another_address")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    run("ip -n far addr del 192.0.2.2/24 dev far0")?;
    run("ip -n far addr add 192.0.2.9/24 dev far0")?;
    let moved = "192.0.2.9:51820".parse()?;
    wait_for("it is heard from its new address", || {
        Ok(scene.near_peer()?.endpoint.filter(|endpoint| *endpoint == moved))
    })?;
    wait_for("it answers there", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))?;
    let change = scene.converge_near(&wanted(1, 2, None))?;
    ensure!(change == Change::Nothing, "where it has moved is not forgotten: {change:?}");
    Ok(())
}

#[test]
fn a_gateway_that_starts_again_is_back() -> Result<()> {
    if !is_inside("embedded::a_gateway_that_starts_again_is_back")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    block_on(scene.far.close())??;
    ensure!(!scene.ping()?, "its interface went with it");
    let dials = wanted(2, 1, Some("192.0.2.1:51820".parse()?));
    ensure!(scene.converge_far(&dials)? == Change::Made, "it is made again");
    wait_for("it answers", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))?;
    Ok(())
}

#[test]
fn what_is_wanted_is_made_once_and_made_again_when_it_is_gone() -> Result<()> {
    if !is_inside("embedded::what_is_wanted_is_made_once_and_made_again_when_it_is_gone")? {
        return Ok(());
    }
    let scene = Scene::connected()?;
    let mut near = wanted(1, 2, None);
    ensure!(scene.converge_near(&near)? == Change::Nothing, "all is as wanted");
    near.mtu = 1300;
    near.peers[0].addresses.push(inner(22));
    ensure!(scene.converge_near(&near)? == Change::Made, "the MTU and a peer are other");
    let shown = run(&format!("ip link show {INTERFACE}"))?;
    ensure!(shown.contains("mtu 1300") && shown.contains("NOARP"), "{shown}");
    ensure!(scene.ping()?, "the session was kept");
    ensure!(scene.converge_near(&near)? == Change::Nothing, "all is as wanted again");

    run(&format!("ip addr add fd00:1::1/64 dev {INTERFACE} nodad"))?;
    ensure!(scene.converge_near(&near)? == Change::Made, "a strange address is removed");
    run(&format!("ip link del {INTERFACE}"))?;
    wait_for("the loss is seen", || {
        Ok(Some(())
            .filter(|()| scene.converge_near(&near).is_ok_and(|change| change == Change::Made)))
    })?;
    near.peers.clear();
    ensure!(scene.converge_near(&near)? == Change::Made, "a peer is not wanted any more");
    ensure!(scene.near_state()?.peers.is_empty() && !scene.ping()?, "it is gone");
    Ok(())
}

#[test]
fn a_port_or_a_name_in_use_is_refused_with_its_reason() -> Result<()> {
    if !is_inside("embedded::a_port_or_a_name_in_use_is_refused_with_its_reason")? {
        return Ok(());
    }
    let scene = Scene::new()?;
    let taken = UdpSocket::bind(("::", PORT))?;
    let error = block_on(scene.near.converge(&wanted(1, 2, None)))?;
    ensure!(matches!(error, Err(Error::Port { port: PORT, .. })), "{error:?}");
    drop(taken);
    run(&format!("ip link add {INTERFACE} type bridge"))?;
    let error = block_on(scene.near.converge(&wanted(1, 2, None)))?;
    ensure!(matches!(error, Err(Error::Device { .. })), "{error:?}");
    Ok(())
}

/// Passes datagrams between a client and the near gateway, each of them twice, and now and then
/// one that nobody sent.
fn meddle(socket: &UdpSocket, is_over: &AtomicBool) -> Result<()> {
    let near: SocketAddr = "192.0.2.1:51820".parse()?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut far = None;
    let mut buffer = [0; 2000];
    let mut count = 0_usize;
    while !is_over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let to = if from == near {
            far
        } else {
            far = Some(from);
            Some(near)
        };
        let Some(to) = to else { continue };
        socket.send_to(&buffer[..length], to)?;
        socket.send_to(&buffer[..length], to)?;
        count += 1;
        if count.is_multiple_of(5) {
            let place = count % length;
            buffer[place] ^= 0x55;
            socket.send_to(&buffer[..length], to)?;
            socket.send_to(&buffer[..count % 200], to)?;
        }
    }
    Ok(())
}

#[test]
fn what_is_repeated_or_forged_on_the_way_never_arrives() -> Result<()> {
    if !is_inside("embedded::what_is_repeated_or_forged_on_the_way_never_arrives")? {
        return Ok(());
    }
    let scene = Scene::new()?;
    run("ip addr add 192.0.2.66/24 dev near0")?;
    let relay = UdpSocket::bind(("192.0.2.66", 7000))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let meddler = scope.spawn(|| meddle(&relay, &is_over));
        let outcome = (|| {
            scene.converge_near(&wanted(1, 2, None))?;
            scene.converge_far(&wanted(2, 1, Some("192.0.2.66:7000".parse()?)))?;
            wait_for("they talk", || Ok(Some(()).filter(|()| scene.ping().unwrap_or(false))))?;
            scene.stretch_a_lan()?;
            echo("10.9.0.2", &bytes(1 << 18))
        })();
        is_over.store(true, Ordering::Relaxed);
        meddler.join().expect("the meddler does not panic")?;
        outcome
    })?;
    let (peer, drops) = (scene.near_peer_drops()?, scene.near_drops()?);
    ensure!(peer.replayed > 100, "what came twice was dropped: {peer:?}");
    ensure!(peer.unauthentic > 0, "what was changed was dropped: {peer:?}");
    ensure!(drops.unknown > 0, "what is nothing was dropped: {drops:?}");
    Ok(())
}

#[test]
fn a_host_has_the_kernels_tunnel_or_its_own() -> Result<()> {
    if !is_inside("embedded::a_host_has_the_kernels_tunnel_or_its_own")? {
        return Ok(());
    }
    let _scene = Scene::new()?;
    let data = tempfile::tempdir()?;
    let state = block_on(async {
        let tunnel = tunnel::of_this_host(data.path(), Path::new(PROGRAM)).await;
        tunnel.converge(&wanted(1, 2, None)).await?;
        let state = tunnel.state().await?;
        tunnel.close().await?;
        Ok::<_, Error>(state)
    })??;
    let has_it = block_on(Kernel::is_available())?;
    let provider = state.map(|state| state.provider);
    ensure!(has_it == (provider == Some(Provider::Kernel)), "{provider:?}");
    ensure!(run(&format!("ip link show {INTERFACE}")).is_err(), "it is gone once it is closed");
    Ok(())
}
