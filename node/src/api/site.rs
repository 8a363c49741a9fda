//! `/v1/site` and `/v1/peers`: the site, its hosts, and whom it trades with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use federation::{PeerState, RefusalRecord, Refuser};
use protocol::ids::SiteId;
use protocol::market::Advert;
use protocol::site::Site;
use protocol::site::state::{Role, Stage};
use protocol::time::Timestamp;
use storage::replica::Progress;

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::hosts;
use super::shapes::{self, List};
use crate::desk::Bus;

/// `ShowSite`
pub(super) async fn show(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<shapes::site::Site>, Error> {
    let desk = &server.desk;
    desk.current().await?;
    let refused = match caller.role {
        Role::Operator => Some(desk.bus().await.refusals),
        Role::Tenant => None,
    };
    let progress = *desk.watch().borrow();
    let node = node(desk.node().0, progress);
    let shown = desk.read(|site| view(site, node, refused.as_deref()));
    shown.map(Json).ok_or_else(|| {
        Error::new(Code::Busy, "the site has not been founded yet: try again in a moment")
    })
}

/// `ListPeers`
pub(super) async fn peers(
    State(server): State<Server>,
) -> Result<Json<List<shapes::site::Peer>>, Error> {
    let desk = &server.desk;
    desk.current().await?;
    let index = desk.watch().borrow().applied;
    let bus = desk.bus().await;
    Ok(Json(List { index, items: desk.read(|site| peer_views(site, &bus)) }))
}

const fn node(id: u64, progress: Progress) -> shapes::site::Node {
    let leader = match progress.leader {
        Some(leader) => Some(leader.0),
        None => None,
    };
    shapes::site::Node {
        id,
        is_leader: progress.is_leader,
        leader,
        term: progress.term,
        index: progress.applied,
    }
}

/// The site as an operator sees it, if there are refusals to tell; otherwise as a tenant does.
pub(super) fn view(
    site: &Site,
    node: shapes::site::Node,
    refused: Option<&[RefusalRecord]>,
) -> Option<shapes::site::Site> {
    let profile = site.profile()?;
    let inside = refused.map(|refused| shapes::site::Inside {
        hosts: site.hosts().map(|(id, host)| hosts::view(site, *id, host)).collect(),
        services: site.services().filter(|(_, row)| row.stage != Stage::Ended).count(),
        machines: site.machines().filter(|(_, row)| row.ended.is_none()).count(),
        refused: refused.iter().map(refused_view).collect(),
    });
    Some(shapes::site::Site {
        id: profile.site.to_string(),
        name: profile.name.clone(),
        incarnation: profile.incarnation,
        founded: profile.founded.into(),
        tariff: profile.tariff.into(),
        node,
        inside,
    })
}

fn refused_view(record: &RefusalRecord) -> shapes::site::Refused {
    shapes::site::Refused {
        at: record.at.into(),
        address: record.address.clone(),
        claimed: record.claimed.map(|site| site.to_string()),
        by_us: record.by == Refuser::Here,
        reason: record.reason.clone(),
    }
}

/// Every site that the configuration names, that is connected, or that has been heard of.
pub(super) fn peer_views(site: &Site, bus: &Bus) -> Vec<shapes::site::Peer> {
    let adverts: BTreeMap<SiteId, &(SiteId, Advert, Timestamp)> =
        bus.adverts.iter().map(|heard| (heard.0, heard)).collect();
    let states: BTreeMap<SiteId, &PeerState> =
        bus.peers.iter().filter_map(|peer| peer.site.map(|id| (id, peer))).collect();
    let known: BTreeSet<SiteId> = site
        .peers()
        .map(|(id, _)| *id)
        .chain(states.keys().copied())
        .chain(adverts.keys().copied())
        .collect();
    let named = known.into_iter().map(|id| {
        let mut view = states.get(&id).map_or_else(Default::default, |state| state_view(state));
        view.id = Some(id.to_string());
        if let Some(row) = site.peer(id) {
            view.name = Some(row.name.clone());
            view.sells_to = row.sells_to;
            view.buys_from = row.buys_from;
            view.wanted = row.wanted;
            view.owed = site.owed(id);
        }
        view.advert = adverts.get(&id).map(|(_, advert, heard)| shapes::site::Advert {
            free: advert.free.into(),
            largest: advert.largest.into(),
            tariff: advert.tariff.into(),
            heard: (*heard).into(),
        });
        view
    });
    let nameless = bus.peers.iter().filter(|peer| peer.site.is_none()).map(state_view);
    named.chain(nameless).collect()
}

fn state_view(state: &PeerState) -> shapes::site::Peer {
    let counters = state.counters;
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    shapes::site::Peer {
        id: state.site.map(|id| id.to_string()),
        addresses: state.addresses.clone(),
        connected_since: state.connected_since.map(Into::into),
        round_trip_us: state.rtt.map(micros),
        incarnation: state.incarnation,
        last_failure: state.last_failure.clone(),
        counters: shapes::site::Counters {
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
            streams_in: counters.streams_in,
        },
        ..shapes::site::Peer::default()
    }
}
