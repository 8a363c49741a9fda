//! `/v1/site`: the site and its hosts.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use federation::{RefusalRecord, Refuser};
use protocol::site::Site;
use protocol::site::command::OperatorAsk;
use protocol::site::state::{Role, Stage};
use storage::replica::Progress;

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::propose::{self, Answer};
use super::{hosts, input, nodes, shapes};

/// `ShowSite`
pub(super) async fn show(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<shapes::site::Site>, Error> {
    let desk = &server.desk;
    desk.current().await?;
    let seen = match caller.role {
        Role::Operator => {
            let nodes = nodes::views(desk).await;
            let certificates = nodes::certificates(desk, &nodes).await;
            Some(Seen { refused: desk.bus().await.refusals, nodes, certificates })
        }
        Role::Tenant => None,
    };
    let progress = *desk.watch().borrow();
    let node = node(desk.node().0, progress);
    let shown = desk.read(|site| view(site, node, seen));
    shown.map(Json).ok_or_else(|| {
        Error::new(Code::Busy, "the site has not been founded yet: try again in a moment")
    })
}

/// `SetReserve`
pub(super) async fn reserve(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    let asked: shapes::site::Reserve = input::json(&headers, body).await?;
    let reserve = input::id(&asked.share)?;
    let site = server.desk.site().to_string();
    propose::operator(&server, request, OperatorAsk::SetReserve { reserve }, &site).await
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

/// What an operator sees that is not in the state.
pub(super) struct Seen {
    refused: Vec<RefusalRecord>,
    nodes: Vec<shapes::node::Node>,
    certificates: shapes::node::Certificates,
}

/// The site as an operator sees it, if there is anything seen to tell; otherwise as a tenant does.
pub(super) fn view(
    site: &Site,
    node: shapes::site::Node,
    seen: Option<Seen>,
) -> Option<shapes::site::Site> {
    let profile = site.profile()?;
    let inside = seen.map(|seen| shapes::site::Inside {
        nodes: seen.nodes,
        certificates: seen.certificates,
        hosts: site.hosts().map(|(id, host)| hosts::view(site, *id, host)).collect(),
        services: site.services().filter(|(_, row)| row.stage != Stage::Ended).count(),
        machines: site.machines().filter(|(_, row)| row.ended.is_none()).count(),
        refused: seen.refused.iter().map(refused_view).collect(),
    });
    Some(shapes::site::Site {
        id: profile.site.to_string(),
        name: profile.name.clone(),
        incarnation: profile.incarnation,
        founded: profile.founded.into(),
        tariff: profile.tariff.into(),
        reserve: profile.reserve.to_string(),
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
