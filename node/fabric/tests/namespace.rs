//! Claims about the real fabric: a bridge, dnsmasq, and clients that ask for an address.
//!
//! Each test runs in network and mount namespaces of its own: it starts itself again under
//! `unshare`, which ends with the last process in it. The clients are network namespaces behind
//! a veth on the bridge, with busybox's DHCP client. This needs root, and fails without it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fabric::{Change, Error, Fabric, HostName, Lease, Linux, Wanted};
use protocol::hull::Mac;
use protocol::ids::{MachineId, SiteId};

const BRIDGE: &str = "rsv-test";

/// Says that the process is already in its own namespaces.
const INSIDE: &str = "inside";

/// Runs the test of this name again, in namespaces of its own; answers whether we are in them.
fn is_inside(test: &str) -> Result<bool> {
    // The runner's own arguments are kept out: only ours end in this word.
    if std::env::args().any(|argument| argument == INSIDE) {
        return Ok(true);
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe()?)
        .args(["--exact", "--nocapture", test, "--skip", INSIDE])
        .stdin(Stdio::null())
        .output()
        .context("run unshare (this test needs root)")?;
    // A name that matches no test would be a success too.
    let passed = output.status.success() && said(&output).contains("1 passed");
    ensure!(passed, "inside its namespaces: {}", said(&output));
    Ok(false)
}

/// Runs `work` inside, on a runtime of its own.
fn inside(test: &str, work: impl AsyncFnOnce(Scene) -> Result<()>) -> Result<()> {
    if !is_inside(test)? {
        return Ok(());
    }
    run("mount", &["-t", "sysfs", "sysfs", "/sys"])?;
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    run("ip", &["link", "set", "lo", "up"])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work(Scene::new()?))
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    let text = said(&output);
    ensure!(output.status.success(), "{program} {arguments:?}: {text}");
    Ok(text)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        run("chmod", &["755", &directory.path().to_string_lossy()])?;
        Ok(Self { directory })
    }

    fn files(&self) -> PathBuf {
        self.directory.path().join("fabric")
    }

    fn fabric(&self) -> Linux {
        Linux::new(self.files())
    }
}

fn mac(number: u8) -> Mac {
    let machine = MachineId::from_uuid(uuid::Uuid::from_bytes([number; 16]));
    Mac::of(SiteId::from_bytes([7; 32]), machine, 0)
}

fn wanted(leases: &[(u8, &str)]) -> Wanted {
    let lease = |&(number, name): &(u8, &str)| Lease {
        mac: mac(number),
        address: Ipv4Addr::new(10, 77, 1, 10 + number),
        name: HostName::nearest(name),
    };
    Wanted {
        bridge: BRIDGE.parse().expect("a bridge's name"),
        subnet: "10.77.1.0/24".parse().expect("a subnet"),
        leases: leases.iter().map(lease).collect(),
    }
}

/// The DHCP servers in this process namespace, which is all of ours.
fn servers() -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Some(id) = id
            && name.trim() == "dnsmasq"
            && !line.is_empty()
        {
            found.insert(id);
        }
    }
    Ok(found)
}

/// Calls `look` until it answers, or the deadline has passed.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(answer) = look()? {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("waited in vain for {what}")
}

/// A network namespace with one card on the bridge.
struct Client {
    name: String,
}

impl Client {
    fn new(number: u8) -> Result<Self> {
        let name = format!("client{number}");
        let port = format!("port{number}");
        let address = mac(number).to_string();
        run("ip", &["netns", "add", &name])?;
        let pair = ["link", "add", &port, "type", "veth", "peer", "name", "eth0"];
        run("ip", &[&pair[..], &["address", &address, "netns", &name]].concat())?;
        run("ip", &["link", "set", &port, "master", BRIDGE, "up"])?;
        run("ip", &["-n", &name, "link", "set", "eth0", "up"])?;
        Ok(Self { name })
    }

    /// The address that DHCP gives, if any: three requests, a second apart.
    fn ask(&self) -> Result<Option<String>> {
        let script = "/run/udhcpc";
        fs::write(script, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"bound:$ip:$router\"\nexit 0\n")?;
        run("chmod", &["755", script])?;
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name, "busybox", "udhcpc", "-i", "eth0"])
            .args(["-f", "-q", "-n", "-t", "3", "-T", "1", "-s", script])
            .stdin(Stdio::null())
            .output()?;
        let text = said(&output);
        ensure!(text.contains("broadcasting discover"), "the client did not ask: {text}");
        Ok(text.lines().find_map(|line| line.strip_prefix("bound:")).map(str::to_owned))
    }
}

