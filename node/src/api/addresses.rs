//! `/v1/addresses` and `/v1/pools`: public addresses, whose they are, and what they reach.

use std::net::Ipv4Addr;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use protocol::networks::public::Pool;
use protocol::site::Site;
use protocol::site::command::{OperatorAsk, TenantAsk};
use protocol::site::state::{Holder, Public};

use super::error::Error;
use super::gate::{Caller, Server};
use super::propose::{self, Answer};
use super::shapes::{List, address as shapes};
use super::{input, list};

/// `ListAddresses`
pub(super) async fn list(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List<shapes::Address>>, Error> {
    Ok(Json(
        list::list(&server.desk, |site| {
            let own = site.publics().filter(|(_, row)| row.tenant == caller.tenant);
            own.map(|(address, row)| view(site, address, row)).collect()
        })
        .await?,
    ))
}

/// `AllocateAddress`
pub(super) async fn allocate(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    propose::tenant(&server, caller, request, TenantAsk::AllocateAddress, "").await
}

/// `AssociateAddress`
pub(super) async fn associate(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(said): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let address: Ipv4Addr = input::id(&said)?;
    let request = input::request_id(&headers)?;
    let shapes::Association { machine, network } = input::json(&headers, body).await?;
    let machine = input::id(&machine)?;
    let network = network.map(|name| input::id(&name)).transpose()?;
    let ask = TenantAsk::AssociateAddress { address, machine, network };
    propose::tenant(&server, caller, request, ask, &said).await
}

/// `DisassociateAddress`
pub(super) async fn disassociate(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(said): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let address: Ipv4Addr = input::id(&said)?;
    let request = input::request_id(&headers)?;
    let ask = TenantAsk::DisassociateAddress { address };
    propose::tenant(&server, caller, request, ask, &said).await
}

/// `ReleaseAddress`
pub(super) async fn release(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(said): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let address: Ipv4Addr = input::id(&said)?;
    let request = input::request_id(&headers)?;
    propose::tenant(&server, caller, request, TenantAsk::ReleaseAddress { address }, &said).await
}

/// `ListAddressPools`
pub(super) async fn pools(State(server): State<Server>) -> Result<Json<List<shapes::Pool>>, Error> {
    let pool = |site: &Site, pool: Pool| shapes::Pool {
        prefix: pool.to_string(),
        allocated: site.publics().filter(|(address, _)| pool.contains(*address)).count(),
        size: pool.addresses().count(),
    };
    Ok(Json(
        list::list(&server.desk, |site| site.pools().map(|it| pool(site, it)).collect()).await?,
    ))
}

/// `AddAddressPool`
pub(super) async fn add_pool(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    let shapes::NewPool { prefix } = input::json(&headers, body).await?;
    let ask = OperatorAsk::AddPool { pool: pool(&prefix)? };
    propose::operator(&server, request, ask, &prefix).await
}

/// `RemoveAddressPool`
pub(super) async fn remove_pool(
    State(server): State<Server>,
    Path((address, length)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let prefix = format!("{address}/{length}");
    let request = input::request_id(&headers)?;
    let ask = OperatorAsk::RemovePool { pool: pool(&prefix)? };
    propose::operator(&server, request, ask, &prefix).await
}

fn pool(text: &str) -> Result<Pool, Error> {
    text.parse().map_err(|error: protocol::networks::BadPrefix| {
        Error::new(super::error::Code::Malformed, error.to_string()).hint(error.hint())
    })
}

fn view(site: &Site, address: Ipv4Addr, row: &Public) -> shapes::Address {
    let reached = |Holder { machine, card }| {
        let machine_row = site.machine(machine)?;
        let at = machine_row.addresses.get(usize::from(card))?;
        let network = site.network(at.network)?;
        Some(shapes::Reached {
            id: machine.to_string(),
            name: machine_row.name.clone(),
            network: network.name.to_string(),
            address: network.addresses(at.offset).0.to_string(),
        })
    };
    shapes::Address {
        address: address.to_string(),
        machine: row.holder.and_then(reached),
        goes_with_machine: row.goes_with_machine,
    }
}
