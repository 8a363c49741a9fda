//! The public network: the way out, and the way in.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{HOME, Member, asks_for_page};
use crate::world::{World, until};

/// The address of beta's host on the virtual Internet.
const BETA: &str = "203.0.113.2";

/// The public addresses of the home's tenants.
const POOL: &str = "203.0.113.240/29";

/// A machine at a peer goes out by its home, and is reached by a public address of its home.
pub(super) fn the_outside_is_reached_and_reaches_in(world: &World, machine: &Member) -> Result<()> {
    let ping = format!("ping -c 1 -W 3 {BETA} >/dev/null");
    until("the machine to reach another site's host", || machine.guest.can(&ping))?;
    world.sites.say(HOME, &["address", "pool", "add", POOL])?;
    let address: Value = world.sites.read(HOME, &["address", "allocate"])?;
    let address = address["id"].as_str().context("no address")?;
    world.sites.say(HOME, &["address", "associate", address, &machine.name])?;
    let ask = asks_for_page(address).replace("nc ", "busybox nc ");
    until("the public address to lead to the machine", || {
        Ok(world.run("beta", &["sh", "-c", &ask]).is_ok_and(|said| said.contains(&machine.boot)))
    })
}