/// The address that the bridge's DNS has for a name: a query of type A, by hand.
fn resolve(name: &str) -> Result<Option<Ipv4Addr>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.push(u8::try_from(name.len())?);
    query.extend(name.as_bytes());
    query.extend([0, 0, 1, 0, 1]);
    socket.send_to(&query, "10.77.1.1:53")?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    ensure!(length > query.len() - 1 && answer[..2] == query[..2], "not an answer");
    if answer[7] == 0 {
        return Ok(None);
    }
    let address: [u8; 4] = answer[..length].last_chunk().copied().context("short answer")?;
    Ok(Some(address.into()))
}

#[test]
fn a_bridge_is_made_and_a_second_call_changes_nothing() -> Result<()> {
    inside("a_bridge_is_made_and_a_second_call_changes_nothing", async |scene| {
        let (fabric, wanted) = (scene.fabric(), wanted(&[(1, "web")]));
        assert_eq!(fabric.converge(&wanted).await?, Change::Made);
        let seen = || run("ip", &["-4", "addr", "show", "dev", BRIDGE]);
        let before = seen()?;
        assert!(before.contains("inet 10.77.1.1/24"), "{before}");
        let link = run("ip", &["link", "show", "dev", BRIDGE])?;
        assert!(link.contains("02:52:0a:4d:01:01"), "{link}");
        let server = fabric.server().await.context("no server")?;
        assert_eq!(fabric.converge(&wanted).await?, Change::Nothing);
        assert_eq!(seen()?, before);
        assert_eq!(servers()?, BTreeSet::from([server]));
        Ok(fabric.close().await?)
    })
}

#[test]
fn what_was_changed_behind_our_back_is_put_right() -> Result<()> {
    inside("what_was_changed_behind_our_back_is_put_right", async |scene| {
        let (fabric, wanted) = (scene.fabric(), wanted(&[(1, "web")]));
        fabric.converge(&wanted).await?;
        run("ip", &["link", "set", BRIDGE, "down"])?;
        run("ip", &["addr", "add", "10.9.9.9/24", "dev", BRIDGE])?;
        run("ip", &["addr", "del", "10.77.1.1/24", "dev", BRIDGE])?;
        assert_eq!(fabric.converge(&wanted).await?, Change::Made);
        let seen = run("ip", &["addr", "show", "dev", BRIDGE])?;
        assert!(seen.contains("inet 10.77.1.1/24") && !seen.contains("10.9.9.9"), "{seen}");
        assert!(seen.contains(",UP"), "{seen}");
        assert_eq!(fabric.converge(&wanted).await?, Change::Nothing);

        // A bridge made anew has another index, and the server must be bound to that one.
        run("ip", &["link", "del", BRIDGE])?;
        assert_eq!(fabric.converge(&wanted).await?, Change::Made);
        assert_eq!(Client::new(1)?.ask()?.as_deref(), Some("10.77.1.11:10.77.1.1"));
        Ok(fabric.close().await?)
    })
}

#[test]
fn an_interface_of_another_kind_is_left_alone() -> Result<()> {
    inside("an_interface_of_another_kind_is_left_alone", async |scene| {
        run("ip", &["link", "add", BRIDGE, "type", "veth"])?;
        let refused = scene.fabric().converge(&wanted(&[])).await;
        assert!(matches!(refused, Err(Error::NotABridge(_))), "{refused:?}");
        assert_eq!(servers()?, BTreeSet::new());
        Ok(())
    })
}

#[test]
fn a_card_in_the_table_gets_its_address_and_no_other_card_gets_any() -> Result<()> {
    let test = "a_card_in_the_table_gets_its_address_and_no_other_card_gets_any";
    inside(test, async |scene| {
        let fabric = scene.fabric();
        fabric.converge(&wanted(&[(1, "web"), (2, "Data Base")])).await?;
        let (first, second, stranger) = (Client::new(1)?, Client::new(2)?, Client::new(3)?);
        assert_eq!(first.ask()?.as_deref(), Some("10.77.1.11:10.77.1.1"));
        assert_eq!(second.ask()?.as_deref(), Some("10.77.1.12:10.77.1.1"));
        assert_eq!(stranger.ask()?, None);
        assert_eq!(resolve("data-base")?, Some(Ipv4Addr::new(10, 77, 1, 12)));
        assert_eq!(resolve("stranger")?, None);
        Ok(fabric.close().await?)
    })
}

