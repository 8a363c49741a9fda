//! `reservoir network`

use axum::http::Method;
use protocol::sla::Class;

use super::arguments::Network;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, facts, short, since, table};
use crate::api::shapes::Moment;
use crate::api::shapes::network as shapes;

const PATH: &str = "/v1/networks";

/// How many seconds nobody need have looked: counts are told once a minute.
const UNTOLD: u64 = 75;

pub(super) async fn run(
    verb: Network,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let networks: Vec<shapes::Network> = client.list(PATH).await?;
    match verb {
        Network::Ls => output.say(&networks, |_| listed(&networks)),
        Network::Show { network } => {
            let network = find(&networks, &network)?;
            let path = format!("{PATH}/{}", network.id);
            let detailed: shapes::Detailed = client.get(&path).await?;
            output.say(&detailed, |now| shown(&detailed, now))
        }
        Network::Check { network } => {
            let network = network.map(|meant| find(&networks, &meant)).transpose()?;
            let only = network.map(|it| format!("?network={}", it.id)).unwrap_or_default();
            let path = format!("{PATH}/check{only}");
            let checked: shapes::Checked = client.ask(Method::POST, &path, None::<&()>).await?;
            output.say(&checked, |_| found(&checked))?;
            match checked.faults.len() {
                0 => Ok(()),
                count => Err(Error::Broken { count }),
            }
        }
    }
}

/// Networks as people see them.
pub(super) fn listed(networks: &[shapes::Network]) -> String {
    table(
        &[
            "NETWORK", "HOME", "GROUP", "PREFIX", "PREFIX6", "SPEED", "SLA", "MEMBERS", "SITES",
            "ID",
        ],
        networks.iter().map(|network| {
            let id = network.id.split('@').next().unwrap_or_default();
            vec![
                network.name.clone(),
                network.home.clone(),
                network.group.clone().unwrap_or_default(),
                network.prefix.clone(),
                network.prefix6.clone(),
                network.speed.clone().unwrap_or_default(),
                network.sla.to_string(),
                network.members.to_string(),
                network.sites.join(", "),
                short(id).to_owned(),
            ]
        }),
    )
}

/// A network as people see it.
pub(super) fn shown(detailed: &shapes::Detailed, now: Moment) -> String {
    let network = &detailed.network;
    let way_out = if network.outbound { format!("at {}", network.home) } else { "none".to_owned() };
    let group = network.group.as_ref().map(|name| match &detailed.routed_to[..] {
        [] => format!("{name}, and nothing else of it reaches here"),
        others => format!("{name}, with {}", others.join(", ")),
    });
    let mut text = facts(&[
        ("network", network.name.clone()),
        ("id", network.id.clone()),
        ("home", network.home.clone()),
        ("prefixes", format!("{}, {}", network.prefix, network.prefix6)),
        ("speed", network.speed.clone().unwrap_or_else(|| "not limited".to_owned())),
        ("sla", promised(network.sla)),
        ("measured", measured(detailed.measured.as_ref(), now)),
        ("way out", way_out),
        ("group", group.unwrap_or_else(|| "none: it stands alone".to_owned())),
        ("sites", network.sites.join(", ")),
    ]);
    let cards = detailed.cards.iter().map(|card| {
        let place = [card.site.clone(), card.host.clone()];
        vec![
            card.name.clone(),
            card.address.clone().unwrap_or_default(),
            card.address6.clone(),
            card.mac.clone(),
            place.into_iter().flatten().collect::<Vec<_>>().join(" "),
        ]
    });
    text.push('\n');
    text.push_str(&table(&["MEMBER", "ADDRESS", "ADDRESS6", "MAC", "PLACE"], cards));
    if !detailed.routes.is_empty() {
        let routes = detailed.routes.iter().map(|it| vec![it.to.clone(), it.via.clone(), led(it)]);
        text.push('\n');
        text.push_str(&table(&["ROUTE", "VIA", "LEADS TO"], routes));
    }
    if let Some(inside) = &detailed.inside {
        text.push('\n');
        text.push_str(&carried(inside));
    }
    text
}

