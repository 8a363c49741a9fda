//! The virtual Internet: a switch between the sites, in a namespace of its own, with scissors.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::namespace::Namespace;

/// The interface by which a site is connected, in the site's own namespace.
pub(crate) const WAN: &str = "wan";

/// The switch, in the Internet's namespace.
const SWITCH: &str = "internet";

/// The rule by which two sites are cut from each other: frames between the ports in the set are
/// dropped, whatever is in them.
const SCISSORS: &str = "
table bridge testnet {
    set cuts { type ifname . ifname; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname . oifname @cuts drop
    }
}
";

/// The Internet of one testnet.
#[derive(Debug)]
pub(crate) struct Internet {
    namespace: Namespace,
}

impl Internet {
    /// Makes it, or finds the one that is there; nothing is cut.
    pub(crate) fn open(file: PathBuf) -> Result<Self> {
        let internet = Self { namespace: Namespace::open(file)? };
        if !internet.namespace.has(SWITCH)? {
            internet.namespace.ip(["link", "add", SWITCH, "type", "bridge"])?;
        }
        internet.namespace.ip(["link", "set", SWITCH, "up"])?;
        internet
            .rules(&format!("table bridge testnet\ndelete table bridge testnet\n{SCISSORS}"))?;
        Ok(internet)
    }

    /// Connects a site, under its address.
    pub(crate) fn connect(&self, name: &str, site: &Namespace, address: &str) -> Result<()> {
        if !self.namespace.has(name)? {
            let file = site.file().to_string_lossy();
            self.namespace
                .ip(["link", "add", name, "type", "veth", "peer", "name", WAN, "netns", &file])?;
        }
        self.namespace.ip(["link", "set", name, "master", SWITCH, "up"])?;
        site.ip(["addr", "replace", &format!("{address}/24"), "dev", WAN])?;
        site.ip(["link", "set", WAN, "up"])?;
        Ok(())
    }

    /// Drops everything between two sites, in both directions.
    pub(crate) fn cut(&self, a: &str, b: &str) -> Result<()> {
        self.rules(&cuts("add", a, b))
    }

    /// Lets it pass again.
    pub(crate) fn heal(&self, a: &str, b: &str) -> Result<()> {
        // What is taken out must be in: so it is put in first, in the same transaction.
        self.rules(&[cuts("add", a, b), cuts("delete", a, b)].concat())
    }

    /// The pairs that are cut, each in both directions.
    pub(crate) fn cut_pairs(&self) -> Result<BTreeSet<(String, String)>> {
        let set = ["list", "set", "bridge", "testnet", "cuts"];
        let text = crate::command::finish(self.namespace.command("nft").args(set))?;
        let pairs =
            text.split(['{', '}', ',', '\n', '=']).filter_map(|part| part.split_once(" . "));
        let plain = |name: &str| name.trim().trim_matches('"').to_owned();
        Ok(pairs.filter(|(a, _)| a.contains('"')).map(|(a, b)| (plain(a), plain(b))).collect())
    }

    fn rules(&self, text: &str) -> Result<()> {
        let mut nft = self
            .namespace
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run nft")?;
        // Dropping the pipe after the write ends nft's input.
        let mut input = nft.stdin.take().context("nft has no input")?;
        let written = input.write_all(text.as_bytes());
        drop(input);
        let output = nft.wait_with_output().context("wait for nft")?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        written.context("write to nft")
    }
}

fn cuts(verb: &str, a: &str, b: &str) -> String {
    format!("{verb} element bridge testnet cuts {{ \"{a}\" . \"{b}\", \"{b}\" . \"{a}\" }}\n")
}
