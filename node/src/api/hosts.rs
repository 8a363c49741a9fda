//! `/v1/hosts`: what the site's machines run on.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use protocol::ids::HostId;
use protocol::site::Site;
use protocol::site::command::OperatorAsk;
use protocol::site::state::Host;

use super::error::{Code, Error};
use super::gate::Server;
use super::propose::{self, Answer};
use super::shapes::List;
use super::shapes::host::{self as shapes, Standing};
use super::{input, list};

/// `ListHosts`
pub(super) async fn list(State(server): State<Server>) -> Result<Json<List<shapes::Host>>, Error> {
    Ok(Json(
        list::list(&server.desk, |site| {
            site.hosts().map(|(id, row)| view(site, *id, row)).collect()
        })
        .await?,
    ))
}

/// `UpdateHost`
pub(super) async fn update(
    State(server): State<Server>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let host: HostId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    let ask = match verb.as_str() {
        "drain" => OperatorAsk::DrainHost { host },
        "enable" => OperatorAsk::EnableHost { host },
        _ => {
            let message = format!("'{verb}' is nothing that can be done with a host");
            return Err(Error::new(Code::NoSuchOperation, message).hint("drain or enable it"));
        }
    };
    propose::operator(&server, request, ask, &id).await
}

/// `ForgetHost`
pub(super) async fn forget(
    State(server): State<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let host: HostId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    propose::operator(&server, request, OperatorAsk::ForgetHost { host }, &id).await
}

/// A host as an operator sees it.
pub(super) fn view(site: &Site, id: HostId, row: &Host) -> shapes::Host {
    let on_it = || site.guests_at(id);
    let foreign = on_it().filter(|(_, guest)| guest.agreement.is_some()).count();
    let standing = if row.ended.is_some() {
        Standing::Lost
    } else if row.drained {
        Standing::Drained
    } else if row.trouble.is_empty() {
        Standing::Well
    } else {
        Standing::Trouble
    };
    shapes::Host {
        id: id.to_string(),
        name: row.name.clone(),
        node: row.node.0,
        standing,
        hypervisor: row.hypervisor.clone(),
        capacity: row.capacity.into(),
        promised: site.promised(id).into(),
        own_guests: on_it().count() - foreign,
        foreign_guests: foreign,
        remains: site.remains_on(id),
        kept: site.kept_on(id),
        trouble: row.trouble.clone(),
        since: row.ended.unwrap_or(row.since).into(),
    }
}
