//! What a guest finds at 169.254.169.254, wherever it runs, and what it does not find.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::liar::dropped;
use super::{HOME, HOSTS, Member};
use crate::world::{World, until};

/// Asks for something; answers the status and the body.
fn asks(guest: &Member, method: &str, path: &str, headers: &[&str]) -> Result<(u16, String)> {
    asks_from(guest, "", (method, path), headers, "")
}

/// The same, with more words for nc, and a body.
fn asks_from(
    guest: &Member,
    words: &str,
    (method, path): (&str, &str),
    headers: &[&str],
    body: &str,
) -> Result<(u16, String)> {
    let headers: String = headers.iter().map(|header| format!("{header}\\r\\n")).collect();
    let request = format!(
        "printf '{method} {path} HTTP/1.1\\r\\nHost: m\\r\\nConnection: close\\r\\n{headers}\\r\\n{body}' \
         | nc -w 15 {words} 169.254.169.254 80"
    );
    let (said, _) = guest.guest.does(&request)?;
    let said = said.replace('\r', "");
    // The console shows the request first, which has no blank behind its version.
    let Some(begin) = said.rfind("HTTP/1.1 ") else { return Ok((0, String::new())) };
    let (head, body) = said[begin..].split_once("\n\n").context("half an answer")?;
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).context("no status")?;
    // The guest says that it lives in between.
    let body: Vec<&str> = body.lines().filter(|line| !line.contains("reservoir-guest ")).collect();
    Ok((status, body.join("\n").trim_end().to_owned()))
}

/// Waits for an answer: the guest says that it lives on the same console, now and then in the middle
/// of one.
fn hears(
    guest: &Member,
    (method, path): (&str, &str),
    headers: &[&str],
    is_it: impl Fn(u16, &str) -> bool,
) -> Result<String> {
    let mut heard = (0, String::new());
    let what = format!("{} to be answered as it should be to {method} {path}", guest.name);
    let listened = until(&what, || {
        heard = asks(guest, method, path, headers)?;
        Ok(is_it(heard.0, &heard.1))
    });
    listened.with_context(|| format!("it was answered {heard:?}"))?;
    Ok(heard.1)
}

/// What the machines of a service are handed.
pub(super) fn handed(service: &str) -> String {
    format!("#!/bin/sh\necho {service}")
}

/// Each guest is told of itself, at whichever site and host it runs, and of nobody else.
pub(super) fn each_is_told_of_itself(world: &World, members: &[Member]) -> Result<()> {
    for member in members {
        let shown: Value = world.sites.read(HOME, &["machine", "show", &member.name])?;
        let id = shown["id"].as_str().context("a machine without an id")?.replace('-', "");
        let id = format!("i-{id}");
        let (service, name) = member.name.split_once('/').context("a name in a service")?;
        let (hostname, address) = (format!("{name}.{service}.internal"), member.address.as_str());
        let told = [
            ("meta-data/instance-id", id.as_str()),
            ("meta-data/local-ipv4", address),
            ("meta-data/local-hostname", hostname.as_str()),
            ("meta-data/placement/availability-zone", member.site),
            ("meta-data/placement/region", HOME),
            ("user-data", &handed(service)),
        ];
        for (path, expected) in told {
            let path = format!("/latest/{path}");
            hears(member, ("GET", &path), &[], |status, body| (status, body) == (200, expected))?;
        }
    }
    Ok(())
}

/// A token is good for the guest that asked for it, and for no other.
pub(super) fn a_token_is_its_guests_alone(members: &[Member]) -> Result<()> {
    let [other, guest, ..] = members else { anyhow::bail!("not two machines") };
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 600";
    let is_token = |status, body: &str| status == 200 && body.len() == 56;
    let token = hears(guest, ("PUT", "/latest/api/token"), &[ttl], is_token)?;
    let header = format!("X-aws-ec2-metadata-token: {token}");
    let id = "/latest/meta-data/instance-id";
    for (who, expected) in [(guest, 200), (other, 401)] {
        hears(who, ("GET", id), &[&header], |status, _| status == expected)?;
    }
    Ok(())
}

/// Who asks by the address of another is not heard, be the other here or elsewhere; and goes on
/// being heard as itself.
pub(super) fn who_asks_as_another_is_told_nothing(world: &World, members: &[Member]) -> Result<()> {
    let [other, guest, ..] = members else { anyhow::bail!("not two machines") };
    let does = |command: &str| -> Result<()> {
        let (said, done) = guest.guest.does(command)?;
        ensure!(done, "{} does not do {command}: {said}", guest.name);
        Ok(())
    };
    let asks_as = |address: &str| {
        let route = "ip route replace 169.254.169.254/32 dev eth0 src";
        does(&format!("{route} {address} && ip route get 169.254.169.254 | grep 'src {address}'"))
    };
    let own = ("GET", "/latest/meta-data/local-ipv4");
    let is_heard =
        || hears(guest, own, &[], |status, body| (status, body) == (200, &guest.address));
    asks_as(&guest.address)?;
    is_heard()?;
    does(&format!("ip address add {}/32 dev eth0", other.address))?;
    asks_as(&other.address)?;
    let push = ("PUT", "/latest/kpi/Posed");
    for (asked, headers, body) in [(own, &[][..], ""), (push, &["Content-Length: 1"], "1")] {
        let before = dropped(world, &guest.host, "foreign-address")?;
        let (status, body) = asks_from(guest, "-w 3", asked, headers, body)?;
        ensure!(status == 0, "{} asks as {} and gets {status}: {body}", guest.name, other.name);
        ensure!(dropped(world, &guest.host, "foreign-address")? > before, "it was not the filter");
    }
    asks_as(&guest.address)?;
    does(&format!("ip address del {}/32 dev eth0", other.address))?;
    is_heard()?;
    Ok(())
}

/// A guest says how it does, at whichever site and host it runs; its tenant reads that at any node of
/// its home, and of this machine only.
pub(super) fn what_a_guest_says_of_itself_is_read_at_home(
    world: &World,
    members: &[Member],
) -> Result<()> {
    for (number, member) in members.iter().enumerate() {
        for value in ["7".to_owned(), format!("-{number}.25")] {
            let length = format!("Content-Length: {}", value.len());
            until(&format!("{} to say that its load is {value}", member.name), || {
                let said = asks_from(member, "", ("PUT", "/latest/kpi/Load"), &[&length], &value)?;
                Ok(said.0 == 204)
            })?;
        }
    }
    // Some of these nodes run neither machine.
    for at in HOSTS {
        for (number, member) in members.iter().enumerate() {
            let shown: Value = world.sites.read(at, &["machine", "show", &member.name])?;
            let kpis = shown["kpis"].as_array().context("no KPIs")?;
            let said = kpis.iter().map(|kpi| (&kpi["name"], &kpi["value"])).collect::<Vec<_>>();
            let expected = (&Value::from("Load"), &Value::from(format!("-{number}.25")));
            ensure!(said == [expected], "{} is shown at {at} as {shown}", member.name);
        }
    }
    Ok(())
}
