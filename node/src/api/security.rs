//! `/v1/services/{id}/security`: who may begin what with the machines of a service.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use protocol::ids::ServiceId;
use protocol::security::{BadRule, Direction, GroupName, Rule, Rules};
use protocol::site::Refusal;
use protocol::site::command::TenantAsk;
use protocol::site::state::Service;

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::shapes::{List, Taken, security as shapes};
use super::{input, propose};

/// `ListSecurityGroups`
pub(super) async fn list(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<List<shapes::Group>>, Error> {
    let service: ServiceId = input::id(&id)?;
    server.desk.current().await?;
    let index = server.desk.watch().borrow().applied;
    let items = server.desk.read(|site| {
        let row = site.service(service).filter(|row| row.tenant == caller.tenant);
        row.map(groups).ok_or_else(|| Error::from(&Refusal::UnknownService { service }))
    })?;
    Ok(Json(List { index, items }))
}

/// `SetSecurityGroup`
pub(super) async fn set(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((id, group)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Error> {
    let (service, group) = (input::id(&id)?, input::id(&group)?);
    let request = input::request_id(&headers)?;
    let rules = rules(&input::json(&headers, body).await?)?;
    let ask = TenantAsk::Secure { service, group, rules: Some(rules) };
    propose::tenant(&server, caller, request, ask, &id).await
}

/// `RemoveSecurityGroup`
pub(super) async fn remove(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((id, group)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Taken>), Error> {
    let (service, group) = (input::id(&id)?, input::id(&group)?);
    let request = input::request_id(&headers)?;
    let ask = TenantAsk::Secure { service, group, rules: None };
    propose::tenant(&server, caller, request, ask, &id).await
}

/// `AssignSecurityGroups`
pub(super) async fn assign(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((id, component)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Error> {
    let (service, component) = (input::id(&id)?, input::id(&component)?);
    let request = input::request_id(&headers)?;
    let shapes::Memberships { groups } = input::json(&headers, body).await?;
    let groups = groups.iter().map(|name| input::id(name)).collect::<Result<_, Error>>()?;
    let ask = TenantAsk::Regroup { service, component, groups };
    propose::tenant(&server, caller, request, ask, &id).await
}

fn groups(row: &Service) -> Vec<shapes::Group> {
    let written = |rules: &[Rule], direction| {
        rules.iter().map(|rule| rule.written(direction)).collect::<Vec<String>>()
    };
    let components = row.manifest.components();
    let members = |group: &GroupName| {
        let members = components.iter().filter(|(_, component)| component.security.contains(group));
        members.map(|(name, _)| name.to_string()).collect()
    };
    let group = |(name, rules): (&GroupName, &Rules)| shapes::Group {
        name: name.to_string(),
        ingress: written(rules.ingress(), Direction::Ingress),
        egress: written(rules.egress(), Direction::Egress),
        components: members(name),
    };
    row.manifest.security().iter().map(group).collect()
}

/// The rules of a body; each that is none is told with what to write instead.
fn rules(said: &shapes::Rules) -> Result<Rules, Error> {
    let read = |texts: &[String], direction| {
        let rules = texts.iter().map(|text| Rule::parse(text, direction));
        rules
            .collect::<Result<Vec<Rule>, BadRule>>()
            .map_err(|error| Error::new(Code::NotSecured, error.to_string()).hint(error.hint()))
    };
    let ingress = read(&said.ingress, Direction::Ingress)?;
    let egress = match &said.egress {
        Some(texts) => read(texts, Direction::Egress)?,
        None => Rules::anything(),
    };
    Rules::new(ingress, egress)
        .map_err(|error| Error::new(Code::NotSecured, error.to_string()).hint(error.hint()))
}
