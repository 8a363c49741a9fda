//! Claims about the testnet itself, with real hypervisors and guests but without nodes: what the
//! other tests stand on. All of it needs root and what `testnet/install` installs.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testnet::{Plan, Testnet, wait_for};

/// How long a guest may take to start or to end beside others, under emulation.
const GUEST: Duration = Duration::from_secs(90);

/// How long a command may take.
const SHORT: Duration = Duration::from_secs(20);

fn hypervisors() -> Plan {
    Plan::three(None)
}

/// What the machine has of processes, mounts and interfaces that mention `directory`.
fn traces(directory: &Path) -> Result<Vec<String>> {
    let text = directory.to_string_lossy().into_owned();
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    found.extend(mounts.lines().filter(|line| line.contains(&text)).map(str::to_owned));
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().chars().all(|c| c.is_ascii_digit()));
        if !is_process || path == Path::new(&format!("/proc/{}", std::process::id())) {
            continue;
        }
        // A process of a site has the testnet's directories bound into its own mounts.
        let mounts = fs::read_to_string(path.join("mountinfo")).unwrap_or_default();
        let line = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        if mounts.contains(&text) || line.contains(&text) {
            found.push(format!("{}: {}", path.display(), line.replace('\0', " ")));
        }
    }
    if directory.exists() {
        found.push(text);
    }
    Ok(found)
}

/// A guest by hand: what a node would make, as small as it can be.
fn guest(net: &Testnet, site: &str, directory: &Path) -> Result<String> {
    let name = format!("guest-at-{site}");
    let image = net.image();
    let (kernel, initrd) = (image.kernel.display(), image.initrd.display());
    let log = directory.join("console.log");
    let text = format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
         <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><kernel>{kernel}</kernel>
         <initrd>{initrd}</initrd><cmdline>{}</cmdline></os><features><acpi/></features>
         <devices><interface type='bridge'><source bridge='lan'/><mac address='52:54:00:00:00:01'/>
         <model type='virtio'/></interface><serial type='null'><log file='{}' append='on'/></serial>
         <memballoon model='none'/></devices></domain>",
        testnet::COMMAND_LINE,
        log.display()
    );
    let file = directory.join("guest.xml");
    fs::write(&file, text)?;
    net.virsh(site, &["create", &file.to_string_lossy()])?;
    Ok(name)
}

/// A bridge with DHCP for that guest, as the fabric would make it.
fn lan(net: &Testnet, site: &str) -> Result<()> {
    net.run(site, &["ip", "link", "add", "lan", "type", "bridge"])?;
    net.run(site, &["ip", "addr", "add", "10.88.0.1/24", "dev", "lan"])?;
    net.run(site, &["ip", "link", "set", "lan", "up"])?;
    net.run(
        site,
        &[
            "dnsmasq",
            "--conf-file=/dev/null",
            "--interface=lan",
            "--except-interface=lo",
            "--bind-interfaces",
            "--no-resolv",
            "--no-hosts",
            "--leasefile-ro",
            "--user=nobody",
            "--dhcp-range=10.88.0.0,static",
            "--dhcp-host=52:54:00:00:00:01,10.88.0.10,first",
        ],
    )?;
    Ok(())
}

/// The last heartbeat on a guest's console: boot id, number, address.
fn heartbeat(log: &Path) -> Option<(String, u64, String)> {
    let text = fs::read_to_string(log).ok()?;
    let complete = &text[..text.rfind('\n')?];
    let line = complete.lines().rev().find(|line| line.starts_with("reservoir-guest "))?;
    let mut values = line.split_whitespace().skip(1).map(|word| word.split_once('='));
    let mut value = || values.next()?.map(|(_, value)| value.to_owned());
    Some((value()?, value()?.parse().ok()?, value()?))
}

fn reaches(net: &Testnet, from: &str, address: &str) -> bool {
    let ping = ["busybox", "ping", "-c", "1", "-W", "1", address];
    net.run(from, &ping).is_ok()
}

