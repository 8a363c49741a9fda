//! `/v1/site/nodes`, `/v1/site/invitations`: who takes part in the site.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use data_encoding::HEXLOWER;
use protocol::codec;
use protocol::identity::PublicKey;
use protocol::ids::NodeId;
use protocol::membership::Standing;
use protocol::names::{Label, Malformed};
use protocol::site::command::{Contact, OperatorAsk};
use protocol::site::state::Node;
use protocol::site::{Command, Outcome};
use protocol::time::Timestamp;
use protocol::wire::v1::Member;
use tokio::time::timeout;

use super::error::{Code, Error};
use super::gate::{Invited, Server};
use super::propose::{self, Answer};
use super::secret::Secret;
use super::shapes::{List, node as shapes};
use super::{input, tls};
use crate::desk::Desk;
use crate::membership::root::Silent;
use crate::membership::token::Token;
use crate::observe::now;

/// How long the root key is looked for, to say whether it is there.
const ROOT_WAIT: Duration = Duration::from_secs(2);

/// `InviteNode`
///
/// The secret is drawn here and told once, as that of a key is.
pub(super) async fn invite(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<shapes::Invited>), Error> {
    let request = input::request_id(&headers)?;
    let shapes::Invite { name, learner, url } = input::json(&headers, body).await?;
    let name = name.as_deref().map(label).transpose()?;
    let standing = if learner { Standing::Learner } else { Standing::Voter };
    let url = url.unwrap_or_else(|| server.place.url.clone());
    check_url(&url)?;
    let secret = Secret::draw();
    let digest = secret.digest();
    let ask = OperatorAsk::Invite { digest, name, standing };
    let _: Answer = propose::operator(&server, request, ask, "").await?;
    let expires = server.desk.read(|site| site.invitation(&digest).map(|row| row.expires));
    let Some(expires) = expires else {
        return Err(Error::new(Code::Repeated, "this request has made an invitation before")
            .hint("its token was in the first answer; if that is lost, ask for a new one"));
    };
    let token = Token { site: server.desk.site(), url: url.clone(), pin: server.place.pin, secret };
    let made = shapes::Invited { token: token.to_string(), expires: expires.into(), url };
    Ok((StatusCode::CREATED, Json(made)))
}

