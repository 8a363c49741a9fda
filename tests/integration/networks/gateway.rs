//! A gateway that is lost, and the one that takes its place.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{HOME, HOSTS, Member};
use crate::sites::Sites;
use crate::world::{World, note, until};

/// The node of the home through which its networks reach other sites, as another node has it.
pub(super) fn gateway(sites: &Sites, at: &str) -> Result<String> {
    let nodes: Vec<Value> = sites.read(at, &["site", "node", "ls"])?;
    let named = nodes.iter().find(|node| node["gateway"] == true);
    let name = named.and_then(|node| node["name"].as_str());
    Ok(name.unwrap_or_default().to_owned())
}

/// The home's gateway is killed while a guest at another site talks to one at home, on another host:
/// another node takes its place, and next to nothing of the talk is lost.
pub(super) fn another_gateway_takes_over(world: &mut World, members: &[Member]) -> Result<()> {
    let lost = gateway(&world.sites, HOSTS[0])?;
    let here = HOSTS.into_iter().find(|host| **host == lost).context("no such host")?;
    let other = HOSTS.into_iter().find(|host| *host != here).context("no other host")?;
    let away = members.iter().find(|it| it.site != HOME).context("nobody is away")?;
    let home = members.iter().find(|it| it.site == HOME).context("nobody is at home")?;
    ensure!(home.host != here, "the machine at home is on the gateway's own host");
    world.kill_node(here)?;
    let talk = format!("ping -i 0.2 -c 75 -W 1 {} | grep received", home.address);
    let (said, done) = away.guest.does(&talk)?;
    ensure!(done, "nothing came back at all: {said}");
    let received = said.lines().find_map(|line| line.split_once(" packets received"));
    let received = received.and_then(|(before, _)| before.rsplit(' ').next());
    let received: u32 = received.context("no count")?.parse().context("read a count")?;
    // Five seconds are 25 of them.
    ensure!(received >= 50, "{received} of 75 came back");
    note(Instant::now(), &format!("{received} of 75 pings, five a second, came back meanwhile"));
    until("another gateway", || {
        let now = gateway(&world.sites, other)?;
        Ok(!now.is_empty() && now != lost)
    })?;
    until("both to talk by the new gateway", || {
        away.guest.can(&format!("ping -c 3 -W 1 {} >/dev/null", home.address))
    })
}
