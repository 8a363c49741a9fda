//! `/v1/peers`: whom the site trades with, and what each of them is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use data_encoding::HEXLOWER;
use federation::{NodeState, PeerState};
use protocol::ids::SiteId;
use protocol::market::Advert;
use protocol::names::{Label, Malformed};
use protocol::peering::Setting;
use protocol::peering::monitor::MachineView;
use protocol::site::command::{OperatorAsk, PeerEntry};
use protocol::site::state::{Agreement, Peer, Refusals, Tallies};
use protocol::site::{Refusal, Site};
use protocol::time::Timestamp;
use protocol::units::Micros;
use serde::Deserialize;

use super::error::{Code, Error};
use super::gate::Server;
use super::input::{self, Asked};
use super::propose::{self, Answer};
use super::shapes::{List, peer as shapes};
use crate::desk::Bus;
use crate::observe::chain;

/// `ListPeers`
pub(super) async fn list(State(server): State<Server>) -> Result<Json<List<shapes::Peer>>, Error> {
    let desk = &server.desk;
    desk.current().await?;
    let index = desk.watch().borrow().applied;
    let bus = desk.bus().await;
    Ok(Json(List { index, items: desk.read(|site| peer_views(site, &bus)) }))
}

/// `AddPeer`
pub(super) async fn add(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    let new: shapes::New = input::json(&headers, body).await?;
    for address in &new.addresses {
        federation::check_address(address)
            .map_err(|fault| Error::new(Code::Malformed, chain(&fault)))?;
    }
    let name: Label = new
        .name
        .parse()
        .map_err(|error: Malformed| Error::new(Code::Malformed, error.to_string()))?;
    let entry = PeerEntry {
        site: input::id(&new.site)?,
        name,
        addresses: new.addresses,
        settings: settings(&new.policy)?,
    };
    propose::operator(&server, request, OperatorAsk::AddPeer(entry), &new.site).await
}

/// `SetPolicy`
pub(super) async fn set_policy(
    State(server): State<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let site: SiteId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    let asked: BTreeMap<String, String> = input::json(&headers, body).await?;
    let settings = settings(&asked)?;
    propose::operator(&server, request, OperatorAsk::SetPolicy { site, settings }, &id).await
}

/// `UpdatePeer`
pub(super) async fn update(
    State(server): State<Server>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let peer: SiteId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    let ask = match verb.as_str() {
        "drain" => OperatorAsk::DrainPeer { peer },
        "enable" => OperatorAsk::EnablePeer { peer },
        _ => {
            let message = format!("'{verb}' is nothing that can be done with a peer");
            return Err(Error::new(Code::NoSuchOperation, message).hint("drain or enable it"));
        }
    };
    propose::operator(&server, request, ask, &id).await
}

/// How a peer is removed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    /// Whether what stands in the way is placed elsewhere or ended first.
    #[serde(default)]
    drain: bool,
}

/// `RemovePeer`
pub(super) async fn remove(
    State(server): State<Server>,
    Path(id): Path<String>,
    Asked(removal): Asked<Removal>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let site: SiteId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    let ask = OperatorAsk::RemovePeer { site, drain: removal.drain };
    propose::operator(&server, request, ask, &id).await
}

