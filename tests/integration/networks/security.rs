//! Security groups with real guests, one of them at a peer.

use anyhow::{Result, ensure};

use super::{HOME, Member, member, page};
use crate::world::{World, until};

/// A service whose machines are in security groups; its machines.
const SECURED: &str = "
service: green
networks:
  lan: { prefix: 10.30.0.0/24, outbound: true }
security:
  door: { ingress: [tcp 80 from 0.0.0.0/0] }
  back: { ingress: [tcp 80 from door] }
components:
  door:
    { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, security: [door], place: { sites: [gamma] } }
  back:
    { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, security: [back], place: { sites: [gamma] } }
  other:
    { image: guest, vcpus: 1, memory: 128MiB, disk: 64MiB, place: { sites: [alpha] } }
";

pub(super) fn secured(world: &World) -> Result<Vec<Member>> {
    let file = world.file("green.yaml", SECURED)?;
    world.sites.say(HOME, &["service", "submit", &file])?;
    let places = [("door", "gamma"), ("back", "gamma"), ("other", "alpha")];
    let members = places.into_iter();
    members.map(|(part, site)| member(&world.sites, &format!("green/{part}-1"), site)).collect()
}

/// What a group's rules do not let in is not let in, from another site neither; and what they let in
/// from now on is let in at once.
pub(super) fn groups_hold_and_change_at_once(world: &World, members: &[Member]) -> Result<()> {
    let [door, back, other] = members else { anyhow::bail!("not three machines") };
    until("the door's machine to get the page of the one behind it", || {
        page(door, &back.address, &back.boot)
    })?;
    until("everyone to get the page at the door", || page(other, &door.address, &door.boot))?;
    ensure!(!page(other, &back.address, &back.boot)?, "who is not at the door got in");
    let ping = format!("ping -c 1 -W 2 {} >/dev/null", back.address);
    ensure!(!door.guest.can(&ping)?, "what no rule lets in came in");
    let rules = ["--ingress", "icmp from door"];
    world
        .sites
        .say(HOME, &[&["service", "security", "set", "green", "back"][..], &rules].concat())?;
    until("the new rule to hold", || door.guest.can(&ping))?;
    ensure!(!page(door, &back.address, &back.boot)?, "the old rule lets in still");
    Ok(())
}
