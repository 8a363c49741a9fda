//! Guests, a service and a router in namespaces of their own.
//!
//! ```text
//!   service 169.254.169.254, fd00:ec2::254 ---+
//!   one     10.77.1.11, fd00:77:1::b ---------+--- bridge
//!   other   10.77.1.12 -----------------------+
//!
//!   behind  10.77.9.2, fd00:77:9::2 --- one, which forwards
//! ```
//!
//! Each test runs in network and mount namespaces of its own: it starts itself again under
//! `unshare`, which ends with the last process in it. This needs root, and fails without it.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use metadata::{ADDRESS_V4, ADDRESS_V6, HopLimit, Instance, Limits, listen};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::example::plain;
use crate::scene::{Client, Response, Scene, get, get_with, put_token, wait_for};

const ID: &str = "/latest/meta-data/instance-id";

/// Says that the process is already in its own namespaces.
const INSIDE: &str = "inside";

/// The addresses of the container behind the first guest.
const BEHIND: [&str; 2] = ["10.77.9.2", "fd00:77:9::2"];

/// Runs the test of this name again, in namespaces of its own; answers whether we are in them.
fn is_inside(test: &str) -> Result<bool> {
    // The runner's own arguments are kept out: only ours end in this word.
    if std::env::args().any(|argument| argument == INSIDE) {
        return Ok(true);
    }
    let test = format!("namespace::{test}");
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe()?)
        .args(["--exact", "--nocapture", &test, "--skip", INSIDE])
        .stdin(Stdio::null())
        .output()
        .context("run unshare (this test needs root)")?;
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    // A name that matches no test would be a success too.
    let passed = output.status.success() && said[0].contains("1 passed");
    ensure!(passed, "inside its namespaces: {}", said.concat());
    Ok(false)
}

/// Runs a script, and answers what it said.
fn run(script: &str) -> Result<String> {
    let output = Command::new("sh").args(["-ec", script]).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}: {said}{error}");
    Ok(said)
}

fn namespace(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// The namespaces of the picture above, and the service in them.
fn network(one: &Instance) -> Result<Scene> {
    run("mount -t sysfs sysfs /sys
        mount -t tmpfs tmpfs /run
        ip link add lan type bridge
        ip link set lan up
        for name in service one other; do
            ip netns add $name
            ip link add $name type veth peer name eth0 netns $name
            ip link set $name master lan up
            ip -n $name link set lo up
            ip -n $name link set eth0 up
        done
        ip -n service address add 169.254.169.254/32 dev eth0
        ip -n service route add 10.77.1.0/24 dev eth0
        ip -n service route add 10.77.9.0/24 via 10.77.1.11
        ip -n one address add 10.77.1.11/24 dev eth0
        ip -n other address add 10.77.1.12/24 dev eth0
        ip -n one route add 169.254.169.254 dev eth0
        ip -n other route add 169.254.169.254 dev eth0
        ip netns add behind
        ip link add inner netns one type veth peer name eth0 netns behind
        ip -n one address add 10.77.9.1/24 dev inner
        ip -n one link set inner up
        ip -n behind address add 10.77.9.2/24 dev eth0
        ip -n behind link set eth0 up
        ip -n behind route add default via 10.77.9.1
        for family in ipv4/ip_forward ipv6/conf/all/forwarding; do
            ip netns exec one sh -c \"echo 1 >/proc/sys/net/$family\"
        done
        ip -n service address add fd00:ec2::254/128 dev eth0 nodad
        ip -n service route add fd00:77:1::/64 dev eth0
        ip -n service route add fd00:77:9::/64 via fd00:77:1::b
        ip -n one address add fd00:77:1::b/64 dev eth0 nodad
        ip -n one route add fd00:ec2::254 dev eth0
        ip -n one address add fd00:77:9::1/64 dev inner nodad
        ip -n behind address add fd00:77:9::2/64 dev eth0 nodad
        ip -n behind route add default via fd00:77:9::1")?;
    let service = namespace("service");
    let listeners = [listen(&service, ADDRESS_V4)?, listen(&service, ADDRESS_V6)?];
    let scene = Scene::on(listeners, Limits::default())?;
    // What is behind the first guest is its own: a container with addresses of the guest's.
    for address in ["10.77.1.11", "fd00:77:1::b"].into_iter().chain(BEHIND) {
        scene.table.put(address.parse::<IpAddr>()?, one.clone());
    }
    scene.table.put(Ipv4Addr::new(10, 77, 1, 12), plain(2));
    Ok(scene)
}

/// A connection to the service from a namespace.
fn connect(name: &str, address: SocketAddr) -> Result<Client> {
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(File::open(namespace(name))?.as_fd(), network)?;
            Client::new(TcpStream::connect(address)?)
        });
        connecting.join().expect("a thread that does not panic")
    })
}