#[test]
fn a_guest_starts_beats_answers_and_ends_when_asked() -> Result<()> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("net");
    let mut plan = hypervisors();
    plan.sites.truncate(1);
    plan.sites[0].peers.clear();
    let mut net = Testnet::start(&plan, &directory)?;
    lan(&net, "alpha")?;
    let name = guest(&net, "alpha", &directory.join("sites/alpha"))?;
    let log = net.console("alpha", &name)?;

    let addressed = || Ok(heartbeat(&log).filter(|(_, _, address)| address == "10.88.0.10"));
    let (boot, first, _) = wait_for("an address in the heartbeat", GUEST, addressed)?;
    assert_eq!(boot.len(), 36, "{boot}");
    let later = || Ok(heartbeat(&log).filter(|(_, beat, _)| *beat > first));
    assert_eq!(wait_for("another beat", GUEST, later)?.0, boot);
    assert!(net.console_log("alpha", &name)?.contains(&boot));
    let page = net.run("alpha", &["busybox", "wget", "-q", "-O", "-", "http://10.88.0.10/"])?;
    assert!(page.starts_with("first ") && page.contains(&boot), "{page}");

    // libvirtd may be killed: the guest goes on, and is found again.
    net.kill_libvirtd("alpha")?;
    assert!(net.domains("alpha").is_err());
    let before = heartbeat(&log).context("no heartbeat")?.1;
    let goes_on = || Ok(heartbeat(&log).filter(|(_, beat, _)| *beat > before));
    wait_for("a beat without libvirtd", GUEST, goes_on)?;
    net.start_libvirtd("alpha")?;
    let domains = net.domains("alpha")?;
    assert!(domains.len() == 1 && domains[0].state == "running", "{domains:?}");

    net.virsh("alpha", &["shutdown", "--mode", "acpi", &name])?;
    let gone = || Ok(net.domains("alpha")?.is_empty().then_some(()));
    wait_for("the guest's own end", GUEST, gone)?;
    net.close()?;
    assert_eq!(traces(&directory)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn sites_reach_each_other_until_they_are_cut() -> Result<()> {
    let place = tempfile::tempdir()?;
    let net = Testnet::start(&hypervisors(), &place.path().join("net"))?;
    assert!(reaches(&net, "alpha", "203.0.113.2") && reaches(&net, "gamma", "203.0.113.2"));
    net.cut("alpha", "beta")?;
    net.cut("beta", "alpha")?;
    assert_eq!(net.cuts()?.len(), 2);
    assert!(!reaches(&net, "alpha", "203.0.113.2") && !reaches(&net, "beta", "203.0.113.1"));
    assert!(reaches(&net, "gamma", "203.0.113.2") && reaches(&net, "gamma", "203.0.113.1"));
    net.heal("alpha", "beta")?;
    net.heal("alpha", "beta")?;
    assert!(net.cuts()?.is_empty());
    wait_for("the healed link", SHORT, || Ok(reaches(&net, "alpha", "203.0.113.2").then_some(())))?;
    assert!(net.cut("alpha", "delta").is_err());

    // Each host is another one to libvirt, and has a name of its own.
    let uuid = |site| {
        net.virsh(site, &["capabilities"])
            .map(|text| text.lines().find(|line| line.contains("<uuid>")).map(str::to_owned))
    };
    let (a, b) = (uuid("alpha")?, uuid("beta")?);
    assert!(a.is_some() && a != b, "{a:?} {b:?}");
    assert_eq!(net.run("gamma", &["hostname"])?.trim(), "gamma");
    net.close()
}

#[test]
fn a_killed_daemon_stays_dead_until_told_and_a_dead_one_is_tended() -> Result<()> {
    let place = tempfile::tempdir()?;
    let mut net = Testnet::start(&hypervisors(), &place.path().join("net"))?;
    let [logs, libvirtd, node] = net.pids("alpha")?;
    assert!(logs.is_some() && libvirtd.is_some() && node.is_none());
    net.kill_libvirtd("alpha")?;
    net.tend()?;
    assert_eq!(net.pids("alpha")?, [logs, None, None]);
    net.start_libvirtd("alpha")?;
    let again = net.pids("alpha")?[1].context("libvirtd does not run")?;
    net.start_libvirtd("alpha")?;
    assert_eq!(net.pids("alpha")?[1], Some(again));

    net.run("alpha", &["kill", "-9", &again.to_string()])?;
    wait_for("its end", SHORT, || Ok(net.pids("alpha")?[1].is_none().then_some(())))?;
    net.tend()?;
    assert!(net.pids("alpha")?[1].is_some_and(|pid| pid != again));
    assert!(net.start_node("alpha").is_err());
    net.close()
}

#[test]
fn two_testnets_have_nothing_in_common() -> Result<()> {
    let (one, two) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (one, two) = (one.path().join("net"), two.path().join("net"));
    let mut plan = hypervisors();
    plan.sites.truncate(1);
    plan.sites[0].peers.clear();
    let first = Testnet::start(&plan, &one)?;
    let second = Testnet::start(&plan, &two)?;
    assert!(Testnet::start(&plan, &one).is_err(), "one directory, two testnets");
    first.close()?;
    assert_eq!(traces(&one)?, Vec::<String>::new());
    assert_eq!(second.domains("alpha")?, vec![]);
    drop(second);
    assert_eq!(traces(&two)?, Vec::<String>::new());
    Ok(())
}

/// The program of the testnet, as `testnet/up` calls it.
fn program(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_testnet")));
    command.arg("--directory").arg(directory).args(words).stdin(Stdio::null());
    command
}

#[test]
fn a_supervisor_that_was_killed_is_succeeded_and_taken_down() -> Result<()> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("net");
    let start = || -> Result<()> {
        let status = program(&directory, &["up", "--hypervisors-only"]).status()?;
        ensure!(status.success(), "up: {status}");
        Ok(())
    };
    let daemons = || -> Result<Vec<String>> {
        let mut found = traces(&directory)?;
        found.retain(|line| line.contains("/usr/sbin/"));
        found.sort();
        Ok(found)
    };
    start()?;
    let before = daemons()?;
    assert_eq!(before.len(), 6, "{before:?}");
    start()?;
    assert_eq!(daemons()?, before, "a second up changes nothing");

    let supervisor = testnet::supervisor(&directory)?.context("no supervisor")?;
    let kill = Command::new("kill").args(["-9", &supervisor.to_string()]).status()?;
    ensure!(kill.success(), "kill: {kill}");
    let ended = || Ok(testnet::supervisor(&directory)?.is_none().then_some(()));
    wait_for("the supervisor's end", SHORT, ended)?;
    assert_eq!(daemons()?, before, "the daemons outlive it");
    start()?;
    assert_eq!(daemons()?, before, "the next supervisor takes them over");

    for _ in 0..2 {
        let down = program(&directory, &["down"]).process_group(0).status()?;
        ensure!(down.success(), "down: {down}");
        assert_eq!(traces(&directory)?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn a_node_that_cannot_start_is_an_error_that_leaves_nothing() -> Result<()> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("net");
    let service = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let words = ["up", "--reservoir", "/bin/false", "--service", service];
    let up = program(&directory, &words).output()?;
    let said = String::from_utf8_lossy(&up.stderr);
    assert!(
        !up.status.success() && said.contains("/false\" \"-o\" \"json\" \"site\" \"init\""),
        "{said}"
    );
    assert_eq!(traces(&directory)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn what_came_up_by_half_goes_away() -> Result<()> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("net");
    let mut up = program(&directory, &["up", "--hypervisors-only"]).spawn()?;
    let socket = directory.join("sites/beta/host/run/libvirt/virtlogd-sock");
    wait_for("the second site's first daemon", GUEST, || Ok(socket.exists().then_some(())))?;
    let supervisor = testnet::supervisor(&directory)?.context("no supervisor")?;
    let kill = Command::new("kill").args(["-9", &supervisor.to_string()]).status()?;
    ensure!(kill.success() && !up.wait()?.success(), "up came to its end");
    assert!(!directory.join("ready").exists());
    assert_ne!(traces(&directory)?, Vec::<String>::new());

    let down = program(&directory, &["down"]).status()?;
    ensure!(down.success(), "down: {down}");
    assert_eq!(traces(&directory)?, Vec::<String>::new());
    Ok(())
}
