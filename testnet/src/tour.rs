//! What `testnet/up` does beyond starting: it hands a supervisor the sites, shows a service
//! across them, and says what to try next.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testnet::{COMMAND_LINE, Image, Plan, wait_for};

/// How long three sites may take to come up on two cores.
const START: Duration = Duration::from_secs(300);

/// The image's name in each site's catalogue, as the example calls it.
const IMAGE: &str = "guest";

/// The service that the example describes.
const SERVICE: &str = "shop";

/// Says that every daemon answers. It goes with a supervisor that ended well, and one that was
/// killed is told by the lock.
pub(crate) fn ready(directory: &Path) -> Result<()> {
    fs::write(directory.join("ready"), std::process::id().to_string()).context("say ready")
}

/// Brings everything up, or finds it up, and shows it.
pub(crate) fn up(
    directory: &Path,
    reservoir: &Path,
    service: &Path,
    nodes: &[String],
) -> Result<()> {
    let reservoir = reservoir.canonicalize().context("find the program of the node")?;
    let service = service.canonicalize().context("find the service's manifest")?;
    let mut plan = Plan::three(Some(reservoir));
    for wish in nodes {
        let (site, count) = wish.split_once('=').context("--nodes takes SITE=N")?;
        plan = plan.with_nodes(site, count.parse().context("--nodes takes a number of nodes")?)?;
    }
    let image = supervised(&plan, directory)?;
    let sites: Vec<PathBuf> =
        plan.sites.iter().map(|site| directory.join("sites").join(&site.name)).collect();
    for site in &sites {
        register(site, &image)?;
    }
    let home = sites.first().context("a plan without sites")?;
    if ask(home, &["service", "show", SERVICE]).is_err() {
        let status = Command::new(home.join("reservoir"))
            .args(["service", "submit"])
            .arg(service)
            .stdin(Stdio::null())
            .status()
            .context("submit the service")?;
        ensure!(status.success(), "the service was not brought up");
    }
    let machines = ask(home, &["machine", "ls"])?;
    let home = home.join("reservoir");
    let (home, down) = (home.display(), directory.display());
    let text = format!(
        "
{machines}
Each site has its own command line; at alpha it is

    {home}

Try next:

    {home} service show {SERVICE}
    {home} machine console {SERVICE}/web-1
    {home} machine pause {SERVICE}/web-2
    {home} site show

All of it is in {down}; testnet/down takes it away.
"
    );
    std::io::stdout().write_all(text.as_bytes()).context("say what runs")
}

/// Starts a supervisor, unless one is there, and waits until every daemon answers.
pub(crate) fn supervised(plan: &Plan, directory: &Path) -> Result<Image> {
    fs::create_dir_all(directory).context("create the testnet's directory")?;
    let directory = directory.canonicalize().context("find the testnet's directory")?;
    let path = directory.join("supervisor.log");
    let log = OpenOptions::new().create(true).append(true).read(true).open(&path);
    // The end of the log can be read through this also when the file is gone with the testnet.
    let mut log = log.with_context(|| format!("open {}", path.display()))?;
    let mut child = match testnet::supervisor(&directory)? {
        Some(_) => None,
        None => Some(start(plan, &directory, &log)?),
    };
    wait_for("the sites", START, || {
        if let Some(child) = &mut child
            && let Some(status) = child.try_wait().context("look after the supervisor")?
        {
            bail!("the supervisor has ended ({status}):\n{}", last_words(&mut log));
        }
        let holder = testnet::supervisor(&directory)?.map(|pid| pid.to_string());
        let ready = fs::read_to_string(directory.join("ready")).ok();
        Ok((holder.is_some() && ready == holder).then_some(()))
    })?;
    let guest = directory.join("guest");
    Ok(Image { kernel: guest.join("vmlinuz"), initrd: guest.join("initrd") })
}

fn start(plan: &Plan, directory: &Path, log: &File) -> Result<std::process::Child> {
    let plan = serde_json::to_string(plan).context("write the plan")?;
    let own = std::env::current_exe().context("find this program")?;
    let share = || log.try_clone().context("share the log");
    // A session of its own, so that it outlives this terminal.
    Command::new("setsid")
        .arg(own)
        .arg("--directory")
        .arg(directory)
        .args(["supervise", &plan])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(share()?)
        .stderr(share()?)
        .spawn()
        .context("start the supervisor")
}

fn last_words(log: &mut File) -> String {
    /// Enough for an error with the last lines of a daemon's own log in it.
    const END: i64 = 4096;
    let mut words = Vec::new();
    let start = if log.seek(SeekFrom::End(-END)).is_ok() { Ok(()) } else { log.rewind() };
    let read = start.and_then(|()| log.read_to_end(&mut words));
    match read {
        Ok(_) => String::from_utf8_lossy(&words).into_owned(),
        Err(error) => format!("its log cannot be read: {error}"),
    }
}

/// Puts the guest into a site's catalogue, if it is not there.
fn register(site: &Path, image: &Image) -> Result<()> {
    let catalogue: serde_json::Value =
        serde_json::from_str(&ask(site, &["-o", "json", "image", "ls"])?)
            .context("read the catalogue")?;
    let mut images = catalogue.as_array().context("the catalogue is no list")?.iter();
    if images.any(|known| known["name"] == IMAGE) {
        return Ok(());
    }
    let [kernel, initrd] = [&image.kernel, &image.initrd].map(|path| path.to_string_lossy());
    let files = ["--kernel", &kernel, "--initrd", &initrd, "--command-line", COMMAND_LINE];
    ask(site, &[&["image", "register", IMAGE][..], &files].concat()).map(drop)
}

/// Asks a site's node by its command line.
fn ask(site: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(site.join("reservoir"));
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "reservoir {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
