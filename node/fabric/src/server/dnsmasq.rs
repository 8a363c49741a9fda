//! DHCP and DNS on a bridge, by dnsmasq: exactly one process, which knows exactly our table.
//!
//! Everything that dnsmasq is told is in files, and the only argument that matters is where they
//! are. So a server that outlived a killed node is recognized by that argument in the process
//! table, and what it was told by the file it was started with; no record of ours can be lost or
//! stale. The configuration is written only while no server runs, the table at any time: dnsmasq
//! reads it again on SIGHUP.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::process::{Place, Process};
use super::{Error, files};
use crate::Change;

const PROGRAM: &str = "dnsmasq";

/// How long a new server may take until it serves, and an old one until it is gone. Both take
/// milliseconds on an idle machine; beside busy guests a second was seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a new server is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// How much of a server's last words goes into an error.
const SAID_MAX: usize = 300;

/// What a server is told, and where its files are.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    pub(crate) directory: &'a Path,
    /// The bridge that is served, for what people read.
    pub(crate) bridge: &'a str,
    /// What the server is told once.
    pub(crate) settings: String,
    /// The table as `dhcp-hostsfile` has it.
    pub(crate) leases: String,
    /// The table as `addn-hosts` has it.
    pub(crate) names: String,
}

/// Makes one server in a network namespace serve a table, and takes over one that is there
/// already. `spawn` starts a process there.
pub(crate) async fn serve(
    told: &Files<'_>,
    place: Place,
    server: &mut Option<Process>,
    spawn: impl FnOnce(&mut Command) -> Result<Child, Error>,
) -> Result<Change, Error> {
    let directory = told.directory;
    files::prepare(directory)?;
    let settings = directory.join("dnsmasq.conf");
    let known = server.take().filter(Process::is_alive);
    let is_known = known.is_some();
    let mut running = match known {
        Some(process) => vec![process],
        None => Process::find(PROGRAM, &argument(directory), place)?,
    };
    // More than one cannot be; but should it, none of them is trusted.
    if running.len() > 1 || !files::has(&settings, &told.settings)? {
        end(std::mem::take(&mut running)).await?;
    }
    let known = files::converge(&directory.join("hosts.dhcp"), &told.leases)?;
    let named = files::converge(&directory.join("hosts.dns"), &told.names)?;
    let table = known.and(named);
    if let Some(process) = running.pop() {
        // A node killed between the files and the signal would leave the server with the old
        // table, so a server that was just taken over hears the signal in any case.
        if table == Change::Made || !is_known {
            process.signal(Signal::HUP)?;
        }
        *server = Some(process);
        return Ok(table);
    }
    files::converge(&settings, &told.settings)?;
    let process = start(told, spawn).await?;
    info!(bridge = %told.bridge, pid = process.pid(), "dnsmasq serves");
    *server = Some(process);
    Ok(Change::Made)
}

/// Ends every server in a network namespace whose files are in this directory.
pub(crate) async fn end_in(directory: &Path, place: Place) -> Result<(), Error> {
    end(Process::find(PROGRAM, &argument(directory), place)?).await
}

async fn end(running: Vec<Process>) -> Result<(), Error> {
    for process in running {
        info!(pid = process.pid(), "dnsmasq is ended");
        process.end(PATIENCE).await?;
    }
    Ok(())
}

/// Starts a server and waits until it serves.
async fn start(
    told: &Files<'_>,
    spawn: impl FnOnce(&mut Command) -> Result<Child, Error>,
) -> Result<Process, Error> {
    let directory = told.directory;
    // The server's log goes to the system's; this file has only what it says before that.
    let words = directory.join("dnsmasq.err");
    let ready = directory.join("dnsmasq.pid");
    let refused = |source| Error::File { step: "create", path: words.clone(), source };
    files::remove(&ready)?;
    let mut command = Command::new(PROGRAM);
    command
        .arg(argument(directory))
        .arg("--keep-in-foreground")
        // A signal from the terminal to the node's group is not meant for the server.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&words).map_err(refused)?);
    let child = spawn(&mut command)?;
    let deadline = Instant::now() + PATIENCE;
    if let Some(process) = Process::of_child(child)? {
        // It writes its process id once it has bound its sockets and not before; to ask it over
        // the network might reach another server at the same address.
        let serves = format!("{}\n", process.pid());
        while process.is_alive() && Instant::now() < deadline {
            if files::has(&ready, &serves)? {
                return Ok(process);
            }
            sleep(GLANCE).await;
        }
        process.end(PATIENCE).await?;
    }
    let said = last_words(&words, told.bridge);
    Err(Error::NotServing { bridge: told.bridge.to_owned(), said })
}

fn last_words(path: &Path, bridge: &str) -> String {
    match fs::read(path) {
        Ok(words) if words.is_empty() => "it said nothing".to_owned(),
        Ok(words) => String::from_utf8_lossy(&words).trim().chars().take(SAID_MAX).collect(),
        Err(error) => {
            warn!(%bridge, %error, "what dnsmasq said cannot be read");
            "what it said cannot be read".to_owned()
        }
    }
}

/// The argument by which a server is ours.
fn argument(directory: &Path) -> OsString {
    let mut argument = OsString::from("--conf-file=");
    argument.push(directory.join("dnsmasq.conf"));
    argument
}
