//! `reservoir key`

use axum::http::Method;
use protocol::site::state::Role;

use super::arguments::Key;
use super::client::Client;
use super::error::Error;
use super::find::find;
use super::output::{Output, age, facts, short, table};
use crate::api::shapes::key as shapes;
use crate::api::shapes::{Moment, Taken};

pub(super) async fn run(verb: Key, client: &Client, output: &mut Output<'_>) -> Result<(), Error> {
    match verb {
        Key::Add { name, tenant, operator } => {
            let role = if operator { Role::Operator } else { Role::Tenant };
            let new = shapes::New { name, tenant, role };
            let added: shapes::Added = client.ask(Method::POST, "/v1/keys", Some(&new)).await?;
            output.say(&added, |_| {
                let told = facts(&[("id", added.id.clone()), ("secret", added.secret.clone())]);
                format!("{told}keep the secret: nobody can show it again\n")
            })
        }
        Key::Ls => {
            let keys: Vec<shapes::Key> = client.list("/v1/keys").await?;
            output.say(&keys, |now| listed(&keys, now))
        }
        Key::Rm { key } => {
            let key: shapes::Key = find(&client.list("/v1/keys").await?, &key)?;
            let path = format!("/v1/keys/{}", key.id);
            let taken: Taken = client.ask(Method::DELETE, &path, None::<&()>).await?;
            output.say(&taken, |_| format!("key {} is out of use\n", key.name))
        }
    }
}

/// Keys as people see them.
pub(super) fn listed(keys: &[shapes::Key], now: Moment) -> String {
    table(
        &["NAME", "TENANT", "ROLE", "CREATED", "AGE", "ID"],
        keys.iter().map(|key| {
            let role = match key.role {
                Role::Operator => "operator",
                Role::Tenant => "tenant",
            };
            vec![
                key.name.clone(),
                key.tenant.clone(),
                role.to_owned(),
                key.created.to_string(),
                age(now, key.created),
                short(&key.id).to_owned(),
            ]
        }),
    )
}
