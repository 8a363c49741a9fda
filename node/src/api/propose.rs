//! From a request to the command that it is, and from the command's outcome to the answer.

use axum::Json;
use axum::http::StatusCode;
use protocol::ids::RequestId;
use protocol::site::command::{OperatorAsk, TenantAsk};
use protocol::site::{Command, Outcome};

use super::error::{Code, Error};
use super::gate::{Caller, Server};
use super::shapes::Taken;

/// What is answered to a request that was taken on.
pub(super) type Answer = (StatusCode, Json<Taken>);

/// Proposes what a tenant asks. What makes nothing is answered with the id of what it is `about`.
pub(super) async fn tenant(
    server: &Server,
    caller: Caller,
    request: RequestId,
    ask: TenantAsk,
    about: &str,
) -> Result<Answer, Error> {
    command(server, Command::Tenant { tenant: caller.tenant, request, ask }, about).await
}

/// Proposes what an operator asks, likewise.
pub(super) async fn operator(
    server: &Server,
    request: RequestId,
    ask: OperatorAsk,
    about: &str,
) -> Result<Answer, Error> {
    command(server, Command::Operator { request, ask }, about).await
}

async fn command(server: &Server, command: Command, about: &str) -> Result<Answer, Error> {
    let id = match server.desk.propose(command).await? {
        Outcome::Done => about.to_owned(),
        Outcome::Service(id) => id.to_string(),
        Outcome::Machine(id) => id.to_string(),
        Outcome::Image(id) => id.to_string(),
        Outcome::Key(id) => id.to_string(),
        Outcome::Address(address) => address.to_string(),
        Outcome::Node(id) => id.to_string(),
        Outcome::Refused(refusal) => return Err((&refusal).into()),
        Outcome::Taken(_) | Outcome::Serial(_) | Outcome::Contradicted { .. } => {
            return Err(Error::new(Code::Internal, "the site answered another question"));
        }
    };
    let index = server.desk.watch().borrow().applied;
    Ok((StatusCode::ACCEPTED, Json(Taken { id, index })))
}