fn ask(name: &str, request: &str) -> Result<Response> {
    ask_at(name, ADDRESS_V4, request)
}

fn ask_at(name: &str, address: SocketAddr, request: &str) -> Result<Response> {
    connect(name, address)?.ask(request)?.context("hung up without an answer")
}

/// How many packets a guest that forwards did not pass on since they had travelled far enough.
fn expired(name: &str, address: SocketAddr) -> Result<u64> {
    let script = format!("ip netns exec {name} cat /proc/net/snmp /proc/net/snmp6");
    let text = run(&script)?;
    let value = if address.is_ipv4() {
        let mut rows = text.lines().filter(|line| line.starts_with("Icmp:"));
        let (names, values) = rows.next().zip(rows.next()).context("no counters")?;
        let at = names.split(' ').position(|name| name == "OutTimeExcds").context("no counter")?;
        values.split(' ').nth(at)
    } else {
        text.lines().find_map(|line| line.strip_prefix("Icmp6OutTimeExcds"))
    };
    Ok(value.context("no value")?.trim().parse()?)
}

#[test]
fn each_guest_of_a_network_gets_its_own_data() -> Result<()> {
    if !is_inside("each_guest_of_a_network_gets_its_own_data")? {
        return Ok(());
    }
    let scene = network(&plain(1))?;
    assert_eq!(ask("one", &get(ID))?.text(), plain(1).id.as_str());
    assert_eq!(ask("other", &get(ID))?.text(), plain(2).id.as_str());
    let token = ask("one", &put_token(60))?.text();
    assert_eq!(ask("one", &get_with(ID, &token))?.status, 200);
    assert_eq!(ask("other", &get_with(ID, &token))?.status, 401);
    // Nobody outside the namespace hears of it.
    ensure!(TcpStream::connect(ADDRESS_V4).is_err(), "the service is reached from outside");
    drop(scene);
    Ok(())
}

#[test]
fn a_token_stays_in_the_machine_and_all_else_passes_its_router() -> Result<()> {
    if !is_inside("a_token_stays_in_the_machine_and_all_else_passes_its_router")? {
        return Ok(());
    }
    let scene = network(&plain(1))?;
    for address in [ADDRESS_V4, ADDRESS_V6] {
        let own = ask_at("behind", address, &get(ID))?;
        assert_eq!(own.text(), plain(1).id.as_str());
        assert_eq!(expired("one", address)?, 0);

        let mut client = connect("behind", address)?;
        client.send(put_token(60).as_bytes())?;
        // A second request does not make the answer to the first one travel further.
        client.send(get(ID).as_bytes())?;
        let expires = || Ok((expired("one", address)? >= 2).then_some(()));
        wait_for("an answer that is sent again and expires again", expires)?;
        assert_eq!(client.waiting()?, None);

        // The same machine, asked for its token by itself.
        assert_eq!(ask_at("one", address, &put_token(60))?.status, 200);
    }
    // A tenant may let containers have tokens.
    let far = Instance { hop_limit: HopLimit::try_from(2)?, ..plain(1) };
    for (from, address) in BEHIND.into_iter().zip([ADDRESS_V4, ADDRESS_V6]) {
        scene.table.put(from.parse::<IpAddr>()?, far.clone());
        let token = ask_at("behind", address, &put_token(60))?.text();
        assert_eq!(ask_at("behind", address, &get_with(ID, &token))?.status, 200);
    }
    Ok(())
}

#[test]
fn a_listener_is_refused_where_the_address_or_the_namespace_is_not_there() -> Result<()> {
    if !is_inside("a_listener_is_refused_where_the_address_or_the_namespace_is_not_there")? {
        return Ok(());
    }
    let before = fs::read_link("/proc/thread-self/ns/net")?;
    // A namespace that never had an address lets anything be bound; one with loopback does not.
    run("mount -t tmpfs tmpfs /run && ip netns add empty && ip -n empty link set lo up")?;
    let missing = listen(&namespace("missing"), ADDRESS_V4);
    let text = missing.expect_err("there is no such namespace").to_string();
    assert_eq!(text, "cannot enter the network namespace /run/netns/missing");
    let empty = listen(&namespace("empty"), ADDRESS_V4);
    let text = empty.expect_err("there is no such address").to_string();
    let expected = "cannot listen on 169.254.169.254:80 in the network namespace /run/netns/empty";
    assert_eq!(text, expected);
    // Who called is where it was.
    assert_eq!(fs::read_link("/proc/thread-self/ns/net")?, before);
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);
    listen(&namespace("empty"), any)?;
    Ok(())
}
