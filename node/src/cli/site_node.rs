//! `reservoir site node`, and the invitations for new ones.

use axum::http::Method;
use protocol::membership::Standing;
use protocol::names::Label;

use super::arguments::SiteNode;
use super::client::Client;
use super::error::Error;
use super::output::{Output, age, table};
use crate::api::shapes::{Moment, Taken, node as shapes};
use crate::membership::token::Token;

/// Lets one node join, and says how.
pub(super) async fn invite(invite: shapes::Invite, output: &mut Output<'_>) -> Result<(), Error> {
    let client = super::connect()?;
    let asked = client.ask(Method::POST, "/v1/site/invitations", Some(&invite)).await;
    let invited: shapes::Invited = asked?;
    output.say(&invited, |_| invitation(&invited))
}

pub(super) async fn run(
    verb: SiteNode,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        SiteNode::Ls => {
            let nodes: Vec<shapes::Node> = client.list("/v1/site/nodes").await?;
            output.say(&nodes, |now| listed(&nodes, now))
        }
        SiteNode::Remove { node } => {
            let path = format!("/v1/site/nodes/{node}");
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| {
                format!(
                    "node {node} leaves the site; 'reservoir site show' says when its certificate \
                     is revoked\n"
                )
            })
        }
        SiteNode::Lead { node } => {
            let path = format!("/v1/site/nodes/{node}/lead");
            let moved: shapes::HandedOver = client.ask(Method::POST, &path, None::<&()>).await?;
            output.say(&moved, |_| {
                let gap = moved.gap_ms;
                format!("node {node} leads; the site took no writes for {gap} ms\n")
            })
        }
    }
}

/// An invitation as its reader needs it. The token stands in a line of its own, to be copied.
fn invitation(invited: &shapes::Invited) -> String {
    let mut text = format!(
        "on the new machine, until {}:\n\n  reservoir site join {} --data DIR\n\n",
        invited.expires, invited.token
    );
    let host = reqwest::Url::parse(&invited.url).ok();
    let host = host.as_ref().and_then(|url| url.host_str()).unwrap_or_default().to_owned();
    let ip: Result<std::net::IpAddr, _> = host.trim_matches(['[', ']']).parse();
    if host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) {
        text.push_str(&format!(
            "{} leads nowhere from another machine: set [api] listen and external in the node's \
             configuration, or give --url\n",
            invited.url
        ));
    }
    text
}

/// The token that was given.
pub(super) fn token(text: &str) -> Result<Token, Error> {
    text.parse().map_err(|error| Error::Argument {
        what: "token",
        given: "...".to_owned(),
        source: Box::new(error),
    })
}

/// The name that was given.
pub(super) fn label(given: &str) -> Result<Label, Error> {
    given.parse().map_err(|error| Error::Argument {
        what: "name",
        given: given.to_owned(),
        source: Box::new(error),
    })
}

/// A certificate as people see it: which, how long it holds, and whether it is to be renewed.
fn certificate(certificate: &shapes::Certificate, now: Moment) -> String {
    let left = if certificate.not_after > now {
        format!("ends in {}", age(certificate.not_after, now))
    } else {
        "has ended".to_owned()
    };
    let due = if certificate.due { ", due" } else { "" };
    format!("{} {left}{due}", certificate.serial)
}

/// What is to be said of the nodes' certificates, and done about them.
pub(super) fn certificates(certificates: &shapes::Certificates) -> String {
    let shapes::Certificates { honoured, revoked, due, root } = certificates;
    let mut said = match (*honoured, *revoked) {
        (0, 0) => "none was revoked".to_owned(),
        (honoured, revoked) if honoured >= revoked => format!("those below {honoured} are revoked"),
        (_, revoked) => format!("those below {revoked} are revoked once every node has renewed"),
    };
    if !due.is_empty() {
        let numbers: Vec<String> = due.iter().map(u64::to_string).collect();
        said.push_str(&format!("; to be renewed: node {}", numbers.join(", ")));
    }
    if *root == Some(false) {
        said.push_str(
            "; no node that can be reached has the root key: bring the file root.key back to the \
             directory 'keys' of one of them for a minute",
        );
    }
    said
}

/// Nodes as people see them.
pub(super) fn listed(nodes: &[shapes::Node], now: Moment) -> String {
    table(
        &["NODE", "NAME", "STANDING", "ROLE", "LAG", "REACHED", "AGE", "CERTIFICATE", "ADDRESSES"],
        nodes.iter().map(|node| {
            vec![
                node.id.to_string(),
                node.name.clone(),
                match node.standing {
                    Standing::Learner => "learner",
                    Standing::Voter => "voter",
                    Standing::Leaving => "leaving",
                }
                .to_owned(),
                if node.gateway {
                    format!("{}, gateway", node.role)
                } else {
                    node.role.to_string()
                },
                node.lag.map_or_else(String::new, |lag| lag.to_string()),
                if node.reachable { "yes" } else { "no" }.to_owned(),
                age(now, node.since),
                node.certificate.as_ref().map_or_else(String::new, |it| certificate(it, now)),
                node.addresses.join(" "),
            ]
        }),
    )
}