#[test]
fn a_change_of_the_table_reaches_the_server_that_runs() -> Result<()> {
    inside("a_change_of_the_table_reaches_the_server_that_runs", async |scene| {
        let fabric = scene.fabric();
        fabric.converge(&wanted(&[(1, "web")])).await?;
        let server = fabric.server().await;
        assert_eq!(fabric.converge(&wanted(&[(2, "data")])).await?, Change::Made);
        assert_eq!(fabric.server().await, server);
        let named = || Ok(resolve("data")?.filter(|_| matches!(resolve("web"), Ok(None))));
        assert_eq!(wait_for("the new table", named)?, Ipv4Addr::new(10, 77, 1, 12));
        assert_eq!(Client::new(2)?.ask()?.as_deref(), Some("10.77.1.12:10.77.1.1"));
        assert_eq!(Client::new(1)?.ask()?, None);
        Ok(fabric.close().await?)
    })
}

#[test]
fn a_killed_server_is_replaced() -> Result<()> {
    inside("a_killed_server_is_replaced", async |scene| {
        let (fabric, wanted) = (scene.fabric(), wanted(&[(1, "web")]));
        fabric.converge(&wanted).await?;
        let server = fabric.server().await.context("no server")?;
        run("kill", &["-9", &server.to_string()])?;
        wait_for("its end", || Ok(servers()?.is_empty().then_some(())))?;
        // A process that ends has no arguments any more a moment before it has ended.
        while fabric.server().await.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(fabric.converge(&wanted).await?, Change::Made);
        assert_eq!(servers()?.len(), 1);
        assert_eq!(Client::new(1)?.ask()?.as_deref(), Some("10.77.1.11:10.77.1.1"));
        Ok(fabric.close().await?)
    })
}

#[test]
fn a_server_left_by_a_killed_node_is_taken_over() -> Result<()> {
    inside("a_server_left_by_a_killed_node_is_taken_over", async |scene| {
        let table = wanted(&[(1, "web")]);
        let before = scene.fabric();
        before.converge(&table).await?;
        let server = before.server().await;
        // The first fabric is kept: dropping it would reap its child, which a killed node cannot.
        let after = scene.fabric();
        assert_eq!(after.converge(&table).await?, Change::Nothing);
        assert_eq!(after.server().await, server);
        assert_eq!(servers()?.len(), 1);

        // One that was told something else is replaced instead.
        let other = Wanted { subnet: "10.77.0.0/16".parse()?, ..table };
        assert_eq!(scene.fabric().converge(&other).await?, Change::Made);
        let servers = servers()?;
        assert!(servers.len() == 1 && servers.first().copied() != server, "{servers:?}");
        Ok(scene.fabric().close().await?)
    })
}

#[test]
fn closing_ends_the_server_and_keeps_the_bridge() -> Result<()> {
    inside("closing_ends_the_server_and_keeps_the_bridge", async |scene| {
        let fabric = scene.fabric();
        fabric.converge(&wanted(&[])).await?;
        assert_eq!(servers()?.len(), 1);
        fabric.close().await?;
        assert_eq!(servers()?, BTreeSet::new());
        run("ip", &["link", "show", BRIDGE])?;
        Ok(fabric.close().await?)
    })
}

#[test]
fn a_server_of_another_directory_is_left_alone() -> Result<()> {
    inside("a_server_of_another_directory_is_left_alone", async |scene| {
        let (mine, other) = (scene.fabric(), Linux::new(scene.directory.path().join("other")));
        mine.converge(&wanted(&[])).await?;
        let elsewhere = Wanted {
            bridge: "rsv-other".parse()?,
            subnet: "10.78.0.0/24".parse()?,
            leases: vec![],
        };
        other.converge(&elsewhere).await?;
        assert_eq!(servers()?.len(), 2);
        mine.close().await?;
        assert_eq!(other.converge(&elsewhere).await?, Change::Nothing);
        assert_eq!(servers()?.len(), 1);
        Ok(other.close().await?)
    })
}

#[test]
fn a_server_that_cannot_serve_is_an_error_with_its_words() -> Result<()> {
    inside("a_server_that_cannot_serve_is_an_error_with_its_words", async |scene| {
        scene.fabric().converge(&wanted(&[])).await?;
        // A second one finds the bridge's ports taken.
        let other = Linux::new(scene.directory.path().join("other"));
        match other.converge(&wanted(&[])).await {
            Err(Error::NotServing { said, .. }) => assert!(said.contains("in use"), "{said}"),
            outcome => bail!("{outcome:?}"),
        }
        assert_eq!(servers()?.len(), 1);
        Ok(scene.fabric().close().await?)
    })
}

#[test]
fn a_directory_closed_to_others_is_refused() -> Result<()> {
    inside("a_directory_closed_to_others_is_refused", async |scene| {
        let closed = scene.directory.path();
        run("chmod", &["700", &closed.to_string_lossy()])?;
        match scene.fabric().converge(&wanted(&[])).await {
            Err(Error::Closed(directory)) => assert_eq!(directory, closed),
            outcome => bail!("{outcome:?}"),
        }
        Ok(())
    })
}
