//! Sites that run, asked as their people would ask: by the command line, by virsh on the host,
//! and by a look at a guest's console.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use protocol::hull::libvirt_uuid;
use protocol::ids::{MachineId, SiteId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use testnet::wait_for;
use uuid::Uuid;

use crate::console::Pulse;

/// How long anything may take that is waited for: a guest's start under emulation beside others,
/// or a node's after it was killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long a client waits that gives up early: several times what an answer takes.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// The exit code of a site that refuses.
pub(crate) const REFUSED: i32 = 3;

/// The exit code of a thing that there is not.
pub(crate) const NOT_FOUND: i32 = 4;

/// The exit code of a site that cannot be reached, or cannot answer now.
pub(crate) const UNREACHABLE: i32 = 5;

/// What the command line answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code().unwrap_or(-1), out, err }
    }
}

/// A machine, as far as the tests look at it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Machine {
    pub(crate) id: MachineId,
    pub(crate) name: String,
    pub(crate) service: Option<String>,
    pub(crate) state: String,
    pub(crate) reason: String,
    pub(crate) since: String,
    pub(crate) epoch: String,
    pub(crate) place: Option<Place>,
}

/// Where a machine is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) site: String,
    /// The host, if it is one of the home's own.
    pub(crate) host: Option<String>,
}

impl Machine {
    /// The site that runs it.
    pub(crate) fn site(&self) -> Result<&str> {
        let place = self.place.as_ref();
        Ok(&place.with_context(|| format!("{} is nowhere: {self:?}", self.name))?.site)
    }
}

/// A service, as far as the tests look at it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) stage: String,
}

/// The sites of a testnet, in its directory.
#[derive(Clone, Debug)]
pub(crate) struct Sites {
    directory: PathBuf,
    /// Their ids, which are asked for once: machines are looked at also while a home is dead.
    ids: BTreeMap<String, SiteId>,
}

