//! `CheckNetworks`: every node of the site looks, and what is broken is said with what to do about it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use protocol::ids::{NetworkId, NodeId, SiteId};
use protocol::networks::check::{Answers, Sight};
use protocol::networks::lan::End;
use protocol::site::Site;
use serde::Deserialize;

use super::super::error::Error;
use super::super::gate::Server;
use super::super::shapes::network as shapes;
use super::faults::{Names, said};
use super::{find, parse};

/// Which network is looked at.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Asked {
    network: Option<String>,
}

/// `CheckNetworks`
pub(in super::super) async fn check(
    State(server): State<Server>,
    Query(asked): Query<Asked>,
) -> Result<Json<shapes::Checked>, Error> {
    let desk = &server.desk;
    let only = asked.network.map(|text| Ok::<_, Error>((parse(&text, desk.site())?, text)));
    let only = only.transpose()?;
    desk.current().await?;
    if let Some((id, text)) = &only {
        desk.read(|site| find(site, *id, text).map(|_| ()))?;
    }
    let only = only.map(|(id, _)| id);
    let sights = desk.sights().await;
    // What was looked at is judged by the rows as they are now: some may have changed meanwhile.
    Ok(Json(desk.read(|site| checked(site, only, &sights.into_iter().collect()))))
}

type Sights = BTreeMap<NodeId, Option<Sight>>;

fn checked(site: &Site, only: Option<(SiteId, NetworkId)>, sights: &Sights) -> shapes::Checked {
    let names = Names::of(site);
    let looked = site.lans().filter(|(key, _)| only.is_none_or(|only| only == **key));
    shapes::Checked {
        networks: looked.map(|(key, _)| names.network(*key)).collect(),
        ways: ways(&names, sights),
        stray: stray(&names, sights),
        faults: site.faults(only, sights).iter().map(|fault| said(&names, fault)).collect(),
    }
}

fn ways(names: &Names<'_>, sights: &Sights) -> Vec<shapes::Way> {
    let way = |from: NodeId, to: String, answers: &Answers| shapes::Way {
        from: names.node(from),
        to,
        round_trip: answers.round_trip,
        sent: answers.sent,
        answered: answers.answered,
        largest: answers.largest,
        needed: answers.needed,
        tunnel: false,
        handshake: None,
    };
    let mut ways = Vec::new();
    for (node, sight) in sights {
        let Some(sight) = sight else { continue };
        for (key, tunnel) in &sight.tunnels {
            let is_its = |end: &End| end.gateway.is_some_and(|gateway| gateway.key == *key);
            let to = names.holder(is_its).unwrap_or_else(|| key.to_string());
            let (tunnelled, handshake) = (true, tunnel.handshake);
            ways.push(shapes::Way {
                tunnel: tunnelled,
                handshake,
                ..way(*node, to, &tunnel.answers)
            });
        }
        let fellows = sight.fellows.iter();
        ways.extend(fellows.map(|(other, answers)| way(*node, names.node(*other), answers)));
    }
    ways
}

fn stray(names: &Names<'_>, sights: &Sights) -> Vec<shapes::Stray> {
    let seen = sights.iter().filter_map(|(node, sight)| Some((*node, sight.as_ref()?)));
    let dropped = seen.flat_map(|(node, sight)| {
        sight.stray.iter().map(move |dropped| shapes::Stray {
            node: names.node(node),
            cause: dropped.cause.clone(),
            packets: dropped.packets,
            bytes: dropped.bytes,
        })
    });
    dropped.collect()
}
