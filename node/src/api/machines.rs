//! `/v1/machines`: the deck's `InitializeVEE` and `VEEUpdate`, and what a machine is doing.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use data_encoding::BASE64;
use protocol::agreement::Terms;
use protocol::ids::{HostId, MachineId, MachineName, SiteId, TenantId};
use protocol::kpi;
use protocol::machine::Verb;
use protocol::manifest::SiteReference;
use protocol::site::command::TenantAsk;
use protocol::site::state::{Machine, Place};
use protocol::site::{Refusal, Site};
use protocol::units::Price;
use protocol::user_data::UserData;

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::input::{self, Asked};
use super::list;
use super::poll::{Wait, until_changed};
use super::propose::{self, Answer};
use super::shapes::{List, machine as shapes};
use crate::observe::now;

/// `InitializeVEE`
pub(super) async fn initialize(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    let new: shapes::New = input::json(&headers, body).await?;
    let malformed = |error: &dyn std::fmt::Display| Error::new(Code::Malformed, error.to_string());
    let sites: BTreeSet<SiteReference> = new
        .sites
        .into_iter()
        .map(|site| site.parse().map_err(|error| malformed(&error)))
        .collect::<Result<_, _>>()?;
    let ask = TenantAsk::Define {
        name: new.name.parse().map_err(|error| malformed(&error))?,
        image: new.image.parse().map_err(|error| malformed(&error))?,
        size: new.size.into(),
        sites: (!sites.is_empty()).then_some(sites),
        on_partition: new.on_partition,
        class: new.sla,
        user_data: new.user_data.map(|text| user_data(&text)).transpose()?,
    };
    propose::tenant(&server, caller, request, ask, "").await
}

/// User data as they come: in base64, since they are any bytes.
fn user_data(text: &str) -> Result<UserData, Error> {
    let malformed =
        |error: &dyn std::fmt::Display| Error::new(Code::Malformed, format!("user_data: {error}"));
    let bytes = BASE64.decode(text.as_bytes()).map_err(|error| malformed(&error))?;
    UserData::try_from(bytes).map_err(|error| malformed(&error))
}

