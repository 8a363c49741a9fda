//! `reservoir peer`

use axum::http::Method;
use protocol::peering::{Setting, Standing, setting};

use super::arguments::{AddPeer, Peer};
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, age, classes, facts, short, since, table};
use crate::api::shapes::peer as shapes;
use crate::api::shapes::{Moment, Taken};

pub(super) async fn run(verb: Peer, client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let one = async |meant: String| find(&client.list::<shapes::Peer>("/v1/peers").await?, &meant);
    match verb {
        Peer::Ls => {
            let peers: Vec<shapes::Peer> = client.list("/v1/peers").await?;
            output.say(&peers, |now| listed(&peers, now))
        }
        Peer::Show { peer } => {
            let peer = one(peer).await?;
            output.say(&peer, |now| shown(&peer, now))
        }
        Peer::Add(AddPeer { site, name, addresses, settings }) => {
            let new = shapes::New { site, name, addresses, policy: written(&settings) };
            let taken: Taken = client.ask(Method::POST, "/v1/peers", Some(&new)).await?;
            output.say(&taken, |_| format!("{} is a peer\n", new.name))
        }
        Peer::Policy { peer, settings, file } => {
            let mut settings = settings;
            if let Some(file) = file {
                let given = file.display().to_string();
                let text = std::fs::read_to_string(&file);
                let text = text.map_err(|source| Error::File { path: file, source })?;
                let read = read(&text).map_err(|fault| Error::Argument {
                    what: "the policy in",
                    given,
                    source: Box::new(fault),
                })?;
                // What the command line says comes last, and counts.
                settings = [read, settings].concat();
            }
            let peer = one(peer).await?;
            let path = format!("{}/policy", path(&peer));
            let asked = written(&settings);
            let _: Taken = client.ask(Method::PATCH, &path, Some(&asked)).await?;
            let peer = one(peer.id.unwrap_or_default()).await?;
            output.say(&peer.policy, |_| policy(&peer))
        }
        Peer::Monitor { peer } => {
            let path = format!("{}/monitor", path(&one(peer).await?));
            let seen: shapes::Monitored = client.get(&path).await?;
            output.say(&seen, |now| monitored(&seen, now))
        }
        Peer::Drain { peer } => {
            let peer = one(peer).await?;
            let path = format!("{}/drain", path(&peer));
            let taken: Taken = client.ask(Method::POST, &path, None::<&()>).await?;
            let name = peer.name.unwrap_or_default();
            output.say(&taken, |_| format!("{name} is drained: 'peer show' says what is left\n"))
        }
        Peer::Enable { peer } => {
            let peer = one(peer).await?;
            let path = format!("{}/enable", path(&peer));
            let taken: Taken = client.ask(Method::POST, &path, None::<&()>).await?;
            let name = peer.name.unwrap_or_default();
            output.say(&taken, |_| format!("{name} is traded with again\n"))
        }
        Peer::Rm { peer, drain } => {
            let peer = one(peer).await?;
            let path = format!("{}?drain={drain}", path(&peer));
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            let name = peer.name.unwrap_or_default();
            output.say(&taken, |_| match drain {
                true => format!("{name} is no peer once nothing is left to be ended\n"),
                false => format!("{name} is no peer any more\n"),
            })
        }
    }
}

/// The settings of a file: one on a line, remarks left out.
pub(super) fn read(text: &str) -> Result<Vec<Setting>, setting::Malformed> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    lines.filter(|line| !line.is_empty()).map(str::parse).collect()
}

fn path(peer: &shapes::Peer) -> String {
    format!("/v1/peers/{}", peer.id.as_deref().unwrap_or_default())
}