/// `MonitorPeer`
pub(super) async fn monitor(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Result<Json<shapes::Monitored>, Error> {
    let peer: SiteId = input::id(&id)?;
    let desk = &server.desk;
    if desk.read(|site| site.is_stranger(peer)) {
        return Err((&Refusal::UnknownPeer { site: peer }).into());
    }
    let view = desk.monitor(peer).await?;
    let name = |machine| desk.read(|site| site.machine(machine).map(|row| row.name.clone()));
    let machine = |it: &MachineView| shapes::MonitoredMachine {
        id: it.machine.to_string(),
        name: name(it.machine),
        state: it.state,
        since: it.since.into(),
        epoch: it.epoch.to_string(),
        size: it.size.into(),
    };
    Ok(Json(shapes::Monitored {
        free: view.free.into(),
        largest: view.largest.into(),
        tariff: view.tariff.into(),
        factor: view.factor.to_string(),
        machines: view.machines.iter().map(machine).collect(),
    }))
}

fn settings(asked: &BTreeMap<String, String>) -> Result<Vec<Setting>, Error> {
    let read = |(name, value): (&String, &String)| Setting::read(name, value);
    let settings: Result<Vec<Setting>, _> = asked.iter().map(read).collect();
    settings.map_err(|error| Error::new(Code::Malformed, error.to_string()))
}

/// Every site that is a peer, is connected, or has been heard of. One that was removed is shown
/// for as long as it is owed the last word.
pub(super) fn peer_views(site: &Site, bus: &Bus) -> Vec<shapes::Peer> {
    let adverts: BTreeMap<SiteId, &(SiteId, Advert, Timestamp)> =
        bus.adverts.iter().map(|heard| (heard.0, heard)).collect();
    let states: BTreeMap<SiteId, &PeerState> =
        bus.peers.iter().filter_map(|peer| peer.site.map(|id| (id, peer))).collect();
    // The other nodes of this site are on the bus as well.
    let own = site.profile().map(|profile| profile.site);
    let known: BTreeSet<SiteId> = site
        .peers()
        .map(|(id, _)| *id)
        .filter(|id| !site.is_stranger(*id))
        .chain(states.keys().copied())
        .chain(adverts.keys().copied())
        .filter(|id| Some(*id) != own)
        .collect();
    let named = known.into_iter().map(|id| {
        let mut view = states.get(&id).map_or_else(Default::default, |state| state_view(state));
        view.id = Some(id.to_string());
        if let Some(row) = site.peer(id).filter(|_| !site.is_stranger(id)) {
            add_row(&mut view, site, id, row);
        }
        view.advert = adverts.get(&id).map(|(_, advert, heard)| shapes::Advert {
            free: advert.free.into(),
            largest: advert.largest.into(),
            tariff: advert.tariff.into(),
            heard: (*heard).into(),
        });
        view.contradictions = contradictions(site, bus, id);
        view
    });
    let nameless = bus.peers.iter().filter(|peer| peer.site.is_none()).map(state_view);
    named.chain(nameless).collect()
}

/// Where a site has said two things under one number.
fn contradictions(site: &Site, bus: &Bus, id: SiteId) -> Vec<shapes::Contradiction> {
    let text = |digest: [u8; 32]| blake3::Hash::from_bytes(digest).to_string();
    let messages = site.contradiction_of(id).map(|proof| shapes::Contradiction {
        of: "messages".to_owned(),
        number: Some(proof.second.statement().sequence),
        at: Some(proof.at.into()),
        digests: [&proof.first, &proof.second].map(|word| text(word.evidence().digest())),
    });
    let adverts = bus.contradictions.get(&id).map(|digests| shapes::Contradiction {
        of: "adverts".to_owned(),
        number: None,
        at: None,
        digests: digests.map(text),
    });
    messages.into_iter().chain(adverts).collect()
}

/// What the site itself knows of a peer.
fn add_row(view: &mut shapes::Peer, site: &Site, id: SiteId, row: &Peer) {
    let account = site.account(id);
    view.name = Some(row.name.to_string());
    view.standing = Some(row.standing);
    let settings = row.policy.settings().map(Setting::written);
    view.policy = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    view.account =
        shapes::Account { machines: account.machines, hourly: account.hourly.to_string() };
    view.machines_there = site.placed_at(id);
    let is_sold = |row: &Agreement| row.terms.home == id;
    view.sold = dealings(site.standing_with(id).map(|(_, row)| row).filter(|row| is_sold(row)));
    view.bought = dealings(site.standing_with(id).map(|(_, row)| row).filter(|row| !is_sold(row)));
    view.refusals = refusals(&row.refusals);
    view.session_ended = row.ended.map(Into::into);
    view.owed = site.owed(id);
    if view.addresses.is_empty() {
        view.addresses.clone_from(&row.addresses);
    }
}

fn dealings<'a>(agreements: impl Iterator<Item = &'a Agreement>) -> shapes::Dealings {
    let (mut sum, mut view) = (Micros(0), shapes::Dealings::default());
    for row in agreements {
        view.agreements += 1;
        view.ending += usize::from(row.termination.is_some());
        view.next_end = view.next_end.into_iter().chain([row.end().into()]).min();
        sum = Micros(sum.0.saturating_add(row.terms.price.hourly.0));
    }
    view.hourly = sum.to_string();
    view
}

fn refusals(rows: &Refusals) -> Vec<shapes::Refused> {
    let of = |by_us, tallies: &Tallies| -> Vec<shapes::Refused> {
        let refused = tallies.iter().map(|(reason, tally)| shapes::Refused {
            by_us,
            reason: reason.to_string(),
            count: tally.count,
            last: tally.last.into(),
        });
        refused.collect()
    };
    [of(true, &rows.given), of(false, &rows.met)].concat()
}

fn state_view(state: &PeerState) -> shapes::Peer {
    let counters = state.counters;
    shapes::Peer {
        id: state.site.map(|id| id.to_string()),
        addresses: state.addresses.clone(),
        connected_since: state.connected_since.map(Into::into),
        round_trip_us: state.rtt.map(micros),
        incarnation: state.incarnation,
        last_failure: state.last_failure.clone(),
        is_shunned: state.is_shunned,
        nodes: state.nodes.iter().map(node_view).collect(),
        counters: shapes::Counters {
            greeted: counters.greeted,
            refused: counters.refused,
            oversize: counters.oversize,
            malformed: counters.malformed,
            foul: counters.foul,
            asks_in: counters.asks_in,
            asks_out: counters.asks_out,
            busy: counters.busy,
            adverts: counters.adverts,
            adverts_rejected: counters.adverts_rejected,
            adverts_ignored: counters.adverts_ignored,
            limited: counters.limited,
            searches: counters.searches,
            misled: counters.misled,
            streams_in: counters.streams_in,
        },
        ..shapes::Peer::default()
    }
}

fn node_view(node: &NodeState) -> shapes::Node {
    shapes::Node {
        key: HEXLOWER.encode(node.node.as_bytes()),
        addresses: node.addresses.clone(),
        connected_since: node.connected_since.into(),
        round_trip_us: node.rtt.map(micros),
        score: node.score,
        is_graylisted: node.is_graylisted,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