/// Where a route leads.
fn led(route: &shapes::Route) -> String {
    let by_itself = || match &route.via[..] {
        "exit" => "the way out".to_owned(),
        "nobody" => "nobody".to_owned(),
        _ => "nobody: no machine has that address".to_owned(),
    };
    route.machine.clone().unwrap_or_else(by_itself)
}

/// What a class promises of a network.
fn promised(class: Class) -> String {
    class.availability().map_or_else(
        || class.to_string(),
        |share| {
            let (percent, tenth) = (share.thousandths() / 10, share.thousandths() % 10);
            format!("{class}: every other site on it is reached for {percent}.{tenth} % of a month")
        },
    )
}

/// What was measured, and whether that is what was promised.
fn measured(measured: Option<&shapes::Measured>, now: Moment) -> String {
    let Some(measured) = measured else { return "not yet".to_owned() };
    let share = measured.availability.clone().unwrap_or_else(|| "not yet".to_owned());
    let mut text = format!("{share} since {}", since(now, measured.since));
    if let Some(allowed) = measured.allowed {
        let missed = measured.missed;
        text.push_str(&format!("; {missed} s missed of {allowed} s that a month allows"));
    }
    if !measured.kept {
        text.push_str(": the promise is broken");
    }
    // One interval is always under way, and a minute of them not told yet.
    if measured.unseen >= UNTOLD {
        text.push_str(&format!("; for {} s nobody looked", measured.unseen));
    }
    if let Some(before) = &measured.before {
        text.push_str(&format!("; {before} in the month before"));
    }
    text
}

/// What a check has found, as people see it: the ways, what was dropped, and then what is broken,
/// where the eye ends.
pub(super) fn found(checked: &shapes::Checked) -> String {
    let mut parts = Vec::new();
    if !checked.ways.is_empty() {
        let heading = ["FROM", "TO", "BY", "ROUND TRIP", "LOST", "CARRIES", "NEEDED", "HANDSHAKE"];
        parts.push(table(&heading, checked.ways.iter().map(way)));
    }
    if !checked.stray.is_empty() {
        let stray = checked.stray.iter().map(|it| {
            let [packets, bytes] = [it.packets, it.bytes].map(|number| number.to_string());
            vec![it.node.clone(), it.cause.clone(), packets, bytes]
        });
        let heading = ["NODE", "DROPPED, OF NO NETWORK, BECAUSE OF", "PACKETS", "BYTES"];
        parts.push(table(&heading, stray));
    }
    let networks = match checked.networks.len() {
        0 => "no network is here".to_owned(),
        _ => checked.networks.join(", "),
    };
    let mut known = vec![("checked", networks)];
    known.extend(checked.faults.iter().map(|it| ("broken", format!("{}: {}", it.what, it.next))));
    if checked.faults.is_empty() {
        known.push(("broken", "nothing".to_owned()));
    }
    parts.push(facts(&known));
    parts.join("\n")
}

fn way(way: &shapes::Way) -> Vec<String> {
    let bytes = |size: Option<u16>| size.map(|it| it.to_string()).unwrap_or_default();
    let lost = way.sent.saturating_sub(way.answered);
    vec![
        way.from.clone(),
        way.to.clone(),
        if way.tunnel { "tunnel" } else { "wire" }.to_owned(),
        way.round_trip.map(|it| format!("{}.{:03} ms", it / 1_000, it % 1_000)).unwrap_or_default(),
        format!("{lost} of {}", way.sent),
        bytes(way.largest),
        bytes(Some(way.needed)),
        way.handshake.map(|it| format!("{it}s ago")).unwrap_or_default(),
    ]
}

