//! `reservoir peer`

use super::arguments::Peer;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, age, facts, since, table};
use crate::api::shapes::Moment;
use crate::api::shapes::site as shapes;

pub(super) async fn run(verb: Peer, client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    let peers: Vec<shapes::Peer> = client.list("/v1/peers").await?;
    match verb {
        Peer::Ls => output.say(&peers, |now| listed(&peers, now)),
        Peer::Show { peer } => {
            let peer = find(&peers, &peer)?;
            output.say(&peer, |now| shown(&peer, now))
        }
    }
}

/// Peers as people see them.
pub(super) fn listed(peers: &[shapes::Peer], now: Moment) -> String {
    let heading = ["NAME", "CONNECTED", "BUYS HERE", "SELLS TO US", "FREE", "VCPU/H", "OWED", "ID"];
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    table(
        &heading,
        peers.iter().map(|peer| {
            let advert = peer.advert.as_ref();
            vec![
                peer.name.clone().unwrap_or_default(),
                peer.connected_since.map_or_else(|| "no".to_owned(), |at| age(now, at)),
                yes(peer.sells_to),
                yes(peer.buys_from),
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

fn shown(peer: &shapes::Peer, now: Moment) -> String {
    let yes = |it: bool| if it { "yes" } else { "no" }.to_owned();
    let counters = &peer.counters;
    let advert = peer.advert.as_ref();
    facts(&[
        ("name", peer.name.clone().unwrap_or_default()),
        ("id", peer.id.clone().unwrap_or_default()),
        ("connected", peer.connected_since.map(|at| since(now, at)).unwrap_or_default()),
        ("addresses", peer.addresses.join(", ")),
        ("round trip", peer.round_trip_us.map(|us| format!("{us} us")).unwrap_or_default()),
        ("last failure", peer.last_failure.clone().unwrap_or_default()),
        ("may buy here", yes(peer.sells_to)),
        ("may sell to us", yes(peer.buys_from)),
        ("in configuration", yes(peer.wanted)),
        ("messages owed", peer.owed.to_string()),
        ("advertises", advert.map(|it| it.free.to_string()).unwrap_or_default()),
        ("largest machine", advert.map(|it| it.largest.to_string()).unwrap_or_default()),
        ("advert heard", advert.map(|it| since(now, it.heard)).unwrap_or_default()),
        (
            "requests",
            format!(
                "{} in, {} out, {} put off",
                counters.asks_in, counters.asks_out, counters.busy
            ),
        ),
        (
            "adverts",
            format!("{} passed on, {} refused", counters.adverts, counters.adverts_rejected),
        ),
        (
            "faults",
            format!(
                "{} refused, {} oversize, {} malformed, {} foul",
                counters.refused, counters.oversize, counters.malformed, counters.foul
            ),
        ),
    ])
}
