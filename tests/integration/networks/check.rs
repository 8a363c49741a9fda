//! What an operator is told when something between the sites is broken: which site, and what.

use anyhow::{Result, ensure};

use super::{HOME, HOSTS, shown};
use crate::sites::Answer;
use crate::world::{World, until};

/// The site whose gateway something happens to.
const STRUCK: &str = "gamma";

/// A way that swallows large packets, and one that swallows all: the tunnel's, at the struck site.
const SWALLOWS: [(&str, &str); 2] = [
    (
        "udp dport 51820 meta length > 1300 drop",
        "gamma answers {} with packets of up to 1200 bytes",
    ),
    ("udp dport 51820 drop", "gamma answers nothing that {} sends"),
];

/// The exit code of a check that finds something.
const BROKEN: i32 = 1;

fn check(world: &World, at: &str) -> Result<Answer> {
    world.sites.ask(at, &["network", "check"])
}

fn is_clean(world: &World, at: &str) -> Result<()> {
    until(&format!("a check at {at} that finds nothing"), || Ok(check(world, at)?.code == 0))
}

/// A check is clean at every node; and where a firewall swallows the tunnel's packets, or only the
/// large ones, it names the site and the fault, at every node too, and says so by its exit code.
pub(super) fn what_is_broken_between_sites_is_named(world: &World, gateway: &str) -> Result<()> {
    for at in HOSTS.into_iter().chain([STRUCK]) {
        is_clean(world, at)?;
    }
    for (rule, told) in SWALLOWS {
        let told = told.replace("{}", gateway);
        let table = format!(
            "table inet swallows\ndelete table inet swallows\ntable inet swallows {{\n  \
             chain input {{ type filter hook input priority -200; {rule}; }}\n}}\n"
        );
        let file = world.file("swallows.nft", &table)?;
        world.run(STRUCK, &["nft", "-f", &file])?;
        for at in HOSTS {
            let mut last = None;
            until(&format!("a check at {at} that says: {told}"), || {
                let answer = last.insert(check(world, at)?);
                Ok(answer.out.contains(&told))
            })?;
            let answer = last.expect("it was asked");
            ensure!(answer.code == BROKEN, "it ended with {}: {}", answer.code, answer.err);
            let beta =
                answer.out.lines().find(|line| line.contains("broken") && line.contains("beta"));
            ensure!(beta.is_none(), "beta is blamed at {at}: {}", answer.out);
        }
    }
    world.run(STRUCK, &["nft", "delete", "table", "inet", "swallows"])?;
    is_clean(world, HOME)
}

/// While gamma answered nothing its networks were not what they should be, and this was counted; and
/// it is less than Gold allows.
pub(super) fn what_was_missed_is_measured(world: &World, gateway: &str) -> Result<()> {
    until("what was missed of a network to be told", || {
        let network = shown(world, gateway, "red/lan")?;
        let measured = &network["measured"];
        let count = |name: &str| measured[name].as_u64().unwrap_or_default();
        let (seen, missed) = (count("seen"), count("missed"));
        if missed == 0 {
            return Ok(false);
        }
        ensure!(missed < seen && measured["kept"] == true, "it was there but for a few seconds");
        ensure!(count("allowed") == 2_590, "Gold allows {} s of a month", measured["allowed"]);
        Ok(true)
    })
}