/// What carries a network.
fn carried(inside: &shapes::Inside) -> String {
    let gateway = match inside.gateway {
        None => "none: no node of the site can be one".to_owned(),
        Some(node) if node == inside.node => format!("node {node}"),
        Some(node) => format!("node {node}: ask it for the tunnels to other sites"),
    };
    let mut known = vec![
        ("seen by", format!("node {}", inside.node)),
        ("gateway", gateway),
        ("path MTU", room(inside)),
    ];
    if !inside.trouble.is_empty() {
        known.push(("trouble", inside.trouble.clone()));
    }
    let ends = inside.ends.iter().map(|end| {
        let number = |bytes: Option<u64>| bytes.map(|it| it.to_string()).unwrap_or_default();
        let tunnel = end.tunnel.as_ref();
        let endpoint = tunnel.and_then(|it| it.endpoint.as_ref()).or(end.endpoint.as_ref());
        let dropped: u64 = tunnel.iter().flat_map(|it| it.drops.values()).sum();
        vec![
            end.site.clone(),
            end.vni.map(|vni| vni.to_string()).unwrap_or_default(),
            endpoint.cloned().unwrap_or_default(),
            standing(end, inside),
            number(tunnel.map(|it| it.received)),
            number(tunnel.map(|it| it.sent)),
            number(tunnel.map(|_| dropped)),
        ]
    });
    let heading = ["SITE", "VNI", "ENDPOINT", "TUNNEL", "RECEIVED", "SENT", "DROPPED"];
    let mut parts = vec![facts(&known), table(&heading, ends)];
    if !inside.devices.is_empty() {
        let devices = inside.devices.iter().map(|device| {
            let state = if device.is_up { "up" } else { "down" };
            let [mtu, received, sent] =
                [u64::from(device.mtu), device.received, device.sent].map(|it| it.to_string());
            vec![device.name.clone(), state.to_owned(), mtu, received, sent]
        });
        parts.push(table(&["DEVICE", "STATE", "MTU", "RECEIVED", "SENT"], devices));
    }
    if !inside.drops.is_empty() {
        let drops = inside.drops.iter().map(|(cause, drops)| {
            vec![cause.clone(), drops.packets.to_string(), drops.bytes.to_string()]
        });
        parts.push(table(&["DROPPED BECAUSE OF", "PACKETS", "BYTES"], drops));
    }
    parts.join("\n")
}

/// Whether what guests send fits through the way to other sites.
fn room(inside: &shapes::Inside) -> String {
    let mtu = inside.mtu;
    match inside.room_between_sites {
        None => format!("no way to other sites from here; guests send up to {mtu} bytes"),
        Some(room) if room < mtu => format!(
            "{room} bytes: too few for the {mtu} that guests send; raise the MTU of what leads to \
             the other sites"
        ),
        Some(room) => format!("{room} bytes, enough for the {mtu} that guests send"),
    }
}

/// Whether nobody can call this site's own gateway.
fn is_behind_nat(inside: &shapes::Inside) -> bool {
    inside.ends.iter().any(|end| end.is_own && end.gateway.is_some() && end.endpoint.is_none())
}

/// How the tunnel to a site is, and what can be done about it.
fn standing(end: &shapes::End, inside: &shapes::Inside) -> String {
    if end.is_own {
        return "this site".to_owned();
    }
    if end.vni.is_none() {
        return "has not joined yet".to_owned();
    }
    if end.gateway.is_none() {
        return "has no gateway now".to_owned();
    }
    match &end.tunnel {
        None if inside.gateway == Some(inside.node) => "not made".to_owned(),
        None => "not from this node".to_owned(),
        Some(tunnel) => match tunnel.last_handshake {
            Some(seconds) => format!("handshake {seconds}s ago"),
            None if tunnel.endpoint.is_none() && is_behind_nat(inside) => {
                "neither can be called: say where one is reached (network.external)".to_owned()
            }
            None if tunnel.endpoint.is_none() => "has not called yet".to_owned(),
            None => "no handshake: is its UDP port reached?".to_owned(),
        },
    }
}
