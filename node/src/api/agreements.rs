//! `/v1/agreements`: what is agreed with peers about machines, on either side.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use protocol::agreement::Message;
use protocol::identity::Verified;
use protocol::ids::HoldId;
use protocol::site::Site;
use protocol::site::command::OperatorAsk;
use protocol::site::state::Agreement;

use super::error::{Code, Error};
use super::gate::Server;
use super::propose::{self, Answer};
use super::shapes::List;
use super::shapes::agreement::{self as shapes, Side};
use super::{input, list, machines};

/// `ListAgreements`
pub(super) async fn list(
    State(server): State<Server>,
) -> Result<Json<List<shapes::Agreement>>, Error> {
    Ok(Json(
        list::list(&server.desk, |site| {
            site.agreements().map(|(id, row)| view(site, *id, row)).collect()
        })
        .await?,
    ))
}

/// `UpdateAgreement`
pub(super) async fn update(
    State(server): State<Server>,
    Path((id, verb)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let agreement: HoldId = input::id(&id)?;
    let request = input::request_id(&headers)?;
    let ask = match verb.as_str() {
        "terminate" => OperatorAsk::TerminateAgreement { agreement },
        "renew" => OperatorAsk::RenewAgreement { agreement },
        _ => {
            let message = format!("'{verb}' is nothing that can be done with an agreement");
            return Err(Error::new(Code::NoSuchOperation, message).hint("terminate or renew it"));
        }
    };
    propose::operator(&server, request, ask, &id).await
}

/// An agreement as an operator sees it.
fn view(site: &Site, id: HoldId, row: &Agreement) -> shapes::Agreement {
    let terms = &row.terms;
    let me = site.profile().map(|profile| profile.site);
    let (side, other) = if me == Some(terms.home) {
        (Side::Home, terms.provider)
    } else {
        (Side::Provider, terms.home)
    };
    let machine = site.machine(terms.machine).filter(|_| side == Side::Home);
    shapes::Agreement {
        id: id.to_string(),
        side,
        peer: machines::peer_place(site, other).site,
        peer_id: other.to_string(),
        machine: terms.machine.to_string(),
        name: machine.map(|machine| machine.name.clone()),
        size: terms.size.into(),
        price: terms.price.hourly.to_string(),
        currency: terms.price.currency.to_string(),
        since: row.since.into(),
        until: terms.until.into(),
        class: terms.class,
        notice_s: terms.notice.as_millis() / 1_000,
        retention_s: terms.retention.as_millis() / 1_000,
        proposed: row.proposed.as_ref().map(|terms| shapes::Proposed {
            price: terms.price.hourly.to_string(),
            until: terms.until.into(),
        }),
        termination: row.termination.map(|it| shapes::Termination {
            by_us: me == Some(it.by),
            at: it.at.into(),
            reason: it.reason.to_string(),
        }),
        ended: row.ended.map(Into::into),
        evidence: row.evidence.iter().map(evidence).collect(),
    }
}

fn evidence(word: &Verified<Message>) -> shapes::Evidence {
    let statement = word.statement();
    shapes::Evidence {
        kind: kind(&statement.body).to_owned(),
        number: statement.sequence,
        issued: statement.issued_at.into(),
        digest: blake3::Hash::from_bytes(word.evidence().digest()).to_string(),
    }
}

/// What a message is called by people.
const fn kind(message: &Message) -> &'static str {
    match message {
        Message::Call(_) => "call",
        Message::Offer { .. } => "offer",
        Message::Refuse { .. } => "refusal",
        Message::Accept(_) => "acceptance",
        Message::Hand { .. } => "hand",
        Message::Decline { .. } => "decline",
        Message::Agreed { .. } => "agreement",
        Message::Lapsed { .. } => "lapse",
        Message::Order { .. } => "order",
        Message::Report(_) => "report",
        Message::Lost { .. } => "loss",
        Message::Propose { .. } => "proposal",
        Message::Consent { .. } => "consent",
        Message::Renewed { .. } => "renewal",
        Message::Terminate { .. } => "termination",
        Message::Network { .. } => "network",
        Message::Farewell => "farewell",
    }
}