fn written(settings: &[Setting]) -> std::collections::BTreeMap<String, String> {
    let written = settings.iter().map(|setting| setting.written());
    written.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn setting(peer: &shapes::Peer, name: &str) -> String {
    peer.policy.get(name).cloned().unwrap_or_default()
}

/// Peers as people see them.
pub(super) fn listed(peers: &[shapes::Peer], now: Moment) -> String {
    let heading = [
        "NAME",
        "STANDING",
        "CONNECTED",
        "BUYS HERE",
        "SELLS TO US",
        "HERE",
        "THERE",
        "FREE",
        "VCPU/H",
        "OWED",
        "ID",
    ];
    table(
        &heading,
        peers.iter().map(|peer| {
            let advert = peer.advert.as_ref();
            vec![
                peer.name.clone().unwrap_or_default(),
                standing(peer).to_owned(),
                peer.connected_since.map_or_else(|| "no".to_owned(), |at| age(now, at)),
                setting(peer, "sells-to"),
                setting(peer, "buys-from"),
                peer.account.machines.to_string(),
                peer.machines_there.to_string(),
                advert.map(|it| it.free.to_string()).unwrap_or_default(),
                advert
                    .map(|it| format!("{} {}", it.tariff.vcpu_hour, it.tariff.currency))
                    .unwrap_or_default(),
                peer.owed.to_string(),
                peer.id.as_deref().map(|id| id.chars().take(12).collect()).unwrap_or_default(),
            ]
        }),
    )
}

const fn standing(peer: &shapes::Peer) -> &'static str {
    match peer.standing {
        Some(Standing::Open) => "open",
        Some(Standing::Drained) => "drained",
        Some(Standing::Leaving) => "leaving",
        Some(Standing::Gone) => "gone",
        None => "no peer",
    }
}

/// What a peer is allowed, setting by setting.
pub(super) fn policy(peer: &shapes::Peer) -> String {
    let settings = Setting::NAMES.into_iter().map(|name| (name, setting(peer, name)));
    facts(&settings.collect::<Vec<_>>())
}

/// A peer as people see it.
pub(super) fn shown(peer: &shapes::Peer, now: Moment) -> String {
    let advert = peer.advert.as_ref();
    let account = &peer.account;
    let mut text = facts(&[
        ("name", peer.name.clone().unwrap_or_default()),
        ("id", peer.id.clone().unwrap_or_default()),
        ("standing", standing(peer).to_owned()),
        ("connected", peer.connected_since.map(|at| since(now, at)).unwrap_or_default()),
        ("addresses", peer.addresses.join(", ")),
        ("round trip", peer.round_trip_us.map(|us| format!("{us} us")).unwrap_or_default()),
        ("last failure", peer.last_failure.clone().unwrap_or_default()),
        ("its machines here", format!("{}, {}/h in all", account.machines, account.hourly)),
        ("our machines there", peer.machines_there.to_string()),
        ("session ended", peer.session_ended.map(|at| since(now, at)).unwrap_or_default()),
        (
            "shunned",
            if peer.is_shunned { "yes, it sends more than it may" } else { "no" }.to_owned(),
        ),
        ("messages owed", peer.owed.to_string()),
        ("advertises", advert.map(|it| it.free.to_string()).unwrap_or_default()),
        ("largest machine", advert.map(|it| it.largest.to_string()).unwrap_or_default()),
        ("advert heard", advert.map(|it| since(now, it.heard)).unwrap_or_default()),
    ]);
    text.push('\n');
    text.push_str(&policy(peer));
    text.push('\n');
    text.push_str(&dealings(peer));
    text.push('\n');
    text.push_str(&nodes(peer, now));
    text.push('\n');
    text.push_str(&behaviour(peer));
    if !peer.refusals.is_empty() {
        text.push('\n');
        text.push_str(&refusals(peer));
    }
    if !peer.contradictions.is_empty() {
        text.push('\n');
        text.push_str(&contradictions(peer));
    }
    text
}

