//! The REST interface: JSON over HTTP/1.1 over TLS, with the deck's operations by their names.
//!
//! ```text
//! connection --Door--> TLS --answer--> a number, a log line --gate--> key, role, turn --> handler
//! ```
//!
//! A handler turns the request into one command or one look at the state, and what comes of it
//! into a shape ([`shapes`]). It decides nothing: what may be done is decided by
//! [`Site::apply`](protocol::site::Site), and a refusal is told with a code of its own ([`error`]).
//!
//! **Invariant.** Before anything is read from or done to the site, the caller's key, or a node's
//! invitation, has been found and allows it: every route is made from the table of [`operations`],
//! with the gate in front of it.

pub mod error;
pub mod operations;
pub mod secret;
pub mod shapes;
pub mod tls;

mod accept;
mod addresses;
mod agreements;
mod answer;
mod blobs;
mod console;
mod gate;
mod hosts;
mod images;
mod input;
mod keys;
mod list;
mod machines;
mod networks;
mod nodes;
mod peers;
mod poll;
mod propose;
mod security;
mod services;
mod site;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::desk::Desk;
use crate::networks::Networks;
use accept::Door;
use gate::{Place, Server};
use operations::{Id, OPERATIONS, Operation};

pub use answer::REQUEST_ID;
pub use input::{IDEMPOTENCY_KEY, JSON_MAX};
pub use tls::Tls;

/// How long the head of a request may take, counted from the end of the last one: a silent
/// connection is closed then.
const HEAD_TIME: Duration = Duration::from_secs(60);

/// The most header lines of a request.
const HEADERS_MAX: usize = 64;

/// The most bytes that a connection buffers of what it reads: the head has to fit.
const BUFFER_MAX: usize = 32 << 10;

/// How long requests at hand are given when the interface is closed. Consoles and long polls are
/// cut off then.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// The interface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: choose another [api] listen, or stop what has it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// The interface, while it is served.
#[derive(Debug)]
pub struct Running {
    url: String,
    external: Option<String>,
    pin: String,
    handle: Handle<SocketAddr>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Where clients on this machine find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where clients on other machines find it, if they do.
    #[must_use]
    pub fn external(&self) -> Option<&str> {
        self.external.as_deref()
    }

    /// The SHA-256 of its certificate.
    #[must_use]
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Takes no more requests, and gives those at hand some time to end.
    pub async fn close(self) {
        self.handle.graceful_shutdown(Some(CLOSE_TIME));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the REST interface ended badly"),
            Err(error) => tracing::warn!(%error, "the REST interface's task ended badly"),
        }
    }
}

/// Takes the interface's address, before anything else is begun that others would notice.
///
/// # Errors
///
/// If it cannot be listened on.
pub async fn listen(config: &Config) -> Result<TcpListener, Error> {
    let address = config.api_listen;
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves the interface, with the certificate and key in `pem`.
///
/// # Errors
///
/// If the address cannot be listened on any more, or the certificate cannot be used.
pub fn serve(
    (desk, networks): (Desk, Networks),
    listener: TcpListener,
    config: &Config,
    pem: &str,
) -> Result<Running, Error> {
    let tls = Tls::from_pem(pem)?;
    let tls_pin = tls.pin();
    let pin = tls_pin.to_string();
    let failed = |source| Error::Listen { address: config.api_listen, source };
    let local = listener.local_addr().map_err(failed)?;
    let (url, external) = (url(local), external(config, local));
    let handle = Handle::new();
    let mut server = axum_server::Server::from_listener(listener)
        .acceptor(Door::new(tls.server()?))
        .handle(handle.clone());
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_MAX);
    let place = Place { url: external.clone().unwrap_or_else(|| url.clone()), pin: tls_pin };
    let task =
        tokio::spawn(server.serve(router(Server::new(desk, networks, place)).into_make_service()));
    tracing::info!(url, "the REST interface is served");
    Ok(Running { url, external, pin, handle, task })
}

/// Where a client on this machine finds what listens on `address`.
fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let loopback = match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        address.set_ip(loopback);
    }
    format!("https://{address}")
}

/// Where a client on another machine finds the interface: what the configuration says, or the
/// address it listens on, if others can use that.
fn external(config: &Config, local: SocketAddr) -> Option<String> {
    let usable = !local.ip().is_loopback() && !local.ip().is_unspecified();
    config.api_external.clone().or_else(|| usable.then(|| url(local)))
}

/// The routes, made from the table of operations.
fn router(server: Server) -> Router {
    let mut router = Router::new();
    for operation in &OPERATIONS {
        let guarded =
            handler(operation).layer(from_fn_with_state((server.clone(), operation), gate::admit));
        router = router.route(operation.path, guarded);
    }
    router.with_state(server).layer(from_fn(answer::answer))
}

fn handler(operation: &Operation) -> MethodRouter<Server> {
    match operation.id {
        Id::ShowSite => get(site::show),
        Id::InviteNode => post(nodes::invite),
        Id::JoinSite => post(nodes::join),
        Id::ListNodes => get(nodes::list),
        Id::RemoveNode => delete(nodes::remove),
        Id::LeadSite => post(nodes::lead),
        Id::SetReserve => put(site::reserve),
        Id::ListPeers => get(peers::list),
        Id::AddPeer => post(peers::add),
        Id::SetPolicy => patch(peers::set_policy),
        Id::MonitorPeer => get(peers::monitor),
        Id::UpdatePeer => post(peers::update),
        Id::RemovePeer => delete(peers::remove),
        Id::ListAgreements => get(agreements::list),
        Id::UpdateAgreement => post(agreements::update),
        Id::SubmitServices => post(services::submit),
        Id::PlanServices => post(services::plan),
        Id::ListServices => get(services::list),
        Id::ShowService => get(services::show),
        Id::ScaleService => put(services::scale),
        Id::ListSecurityGroups => get(security::list),
        Id::SetSecurityGroup => put(security::set),
        Id::RemoveSecurityGroup => delete(security::remove),
        Id::AssignSecurityGroups => put(security::assign),
        Id::EndService => delete(services::end),
        Id::ListAddresses => get(addresses::list),
        Id::AllocateAddress => post(addresses::allocate),
        Id::AssociateAddress => put(addresses::associate),
        Id::DisassociateAddress => delete(addresses::disassociate),
        Id::ReleaseAddress => delete(addresses::release),
        Id::ListPools => get(addresses::pools),
        Id::AddPool => post(addresses::add_pool),
        Id::RemovePool => delete(addresses::remove_pool),
        Id::InitializeMachine => post(machines::initialize),
        Id::ListMachines => get(machines::list),
        Id::ShowMachine => get(machines::show),
        Id::ObserveMachine => get(machines::observe),
        Id::UpdateMachine => post(machines::update),
        Id::AttachConsole => get(console::attach),
        Id::SendBlob => post(blobs::send),
        Id::RegisterImage => post(images::register),
        Id::ListImages => get(images::list),
        Id::UnregisterImage => delete(images::unregister),
        Id::AddKey => post(keys::add),
        Id::ListKeys => get(keys::list),
        Id::RemoveKey => delete(keys::remove),
        Id::ListNetworks => get(networks::list),
        Id::ShowNetwork => get(networks::show),
        Id::CheckNetworks => post(networks::check),
        Id::ListHosts => get(hosts::list),
        Id::UpdateHost => post(hosts::update),
        Id::ForgetHost => delete(hosts::forget),
    }
}
