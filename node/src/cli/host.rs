//! `reservoir host`

use axum::http::Method;

use super::arguments::Host;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, age, short, table};
use crate::api::shapes::host::{self as shapes, Standing};
use crate::api::shapes::{Moment, Taken};

const PATH: &str = "/v1/hosts";

pub(super) async fn run(verb: Host, client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    match verb {
        Host::Ls => {
            let hosts: Vec<shapes::Host> = client.list(PATH).await?;
            output.say(&hosts, |now| listed(&hosts, now))
        }
        Host::Drain { host } => update("drain", &host, client, output).await,
        Host::Enable { host } => update("enable", &host, client, output).await,
        Host::Rm { host } => {
            let host: shapes::Host = find(&client.list(PATH).await?, &host)?;
            let path = format!("{PATH}/{}", host.id);
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("host {} is forgotten\n", host.name))
        }
    }
}

async fn update(
    verb: &str,
    host: &str,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let host: shapes::Host = find(&client.list(PATH).await?, host)?;
    let path = format!("{PATH}/{}/{verb}", host.id);
    let _: Taken = client.ask(Method::POST, &path, None::<&()>).await?;
    let after: shapes::Host = find(&client.list(PATH).await?, &host.id)?;
    output.say(&after, |now| listed(std::slice::from_ref(&after), now))
}

/// Hosts as people see them.
pub(super) fn listed(hosts: &[shapes::Host], now: Moment) -> String {
    table(
        &["HOST", "NODE", "STATE", "CAPACITY", "PROMISED", "OWN", "FOREIGN", "HYPERVISOR", "ID"],
        hosts.iter().map(|host| {
            vec![
                host.name.clone(),
                host.node.to_string(),
                state(host, now),
                host.capacity.to_string(),
                host.promised.to_string(),
                host.own_guests.to_string(),
                host.foreign_guests.to_string(),
                host.hypervisor.clone(),
                short(&host.id).to_owned(),
            ]
        }),
    )
}

/// Whether it takes machines, and what stands in the way.
fn state(host: &shapes::Host, now: Moment) -> String {
    let mut left = match host.remains {
        0 => String::new(),
        left => format!(", {left} to be ended on it"),
    };
    if host.kept > 0 {
        left.push_str(&format!(", disks of {} kept", host.kept));
    }
    match host.standing {
        Standing::Trouble => format!("{}{left}", host.trouble),
        Standing::Lost => format!("lost {} ago{left}", age(now, host.since)),
        Standing::Well | Standing::Drained => format!("{}{left}", host.standing.as_str()),
    }
}