/// `JoinSite`
///
/// The root key is found first: a node that is in the table and cannot be given a certificate
/// would be of no use to anybody.
pub(super) async fn join(
    State(server): State<Server>,
    Extension(invited): Extension<Invited>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<shapes::Welcome>, Error> {
    let desk = &server.desk;
    let new: shapes::New = input::json(&headers, body).await?;
    let contact = Contact {
        key: key(&new.key)?,
        name: label(&new.name)?,
        addresses: new.addresses,
        api: None,
        uplink: None,
    };
    let root = desk.find_root().await?;
    let joining = Command::Join { digest: invited.digest, contact };
    let id = match desk.propose(joining).await? {
        Outcome::Node(id) => id,
        Outcome::Refused(refusal) => return Err((&refusal).into()),
        _ => return Err(Error::new(Code::Internal, "the site answered another question")),
    };
    let certificate = desk.certify(root, id).await?;
    tracing::info!(node = %id, "a node joins the site");
    let hex = |key: &PublicKey| HEXLOWER.encode(key.as_bytes());
    let (site, nodes) = desk.read(|site| {
        let name = site.profile().map_or_else(String::new, |profile| profile.name.clone());
        let others = site.nodes().filter(|(other, _)| *other != id);
        let nodes = others.map(|(id, row)| shapes::Neighbour {
            id: id.0,
            key: hex(&row.key),
            addresses: row.addresses.clone(),
        });
        (name, nodes.collect())
    });
    Ok(Json(shapes::Welcome {
        id: id.0,
        site,
        root: hex(&certificate.certificate().root),
        certificate: HEXLOWER.encode(&codec::encode(&certificate)),
        nodes,
    }))
}

/// `ListNodes`
pub(super) async fn list(State(server): State<Server>) -> Result<Json<List<shapes::Node>>, Error> {
    let desk = &server.desk;
    desk.current().await?;
    let index = desk.watch().borrow().applied;
    Ok(Json(List { index, items: views(desk).await }))
}

/// `RemoveNode`
pub(super) async fn remove(
    State(server): State<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let request = input::request_id(&headers)?;
    let ask = OperatorAsk::RemoveNode { node: number(&id)? };
    propose::operator(&server, request, ask, &id).await
}

/// `LeadSite`
pub(super) async fn lead(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Result<Json<shapes::HandedOver>, Error> {
    let node = number(&id)?;
    let desk = &server.desk;
    desk.current().await?;
    if desk.read(|site| site.node(node).is_none()) {
        return Err((&protocol::site::Refusal::UnknownNode { node }).into());
    }
    let gap = desk.hand_over(node).await?;
    let millis = |gap: Duration| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
    Ok(Json(shapes::HandedOver { id: node.0, gap_ms: millis(gap) }))
}

/// Which of the nodes' certificates count. The root key is looked for only where it is needed, and
/// not for long: a node that is gone would keep everybody waiting.
pub(super) async fn certificates(desk: &Desk, nodes: &[shapes::Node]) -> shapes::Certificates {
    let serials = desk.read(protocol::site::Site::serials);
    let is_due = |node: &&shapes::Node| node.certificate.as_ref().is_none_or(|it| it.due);
    let due: Vec<u64> = nodes.iter().filter(is_due).map(|node| node.id).collect();
    let root = if due.is_empty() {
        None
    } else {
        timeout(ROOT_WAIT, desk.find_root()).await.ok().map(|found| found.is_ok())
    };
    let (honoured, revoked) = (serials.honoured(), serials.revoked());
    shapes::Certificates { honoured, revoked, due, root }
}

/// The site's nodes, as they should be and as they are.
pub(super) async fn views(desk: &Desk) -> Vec<shapes::Node> {
    // Without a leader the table is still worth showing.
    let members = desk.members().await.ok();
    let leader = desk.watch().borrow().leader;
    let mut met = desk.fellows().await;
    met.insert(desk.signer().key.public());
    desk.read(|site| {
        let view = |(id, row)| {
            let due = (site.serials().revoked(), now());
            view((id, row), members.as_deref(), leader, &met, due)
        };
        site.nodes().map(view).collect()
    })
}

fn view(
    (id, row): (NodeId, &Node),
    members: Option<&[Member]>,
    leader: Option<NodeId>,
    met: &BTreeSet<PublicKey>,
    (revoked, now): (u64, Timestamp),
) -> shapes::Node {
    let member = members.map(|all| all.iter().find(|member| member.node == id));
    let role = match member {
        None => shapes::Role::Unknown,
        Some(None) => shapes::Role::None,
        Some(Some(_)) if leader == Some(id) => shapes::Role::Leader,
        Some(Some(member)) if member.votes => shapes::Role::Voter,
        Some(Some(_)) => shapes::Role::Learner,
    };
    shapes::Node {
        id: id.0,
        name: row.name.to_string(),
        standing: row.standing,
        since: row.since.into(),
        role,
        lag: member.flatten().and_then(|member| member.lag),
        reachable: met.contains(&row.key),
        gateway: row.is_gateway,
        addresses: row.addresses.clone(),
        api: row.api.clone(),
        certificate: row.certificate.map(|certificate| shapes::Certificate {
            serial: certificate.serial,
            not_after: certificate.not_after.into(),
            due: certificate.is_due(revoked, now),
        }),
    }
}

fn number(text: &str) -> Result<NodeId, Error> {
    text.parse().map(NodeId).map_err(|_| {
        Error::new(Code::Malformed, format!("'{text}' is not the number of a node"))
            .hint("'reservoir site node ls' lists those there are")
    })
}

fn label(text: &str) -> Result<Label, Error> {
    text.parse().map_err(|error: Malformed| Error::new(Code::Malformed, error.to_string()))
}

fn key(text: &str) -> Result<PublicKey, Error> {
    let hash = blake3::Hash::from_hex(text);
    hash.map(|hash| PublicKey::from_bytes(*hash.as_bytes()))
        .map_err(|_| Error::new(Code::Malformed, "the node's key is not 64 hexadecimal digits"))
}

fn check_url(text: &str) -> Result<(), Error> {
    if tls::is_url(text) {
        return Ok(());
    }
    Err(Error::new(Code::Malformed, format!("'{text}' is no URL of a REST interface"))
        .hint("it begins with https:// and names a host"))
}

impl From<Silent> for Error {
    fn from(silent: Silent) -> Self {
        let (code, hint) = match silent {
            Silent::Offline => (Code::NoRoot, "then repeat 'reservoir site join'"),
            Silent::Later => (Code::Busy, "repeat 'reservoir site join'"),
            Silent::Unknown { .. } => (Code::UnknownNode, "ask its operator for a new invitation"),
        };
        Self::new(code, silent.to_string()).hint(hint)
    }
}
