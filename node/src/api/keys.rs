//! `/v1/keys`: who may use the interface.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use protocol::ids::{KeyId, TenantId};
use protocol::names::{Label, Malformed};
use protocol::site::Site;
use protocol::site::command::OperatorAsk;

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::propose::{self, Answer};
use super::secret::Secret;
use super::shapes::List;
use super::shapes::key::{Added, Key, New};
use super::{input, list};

/// `AddKey`
///
/// The secret is drawn here and told once. A repetition of the request is answered by the site as
/// the first was, with the key of the first secret, which is no longer known.
pub(super) async fn add(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Added>), Error> {
    let request = input::request_id(&headers)?;
    let new: New = input::json(&headers, body).await?;
    let label = |text: &str| -> Result<Label, Error> {
        text.parse().map_err(|error: Malformed| Error::new(Code::Malformed, error.to_string()))
    };
    let name = label(&new.name)?;
    let tenant = match &new.tenant {
        Some(tenant) => label(tenant)?,
        None => label(&server.desk.read(|site| tenant_name(site, caller.tenant)))?,
    };
    let secret = Secret::draw();
    let digest = secret.digest();
    let ask = OperatorAsk::AddKey { name, tenant, role: new.role, digest };
    let (_, Json(taken)) = propose::operator(&server, request, ask, "").await?;
    let made = server.desk.read(|site| site.key_of(&digest).map(|(id, _)| id.to_string()));
    if made.as_ref() != Some(&taken.id) {
        let message = format!("this request has made key {} before", taken.id);
        return Err(Error::new(Code::Repeated, message)
            .hint("its secret was in the first answer; if that is lost, remove the key"));
    }
    Ok((StatusCode::CREATED, Json(Added { id: taken.id, secret: secret.expose() })))
}

/// `ListKeys`
pub(super) async fn list(State(server): State<Server>) -> Result<Json<List<Key>>, Error> {
    Ok(Json(
        list::list(&server.desk, |site| {
            let rows = site.keys().map(|(id, row)| Key {
                id: id.to_string(),
                name: row.name.to_string(),
                tenant: tenant_name(site, row.tenant),
                role: row.role,
                created: row.created.into(),
            });
            rows.collect()
        })
        .await?,
    ))
}

/// `RemoveKey`
pub(super) async fn remove(
    State(server): State<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let key: KeyId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    propose::operator(&server, request, OperatorAsk::RemoveKey { key }, &id).await
}

fn tenant_name(site: &Site, tenant: TenantId) -> String {
    let row = site.tenants().find(|(id, _)| **id == tenant);
    row.map_or_else(|| tenant.to_string(), |(_, row)| row.name.to_string())
}