/// What stands between this site and a peer.
fn dealings(peer: &shapes::Peer) -> String {
    let row = |way: &str, dealings: &shapes::Dealings| {
        vec![
            way.to_owned(),
            dealings.agreements.to_string(),
            dealings.hourly.clone(),
            dealings.ending.to_string(),
            dealings.next_end.map(|at| at.to_string()).unwrap_or_default(),
        ]
    };
    let rows = [row("sell", &peer.sold), row("buy", &peer.bought)];
    table(&["WE", "AGREEMENTS", "HOURLY", "ENDING", "NEXT END"], rows)
}

/// The nodes of a peer that are connected.
fn nodes(peer: &shapes::Peer, now: Moment) -> String {
    table(
        &["NODE", "CONNECTED", "ROUND TRIP", "SCORE", "ADDRESSES"],
        peer.nodes.iter().map(|node| {
            let unread = if node.is_graylisted { " (unread)" } else { "" };
            vec![
                node.key.chars().take(12).collect(),
                age(now, node.connected_since),
                node.round_trip_us.map(|us| format!("{us} us")).unwrap_or_default(),
                format!("{}{unread}", node.score),
                node.addresses.join(", "),
            ]
        }),
    )
}

/// What the two have refused each other.
fn refusals(peer: &shapes::Peer) -> String {
    table(
        &["REFUSED BY", "TIMES", "LAST", "REASON"],
        peer.refusals.iter().map(|it| {
            let by = if it.by_us { "us" } else { "them" };
            vec![by.to_owned(), it.count.to_string(), it.last.to_string(), it.reason.clone()]
        }),
    )
}

/// Where a peer has said two things under one number.
fn contradictions(peer: &shapes::Peer) -> String {
    table(
        &["SAID TWO", "NUMBER", "AT", "FIRST", "SECOND"],
        peer.contradictions.iter().map(|it| {
            let [first, second] =
                it.digests.each_ref().map(|digest| digest.chars().take(16).collect());
            vec![
                it.of.clone(),
                it.number.map(|number| number.to_string()).unwrap_or_default(),
                it.at.map(|at| at.to_string()).unwrap_or_default(),
                first,
                second,
            ]
        }),
    )
}

/// What a peer shows of itself.
pub(super) fn monitored(seen: &shapes::Monitored, now: Moment) -> String {
    let tariff = &seen.tariff;
    let mut text = facts(&[
        ("for sale", seen.free.to_string()),
        ("largest machine", seen.largest.to_string()),
        ("vcpu", format!("{} {}/h", tariff.vcpu_hour, tariff.currency)),
        ("memory", format!("{} {}/h for a GiB", tariff.memory_gib_hour, tariff.currency)),
        ("disk", format!("{} {}/h for a GiB", tariff.disk_gib_hour, tariff.currency)),
        ("classes", classes(tariff)),
        ("we pay", format!("{} of it", seen.factor)),
    ]);
    text.push('\n');
    text.push_str(&table(
        &["MACHINE", "STATE", "SINCE", "AGE", "EPOCH", "SIZE", "ID"],
        seen.machines.iter().map(|it| {
            vec![
                it.name.clone().unwrap_or_default(),
                it.state.to_string(),
                it.since.to_string(),
                age(now, it.since),
                it.epoch.clone(),
                it.size.to_string(),
                short(&it.id).to_owned(),
            ]
        }),
    ));
    text
}

/// What has happened with a peer since the node started.
fn behaviour(peer: &shapes::Peer) -> String {
    let counters = &peer.counters;
    facts(&[
        (
            "requests",
            format!(
                "{} in, {} out, {} put off, {} beyond the rate",
                counters.asks_in, counters.asks_out, counters.busy, counters.limited
            ),
        ),
        (
            "adverts",
            format!(
                "{} passed on, {} refused, {} of no use",
                counters.adverts, counters.adverts_rejected, counters.adverts_ignored
            ),
        ),
        (
            "faults",
            format!(
                "{} refused, {} oversize, {} malformed, {} foul",
                counters.refused, counters.oversize, counters.malformed, counters.foul
            ),
        ),
        (
            "looked for",
            format!("{} times, {} times where it was not", counters.searches, counters.misled),
        ),
    ])
}
