//! `/v1/services`: the deck's `SubmitVEEs`, where its machines would go, and what has become of it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use protocol::ids::{ServiceId, TenantId};
use protocol::machine::State as MachineState;
use protocol::manifest::{self, Manifest};
use protocol::site::command::TenantAsk;
use protocol::site::state::{Mode, Service};
use protocol::site::{Planned, Refusal, Site, Where};
use serde::Deserialize;

use super::error::Error;
use super::gate::{Caller, Server};
use super::input::{self, Asked};
use super::poll::{Wait, until_changed};
use super::shapes::{List, Taken, service as shapes};
use super::{list, machines, propose};

const YAML: [&str; 3] = ["application/yaml", "application/x-yaml", "text/yaml"];

/// How a manifest is submitted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    #[serde(default = "all_or_nothing")]
    mode: Mode,
}

const fn all_or_nothing() -> Mode {
    Mode::AllOrNothing
}

/// `SubmitVEEs`
pub(super) async fn submit(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Asked(submission): Asked<Submission>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Error> {
    let request = input::request_id(&headers)?;
    let manifest = manifest(&server, &headers, body).await?;
    let ask = TenantAsk::Submit { manifest: Box::new(manifest), mode: submission.mode };
    propose::tenant(&server, caller, request, ask, "").await
}

/// `PlanVEEs`
pub(super) async fn plan(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<shapes::Plan>, Error> {
    let manifest = manifest(&server, &headers, body).await?;
    server.desk.current().await?;
    let candidates = server.desk.candidates();
    let plan = server.desk.read(|site| {
        let planned = site.plan(&manifest, &candidates)?;
        Ok(plan_view(site, &manifest, &planned))
    });
    plan.map(Json).map_err(|refusal: Refusal| Error::from(&refusal))
}

/// `ListServices`
pub(super) async fn list(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List<shapes::Summary>>, Error> {
    Ok(Json(
        list::list(&server.desk, |site| {
            let own = site.services().filter(|(_, row)| row.tenant == caller.tenant);
            own.map(|(id, row)| summary(site, *id, row)).collect()
        })
        .await?,
    ))
}

/// `ShowService`
pub(super) async fn show(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<Wait>,
) -> Result<Json<shapes::Service>, Error> {
    let id: ServiceId = input::id(&id)?;
    let desk = &server.desk;
    let look = || desk.read(|site| view(site, id, caller.tenant));
    let (index, seen) = until_changed(desk, wait, look).await?;
    Ok(Json(shapes::Service { index, ..seen }))
}

/// `EndService`
pub(super) async fn end(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<Taken>), Error> {
    let service: ServiceId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    propose::tenant(&server, caller, request, TenantAsk::End { service }, &id).await
}

/// `ScaleService`
pub(super) async fn scale(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((id, component)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Taken>), Error> {
    let (service, component) = (input::id(&id)?, input::id(&component)?);
    let request = input::request_id(&headers)?;
    let shapes::Scale { replicas } = input::json(&headers, body).await?;
    let ask = TenantAsk::Scale { service, component, replicas };
    propose::tenant(&server, caller, request, ask, &id).await
}

/// The manifest in a body, if it has no faults and names images of the catalogue only.
async fn manifest(server: &Server, headers: &HeaderMap, body: Body) -> Result<Manifest, Error> {
    input::media_type(headers, &YAML)?;
    let text = input::bytes(body, manifest::LENGTH_MAX).await?;
    let manifest = manifest::parse(&text).map_err(|faults| Error::from(&faults))?;
    server.desk.current().await?;
    let names: Vec<String> = server
        .desk
        .read(|site| site.images().map(|(_, row)| row.name.as_str().to_owned()).collect());
    let catalogue: Vec<&str> = names.iter().map(String::as_str).collect();
    manifest::check_images(&text, &manifest, &catalogue).map_err(|faults| Error::from(&faults))?;
    Ok(manifest)
}

fn summary(site: &Site, id: ServiceId, row: &Service) -> shapes::Summary {
    let machines = row.machines.iter().filter_map(|machine| site.machine(*machine));
    shapes::Summary {
        id: id.to_string(),
        name: row.manifest.service().as_str().to_owned(),
        stage: (&row.stage).into(),
        mode: row.mode,
        since: row.since.into(),
        created: row.created.into(),
        machine_count: usize::try_from(row.manifest.machines()).unwrap_or(usize::MAX),
        active_count: machines.filter(|it| it.state() == MachineState::Active).count(),
    }
}

/// A tenant's service. Its index is not known here.
pub(super) fn view(site: &Site, id: ServiceId, tenant: TenantId) -> Result<shapes::Service, Error> {
    let row = site
        .service(id)
        .filter(|row| row.tenant == tenant)
        .ok_or_else(|| Error::from(&Refusal::UnknownService { service: id }))?;
    let mut members: Vec<_> = row
        .machines
        .iter()
        .filter_map(|machine| Some((*machine, site.machine(*machine)?)))
        .collect();
    members.sort_by_key(|(_, machine)| {
        machine.membership.as_ref().map(|it| (it.component.clone(), it.replica))
    });
    let machines = members.into_iter().map(|(id, machine)| machines::view(site, id, machine));
    Ok(shapes::Service {
        index: 0,
        summary: summary(site, id, row),
        machines: machines.collect(),
        manifest: row.manifest.to_string(),
    })
}

fn plan_view(site: &Site, manifest: &Manifest, planned: &[Planned]) -> shapes::Plan {
    let service = manifest.service().as_str();
    let machines = planned.iter().map(|it| planned_view(site, service, it)).collect();
    shapes::Plan { service: service.to_owned(), machines }
}

fn planned_view(site: &Site, service: &str, planned: &Planned) -> shapes::Planned {
    let (place, price, why) = match &planned.place {
        Where::Here { host, price } => {
            let why = "this host has room for it, and the least left over";
            (machines::own_place(site, *host), Some(*price), why.to_owned())
        }
        Where::Peer { site: peer, price, among } => {
            let why = match among {
                1 => "no room here; the one peer that advertises room for it".to_owned(),
                more => format!("no room here; the cheapest of {more} peers that advertise room"),
            };
            (Some(machines::peer_place(site, *peer)), Some(*price), why)
        }
        Where::Nowhere { reason } => (None, None, reason.clone()),
    };
    let component = planned.component.as_str();
    shapes::Planned {
        name: format!("{service}/{component}-{}", planned.replica),
        component: component.to_owned(),
        replica: planned.replica,
        place,
        price: price.map(|price| price.hourly.to_string()),
        currency: price.map(|price| price.currency.to_string()),
        why,
    }
}