/// `ListVEEs`
pub(super) async fn list(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List<shapes::Machine>>, Error> {
    let desk = &server.desk;
    let machines = list::list(desk, |site| {
        let own = site.machines().filter(|(_, row)| row.tenant == caller.tenant);
        own.map(|(id, row)| view(site, *id, row)).collect()
    })
    .await?;
    Ok(Json(machines))
}

/// `ShowVEE`
pub(super) async fn show(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<Wait>,
) -> Result<Json<shapes::Seen>, Error> {
    let id: MachineId = input::id(&id)?;
    let desk = &server.desk;
    let look = || desk.read(|site| own(site, id, caller.tenant).map(|row| view(site, id, row)));
    let (index, machine) = until_changed(desk, wait, look).await?;
    Ok(Json(shapes::Seen { index, machine }))
}

/// `MonitoringInformation`
pub(super) async fn observe(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<shapes::Observed>, Error> {
    let id: MachineId = input::id(&id)?;
    let desk = &server.desk;
    desk.current().await?;
    desk.read(|site| own(site, id, caller.tenant).map(drop))?;
    let latest = desk.latest_kpis(id).await?;
    let now = now();
    let kpi = |(name, observed): (kpi::Name, kpi::Observed)| shapes::Kpi {
        name: name.to_string(),
        value: observed.value.to_string(),
        at: (now - observed.age).into(),
    };
    Ok(Json(shapes::Observed { kpis: latest.into_iter().map(kpi).collect() }))
}

/// `VEEUpdate`
pub(super) async fn update(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let machine: MachineId = input::id(&id)?;
    let known = Verb::ALL.into_iter().find(|known| known.to_string() == verb);
    let verb = known.ok_or_else(|| {
        let verbs = Verb::ALL.map(|verb| verb.to_string()).join(", ");
        Error::new(Code::NoSuchOperation, format!("'{verb}' is no verb: there are {verbs}"))
    })?;
    let request = input::request_id(&headers)?;
    propose::tenant(&server, caller, request, TenantAsk::Update { machine, verb }, &id).await
}

/// A machine, if it is the tenant's.
pub(super) fn own(site: &Site, id: MachineId, tenant: TenantId) -> Result<&Machine, Error> {
    let row = site.machine(id).filter(|row| row.tenant == tenant);
    row.ok_or_else(|| (&Refusal::UnknownMachine { machine: id }).into())
}

/// A machine as it is shown.
pub(super) fn view(site: &Site, id: MachineId, row: &Machine) -> shapes::Machine {
    let membership = row.membership.as_ref();
    let service = membership.and_then(|it| site.service(it.service));
    let price = price(site, row);
    let image = site.images().find(|(image, _)| **image == row.image);
    shapes::Machine {
        id: id.to_string(),
        name: row.name.clone(),
        service: service.map(|it| it.manifest.service().as_str().to_owned()),
        service_id: membership.map(|it| it.service.to_string()),
        component: membership.map(|it| it.component.as_str().to_owned()),
        replica: membership.map(|it| it.replica),
        state: row.state(),
        goal: row.goal,
        reason: reason(site, row),
        since: row.sight.since.into(),
        place: place(site, row),
        price: price.map(|price| price.hourly.to_string()),
        currency: price.map(|price| price.currency.to_string()),
        image: image.map_or_else(|| row.image.to_string(), |(_, it)| it.name.as_str().to_owned()),
        image_id: row.image.to_string(),
        size: row.hull.size().into(),
        on_partition: row.on_partition,
        sla: row.class,
        epoch: row.sight.epoch.to_string(),
        address: address(site, row),
        user_data_bytes: user_data_bytes(site, row),
        created: row.created.into(),
        ended: row.ended.map(Into::into),
    }
}

fn user_data_bytes(site: &Site, row: &Machine) -> Option<u64> {
    let name = MachineName { home: row.hull.home, machine: row.hull.machine };
    u64::try_from(site.user_data(name)?.bytes().len()).ok()
}

/// The IPv4 address of a machine's first card.
fn address(site: &Site, row: &Machine) -> Option<String> {
    let attached = row.addresses.first()?;
    let address = site.network(attached.network)?.prefix.address(attached.offset)?;
    Some(address.to_string())
}

/// What is wrong with a machine, or what the search for its place has met so far.
fn reason(site: &Site, row: &Machine) -> String {
    match &row.place {
        Place::Sought { refused, .. } if row.sight.reason.is_empty() => refused
            .iter()
            .map(|(peer, why)| format!("{}: {why}", peer_place(site, *peer).site))
            .collect::<Vec<_>>()
            .join("; "),
        Place::Sought { .. }
        | Place::Postponed
        | Place::Nowhere
        | Place::Held(_)
        | Place::Accepted(_)
        | Place::Here(_)
        | Place::There { .. } => row.sight.reason.clone(),
    }
}

fn place(site: &Site, row: &Machine) -> Option<shapes::Place> {
    match &row.place {
        Place::Nowhere | Place::Sought { .. } | Place::Postponed => None,
        Place::Held(offer) | Place::Accepted(offer) => Some(peer_place(site, offer.site)),
        Place::Here(host) => own_place(site, *host),
        Place::There { site: peer, .. } => Some(peer_place(site, *peer)),
    }
}

fn price(site: &Site, row: &Machine) -> Option<Price> {
    let agreed = |terms: &Terms| terms.price;
    match &row.place {
        Place::Nowhere | Place::Sought { .. } | Place::Postponed => None,
        Place::Held(offer) | Place::Accepted(offer) => Some(agreed(&offer.terms)),
        Place::Here(_) => {
            let tariff = site.profile()?.tariff;
            let (_, hourly) = tariff.hourly_in(row.hull.size(), row.class)?;
            Some(Price { currency: tariff.currency, hourly })
        }
        Place::There { agreement, .. } => site.agreement(*agreement).map(|it| agreed(&it.terms)),
    }
}

/// A place on a host of this site.
pub(super) fn own_place(site: &Site, host: HostId) -> Option<shapes::Place> {
    let profile = site.profile()?;
    let name = site.hosts().find(|(id, _)| **id == host).map(|(_, row)| row.name.clone());
    let site_id = profile.site.to_string();
    Some(shapes::Place { site: profile.name.clone(), site_id, host: name })
}

/// A place at a peer.
pub(super) fn peer_place(site: &Site, peer: SiteId) -> shapes::Place {
    let name = site.peer(peer).map_or_else(|| peer.short(), |row| row.name.to_string());
    shapes::Place { site: name, site_id: peer.to_string(), host: None }
}