impl Sites {
    /// Meets sites that run.
    pub(crate) fn meet<'a>(
        directory: &Path,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut sites = Self { directory: directory.to_owned(), ids: BTreeMap::new() };
        for name in names {
            let show = sites.show(name)?;
            let id = show["id"].as_str().context("a site without an id")?;
            let id = id.parse().with_context(|| format!("read the id of {name}"))?;
            sites.ids.insert(name.to_owned(), id);
        }
        Ok(sites)
    }

    /// The directory with all that a site has.
    pub(crate) fn directory(&self, site: &str) -> PathBuf {
        self.directory.join("sites").join(site)
    }

    /// The command line as it is used at a site.
    pub(crate) fn program(&self, site: &str) -> PathBuf {
        self.directory(site).join("reservoir")
    }

    /// Says something to a site; a refusal is an answer too.
    pub(crate) fn ask(&self, site: &str, words: &[&str]) -> Result<Answer> {
        let mut command = Command::new(self.program(site));
        let output = command.args(words).stdin(Stdio::null()).output();
        Ok(output.with_context(|| format!("run reservoir at {site}"))?.into())
    }

    /// Says something to a site as a client that gives up after a while: then what comes of it is
    /// not known, and the exit code is none of ours.
    pub(crate) fn ask_shortly(&self, site: &str, words: &[&str]) -> Result<Answer> {
        let time = SHORT_PATIENCE.as_secs_f64().to_string();
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", &time]).arg(self.program(site));
        let output = command.args(words).stdin(Stdio::null()).output();
        Ok(output.with_context(|| format!("run reservoir at {site} for a while"))?.into())
    }

    /// Says something that must be done.
    pub(crate) fn say(&self, site: &str, words: &[&str]) -> Result<String> {
        let answer = self.ask(site, words)?;
        ensure!(answer.code == 0, "{site}: reservoir {}: {answer:?}", words.join(" "));
        Ok(answer.out)
    }

    /// Asks for something as programs do.
    pub(crate) fn read<T: DeserializeOwned>(&self, site: &str, words: &[&str]) -> Result<T> {
        let text = self.say(site, &[&["-o", "json"], words].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{words:?} at {site}: {text}"))
    }

    /// A site's view of itself.
    pub(crate) fn show(&self, site: &str) -> Result<Value> {
        self.read(site, &["site", "show"])
    }

    /// The services of a home.
    pub(crate) fn services(&self, home: &str) -> Result<Vec<Service>> {
        self.read(home, &["service", "ls"])
    }

    /// The machines of a home that have not ended.
    pub(crate) fn machines(&self, home: &str) -> Result<Vec<Machine>> {
        self.read(home, &["machine", "ls"])
    }

    /// A machine, as its home sees it.
    pub(crate) fn machine(&self, home: &str, name: &str) -> Result<Machine> {
        self.read(home, &["machine", "show", name])
    }

    /// What libvirt calls a machine.
    pub(crate) fn uuid(&self, home: &str, machine: &Machine) -> Result<Uuid> {
        let id = self.ids.get(home).with_context(|| format!("{home} has not been met"))?;
        Ok(libvirt_uuid(*id, machine.id))
    }

    /// The guests that a site's libvirt has, with their states.
    pub(crate) fn domains(&self, site: &str) -> Result<BTreeMap<Uuid, String>> {
        let list = self.virsh(site, &["list", "--all", "--uuid"])?;
        let mut domains = BTreeMap::new();
        for uuid in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            // It may end while we look at it; then it is not there.
            if let Ok(state) = self.virsh(site, &["domstate", uuid]) {
                let uuid = uuid.parse().context("read libvirt's name for a guest")?;
                domains.insert(uuid, state.trim().to_owned());
            }
        }
        Ok(domains)
    }

    fn virsh(&self, site: &str, words: &[&str]) -> Result<String> {
        let socket = self.directory(site).join("host/run/libvirt/libvirt-sock");
        let uri = format!("qemu:///system?socket={}", socket.display());
        let mut command = Command::new("virsh");
        command.args(["--quiet", "--connect", &uri]).args(words).stdin(Stdio::null());
        let answer: Answer = command.output().context("run virsh")?.into();
        ensure!(answer.code == 0, "virsh {words:?} at {site}: {answer:?}");
        Ok(answer.out)
    }

    /// Where a site keeps what belongs to a machine that it runs.
    pub(crate) fn keeps(&self, site: &str, uuid: Uuid) -> PathBuf {
        self.directory(site).join("data/machines").join(uuid.to_string())
    }

    /// What a machine's guest has said so far.
    pub(crate) fn pulse(&self, home: &str, machine: &Machine) -> Result<Pulse> {
        Pulse::read(&self.keeps(machine.site()?, self.uuid(home, machine)?))
    }

    /// Waits until a machine's guest has been heard in exactly so many boots, and beats again
    /// after that. One boot more than `boots` is an error at once.
    pub(crate) fn beats(&self, home: &str, machine: &Machine, boots: usize) -> Result<Pulse> {
        let mut first = None;
        wait_for(&format!("boot {boots} of {}", machine.name), PATIENCE, || {
            let pulse = self.pulse(home, machine)?;
            ensure!(pulse.boots.len() <= boots, "booted too often: {machine:?} {pulse:?}");
            if pulse.boots.len() < boots {
                return Ok(None);
            }
            let first = *first.get_or_insert(pulse.last);
            Ok((pulse.last > first).then_some(pulse))
        })
    }

    /// Puts the testnet's guest into a site's catalogue.
    pub(crate) fn register(&self, site: &str, image: &testnet::Image) -> Result<()> {
        let [kernel, initrd] = [&image.kernel, &image.initrd].map(|path| path.to_string_lossy());
        let files = ["--kernel", &kernel, "--initrd", &initrd];
        let line = ["--command-line", testnet::COMMAND_LINE];
        self.say(site, &[&["image", "register", "guest"][..], &files, &line].concat())?;
        Ok(())
    }
}
