//! What a guest says of itself on its serial console.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use uuid::Uuid;

/// What a guest has said in all its starts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pulse {
    /// The boot ids that it has printed.
    pub(crate) boots: BTreeSet<Uuid>,
    /// The last heartbeat: the boot, and which beat of it.
    pub(crate) last: Option<(Uuid, u64)>,
}

impl Pulse {
    /// Reads a machine's console in its directory, with all that was rotated away. A machine that
    /// has never run has said nothing.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        /// More than virtlogd keeps.
        const ROTATIONS: usize = 10;
        let rotated = (0..ROTATIONS).rev().map(|number| format!("console.log.{number}"));
        let mut pulse = Self::default();
        for name in rotated.chain(["console.log".to_owned()]) {
            let path = directory.join(name);
            if path.exists() {
                let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                pulse.listen(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(pulse)
    }

    /// Takes note of the heartbeats in a text. The end of a killed guest's last line is missing,
    /// so only what is spelt in full is one.
    pub(crate) fn listen(&mut self, text: &str) {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (boot, beat) in whole.lines().filter_map(heartbeat) {
            self.boots.insert(boot);
            self.last = Some((boot, beat));
        }
    }
}

fn heartbeat(line: &str) -> Option<(Uuid, u64)> {
    let (_, words) = line.split_once("reservoir-guest boot=")?;
    let mut words = words.split_whitespace();
    let boot = words.next()?.parse().ok()?;
    let beat = words.next()?.strip_prefix("beat=")?.parse().ok()?;
    words.next()?.starts_with("address=").then_some((boot, beat))
}
