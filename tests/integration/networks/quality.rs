//! What a network holds its guests to: how fast they may be, and who they may say that they are.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::liar::dropped;
use super::{HOME, Member, shown};
use crate::world::{World, until};

/// Three times what a limited card may send in a second.
const BIG: u64 = 3 << 20;

/// How many seconds a guest takes to get the big page of another.
fn seconds(guest: &Member, of: &Member) -> Result<f64> {
    let page = format!("dd if=/dev/zero of=/www/big bs=1024 count={} 2>/dev/null", BIG >> 10);
    ensure!(of.guest.can(&page)?, "{} has no room for a big page", of.name);
    let clock = |name: &str| format!("read {name} rest </proc/uptime");
    let get =
        format!("printf 'GET /big HTTP/1.0\\r\\n\\r\\n' | nc -w 20 {} 80 | wc -c", of.address);
    let told = "echo ; echo took $begun $ended";
    let (said, _) =
        guest.guest.does(&[&clock("begun"), &get[..], &clock("ended"), told].join("; "))?;
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let bytes = lines.iter().find_map(|line| line.parse::<u64>().ok());
    ensure!(bytes.is_some_and(|bytes| bytes > BIG), "{} gets from {}: {said}", guest.name, of.name);
    let took = lines.iter().find_map(|line| line.strip_prefix("took "));
    let took = took.and_then(|line| line.split_once(' ')).with_context(|| said.clone())?;
    let [begun, ended] = [took.0, took.1].map(str::parse::<f64>);
    Ok(ended.context("read a clock")? - begun.context("read a clock")?)
}

/// A network that is limited to a megabyte a second is that slow in both directions, and another
/// on the same hosts is not.
pub(super) fn a_speed_is_held_to(fast: &[Member], slow: &[Member]) -> Result<String> {
    let free = seconds(&fast[0], &fast[1])?;
    let mut told = vec![format!("{BIG} bytes in {free:.2} s")];
    for (one, other) in [(&slow[0], &slow[1]), (&slow[1], &slow[0])] {
        let held = seconds(one, other)?;
        // What a limit lets through at once is less than a second's worth.
        ensure!(held > 2.0, "{} gets from {} in {held} s", one.name, other.name);
        ensure!(held > free * 2.0, "limited {held} s, and not limited {free} s");
        told.push(format!("limited in {held:.2} s"));
    }
    Ok(told.join(", "))
}

/// Guests at different sites reach each other by IPv6.
pub(super) fn ipv6_reaches_as_well(world: &World, members: &[Member]) -> Result<()> {
    let network = shown(world, HOME, "red/lan")?;
    let cards = network["cards"].as_array().context("no cards")?;
    let address = |member: &Member| {
        let card = cards.iter().find(|card| card["address"] == *member.address);
        card.and_then(|card: &Value| card["address6"].as_str()).context("no IPv6 address")
    };
    for member in members {
        let add = format!("ip -6 address add {}/64 dev eth0", address(member)?);
        let (said, done) = member.guest.does(&add)?;
        ensure!(done, "{} takes no IPv6 address: {said}", member.name);
    }
    for (one, other) in
        [(0, 1), (1, 2), (2, 0)].map(|(one, other)| (&members[one], &members[other]))
    {
        let ping = format!("ping -c 1 -W 3 {} >/dev/null", address(other)?);
        let what = format!("{} to reach {} by IPv6", one.name, other.name);
        until(&what, || one.guest.can(&ping))?;
    }
    Ok(())
}

/// A guest that gives itself another's address, or another card, is heard by nobody; what it does
/// as itself goes on.
pub(super) fn who_spoofs_is_heard_by_nobody(world: &World, members: &[Member]) -> Result<()> {
    let [victim, guest, other] = members else { anyhow::bail!("not three machines") };
    let ping = format!("ping -c 1 -W 1 {} >/dev/null", victim.address);
    let from_another = format!(
        "ip address add {0}/32 dev eth0; ping -c 1 -W 1 -I {0} {1} >/dev/null; heard=$?; ip address \
         del {0}/32 dev eth0; [ $heard = 0 ]",
        other.address, victim.address
    );
    let card = |address: &str| {
        format!("ip link set eth0 down; ip link set eth0 address {address}; ip link set eth0 up")
    };
    let (said, _) = guest.guest.does("cat /sys/class/net/eth0/address")?;
    let own = said.lines().map(str::trim).find(|line| line.matches(':').count() == 5);
    let own = own.filter(|line| line.len() == 17).context("no MAC address")?;
    let as_another = format!("{}; {ping}", card("52:00:00:00:00:01"));
    for (lie, cause) in [(&from_another, "foreign-address"), (&as_another, "foreign-mac")] {
        let before = dropped(world, &guest.host, cause)?;
        ensure!(!guest.guest.can(lie)?, "a lie was answered: {lie}");
        ensure!(dropped(world, &guest.host, cause)? > before, "no {cause} was counted");
    }
    guest.guest.does(&card(own))?;
    until("the guest to be heard as itself", || guest.guest.can(&ping))
}
