//! A testnet for one test, and what is kept of it when the test fails.

use std::fs;
use std::io::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use testnet::{Plan, Testnet, wait_for};

use crate::sites::{PATIENCE, Sites};

/// The programs of this build: tests lie one directory below them.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this test")?;
    let built = own.ancestors().nth(2).context("a test lies beside the programs")?;
    built.join(name).canonicalize().with_context(|| {
        format!("find the program '{name}': build it with 'cargo build --workspace --bins'")
    })
}

/// A running testnet with nodes, and a directory for a test's own files.
#[derive(Debug)]
pub(crate) struct World {
    net: Option<Testnet>,
    pub(crate) sites: Sites,
    place: TempDir,
    name: &'static str,
}

impl World {
    /// Brings a plan up for the test `name`, with the guest in the catalogue of each site that
    /// takes machines.
    pub(crate) fn start(name: &'static str, plan: &Plan) -> Result<Self> {
        let begun = Instant::now();
        let plan = Plan { reservoir: Some(program("reservoir")?), ..plan.clone() };
        let place = tempfile::tempdir().context("make a directory")?;
        let directory = place.path().join("net");
        let net = Testnet::start(&plan, &directory)?;
        note(begun, "the testnet is up");
        let sites = Sites::meet(&directory, plan.hosts().iter().map(String::as_str))?;
        let world = Self { net: Some(net), sites, place, name };
        for site in &plan.sites {
            world.sites.register(&site.name, world.image())?;
            wait_for("a host that takes machines", PATIENCE, || {
                let show = world.sites.show(&site.name)?;
                Ok((show["inside"]["hosts"][0]["trouble"] == "").then_some(()))
            })?;
        }
        note(begun, "every site takes machines");
        Ok(world)
    }

    /// Writes a file for the command line; answers where it is.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.place.path().join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Takes all of it away: the test has passed.
    pub(crate) fn close(mut self) -> Result<()> {
        self.net.take().map_or(Ok(()), Testnet::close)
    }
}

impl Deref for World {
    type Target = Testnet;

    fn deref(&self) -> &Testnet {
        self.net.as_ref().expect("only closing takes the testnet away")
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Testnet {
        self.net.as_mut().expect("only closing takes the testnet away")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.net.is_some() {
            keep(&self.place.path().join("net"), self.name);
        }
    }
}

/// Keeps the logs and consoles of a testnet for whoever looks into a failure, and says where.
pub(crate) fn keep(directory: &Path, name: &str) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let outcome = match copy(directory, &kept) {
        Ok(()) => format!("the testnet's logs are kept in {}", kept.display()),
        Err(error) => format!("the testnet's logs could not be kept: {error:#}"),
    };
    // Where nobody listens any more, nothing can be said.
    drop(writeln!(std::io::stderr(), "{outcome}"));
}

fn copy(directory: &Path, kept: &Path) -> Result<()> {
    if kept.exists() {
        fs::remove_dir_all(kept).context("remove what was kept before")?;
    }
    for site in fs::read_dir(directory.join("sites")).context("list the sites")? {
        let site = site.context("list the sites")?;
        let to = kept.join(site.file_name());
        fs::create_dir_all(&to).context("create a directory for logs")?;
        let mut sources = vec![(site.path().join("log"), String::new())];
        if let Ok(machines) = fs::read_dir(site.path().join("data/machines")) {
            for machine in machines {
                let machine = machine.context("list the machines")?;
                sources.push((machine.path(), machine.file_name().to_string_lossy().into_owned()));
            }
        }
        for (source, prefix) in sources {
            for file in fs::read_dir(&source).context("list logs")? {
                let name = file.context("list logs")?.file_name().to_string_lossy().into_owned();
                if name.contains(".log") {
                    let target = to.join(format!("{prefix}{name}"));
                    fs::copy(source.join(&name), target).context("copy a log")?;
                }
            }
        }
    }
    Ok(())
}

/// A service of one component for each part: its name, how many machines, and the one site that
/// may run them, if it is not any.
pub(crate) fn manifest(service: &str, parts: &[(&str, u32, Option<&str>)]) -> String {
    let mut text = format!("service: {service}\ncomponents:\n");
    for (name, replicas, site) in parts {
        text.push_str(&format!(
            "  {name}:\n    image: guest\n    vcpus: 1\n    memory: 128MiB\n    disk: 64MiB\n    \
             replicas: {replicas}\n"
        ));
        if let Some(site) = site {
            text.push_str(&format!("    place: {{ sites: [{site}] }}\n"));
        }
    }
    text
}

/// Waits as long as anything may take.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, PATIENCE, || Ok(holds()?.then_some(())))
}

/// Says something about the run, for whoever reads it.
pub(crate) fn note(since: Instant, text: &str) {
    // Where nobody listens any more, nothing can be said.
    drop(writeln!(std::io::stderr(), "{:7.3} s  {text}", since.elapsed().as_secs_f64()));
}

/// Copies a directory that nobody writes to meanwhile.
pub(crate) fn duplicate(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("--archive").args([from, to]).status();
    ensure!(status.context("run cp")?.success(), "{} could not be copied", from.display());
    Ok(())
}
