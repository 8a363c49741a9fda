//! `reservoir agreement`

use axum::http::Method;

use super::arguments::Agreement;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, facts, short, since, table};
use crate::api::shapes::agreement::{self as shapes, Side};
use crate::api::shapes::{Moment, Taken};

const PATH: &str = "/v1/agreements";

pub(super) async fn run(
    verb: Agreement,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    match verb {
        Agreement::Ls { all } => {
            let mut agreements: Vec<shapes::Agreement> = client.list(PATH).await?;
            agreements.retain(|it| all || it.ended.is_none());
            output.say(&agreements, |_| listed(&agreements))
        }
        Agreement::Show { agreement } => {
            let agreement: shapes::Agreement = find(&client.list(PATH).await?, &agreement)?;
            output.say(&agreement, |now| shown(&agreement, now))
        }
        Agreement::Terminate { agreement } => update("terminate", &agreement, client, output).await,
        Agreement::Renew { agreement } => update("renew", &agreement, client, output).await,
    }
}

async fn update(
    verb: &str,
    agreement: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let agreement: shapes::Agreement = find(&client.list(PATH).await?, agreement)?;
    let path = format!("{PATH}/{}/{verb}", agreement.id);
    let _: Taken = client.ask(Method::POST, &path, None::<&()>).await?;
    let after: shapes::Agreement = find(&client.list(PATH).await?, &agreement.id)?;
    output.say(&after, |now| shown(&after, now))
}

const fn side(agreement: &shapes::Agreement) -> &'static str {
    match agreement.side {
        Side::Home => "home",
        Side::Provider => "provider",
    }
}

/// How far an agreement is, in a few words.
fn state(agreement: &shapes::Agreement) -> String {
    match (&agreement.ended, &agreement.termination, &agreement.proposed) {
        (Some(at), ..) => format!("ended {at}"),
        (None, Some(it), _) => format!("ends {}", it.at),
        (None, None, Some(_)) => "renewal proposed".to_owned(),
        (None, None, None) => "stands".to_owned(),
    }
}

/// Agreements as people see them.
pub(super) fn listed(agreements: &[shapes::Agreement]) -> String {
    table(
        &["ID", "WE ARE", "PEER", "MACHINE", "PRICE", "UNTIL", "STATE"],
        agreements.iter().map(|it| {
            vec![
                short(&it.id).to_owned(),
                side(it).to_owned(),
                it.peer.clone(),
                it.name.clone().unwrap_or_else(|| short(&it.machine).to_owned()),
                format!("{} {}/h", it.price, it.currency),
                it.until.to_string(),
                state(it),
            ]
        }),
    )
}

/// An agreement as people see it.
pub(super) fn shown(agreement: &shapes::Agreement, now: Moment) -> String {
    let it = agreement;
    let mut told = vec![
        ("id", it.id.clone()),
        ("we are", side(it).to_owned()),
        ("peer", format!("{} ({})", it.peer, it.peer_id)),
        ("machine", it.machine.clone()),
        ("name", it.name.clone().unwrap_or_default()),
        ("size", it.size.to_string()),
        ("price", format!("{} {}/h", it.price, it.currency)),
        ("since", since(now, it.since)),
        ("until", it.until.to_string()),
        ("class", it.class.to_string()),
        ("notice", format!("{} s", it.notice_s)),
        ("disks kept", format!("{} s after its end", it.retention_s)),
        ("state", state(it)),
    ];
    if let Some(proposed) = &it.proposed {
        let terms = format!("{} {}/h until {}", proposed.price, it.currency, proposed.until);
        told.push(("proposed", terms));
    }
    if let Some(termination) = &it.termination {
        let by = if termination.by_us { "us" } else { "them" };
        told.push(("terminated", format!("by {by}: {}", termination.reason)));
    }
    let mut text = facts(&told);
    text.push('\n');
    text.push_str(&table(
        &["SIGNED BY THEM", "NUMBER", "ISSUED", "DIGEST"],
        it.evidence.iter().map(|it| {
            let digest = it.digest.chars().take(16).collect();
            vec![it.kind.clone(), it.number.to_string(), it.issued.to_string(), digest]
        }),
    ));
    text
}
